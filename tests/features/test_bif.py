"""Bio-inspired features: filters answer to waves of their own direction, windows are pooled as a slow loop does it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.features.bif import BANDS, bif, gabor, pooled, responses


def grating(angle: float, wavelength: float, side: int = 60) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.cos(2 * np.pi / wavelength * (x * np.cos(angle) + y * np.sin(angle))).astype(np.float32)


@pytest.mark.parametrize("band", BANDS, ids=lambda band: f"window{band.window}")
@pytest.mark.parametrize("orientation", range(8))
def test_a_grating_is_answered_most_by_the_filter_of_its_own_direction(band, orientation: int) -> None:
    picture = grating(np.pi * orientation / 8, float(np.mean(band.wavelengths)))
    strength = responses(picture, band, 8)[15:45, 15:45].std(axis=(0, 1))
    assert strength.argmax() == orientation
    # A square filter's corners let some of the crossing diagonal pass.
    assert strength[(orientation + 4) % 8] < 0.25 * strength[orientation]


@pytest.mark.parametrize("index", range(2))
def test_a_grating_is_answered_most_by_the_band_of_its_wavelength(index: int) -> None:
    for number in (0, 2, 4):
        picture = grating(0.0, BANDS[number].wavelengths[index])
        strengths = [responses(picture, band, 8)[15:45, 15:45, 0].std() for band in BANDS[:6]]
        assert abs(int(np.argmax(strengths)) - number) <= 1


def test_filters_are_blind_to_brightness_and_have_norm_one() -> None:
    for band in BANDS:
        for side, sigma, wavelength in zip(band.sides, band.sigmas, band.wavelengths, strict=True):
            kernel = gabor(side, sigma, wavelength, 0.7)
            assert kernel.shape == (side, side)
            assert abs(kernel.sum(dtype=np.float64)) < 1e-5
            assert np.square(kernel, dtype=np.float64).sum() == pytest.approx(1, abs=1e-5)


def test_a_filter_is_the_published_formula_less_its_mean() -> None:
    kernel, raw = gabor(7, 2.8, 3.5, np.pi / 8), np.zeros((7, 7))
    for row in range(7):
        for column in range(7):
            x, y = column - 3, row - 3
            along = x * np.cos(np.pi / 8) + y * np.sin(np.pi / 8)
            across = -x * np.sin(np.pi / 8) + y * np.cos(np.pi / 8)
            envelope = np.exp(-(along**2 + 0.3**2 * across**2) / (2 * 2.8**2))
            raw[row, column] = envelope * np.cos(2 * np.pi * along / 3.5)
    raw -= raw.mean()
    np.testing.assert_allclose(kernel, raw / np.sqrt((raw**2).sum()), atol=1e-6)


@pytest.mark.parametrize("window", [6, 10])
def test_windows_are_pooled_as_by_a_loop(window: int) -> None:
    maps = np.random.default_rng(0).normal(5, 1, (23, 23, 3)).astype(np.float32)
    spreads, largest = [], []
    for top in range(0, 23 - window + 1, window // 2):
        for left in range(0, 23 - window + 1, window // 2):
            part = maps[top : top + window, left : left + window].astype(np.float64)
            spreads.append(part.std(axis=(0, 1)))
            largest.append(part.max(axis=(0, 1)))
    spreads, largest = np.ravel(spreads), np.ravel(largest)
    np.testing.assert_allclose(pooled(maps, window, "std"), spreads, rtol=1e-5)
    np.testing.assert_allclose(pooled(maps, window, "max"), largest, rtol=1e-6)
    np.testing.assert_allclose(pooled(maps, window, "max_std"), np.concatenate([largest, spreads]), rtol=1e-5)


def test_of_two_sizes_the_larger_answer_counts() -> None:
    picture = np.random.default_rng(1).random((40, 40), np.float32)
    band = BANDS[1]
    first, second = (
        cv2.filter2D(picture, cv2.CV_32F, gabor(side, sigma, wave, np.pi / 4))
        for side, sigma, wave in zip(band.sides, band.sigmas, band.wavelengths, strict=True)
    )
    got = responses(picture, band, 4)[..., 1]
    np.testing.assert_allclose(got, np.maximum(first, second), atol=1e-5)
    assert (first > second).any()
    assert (second > first).any()


@pytest.mark.parametrize(
    ("options", "dimension"),
    # 60 pixels: 19, 14, 11, 9, 7 and 6 windows a side; 112 pixels: 36 and 27 in two bands.
    [({}, 844 * 8), ({"pooling": "max_std"}, 2 * 844 * 8), ({"bands": 1}, 361 * 8), ({"orientations": 4}, 844 * 4),
     ({"side": None, "bands": 2}, (36**2 + 27**2) * 8)],
)  # fmt: skip
def test_the_number_of_features(options: dict, dimension: int) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    features = bif(crops, **options)
    assert (features.shape, features.dtype) == ((2, dimension), np.dtype(np.float32))
    assert np.isfinite(features).all()
    assert bif(crops[:0], **options).shape == (0, dimension)


def test_threads_and_neighbours_change_nothing() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 60, 60, 3), np.uint8)
    together = bif(crops, threads=3)
    np.testing.assert_array_equal(together, bif(crops, threads=1))
    np.testing.assert_array_equal(together[3], bif(crops[3:4])[0])


def test_colour_photos_become_grey_by_the_weights_of_red_green_and_blue() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (1, 60, 60, 3), np.uint8)
    grey = np.round(crops @ [0.299, 0.587, 0.114]).astype(np.uint8)
    np.testing.assert_allclose(bif(crops), bif(grey), atol=0.02)


def test_brighter_photos_have_the_same_features_and_flat_ones_none() -> None:
    crops = np.random.default_rng(0).integers(0, 200, (1, 60, 60), np.uint8)
    np.testing.assert_allclose(bif(crops), bif(crops + np.uint8(50)), atol=1e-4)
    np.testing.assert_allclose(bif(np.full((1, 60, 60), 90, np.uint8)), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "options", "error", "line"),
    [
        (np.zeros((2, 60, 60, 3), np.float32), {}, DataError, r"BIF takes .* uint8, not \(2, 60, 60, 3\) float32"),
        (np.zeros((60, 60), np.uint8), {}, DataError, r"not \(60, 60\) uint8"),
        (np.zeros((1, 60, 50), np.uint8), {}, DataError, "square photos, not 50 × 60 pixels: crop them first"),
        (np.zeros((1, 60, 60), np.uint8), {"pooling": "sdt"}, ConfigError, "did you mean 'std'"),
        (np.zeros((1, 60, 60), np.uint8), {"bands": 9}, ConfigError, "1 to 8 bands"),
        (np.zeros((1, 60, 60), np.uint8), {"orientations": 0}, ConfigError, "1 or more orientations"),
        (np.zeros((1, 60, 60), np.uint8), {"side": 15}, ConfigError, "6 bands needs photos of 16 pixels or more"),
        (np.zeros((1, 12, 12), np.uint8), {"side": None}, ConfigError, "not 12: take fewer bands"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(images, options: dict, error: type, line: str) -> None:
    with pytest.raises(error, match=line) as raised:
        bif(images, **options)
    assert "\n" not in str(raised.value)
