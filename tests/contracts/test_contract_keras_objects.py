"""What every loss, metric and layer for `model.compile` keeps to: a new name in `__all__` needs a row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

import keras_faceattr as kfa
from keras_faceattr.metrics import classification, scalar, vectors
from keras_faceattr.metrics.ranking import average_precision

RNG = np.random.default_rng(0)
COUNT = 20
BINS = np.linspace(1, 5, 9)
RANGE = {"minimum": 1, "maximum": 5, "step": 0.5}
VALUES = RNG.uniform(1, 5, COUNT).astype("float32")
STDS = RNG.uniform(0.3, 0.9, COUNT).astype("float32")
BOTH = np.stack([VALUES, STDS], axis=1)
LOGITS = RNG.normal(size=(COUNT, 9)).astype("float32")
EXPECTED = softmax(LOGITS.astype("float64"), axis=1) @ BINS
CLASSES = RNG.integers(0, 3, COUNT)
ANSWERS = RNG.integers(0, 2, (COUNT, 3)).astype("float32")
WEIGHTS = RNG.integers(0, 4, COUNT)


def normal(stds: np.ndarray) -> np.ndarray:
    """(n, 9) the labels' distributions."""
    density = np.exp(-0.5 * ((BINS - VALUES[:, None]) / stds[:, None]) ** 2)
    return density / density.sum(axis=1, keepdims=True)


def divergence(stds: np.ndarray) -> np.ndarray:
    target = normal(stds)
    return (target * (np.log(target) - log_softmax(LOGITS.astype("float64"), axis=1))).sum(axis=1)


