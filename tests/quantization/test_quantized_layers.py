"""Fake quantization against NumPy written from LiteRT's specification; ranges that move, freeze, learn and travel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_faceattr.models.loading import load_model
from keras_faceattr.quantization.layers import (
    QUANTIZED,
    FakeQuantize,
    QuantizedConv2D,
    QuantizedDepthwiseConv2D,
    fake_quantize_kernel,
    kernel_limit,
)

RANDOM = np.random.default_rng(0)


def rounded_kernel(kernel: np.ndarray, per_channel: bool = True) -> np.ndarray:
    """Symmetric, −127 to 127, one scale for each output channel or one for all; output channels last."""
    axes = tuple(range(kernel.ndim - 1)) if per_channel else None
    scale = np.abs(kernel.astype("float64")).max(axis=axes, keepdims=True) / 127
    integers = np.round(kernel / scale)
    assert np.all(np.abs(integers).max(axis=axes) == 127)
    return integers * scale


def rounded_activation(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """256 levels, one of which is 0."""
    scale = (high - low) / 255
    zero_point = np.round(-low / scale)
    return (np.clip(np.round(values / scale + zero_point), 0, 255) - zero_point) * scale


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (10, 3), (5, 5, 8)])
def test_a_kernel_is_rounded_as_the_specification_says(shape: tuple[int, ...], per_channel: bool) -> None:
    kernel = RANDOM.normal(0, 0.3, shape).astype("float32")
    got = np.asarray(fake_quantize_kernel(keras.ops.convert_to_tensor(kernel), per_channel))
    np.testing.assert_allclose(got, rounded_kernel(kernel, per_channel), rtol=1e-5, atol=1e-7)


def test_a_kernel_by_hand() -> None:
    # Channel 0 has scale 1.27 / 127 = 0.01, channel 1 has 2.54 / 127 = 0.02.
    kernel = np.array([[1.27, 2.54], [0.014, 0.014], [-0.016, -0.031]], "float32")
    got = np.asarray(fake_quantize_kernel(keras.ops.convert_to_tensor(kernel)))
    np.testing.assert_allclose(got, [[1.27, 2.54], [0.01, 0.02], [-0.02, -0.04]], atol=1e-6)


def test_a_kernel_of_four_bits_by_hand() -> None:
    # Channel 0 has scale 0.7 / 7 = 0.1, channel 1 has 1.4 / 7 = 0.2: 15 steps each, the smallest of which is −7.
    kernel = np.array([[0.7, -1.4], [0.14, 0.14], [-0.16, 0.31]], "float32")
    got = np.asarray(fake_quantize_kernel(keras.ops.convert_to_tensor(kernel), bits=4))
    np.testing.assert_allclose(got, [[0.7, -1.4], [0.1, 0.2], [-0.2, 0.4]], atol=1e-6)
    layer = QuantizedConv2D(2, 1, bits=4)
    layer.build((None, 1, 1, 3))
    layer.kernel.assign(kernel[None, None])
    np.testing.assert_allclose(np.squeeze(layer.rounded_kernel()), got, atol=1e-6)
    np.testing.assert_allclose(layer.kernel_scale(), [0.1, 0.2], rtol=1e-6)
    assert QuantizedConv2D.from_config(layer.get_config()).bits == 4
    # As nets were saved before there was a choice.
    assert QuantizedConv2D.from_config(layers.Conv2D(2, 1).get_config()).bits == 8


@pytest.mark.parametrize("per_channel", [True, False])
def test_gradients_pass_straight_through_a_kernel_even_at_its_largest_weights(per_channel: bool) -> None:
    kernel, upstream = (tf.constant(RANDOM.normal(0, 1, (3, 3, 8, 16)), tf.float32) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = tf.reduce_sum(fake_quantize_kernel(kernel, per_channel) * upstream)
    np.testing.assert_array_equal(tape.gradient(loss, kernel), upstream)


def test_a_dead_channel_gets_a_scale_that_its_bias_can_be_stored_with() -> None:
    """A thousandth of the layer's largest weight: 1 / 1000 / 127 = 7.9e-6 a step."""
    kernel = np.array([[1.0, 0.0, 3e-6, 5e-6], [0.5, 0.0, 0.0, 0.0]], "float32")
    got = np.asarray(fake_quantize_kernel(keras.ops.convert_to_tensor(kernel)))
    np.testing.assert_allclose(got[0], [1.0, 0.0, 0.0, 1e-3 / 127], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_kernel_of_zeros_leaves_room_for_its_bias(per_channel: bool) -> None:
    """A bias is a 32-bit multiple of this step times that of the input, 1 / 255 for pixels from 0 to 1."""
    limit = np.asarray(kernel_limit(keras.ops.zeros((3, 3, 2, 4)), per_channel))
    assert (limit / 127 / 255 * 2**31 > 5.0).all()
    assert (limit / 127 < 1e-6).all()


def test_a_kernel_of_zeros_stays_zero() -> None:
    got = np.asarray(fake_quantize_kernel(keras.ops.zeros((3, 3, 2, 4))))
    np.testing.assert_array_equal(got, 0.0)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(5, 3, strides=2, padding="same", dilation_rate=1, activation="relu"),
        layers.Conv2D(5, 3, use_bias=False, dilation_rate=2),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu6"),
        layers.DepthwiseConv2D(3, strides=2, use_bias=False),
        layers.Dense(7, activation="relu"),
        layers.Dense(7, use_bias=False),
    ],
)
def test_a_quantized_layer_is_the_layer_with_the_rounded_kernel(layer: layers.Layer) -> None:
    shape = (2, 12) if isinstance(layer, layers.Dense) else (2, 9, 9, 4)
    inputs = RANDOM.normal(0, 1, shape).astype("float32")
    layer(inputs)
    kernel, *bias = layer.get_weights()
    bias = [RANDOM.normal(0, 1, b.shape).astype("float32") for b in bias]
    counterpart = QUANTIZED[type(layer)].from_config(layer.get_config())
    counterpart(inputs)
    counterpart.set_weights([kernel, *bias])
    if isinstance(layer, layers.DepthwiseConv2D):
        kernel = rounded_kernel(kernel.reshape(*kernel.shape[:2], -1)).reshape(kernel.shape)
    else:
        kernel = rounded_kernel(kernel, per_channel=not isinstance(layer, layers.Dense))
    layer.set_weights([kernel.astype("float32"), *bias])
    np.testing.assert_allclose(counterpart(inputs), layer(inputs), rtol=1e-5, atol=1e-5)


