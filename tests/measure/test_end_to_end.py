"""From JPEG bytes to numbers: the parts are timed apart, and all together is the sum of both."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_faceattr.errors import BenchmarkError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.photos import decode_photo
from keras_faceattr.measure import end_to_end
from keras_faceattr.measure.end_to_end import drawn_jpeg, measure_end_to_end


@pytest.fixture(scope="module", params=["float32", "uint8"])
def brightness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mean colour of a 32 × 32 photo."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 32, 32, 3), tf.as_dtype(request.param))])
    def serve(pixels):
        return tf.reduce_mean(tf.cast(pixels, tf.float32), axis=(1, 2))

    path = tmp_path_factory.mktemp("nets") / "brightness.tflite"
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
    path.write_bytes(converter.convert())
    return path


def test_the_photo_is_a_drawn_face_in_the_middle() -> None:
    photo = decode_photo(drawn_jpeg(), "drawn")
    assert photo.shape == (480, 640, 3)
    assert drawn_jpeg() == drawn_jpeg()
    # The margins repeat the edge of the drawing; the middle has a face on it.
    assert photo[:, 80:560].std() > 30
    assert np.abs(photo[:, 5].astype(int) - photo[:, 70]).mean() < 10


def test_each_part_is_timed(brightness: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, cores = cv2.getNumThreads(), os.sched_getaffinity(0)
    decode = end_to_end.decode_photo

    def slow(data: bytes, name: str) -> np.ndarray:
        time.sleep(0.02)
        return decode(data, name)

    monkeypatch.setattr(end_to_end, "decode_photo", slow)
    measured = measure_end_to_end(brightness, CropSpec(size=32), threads=1, budget_s=1.0)
    for part in ("preprocessing", "model", "end_to_end"):
        assert 0 < measured[part]["p50_ms"] <= measured[part]["p90_ms"]
    # The decoder sleeps 20 ms, this model has nothing to do.
    assert measured["preprocessing"]["p50_ms"] >= 20
    assert measured["end_to_end"]["p50_ms"] >= 20
    assert measured["model"]["p50_ms"] < measured["preprocessing"]["p50_ms"]
    assert measured["photo"].startswith("640 × 480 JPEG")
    assert cv2.getNumThreads() == threads
    assert os.sched_getaffinity(0) == cores


def test_the_model_gets_the_crop_of_the_photo(brightness: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nets = []
    original = end_to_end.Net
    monkeypatch.setattr(end_to_end, "Net", lambda *a: nets.append(original(*a)) or nets[-1])
    measure_end_to_end(brightness, CropSpec(size=32), threads=1, budget_s=0.2)
    answer = nets[0].interpreter.get_tensor(nets[0].outputs[0]["index"])
    # Area interpolation of the centred square keeps its mean.
    expected = decode_photo(drawn_jpeg(), "drawn")[:, 80:560].mean(axis=(0, 1))
    np.testing.assert_allclose(answer[0], expected, atol=1.0)


def test_a_crop_of_another_size_is_refused(brightness: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"takes 1 × 32 × 32 × 3, but its crop gives 1 × 64 × 64 × 3") as error:
        measure_end_to_end(brightness, CropSpec(size=64), threads=1)
    assert "\n" not in str(error.value)
