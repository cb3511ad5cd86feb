"""Shared layers: what they compute."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_faceattr.models.layers import BATCH_NORM_MOMENTUM, conv_block, normalise


def test_normalise_maps_0_to_255_to_minus_one_to_one_for_all_channels_alike() -> None:
    pixels = np.stack([np.full(3, 0.0), np.full(3, 255.0), np.array([51.0, 127.5, 204.0])]).reshape(3, 1, 1, 3)
    expected = [[-1, -1, -1], [1, 1, 1], [-0.6, 0.0, 0.6]]
    np.testing.assert_allclose(np.asarray(normalise(pixels.astype("float32"))).reshape(3, 3), expected, atol=1e-6)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_net_in_half_precision_sees_the_pixels_on_the_scale_of_the_net_that_ships(precision: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        pixels = keras.Input((1, 1, 3), dtype="float32")
        model = keras.Model(pixels, normalise(pixels))
    finally:
        keras.config.set_dtype_policy(before)
    values = np.random.default_rng(0).uniform(0, 255, (500, 1, 1, 3)).astype("float32")
    got = np.asarray(keras.ops.cast(model(values), "float32"))
    np.testing.assert_allclose(got, values / 127.5 - 1, atol=1e-6)


def test_conv_block_is_convolution_without_bias_then_norm_then_relu() -> None:
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, conv_block(inputs, 5, "block"))
    convolution, norm, relu = model.layers[1:]
    assert (type(convolution), type(norm), type(relu)) == (layers.Conv2D, layers.BatchNormalization, layers.ReLU)
    assert [layer.name for layer in model.layers[1:]] == ["block_conv", "block_norm", "block_relu"]
    assert not convolution.use_bias
    assert model.output.shape == (None, 6, 6, 5)
    assert (norm.momentum, norm.epsilon) == (BATCH_NORM_MOMENTUM, 1e-5)
    assert np.asarray(model(np.random.default_rng(0).normal(0, 1, (2, 6, 6, 3)).astype("float32"))).min() == 0.0


def test_conv_block_starts_from_he_normal_weights() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 32))
    kernel = np.asarray(keras.Model(inputs, conv_block(inputs, 64, "block")).layers[1].kernel)
    # He: variance 2 / fan-in, of 3 · 3 · 32 inputs.
    assert kernel.std() == pytest.approx((2 / 288) ** 0.5, rel=0.03)
    assert abs(kernel.mean()) < 0.002
