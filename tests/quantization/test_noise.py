"""Signal-to-noise ratios, against errors worked out in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from integer_nets import draw_photos, randomise
from keras import layers

from keras_faceattr.quantization.calibrate import calibrate
from keras_faceattr.quantization.noise import LayerNoise, float_twin, layer_noise
from keras_faceattr.quantization.quantize import QuantizedNetwork, quantize_network

PIXELS = draw_photos(6, 3)


@pytest.fixture(scope="module")
def nets() -> tuple[QuantizedNetwork, keras.Model]:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    x = layers.Conv2D(8, 3, strides=2, name="conv")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    raw = layers.Dense(3, name="t_raw")(layers.GlobalAveragePooling2D(name="features")(x))
    model = randomise(keras.Model(image, {"t": raw}, name="net"))
    quantized = quantize_network(model, ["t"], all_integer=True)
    calibrate(quantized, model, [PIXELS], "minmax")
    return quantized, model


def rows(nets: tuple[QuantizedNetwork, keras.Model], pixels: np.ndarray = PIXELS) -> dict[str, LayerNoise]:
    return {row.layer: row for row in layer_noise(*nets, [pixels[:3], pixels[3:]])}


def decibels(true: np.ndarray, noisy: np.ndarray) -> float:
    true, noisy = np.asarray(true, "float64"), np.asarray(noisy, "float64")
    return float(10 * np.log10(np.sum(true**2) / np.sum((noisy - true) ** 2)))


def test_every_rounded_layer_has_a_row_in_the_order_of_the_graph(nets: tuple[QuantizedNetwork, keras.Model]) -> None:
    assert list(rows(nets)) == ["relu", "depthwise", "features", "t_raw"]


def test_the_ratios_are_those_of_numpy(nets: tuple[QuantizedNetwork, keras.Model]) -> None:
    quantized, model = nets
    found = rows(nets)
    relu = np.asarray(keras.Model(model.input, model.get_layer("relu").output)(PIXELS), "float64")
    low, high = quantized.ranges()["relu_range"].limits()
    step = (high - low) / 255
    rounded = np.clip(np.round(relu / step), 0, 255) * step
    assert found["relu"].own == pytest.approx(decibels(relu, rounded), abs=0.01)
    total = decibels(model(PIXELS)["t"], quantized.network.inference(PIXELS)["t"])
    assert found["t_raw"].total == pytest.approx(total, abs=0.01)
    kernel = np.asarray(model.get_layer("conv").kernel, "float64")
    scale = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    # The kernel of a convolution stands in the row of the ReLU that it fused with.
    assert found["relu"].kernel == pytest.approx(decibels(kernel, np.round(kernel / scale) * scale), abs=0.01)


def test_noise_adds_up_on_the_way(nets: tuple[QuantizedNetwork, keras.Model]) -> None:
    found = rows(nets)
    for row in found.values():
        assert row.total <= row.own + 0.5
        assert 15 < row.own < 80
    assert found["features"].kernel is None
    assert found["depthwise"].kernel is not None


def test_a_range_that_clips_shows_in_its_layer_alone() -> None:
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    one = layers.Conv2D(4, 3, name="one")(x)
    raw = layers.Dense(2, name="t_raw")(
        layers.GlobalAveragePooling2D(name="features")(layers.Conv2D(4, 3, name="two")(one))
    )
    model = randomise(keras.Model(image, {"t": raw}, name="net"))
    quantized = quantize_network(model, ["t"], all_integer=True)
    calibrate(quantized, model, [PIXELS], "minmax")
    before = rows((quantized, model))
    low, high = quantized.ranges()["one_range"].limits()
    quantized.ranges()["one_range"].set_range(low / 4, high / 4)
    after = rows((quantized, model))
    assert after["one"].own < before["one"].own - 10
    assert after["two"].own == pytest.approx(before["two"].own)
    assert after["two"].total < before["two"].total - 3


def test_the_float_twin_has_the_trained_weights_and_leaves_the_model_alone(
    nets: tuple[QuantizedNetwork, keras.Model],
) -> None:
    quantized, model = nets
    layer = quantized.network.inference.get_layer("conv")
    kernel, bias = layer.get_weights()
    layer.set_weights([2 * kernel, bias])
    twin = float_twin(quantized, model)
    np.testing.assert_array_equal(twin.get_layer("conv").kernel, 2 * kernel)
    np.testing.assert_array_equal(model.get_layer("conv").kernel, kernel)
    layer.set_weights([kernel, bias])