def cross_entropy(classes: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return -log_softmax(logits.astype("float64"), axis=1)[np.arange(len(classes)), classes]


def huber(errors: np.ndarray, delta: float) -> np.ndarray:
    straight = np.log(np.cosh(delta)) + np.tanh(delta) * (np.abs(errors) - delta)
    return np.where(np.abs(errors) <= delta, np.log(np.cosh(errors)), straight)


def binary(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, logits) - labels * logits


def cosines_with_margin() -> np.ndarray:
    logits = COSINES.astype("float64").copy()
    rows = np.arange(COUNT)
    logits[rows, CLASSES] = np.cos(np.arccos(logits[rows, CLASSES]) + 0.3)
    return cross_entropy(CLASSES, 8 * logits)


def hardest_triplets() -> np.ndarray:
    points = LOGITS[:, :4].astype("float64")
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    same = CLASSES[:, None] == CLASSES[None]
    own = np.where(same, distances, 0).max(axis=1)
    return np.maximum(own - np.where(same, np.inf, distances).min(axis=1) + 0.2, 0)


def softened(targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    target, own = log_softmax(targets / 3, axis=1), log_softmax(logits / 3, axis=1)
    return 9 * (np.exp(target) * (target - own)).sum(axis=1)


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


COSINES = (0.8 * np.tanh(LOGITS[:, :3])).astype("float32")
TEACHER = RNG.normal(size=(COUNT, 9)).astype("float32")


@dataclass(frozen=True)
class Row:
    """A loss, labels, outputs, and the loss of each photo by NumPy."""

    loss: Callable[[], keras.losses.Loss]
    y_true: np.ndarray
    y_pred: np.ndarray
    expected: np.ndarray


OF_CLASSES = cross_entropy(np.digitize(VALUES, [1.5, 2.5, 3.5, 4.5]), LOGITS[:, 1:6])
YES_NO_TEACHER = expit(TEACHER.astype("float64") / 2)
LOSSES: dict[str, Row] = {
    "DLDL": Row(lambda: kfa.losses.DLDL(**RANGE, kl_reduction="mean"), BOTH, LOGITS, divergence(STDS) / 9),
    "DLDLv2": Row(
        lambda: kfa.losses.DLDLv2(**RANGE, std=0.5, expectation_weight=2),
        VALUES,
        LOGITS,
        divergence(np.full(COUNT, 0.5)) + 2 * np.abs(EXPECTED - VALUES),
    ),
    "ExpectationRegression": Row(
        lambda: kfa.losses.ExpectationRegression(**RANGE), VALUES[:, None], LOGITS, np.abs(EXPECTED - VALUES)
    ),
    "DEX": Row(
        lambda: kfa.losses.DEX(**RANGE), VALUES, LOGITS, cross_entropy(np.rint((VALUES - 1) / 0.5).astype(int), LOGITS)
    ),
    "Ranking": Row(
        lambda: kfa.losses.Ranking(**RANGE),
        VALUES,
        LOGITS[:, :8],
        binary(VALUES[:, None] > BINS[:-1], LOGITS[:, :8].astype("float64")).sum(axis=1),
    ),
    "MetricRegression": Row(
        lambda: kfa.losses.MetricRegression(1, 5, power=2),
        VALUES,
        LOGITS[:, :1],
        (np.tanh(LOGITS[:, 0]) - (VALUES - 3) / 2) ** 2,
    ),
    "SmoothHuber": Row(
        lambda: kfa.losses.SmoothHuber(0.6, minimum=1, maximum=5),
        VALUES,
        LOGITS[:, :1],
        huber(3 + 2 * LOGITS[:, 0] - VALUES, 0.6),
    ),
    "SmoothL1": Row(
        lambda: kfa.losses.SmoothL1(0.5),
        VALUES,
        LOGITS[:, :1],
        np.where(
            np.abs(LOGITS[:, 0] - VALUES) < 0.5,
            (LOGITS[:, 0] - VALUES) ** 2,
            np.abs(LOGITS[:, 0] - VALUES) - 0.25,
        ),
    ),
    "CRNetLoss": Row(
        lambda: kfa.losses.CRNetLoss(1, 5),
        BOTH,
        LOGITS[:, :6],
        0.4 * OF_CLASSES + 0.6 * (3 + 2 * LOGITS[:, 0] - VALUES) ** 2,
    ),
    "ArcFace": Row(lambda: kfa.losses.ArcFace(3, 0.3, 8), CLASSES, COSINES, cosines_with_margin()),
    "Triplet": Row(lambda: kfa.losses.Triplet(0.2, "hard"), CLASSES[:, None], LOGITS[:, :4], hardest_triplets()),
    "EmbeddingMatch": Row(
        lambda: kfa.losses.EmbeddingMatch(1, 3),
        TEACHER,
        LOGITS,
        1 - (unit(TEACHER) * unit(LOGITS)).sum(axis=1) + 3 * ((unit(TEACHER) - unit(LOGITS)) ** 2).mean(axis=1),
    ),
    "Distillation": Row(
        lambda: kfa.losses.Distillation(3), TEACHER, LOGITS, softened(TEACHER.astype("float64"), LOGITS)
    ),
    "YesNoDistillation": Row(
        lambda: kfa.losses.YesNoDistillation(2),
        TEACHER,
        LOGITS,
        4 * (binary(YES_NO_TEACHER, LOGITS / 2.0) - binary(YES_NO_TEACHER, TEACHER / 2.0)).mean(axis=1),
    ),
    "FeatureDistance": Row(kfa.losses.FeatureDistance, TEACHER, LOGITS, ((TEACHER - LOGITS) ** 2).mean(axis=1)),
}


@dataclass(frozen=True)
class MetricRow:
    """A metric, labels, outputs, and the NumPy function of labels and decoded predictions."""

    metric: Callable[[], keras.metrics.Metric]
    function: Callable[[np.ndarray, np.ndarray], float]
    labels: np.ndarray
    y_true: np.ndarray
    y_pred: np.ndarray
    said: np.ndarray


UNKNOWN = np.where(RNG.uniform(size=(COUNT, 3)) < 0.3, np.nan, ANSWERS).astype("float32")
SOME = np.where(np.arange(COUNT)[:, None] % 7 == 3, np.nan, BOTH).astype("float32")
ENDS = np.stack([VALUES - 0.5, VALUES + 0.25], axis=1)
AS_INTERVALS = np.concatenate([np.full((COUNT, 1), np.nan), np.ones((COUNT, 1)), ENDS], axis=1)
BANDS = ((1, 2), (2.2, 3), (3.1, 5))


def of_bins(metric: Any, function: Any, labels: np.ndarray, y_true: np.ndarray) -> MetricRow:
    """A row of a scalar that is predicted over bins."""
    return MetricRow(metric, function, labels, y_true, LOGITS, EXPECTED)


METRICS: dict[str, MetricRow] = {
    "ExpectationMAE": of_bins(
        lambda: kfa.metrics.ExpectationMAE(**RANGE), scalar.mean_absolute_error, SOME, SOME[:, 0]
    ),
    "ExpectationRMSE": of_bins(
        lambda: kfa.metrics.ExpectationRMSE(**RANGE), scalar.root_mean_squared_error, BOTH, BOTH
    ),
    "PearsonCorrelation": of_bins(
        lambda: kfa.metrics.PearsonCorrelation(**RANGE), scalar.pearson_correlation, SOME, SOME[:, :1]
    ),
    "EpsilonError": of_bins(lambda: kfa.metrics.EpsilonError(**RANGE), scalar.epsilon_error, BOTH, BOTH),
    "CumulativeScore": of_bins(lambda: kfa.metrics.CumulativeScore(1, **RANGE), scalar.cumulative_score(1), SOME, SOME),
    "IntervalDistance": of_bins(
        lambda: kfa.metrics.IntervalDistance(**RANGE), scalar.interval_distance, AS_INTERVALS, ENDS
    ),
    "BandAccuracy": of_bins(
        lambda: kfa.metrics.BandAccuracy(BANDS, **RANGE), scalar.band_accuracy(np.array(BANDS)), AS_INTERVALS, ENDS
    ),
    "BalancedAccuracy": MetricRow(
        lambda: kfa.metrics.BalancedAccuracy(3),
        classification.balanced_accuracy,
        CLASSES[:, None],
        CLASSES,
        LOGITS[:, :3],
        softmax(LOGITS[:, :3], axis=1),
    ),
    "AttributeBalancedAccuracy": MetricRow(
        lambda: kfa.metrics.AttributeBalancedAccuracy(3),
        classification.binary_balanced_accuracy,
        UNKNOWN,
        UNKNOWN,
        LOGITS[:, :3],
        expit(LOGITS[:, :3]),
    ),
}

PAIRS = np.stack([ANSWERS[:, 0], np.arange(COUNT) % 2, CLASSES, CLASSES], axis=1)
METRICS |= {
    "AveragePrecision": MetricRow(
        lambda: kfa.metrics.AveragePrecision(3),
        average_precision,
        UNKNOWN,
        UNKNOWN,
        LOGITS[:, :3],
        expit(LOGITS[:, :3]),
    ),
    "PairAUC": MetricRow(kfa.metrics.PairAUC, vectors.pair_auc, PAIRS, ANSWERS[:, 0], COSINES[:, 0], COSINES[:, :1]),
    "TrueAcceptRate": MetricRow(
        lambda: kfa.metrics.TrueAcceptRate(0.3),
        partial(vectors.pair_tar_at_far, far=0.3),
        PAIRS,
        ANSWERS[:, :1],
        COSINES[:, :1],
        COSINES[:, :1],
    ),
}

losses = pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in LOSSES.items()])
metrics = pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in METRICS.items()])


