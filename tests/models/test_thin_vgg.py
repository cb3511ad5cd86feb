"""The backbone of DLDL-v2: its layers, its poolings against NumPy, its sides and its names."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.models import MODELS, architecture
from keras_faceattr.models.thin_vgg import THIN_VGG_VARIANTS, thin_vgg

CHANNELS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
"""VGG-16's thirteen convolutions."""


def backbone(side: int, width: float = 1 / 16, pooling: str = "hybrid") -> keras.Model:
    pixels = keras.Input((side, side, 3), name="image")
    return keras.Model(pixels, thin_vgg(pixels, width, pooling))


def convolutions(model: keras.Model) -> list[layers.Conv2D]:
    return [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]


@pytest.mark.parametrize(("variant", "share"), [("tiny", 4), ("thin", 2), ("full", 1)])
def test_a_variant_keeps_its_share_of_vgg16s_channels(variant: str, share: int) -> None:
    found = convolutions(backbone(32, THIN_VGG_VARIANTS[variant]))
    assert [c.filters for c in found] == [n // share for n in CHANNELS]
    assert {c.kernel_size for c in found} == {(3, 3)}
    assert {c.strides for c in found} == {(1, 1)}
    assert {c.padding for c in found} == {"same"}


def test_every_convolution_is_without_bias_and_followed_by_norm_and_relu() -> None:
    model = backbone(32)
    found = convolutions(model)
    assert len(found) == 13
    for convolution in found:
        assert not convolution.use_bias
        assert len(convolution.weights) == 1
        after = model.layers[model.layers.index(convolution) + 1 :][:2]
        assert [type(layer) for layer in after] == [layers.BatchNormalization, layers.ReLU]


def test_raw_pixels_are_normalised_by_the_first_layer() -> None:
    model = backbone(32)
    first, second = model.layers[:2]
    assert isinstance(first, layers.InputLayer)
    assert isinstance(second, layers.Rescaling)
    pixels = np.array([0.0, 127.5, 255.0], "float32").reshape(1, 1, 1, 3)
    np.testing.assert_allclose(np.asarray(second(pixels)).ravel(), [-1.0, 0.0, 1.0], atol=1e-6)


def max_pool(x: np.ndarray) -> np.ndarray:
    side = x.shape[1] // 2
    return x[:, : 2 * side, : 2 * side].reshape(len(x), side, 2, side, 2, -1).max(axis=(2, 4))


POOLED = {
    "hybrid": lambda x: max_pool(x).mean(axis=(1, 2)),
    "average": lambda x: x.mean(axis=(1, 2)),
    "max": lambda x: x.max(axis=(1, 2)),
}


@pytest.mark.parametrize("side", [64, 48], ids=["even", "odd last map"])
@pytest.mark.parametrize("pooling", POOLED)
def test_the_features_are_the_pooled_last_activations(pooling: str, side: int) -> None:
    model = backbone(side, pooling=pooling)
    both = keras.Model(model.input, [model.get_layer("block5_3_relu").output, model.output])
    pixels = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype("float32")
    activations, features = (np.asarray(x) for x in both(pixels, training=False))
    assert activations.shape == (2, side // 16, side // 16, 32)
    assert activations.std() > 0
    np.testing.assert_allclose(features, POOLED[pooling](activations), rtol=1e-4, atol=1e-6)


def test_only_hybrid_has_the_fifth_max_pool() -> None:
    counts = {
        pooling: sum(isinstance(layer, layers.MaxPooling2D) for layer in backbone(32, pooling=pooling).layers)
        for pooling in POOLED
    }
    assert counts == {"hybrid": 5, "average": 4, "max": 4}


@pytest.mark.parametrize(("side", "maps"), [(32, [16, 8, 4, 2, 1]), (33, [16, 8, 4, 2, 1]), (112, [56, 28, 14, 7, 3])])
def test_an_odd_map_loses_its_last_row_and_column(side: int, maps: list[int]) -> None:
    model = backbone(side)
    assert [model.get_layer(f"block{i}_pool").output.shape[1] for i in range(1, 6)] == maps
    pixels = np.random.default_rng(1).uniform(0, 255, (1, side, side, 3)).astype("float32")
    assert np.isfinite(np.asarray(model(pixels, training=False))).all()


@pytest.mark.parametrize("side", [31, 1])
def test_a_side_below_32_is_refused_with_the_side(side: int) -> None:
    with pytest.raises(ModelError, match=rf"at least 32 pixels, not {side}$"):
        backbone(side)


def test_an_unknown_pooling_lists_the_valid_ones() -> None:
    with pytest.raises(ModelError, match="unknown pooling 'avarage'; did you mean 'average'") as error:
        backbone(32, pooling="avarage")
    assert "valid: average, hybrid, max" in str(error.value)


def test_an_unknown_model_lists_the_valid_ones() -> None:
    with pytest.raises(ModelError, match="unknown model 'tiny_at_net'; did you mean 'tiny_att_net'") as error:
        architecture("tiny_at_net")
    for name in MODELS:
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("name", "task", "bins"), [("tiny_att_net", "attractiveness", 41), ("thin_age_net", "age", 101)]
)
def test_a_net_predicts_what_its_name_says(name: str, task: str, bins: int) -> None:
    ((only, (predicted, _)),) = architecture(name).tasks.items()
    assert only == task
    assert len(predicted.bins) == bins
