"""Bio-inspired features: Gabor filters in bands of two sizes, pooled by the spread within windows.

Source: Guo, Mu, Fu, Huang: Human age estimation using bio-inspired features, CVPR 2009.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.machine import usable_cores


@dataclass(frozen=True)
class Band:
    """Two neighbouring filter sizes that are pooled together.

    Attributes:
        window: side of the pooling windows in pixels; they overlap by half.
        sides: sides of the two filters, in pixels.
        sigmas: standard deviations of their Gaussian envelopes, in pixels.
        wavelengths: wavelengths of their waves, in pixels.
    """

    window: int
    sides: tuple[int, int]
    sigmas: tuple[float, float]
    wavelengths: tuple[float, float]


BANDS = (
    Band(6, (5, 7), (2.0, 2.8), (2.5, 3.5)),
    Band(8, (9, 11), (3.6, 4.5), (4.6, 5.6)),
    Band(10, (13, 15), (5.4, 6.3), (6.8, 7.9)),
    Band(12, (17, 19), (7.3, 8.2), (9.1, 10.3)),
    Band(14, (21, 23), (9.2, 10.2), (11.5, 12.7)),
    Band(16, (25, 27), (11.3, 12.3), (14.1, 15.4)),
    Band(18, (29, 31), (13.4, 14.6), (16.8, 18.2)),
    Band(20, (33, 35), (15.8, 17.0), (19.7, 21.2)),
)
"""Guo et al., table 1. From 7 × 7 on, filters and waves are those that Serre, Wolf, Bileschi, Riesenhuber and Poggio
fitted to cells of the visual cortex (Robust object recognition with cortex-like mechanisms, 2007, table 1); Guo et al.
put 5 × 5 before them for the fine texture of small faces, which shifts every pair by one size."""

ASPECT = 0.3
"""γ: length of a filter's envelope across the wave against that along it (Serre et al., 2007)."""


def _spread(maps: np.ndarray, window: int) -> np.ndarray:
    # Double precision, because a difference of squares loses half the digits.
    mean, square = (
        cv2.boxFilter(values, cv2.CV_64F, (window, window), anchor=(0, 0))
        for values in (maps, np.square(maps, dtype=np.float64))
    )
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0)))


def _largest(maps: np.ndarray, window: int) -> np.ndarray:
    return np.asarray(cv2.dilate(maps, np.ones((window, window), np.uint8), anchor=(0, 0)))


POOLINGS: dict[str, tuple[Callable[[np.ndarray, int], np.ndarray], ...]] = {
    "std": (_spread,),
    "max": (_largest,),
    "max_std": (_largest, _spread),
}
"""What a window keeps: its standard deviation (Guo et al.), its maximum (Riesenhuber and Poggio), or both."""


def gabor(side: int, sigma: float, wavelength: float, angle: float) -> np.ndarray:
    """An even Gabor filter with mean 0 and norm 1, so that neither brightness nor size counts.

    Args:
        side: in pixels, odd.
        sigma: standard deviation of the envelope, in pixels.
        wavelength: in pixels.
        angle: between the x axis and the direction in which the wave runs, in radians.

    Returns:
        (side, side) float32.

    Source: Serre et al., 2007, eq. 1.
    """
    y, x = np.mgrid[:side, :side] - side // 2
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = np.exp(-(along**2 + (ASPECT * across) ** 2) / (2 * sigma**2)) * np.cos(2 * np.pi / wavelength * along)
    kernel -= kernel.mean()
    return np.asarray((kernel / np.linalg.norm(kernel)).astype(np.float32))


