"""All sizes of a photo on one canvas: how many, where, and what is drawn there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from keras_faceattr.faces.pyramid import (
    GREY,
    WINDOW,
    Layout,
    Level,
    barrier,
    draw_pyramid,
    empty_canvas,
    plan_layout,
)

SIZES = [(21, 21), (33, 250), (250, 33), (64, 64), (127, 128), (181, 243), (480, 640), (641, 479), (1080, 1921)]
SETTINGS = [(20, 0.709), (12, 0.709), (40, 0.709), (20, 0.5), (15, 0.95), (33, 0.3)]


def layouts() -> list[Layout]:
    found = [plan_layout(*size, *settings) for size in SIZES for settings in SETTINGS]
    return [layout for layout in found if layout.levels]


def covered(layout: Layout, level: Level) -> np.ndarray:
    """Pixels of the canvas that a level takes; raises where it leaves the canvas."""
    mask = np.zeros((layout.height, layout.width), bool)
    assert level.top + level.height <= layout.height
    assert level.left + level.width <= layout.width
    mask[level.top : level.top + level.height, level.left : level.left + level.width] = True
    return mask


def test_levels_lie_on_even_pixels_of_the_canvas_and_do_not_overlap() -> None:
    for layout in layouts():
        taken = np.zeros((layout.height, layout.width), int)
        for level in layout.levels:
            assert (level.top % 2, level.left % 2) == (0, 0)
            taken += covered(layout, level)
        assert taken.max() == 1
        assert (layout.height % 2, layout.width % 2) == (0, 0)


def test_two_levels_share_no_window() -> None:
    for layout in layouts():
        seen = np.zeros((layout.height // 2, layout.width // 2), int)
        for level in layout.levels:
            rows, columns = level.cells
            assert rows.stop * 2 + WINDOW - 2 <= level.top + level.height + 1
            assert columns.stop * 2 + WINDOW - 2 <= level.left + level.width + 1
            assert rows.stop > rows.start
            assert columns.stop > columns.start
            seen[rows, columns] += 1
        assert seen.max() == 1


@pytest.mark.parametrize("longer", [1.0, 1.37])
def test_there_are_as_many_levels_as_the_mtcnn_package_makes(longer: float) -> None:
    for shorter in range(13, 5000):
        # scales_count of mtcnn.utils.images.build_scale_pyramid.
        expected = round(-(np.log(shorter / 12) / np.log(0.709) + 1))
        sizes = (shorter, int(shorter * longer))
        for height, width in (sizes, sizes[::-1]):
            assert len(plan_layout(height, width, 20, 0.709).levels) == max(0, expected), (height, width)


def test_sizes_fall_by_the_factor_until_a_window_no_longer_fits() -> None:
    for height, width in SIZES:
        for min_face, factor in SETTINGS:
            levels = plan_layout(height, width, min_face, factor).levels
            scales = [level.scale for level in levels]
            np.testing.assert_allclose(scales, [WINDOW / min_face * factor**k for k in range(len(levels))])
            assert all(min(level.height, level.width) >= WINDOW for level in levels)
            assert min(height, width) * WINDOW / min_face * factor ** len(levels) < WINDOW + 0.1
            for level in levels:
                assert (level.height, level.width) == (int(height * level.scale), int(width * level.scale))


@pytest.mark.parametrize("size", [(1, 1), (5, 3000), (19, 19), (20, 20), (300, 20), (0, 0)])
def test_a_photo_smaller_than_the_smallest_face_has_no_level(size: tuple[int, int]) -> None:
    assert plan_layout(*size, 20, 0.709).levels == ()


def test_the_barrier_stands_behind_odd_levels_only() -> None:
    odd = 0
    for layout in layouts():
        wall = barrier(layout)[..., 0]
        assert wall.shape == (layout.height - 2, layout.width - 2)
        allowed = np.zeros(wall.shape, bool)
        for level in layout.levels:
            bottom, right = level.top + level.height - 2, level.left + level.width - 2
            assert (wall[level.top : bottom, level.left : right] == 0).all()
            if level.height % 2:
                assert (wall[bottom, level.left : right] < -1e6).all()
                allowed[bottom, level.left : right + 1] = True
            if level.width % 2:
                assert (wall[level.top : bottom, right] < -1e6).all()
                allowed[level.top : bottom + 1, right] = True
            odd += level.height % 2 + level.width % 2
        assert (wall[~allowed] == 0).all()
    assert odd > 50


def test_every_level_is_drawn_where_the_layout_says() -> None:
    photo = np.empty((181, 243, 3), np.float32)
    y, x = np.mgrid[0:181, 0:243]
    photo[..., 0], photo[..., 1], photo[..., 2] = x, y, 200
    layout = plan_layout(181, 243, 20, 0.709)
    canvas = empty_canvas(layout)
    draw_pyramid(np.full_like(photo, 3), layout, canvas)
    draw_pyramid(photo, layout, canvas)
    assert canvas.shape == (layout.height, layout.width, 3)
    assert canvas.dtype == np.float32
    outside = np.ones(canvas.shape[:2], bool)
    for level in layout.levels:
        mask = covered(layout, level)
        outside &= ~mask
        drawn = canvas[mask].reshape(level.height, level.width, 3)
        # The mean of a ramp of whole pixels is its middle, up to an eighth of a pixel.
        columns = (np.arange(level.width) + 0.5) * 243 / level.width - 0.5
        rows = (np.arange(level.height) + 0.5) * 181 / level.height - 0.5
        np.testing.assert_allclose(drawn[..., 0], np.tile(columns, (level.height, 1)), atol=0.125)
        np.testing.assert_allclose(drawn[..., 1], np.tile(rows[:, None], (1, level.width)), atol=0.125)
        np.testing.assert_allclose(drawn[..., 2], 200, rtol=1e-5)
    assert outside.any()
    assert (canvas[outside] == GREY).all()


def test_the_canvas_is_hardly_larger_than_what_is_drawn() -> None:
    layout = plan_layout(1080, 1920, 20, 0.709)
    drawn = sum(level.height * level.width for level in layout.levels)
    assert layout.height * layout.width < 1.35 * drawn
    assert all(a.height >= b.height for a, b in pairwise(layout.levels))
