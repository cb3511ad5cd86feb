"""BFGS-LDL: its gradient, its distributions, and that it finds what there is to find."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from keras_faceattr.features.label_distribution_regression import BFGSLDL, label_distributions, objective
from keras_faceattr.losses.label_distribution import label_distribution

BINS = np.linspace(1.0, 5.0, 21)


def linear(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    features = np.random.default_rng(seed).normal(0, 1, (n, 5))
    return features, np.clip(3 + features @ [0.5, -0.3, 0.2, 0, 0], 1, 5)


def test_target_distributions_are_those_of_the_networks_loss() -> None:
    values, stds = np.array([1.0, 2.13, 4.9, 7.0, 3.4]), np.array([0.5, 0.2, 1.0, 0.3, 0.0])
    tensors = (ops.convert_to_tensor(numbers.astype("float32")) for numbers in (values, stds, BINS))
    expected = ops.convert_to_numpy(label_distribution(*tensors))
    np.testing.assert_allclose(label_distributions(values, stds, BINS), expected, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.normal(0, 1, (7, 3)), rng.dirichlet(np.ones(4), 7)
    theta = rng.normal(0, 1, 16)
    gradient = objective(theta, features, targets, 0.3)[1]
    for index in range(16):
        step = np.zeros(16)
        step[index] = 1e-5
        above, below = (objective(theta + sign * step, features, targets, 0.3)[0] for sign in (1, -1))
        assert gradient[index] == pytest.approx((above - below) / 2e-5, rel=1e-5, abs=1e-8)


def test_the_objective_is_the_mean_divergence_and_the_penalty_of_weights_without_intercepts() -> None:
    rng = np.random.default_rng(1)
    features, targets = rng.normal(0, 1, (7, 3)), rng.dirichlet(np.ones(4), 7)
    weights, intercepts = rng.normal(0, 1, (3, 4)), rng.normal(0, 1, 4)
    predicted = scipy.special.softmax(features @ weights + intercepts, axis=1)
    divergence = scipy.stats.entropy(targets, predicted, axis=1) + scipy.stats.entropy(targets, axis=1)
    expected = divergence.mean() + 0.5 * 0.3 * (weights**2).sum()
    got = objective(np.concatenate([weights.ravel(), intercepts]), features, targets, 0.3)[0]
    assert got == pytest.approx(expected)


def test_a_linear_relation_is_recovered() -> None:
    features, values = linear(900)
    model = BFGSLDL(BINS, 0.01).fit(features[:600], values[:600], 0.3)
    predicted = model.predict(features[600:])
    assert np.abs(predicted - values[600:]).mean() < 0.05
    assert predicted.min() >= 1
    assert predicted.max() <= 5


def test_distributions_sum_to_one_and_the_prediction_is_their_mean() -> None:
    features, values = linear(200)
    model = BFGSLDL(BINS).fit(features, values, 0.3)
    rows = model.predict_distribution(features * 100)
    assert rows.shape == (200, 21)
    assert (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    np.testing.assert_allclose(model.predict(features * 100), (rows * BINS).sum(axis=1))


def test_features_that_say_nothing_give_the_mean_label_distribution() -> None:
    values = np.random.default_rng(0).uniform(2, 4, 100)
    model = BFGSLDL(BINS).fit(np.zeros((100, 3)), values, 0.5)
    densities = scipy.stats.norm.pdf(BINS, values[:, None], 0.5)
    expected = (densities / densities.sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(model.predict_distribution(np.zeros((1, 3)))[0], expected, atol=1e-3)


def test_each_photo_may_have_its_own_sigma() -> None:
    features = np.repeat([[1.0, 0.0], [0.0, 1.0]], 50, axis=0)
    model = BFGSLDL(BINS, 1e-4).fit(features, np.full(100, 3.0), np.repeat([0.2, 0.8], 50))
    rows = model.predict_distribution(features[[0, -1]])
    spreads = np.sqrt((rows * (BINS - 3) ** 2).sum(axis=1))
    np.testing.assert_allclose(spreads, [0.2, 0.8], rtol=0.1)


def test_a_penalty_means_the_same_for_few_photos_and_many() -> None:
    features, values = linear(60)
    once, thrice = BFGSLDL(BINS, 1.0), BFGSLDL(BINS, 3.0)
    once.fit(features, values, 0.3)
    thrice.fit(np.tile(features, (3, 1)), np.tile(values, 3), 0.3)
    np.testing.assert_allclose(once.predict(features), thrice.predict(features), atol=1e-3)