def test_every_loss_and_metric_has_a_row_and_says_what_it_is() -> None:
    assert set(kfa.losses.__all__) == set(LOSSES)
    assert set(kfa.metrics.__all__) - {"Metric", "metrics_of"} == set(METRICS)
    for module in (kfa.losses, kfa.metrics, kfa.layers, kfa.callbacks):
        for name in module.__all__:
            assert len(vars(module)[name].__doc__ if name in vars(module) else getattr(module, name).__doc__) > 20


@losses
def test_a_loss_is_that_of_numpy_weighed_by_keras(row: Row) -> None:
    loss, weights = row.loss(), WEIGHTS.astype("float32")
    assert float(loss(row.y_true, row.y_pred)) == pytest.approx(row.expected.mean(), rel=1e-4)
    weighed = float(loss(row.y_true, row.y_pred, sample_weight=weights))
    assert weighed == pytest.approx((weights * row.expected).sum() / COUNT, rel=1e-4)


@losses
def test_a_compiled_loss_trains_and_is_stored_with_the_model(row: Row, tmp_path: Path) -> None:
    x = RNG.normal(size=(COUNT, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(row.y_pred.shape[1], name="out")])
    model.compile(keras.optimizers.SGD(0.1), loss=row.loss(), run_eagerly=True)
    before = np.array(model.get_layer("out").kernel)
    model.train_on_batch(x, row.y_true)
    assert (np.array(model.get_layer("out").kernel) != before).any()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert again.loss.get_config() == row.loss().get_config()
    again.run_eagerly = True
    assert again.test_on_batch(x, row.y_true) == pytest.approx(model.test_on_batch(x, row.y_true), rel=1e-5)


@metrics
def test_a_metric_is_that_of_all_photos_whatever_the_batches(row: MetricRow) -> None:
    expected = row.function(row.labels, row.said)
    metric = row.metric()
    for ends in ((0, 20), (0, 7, 8, 20), (0, 1, 19, 20)):
        metric.reset_state()
        for begin, end in pairwise(ends):
            metric.update_state(row.y_true[begin:end], row.y_pred[begin:end])
        assert float(metric.result()) == pytest.approx(expected, rel=2e-5)


