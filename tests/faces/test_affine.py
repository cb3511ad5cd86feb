"""Maps from points, and what a map shows of a photo."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.faces.affine import (
    INTERPOLATIONS,
    face_map,
    inverse,
    moved_points,
    similarity,
    square_map,
    warp,
)
from keras_faceattr.faces.template import TEMPLATE

MIRRORED = [1, 0, 2, 4, 3]
GREY = 127
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def turned(degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """(2, 3)."""
    angle = np.deg2rad(degrees)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("degrees", [0, 20, -75, 180, 359])
@pytest.mark.parametrize("scale", [0.01, 1, 30])
def test_a_known_turn_scale_and_shift_is_recovered(degrees: float, scale: float) -> None:
    known = turned(degrees, scale, (17.5, -240))
    points = np.random.default_rng(0).uniform(0, 200, (5, 2))
    targets = points @ known[:, :2].T + known[:, 2]
    np.testing.assert_allclose(similarity(points, targets), known, atol=1e-9)


def test_noisy_points_are_brought_nearest_by_least_squares() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        points, targets = rng.uniform(-50, 300, (5, 2)), rng.uniform(0, 112, (5, 2))
        # x' = a x - b y + s, y' = b x + a y + t.
        x, y = points.T
        one, zero = np.ones(5), np.zeros(5)
        rows = np.concatenate([np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)])
        a, b, s, t = np.linalg.lstsq(rows, targets.T.ravel(), rcond=None)[0]
        np.testing.assert_allclose(similarity(points, targets), [[a, -b, s], [b, a, t]], atol=1e-8)


def test_mirrored_points_are_never_mirrored_back() -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        points = TEMPLATE * 100 + rng.normal(0, 8, (5, 2))
        for seen in (points, points * [-1, 1], points * [1, -1], points[MIRRORED], rng.uniform(0, 100, (5, 2))):
            matrix = similarity(seen, TEMPLATE)
            assert matrix is not None
            assert np.linalg.det(matrix[:, :2]) > 0
            assert matrix[0, 0] == pytest.approx(matrix[1, 1])
            assert matrix[0, 1] == pytest.approx(-matrix[1, 0])


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("wrong", [0.0, 55.3, np.nan, np.inf])
def test_points_that_are_one_or_no_numbers_have_no_map(wrong: float) -> None:
    assert similarity(np.full((5, 2), wrong), TEMPLATE) is None
    assert face_map(np.full((5, 2), wrong), 112, 0.2) is None


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_one_point_that_is_no_number_leaves_no_map(wrong: float) -> None:
    points = TEMPLATE * 100
    points[3, 0] = wrong
    assert similarity(points, TEMPLATE) is None


def test_the_template_is_symmetric_and_upright() -> None:
    np.testing.assert_allclose(TEMPLATE[MIRRORED] * [-1, 1] + [1, 0], TEMPLATE, atol=1e-12)
    assert ((TEMPLATE > 0.3) & (TEMPLATE < 0.9)).all()
    left_eye, right_eye, nose, left_mouth, _ = TEMPLATE
    assert left_eye[0] < right_eye[0]
    assert left_eye[1] < nose[1] < left_mouth[1]


@pytest.mark.parametrize(("size", "margin"), [(112, 0.0), (224, 0.2), (64, 1.0)])
def test_a_face_like_the_template_lands_within_the_margin(size: int, margin: float) -> None:
    seen = TEMPLATE @ turned(25, 300, (0, 0))[:, :2].T + [400, 90]
    matrix = face_map(seen, size, margin)
    assert matrix is not None
    # The template's square is the crop without its margin; pixel 0 reaches from -0.5 to 0.5.
    side = size / (1 + 2 * margin)
    expected = TEMPLATE * side + side * margin - 0.5
    np.testing.assert_allclose(moved_points(seen, matrix), expected, atol=1e-9)


def test_the_inverse_leads_back() -> None:
    matrix = turned(33, 0.4, (12, -50))
    points = np.random.default_rng(3).uniform(0, 500, (20, 2))
    np.testing.assert_allclose(moved_points(moved_points(points, matrix), inverse(matrix)), points, atol=1e-9)


def test_a_square_map_brings_edges_to_edges() -> None:
    matrix = square_map(30, 10, 60, 40, 20)
    # Edges lie half a pixel outside the middles of the pixels at the border.
    corners = np.array([[29.5, 9.5], [89.5, 9.5], [89.5, 49.5], [29.5, 49.5]])
    np.testing.assert_allclose(moved_points(corners, matrix), [[-0.5, -0.5], [19.5, -0.5], [19.5, 19.5], [-0.5, 19.5]])


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_square_of_the_crops_own_size_is_copied(interpolation: str) -> None:
    photo = noise(50, 70)
    np.testing.assert_array_equal(warp(photo[:50, :50], IDENTITY, 50, interpolation), photo[:, :50])
    np.testing.assert_array_equal(warp(photo, square_map(9, 4, 40, 40, 40), 40, interpolation), photo[4:44, 9:49])


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("shrink", [1, 2, 5])
def test_beyond_the_photo_all_is_grey(interpolation: str, shrink: int) -> None:
    side = 40 * shrink
    photo = np.full((side, side, 3), (255, 0, 9), np.uint8)
    crop = warp(photo, square_map(-side // 2, side // 4, side, side, 40), 40, interpolation)
    assert (crop[:, :18] == GREY).all()
    assert (crop[32:] == GREY).all()
    assert (crop[:28, 22:] == (255, 0, 9)).all()
    assert (warp(photo, square_map(9 * side, 9 * side, side, side, 40), 40, interpolation) == GREY).all()


def block_means(photo: np.ndarray, block: int) -> np.ndarray:
    height, width = (side // block for side in photo.shape[:2])
    return photo.reshape(height, block, width, block, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("block", [2, 3, 4, 5, 7])
def test_area_averages_what_it_shrinks_by_whole_numbers(block: int) -> None:
    photo = noise(32 * block, 48 * block)
    crop = warp(photo, square_map(0, 0, 32 * block, 32 * block, 32), 32, "area")
    assert np.abs(crop - block_means(photo, block)[:, :32]).max() <= 0.5 + 1e-6
    inside = warp(photo, square_map(16 * block, 8 * block, 16 * block, 16 * block, 16), 16, "area")
    assert np.abs(inside - block_means(photo, block)[8:24, 16:32]).max() <= 0.5 + 1e-6


def test_area_averages_whole_blocks_whatever_the_size() -> None:
    for size in (16, 48, 100, 112, 224):
        for block in range(2, 11):
            photo = noise(size * block, size * block)
            crop = warp(photo, square_map(0, 0, size * block, size * block, size), size, "area")
            assert np.abs(crop - block_means(photo, block)).max() <= 0.5 + 1e-6, (size, block)


def test_area_is_bilinear_where_it_hardly_shrinks_or_grows() -> None:
    photo = noise(60, 60)
    for scale in (0.6, 1.0, 2.5):
        matrix = turned(20, scale, (5, -8))
        np.testing.assert_array_equal(warp(photo, matrix, 48, "area"), warp(photo, matrix, 48, "bilinear"))


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 100 * np.sin(x / a + y / b) for a, b in ((40, 70), (90, 30), (60, -50))]
    return np.stack(waves, axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("scale", [0.05, 0.12, 0.3, 0.45, 0.8])
def test_area_shows_a_smooth_photo_where_the_map_says(scale: float) -> None:
    photo = cv2.GaussianBlur(smooth(1600, 1600), (0, 0), 0.5 / scale)
    matrix = turned(17, scale, (0, 0))
    matrix[:, 2] = 32 - matrix[:, :2] @ [790, 810]
    crop = warp(photo, matrix, 64, "area").astype(float)
    seen = moved_points(
        np.stack(np.meshgrid(np.arange(64.0), np.arange(64.0)), axis=-1).reshape(-1, 2), inverse(matrix)
    )
    x, y = seen.round().astype(int).reshape(64, 64, 2).transpose(2, 0, 1)
    known = (x >= 0) & (x < 1600) & (y >= 0) & (y < 1600)
    inner = cv2.erode(known.astype(np.uint8), np.ones((5, 5))) > 0
    expected = photo[np.clip(y, 0, 1599), np.clip(x, 0, 1599)]
    assert np.abs(crop - expected)[inner].mean() < 3


def test_what_is_not_shown_does_not_change_a_crop() -> None:
    photo = noise(900, 900)
    other = noise(900, 900, seed=9)
    for scale in (0.9, 0.4, 0.11):
        matrix = turned(-30, scale, (0, 0))
        matrix[:, 2] = 24 - matrix[:, :2] @ [450, 450]
        reach = int(24 / scale * 1.5 + 2 / scale)
        kept = other.copy()
        inside = slice(max(0, 450 - reach), 450 + reach)
        kept[inside, inside] = photo[inside, inside]
        for interpolation in INTERPOLATIONS:
            np.testing.assert_array_equal(warp(kept, matrix, 48, interpolation), warp(photo, matrix, 48, interpolation))


def test_a_larger_crop_by_the_same_map_begins_with_the_same_pixels() -> None:
    worst = 0
    for offset in range(0, 24, 3):
        matrix = square_map(390 + offset, 0, 24 * 16 * 1.001, 24 * 16 * 1.001, 16)
        for step in range(750, 840, 3):
            photo = np.zeros((400, 1300, 3), np.uint8)
            photo[:, step:] = 255
            large = warp(photo, matrix, 24, "area")[:16, :16].astype(int)
            worst = max(worst, np.abs(warp(photo, matrix, 16, "area") - large).max())
    assert worst <= 1


def mirrored_scene(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    photo, landmarks = draw_scene(9, number, 231 + number % 2, 300 + number % 3)
    points = landmarks[0].astype(np.float64)
    other = points[MIRRORED] * [-1, 1] + [photo.shape[1] - 1, 0]
    return photo, points, np.ascontiguousarray(photo[:, ::-1]), other


def largest_difference(interpolation: str, size: int, of: Callable[[np.ndarray], float]) -> float:
    found = []
    for number in range(6):
        photo, points, mirrored, other = mirrored_scene(number)
        first, second = face_map(points, size, 0.2), face_map(other, size, 0.2)
        assert first is not None
        assert second is not None
        crop, back = warp(photo, first, size, interpolation), warp(mirrored, second, size, interpolation)[:, ::-1]
        found.append(of(np.abs(crop.astype(int) - back)))
    return max(found)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_the_mirrored_photo_gives_the_mirrored_crop(interpolation: str) -> None:
    assert largest_difference(interpolation, 128, np.max) <= 1


def test_the_mirrored_photo_gives_nearly_the_mirrored_crop_where_area_averages() -> None:
    assert largest_difference("area", 40, np.mean) < 4
