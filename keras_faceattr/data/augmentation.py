"""Random changes of training crops, decided by a seed alone (DLDL-v2, section 4.1).

All random numbers and colour matrices of a batch are drawn and composed at once; each photo is then resampled and
recoloured by OpenCV, which takes a tenth of the time of the same steps as TensorFlow operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from keras_faceattr.config import AugmentationConfig

GREY = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))
"""(3, 3) matrix that turns RGB into grey RGB."""

ERASED_AREA = (0.02, 0.15)
ERASED_ASPECT = (0.5, 2.0)
ERASED_VALUE = 127.5


def augment(images: np.ndarray, settings: AugmentationConfig, seed: Sequence[int]) -> np.ndarray:
    """Apply the paper's five changes in its order, and ours.

    Flip, grey, short side resampled to a random share and back, rotation (with zoom and shift in one resampling),
    colour jitter, erased rectangle. Each photo of the batch draws its own.

    Args:
        images: (batch, side, side, 3) from 0 to 255, uint8 or float32.
        settings: probabilities and ranges; a range of 0 leaves its step out.
        seed: the same numbers give the same pictures, whatever runs in parallel.

    Returns:
        (batch, side, side, 3) float32 from 0 to 255.
    """
    rng = np.random.default_rng([int(number) for number in seed])
    batch = len(images)
    flipped = rng.random(batch) < settings.flip
    images = np.where(flipped[:, None, None, None], images[:, :, ::-1], images)
    grey = rng.random(batch) < settings.grey
    images = _resample(images, settings, rng).astype("float32")
    if settings.grey or settings.jitter:
        # Grey is a colour matrix like the jitter's, and resampling keeps it: both are one pass over the pixels.
        images = _recolour(images, _colour_matrices(images, grey, settings.jitter, rng))
    if settings.erase:
        _erase(images, rng.random(batch) < settings.erase, rng)
    return images


def _resample(images: np.ndarray, settings: AugmentationConfig, rng: np.random.Generator) -> np.ndarray:
    """Shrink to a random share of the size, then turn, zoom and shift back to the full size.

    Beyond the picture its edge goes on: a constant fill would tell the net how far a photo was turned.
    """
    batch, side = images.shape[:2]
    small = np.round(rng.uniform(settings.min_scale, 1.0, batch) * side).astype(int).clip(1, side)
    angle = rng.uniform(-1, 1, batch) * np.deg2rad(settings.rotation_degrees)
    zoom = np.exp(rng.uniform(-1, 1, batch) * np.log1p(settings.zoom))
    shift = rng.uniform(-1, 1, (batch, 2)) * settings.shift * side
    if settings.min_scale == 1 and not (settings.rotation_degrees or settings.zoom or settings.shift):
        return images
    share = small / side
    cosine, sine = share * np.cos(angle) / zoom, share * np.sin(angle) / zoom
    centre, small_centre = (side - 1) / 2, (small - 1) / 2
    # Where each output pixel (x, y, 1) comes from in the small photo.
    x = small_centre + share * shift[:, 0] - cosine * centre + sine * centre
    y = small_centre + share * shift[:, 1] - sine * centre - cosine * centre
    matrices = np.stack([np.stack([cosine, -sine, x], axis=1), np.stack([sine, cosine, y], axis=1)], axis=1)
    result = np.empty_like(images)
    for i, matrix in enumerate(matrices):
        photo = images[i]
        if small[i] < side:
            photo = cv2.resize(photo, (int(small[i]), int(small[i])), interpolation=cv2.INTER_LINEAR)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        result[i] = cv2.warpAffine(photo, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return result


def _colour_matrices(images: np.ndarray, grey: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """(batch, 3, 4) matrices: grey, then brightness, contrast and saturation by factors of 1 ± amount.

    The three come in an order that the batch draws. Contrast is about the photo's mean grey.
    """
    colour = np.where(grey[:, None, None], GREY, np.eye(3))
    offset = np.zeros((len(images), 3))
    means = images.mean(axis=(1, 2), dtype="float64")
    factors = 1 + rng.uniform(-amount, amount, (len(images), 3))
    for step in rng.permutation(3):
        factor = factors[:, step]
        if step == 2:  # Saturation: towards grey, or away from it.
            towards = factor[:, None, None] * np.eye(3) + (1 - factor)[:, None, None] * GREY
            colour, offset = towards @ colour, np.einsum("nij,nj->ni", towards, offset)
            continue
        # Contrast: towards the mean grey, or away from it. Brightness: the same with black.
        mean_grey = (np.einsum("nij,nj->ni", colour, means) + offset) @ GREY[0] * (step == 1)
        colour = colour * factor[:, None, None]
        offset = offset * factor[:, None] + ((1 - factor) * mean_grey)[:, None]
    return np.concatenate([colour, offset[..., None]], axis=2)


def _recolour(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    for i, matrix in enumerate(matrices):
        cv2.transform(images[i], matrix, dst=images[i])
    return np.clip(images, 0.0, 255.0, out=images)


def _erase(images: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> None:
    """Write a mid-grey rectangle of a random place, area and aspect into each chosen photo."""
    batch, side = images.shape[:2]
    area = rng.uniform(*ERASED_AREA, batch) * side * side
    low, high = np.log(ERASED_ASPECT)
    aspect = np.exp(rng.uniform(low, high, batch))
    height, width = np.sqrt(area * aspect), np.sqrt(area / aspect)
    top, left = rng.random(batch) * (side - height), rng.random(batch) * (side - width)
    for i in np.flatnonzero(chosen):
        rows = slice(round(top[i]), round(top[i] + height[i]))
        columns = slice(round(left[i]), round(left[i] + width[i]))
        images[i, rows, columns] = ERASED_VALUE
