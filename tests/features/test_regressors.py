"""Every regressor fits, beats the mean, and looks at training rows alone; linear ones tell their coefficients."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from sklearn.base import BaseEstimator, RegressorMixin

from keras_faceattr.errors import ConfigError, DataError, FaceAttrError
from keras_faceattr.features import estimators
from keras_faceattr.features.estimators import PREPROCESSINGS, Tuned
from keras_faceattr.features.regressors import FEATURE_REGRESSORS, feature_regressor, fit_regressor

BINS = np.linspace(1.0, 5.0, 9)
TASK = {"bins": BINS, "std": 0.4}
LINEAR = ["bayesian_ridge", "lasso", "linear", "ridge", "svr"]


def faces(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of very different sizes and places, three of which matter; one is always the same."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(0, 1, (n, 6))
    values = np.clip(3 + hidden @ [0.7, -0.5, 0.2, 0, 0, 0] + rng.normal(0, 0.1, n), 1, 5)
    features = np.column_stack([hidden * [1, 0.5, 2, 1, 3, 1] + [0.1, 0, 0.3, 0, 0, 1], np.full(n, 0.7)])
    return features.astype(np.float32), values


@pytest.mark.parametrize("preprocessing", list(PREPROCESSINGS))
@pytest.mark.parametrize("name", list(FEATURE_REGRESSORS))
def test_every_regressor_beats_the_mean_by_far(name: str, preprocessing: str) -> None:
    features, values = faces(300)
    fitted = fit_regressor(name, features[:200], values[:200], preprocessing=preprocessing, **TASK)
    predicted = fitted.predict(features[200:])
    assert (predicted.shape, predicted.dtype) == ((100,), np.dtype(np.float64))
    assert np.isfinite(predicted).all()
    of_the_mean = np.abs(values[:200].mean() - values[200:]).mean()
    assert np.abs(predicted - values[200:]).mean() < 0.75 * of_the_mean
    assert type(fitted.pipeline["preprocessing"]) is PREPROCESSINGS[preprocessing]


@pytest.mark.parametrize("name", list(FEATURE_REGRESSORS))
def test_a_seed_gives_the_same_predictions_again(name: str) -> None:
    features, values = faces(80)
    first, second = (fit_regressor(name, features, values, seed=3, **TASK).predict(features) for _ in range(2))
    np.testing.assert_allclose(first, second, rtol=1e-9)


@pytest.mark.parametrize("name", list(FEATURE_REGRESSORS))
def test_the_table_names_preprocessing_needs_and_source(name: str) -> None:
    row = feature_regressor(name)
    assert row.preprocessing in PREPROCESSINGS
    assert set(row.needs) <= set(TASK)
    assert row.source
    features, values = faces(40)
    assert fit_regressor(name, features, values, **{need: TASK[need] for need in row.needs}).predict(features).any()
    for need in row.needs:
        with pytest.raises(ConfigError, match=f"{name}' needs {need}"):
            fit_regressor(name, features, values, **{other: TASK[other] for other in row.needs if other != need})


@pytest.mark.parametrize("preprocessing", ["standardise", "none"])
@pytest.mark.parametrize("name", LINEAR)
def test_coefficients_of_raw_features_reproduce_the_predictions(name: str, preprocessing: str) -> None:
    features, values = faces(120)
    fitted = fit_regressor(name, features[:80], values[:80], preprocessing=preprocessing)
    weights, intercept = fitted.coefficients()
    assert weights.shape == (7,)
    assert isinstance(intercept, float)
    np.testing.assert_allclose(features[80:] @ weights + intercept, fitted.predict(features[80:]), rtol=1e-5)


def test_linear_regression_is_that_of_least_squares() -> None:
    features, values = faces(60)
    design = np.column_stack([features[:, :6].astype(np.float64), np.ones(60)])
    solution = np.linalg.lstsq(design, values, rcond=None)[0]
    weights, intercept = fit_regressor("linear", features, values).coefficients()
    np.testing.assert_allclose(weights[:6], solution[:6], rtol=1e-6)
    assert intercept + 0.7 * weights[6] == pytest.approx(solution[6], rel=1e-6)


@pytest.mark.parametrize("name", sorted(set(FEATURE_REGRESSORS) - set(LINEAR)))
def test_what_is_not_linear_has_no_coefficients(name: str) -> None:
    features, values = faces(40)
    with pytest.raises(ConfigError, match=f"{name} has no coefficients; linear are bayesian_ridge, linear"):
        fit_regressor(name, features, values, **TASK).coefficients()


@pytest.mark.parametrize("name", LINEAR)
def test_coefficients_after_l2_are_refused(name: str) -> None:
    features, values = faces(40)
    with pytest.raises(ConfigError, match="choose the preprocessing standardise or none"):
        fit_regressor(name, features, values, preprocessing="l2").coefficients()


def test_standardisation_is_that_of_the_training_rows() -> None:
    features, values = faces(200)
    fitted = fit_regressor("ridge", features[:50], values[:50])
    expected = scipy.stats.zscore(features[:50, :6].astype(np.float64), axis=0)
    standardised = fitted.pipeline["preprocessing"].transform(features[:50].astype(np.float64))
    np.testing.assert_allclose(standardised[:, :6], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(standardised[:, 6], 0, atol=1e-6)
    before = fitted.predict(features[50:51])
    assert fitted.predict(features[50:])[0] == pytest.approx(before[0])
    assert fitted.predict(np.concatenate([features[50:51], 1e6 * features[51:]]))[0] == pytest.approx(before[0])


def test_l2_gives_rows_of_length_one_and_leaves_empty_rows() -> None:
    rows = PREPROCESSINGS["l2"]().fit_transform(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])


class Constant(RegressorMixin, BaseEstimator):
    """Always says one value; is told the numbers of its rows."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def fit(self, features: np.ndarray, values: np.ndarray, numbers: np.ndarray) -> Constant:
        np.testing.assert_array_equal(features[:, 0], numbers)
        self.fitted_ = len(features)
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.full(len(features), self.value)


