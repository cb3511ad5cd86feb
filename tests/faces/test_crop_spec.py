"""CropSpec: where the square lies, how it is resampled, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from keras_faceattr.config import CropConfig
from keras_faceattr.errors import ConfigError
from keras_faceattr.faces.crop_spec import CropSpec


def coordinates(height: int, width: int) -> np.ndarray:
    """(height, width, 3) photo whose pixels hold their own row and column."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y, x, np.zeros_like(x)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "top", "left"),
    [(20, 50, 0, 15), (50, 20, 15, 0), (20, 51, 0, 15), (21, 20, 0, 0), (20, 20, 0, 0)],
)
def test_the_square_is_the_largest_in_the_centre(height: int, width: int, top: int, left: int) -> None:
    crop = CropSpec(20).apply(coordinates(height, width))
    np.testing.assert_array_equal(crop[..., 0], np.repeat(np.arange(top, top + 20)[:, None], 20, axis=1))
    np.testing.assert_array_equal(crop[..., 1], np.repeat(np.arange(left, left + 20)[None], 20, axis=0))


def test_the_whole_photo_is_squeezed_into_the_square() -> None:
    photo = np.zeros((32, 64, 3), np.uint8)
    photo[:, 32:] = 200
    crop = CropSpec(16, method="whole_photo").apply(photo)
    assert (crop[:, :8] == 0).all()
    assert (crop[:, 8:] == 200).all()


@pytest.mark.parametrize("method", ["centre_square", "whole_photo"])
@pytest.mark.parametrize("shape", [(7, 300), (300, 7), (1, 1), (16, 16), (500, 400)])
def test_every_photo_becomes_a_uint8_square_of_the_size(method: str, shape: tuple[int, int]) -> None:
    crop = CropSpec(16, method=method).apply(np.zeros((*shape, 3), np.uint8))
    assert crop.shape == (16, 16, 3)
    assert crop.dtype == np.uint8
    assert crop.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("interpolation", ["area", "bilinear", "cubic"])
@pytest.mark.parametrize("side", [9, 16, 100])
def test_a_constant_photo_stays_constant(interpolation: str, side: int) -> None:
    crop = CropSpec(16, interpolation=interpolation).apply(np.full((side, side, 3), (3, 140, 255), np.uint8))
    np.testing.assert_array_equal(crop, np.full((16, 16, 3), (3, 140, 255)))


def test_area_interpolation_averages_what_it_shrinks() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    means = photo.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(CropSpec(16).apply(photo) - means).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 15}, "crop size 15 is not in 16 to 1024"),
        ({"size": 1025}, "crop size 1025 is not in 16 to 1024"),
        ({"method": "center_square"}, "unknown crop method 'center_square'; did you mean 'centre_square'"),
        ({"interpolation": "nearest"}, "unknown interpolation 'nearest'.*valid: area, bilinear, cubic"),
    ],
)
def test_values_that_make_no_crop_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CropSpec(**wrong)


def test_a_crop_comes_back_from_its_plain_data() -> None:
    spec = CropSpec(48, "whole_photo", "cubic")
    assert CropSpec(**spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("size", (16, 1024), (15, 1025)),
        ("margin", (0.0, 2.0), (-0.01, 2.01)),
        ("min_face", (12,), (11,)),
        ("factor", (0.3, 0.95), (0.29, 0.96)),
        ("thresholds", ([0.1, 0.2, 0.3],), ([0.1, 0.2], [0.1, 0.2, 0.3, 0.4])),
    ],
)
def test_a_config_and_a_spec_allow_the_same(key: str, good: tuple[Any, ...], bad: tuple[Any, ...]) -> None:
    for value in good:
        config, spec = CropConfig(**{key: value}), CropSpec(**{key: value})
        assert spec.to_dict() == {**config.model_dump(mode="json"), "version": spec.version}
    for value in bad:
        with pytest.raises(ValidationError, match=key):
            CropConfig(**{key: value})
        with pytest.raises(ConfigError, match=f"crop {key}"):
            CropSpec(**{key: value})
