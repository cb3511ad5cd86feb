"""What `predict` does, written by hand: decoder, detector, crop and interpreter called one after the other.

`benchmark api` measures the Python API against it. `python -m keras_faceattr.api.by_hand FILE LIST` predicts the photos
that a file lists, one path per line, and prints how many faces it found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_faceattr.artifact.loading import load_artifact
from keras_faceattr.backend import silent_native_output
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.faces.affine import face_map, warp
from keras_faceattr.faces.detector import Detector
from keras_faceattr.faces.opencv_threads import opencv_threads
from keras_faceattr.faces.photos import read_photo


def by_hand(path: Path) -> Callable[[Path], list[list[np.ndarray]]]:
    """A function from a photo's path to the outputs of the net for each of its faces.

    Raises:
        BenchmarkError: the net's crop is none of five points.
    """
    crop = load_artifact(path).sidecar.crop_spec()
    if crop.method != "five_points":
        raise BenchmarkError(f"{path}: its crop is {crop.method}; name a net that cuts faces by five points")
    with silent_native_output():
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    outputs, detector = [output["index"] for output in interpreter.get_output_details()], Detector(crop.detector())

    def run(photo: Path) -> list[list[np.ndarray]]:
        pixels = read_photo(photo)
        found = []
        for points in detector.detect(pixels).points:
            matrix = face_map(points, crop.size, crop.margin)
            assert matrix is not None
            face = warp(pixels, matrix, crop.size, crop.interpolation)
            interpreter.set_tensor(entry["index"], face[None].astype(entry["dtype"]))
            interpreter.invoke()
            found.append([interpreter.get_tensor(output) for output in outputs])
        return found

    return run


if __name__ == "__main__":
    predict = by_hand(Path(sys.argv[1]))
    with opencv_threads(1):
        print(sum(len(predict(Path(line))) for line in Path(sys.argv[2]).read_text(encoding="utf-8").splitlines()))
