"""Relations of attributes and their loss, against NumPy's correlation and the paper's sums as loops."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops
from tensors import f32, gradient

from keras_faceattr.losses.relation import batch_correlation, moving_correlation, relation, relation_loss

NAN = float("nan")


def arrays(tensors) -> list[np.ndarray]:
    return [np.asarray(ops.convert_to_numpy(tensor)) for tensor in tensors]


def labels(batch: int, attributes: int, missing: float, seed: int = 0) -> np.ndarray:
    """Correlated 0/1 labels, some of them missing."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(batch, attributes)) + rng.normal(size=(batch, 1)) * rng.choice([-1, 1], attributes)
    values = (values > rng.normal(size=attributes)).astype("float32")
    values[rng.random(values.shape) < missing] = NAN
    return values


def expected_correlation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = values.shape[1]
    correlation, defined = np.zeros((count, count)), np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            left, right = values[~np.isnan(values[:, i] + values[:, j])][:, [i, j]].T.astype("float64")
            if len(left) and np.ptp(left) > 0 and np.ptp(right) > 0:
                correlation[i, j], defined[i, j] = np.corrcoef(left, right)[0, 1], 1.0
    return correlation, defined


def expected_loss(probabilities, relations, defined, positive=0.8, negative=0.2) -> np.ndarray:
    count = probabilities.shape[1]
    rows = np.zeros(len(probabilities))
    for k, p in enumerate(np.asarray(probabilities, "float64")):
        for i in range(count):
            for j in range(count):
                if defined[i, j]:
                    squared = (p[i] - p[j]) ** 2
                    rows[k] += (relations[i, j] >= positive) * squared
                    rows[k] += (relations[i, j] <= negative) * (1 - squared) ** 2
    return rows / (2 * count**2)


@pytest.mark.parametrize(("batch", "missing"), [(64, 0.0), (64, 0.3), (5, 0.5), (3000, 0.1), (1, 0.0)])
def test_the_correlation_is_numpys_over_the_photos_labelled_for_both(batch: int, missing: float) -> None:
    values = labels(batch, 9, missing)
    correlation, defined = arrays(batch_correlation(f32(values)))
    expected, expected_defined = expected_correlation(values)
    np.testing.assert_array_equal(defined, expected_defined)
    np.testing.assert_allclose(correlation, expected, atol=2e-6)


def test_a_constant_or_unlabelled_attribute_has_no_correlation_even_in_a_huge_batch() -> None:
    values = labels(20_000, 5, 0.0)
    values[:, 0], values[:, 1], values[:, 2] = 0.0, 1.0, NAN
    correlation, defined = arrays(batch_correlation(f32(values)))
    assert not defined[:3].any() and not defined[:, :3].any() and defined[3:, 3:].all()
    assert not correlation[:3].any() and not correlation[:, :3].any()


def test_same_and_opposite_attributes_correlate_fully() -> None:
    column = np.array([0, 1, 1, 0, 1.0])
    correlation, _ = arrays(batch_correlation(f32(np.stack([column, column, 1 - column], axis=1))))
    np.testing.assert_allclose(correlation, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-6)


def test_an_attribute_that_is_constant_where_the_other_is_labelled_is_not_defined_there() -> None:
    values = [[0, 1, 1], [1, 1, 0], [NAN, 0, 1], [1, NAN, 1]]
    _, defined = arrays(batch_correlation(f32(values)))
    np.testing.assert_array_equal(defined, [[1, 0, 1], [0, 1, 1], [1, 1, 1]])


def test_an_empty_batch_defines_nothing() -> None:
    correlation, defined = arrays(batch_correlation(f32(np.zeros((0, 3)))))
    assert not correlation.any() and not defined.any() and correlation.shape == (3, 3)


def test_the_moving_average_is_equation_1_when_every_batch_defines_everything() -> None:
    batches = np.random.default_rng(1).uniform(-1, 1, (6, 3, 3))
    sums = weights = f32(np.zeros((3, 3)))
    sum_, weight = np.zeros((3, 3)), 0.0
    for batch in batches:
        sums, weights = moving_correlation(sums, weights, f32(batch), f32(np.ones((3, 3))), 0.9)
        sum_, weight = 0.9 * sum_ + batch, 0.9 * weight + 1
        np.testing.assert_allclose(ops.convert_to_numpy(relation(sums, weights)), sum_ / weight, rtol=1e-5)


