"""ResNet-18: its plan, its parameters and its skip connections."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_faceattr.errors import ModelError
from keras_faceattr.models.profile import profile_model
from keras_faceattr.models.resnet import resnet18

# By hand: a 7×7 stem, four 3×3 convolutions a stage, a 1×1 one where the shape changes, and 2 numbers of batch norm
# for each channel.
STEM = 7 * 7 * 3 * 64 + 2 * 64
STAGES = (
    4 * 9 * 64 * 64 + 4 * 2 * 64,
    9 * 64 * 128 + 3 * 9 * 128 * 128 + 64 * 128 + 5 * 2 * 128,
    9 * 128 * 256 + 3 * 9 * 256 * 256 + 128 * 256 + 5 * 2 * 256,
    9 * 256 * 512 + 3 * 9 * 512 * 512 + 256 * 512 + 5 * 2 * 512,
)


def net(width: float, size: int = 32) -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((size, size, 3))
    return keras.Model(pixels, resnet18(pixels, width))


@pytest.fixture(scope="module")
def quarter() -> keras.Model:
    return net(0.25, size=64)


def test_the_whole_net_has_the_parameters_of_the_paper() -> None:
    model = net(1.0)
    # 11.69 million with ImageNet's dense layer of 513,000, which is not part of it.
    assert STEM + sum(STAGES) == 11_176_512
    assert profile_model(model).trainable_parameters == 11_176_512
    assert model.output.shape == (None, 512)
    for stage, expected in enumerate(STAGES, start=1):
        own = [w for layer in model.layers if layer.name.startswith(f"stage{stage}_") for w in layer.trainable_weights]
        assert sum(int(np.prod(w.shape)) for w in own) == expected


def test_every_stage_but_the_first_halves_the_side_and_doubles_the_channels(quarter: keras.Model) -> None:
    shapes = [tuple(quarter.get_layer(f"stage{stage}_2_out").output.shape[1:]) for stage in (1, 2, 3, 4)]
    assert shapes == [(16, 16, 16), (8, 8, 32), (4, 4, 64), (2, 2, 128)]
    assert tuple(quarter.get_layer("stem_relu").output.shape[1:]) == (32, 32, 16)
    assert quarter.output.shape == (None, 128)


def test_the_shape_is_changed_by_a_convolution_only_where_it_changes(quarter: keras.Model) -> None:
    names = {layer.name for layer in quarter.layers if layer.name.endswith("_skip_conv")}
    assert names == {"stage2_1_skip_conv", "stage3_1_skip_conv", "stage4_1_skip_conv"}


@pytest.mark.parametrize(
    ("block", "skip"),
    [
        ("stage1_1", "stem_pool"),
        ("stage1_2", "stage1_1_out"),
        ("stage2_1", "stage2_1_skip_norm"),
        ("stage3_2", "stage3_1_out"),
        ("stage4_1", "stage4_1_skip_norm"),
    ],
)
def test_a_block_whose_second_norm_is_zero_passes_its_input_on(quarter: keras.Model, block: str, skip: str) -> None:
    norm = quarter.get_layer(f"{block}_2_norm")
    before = norm.get_weights()
    norm.gamma.assign(np.zeros(norm.gamma.shape))
    norm.beta.assign(np.zeros(norm.beta.shape))
    parts = keras.Model(quarter.input, [quarter.get_layer(name).output for name in (skip, f"{block}_out")])
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    passed, out = (np.asarray(x) for x in parts(pixels, training=False))
    norm.set_weights(before)
    if skip.endswith("norm"):
        assert passed.min() < 0
    np.testing.assert_allclose(out, np.maximum(passed, 0.0), atol=1e-6)
    assert out.max() > 0
    _, with_block = (np.asarray(x) for x in parts(pixels, training=False))
    assert np.abs(with_block - out).max() > 1e-3


def test_a_block_adds_what_its_second_norm_gives_above_or_below_zero(quarter: keras.Model) -> None:
    names = ("stage2_1_out", "stage2_2_2_norm", "stage2_2_out")
    parts = keras.Model(quarter.input, [quarter.get_layer(name).output for name in names])
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    skip, added, out = (np.asarray(x) for x in parts(pixels, training=False))
    assert added.min() < -0.1
    np.testing.assert_allclose(out, np.maximum(skip + added, 0.0), atol=1e-5)


def test_too_small_a_side_is_refused() -> None:
    with pytest.raises(ModelError, match="resnet18: needs an input side of at least 32 pixels, not 31"):
        net(0.25, size=31)
