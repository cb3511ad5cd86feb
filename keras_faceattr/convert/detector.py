"""`export --detector`: MTCNN's three nets with fixed shapes, and what a port needs to run them as we do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.artifact.cost import cost_of, op_counts
from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.artifact.loading import write_png
from keras_faceattr.convert.inspection import check_operations
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import ArtifactError, ConfigError
from keras_faceattr.faces.affine import OUTSIDE
from keras_faceattr.faces.boxes import overlaps
from keras_faceattr.faces.detector import (
    FACE_OVERLAP,
    LEVEL_OVERLAP,
    PROPOSAL_OVERLAP,
    Detector,
    FixedDetector,
)
from keras_faceattr.faces.detector_spec import DetectorSpec
from keras_faceattr.faces.found import POINTS, Faces
from keras_faceattr.faces.nets import WINDOWS, Fixed, net_files, weights_version
from keras_faceattr.faces.pyramid import GREY, STRIDE
from keras_faceattr.faces.template import TEMPLATE
from keras_faceattr.storage import replacing, sha256, write_json

FORMAT = 1
"""Of `detector.json`."""

GOLDEN_PHOTOS = 6
GOLDEN_SEED = 30_000
SMALLEST_OVERLAP, LARGEST_GAP = 0.99, 0.25
"""How near the fixed nets must come to the resizable ones: IoU of boxes, and pixels between points."""


def export_detector(folder: Path, photo: tuple[int, int], spec: DetectorSpec, windows: tuple[int, int]) -> Path:
    """Writes `pnet.tflite`, `rnet.tflite`, `onet.tflite`, `detector.json` and `golden/`.

    Args:
        photo: height and width of the photos in pixels.
        spec: what is looked for.
        windows: that R-Net and O-Net look at in one call.

    Returns:
        `detector.json`: the nets with their hashes, where the photo's sizes lie on P-Net's canvas, every constant of
        the cascade, and the template of the crop.

    Raises:
        ConfigError: photos or windows that make no sense.
        ArtifactError: the files find other faces than the detector here.
        DetectionError: the nets cannot be built.
    """
    fixed = Fixed(photo, spec.min_face, spec.factor, windows)
    if not 2 <= min(photo) <= max(photo) <= 4096 or not fixed.layout().levels:
        raise ConfigError(
            f"photos of {photo[1]} × {photo[0]} pixels show no face of {spec.min_face}; or are above 4096"
        )
    if not all(1 <= number <= 256 for number in windows):
        raise ConfigError(f"windows {windows[0]} and {windows[1]} are not in 1 to 256")
    built = net_files(fixed)
    for path in built.values():
        check_operations(read_tflite(path), [], None)
    golden = _write_golden(folder / "golden", fixed, built, spec)
    files = {name: folder / f"{name}.tflite" for name in built}
    for name, path in files.items():
        with replacing(path) as temporary:
            temporary.write_bytes(built[name].read_bytes())
    path = folder / "detector.json"
    write_json(path, _sidecar(fixed, files, spec, golden))
    return path


def _write_golden(folder: Path, fixed: Fixed, files: dict[str, Path], spec: DetectorSpec) -> dict[str, Any]:
    """Drawn photos with the faces that the files find, which are those that the detector here finds."""
    phone, here = FixedDetector(fixed, files, spec), Detector(spec)
    height, width = fixed.photo
    expected: dict[str, Any] = {}
    overlap, gap = 1.0, 0.0
    for index in range(GOLDEN_PHOTOS):
        photo, _ = draw_scene(GOLDEN_SEED, index, height, width, faces=1 + index % 2)
        found, ours = phone.detect(photo), here.detect(photo)
        if len(found) != len(ours):
            raise ArtifactError(f"the nets of fixed shape find {len(found)} faces in a photo, not {len(ours)}")
        if len(found):
            shared = overlaps(found.boxes, ours.boxes)
            overlap = min(overlap, float(shared.max(axis=1).min()))
            gap = max(gap, float(np.abs(found.points - ours.points[shared.argmax(axis=1)]).max()))
        write_png(folder / f"{index}.png", photo)
        expected[f"{index}.png"] = faces_to_dict(found)
    count = sum(map(len, expected.values()))
    if not count:
        raise ArtifactError("the detector finds no face in drawn photos: lower min_face or the thresholds")
    if overlap < SMALLEST_OVERLAP or gap > LARGEST_GAP:
        raise ArtifactError(
            f"the nets of fixed shape find other faces: IoU {overlap:.4f}, points {gap:.3f} pixels apart"
        )
    write_json(folder / "expected.json", expected)
    return {"photos": GOLDEN_PHOTOS, "faces": count, "smallest_iou": overlap, "largest_point_gap_px": gap}


def faces_to_dict(faces: Faces) -> list[dict[str, Any]]:
    """Faces as plain data, in pixels."""
    return [
        {
            "box": np.round(box.astype("float64"), 3).tolist(),
            "score": round(float(score), 6),
            "points": np.round(points.astype("float64"), 3).tolist(),
        }
        for box, score, points in zip(faces.boxes, faces.scores, faces.points, strict=True)
    ]


def _sidecar(fixed: Fixed, files: dict[str, Path], spec: DetectorSpec, golden: dict[str, Any]) -> dict[str, Any]:
    layout = fixed.layout()
    nets = {}
    for name, path in files.items():
        file = read_tflite(path)
        nets[name] = {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
            "window": WINDOWS[name],
            "input": list(file.tensors[file.signature_inputs["pixels"]].shape),
            "outputs": {key: list(file.tensors[index].shape) for key, index in file.signature_outputs.items()},
            "macs": cost_of(file).macs,
            "operations": op_counts(file),
        }
    levels = []
    for level in layout.levels:
        rows, columns = level.cells
        cells = {"top": rows.start, "bottom": rows.stop, "left": columns.start, "right": columns.stop}
        levels.append({**dataclasses.asdict(level), "cells": cells})
    return {
        "format": FORMAT,
        "photo": {"height": fixed.photo[0], "width": fixed.photo[1], "pixels": "RGB, 0 to 255, float32"},
        "nets": nets,
        "canvas": {"height": layout.height, "width": layout.width, "background": GREY, "levels": levels},
        "stride": STRIDE,
        "min_face": spec.min_face,
        "factor": spec.factor,
        "thresholds": dict(zip(WINDOWS, spec.thresholds, strict=True)),
        "overlaps": {"level": LEVEL_OVERLAP, "proposals": PROPOSAL_OVERLAP, "faces_of_smaller": FACE_OVERLAP},
        "points": list(POINTS),
        "template": np.round(TEMPLATE, 6).tolist(),
        "outside_colour": list(OUTSIDE),
        "golden": golden,
        "licence": {"weights": f"MIT, mtcnn {weights_version()}", "code": "Apache-2.0"},
        "citation": "Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment using Multi-task Cascaded "
        "Convolutional Networks, 2016",
    }