def test_a_batch_that_does_not_define_a_pair_leaves_its_average_as_it_was() -> None:
    sums, weights = f32(np.zeros((1, 3))), f32(np.zeros((1, 3)))
    for value, defined in (([0.5, 0.5, 0.0], [1, 1, 0]), ([0.0, 0.1, 0.0], [0, 1, 0]), ([0.9, 0.3, 0.0], [1, 1, 0])):
        sums, weights = moving_correlation(sums, weights, f32([value]), f32([defined]), 0.5)
    by_hand = [(0.5 * 0.5 + 0.9) / 1.5, (0.25 * 0.5 + 0.5 * 0.1 + 0.3) / 1.75, 0.0]
    np.testing.assert_allclose(ops.convert_to_numpy(relation(sums, weights))[0], by_hand, rtol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(weights)[0], [1.5, 1.75, 0.0])


def test_an_average_survives_any_number_of_batches_that_do_not_define_it() -> None:
    one, none = f32([[1.0]]), f32([[0.0]])
    sums, weights = moving_correlation(none, none, f32([[0.7]]), one, 0.01)
    for _ in range(40):
        sums, weights = moving_correlation(sums, weights, none, none, 0.01)
    assert float(relation(sums, weights)[0, 0]) == pytest.approx(0.7)
    assert float(weights[0, 0]) > 0


@pytest.mark.parametrize(("positive", "negative"), [(0.8, 0.2), (0.3, -0.1)])
def test_the_loss_is_the_sum_over_pairs_of_equation_2(positive: float, negative: float) -> None:
    rng = np.random.default_rng(2)
    relations = rng.uniform(-1, 1, (6, 6))
    relations = (relations + relations.T) / 2
    relations[0, 1], relations[2, 3] = 0.8, 0.2
    defined = (rng.random((6, 6)) > 0.2).astype("float32")
    probabilities = rng.random((5, 6))
    arguments = np.asarray(relations, "float32"), defined, positive, negative
    got = ops.convert_to_numpy(relation_loss(f32(probabilities), *map(f32, arguments[:2]), positive, negative))
    assert got.shape == (5,)
    np.testing.assert_allclose(got, expected_loss(probabilities, *arguments), rtol=1e-5)


def test_thresholds_are_part_of_what_they_select() -> None:
    probabilities, everywhere = f32([[0.9, 0.4]]), f32(np.ones((2, 2)))
    at = relation_loss(probabilities, f32([[0.5, 0.75], [0.5, 0.5]]), everywhere, 0.75, 0.25)
    assert float(at[0]) == pytest.approx(0.25 / 8, rel=1e-5)
    at = relation_loss(probabilities, f32([[0.5, 0.5], [0.25, 0.5]]), everywhere, 0.75, 0.25)
    assert float(at[0]) == pytest.approx(0.75**2 / 8, rel=1e-5)


def test_pairs_never_defined_contribute_nothing() -> None:
    nothing = f32(np.zeros((4, 4)))
    probabilities = np.random.default_rng(0).random((3, 4))
    assert not ops.convert_to_numpy(relation_loss(f32(probabilities), nothing, nothing)).any()
    assert not gradient(lambda p: ops.sum(relation_loss(p, nothing, nothing)), probabilities).any()


def test_the_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(3)
    relations, defined = rng.uniform(-1, 1, (4, 4)).astype("float32"), np.ones((4, 4))
    probabilities = rng.random((2, 4)).astype("float32")
    got = gradient(lambda p: ops.sum(relation_loss(p, f32(relations), f32(defined))), probabilities)
    for index in np.ndindex(2, 4):
        step = np.zeros((2, 4))
        step[index] = 1e-5
        above, below = (expected_loss(probabilities + s * step, relations, defined).sum() for s in (1, -1))
        assert got[index] == pytest.approx((above - below) / 2e-5, abs=1e-5)


def test_equal_and_extreme_probabilities_have_a_finite_gradient() -> None:
    relations, defined = f32([[1.0, -1.0, 0.9], [-1.0, 1.0, 0.0], [0.9, 0.0, 1.0]]), f32(np.ones((3, 3)))
    points = [[0.5, 0.5, 0.5], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    assert np.isfinite(gradient(lambda p: ops.sum(relation_loss(p, relations, defined)), points)).all()