def ready(**options: Any) -> FakeQuantize:
    layer = FakeQuantize(**options)
    layer.build((None, 4))
    return layer


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.1), (0.0, 6.0), (-0.3, 2.9), (-5.0, 0.0)])
def test_activations_are_rounded_to_256_levels_and_clipped(low: float, high: float) -> None:
    layer = ready()
    layer.set_range(low, high)
    values = RANDOM.uniform(1.5 * low - 0.5, 1.5 * high + 0.5, (50, 4)).astype("float32")
    step = (high - low) / 255
    got = np.asarray(layer(values))
    expected = rounded_activation(values, low, high)
    # TensorFlow works in float32: a value in the middle between two levels may go to either.
    assert (np.abs(got - expected) > 1e-3 * step).mean() <= 0.01
    np.testing.assert_allclose(got, expected, atol=1.01 * step)
    assert len(np.unique(got)) <= 256
    np.testing.assert_array_equal(layer(np.zeros((1, 4), "float32")), 0.0)


@pytest.mark.parametrize(("given", "held"), [((0.5, 2.0), (0.0, 2.0)), ((-2.0, -0.5), (-2.0, 0.0)), ((-1, 3), (-1, 3))])
def test_a_range_is_widened_to_hold_0(given: tuple[float, float], held: tuple[float, float]) -> None:
    layer = ready()
    layer.set_range(*given)
    assert layer.limits() == held


def test_a_range_that_training_moved_off_0_still_holds_it() -> None:
    layer = ready()
    layer.set_range(0.0, 1.0)
    layer.set_rate(1.0)
    layer(np.full((2, 4), 3.0, "float32"), training=True)
    assert (float(layer.minimum), layer.limits()) == (3.0, (0.0, 3.0))
    np.testing.assert_allclose(layer(np.array([[0.0, 1.0, 3.0, 9.0]], "float32")), [[0, 1, 3, 3]], atol=3 / 255)


@pytest.mark.parametrize("learned", [False, True])
def test_a_dead_tensor_has_a_range_all_the_same(learned: bool) -> None:
    layer = ready(learned=learned)
    layer.set_range(0.0, 0.0)
    assert layer.limits() == (0.0, 1.0)
    # What learns starts there too: no gradient would ever open a range without a width.
    assert (float(layer.minimum), float(layer.maximum)) == (0.0, 1.0)
    np.testing.assert_array_equal(layer(np.zeros((1, 4), "float32")), 0.0)


