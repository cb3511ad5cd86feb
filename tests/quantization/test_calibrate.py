"""Observers by hand, and ranges as the photos make them."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest
from integer_nets import draw_photos, randomise
from keras import layers

from keras_faceattr.convert.recipe import CalibrationConfig
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.quantization.calibrate import (
    OBSERVERS,
    Observed,
    calibrate,
    least_squares,
    minmax,
    moving,
    observe,
    percentile,
)  # fmt: skip
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.quantization.quantize import QuantizedNetwork, quantize_network
from keras_faceattr.quantization.tfmot import fine_tune_with_tfmot


def observed(minima: list[float], maxima: list[float], sample: Any = ()) -> Observed:
    return Observed(np.array(minima), np.array(maxima), np.asarray(sample, "float64"))


def test_minmax_takes_the_extremes_of_all_batches() -> None:
    assert minmax(observed([-1, -4, -2], [3, 1, 2])) == (-4, 3)


def test_moving_follows_with_a_tenth() -> None:
    # −1 → 0.9·−1 + 0.1·−4 = −1.3 → 0.9·−1.3 + 0.1·−2 = −1.37; 3 → 2.8 → 2.72.
    assert moving(observed([-1, -4, -2], [3, 1, 2])) == pytest.approx((-1.37, 2.72))


def test_moving_over_one_batch_is_that_batch() -> None:
    assert moving(observed([-1], [3])) == (-1, 3)


def test_percentile_leaves_out_one_in_ten_thousand_at_each_end() -> None:
    # Of 0, 1, … 100,000 the 0.01th percentile is the 10th value.
    assert percentile(observed([0], [100_000], np.arange(100_001))) == pytest.approx((10, 99_990))


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    scale = (high - low) / 255
    levels = scale * (np.arange(256) - round(-low / scale))
    nearest = np.clip(np.rint((values - levels[0]) / scale), 0, 255).astype(int)
    return float(np.mean((values - levels[nearest]) ** 2))


def test_least_squares_clips_outliers_and_beats_minmax() -> None:
    sample = np.append(np.random.default_rng(0).laplace(0, 1, 400_000), [20.0, -20.0])
    seen = observed([sample.min()], [sample.max()], sample)
    low, high = least_squares(seen)
    assert -20 < low < 0 < high < 20
    assert squared_error(sample, low, high) < 0.8 * squared_error(sample, *minmax(seen))


def test_least_squares_keeps_all_of_an_even_sample() -> None:
    sample = np.linspace(-1, 3, 1001)
    assert least_squares(observed([-1], [3], sample)) == pytest.approx((-1, 3))


def test_least_squares_keeps_0_in_the_range() -> None:
    low, high = least_squares(observed([2], [3], np.linspace(2, 3, 500)))
    assert (low, high) == pytest.approx((0, 3))


def test_least_squares_of_a_dead_tensor_is_0() -> None:
    assert least_squares(observed([0], [0], np.zeros(10))) == (0, 0)


def net() -> tuple[QuantizedNetwork, keras.Model]:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    one = layers.ReLU(name="one_relu")(layers.Conv2D(4, 3, strides=2, name="one")(x))
    two = layers.Conv2D(4, 3, strides=2, name="two")(x)
    joined = layers.Concatenate(name="joined")([one, two])
    left = layers.Conv2D(4, 1, name="left")(joined)
    average = layers.Average(name="average")([left, one, left])
    raw = layers.Dense(3, name="t_raw")(layers.GlobalAveragePooling2D(name="features")(average))
    model = fold_batch_norm(randomise(keras.Model(image, {"t": layers.Softmax(name="t")(raw)}, name="net")))
    return quantize_network(model, ["t"], all_integer=True), model


def activations(model: keras.Model, node: str, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(model.input, model.get_layer(node).output)(pixels))


def test_ranges_are_those_of_the_float_model() -> None:
    quantized, model = net()
    batches = [draw_photos(4, seed) for seed in (1, 2)]
    calibrate(quantized, model, batches, "minmax")
    ranges, photos = quantized.ranges(), np.concatenate(batches)
    left = activations(model, "left", photos)
    assert ranges[quantized.plan.ranges["left"]].limits() == pytest.approx((left.min(), left.max()), rel=1e-5)
    # One range for all that is joined: the smallest of `two`, the largest of either.
    joined = activations(model, "joined", photos)
    assert ranges[quantized.plan.ranges["two"]].limits() == pytest.approx((joined.min(), joined.max()), rel=1e-5)
    # The sums inside an average are looked at too: of the first two tensors, and of all.
    one = activations(model, "one_relu", photos)
    for name, total in (("average_sum2", left + one), ("average_sum", left + one + left)):
        assert ranges[quantized.plan.ranges[name]].limits() == pytest.approx((total.min(), total.max()), rel=1e-5)


def test_fixed_ranges_and_the_pixels_stay() -> None:
    quantized, model = net()
    fixed = {name: layer.limits() for name, layer in quantized.ranges().items() if layer.fixed}
    calibrate(quantized, model, [draw_photos(4, 1)])
    assert "image_range" in fixed
    assert quantized.plan.ranges["t"] in fixed
    for name, limits in fixed.items():
        assert quantized.ranges()[name].limits() == limits


def test_the_sample_is_drawn_from_all_nodes_of_a_range_and_repeats() -> None:
    quantized, model = net()
    points, batches = quantized.plan.points(), [draw_photos(4, 1), draw_photos(4, 2)]
    first, second = observe(model, points, batches), observe(model, points, batches)
    name = quantized.plan.ranges["joined"]
    np.testing.assert_array_equal(first[name].sample, second[name].sample)
    assert first[name].minima.shape == first[name].maxima.shape == (2,)
    # 8192 values of a batch, in equal parts of one_relu, two and joined.
    assert sorted(points[name]) == ["joined", "one_relu", "two"]
    assert len(first[name].sample) == 2 * 3 * (8192 // 3)
    assert first[name].sample.min() >= first[name].minima.min()


@pytest.mark.parametrize("observer", OBSERVERS)
def test_every_observer_gives_ranges_that_hold_0_and_most_of_the_values(observer: str) -> None:
    quantized, model = net()
    calibrate(quantized, model, [draw_photos(8, 1)], observer)
    values = activations(model, "left", draw_photos(8, 1))
    low, high = quantized.ranges()[quantized.plan.ranges["left"]].limits()
    assert low <= 0 <= high
    assert np.mean((values >= low) & (values <= high)) > 0.99


def test_an_unknown_observer_lists_the_known() -> None:
    quantized, model = net()
    with pytest.raises(ConfigError, match="unknown observer 'minmacs'; did you mean 'minmax'"):
        calibrate(quantized, model, [draw_photos(2, 1)], "minmacs")


def test_no_photos_is_an_error() -> None:
    quantized, model = net()
    with pytest.raises(DataError, match="no photos to calibrate with"):
        calibrate(quantized, model, [])
    with pytest.raises(DataError, match="no photos to calibrate with"):
        calibrate(quantized, model, [np.zeros((0, 32, 32, 3), "float32")])
    for wrong in (np.zeros((2, 16, 16, 3), "float32"), np.zeros((32, 32, 3), "float32")):
        with pytest.raises(DataError, match=r"batches of \(32, 32, 3\), not \("):
            calibrate(quantized, model, [wrong])


def test_calibrating_and_recipes_have_one_default() -> None:
    default = inspect.signature(calibrate).parameters["observer"].default
    assert default == CalibrationConfig().observer == "minmax"
    assert inspect.signature(fine_tune_with_tfmot).parameters["observer"].default == default
