"""Arithmetic on boxes, against loops over single boxes."""

from __future__ import annotations

import numpy as np
import pytest

from keras_faceattr.faces.boxes import BLOCK, areas, moved, overlaps, squared, suppress

EMPTY = np.empty((0, 4), np.float32)


def random_boxes(seed: int, count: int, spread: float = 100, side: float = 40) -> np.ndarray:
    """(count, 4) float32, every tenth of them without width or inside out."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-20, spread, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(side / 4, side, (count, 2))], axis=1).astype(np.float32)
    boxes[::10, 2] = boxes[::10, 0]
    boxes[5::10] = boxes[5::10][:, [2, 1, 0, 3]]
    boxes[7::20] = boxes[7::20][:, [2, 3, 0, 1]]
    return boxes


def area(box: np.ndarray) -> float:
    left, top, right, bottom = map(float, box)
    return (right - left) * (bottom - top) if right > left and bottom > top else 0.0


def overlap(a: np.ndarray, b: np.ndarray, of: str) -> float:
    shared = area(np.array([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]))
    whole = min(area(a), area(b)) if of == "smaller" else area(a) + area(b) - shared
    return shared / whole if whole > 0 else 0.0


@pytest.mark.parametrize("of", ["union", "smaller"])
def test_overlaps_are_those_of_each_pair(of: str) -> None:
    first, second = random_boxes(1, 40), random_boxes(2, 50)
    expected = [[overlap(a, b, of) for b in second] for a in first]
    shares = overlaps(first, second, of)
    np.testing.assert_allclose(shares, expected, atol=1e-5)
    assert shares.max() > 0.3


def test_overlaps_in_whole_numbers() -> None:
    boxes = np.array([[0, 0, 4, 4], [2, 2, 4, 6], [4, 0, 8, 4]], np.float32)
    np.testing.assert_allclose(overlaps(boxes[:1], boxes), [[1, 4 / 20, 0]])
    np.testing.assert_allclose(overlaps(boxes[:1], boxes, of="smaller"), [[1, 4 / 8, 0]])


def test_a_box_without_area_overlaps_nothing_not_even_itself() -> None:
    boxes = np.array([[5, 5, 5, 9], [9, 5, 5, 9], [9, 9, 5, 5], [0, 0, 20, 20]], np.float32)
    np.testing.assert_array_equal(areas(boxes), [0, 0, 0, 400])
    for of in ("union", "smaller"):
        np.testing.assert_array_equal(overlaps(boxes, boxes, of), np.diag([0, 0, 0, 1]))


def test_areas_are_those_of_each_box() -> None:
    boxes = random_boxes(3, 60)
    np.testing.assert_allclose(areas(boxes), [area(box) for box in boxes], rtol=1e-5)


def suppressed_one_by_one(boxes: np.ndarray, scores: np.ndarray, limit: float, of: str) -> list[int]:
    best_first = sorted(range(len(boxes)), key=lambda i: -scores[i])
    return [
        box
        for rank, box in enumerate(best_first)
        if not any(overlap(boxes[better], boxes[box], of) > limit for better in best_first[:rank])
    ]


@pytest.mark.parametrize("of", ["union", "smaller"])
@pytest.mark.parametrize("count", [1, 30, 200])
def test_a_box_that_overlaps_a_better_one_is_dropped(count: int, of: str) -> None:
    boxes, scores = random_boxes(count, count), np.random.default_rng(count).permutation(count) / count
    for limit in (0.05, 0.3, 0.7):
        kept = suppress(boxes, scores, limit, of)
        assert kept.tolist() == suppressed_one_by_one(boxes, scores, limit, of)


def test_more_boxes_than_are_computed_at_once_are_dropped_alike() -> None:
    count = 2 * BLOCK + 76
    boxes, scores = random_boxes(4, count, spread=900, side=60), np.random.default_rng(4).permutation(count) / count
    kept = suppress(boxes, scores, 0.2)
    assert kept.tolist() == suppressed_one_by_one(boxes, scores, 0.2, "union")
    assert 0.2 * count < len(kept) < 0.9 * count


def test_a_dropped_box_still_drops_others() -> None:
    chain = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    assert suppress(chain, np.array([0.9, 0.8, 0.7]), 0.4).tolist() == [0]
    assert suppress(chain[[0, 2]], np.array([0.9, 0.7]), 0.4).tolist() == [0, 1]


def test_what_stays_is_given_best_first() -> None:
    apart = np.array([[0, 0, 5, 5], [20, 0, 25, 5], [40, 0, 45, 5]], np.float32)
    assert suppress(apart, np.array([0.7, 0.9, 0.8], np.float32), 0.5).tolist() == [1, 2, 0]


def test_of_equal_scores_one_box_stays() -> None:
    same = np.tile(np.array([[0, 0, 9, 9]], np.float32), (4, 1))
    assert len(suppress(same, np.full(4, 0.8, np.float32), 0.5)) == 1


def test_a_square_is_as_wide_as_the_longer_side_about_the_same_centre() -> None:
    boxes = random_boxes(5, 50)
    for box, square in zip(boxes, squared(boxes), strict=True):
        left, top, right, bottom = map(float, box)
        half = max(right - left, bottom - top) / 2
        x, y = (left + right) / 2, (top + bottom) / 2
        np.testing.assert_allclose(square, [x - half, y - half, x + half, y + half], atol=1e-4)


def test_edges_move_by_shares_of_one_pixel_more_than_the_side() -> None:
    box = np.array([[10, 20, 19, 39]], np.float32)
    offsets = np.array([[0.1, -0.1, 0.5, 0.05]], np.float32)
    np.testing.assert_allclose(moved(box, offsets), [[11, 18, 24, 40]], atol=1e-5)
    np.testing.assert_array_equal(moved(box, np.zeros((1, 4), np.float32)), box)


def test_no_boxes_give_no_boxes() -> None:
    some = random_boxes(6, 3)
    assert overlaps(EMPTY, some).shape == (0, 3)
    assert overlaps(some, EMPTY).shape == (3, 0)
    assert areas(EMPTY).shape == (0,)
    assert suppress(EMPTY, np.empty(0, np.float32), 0.5).shape == (0,)
    assert squared(EMPTY).shape == (0, 4)
    assert moved(EMPTY, EMPTY).shape == (0, 4)
