"""From a JPEG's bytes to a number: how long decoding and cropping take beside the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keras_faceattr.data.synthetic import synthetic_photo
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.faces.opencv_threads import opencv_threads
from keras_faceattr.faces.photos import decode_photo
from keras_faceattr.measure.latency import Latency, Net, interleave, pinned

PHOTO_WIDTH, PHOTO_HEIGHT = 640, 480
JPEG_QUALITY = 90
BUDGET_S = 6.0


def measure_end_to_end(path: Path, crop: CropSpec, threads: int, budget_s: float = BUDGET_S) -> dict[str, Any]:
    """Measures preprocessing, the model, and both from JPEG bytes to outputs in memory, in turn.

    Finding the face is part of it where the crop asks for one.

    Args:
        path: .tflite file that takes one photo.
        crop: of the artifact.
        threads: of the model and of the decoder.
        budget_s: about how long it takes.

    Returns:
        `preprocessing`, `model` and `end_to_end`, each with `p50_ms`, `p90_ms` and `busy`; and the `photo`.

    Raises:
        ArtifactError: the file is damaged.
        BenchmarkError: the crop is no input of this model, or the machine has fewer cores.
    """
    jpeg, cropper = drawn_jpeg(), Cropper(crop)
    if not cropper.cut(decode_photo(jpeg, "benchmark photo")):
        raise BenchmarkError(f"{path}: its crop finds no face in the drawn photo of the benchmark")
    with pinned(threads), opencv_threads(threads):
        net = Net(path, threads)
        entry = net.inputs[0]
        if len(net.inputs) != 1 or tuple(entry["shape"]) != (1, crop.size, crop.size, 3):
            taken = ", ".join(" × ".join(map(str, each["shape"])) for each in net.inputs)
            raise BenchmarkError(f"{path}: takes {taken}, but its crop gives 1 × {crop.size} × {crop.size} × 3")

        def preprocess() -> None:
            pixels = cropper.cut(decode_photo(jpeg, "benchmark photo"))[0].pixels
            net.interpreter.set_tensor(entry["index"], pixels[np.newaxis].astype(entry["dtype"]))

        def run() -> None:
            net.invoke()
            for output in net.outputs:
                net.interpreter.get_tensor(output["index"])

        def both() -> None:
            preprocess()
            run()

        seconds = interleave({"preprocessing": preprocess, "model": run, "end_to_end": both}, budget_s=budget_s)
    latencies = {name: Latency.of(times, batch=1) for name, times in seconds.items()}
    return {
        **{name: {"p50_ms": t.p50_ms, "p90_ms": t.p90_ms, "busy": t.busy} for name, t in latencies.items()},
        "photo": f"{PHOTO_WIDTH} × {PHOTO_HEIGHT} JPEG of {len(jpeg)} bytes",
    }


def drawn_jpeg() -> bytes:
    """A drawn face in the middle of a photo, the same in every run."""
    face, _, _ = synthetic_photo(seed=0, index=0, size=PHOTO_HEIGHT)
    side = (PHOTO_WIDTH - PHOTO_HEIGHT) // 2
    photo = cv2.copyMakeBorder(face, 0, 0, side, side, cv2.BORDER_REPLICATE)
    _, jpeg = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return jpeg.tobytes()
