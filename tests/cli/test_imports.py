"""Commands import only what they use: each list holds what a command may not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.data.synthetic import synthetic_photo

from .conftest import SMALL

TRAINING = {"tensorflow", "keras", "jax", "sklearn", "matplotlib", "scipy", "ray", "mtcnn", "tensorboard"}
ALL = TRAINING | {"cv2", "numpy", "pandas", "pyarrow", "yaml", "rich", "ai_edge_litert", "segno", "cryptography"}

CODE = """
import contextlib, io, json, sys
from keras_faceattr.cli import main
sys.argv = ["keras-faceattr", *json.loads(sys.argv[1])]
code, out = 0, io.StringIO()
try:
    with contextlib.redirect_stdout(out):
        main()
except SystemExit as stop:
    code = stop.code or 0
print(json.dumps({"code": code, "modules": sorted(name for name in sys.modules if "." not in name)}))
"""


def imported_by(*arguments: object) -> set[str]:
    """Packages that a process has imported when its command has ended well."""
    words = json.dumps([str(argument) for argument in arguments])
    done = subprocess.run([sys.executable, "-c", CODE, words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["code"] == 0, done.stderr
    return set(told["modules"])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two drawn faces."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(2):
        assert cv2.imwrite(str(folder / f"{index}.png"), synthetic_photo(7, index, 64)[0])
    return folder


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["fit", "--help"], ["benchmark", "--help"]])
def test_help_and_version_import_nothing_of_weight(words: list[str]) -> None:
    assert not imported_by(*words) & ALL


def test_lists_of_readers_and_configs_read_no_data() -> None:
    assert not imported_by("data", "list") & (ALL - {"numpy", "yaml", "rich"})


def test_looking_at_data_needs_no_net() -> None:
    assert not imported_by("data", "inspect", "quickstart", *SMALL[:4]) & TRAINING


@pytest.mark.parametrize("words", [["predict", "FILE", "PHOTOS"], ["evaluate", "FILE"], ["info", "FILE"]])
def test_an_exported_file_is_used_without_what_trained_it(
    exported: dict[str, Artifact], photos: Path, words: list[str]
) -> None:
    named = {"FILE": exported["float32"].path, "PHOTOS": photos}
    # To split the photos as the run did, SciPy finds those that belong together.
    needed = {"scipy"} if words[0] == "evaluate" else set()
    assert not imported_by(*(named.get(word, word) for word in words)) & TRAINING - needed


def test_an_exported_file_is_timed_without_what_trained_it(exported: dict[str, Artifact]) -> None:
    words = ["benchmark", exported["float32"].path, "--against", "none", "--seconds", "1"]
    assert not imported_by(*words) & TRAINING


def test_info_counts_a_net_without_tensorflow(small_run: Path) -> None:
    pytest.importorskip("jax", reason="Keras' NumPy backend needs JAX")
    unused = {"tensorflow", "sklearn", "matplotlib", "pandas", "cv2", "ai_edge_litert", "pyarrow"}
    for name in ("tiny_att_net", small_run):
        assert not imported_by("info", name) & unused


@pytest.mark.parametrize("backend", [None, "tensorflow"])
def test_info_counts_alike_on_every_backend(backend: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if backend:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    command = [sys.executable, "-m", "keras_faceattr", "info", "tiny_att_net", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout)
    assert (found["trainable_parameters"], found["gmacs"]) == (927_129, 0.975)
    # Moving means and variances of the batch norms, and the 41 bins with their middle.
    assert found["parameters"] == 927_129 + 2 * (16 + 16 + 32 + 32 + 3 * 64 + 6 * 128) + 42
