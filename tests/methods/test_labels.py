"""Labels of several forms in one batch: exact ones, intervals and soft targets, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

from keras_faceattr.config import MethodSettings
from keras_faceattr.errors import ConfigError
from keras_faceattr.methods.labels import FORMS, label_width, pack_labels
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, age_task

AGE = ScalarTask("age", 0.0, 10.0, 1.0, default_std=1.0)
MOOD = CategoricalTask("mood", ("a", "b", "c"))
NAN = float("nan")
RNG = np.random.default_rng(0)
RAW = RNG.normal(0, 2, (4, 11)).astype("float32")
ROUGH = MethodSettings(smoothness=0.0)
SOFT = scipy.special.softmax(RNG.normal(0, 1, 11))


def ages() -> np.ndarray:
    """An exact label, an interval, a soft target, and none."""
    exact = np.array([[3.0, 1.0], [NAN, 1.0], [NAN, 1.0], [NAN, 1.0]])
    interval = np.array([[NAN, NAN], [6.0, 8.0], [NAN, NAN], [NAN, NAN]])
    soft = np.full((4, 11), NAN)
    soft[2] = SOFT
    return pack_labels(exact, interval, soft)


def expected_divergences() -> list[float]:
    chances = scipy.special.softmax(RAW.astype("float64"), axis=1)
    target = scipy.stats.norm.pdf(np.arange(11), 3.0, 1.0)
    target /= target.sum()
    exact = np.sum(target * np.log(target / chances[0]))
    return [exact, -np.log(chances[1, 6:9].sum()), np.sum(SOFT * np.log(SOFT / chances[2]))]


def test_each_photo_is_learned_by_the_form_of_its_label() -> None:
    values = np.asarray(TaskLoss(AGE, "dldl", ROUGH, forms=FORMS).call(ages(), RAW))
    np.testing.assert_allclose(values, [*expected_divergences(), 0.0], rtol=1e-5)


def test_the_expectation_is_pulled_into_an_interval_and_to_the_mean_of_a_soft_target() -> None:
    loss = TaskLoss(AGE, "dldl_v2", ROUGH, forms=FORMS)
    means = scipy.special.softmax(RAW.astype("float64"), axis=1) @ np.arange(11)
    outside = max(6.0 - means[1], means[1] - 8.0, 0.0)
    pulls = [abs(means[0] - 3.0), outside, abs(means[2] - SOFT @ np.arange(11)), 0.0]
    divergences = np.array([*expected_divergences(), 0.0])
    np.testing.assert_allclose(np.asarray(loss.call(ages(), RAW)), divergences + pulls, rtol=1e-5)
    assert float(loss(ages(), RAW)) == pytest.approx(np.mean((divergences + pulls)[:3]), rel=1e-5)


@pytest.mark.parametrize(
    ("interval", "bins"), [((6.0, 8.0), [6, 7, 8]), ((2.3, 2.4), [2]), ((2.5, 2.5), [2, 3]), ((7, 99), [7, 8, 9, 10])]
)
def test_an_interval_takes_in_the_bins_inside_or_the_nearest(interval: tuple[float, float], bins: list[int]) -> None:
    labels = pack_labels(np.array([[NAN, 1.0]]), np.array([interval]))
    got = float(TaskLoss(AGE, "dldl", ROUGH, forms=("exact", "interval"))(labels, RAW[:1]))
    chances = scipy.special.softmax(RAW[0].astype("float64"))
    assert got == pytest.approx(-np.log(chances[bins].sum()), rel=1e-4)


def test_an_interval_over_the_whole_range_costs_nothing_and_one_with_no_probability_stays_finite() -> None:
    labels = pack_labels(np.array([[NAN, 1.0]] * 2), np.array([[0.0, 10.0], [9.0, 10.0]]))
    raw = np.where(np.arange(11) < 9, 500.0, -500.0)[None].repeat(2, axis=0).astype("float32")
    got = np.asarray(TaskLoss(AGE, "dldl", ROUGH, forms=("exact", "interval")).call(labels, raw))
    np.testing.assert_allclose(got, [0.0, 1000.0 + np.log(9) - np.log(2)], rtol=1e-5, atol=1e-5)


def test_soft_classes_and_answers_are_cross_entropies() -> None:
    raw = RNG.normal(0, 2, (2, 3)).astype("float32")
    log_chances = scipy.special.log_softmax(raw.astype("float64"), axis=1)
    labels = pack_labels(np.array([[2.0], [NAN]]), soft=np.array([[NAN] * 3, [0.2, 0.5, 0.3]]))
    got = np.asarray(TaskLoss(MOOD, forms=("exact", "soft")).call(labels, raw))
    np.testing.assert_allclose(got, [-log_chances[0, 2], -np.sum([0.2, 0.5, 0.3] * log_chances[1])], rtol=1e-5)
    answers = pack_labels(np.array([[1.0], [NAN]]), soft=np.array([[NAN], [0.25]]))
    got = np.asarray(TaskLoss(BinaryTask("smile"), forms=("exact", "soft")).call(answers, raw[:, :1]))
    bce = [np.logaddexp(0, -raw[0, 0]), 0.25 * np.logaddexp(0, -raw[1, 0]) + 0.75 * np.logaddexp(0, raw[1, 0])]
    np.testing.assert_allclose(got, bce, rtol=1e-5)


def test_soft_attributes_fill_in_for_a_photo_without_labels() -> None:
    worn = MultilabelTask("worn", ("hat", "scarf"))
    raw = RNG.normal(0, 2, (2, 2)).astype("float32")
    labels = pack_labels(np.array([[1.0, NAN], [NAN, NAN]]), soft=np.array([[NAN, NAN], [0.1, 0.9]]))
    got = np.asarray(TaskLoss(worn, forms=("exact", "soft")).call(labels, raw))
    soft = np.mean([0.1, 0.9] * np.logaddexp(0, -raw[1]) + np.array([0.9, 0.1]) * np.logaddexp(0, raw[1]))
    np.testing.assert_allclose(got, [np.logaddexp(0, -raw[0, 0]), soft], rtol=1e-5)


def test_the_width_of_a_batch_is_that_of_its_forms() -> None:
    assert [label_width(age_task(), forms) for forms in (("exact",), ("exact", "interval"), FORMS)] == [2, 4, 105]
    assert label_width(MOOD, ("exact", "soft")) == 4


@pytest.mark.parametrize(
    ("task", "method", "form", "message"),
    [
        (AGE, "ranking", "interval", "'ranking' cannot learn from interval labels; use dex or er or dldl or dldl_v2"),
        (
            MOOD,
            None,
            "interval",
            "'cross_entropy' cannot learn from interval labels; no method of its kind can",
        ),
        (AGE, "mr_l1", "soft", "cannot learn from soft labels; use dldl or dldl_v2"),
    ],
)
def test_a_method_that_cannot_learn_from_a_form_is_refused_by_name(
    task: ScalarTask, method: str | None, form: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        TaskLoss(task, method, forms=("exact", form))


def test_a_loss_of_several_forms_survives_its_configuration() -> None:
    again = TaskLoss.from_config(TaskLoss(AGE, "dldl", forms=FORMS).get_config())
    assert again.forms == FORMS


INTERVALS = np.array([[6.0, 8.0], [0.0, 2.0], [4.0, 4.0]])


def outside(values: np.ndarray) -> np.ndarray:
    low, high = INTERVALS.T
    return np.maximum(low - values, 0.0) + np.maximum(values - high, 0.0)


def learned_from_intervals(method: str, raw: np.ndarray, settings: MethodSettings = ROUGH) -> np.ndarray:
    labels = pack_labels(np.array([[NAN, 1.0]] * 3), INTERVALS)
    return np.asarray(TaskLoss(AGE, method, settings, forms=("exact", "interval")).call(labels, raw))


@pytest.mark.parametrize(
    ("method", "penalty"),
    [
        ("l1", np.abs),
        ("mse", np.square),
        ("smooth_l1", lambda e: np.where(e < 1, 0.5 * e**2, e - 0.5)),
        ("smooth_huber", lambda e: np.log(np.cosh(np.minimum(e, 0.6))) + np.tanh(0.6) * np.maximum(e - 0.6, 0)),
    ],
)
def test_a_value_is_pulled_to_the_nearest_end_of_an_interval(method: str, penalty) -> None:
    raw = np.array([[0.3], [-0.9], [1.7]], "float32")
    # A linear head gives 0 at the middle of the range and 1 at its end.
    got = learned_from_intervals(method, raw)
    values = np.array([unprojected(number) for number in raw[:, 0]])
    np.testing.assert_allclose(got, penalty(outside(values)), rtol=1e-5, atol=1e-6)


def unprojected(raw: float) -> float:
    exact = pack_labels(np.array([[0.0, 1.0]]))
    # l1 to 0 is the value itself, whatever the head's scale; all values here are above 0.
    return float(np.asarray(TaskLoss(AGE, "l1").call(exact, np.array([[raw]], "float32")))[0])


def test_er_and_dex_learn_from_intervals_too() -> None:
    chances = scipy.special.softmax(RAW[:3].astype("float64"), axis=1)
    np.testing.assert_allclose(learned_from_intervals("er", RAW[:3]), outside(chances @ np.arange(11)), atol=1e-5)
    inside = [chances[i, int(low) : int(high) + 1].sum() for i, (low, high) in enumerate(INTERVALS)]
    np.testing.assert_allclose(learned_from_intervals("dex", RAW[:3]), -np.log(inside), rtol=1e-5)


def test_a_normal_distribution_is_smooth_wherever_it_lies_and_spikes_are_not() -> None:
    bins = np.arange(11)
    normal = np.stack([-0.5 * ((bins - mean) / std) ** 2 for mean, std in ((7, 1), (1, 3), (4, 0.5))]).astype("float32")
    spikes = normal + 4 * np.isin(bins, (6, 8)).astype("float32")
    smooth = MethodSettings(smoothness=0.5)
    more = learned_from_intervals("dldl", normal, smooth) - learned_from_intervals("dldl", normal)
    np.testing.assert_allclose(more, 0.0, atol=1e-3)
    more = learned_from_intervals("dldl", spikes, smooth) - learned_from_intervals("dldl", spikes)
    np.testing.assert_allclose(more, 0.5 * np.mean(np.diff(spikes, 3) ** 2, axis=1), rtol=1e-3)


def test_smoothness_is_asked_of_intervals_alone() -> None:
    labels = pack_labels(np.array([[3.0, 1.0]]), np.full((1, 2), NAN))
    values = [
        float(np.asarray(TaskLoss(AGE, "dldl", MethodSettings(smoothness=s), forms=FORMS[:2]).call(labels, RAW[:1]))[0])
        for s in (0.0, 9.0)
    ]
    assert values[0] == values[1]
