"""Angular margin, centres and triplets, against the papers' formulas as loops in NumPy, and their gradients."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import scipy.special
from keras import ops
from tensors import f32, gradient

from keras_faceattr.errors import ConfigError
from keras_faceattr.losses.metric_learning import (
    MINING,
    arc_face,
    center_distance,
    moved_centers,
    triplet,
    triplet_anchors,
)


def array(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def finite_differences(function: Callable[[np.ndarray], float], point: np.ndarray, step: float = 1e-6) -> np.ndarray:
    point = np.asarray(point, "float32").astype("float64")
    slopes = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        moved = np.zeros_like(point)
        moved[index] = step
        slopes[index] = (function(point + moved) - function(point - moved)) / (2 * step)
    return slopes


def expected_arc_face(classes, cosines, margin: float, scale: float) -> np.ndarray:
    losses = []
    for own, row in zip(classes, np.asarray(cosines, "float64"), strict=True):
        angle = np.arccos(row[own])
        logits = scale * row
        past_the_turn = np.cos(angle) - margin * np.sin(np.pi - margin)
        logits[own] = scale * (np.cos(angle + margin) if angle < np.pi - margin else past_the_turn)
        losses.append(scipy.special.logsumexp(logits) - logits[own])
    return np.array(losses)


@pytest.mark.parametrize(("margin", "scale"), [(0.5, 64.0), (0.5, 8.0), (0.0, 16.0), (1.2, 4.0)])
def test_arc_face_adds_the_margin_to_the_angle_of_the_own_class(margin: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    classes, cosines = rng.integers(0, 7, 60), rng.uniform(-0.99, 0.99, (60, 7)).astype("float32")
    got = array(arc_face(ops.convert_to_tensor(classes), f32(cosines), margin, scale))
    assert got.shape == (60,)
    np.testing.assert_allclose(got, expected_arc_face(classes, cosines, margin, scale), rtol=1e-4, atol=1e-4)


def test_without_margin_arc_face_is_the_cross_entropy() -> None:
    cosines = np.array([[1.0, 0.3, -1.0], [-1.0, 0.0, 1.0]])
    expected = -scipy.special.log_softmax(10 * cosines, axis=1)[[0, 1], [2, 1]]
    np.testing.assert_allclose(array(arc_face(f32([2, 1]), f32(cosines), 0.0, 10.0)), expected, rtol=1e-5)


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.5])
def test_arc_face_grows_with_the_angle_all_the_way_to_pi(margin: float) -> None:
    cosines = np.zeros((400, 2))
    cosines[:, 0] = np.cos(np.linspace(0, np.pi, 400))
    assert (np.diff(array(arc_face(f32(np.zeros(400)), f32(cosines), margin, 8.0))) >= 0).all()


def test_the_gradient_of_arc_face_is_that_of_finite_differences() -> None:
    classes, cosines = np.array([0, 2, 1]), np.array([[0.6, 0.1, -0.4], [0.2, 0.3, -0.95], [-0.2, 0.9, 0.99]])
    got = gradient(lambda c: ops.sum(arc_face(f32(classes), c, 0.5, 8.0)), cosines)
    expected = finite_differences(lambda c: expected_arc_face(classes, c, 0.5, 8.0).sum(), cosines)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cosine", [1.0, -1.0, 1.0 + 1e-6, -1.0 - 1e-6, float(-np.cos(0.5)), 0.0])
def test_arc_face_and_its_gradient_are_finite_at_the_ends_and_at_the_turn(cosine: float) -> None:
    cosines = [[cosine, 1.0, -1.0], [0.5, cosine, cosine]]
    assert np.isfinite(array(arc_face(f32([0, 1]), f32(cosines)))).all()
    assert np.isfinite(gradient(lambda c: ops.sum(arc_face(f32([0, 1]), c)), cosines)).all()


def test_through_normalised_vectors_arc_face_has_a_small_gradient_at_a_perfect_match() -> None:
    weights = f32(np.eye(3))

    def loss(embedding):
        normalised = embedding / ops.sqrt(ops.sum(ops.square(embedding)))
        return arc_face(f32([0]), ops.matmul(ops.expand_dims(normalised, 0), weights), 0.5, 64.0)[0]

    for embedding in ([1.0, 0.0, 0.0], [2.0, 1e-3, 0.0], [1.0, 1e-4, 1e-4]):
        assert np.abs(gradient(loss, embedding)).max() < 64.0


def test_center_distance_by_hand() -> None:
    centers = [[0.0, 0.0], [1.0, 1.0], [-1.0, 2.0]]
    got = array(center_distance(f32([2, 0, 1]), f32([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0]]), f32(centers)))
    np.testing.assert_allclose(got, [2.5, 12.5, 0.0])


def test_the_gradient_of_center_distance_is_the_offset_and_leaves_the_centers_alone() -> None:
    classes, features, centers = f32([1, 0]), np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    got = gradient(lambda x: ops.sum(center_distance(classes, x, f32(centers))), features)
    np.testing.assert_allclose(got, features - centers[[1, 0]])
    assert not gradient(lambda c: ops.sum(center_distance(classes, f32(features), c)), centers).any()
    assert not gradient(lambda x: ops.sum(moved_centers(classes, x, f32(centers))), features).any()


def test_centers_move_by_the_mean_of_one_more_than_the_count() -> None:
    rng = np.random.default_rng(4)
    classes, features, centers = rng.integers(0, 4, 30), rng.normal(size=(30, 3)), rng.normal(size=(6, 3))
    expected = centers.copy()
    for j in range(6):
        own = features[classes == j]
        expected[j] -= 0.3 * sum((centers[j] - x for x in own), np.zeros(3)) / (1 + len(own))
    got = array(moved_centers(ops.convert_to_tensor(classes), f32(features), f32(centers), 0.3))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(got[4:], centers[4:].astype("float32"))


def expected_triplet(classes, embeddings, margin: float, mining: str) -> tuple[np.ndarray, np.ndarray]:
    embeddings = np.asarray(embeddings, "float64")
    distances = [[((a - b) ** 2).sum() for b in embeddings] for a in embeddings]
    losses, counts = np.zeros(len(classes)), np.zeros(len(classes), bool)
    for a, row in enumerate(distances):
        positives = [row[i] for i in range(len(classes)) if i != a and classes[i] == classes[a]]
        negatives = [row[i] for i in range(len(classes)) if classes[i] != classes[a]]
        counts[a] = bool(positives and negatives)
        if not counts[a]:
            continue
        if mining == "hard":
            losses[a] = max(max(positives) - min(negatives) + margin, 0)
        else:
            chosen = [min((n for n in negatives if n > p), default=max(negatives)) for p in positives]
            losses[a] = np.mean([max(p - n + margin, 0) for p, n in zip(positives, chosen, strict=True)])
    return losses, counts


BATCHES = {
    "usual": (3, 24, 1.0),
    "close": (3, 24, 0.1),
    "far": (3, 24, 4.0),
    "lonely": (20, 24, 1.0),
    "one class": (1, 8, 1.0),
    "one photo": (1, 1, 1.0),
}


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("batch", BATCHES)
def test_triplets_are_those_of_the_loops(batch: str, mining: str) -> None:
    kinds, count, size = BATCHES[batch]
    rng = np.random.default_rng(5)
    classes, embeddings = rng.integers(0, kinds, count), rng.normal(0, size, (count, 4)).astype("float32")
    losses, counts = expected_triplet(classes, embeddings, 0.2, mining)
    got = array(triplet(ops.convert_to_tensor(classes), f32(embeddings), 0.2, mining))
    np.testing.assert_allclose(got, losses, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(array(triplet_anchors(ops.convert_to_tensor(classes))), counts)


def test_semi_hard_by_hand() -> None:
    # On a line: anchor 0 at 0, positives at 1 and 3, negatives at 2 and 2.5; squared: 1, 9 and 4, 6.25.
    losses = array(triplet(f32([0, 0, 0, 1, 1]), f32([[0.0], [1.0], [3.0], [2.0], [2.5]]), 5.0))
    assert losses[0] == pytest.approx(((1 - 4 + 5) + (9 - 6.25 + 5)) / 2)


@pytest.mark.parametrize("mining", MINING)
def test_the_gradient_of_triplets_is_that_of_finite_differences(mining: str) -> None:
    rng = np.random.default_rng(6)
    classes, embeddings = np.array([0, 0, 1, 1, 1, 2, 2]), rng.normal(0, 0.7, (7, 3))
    got = gradient(lambda e: ops.sum(triplet(f32(classes), e, 0.5, mining)), embeddings)
    expected = finite_differences(lambda e: expected_triplet(classes, e, 0.5, mining)[0].sum(), embeddings)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("classes", [[0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 0, 1]])
@pytest.mark.parametrize("embedding", [[0.0, 0.0], [1.0, 0.0], [300.0, 1e-4]])
def test_triplets_of_equal_embeddings_have_a_finite_gradient(classes: list, embedding: list, mining: str) -> None:
    embeddings = [embedding] * 4
    assert np.isfinite(array(triplet(f32(classes), f32(embeddings), 0.2, mining))).all()
    assert np.isfinite(gradient(lambda e: ops.sum(triplet(f32(classes), e, 0.2, mining)), embeddings)).all()


@pytest.mark.parametrize("mining", MINING)
def test_triplets_of_a_batch_whose_size_is_not_known_beforehand(mining: str) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("shapes are always known on other backends")
    import tensorflow as tf

    signature = [tf.TensorSpec([None]), tf.TensorSpec([None, 2])]
    traced = tf.function(lambda c, e: triplet(c, e, 0.2, mining), input_signature=signature)
    rng = np.random.default_rng(8)
    for count in (6, 9):
        classes, embeddings = f32(rng.integers(0, 3, count)), f32(rng.normal(size=(count, 2)))
        np.testing.assert_allclose(traced(classes, embeddings), triplet(classes, embeddings, 0.2, mining), atol=1e-6)


def test_an_unknown_mining_names_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match="'semihard'.*did you mean 'semi_hard'.*hard, semi_hard"):
        triplet(f32([0, 0]), f32([[0.0], [1.0]]), mining="semihard")
