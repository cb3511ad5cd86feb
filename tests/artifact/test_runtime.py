"""The runtime gives what Keras gives: pixels are rounded, batches padded, integers the numbers they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.convert.conversion import convert
from keras_faceattr.convert.source import Source
from keras_faceattr.errors import ArtifactError

SIDE = 16
PHOTOS = np.random.default_rng(3).integers(0, 256, (7, SIDE, SIDE, 3)).astype("float32")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(2)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    names = {"smile": "sigmoid", "age": "softmax"}
    return keras.Model(image, {n: layers.Dense(4, activation=a, name=n)(x) for n, a in names.items()}, name="net")


@pytest.fixture(scope="module")
def opened(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LiteRTModel]:
    """Converts the net and opens it."""
    folder = tmp_path_factory.mktemp("files")

    def make(**options: Any) -> LiteRTModel:
        path = folder / f"{len(list(folder.iterdir()))}.tflite"
        path.write_bytes(convert(model, **options))
        return LiteRTModel(path, threads=1)

    return make


@pytest.fixture(scope="module")
def integer(opened: Callable[..., LiteRTModel]) -> LiteRTModel:
    """All-integer, uint8 in and out."""
    photos = [photo[None] for photo in PHOTOS]
    return opened(weights="int8", representative=photos, integer_input=True, integer_output=True)


def test_a_float32_file_gives_what_keras_gives_under_the_same_names(
    opened: Callable[..., LiteRTModel], model: keras.Model
) -> None:
    expected = model.predict_on_batch(PHOTOS)
    got = opened().predict(PHOTOS)
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, atol=1e-5)


def test_the_exported_float32_net_gives_what_the_run_gives(exported: dict[str, Artifact], source: Source) -> None:
    part = source.held_out
    pixels = part.crops.take(part.rows).astype("float32")
    expected = source.model.predict_on_batch(pixels)
    got = exported["float32"].model().predict(pixels)
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        # Ages reach 100: relative to the range of the task.
        np.testing.assert_allclose(got[name], values, atol=1e-5 * max(1, np.abs(values).max()))


def test_batches_that_do_not_divide_the_photos_are_padded_and_cut(opened: Callable[..., LiteRTModel]) -> None:
    one, three = opened(), opened(batch=3)
    assert (one.batch, three.batch) == (1, 3)
    for count in (1, 2, 3, 4, 7):
        expected, got = one.predict(PHOTOS[:count]), three.predict(PHOTOS[:count])
        for name in expected:
            assert got[name].shape == (count, 4)
            np.testing.assert_allclose(got[name], expected[name], atol=1e-6)


def test_pixels_of_an_integer_file_are_rounded_and_clipped(integer: LiteRTModel) -> None:
    assert np.dtype(integer.input["dtype"]) == np.uint8
    exact = PHOTOS[:2].clip(1, 254)
    for shift in (0.4, -0.4):
        for name, values in integer.predict(exact).items():
            np.testing.assert_array_equal(integer.predict(exact + shift)[name], values)
    black_and_white = np.where(exact < 128, 0.0, 255.0)
    outside = np.where(exact < 128, -300.0, 555.0)
    for name, values in integer.predict(black_and_white).items():
        np.testing.assert_array_equal(integer.predict(outside)[name], values)


def test_integer_outputs_become_the_numbers_they_stand_for(integer: LiteRTModel, model: keras.Model) -> None:
    got = integer.predict(PHOTOS)
    expected = model.predict_on_batch(PHOTOS)
    for name, entry in integer.outputs.items():
        scale, zero_point = entry["quantization"]
        assert np.dtype(entry["dtype"]) == np.uint8 and scale > 0
        steps = got[name] / scale + zero_point
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
        assert steps.min() >= -1e-3 and steps.max() <= 255 + 1e-3
        np.testing.assert_allclose(got[name], expected[name], atol=0.05)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32), tf.TensorSpec((1, 4), tf.float32)])
    def add(one, other):
        return {"sum": one + other}

    path = tmp_path / "two.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([add.get_concrete_function()]).convert())
    with pytest.raises(ArtifactError, match="two.tflite: no signature with one input and named outputs"):
        LiteRTModel(path)
