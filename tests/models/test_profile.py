"""Parameters and multiply-adds: of single layers by hand, of the paper's nets by VGG-16's plan."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from keras_faceattr.models import MODELS
from keras_faceattr.models.network import build_network
from keras_faceattr.models.profile import ModelProfile, profile_model, profile_network

PLAN = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]]


def profile_of(name: str, side: int) -> ModelProfile:
    return profile_model(build_network(name, MODELS[name].tasks, size=side).inference)


def by_hand(share: int, bins: int, side: int) -> tuple[int, int, int]:
    """Trainable parameters, all parameters and multiply-adds of VGG-16's plan at 1/share of its channels."""
    trainable = moving = macs = 0
    before = 3
    for block in PLAN:
        for full in block:
            channels = full // share
            trainable += 9 * before * channels + 2 * channels
            moving += 2 * channels
            macs += side * side * 9 * before * channels
            before = channels
        side //= 2
    trainable += before * bins + bins
    # The expected value is a dense layer of constants.
    return trainable, trainable + moving + bins + 1, macs + before * bins + bins


@pytest.mark.parametrize(
    ("name", "share", "bins", "parameters", "gmac"),
    [
        ("tiny_att_net", 4, 41, 927_129, 0.975),
        ("tiny_age_net", 4, 101, 934_869, 0.975),
        ("thin_att_net", 2, 41, 3_692_809, 3.858),
    ],
)
def test_the_papers_nets_have_its_parameters_at_224(
    name: str, share: int, bins: int, parameters: int, gmac: float
) -> None:
    profile = profile_of(name, 224)
    assert profile.trainable_parameters == parameters
    assert (profile.trainable_parameters, profile.parameters, profile.macs) == by_hand(share, bins, 224)
    assert round(profile.macs / 1e9, 3) == gmac
    assert (profile.name, profile.input_size) == (name, 224)


@pytest.mark.parametrize("side", [112, 33])
def test_odd_maps_are_counted_without_their_last_row_and_column(side: int) -> None:
    assert profile_of("tiny_att_net", side).macs == by_hand(4, 41, side)[2]


def test_the_layers_add_up_to_the_model() -> None:
    profile = profile_of("tiny_att_net", 32)
    assert sum(layer.macs for layer in profile.layers) == profile.macs
    assert sum(layer.trainable_parameters for layer in profile.layers) == profile.trainable_parameters
    assert "image" not in [layer.name for layer in profile.layers]
    assert {layer.kind for layer in profile.layers if layer.macs} == {"Conv2D", "Dense"}


@pytest.mark.parametrize(
    ("layer", "macs", "parameters", "shape"),
    [
        (layers.Conv2D(6, 3, padding="same"), 8 * 8 * 3 * 3 * 4 * 6, 3 * 3 * 4 * 6 + 6, (8, 8, 6)),
        (layers.Conv2D(6, (3, 5), use_bias=False), 6 * 4 * 3 * 5 * 4 * 6, 3 * 5 * 4 * 6, (6, 4, 6)),
        (layers.Conv2D(6, 3, strides=2, padding="same"), 4 * 4 * 3 * 3 * 4 * 6, 3 * 3 * 4 * 6 + 6, (4, 4, 6)),
        (layers.Conv2D(6, 3, groups=2, padding="same"), 8 * 8 * 3 * 3 * 2 * 6, 3 * 3 * 2 * 6 + 6, (8, 8, 6)),
        (layers.Conv2D(6, 1), 8 * 8 * 4 * 6, 4 * 6 + 6, (8, 8, 6)),
        (layers.DepthwiseConv2D(3, padding="same"), 8 * 8 * 3 * 3 * 4, 3 * 3 * 4 + 4, (8, 8, 4)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), 6 * 6 * 3 * 3 * 8, 3 * 3 * 8 + 8, (6, 6, 8)),
        (layers.Dense(5), 8 * 8 * 4 * 5, 4 * 5 + 5, (8, 8, 5)),
        (layers.BatchNormalization(), 0, 8, (8, 8, 4)),
        (layers.MaxPooling2D(2), 0, 0, (4, 4, 4)),
    ],
    ids=["same", "valid 3×5", "stride", "groups", "1×1", "depthwise", "multiplier", "dense on a map", "norm", "pool"],
)
def test_a_layers_cost_by_hand(layer: layers.Layer, macs: int, parameters: int, shape: tuple[int, ...]) -> None:
    inputs = keras.Input((8, 8, 4))
    profile = profile_model(keras.Model(inputs, layer(inputs)))
    assert len(profile.layers) == 1
    row = profile.layers[0]
    assert (row.macs, row.trainable_parameters, row.output_shape) == (macs, parameters, shape)
    assert (row.name, row.kind) == (layer.name, type(layer).__name__)


def test_a_dense_layer_on_features_costs_inputs_times_units() -> None:
    inputs = keras.Input((128,))
    assert profile_model(keras.Model(inputs, layers.Dense(41)(inputs))).macs == 128 * 41


def test_parameters_count_moving_statistics_and_trainable_ones_do_not() -> None:
    inputs = keras.Input((8, 8, 4))
    profile = profile_model(keras.Model(inputs, layers.BatchNormalization()(inputs)))
    assert (profile.trainable_parameters, profile.parameters) == (2 * 4, 4 * 4)


@pytest.mark.parametrize("name", ["tiny_att_net", "tree_cnn_mobile", "hmtnet_mobile", "crnet_thin_vgg"])
def test_counting_without_weights_counts_the_same_and_leaves_initializers_alone(name: str) -> None:
    draw = keras.initializers.VarianceScaling.__call__
    assert profile_network(name, 64) == profile_of(name, 64)
    assert keras.initializers.VarianceScaling.__call__ is draw


def test_a_fake_quantized_net_costs_what_its_float_net_costs() -> None:
    from keras_faceattr.quantization.folding import fold_batch_norm
    from keras_faceattr.quantization.quantize import quantize_network

    image = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    one, two = (layers.Conv2D(4, 3, name=name)(x) for name in ("one", "two"))
    # One range for three tensors, so that its layer is called three times.
    x = layers.DepthwiseConv2D(3, name="depthwise")(layers.Concatenate(name="joined")([one, two]))
    raw = layers.Dense(2, name="t_raw")(layers.GlobalAveragePooling2D(name="pool")(x))
    model = fold_batch_norm(keras.Model(image, {"t": layers.Softmax(name="t")(raw)}, name="net"))
    before, after = profile_model(model), profile_model(quantize_network(model, ["t"]).network.inference)
    assert (after.parameters, after.trainable_parameters) == (before.parameters, before.trainable_parameters)
    # 30 × 30 positions of 27 × 4 weights twice, 28 × 28 of 9 × 8, and a dense layer.
    assert after.macs == before.macs == 900 * 27 * 8 + 784 * 72 + 16
    assert {"QuantizedConv2D", "QuantizedDepthwiseConv2D"} <= {layer.kind for layer in after.layers}
