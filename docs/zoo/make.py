"""Makes a net of the package from a run and its export: `python docs/zoo/make.py NAME RUN`, from the repository's root.

RUN holds a finished training with `export/float32` and `export/int8_qat` or `export/int8_ptq`. `about.yaml` in
`export/zoo/NAME` is written by hand: `title`, `command` (lines) and `about` (Markdown, the first part of the card).
Everything else in the folder is written here. The weights to start from are rounded to float16, which halves what they
add to the package.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import yaml

from keras_faceattr.artifact.loading import load_artifact
from keras_faceattr.convert.card import shipped_card
from keras_faceattr.models.loading import load_model
from keras_faceattr.run import Run
from keras_faceattr.storage import sha256, write_json, write_text
from keras_faceattr.zoo import FOLDER, INDEX, shipped_net

PARTS = {"int8": ("int8_qat", "int8_ptq"), "float32": ("float32",)}
"""Folders of the shipped net, and those of the export that each is taken from: the first that is there."""

SHIPPED = ("*.tflite", "*.json", "differences.png", "golden/*.png", "golden/*.json", "golden/photos/*.png")


def make(name: str, run: Run) -> None:
    """Fills `export/zoo/NAME`."""
    folder = FOLDER / name
    about = yaml.safe_load((folder / "about.yaml").read_text(encoding="utf-8"))
    for path in folder.iterdir():
        if path.name != "about.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for part, candidates in PARTS.items():
        source = next(run.folder / "export" / one for one in candidates if (run.folder / "export" / one).is_dir())
        for pattern in SHIPPED:
            for path in source.glob(pattern):
                target = folder / part / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    (file,) = (folder / "int8").glob("*.tflite")
    sidecar = load_artifact(file).sidecar
    # The sidecar's configuration names no folder of the machine that trained.
    write_text(folder / "config.yaml", yaml.safe_dump(sidecar.experiment, sort_keys=False, allow_unicode=True))
    for path in (run.tasks_path, run.trained_on_path, run.history_path):
        shutil.copyfile(path, folder / path.name)
    provenance = json.loads(run.provenance_path.read_text(encoding="utf-8"))
    write_json(folder / "provenance.json", {**provenance, "command": about["command"]})
    save_rounded(run.model_path, folder / "model.keras")
    card = shipped_card(about["about"], sidecar.experiment_object(), sidecar, about["command"])
    write_text(folder / "model_card.md", card)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != INDEX)
    index = {
        "name": name,
        "title": about["title"],
        "file": str(file.relative_to(folder)),
        "command": about["command"],
        "files": {str(path.relative_to(folder)): sha256(path) for path in files},
    }
    write_json(folder / INDEX, index)
    size = sum(path.stat().st_size for path in files)
    print(f"{shipped_net(name).folder}: {len(files)} files, {size / 1e6:.1f} MB")


def save_rounded(source: Path, target: Path) -> None:
    """Writes a model with its weights rounded to float16, and says what that changes in its answers."""
    model = load_model(source)
    pixels = np.random.default_rng(0).uniform(0, 255, (8, *model.input_shape[1:])).astype("float32")
    before = model.predict(pixels, verbose=0)
    for variable in model.weights:
        variable.assign(np.asarray(variable).astype("float16").astype("float32"))
    after = model.predict(pixels, verbose=0)
    worst = max(float(np.abs(before[key] - after[key]).max()) for key in before)
    print(f"float16 weights change an answer by at most {worst:.2g}")
    model.save(target)


if __name__ == "__main__":
    make(sys.argv[1], Run(Path(sys.argv[2])))
