"""The artifact: file, sidecar and golden crops; read with its hash checked."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keras_faceattr.artifact.consistency import disagreement
from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.artifact.sidecar import CALIBRATION_FILE, Sidecar, calibration_text, read_sidecar
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import ArtifactError, RunError
from keras_faceattr.evaluation.predictions import Outputs
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper, Cut
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.storage import replacing, sha256, write_json

GOLDEN_COUNT = 6
GOLDEN_TRIES = 60
GOLDEN_SHAPE = (300, 400)
GOLDEN_SEED = 20_000
"""Seed of the drawn faces: no training draws from this collection by default."""

GOLDEN_TOLERANCE = 1e-4
"""Between processors, in an output's own unit, for float outputs; an integer output may be off by one step."""


@dataclass(frozen=True)
class Artifact:
    """A verified file with its sidecar."""

    path: Path
    sidecar: Sidecar

    @property
    def golden_folder(self) -> Path:
        return self.path.parent / "golden"

    @property
    def differences_path(self) -> Path:
        """Picture of how its outputs differ from the float model's."""
        return self.path.parent / "differences.png"

    @property
    def model_card_path(self) -> Path:
        return self.path.parent / "model_card.md"

    def model(self, threads: int | None = None) -> LiteRTModel:
        """The file in the runtime."""
        return LiteRTModel(self.path, threads)


def is_artifact(path: Path) -> bool:
    """Return whether a name means an exported file and not a run."""
    return path.suffix == ".tflite"


def load_artifact(path: Path) -> Artifact:
    """Reads `name.json` beside `name.tflite` and checks that it is true of the file.

    Raises:
        ArtifactError: no file, no sidecar, a sidecar that contradicts itself, or one of another file.
    """
    if not path.is_file():
        raise ArtifactError(f"no file {path}")
    told = path.with_suffix(".json")
    sidecar = read_sidecar(told)
    if sha256(path) != sidecar.file.sha256:
        raise ArtifactError(f"{path} is not the file that {told.name} describes (another SHA-256): export it again")
    if sidecar.file.name != path.name:
        raise ArtifactError(
            f"{told} describes {sidecar.file.name}, not {path.name}: give both files their names back or export again"
        )
    if calibration_text(sidecar.calibration) != (_own_calibration(path) or calibration_text({})):
        raise ArtifactError(f"{told}: calibration: not the table that {path.name} holds; export it again")
    if fault := disagreement(sidecar, read_tflite(path)):
        raise ArtifactError(f"{told} is not true of {path.name}: {fault}; export it again")
    return Artifact(path, sidecar)


def _own_calibration(path: Path) -> str | None:
    """The table of intervals in the zip behind a model; None where it holds none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(CALIBRATION_FILE).decode()
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        return None


def write_golden(folder: Path, model: LiteRTModel, crop: CropSpec) -> None:
    """Writes what any port can be checked against, from drawn photos: the way to the crop, and from there to outputs.

    `photos/<n>.png` are whole photos; `photos.json` says of each which crop is cut from it, by which map, and where the
    face is; `<n>.png` are the crops, and `expected.json` is what the file says about them.

    Raises:
        ArtifactError: the crop finds no face in any drawn photo.
        RunError: what an earlier export left there cannot be removed.
    """
    _remove(folder)
    cropper, photos = Cropper(crop), {}
    cuts: list[np.ndarray] = []
    # Faces of a drawn photo have 45 pixels or more.
    scale = max(1.0, crop.min_face / 40) if crop.needs_face else 1.0
    height, width = (int(side * scale) for side in GOLDEN_SHAPE)
    for index in range(GOLDEN_TRIES):
        photo, _ = draw_scene(GOLDEN_SEED, index, height, width)
        found = cropper.cut(photo)
        if not found:
            continue
        name = f"{len(cuts)}.png"
        write_png(folder / "photos" / name, photo)
        write_png(folder / name, found[0].pixels)
        photos[f"photos/{name}"] = _golden_photo(name, found[0])
        cuts.append(found[0].pixels)
        if len(cuts) == GOLDEN_COUNT:
            break
    if not cuts:
        raise ArtifactError("the crop finds no face in drawn photos: lower data.crop.thresholds or data.crop.min_face")
    outputs = model.predict(np.stack(cuts))
    write_json(folder / "photos.json", photos)
    write_json(folder / "expected.json", {f"{i}.png": _row(outputs, i) for i in range(len(cuts))})


def _remove(folder: Path) -> None:
    """Removes golden crops of an earlier export, which would ship with this one."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise RunError(
            f"cannot remove {folder}: {error.strerror or error}; remove it or choose another --out"
        ) from None


def _golden_photo(name: str, cut: Cut) -> dict[str, Any]:
    """Whole pixels lie at whole numbers; `matrix` takes x, y of the photo to x, y of the crop."""
    face = None
    if cut.box is not None and cut.points is not None:
        face = {"box": _rounded(cut.box), "score": cut.score, "points": _rounded(cut.points)}
    return {"crop": name, "matrix": np.round(cut.matrix, 7).tolist(), "face": face}


def _rounded(pixels: np.ndarray) -> Any:
    return np.round(pixels.astype("float64"), 3).tolist()


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes (height, width, 3) uint8 RGB, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes())


def replay_golden(artifact: Artifact) -> dict[str, float]:
    """Largest difference of each golden crop from what it should give, in units of `GOLDEN_TOLERANCE` or of a step.

    A crop is reproduced where this is at most 1.

    Raises:
        ArtifactError: the golden crops are missing or damaged.
    """
    path = artifact.golden_folder / "expected.json"
    try:
        expected = json.loads(path.read_text(encoding="utf-8"))
        pixels = np.stack([read_photo(path.parent / name) for name in expected])
        outputs = artifact.model().predict(pixels)
        return {name: _largest(artifact, _row(outputs, i), row) for i, (name, row) in enumerate(expected.items())}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{path.parent}: the golden crops are missing or damaged: export again") from None


def _largest(artifact: Artifact, got: dict[str, Any], expected: dict[str, Any]) -> float:
    worst = 0.0
    for name, values in expected.items():
        unit = artifact.sidecar.outputs[name].scale or GOLDEN_TOLERANCE
        gap = np.abs(np.subtract(got[name], values)) / unit
        # What is no number is no match; `max` would pass it over.
        worst = max(worst, float(np.nan_to_num(gap, nan=np.inf).max()))
    return worst


def _row(outputs: Outputs, index: int) -> dict[str, Any]:
    return {name: np.round(np.asarray(value[index], "float64"), 7).tolist() for name, value in outputs.items()}
