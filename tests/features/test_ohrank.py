"""Ordinal hyperplanes: ranks are counted, costs grow with the distance, one-sided thresholds are certain."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from keras_faceattr.features.ohrank import OHRank

BINS = np.linspace(1.0, 5.0, 9)


def ordinal(n: int, seed: int = 0, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (n, 6))
    score = features @ [1.0, -0.5, 0.3, 0, 0, 0] + rng.normal(0, noise, n)
    # Eight of nine bins: nobody has the highest.
    return features, BINS[np.clip(np.round(3.5 + 1.5 * score), 0, 7).astype(int)]


def test_an_ordinal_relation_is_recovered() -> None:
    features, values = ordinal(1200)
    model = OHRank(BINS, 10.0).fit(features[:800], values[:800])
    for predicted in (model.predict(features[800:]), model.expectation(features[800:])):
        assert np.abs(predicted - values[800:]).mean() < 0.12
        assert predicted.min() >= 1.0
        assert predicted.max() <= 5.0


def test_predictions_are_bins_and_thresholds_nobody_passes_are_never_passed() -> None:
    features, values = ordinal(400)
    model = OHRank(BINS).fit(features, values)
    assert set(model.predict(features * 10)) <= set(BINS[:8])
    assert model.expectation(features * 10).max() <= BINS[7] + 1e-9
    assert (model.decision(features)[:, 7] == -np.inf).all()


def test_thresholds_that_everybody_passes_are_always_passed() -> None:
    features, values = ordinal(300)
    model = OHRank(BINS).fit(features, np.maximum(values, 2.5))
    assert (model.decision(features)[:, :3] == np.inf).all()
    assert model.predict(features).min() >= 2.5
    assert model.expectation(features).min() >= 2.5


def test_photos_of_one_value_give_that_value() -> None:
    features = np.random.default_rng(0).normal(0, 1, (30, 4))
    model = OHRank(BINS).fit(features, np.full(30, 3.5))
    assert set(model.predict(features)) == {3.5}
    np.testing.assert_allclose(model.expectation(features), 3.5)


def test_a_rank_is_the_number_of_thresholds_passed_and_the_expectation_counts_margins_in_part() -> None:
    model = OHRank(np.array([0.0, 10.0, 20.0, 40.0]))
    model.weights, model.intercepts = np.array([[1.0, 1.0, 1.0]]), np.array([3.0, 0.5, -2.0])
    # Decisions at 0: 3, 0.5, −2; at −0.75: 2.25, −0.25, −2.75.
    np.testing.assert_allclose(model.predict(np.array([[0.0], [-0.75]])), [20.0, 10.0])
    np.testing.assert_allclose(model.expectation(np.array([[0.0], [-0.75]])), [10 + 0.75 * 10, 10 + 0.375 * 10])


def test_costs_are_the_ranks_distance_from_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fit = LinearSVC.fit

    def spy(self, features, labels, sample_weight=None):
        seen.append((labels.copy(), sample_weight.copy()))
        return fit(self, features, labels, sample_weight=sample_weight)

    monkeypatch.setattr(LinearSVC, "fit", spy)
    ranks = np.array([0, 1, 2, 3, 3])
    OHRank(10.0 * np.arange(4)).fit(np.random.default_rng(0).normal(0, 1, (5, 2)), 10.0 * ranks)
    assert len(seen) == 3
    for k, (labels, costs) in enumerate(seen):
        # Chang et al.: k − y + 1 where y ≤ k, y − k above.
        expected = np.where(ranks <= k, k - ranks + 1, ranks - k)
        np.testing.assert_array_equal(labels, ranks > k)
        np.testing.assert_allclose(costs / costs.sum(), expected / expected.sum())
