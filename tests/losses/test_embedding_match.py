"""Matching a teacher's embedding, against SciPy's cosine distance, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial.distance
from keras import ops
from tensors import f32, gradient

from keras_faceattr.losses.embedding_match import embedding_match


def expected(targets, embeddings, cosine_weight: float = 1.0, l2_weight: float = 1.0) -> np.ndarray:
    rows = []
    for target, embedding in zip(np.asarray(targets, "float64"), np.asarray(embeddings, "float64"), strict=True):
        difference = target / np.linalg.norm(target) - embedding / np.linalg.norm(embedding)
        cosine_distance = scipy.spatial.distance.cosine(target, embedding)
        rows.append(cosine_weight * cosine_distance + l2_weight * (difference**2).mean())
    return np.array(rows)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 0.0), (0.0, 3.0), (0.5, 2.0)])
def test_it_is_the_weighted_sum_of_both_distances(weights: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    targets, embeddings = rng.normal(0, 5, (12, 16)), rng.normal(0, 0.1, (12, 16))
    got = ops.convert_to_numpy(embedding_match(f32(targets), f32(embeddings), *weights))
    assert got.shape == (12,)
    np.testing.assert_allclose(got, expected(targets, embeddings, *weights), rtol=1e-4)


def test_only_the_direction_counts() -> None:
    target = [[3.0, 4.0], [3.0, 4.0], [1.0, 0.0]]
    got = ops.convert_to_numpy(embedding_match(f32(target), f32([[0.3, 0.4], [-30.0, -40.0], [0.0, 7.0]])))
    np.testing.assert_allclose(got, [0.0, 2 + 4 / 2, 1 + 2 / 2], atol=1e-6)


def test_the_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(1)
    targets, embeddings = rng.normal(size=(3, 4)).astype("float32"), rng.normal(size=(3, 4)).astype("float32")
    got = gradient(lambda e: ops.sum(embedding_match(f32(targets), e)), embeddings)
    for index in np.ndindex(3, 4):
        step = np.zeros((3, 4))
        step[index] = 1e-5
        above, below = (expected(targets, embeddings + sign * step).sum() for sign in (1, -1))
        assert got[index] == pytest.approx((above - below) / 2e-5, rel=1e-3, abs=1e-4)


def test_no_gradient_reaches_the_teacher() -> None:
    embeddings = f32([[1.0, 2.0]])
    assert not gradient(lambda t: ops.sum(embedding_match(t, embeddings)), [[2.0, 1.0]]).any()


@pytest.mark.parametrize("tiny", [0.0, 1e-30, 1e-6, 1e-3])
def test_zero_vectors_are_orthogonal_to_all_and_no_vector_has_a_gradient_that_explodes(tiny: float) -> None:
    targets, embeddings = f32([[1.0, 0.0], [tiny, 0.0], [tiny, 0.0]]), [[0.0, tiny], [1.0, 1.0], [0.0, tiny]]
    values = ops.convert_to_numpy(embedding_match(targets, f32(embeddings), 1.0, 0.0))
    slopes = gradient(lambda e: ops.sum(embedding_match(targets, e)), embeddings)
    assert np.abs(slopes).max() < 2500
    if tiny == 0:
        np.testing.assert_allclose(values, 1.0)


def test_equal_embeddings_have_no_loss_and_no_gradient() -> None:
    embeddings = np.random.default_rng(2).normal(size=(5, 8))
    np.testing.assert_allclose(ops.convert_to_numpy(embedding_match(f32(embeddings), f32(embeddings))), 0, atol=1e-6)
    slopes = gradient(lambda e: ops.sum(embedding_match(f32(embeddings), e)), embeddings)
    np.testing.assert_allclose(slopes, 0.0, atol=1e-6)