def test_the_best_setting_on_held_out_rows_is_taken_and_noted() -> None:
    features = np.arange(30.0)[:, None]
    tuned = Tuned(Constant(), "value", (1.0, 2.0, 4.0), "constant", seed=0)
    tuned.fit(features, np.full(30, 2.4), numbers=np.arange(30.0))
    assert tuned.predict(features[:2]).tolist() == [2.0, 2.0] and tuned.estimator_.fitted_ == 30
    assert tuned.note_ == "constant = 2, chosen on 30 training rows"


class Memory(RegressorMixin, BaseEstimator):
    """Knows what it has seen, and says 0 for the rest; setting 0 always says the mean."""

    def __init__(self, setting: int = 1) -> None:
        self.setting = setting

    def fit(self, features: np.ndarray, values: np.ndarray) -> Memory:
        self.known_ = dict(zip(features[:, 0], values, strict=True))
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        mean = np.mean(list(self.known_.values()))
        return np.array([self.known_.get(x, 0.0) if self.setting else mean for x in features[:, 0]])


def test_a_setting_is_chosen_on_rows_that_its_candidates_never_saw() -> None:
    values = 10 + np.random.default_rng(0).normal(0, 1, 30)
    tuned = Tuned(Memory(), "setting", (1, 0), "setting", seed=0).fit(np.arange(30.0)[:, None], values)
    assert tuned.estimator_.setting == 0


def test_large_sets_are_tuned_on_a_share_of_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "TUNING_ROWS", 40)
    features, values = faces(90)
    assert fit_regressor("knn", features, values).note.endswith("chosen on 40 training rows")


def test_a_gaussian_process_says_when_it_leaves_rows_out(monkeypatch: pytest.MonkeyPatch) -> None:
    features, values = faces(90)
    assert fit_regressor("gaussian_process", features, values).note == ""
    monkeypatch.setattr(estimators, "PROCESS_ROWS", 60)
    assert fit_regressor("gaussian_process", features, values).note == "fitted on 60 of 90 training rows"


@pytest.mark.parametrize("name", ["svr", "svr_rbf"])
def test_the_unit_of_the_values_does_not_matter_where_settings_rely_on_it(name: str) -> None:
    features, values = faces(60)
    fitted = fit_regressor(name, features, values)
    other = fit_regressor(name, features, 5 + 1000 * values)
    np.testing.assert_allclose(other.predict(features), 5 + 1000 * fitted.predict(features), rtol=1e-3)
    assert other.note == fitted.note != ""
    np.testing.assert_allclose(fit_regressor(name, features, np.full(60, 7.0)).predict(features), 7)


def test_each_training_photo_may_have_its_own_sigma() -> None:
    features, values = faces(60)
    stds = np.linspace(0.2, 0.6, 60)
    fitted = fit_regressor("bfgs_ldl", features, values, bins=BINS, std=stds)
    assert np.isfinite(fitted.predict(features)).all()
    with pytest.raises(DataError, match=r"std \(59,\) are no finite numbers of 60 photos"):
        fit_regressor("bfgs_ldl", features, values, bins=BINS, std=stds[:59])


def broken(row: int, number: float) -> np.ndarray:
    features = faces(40)[0]
    features[row:, 2] = number
    return features


GOOD, VALUES = faces(40)


@pytest.mark.parametrize(
    ("name", "features", "values", "options", "error", "line"),
    [
        ("rigde", GOOD, VALUES, {}, ConfigError, "unknown regressor 'rigde'; did you mean 'ridge'"),
        (
            "ridge",
            GOOD,
            VALUES,
            {"preprocessing": "L2"},
            ConfigError,
            "unknown preprocessing 'L2'; valid: l2, none, st",
        ),
        ("ridge", broken(37, np.nan), VALUES, {}, DataError, "features of 3 of 40 photos hold NaN or infinity, .* 37"),
        ("ridge", broken(39, np.inf), VALUES, {}, DataError, "features of 1 of 40 photos"),
        ("ridge", GOOD[:, 0], VALUES, {}, DataError, r"features are \(photos, numbers\), not \(40,\)"),
        ("ridge", GOOD[:, :0], VALUES, {}, DataError, r"not \(40, 0\)"),
        ("ridge", GOOD.astype(str), VALUES, {}, DataError, "features are"),
        ("ridge", GOOD, VALUES[:39], {}, DataError, r"values \(39,\) are no finite numbers of 40 photos"),
        ("ridge", GOOD, np.where(VALUES > 3, np.nan, VALUES), {}, DataError, "no finite numbers"),
        ("ridge", GOOD[:19], VALUES[:19], {}, DataError, "19 training photos are too few for ridge: give 20 or more"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(name, features, values, options, error, line) -> None:
    with pytest.raises(error, match=line) as raised:
        fit_regressor(name, features, values, **options)
    assert "\n" not in str(raised.value)


def test_predictions_need_the_features_of_the_fit() -> None:
    fitted = fit_regressor("ridge", GOOD, VALUES)
    with pytest.raises(DataError, match="6 features, but ridge was fitted on 7"):
        fitted.predict(GOOD[:, :6])
    with pytest.raises(FaceAttrError, match="first in row 5"):
        fitted.predict(broken(5, np.nan))