@metrics
def test_a_weight_counts_as_so_many_photos(row: MetricRow) -> None:
    metric, often = row.metric(), np.repeat(np.arange(COUNT), WEIGHTS)
    for rows in (slice(0, 13), slice(13, 20)):
        metric.update_state(row.y_true[rows], row.y_pred[rows], sample_weight=WEIGHTS[rows])
    assert float(metric.result()) == pytest.approx(row.function(row.labels[often], row.said[often]), rel=2e-5)


@metrics
def test_a_metric_is_made_again_from_its_config(row: MetricRow) -> None:
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(row.metric()))
    assert again.get_config() == row.metric().get_config()
    again.update_state(row.y_true, row.y_pred)
    assert float(again.result()) == pytest.approx(row.function(row.labels, row.said), rel=2e-5)
    again.reset_state()
    # Nothing has been seen: no number.
    assert np.isnan(float(again.result()))


def test_a_correlation_far_from_zero_keeps_its_digits() -> None:
    """In float32, sums of squares of values near 10,000 would leave none."""
    labels = 1e4 + RNG.normal(size=300)
    said = labels + RNG.normal(size=300)
    metric = kfa.metrics.PearsonCorrelation()
    for begin in range(0, 300, 32):
        metric.update_state(labels[begin : begin + 32], said[begin : begin + 32])
    known = np.float32(labels).astype("float64"), np.float32(said).astype("float64")
    assert float(metric.result()) == pytest.approx(np.corrcoef(*known)[0, 1], abs=1e-3)


def test_labels_of_every_shape_are_read_alike_and_train_in_a_compiled_step() -> None:
    """Values, a column of them, and values with σ; and in the compiled step of a backend, which Keras weighs."""
    loss = kfa.losses.DLDLv2(**RANGE, std=0.5)
    columns = VALUES[:, None], np.stack([VALUES, np.full(COUNT, 0.5)], axis=1)
    for labels in columns:
        assert float(loss(labels, LOGITS)) == pytest.approx(float(loss(VALUES, LOGITS)), rel=1e-6)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(9)])
    of_values = [kfa.metrics.ExpectationMAE(**RANGE)]
    weighted = [kfa.metrics.PearsonCorrelation(**RANGE)]
    model.compile(keras.optimizers.SGD(0.0), loss=loss, metrics=of_values, weighted_metrics=weighted)
    x, weights = LOGITS[:, :3], WEIGHTS.astype("float32")
    history = model.fit(x, columns[1], batch_size=7, shuffle=False, verbose=0, sample_weight=weights).history
    said = softmax(np.asarray(model(x)), axis=1) @ BINS
    assert history["mae"][0] == pytest.approx(np.abs(said - VALUES).mean(), rel=1e-5)
    often = np.repeat(np.arange(COUNT), WEIGHTS)
    assert history["pc"][0] == pytest.approx(np.corrcoef(said[often], VALUES[often])[0, 1], rel=1e-4)
    assert np.isfinite(history["loss"][0])


