"""Augmentation: decided by the seed alone, each change exactly what it says, none that leaves a trace."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_faceattr.config import AugmentationConfig
from keras_faceattr.data.augmentation import augment

OFF = {"flip": 0, "grey": 0, "min_scale": 1, "rotation_degrees": 0, "jitter": 0, "zoom": 0, "shift": 0, "erase": 0}
EVERYTHING = AugmentationConfig(zoom=0.2, shift=0.1, erase=0.5)


def only(**settings: float) -> AugmentationConfig:
    return AugmentationConfig(**{**OFF, **settings})


def changed(images: np.ndarray, settings: AugmentationConfig, seed: tuple[int, int] = (1, 2)) -> np.ndarray:
    return augment(images, settings, seed)


def noise(batch: int = 8, side: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)


def blobs(side: int, x: float, y: float, sigma: float, batch: int = 16) -> np.ndarray:
    """A smooth round spot at (x, y), in every photo of the batch."""
    row, column = np.mgrid[0:side, 0:side]
    spot = 250 * np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))
    return np.broadcast_to(spot[None, ..., None], (batch, side, side, 3)).astype("float32")


def centroids(images: np.ndarray) -> np.ndarray:
    """(batch, 2) mean position (x, y), weighted by brightness."""
    weights = images[..., 0].astype("float64")
    row, column = np.mgrid[0 : images.shape[1], 0 : images.shape[2]]
    total = weights.sum(axis=(1, 2))
    return np.stack([(weights * column).sum(axis=(1, 2)), (weights * row).sum(axis=(1, 2))], axis=1) / total[:, None]


def widths(images: np.ndarray) -> np.ndarray:
    """(batch,) standard deviation of the position along x, weighted by brightness."""
    weights = images[..., 0].astype("float64")
    column = np.arange(images.shape[2])
    away = (column[None] - centroids(images)[:, :1]) ** 2
    return np.sqrt((weights * away[:, None, :]).sum(axis=(1, 2)) / weights.sum(axis=(1, 2)))


def test_the_same_seed_gives_the_same_pictures_and_another_gives_others() -> None:
    images = noise()
    first = changed(images, EVERYTHING, (3, 4))
    np.testing.assert_array_equal(changed(images, EVERYTHING, (3, 4)), first)
    for other in ((3, 5), (4, 4)):
        assert np.abs(changed(images, EVERYTHING, other) - first).mean() > 1


def test_inside_tf_datas_threads_the_pictures_are_the_same_as_outside() -> None:
    images = noise()
    data = tf.data.Dataset.from_tensors(images).map(
        lambda x: tf.numpy_function(lambda pixels: augment(pixels, EVERYTHING, (3, 4)), [x], tf.float32)
    )
    [inside] = list(data.as_numpy_iterator())
    assert inside.dtype == np.float32
    np.testing.assert_allclose(inside, changed(images, EVERYTHING, (3, 4)), atol=1e-2)


def test_with_all_steps_off_nothing_changes() -> None:
    np.testing.assert_array_equal(changed(noise(), only()), noise().astype("float32"))


def test_a_sure_flip_mirrors_left_and_right_exactly() -> None:
    np.testing.assert_array_equal(changed(noise(), only(flip=1)), noise()[:, :, ::-1].astype("float32"))


def test_a_half_flip_mirrors_some_photos_of_a_batch_and_leaves_others() -> None:
    images = noise(64, 16).astype("float32")
    result = changed(images, only(flip=0.5))
    kept = (result == images).all(axis=(1, 2, 3))
    mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (kept ^ mirrored).all()
    # 64 fair coins: fewer than 16 or more than 48 heads come up once in 30,000 times.
    assert 16 <= mirrored.sum() <= 48


def test_sure_grey_gives_every_channel_the_luma() -> None:
    luma = noise().astype("float64") @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(changed(noise(), only(grey=1)), np.repeat(luma[..., None], 3, axis=-1), atol=1e-3)


def test_rotation_keeps_the_centre_pixel_and_moves_the_corner() -> None:
    images = noise(8, 25).astype("float32")
    result = changed(images, only(rotation_degrees=180))
    np.testing.assert_allclose(result[:, 12, 12], images[:, 12, 12], atol=0.1)
    assert (np.abs(result[:, 0, 0] - images[:, 0, 0]).max(axis=1) > 1).sum() >= 6


def test_rotation_turns_round_the_centre_without_shear() -> None:
    # A round spot in the centre looks the same however it is turned; one beside it keeps its distance.
    round_spot = blobs(40, 19.5, 19.5, 4)
    assert np.abs(changed(round_spot, only(rotation_degrees=180)) - round_spot).max() < 4
    moved = centroids(changed(blobs(40, 28.5, 19.5, 2), only(rotation_degrees=180))) - 19.5
    np.testing.assert_allclose(np.hypot(*moved.T), 9.0, atol=0.1)
    assert np.ptp(np.arctan2(moved[:, 1], moved[:, 0])) > 1


def test_rotation_stays_within_its_range_and_turns_both_ways() -> None:
    moved = centroids(changed(blobs(40, 31.5, 19.5, 2, batch=64), only(rotation_degrees=15))) - 19.5
    degrees = np.degrees(np.arctan2(moved[:, 1], moved[:, 0]))
    assert np.abs(degrees).max() <= 15.3
    assert degrees.min() < -8
    assert degrees.max() > 8


def test_zoom_scales_about_the_centre_within_its_range() -> None:
    images = blobs(48, 23.5, 23.5, 3, batch=64)
    result = changed(images, only(zoom=0.5))
    ratio = widths(result) / widths(images)
    assert ratio.min() >= 1 / 1.5 - 0.03
    assert ratio.max() <= 1.5 + 0.03
    assert ratio.min() < 0.8
    assert ratio.max() > 1.25
    np.testing.assert_allclose(centroids(result), 23.5, atol=0.1)


def test_shift_moves_both_ways_within_its_share() -> None:
    moved = centroids(changed(blobs(50, 24.5, 24.5, 2, batch=64), only(shift=0.2))) - 24.5
    assert np.abs(moved).max() <= 0.2 * 50 + 0.1
    assert (moved.min(axis=0) < -5).all()
    assert (moved.max(axis=0) > 5).all()
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.5


@pytest.mark.parametrize(("x", "y"), [(15.5, 15.5), (9.0, 20.0)])
def test_a_smaller_scale_blurs_and_moves_nothing(x: float, y: float) -> None:
    images = blobs(32, x, y, 3)
    result = changed(images, only(min_scale=0.5))
    np.testing.assert_allclose(centroids(result), np.broadcast_to((x, y), (16, 2)), atol=0.1)
    sharp, blurred = (np.abs(np.diff(changed(noise(), s), axis=2)).mean() for s in (only(), only(min_scale=0.5)))
    assert blurred < 0.9 * sharp


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_constant_photo_stays_constant_under_geometry(value: int) -> None:
    settings = AugmentationConfig(
        flip=0.5, grey=0, min_scale=0.5, rotation_degrees=45, jitter=0, zoom=0.5, shift=0.3, erase=0
    )
    result = changed(np.full((16, 24, 24, 3), value, np.uint8), settings)
    np.testing.assert_allclose(result, value, atol=1e-3)


def test_jitter_scales_a_grey_photo_by_its_share_at_most() -> None:
    # Contrast and saturation leave a constant grey as it is, so that brightness is left.
    result = changed(np.full((64, 8, 8, 3), 100, np.uint8), only(jitter=0.4))
    means = result.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(result, np.broadcast_to(means[:, None, None, None], result.shape), atol=1e-2)
    assert means.min() >= 60 - 1e-2
    assert means.max() <= 140 + 1e-2
    assert means.min() < 75
    assert means.max() > 125


def test_values_stay_between_0_and_255() -> None:
    extreme = np.where(noise(16) > 127, 255, 0).astype(np.uint8)
    for step in range(4):
        result = changed(extreme, EVERYTHING.model_copy(update={"jitter": 0.9}), (0, step))
        assert np.isfinite(result).all()
        assert result.min() >= 0
        assert result.max() <= 255


def test_an_erased_rectangle_has_2_to_15_percent_of_the_area() -> None:
    side = 128
    holes = (changed(np.zeros((64, side, side, 3), np.uint8), only(erase=1)) == 127.5).all(axis=-1)
    areas = holes.sum(axis=(1, 2))
    for hole in holes:
        np.testing.assert_array_equal(hole, hole.any(axis=1)[:, None] & hole.any(axis=0)[None])
    # Each side of the rectangle is rounded by less than a pixel; the longest is √(0.15 e^0.7) = 0.55 of the photo.
    assert areas.min() >= 0.02 * side**2 - 2 * 0.21 * side
    assert areas.max() <= 0.15 * side**2 + 2 * 0.55 * side + 1
    assert np.ptp(areas) > 0.06 * side**2
    assert 0.06 < areas.mean() / side**2 < 0.11


def test_each_photo_of_a_batch_draws_its_own() -> None:
    images = np.repeat(noise(1), 8, axis=0)
    for settings in (only(rotation_degrees=30), only(min_scale=0.5), only(jitter=0.4), only(zoom=0.3), only(shift=0.2)):
        result = changed(images, settings).reshape(8, -1)
        # A scale is a whole number of pixels, so that two photos may draw the same one.
        assert len({row.tobytes() for row in result}) >= (6 if settings.min_scale < 1 else 8)
