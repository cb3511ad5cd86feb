"""Random changes of training crops, on a whole batch at once, decided by a seed alone (DLDL-v2, section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from keras_faceattr.config import AugmentationConfig

Tensor = Any

GREY_WEIGHTS = (0.299, 0.587, 0.114)
ERASED_AREA = (0.02, 0.15)


def augment(images: Tensor, settings: AugmentationConfig, seed: Tensor) -> Tensor:
    """Applies the paper's five changes in its order, and ours.

    Flip, grey, short side resampled to a random share and back, rotation (with zoom and shift in one resampling),
    colour jitter, erased rectangle. Each photo of the batch draws its own.

    Args:
        images: (batch, side, side, 3) from 0 to 255.
        settings: probabilities and ranges; a range of 0 leaves its step out.
        seed: (2,) int32; the same seed gives the same pictures, whatever runs in parallel.

    Returns:
        (batch, side, side, 3) float32 from 0 to 255.
    """
    images = tf.cast(images, tf.float32)
    draw = _Draws(tf.shape(images)[0], seed)
    if settings.flip:
        images = _where(draw.below(settings.flip), images[:, :, ::-1], images)
    if settings.grey:
        images = _where(draw.below(settings.grey), _grey(images), images)
    images = _resample(images, settings, draw)
    if settings.jitter:
        images = _colour_jitter(images, settings.jitter, draw)
    if settings.erase:
        images = _erase(images, settings.erase, draw)
    return images


class _Draws:
    """Numbers between 0 and 1, one a photo; each call draws from the next stream of the seed."""

    def __init__(self, batch: Tensor, seed: Tensor) -> None:
        self.batch = batch
        self.seed = tf.cast(seed, tf.int32)
        self.stream = 0

    def uniform(self, low: float = 0.0, high: float = 1.0, columns: int | None = None) -> Tensor:
        """(batch,), or (batch, columns)."""
        self.stream += 1
        seed = tf.random.experimental.stateless_fold_in(self.seed, self.stream)
        shape = [self.batch] if columns is None else [self.batch, columns]
        return tf.random.stateless_uniform(shape, seed, low, high)

    def below(self, probability: float) -> Tensor:
        """(batch,) true with this probability."""
        return self.uniform() < probability


def _where(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return tf.where(condition[:, None, None, None], yes, no)


def _grey(images: Tensor) -> Tensor:
    return tf.repeat(tf.reduce_sum(images * tf.constant(GREY_WEIGHTS), -1, keepdims=True), 3, -1)


def _transform(images: Tensor, matrix: list[Tensor]) -> Tensor:
    """Samples `images` where the matrix (a0 a1 a2 b0 b1 b2), each (batch,), sends each output pixel.

    Beyond the picture its edge goes on: a constant fill would tell the net how far a photo was turned.
    """
    zero = tf.zeros_like(matrix[0])
    transforms = tf.stack([*matrix, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )


def _resample(images: Tensor, settings: AugmentationConfig, draw: _Draws) -> Tensor:
    """Shrinks to a random share of the size, then turns, zooms and shifts back to the full size."""
    moves = settings.rotation_degrees or settings.zoom or settings.shift
    if settings.min_scale == 1 and not moves:
        return images
    side = tf.cast(tf.shape(images)[1], tf.float32)
    share = draw.uniform(settings.min_scale, 1.0)
    zero = tf.zeros_like(share)
    if settings.min_scale < 1:
        # Pixel centres: output (x + ½) samples input (x + ½) / share; beyond the small photo its edge goes on.
        offset = 0.5 / share - 0.5
        images = _transform(images, [1 / share, zero, offset, zero, 1 / share, offset])
    angle = draw.uniform(-1, 1) * (settings.rotation_degrees * math.pi / 180)
    zoom = tf.exp(draw.uniform(-1, 1) * math.log1p(settings.zoom))
    shift = draw.uniform(-1, 1, columns=2) * settings.shift * side[None, None]
    cosine, sine = share * tf.cos(angle) / zoom, share * tf.sin(angle) / zoom
    centre = (side - 1) / 2
    # The small photo's centre, in pixel coordinates of the canvas that it lies on.
    small_centre = share * side / 2 - 0.5
    offset_x = small_centre + share * shift[:, 0] - cosine * centre + sine * centre
    offset_y = small_centre + share * shift[:, 1] - sine * centre - cosine * centre
    return _transform(images, [cosine, -sine, offset_x, sine, cosine, offset_y])


def _colour_jitter(images: Tensor, amount: float, draw: _Draws) -> Tensor:
    """Brightness, contrast and saturation, each by a factor of 1 ± amount, in a random order per batch."""
    factors = 1 + draw.uniform(-amount, amount, columns=3)

    def brightness(x: Tensor) -> Tensor:
        return x * factors[:, 0, None, None, None]

    def contrast(x: Tensor) -> Tensor:
        return _blend(x, tf.reduce_mean(_grey(x), axis=[1, 2, 3], keepdims=True), factors[:, 1])

    def saturation(x: Tensor) -> Tensor:
        return _blend(x, _grey(x), factors[:, 2])

    steps: list[Callable[[Tensor], Tensor]] = [brightness, contrast, saturation]
    order = tf.argsort(draw.uniform(columns=3)[0])
    for place in range(3):
        images = tf.switch_case(order[place], [partial(step, images) for step in steps])
    return tf.clip_by_value(images, 0.0, 255.0)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    factor = factor[:, None, None, None]
    return images * factor + other * (1 - factor)


def _erase(images: Tensor, probability: float, draw: _Draws) -> Tensor:
    """A mid-grey rectangle of a random place, area and aspect."""
    side = tf.cast(tf.shape(images)[1], tf.float32)
    area = draw.uniform(*ERASED_AREA) * side * side
    aspect = tf.exp(draw.uniform(-0.7, 0.7))
    height, width = tf.sqrt(area * aspect), tf.sqrt(area / aspect)
    top, left = draw.uniform() * (side - height), draw.uniform() * (side - width)
    line = tf.range(side)
    rows = (line[None] >= top[:, None]) & (line[None] < (top + height)[:, None])
    columns = (line[None] >= left[:, None]) & (line[None] < (left + width)[:, None])
    hole = rows[:, :, None] & columns[:, None, :] & draw.below(probability)[:, None, None]
    return tf.where(hole[..., None], 127.5, images)
