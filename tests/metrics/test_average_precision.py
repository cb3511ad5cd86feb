"""Average precision against scikit-learn, of the whole and of every draw, with ties and missing labels."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from keras_faceattr.metrics import metrics_of, ranking
from keras_faceattr.metrics.bootstrap import bootstrap_interval
from keras_faceattr.metrics.ranking import average_precision
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask

NAN = float("nan")


def example(count: int, levels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of three attributes, rare to common, some missing, and probabilities of which many are equal."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, 3)) < [0.1, 0.4, 0.8]).astype("float32")
    predictions = np.round((0.3 * labels + 0.7 * rng.random((count, 3))) * levels) / levels
    labels[rng.random((count, 3)) < 0.2] = NAN
    return labels, predictions.astype("float32")


def by_scikit_learn(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Mean over the attributes with both answers."""
    found = []
    for true, scores in zip(labels.T, predictions.T, strict=True):
        known = ~np.isnan(true)
        if len(np.unique(true[known])) == 2:
            found.append(average_precision_score(true[known], scores[known]))
    return float(np.mean(found)) if found else NAN


def test_average_precision_by_hand() -> None:
    # Ranked: yes, no, yes and no together, yes. Precision where recall grows: 1/1, 2/4, 3/5.
    labels = np.array([[1.0], [0.0], [1.0], [0.0], [1.0]])
    scores = np.array([[0.9], [0.8], [0.5], [0.5], [0.1]])
    assert average_precision(labels, scores) == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)


def test_a_net_that_always_says_no_has_the_share_of_yes_and_not_its_accuracy() -> None:
    labels = np.array([[1.0]] * 3 + [[0.0]] * 97)
    never = np.zeros((100, 1))
    table = metrics_of(BinaryTask("hat"))
    assert table["accuracy"].function(labels, never) == 0.97
    assert table["average_precision"].function(labels, never) == pytest.approx(0.03)


@pytest.mark.parametrize("levels", [10**6, 255, 4])
def test_average_precision_equals_scikit_learn(levels: int) -> None:
    labels, predictions = example(400, levels)
    assert average_precision(labels, predictions) == pytest.approx(by_scikit_learn(labels, predictions), rel=1e-12)


@pytest.mark.parametrize("most", [1, 2000, ranking.CHUNK_BYTES])
# With six photos, most draws lack an answer of an attribute.
@pytest.mark.parametrize(("count", "levels"), [(6, 4), (80, 10**6), (80, 4)])
def test_a_draw_counts_a_photo_as_often_as_it_was_drawn(
    count: int, levels: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "CHUNK_BYTES", most)
    labels, predictions = example(count, levels, seed=1)
    draws = np.random.default_rng(2).integers(0, count, (30, count))
    found = average_precision.of_draws(labels, predictions, draws)
    np.testing.assert_allclose(found, [by_scikit_learn(labels[d], predictions[d]) for d in draws], rtol=1e-12)
    assert len(average_precision.of_draws(labels, predictions, [])) == 0


def test_the_interval_is_that_of_the_draws_of_every_other_metric() -> None:
    labels, predictions = example(60, 100)
    draws = np.random.default_rng(5)
    values = [by_scikit_learn(labels[d], predictions[d]) for d in (draws.integers(0, 60, 60) for _ in range(100))]
    found = bootstrap_interval(average_precision, labels, predictions, samples=100, seed=5)
    assert found == pytest.approx(tuple(np.nanquantile(values, [0.025, 0.975])))


@pytest.mark.parametrize("answer", [0.0, 1.0, NAN])
def test_average_precision_is_not_measured_where_one_answer_occurs(answer: float) -> None:
    labels, predictions = np.full((20, 1), answer), np.linspace(0, 1, 20)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(average_precision(labels, predictions))
        assert np.isnan(bootstrap_interval(average_precision, labels, predictions, samples=10)).all()


def test_a_probability_that_is_no_number_ranks_last() -> None:
    labels = np.array([[1.0], [0.0], [0.0], [1.0]])
    assert average_precision(labels, np.array([[0.9], [0.8], [0.1], [NAN]])) == pytest.approx((1 + 2 / 4) / 2)


def test_a_thousand_draws_of_ten_thousand_photos_take_well_below_two_seconds() -> None:
    labels, predictions = example(10_000, 10**9)
    started = time.process_time()
    bootstrap_interval(average_precision, labels[:, :1], predictions[:, :1])
    # A loop over scikit-learn takes ten times as long.
    assert time.process_time() - started < 2


def test_classes_have_no_average_precision() -> None:
    assert "average_precision" in metrics_of(MultilabelTask("worn", ("hat", "scarf")))
    assert "average_precision" not in metrics_of(CategoricalTask("mood", ("a", "b")))