def test_ranked_metrics_are_those_of_scikit_learn_on_many_scores_in_a_compiled_fit() -> None:
    """30,000 pairs: scores of one bin count as equal, which moves nothing that is read."""
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    rng = np.random.default_rng(5)
    same = (rng.uniform(size=30_000) < 0.3).astype("float32")
    cosines = np.clip(rng.normal(0.1 + 0.4 * same, 0.2), -0.999, 0.999).astype("float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    precision = kfa.metrics.AveragePrecision()
    for begin in range(0, len(same), 4096):
        precision.update_state(same[begin : begin + 4096], 10 * cosines[begin : begin + 4096, None])
    assert float(precision.result()) == pytest.approx(average_precision_score(same, cosines), abs=1e-4)
    ranked = [kfa.metrics.AveragePrecision(name="ap"), kfa.metrics.PairAUC(), kfa.metrics.TrueAcceptRate(0.01)]
    model.compile(loss="mse", metrics=ranked)
    found = model.evaluate(cosines[:, None], same, batch_size=4096, verbose=0, return_dict=True)
    far, tar, _ = roc_curve(same, cosines, drop_intermediate=False)
    # As logits, cosines lie in the 2,000 bins from -1 to 1.
    assert found["ap"] == pytest.approx(average_precision_score(same, cosines), abs=1e-3)
    assert found["auc"] == pytest.approx(roc_auc_score(same, cosines), abs=1e-5)
    assert found["tar@far=0.01"] == pytest.approx(tar[far <= 0.01].max(), abs=2e-3)


def test_ranked_metrics_by_hand() -> None:
    """Two of one person at 0.9 and 0.2, four of two at 0.5, 0.2, 0.1 and -0.3."""
    same, cosines = np.array([1, 0, 1, 0, 0, 0]), np.array([0.9, 0.5, 0.2, 0.2, 0.1, -0.3])
    precision = kfa.metrics.AveragePrecision(from_logits=False)
    precision.update_state(same[:, None], cosines.clip(0)[:, None])
    # First alone at the top: 1 / 1; both of one person among the four from 0.2 on: 2 / 4.
    assert float(precision.result()) == pytest.approx((1 + 2 / 4) / 2)
    area = kfa.metrics.PairAUC()
    area.update_state(same, cosines)
    # 0.9 is above all four; 0.2 above two, and equal to one.
    assert float(area.result()) == pytest.approx((4 + 2.5) / 8)
    rates = []
    for far in (0.0, 0.25, 0.5, 1.0):
        rate = kfa.metrics.TrueAcceptRate(far)
        rate.update_state(same, cosines)
        rates.append(float(rate.result()))
    assert rates == [0.5, 0.5, 1.0, 1.0]
    area.update_state(same[:1], np.array([np.nan]))
    assert np.isnan(float(area.result()))


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "other width": (
        lambda: kfa.losses.DLDLv2(1, 5, 0.1)(VALUES, LOGITS),
        r"dldl_v2: needs 41 outputs per photo \(from 1 to 5 in steps of 0.1\), and y_pred has the shape \(20, 9\)",
    ),
    "labels of three columns": (lambda: kfa.losses.DLDL(**RANGE)(ANSWERS, LOGITS), "needs labels of the shape"),
    "no head of ArcFace": (
        lambda: kfa.losses.ArcFace(3)(CLASSES, LOGITS),
        r"cosines of kfa.layers.ArcFaceHead, one per class",
    ),
    "range upside down": (lambda: kfa.losses.DEX(5, 1, 0.1), "minimum 5 is not below maximum 1"),
    "half a range": (lambda: kfa.losses.SmoothHuber(minimum=1), "give both, ascending, or neither"),
    "unknown reduction": (lambda: kfa.losses.DLDL(**RANGE, kl_reduction="men"), "did you mean 'mean'"),
    "logits without bins": (
        lambda: kfa.metrics.ExpectationMAE().update_state(VALUES, LOGITS),
        "give minimum, maximum and step if it holds logits of bins",
    ),
    "bins of another range": (
        lambda: kfa.metrics.ExpectationMAE(1, 5, 1).update_state(VALUES, LOGITS),
        "needs logits of 5 bins from 1 to 5",
    ),
    "vectors in place of similarities": (
        lambda: kfa.metrics.PairAUC().update_state(ANSWERS[:, 0], LOGITS),
        r"needs one similarity per pair, and y_pred has the shape \(20, 9\)",
    ),
    "a rate above 1": (lambda: kfa.metrics.TrueAcceptRate(5), "far 5 is not from 0 to 1: give a share of the pairs"),
    "bands that overlap": (lambda: kfa.metrics.BandAccuracy([(1, 3), (2, 4)]), "two or more, ascending"),
}