def test_a_range_that_training_closed_still_has_a_width() -> None:
    layer = ready()
    layer.set_rate(1.0)
    np.testing.assert_array_equal(layer(np.zeros((2, 4), "float32"), training=True), 0.0)
    assert (float(layer.minimum), float(layer.maximum)) == (0.0, 0.0)
    assert layer.limits() == (0.0, 1.0)
    np.testing.assert_allclose(layer(np.array([[0.0, 0.5, 1.0, 2.0]], "float32")), [[0, 0.5, 1, 1]], atol=1 / 255)


def test_a_range_moves_only_in_training_and_only_at_its_rate() -> None:
    layer, batch = ready(), np.array([[-3.0, 0.0, 1.0, 5.0]], "float32")
    layer(batch)
    layer(batch, training=False)
    layer(batch, training=True)
    assert layer.limits() == (-1.0, 1.0)
    layer.set_rate(0.25)
    layer(batch, training=False)
    assert layer.limits() == (-1.0, 1.0)
    layer(batch, training=True)
    # A quarter of the way from −1 to −3, and from 1 to 5.
    assert layer.limits() == (-1.5, 2.0)
    layer.set_rate(0.0)
    layer(batch, training=True)
    assert layer.limits() == (-1.5, 2.0)


def test_of_calls_that_share_a_range_the_last_moves_it_towards_the_extremes_of_all() -> None:
    layer = ready()
    layer.set_range(-1.0, 1.0)
    layer.set_rate(0.5)
    wide, narrow = (np.array([values], "float32") for values in ([-5.0, 0.0, 2.0, 9.0], [0.0, 0.1, 0.2, 0.3]))
    layer(wide, moves=False, training=True)
    assert layer.limits() == (-1.0, 1.0)
    layer(narrow, (wide,), training=True)
    # Half of the way to −5 and to 9; the second tensor alone would have pulled the range to 0.3.
    assert layer.limits() == (-3.0, 5.0)


def test_a_fixed_range_neither_moves_nor_learns() -> None:
    layer = ready(minimum=0.0, maximum=255 / 256, learned=True)
    layer.set_rate(1.0)
    layer(np.full((2, 4), 7.0, "float32"), training=True)
    assert layer.limits() == pytest.approx((0.0, 255 / 256))
    assert not layer.trainable_weights


def test_a_learned_range_gets_the_gradients_of_what_it_clips() -> None:
    layer = ready(learned=True)
    layer.set_rate(1.0)
    values = tf.constant([[-4.0, -0.5, 0.5, 2.0]])
    upstream = tf.constant([[1.0, 10.0, 100.0, 1000.0]])
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = tf.reduce_sum(layer(values, training=True) * upstream)
    assert layer.limits() == (-1.0, 1.0)
    assert [v.name for v in layer.trainable_weights] == ["minimum", "maximum"]
    low, high, inner = tape.gradient(loss, [*(v.value for v in layer.trainable_weights), values])
    assert (float(low), float(high)) == (1.0, 1000.0)
    np.testing.assert_array_equal(inner, [[0.0, 10.0, 100.0, 0.0]])


@pytest.mark.parametrize("options", [{}, {"learned": True}, {"minimum": -1.0, "maximum": 127 / 128}])
def test_a_range_keeps_its_configuration(options: dict[str, Any]) -> None:
    config = FakeQuantize(**options, name="r").get_config()
    again = FakeQuantize.from_config(config)
    assert again.get_config() == config
    assert (again.fixed, again.learned) == (FakeQuantize(**options).fixed, FakeQuantize(**options).learned)


def test_a_stored_model_gives_the_same_numbers(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3), name="image")
    x = QUANTIZED[layers.Conv2D](4, 3, name="conv")(FakeQuantize(0.0, 255.0, name="image_range")(image))
    x = FakeQuantize(name="conv_range")(x)
    x = QuantizedDepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = FakeQuantize(learned=True, name="depthwise_range")(x)
    x = QUANTIZED[layers.Dense](2, name="t_raw")(layers.GlobalAveragePooling2D(name="mean")(x))
    model = keras.Model(image, {"t": x})
    model.get_layer("conv_range").set_range(-80.0, 90.0)
    model.get_layer("depthwise_range").set_range(-40.0, 30.0)
    path = tmp_path / "net.keras"
    model.save(path)
    pixels = RANDOM.uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    again = load_model(path)
    np.testing.assert_array_equal(again(pixels)["t"], model(pixels)["t"])
    assert again.get_layer("conv_range").limits() == (-80.0, 90.0)
    assert again.get_layer("depthwise_range").learned
