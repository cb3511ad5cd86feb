"""Folding: the same function without batch norms, by the factors of Jacob et al., worked out here in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from integer_nets import draw_photos, randomise
from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.folding import fold_batch_norm

KerasTensor = Any


def model_of(body: Callable[[KerasTensor], KerasTensor], *more: Callable[[KerasTensor], KerasTensor]) -> keras.Model:
    """Outputs of all functions in a row; weights as after training."""
    keras.utils.set_random_seed(1)
    x = image = keras.Input((32, 32, 3), name="image")
    outputs = {}
    for index, function in enumerate((lambda x: layers.Rescaling(1 / 127.5, -1.0, name="normalise")(x), body, *more)):
        x = function(x)
        outputs[f"output{index}"] = x
    del outputs["output0"]
    return randomise(keras.Model(image, outputs, name="net"))


def norm(x: KerasTensor, **options: Any) -> KerasTensor:
    return layers.BatchNormalization(name="norm", **options)(x)


def check_same_function(model: keras.Model) -> keras.Model:
    """Folds, and compares on photos."""
    folded, pixels = fold_batch_norm(model), draw_photos(3, 4)
    assert not [layer for layer in folded.layers if isinstance(layer, layers.BatchNormalization)]
    before, after = model(pixels, training=False), folded(pixels, training=False)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_allclose(after[name], before[name], rtol=0, atol=1e-5 * np.abs(before[name]).max())
    return folded


def factors(layer: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    gamma, beta, mean, variance = (np.asarray(v, "float64") for v in layer.get_weights())
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale


@pytest.mark.parametrize("count", [2, 3, 4])
def test_an_average_becomes_sums_of_two_and_a_factor(count: int) -> None:
    def body(x: KerasTensor) -> KerasTensor:
        parts = [norm(layers.Conv2D(4, 1, name="part0")(x))]
        parts += [layers.Conv2D(4, 1, name=f"part{i}")(x) for i in range(1, count)]
        return layers.Average(name="average")(parts)

    folded = check_same_function(model_of(body))
    kinds = [type(layer) for layer in folded.layers]
    assert layers.Average not in kinds
    assert kinds.count(layers.Add) == count - 1
    assert all(len(layer.input) == 2 for layer in folded.layers if isinstance(layer, layers.Add))
    assert folded.get_layer("average").scale == pytest.approx(1 / count)


def test_kernel_and_bias_of_a_convolution_are_scaled_by_channel() -> None:
    model = model_of(lambda x: norm(layers.Conv2D(6, 3, name="conv")(x), epsilon=0.1))
    scale, shift = factors(model.get_layer("norm"))
    kernel, bias = model.get_layer("conv").get_weights()
    folded = check_same_function(model)
    got_kernel, got_bias = folded.get_layer("conv").get_weights()
    np.testing.assert_allclose(got_kernel, np.einsum("hwio,o->hwio", kernel.astype("float64"), scale), rtol=1e-6)
    np.testing.assert_allclose(got_bias, bias * scale + shift, rtol=1e-6, atol=1e-7)
    assert [layer.name for layer in folded.layers] == ["image", "normalise", "conv"]


def test_a_depthwise_kernel_is_scaled_channel_by_channel_and_multiplier_by_multiplier() -> None:
    """Output channel c · 2 + m comes from kernel[:, :, c, m]."""
    model = model_of(lambda x: norm(layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="depthwise")(x)))
    scale, shift = factors(model.get_layer("norm"))
    (kernel,) = model.get_layer("depthwise").get_weights()
    folded = check_same_function(model)
    got_kernel, got_bias = folded.get_layer("depthwise").get_weights()
    for channel in range(3):
        for multiplier in range(2):
            expected = kernel[:, :, channel, multiplier] * scale[channel * 2 + multiplier]
            np.testing.assert_allclose(got_kernel[:, :, channel, multiplier], expected, rtol=1e-6)
    np.testing.assert_allclose(got_bias, shift, rtol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: norm(layers.Conv2D(4, 3, use_bias=False, name="conv")(x), scale=False, center=False),
        lambda x: norm(layers.Conv2D(4, 3, name="conv")(x), scale=False),
        lambda x: norm(layers.Conv2D(4, 3, strides=2, padding="same", dilation_rate=1, name="conv")(x), center=False),
        lambda x: norm(layers.Dense(5, name="dense")(layers.Flatten(name="flat")(layers.MaxPooling2D(8)(x)))),
        lambda x: norm(layers.Dense(5, name="dense_map")(x)),
    ],
    ids=["neither scale nor shift", "no scale", "no shift", "dense", "dense on a map"],
)
def test_a_batch_norm_of_any_kind_is_absorbed(body: Callable[[KerasTensor], KerasTensor]) -> None:
    model = model_of(body)
    folded = check_same_function(model)
    assert len(folded.layers) == len(model.layers) - 1


@pytest.mark.parametrize(
    "body",
    [
        lambda x: norm(x),
        lambda x: norm(layers.MaxPooling2D(name="pool")(x)),
        lambda x: norm(layers.Conv2D(4, 3, activation="relu", name="conv")(x)),
        lambda x: norm(layers.ReLU(name="relu")(layers.Conv2D(4, 3, name="conv")(x))),
        lambda x: norm(layers.Conv2DTranspose(4, 3, name="up")(x)),
    ],
    ids=["pixels", "pooling", "activation inside", "activation behind", "another kind of convolution"],
)
def test_a_batch_norm_with_nothing_to_fold_into_becomes_a_1x1_depthwise_convolution(
    body: Callable[[KerasTensor], KerasTensor],
) -> None:
    model = model_of(body)
    scale, shift = factors(model.get_layer("norm"))
    layer = check_same_function(model).get_layer("norm")
    assert isinstance(layer, layers.DepthwiseConv2D)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (1, 1, len(scale), 1)
    np.testing.assert_allclose(kernel[0, 0, :, 0], scale, rtol=1e-6)
    np.testing.assert_allclose(bias, shift, rtol=1e-6)


def test_a_convolution_that_is_read_twice_keeps_its_kernel() -> None:
    def body(x: KerasTensor) -> KerasTensor:
        x = layers.Conv2D(4, 3, name="conv")(x)
        return layers.Add(name="add")([norm(x), x])

    model = model_of(body)
    folded = check_same_function(model)
    np.testing.assert_array_equal(folded.get_layer("conv").kernel, model.get_layer("conv").kernel)


def test_a_convolution_that_is_an_output_itself_keeps_its_kernel() -> None:
    check_same_function(model_of(lambda x: layers.Conv2D(4, 3, name="conv")(x), norm))


def test_two_batch_norms_in_a_row_are_both_applied() -> None:
    check_same_function(
        model_of(
            lambda x: norm(layers.Conv2D(4, 3, name="conv")(x)),
            lambda x: layers.BatchNormalization(name="second_norm")(layers.ReLU(name="relu")(x)),
            lambda x: layers.BatchNormalization(name="third_norm")(x),
        )
    )


def test_a_batch_norm_on_vectors_with_nothing_before_it_becomes_a_depthwise_convolution_of_a_map() -> None:
    folded = check_same_function(model_of(lambda x: norm(layers.GlobalAveragePooling2D(name="vector")(x))))
    assert isinstance(folded.get_layer("norm_by_channel"), layers.DepthwiseConv2D)


def test_the_model_stays_as_it_is_and_shares_nothing_with_the_folded_one() -> None:
    model = model_of(lambda x: norm(layers.Conv2D(4, 3, name="conv")(x)))
    before = [w.copy() for w in model.get_weights()]
    folded = fold_batch_norm(model)
    folded.set_weights([0 * w for w in folded.get_weights()])
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_net_without_batch_norm_is_copied() -> None:
    model = model_of(lambda x: layers.PReLU(shared_axes=[1, 2], name="prelu")(layers.Conv2D(4, 3, name="conv")(x)))
    folded = check_same_function(model)
    np.testing.assert_array_equal(folded.get_layer("prelu").alpha, model.get_layer("prelu").alpha)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_batch_norm_along_another_axis_than_the_channels_is_refused(axis: int) -> None:
    # As many rows as channels, so that the shapes alone would fit.
    model = model_of(lambda x: norm(layers.Conv2D(32, 3, padding="same", name="conv")(x), axis=axis))
    with pytest.raises(ModelError, match=f"'norm' normalises along axis {axis} instead of the channels: .*axis=-1"):
        fold_batch_norm(model)


@pytest.mark.parametrize("axis", [-1, 3])
def test_both_names_of_the_channels_axis_fold(axis: int) -> None:
    check_same_function(model_of(lambda x: norm(layers.Conv2D(32, 3, padding="same", name="conv")(x), axis=axis)))


def test_a_model_without_a_graph_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"'s' \(Sequential\) has no graph of layers: .*begins with keras.Input") as e:
        fold_batch_norm(keras.Sequential([layers.Dense(2)], name="s"))
    assert "\n" not in str(e.value)


def test_a_sequential_model_is_folded_as_any_other() -> None:
    net = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dense(2)]
    )
    randomise(net)
    pixels = np.random.default_rng(0).normal(0, 1, (3, 8, 8, 3)).astype("float32")
    (got,) = fold_batch_norm(net)(pixels).values()
    np.testing.assert_allclose(got, net(pixels, training=False), atol=1e-5)


def test_factors_by_channel_in_a_row_become_one_depthwise_convolution() -> None:
    """Pixels / 255, minus mean, by deviation, by a factor of each channel: worked out here."""
    mean, variance, last = np.array([0.4, 0.5, 0.6]), np.array([0.04, 0.09, 0.16]), [2.0, 1.0, 0.5]
    image = keras.Input((4, 4, 3), name="image")
    x = layers.Rescaling(1 / 255, name="to_one")(image)
    x = layers.Normalization(mean=mean, variance=variance, name="standard")(x)
    folded = fold_batch_norm(keras.Model(image, layers.Rescaling(last, name="last")(x)))
    assert [layer.name for layer in folded.layers] == ["image", "to_one", "standard"]
    kernel, bias = folded.get_layer("standard").get_weights()
    np.testing.assert_allclose(kernel[0, 0, :, 0], np.array([10.0, 1 / 0.3, 1.25]), rtol=1e-6)
    np.testing.assert_allclose(bias, np.array([-4.0, -0.5 / 0.3, -0.75]), rtol=1e-6)