@lru_cache(maxsize=8)
def banks(band: Band, orientations: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The filters of a band's two sizes, one for each orientation, from waves along x on by equal angles."""
    angles = np.pi * np.arange(orientations) / orientations
    first, second = (
        tuple(gabor(side, sigma, wavelength, angle) for angle in angles)
        for side, sigma, wavelength in zip(band.sides, band.sigmas, band.wavelengths, strict=True)
    )
    return first, second


def responses(grey: np.ndarray, band: Band, orientations: int) -> np.ndarray:
    """S1 and the first half of C1: at each pixel the larger answer of a band's two sizes.

    Args:
        grey: (side, side) float32.

    Returns:
        (side, side, orientations) float32; answers keep their sign.
    """
    first, second = (
        np.stack([cv2.filter2D(grey, cv2.CV_32F, kernel) for kernel in bank], axis=-1)
        for bank in banks(band, orientations)
    )
    return np.maximum(first, second)


def pooled(maps: np.ndarray, window: int, pooling: str) -> np.ndarray:
    """The second half of C1: windows every half window, as far as they fit.

    Args:
        maps: (side, side, orientations) float32.
        window: side in pixels.
        pooling: key of `POOLINGS`.

    Returns:
        (numbers,) float32, window by window from the top left; for two operations one after the other.
    """
    step, end = window // 2, len(maps) - window + 1
    parts = [pool(maps, window)[:end:step, :end:step].ravel() for pool in POOLINGS[pooling]]
    return np.concatenate(parts).astype(np.float32)


def bif(
    images: np.ndarray,
    *,
    side: int | None = 60,
    bands: int = 6,
    orientations: int = 8,
    pooling: str = "std",
    threads: int | None = None,
) -> np.ndarray:
    """Bio-inspired features of aligned faces, not normalised.

    A photo of 60 × 60 has 361, 196, 121, 81, 49 and 36 windows in the six bands: with 8 orientations 6,752 features.
    DLDL-v2 reports 4,616 and gives neither its photo's side nor its windows; no side from 40 to 80 pixels yields 4,616
    with windows that overlap by half or that lie side by side.

    Args:
        images: (n, height, width[, 3]) uint8, grey or RGB, square.
        side: in pixels, to which photos are resized first; None leaves them as they are.
        bands: the first of `BANDS`.
        orientations: at least 1.
        pooling: key of `POOLINGS`; `max_std` doubles the number of features.
        threads: None for all cores.

    Returns:
        (n, windows · orientations) float32.

    Raises:
        DataError: no such array of photos.
        ConfigError: unknown pooling, a number of bands or orientations that there is not, or photos smaller than a
            window.

    Source: Guo et al., 2009, section 3.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise DataError(f"BIF takes (n, side, side) or (n, side, side, 3) uint8, not {images.shape} {images.dtype}")
    if images.shape[1] != images.shape[2]:
        raise DataError(f"BIF takes square photos, not {images.shape[2]} × {images.shape[1]} pixels: crop them first")
    if pooling not in POOLINGS:
        raise ConfigError(f"unknown BIF pooling {pooling!r}; {nearest(pooling, POOLINGS)}")
    if not 1 <= bands <= len(BANDS) or orientations < 1:
        raise ConfigError(f"BIF has 1 to {len(BANDS)} bands and 1 or more orientations, not {bands} and {orientations}")
    size, largest = side or images.shape[1], BANDS[bands - 1].window
    if size < largest:
        raise ConfigError(
            f"BIF of {bands} bands needs photos of {largest} pixels or more, not {size}: take fewer bands"
        )

    def features(image: np.ndarray) -> np.ndarray:
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if len(grey) != size:
            grey = cv2.resize(
                grey, (size, size), interpolation=cv2.INTER_AREA if len(grey) > size else cv2.INTER_LINEAR
            )
        # The scale goes with the l2 norm of a row; from 0 to 1 it is easier on regressors.
        grey = grey.astype(np.float32) / 255
        return np.concatenate(
            [pooled(responses(grey, band, orientations), band.window, pooling) for band in BANDS[:bands]]
        )

    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        rows = list(pool.map(features, images))
    return np.stack(rows) if rows else features(np.zeros((size, size), np.uint8))[None][:0]