@pytest.mark.parametrize(("call", "message"), [pytest.param(*row, id=name) for name, row in WRONG.items()])
def test_what_cannot_be_meant_is_refused_in_one_line(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(kfa.FaceAttrError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_outputs_of_the_other_heads_are_read_as_values() -> None:
    errors = partial(pytest.approx, rel=1e-5)
    ranked, projected, plain = (kfa.metrics.ExpectationMAE(*ends) for ends in ((1, 5, 0.5), (1, 5), ()))
    ranked.update_state(VALUES, LOGITS[:, :8])
    assert float(ranked.result()) == errors(np.abs(1 + 0.5 * (LOGITS[:, :8] > 0).sum(axis=1) - VALUES).mean())
    projected.update_state(VALUES, LOGITS[:, :6])
    assert float(projected.result()) == errors(np.abs(np.clip(3 + 2 * LOGITS[:, 0], 1, 5) - VALUES).mean())
    plain.update_state(VALUES, LOGITS[:, 0])
    assert float(plain.result()) == errors(np.abs(LOGITS[:, 0] - VALUES).mean())


def test_directions_of_arc_face_are_trained_by_a_plain_fit(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), kfa.layers.ArcFaceHead(3, name="head")])
    model.compile(keras.optimizers.SGD(0.1), loss=kfa.losses.ArcFace(3), run_eagerly=True)
    assert model.trainable_variables[-1].path.endswith("head/directions")
    before = np.array(model.get_layer("head").directions)
    model.train_on_batch(LOGITS[:, :3], CLASSES)
    after = np.array(model.get_layer("head").directions)
    assert (np.abs(after - before) > 1e-6).all()
    hidden = np.asarray(model.layers[0](LOGITS[:, :3]))
    cosines = unit(hidden) @ (after / np.linalg.norm(after, axis=0))
    np.testing.assert_allclose(model.predict_on_batch(LOGITS[:, :3]), cosines, atol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(again.predict_on_batch(LOGITS[:, :3]), cosines, atol=1e-5)


def test_centres_follow_their_photos_and_draw_the_features() -> None:
    photos, labels = keras.Input((4,)), keras.Input((), dtype="int32")
    features = kfa.layers.CenterLoss(3, weight=0.5, rate=0.5, name="center")([photos, labels])
    model = keras.Model([photos, labels], features)
    # The labels of Keras' own loss are the features: it is 0, and what is left is the layer's.
    model.compile(keras.optimizers.SGD(0.1), loss="mse", run_eagerly=True)
    points, centers = LOGITS[:, :4].astype("float64"), np.zeros((3, 4))
    first = float(model.train_on_batch([LOGITS[:, :4], CLASSES], LOGITS[:, :4]))
    assert first == pytest.approx(0.5 * 0.5 * (points**2).sum(axis=1).mean(), rel=1e-5)
    for number in range(3):
        own = points[number == CLASSES]
        centers[number] = 0.5 * own.sum(axis=0) / (1 + len(own))
    np.testing.assert_allclose(np.array(model.get_layer("center").centers), centers, rtol=1e-4, atol=1e-6)
    model.test_on_batch([LOGITS[:, :4], CLASSES], LOGITS[:, :4])
    np.testing.assert_allclose(np.array(model.get_layer("center").centers), centers, rtol=1e-4, atol=1e-6)
    assert model.get_layer("center").from_config(model.get_layer("center").get_config()).weight == 0.5


def test_relations_of_attributes_are_learned_and_held() -> None:
    logits, labels = keras.Input((3,)), keras.Input((3,))
    out = kfa.layers.AttributeRelations(weight=2.0, positive=0.9, negative=-0.9, name="relations")([logits, labels])
    model = keras.Model([logits, labels], out)
    model.compile(keras.optimizers.SGD(0.1), loss="mse", run_eagerly=True)
    # The first two always agree, and the third is uncorrelated with them.
    known = np.array([[0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]], "float32")
    said = RNG.normal(size=(4, 3)).astype("float32")
    loss = float(model.train_on_batch([said, known], said))
    learned = np.array(model.get_layer("relations").sums)
    np.testing.assert_allclose(learned, [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-6)
    chances = expit(said.astype("float64"))
    # Pair (i, j) and its reverse: 2 (pi − pj)² / (2 · 3²), of two attributes that agree.
    apart = 2 * (chances[:, 0] - chances[:, 1]) ** 2 / 18
    assert loss == pytest.approx(2.0 * apart.mean(), rel=1e-4)
    assert model.get_layer("relations").from_config(model.get_layer("relations").get_config()).positive == 0.9


def test_a_metric_of_the_whole_set_stands_in_the_logs() -> None:
    from sklearn.metrics import average_precision_score

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), loss="mse", run_eagerly=True)
    whole = kfa.callbacks.WholeSetMetrics(LOGITS[:, :3], ANSWERS[:, :1], {"ap": average_precision}, expit, batch_size=7)
    whole.set_model(model)
    logs: dict[str, float] = {}
    whole.on_epoch_end(0, logs)
    said = np.asarray(model(LOGITS[:, :3]))[:, 0]
    assert logs["val_ap"] == pytest.approx(average_precision_score(ANSWERS[:, 0], said))
    with pytest.raises(kfa.FaceAttrError, match="one metric or more"):
        kfa.callbacks.WholeSetMetrics(LOGITS, ANSWERS, {})
