"""Importing and calling the library leaves the caller's process as it was."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import keras_faceattr

PACKAGE = Path(keras_faceattr.__file__).parent

STATE = """
import json, os, random, sys, warnings
from pathlib import Path
# Third-party packages, whose own habits are not ours: imported first.
import tensorflow, keras, matplotlib, cv2, numpy as np, pandas, scipy.stats, sklearn.svm, sklearn.linear_model
import sklearn.gaussian_process, sklearn.ensemble, sklearn.neighbors, ai_edge_litert.interpreter, rich.progress, typer

cv2.setNumThreads(3)
random.seed(11), np.random.seed(12), keras.utils.set_random_seed(13)
warnings.filterwarnings("error", message="a filter of the caller's own")

def state():
    return {
        "matplotlib": matplotlib.rcParams._get_backend_or_none() and str(matplotlib.rcParams._get_backend_or_none()),
        "pyplot": "matplotlib.pyplot" in sys.modules,
        "cv2": cv2.getNumThreads(),
        "random": repr(random.getstate()),
        "numpy": repr(np.random.get_state()),
        "keras": [keras.config.dtype_policy().name, keras.config.floatx(), repr(keras.utils.get_random_seed())]
        if hasattr(keras.utils, "get_random_seed") else [keras.config.dtype_policy().name, keras.config.floatx()],
        "tensorflow": repr(tensorflow.random.get_global_generator().state.numpy().tolist()),
        "environment": dict(os.environ),
        "warnings": [repr(entry) for entry in warnings.filters],
        "excepthook": sys.excepthook is sys.__excepthook__,
        "folder": os.getcwd(),
    }

def changes(before, after):
    return sorted(key for key in before if before[key] != after[key])

before = state()
"""

IMPORTS = """
import importlib
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(changes(before, state())))
"""

CALLS = """
from keras_faceattr.alignment.work import Work, align_photos
from keras_faceattr.config_files import load_experiment
from keras_faceattr.data.datasets.synthetic import read as read_synthetic
from keras_faceattr.data.inspection import draw_inspection, inspect_manifest
from keras_faceattr.data.prepare import prepare
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.evaluation.plots import draw_picture
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.detector_benchmark import benchmark_detector
from keras_faceattr.models import architecture
from keras_faceattr.models.network import build_network
from keras_faceattr.models.tabular_dnn import Standardisation, tabular_model

folder = Path(sys.argv[1])
told = {}

def call(name, function):
    before = state()
    result = function()
    told[name] = changes(before, state())
    return result

changed = ["data.sources.0.options.count=30", "data.sources.0.options.size=40", "data.crop.size=32"]
experiment = load_experiment("quickstart", changed, {})
data = call("prepare", lambda: prepare(experiment, ("train",)))
call("crops without a cache", lambda: prepare(
    load_experiment("quickstart", [*changed, "data.cache=none"], {}), ("train",)
).parts["train"].crops.take(np.arange(3)))
findings, shown = call("inspect", lambda: inspect_manifest(data.manifest))
call("draw_inspection", lambda: draw_inspection(shown, findings, folder / "look.png"))
call("align", lambda: align_photos(Work(CropSpec(32), "largest", "png"), data.manifest.paths()[:2]))
call("benchmark_detector", lambda: benchmark_detector([draw_scene(5, 0, 96, 96)[0]], package=False))
call("draw_picture", lambda: draw_picture(folder / "a.png", lambda axes: axes.plot([1, 2]), "title", "x"))
tasks = architecture("tiny_att_net").tasks
call("build_network", lambda: build_network("tiny_att_net", tasks, size=32, seed=5, dropout=0.1, precision="bfloat16"))
columns = Standardisation(np.zeros(2), np.ones(2), 0.0, 1.0)
call("tabular_model", lambda: tabular_model("mlp", columns, 5))
print(json.dumps(told))
"""


def run(code: str, argument: str) -> object:
    command = [sys.executable, "-c", STATE + code, argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_every_module_changes_nothing() -> None:
    left_out = {"__main__", "tfmot_child"}  # Programs of their own, one of which imports legacy Keras.
    names = [
        ".".join(["keras_faceattr", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
        if path.stem not in left_out
    ]
    assert len(names) > 200
    assert run(IMPORTS, json.dumps(sorted(names))) == []


def test_a_call_leaves_everything_as_it_was(tmp_path: Path) -> None:
    told = run(CALLS, str(tmp_path))
    assert isinstance(told, dict) and len(told) == 9
    assert {name: changed for name, changed in told.items() if changed} == {}


def test_only_programs_of_their_own_write_the_environment() -> None:
    own = {
        "cli/environment.py",
        "training/onednn_benchmark.py",
        "faces/detector_benchmark.py",
        "quantization/tfmot_child.py",
    }
    writing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            targets = node.targets if isinstance(node, ast.Assign) else []
            written = any(ast.unparse(target).startswith("os.environ") for target in targets)
            called = isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "os.environ.setdefault", "os.environ.update", "os.environ.pop", "os.putenv",
            )  # fmt: skip
            if written or called:
                writing.add(path.relative_to(PACKAGE).as_posix())
    assert writing <= own and "cli/environment.py" in writing
