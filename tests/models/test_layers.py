"""Shared layers: what they compute, that they announce their shapes, and that their configuration restores them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
from keras import layers

from keras_faceattr.models.layers import (
    BATCH_NORM_MOMENTUM,
    Expectation,
    RankingDistribution,
    RankingValue,
    Unproject,
    conv_block,
    normalise,
)

BINS = {"minimum": 1.0, "maximum": 5.0, "bins": 9}
UNITS = {Expectation: 9, RankingValue: 8, RankingDistribution: 8, Unproject: 1}
LAYERS = pytest.mark.parametrize("layer_type", UNITS, ids=lambda layer_type: layer_type.__name__)


def inputs(layer_type: type, rows: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, (rows, UNITS[layer_type])).astype("float32")


@LAYERS
def test_a_stored_layer_computes_the_same(layer_type: type) -> None:
    layer = layer_type(**BINS, name="mine", dtype="float32")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is layer_type
    assert again.name == "mine"
    assert again.get_config() == layer.get_config()
    x = inputs(layer_type)
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(layer(x)))


@LAYERS
def test_the_announced_shape_is_the_real_one(layer_type: type) -> None:
    layer = layer_type(**BINS)
    x = inputs(layer_type)
    assert tuple(layer.compute_output_shape(x.shape)) == tuple(layer(x).shape)
    assert layer(keras.Input((UNITS[layer_type],))).shape[0] is None


@LAYERS
def test_a_decoding_layer_has_nothing_to_train(layer_type: type) -> None:
    layer = layer_type(**BINS)
    layer(inputs(layer_type))
    assert layer.weights == []


def test_the_bins_are_in_equal_steps_from_minimum_to_maximum() -> None:
    got = np.asarray(Expectation(**BINS).values())
    np.testing.assert_allclose(got, [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0])


def test_expectation_is_the_mean_of_the_bins() -> None:
    chances = np.array([[0.5, 0, 0, 0, 0.25, 0, 0, 0, 0.25]], "float32")
    assert np.asarray(Expectation(**BINS)(chances)).tolist() == [0.5 + 0.75 + 1.25]


def test_ranking_value_counts_the_classifiers_above_one_half() -> None:
    logits = np.array([[3, 1, 1, -1, -1, -1, -1, -1]], "float32")
    assert np.asarray(RankingValue(**BINS)(logits)).tolist() == [2.5]


def test_ranking_distribution_is_the_steps_of_the_tail() -> None:
    tail = np.array([[0.9, 0.8, 0.6, 0.5, 0.3, 0.2, 0.15, 0.1]])
    got = np.asarray(RankingDistribution(**BINS)(scipy.special.logit(tail).astype("float32")))
    np.testing.assert_allclose(got, [[0.1, 0.1, 0.2, 0.1, 0.2, 0.1, 0.05, 0.05, 0.1]], atol=1e-6)


def test_unproject_maps_tanh_to_the_range() -> None:
    raw = np.array([[-50.0], [0.0], [0.25], [50.0]], "float32")
    np.testing.assert_allclose(np.asarray(Unproject(**BINS)(raw)), [1.0, 3.0, 3 + 2 * np.tanh(0.25), 5.0], rtol=1e-6)


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
