"""Regressors on features: a new one is a new row; what matters of their settings is chosen on training rows alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import BayesianRidge, Lasso, LinearRegression, RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVR, LinearSVR

from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.features.estimators import PREPROCESSINGS, GaussianProcess, Tuned
from keras_faceattr.features.label_distribution_regression import BFGSLDL
from keras_faceattr.features.ohrank import OHRank

FEWEST_ROWS = 20


@dataclass(frozen=True)
class Regressor:
    """A row of the table.

    Attributes:
        make: (seed, bins) → estimator; bins may be None where it does not need them.
        preprocessing: key of `PREPROCESSINGS`, where the user names none.
        source: paper and section.
        needs: arguments of its `fit`, among `bins` and `std`.
        is_linear: whether it has coefficients.
    """

    make: Callable[[int, Any], Any]
    preprocessing: str
    source: str
    needs: tuple[str, ...] = ()
    is_linear: bool = False


def _scaled(regressor: Any) -> TransformedTargetRegressor:
    """Regressor of values with mean 0 and spread 1, on which ε, C and the penalty of an intercept rely."""
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def _svr(seed: int, bins: Any) -> Any:
    estimator = LinearSVR(epsilon=0.1, random_state=seed, max_iter=3000)
    return _scaled(Tuned(estimator, "C", (0.001, 0.01, 0.1, 1.0, 10.0), "C", seed))


def _svr_rbf(seed: int, bins: Any) -> Any:
    return _scaled(Tuned(SVR(epsilon=0.1), "C", (0.3, 1.0, 3.0, 10.0), "C", seed))


def _lasso(seed: int, bins: Any) -> Any:
    def alphas(features: np.ndarray, values: np.ndarray) -> list[float]:
        centred = features - features.mean(axis=0)
        # Above the largest, every weight is 0.
        largest = max(np.abs(centred.T @ (values - values.mean())).max() / len(values), 1e-12)
        return list(np.geomspace(largest, 1e-3 * largest, 7))

    return Tuned(Lasso(max_iter=2000), "alpha", alphas, "α", seed)


def _knn(seed: int, bins: Any) -> Any:
    def neighbours(features: np.ndarray, values: np.ndarray) -> list[int]:
        return [k for k in (3, 5, 10, 20, 40) if k <= len(values) // 2]

    return Tuned(KNeighborsRegressor(weights="distance"), "n_neighbors", neighbours, "k", seed)


def _ohrank(seed: int, bins: Any) -> Any:
    return Tuned(OHRank(bins, seed=seed), "regularization", (0.1, 1.0, 10.0), "C", seed, rounds=1)


def _bfgs_ldl(seed: int, bins: Any) -> Any:
    return Tuned(BFGSLDL(bins), "penalty", (0.0003, 0.003, 0.03, 0.3, 3.0), "penalty", seed, rounds=1)


FEATURE_REGRESSORS: dict[str, Regressor] = {
    "bayesian_ridge": Regressor(lambda s, b: BayesianRidge(), "standardise", "TransFBP, fig. 1", is_linear=True),
    "linear": Regressor(lambda s, b: LinearRegression(), "standardise", "HMTNet, table 5", is_linear=True),
    "ridge": Regressor(
        lambda s, b: RidgeCV(np.logspace(-4, 6, 11)), "standardise", "MTB-DNN, table 7", is_linear=True
    ),
    "lasso": Regressor(_lasso, "standardise", "MTB-DNN, table 7", is_linear=True),
    "gaussian_process": Regressor(lambda s, b: GaussianProcess(s), "standardise", "TransFBP, table 3"),
    "svr": Regressor(_svr, "l2", "DLDL-v2, 4.5.3", is_linear=True),
    "svr_rbf": Regressor(_svr_rbf, "standardise", "MTB-DNN, table 7"),
    "knn": Regressor(_knn, "l2", "MTB-DNN, table 7"),
    "random_forest": Regressor(
        lambda s, b: RandomForestRegressor(300, min_samples_leaf=2, max_features="sqrt", n_jobs=-1, random_state=s),
        "none", "Breiman: Random forests, 2001",
    ),
    "ohrank": Regressor(_ohrank, "l2", "DLDL-v2, 4.5.3", needs=("bins",)),
    "bfgs_ldl": Regressor(_bfgs_ldl, "l2", "DLDL-v2, 4.5.3", needs=("bins", "std")),
}  # fmt: skip


def feature_regressor(name: str) -> Regressor:
    """The row called `name`.

    Raises:
        ConfigError: there is none; the message lists the valid names.
    """
    if name not in FEATURE_REGRESSORS:
        raise ConfigError(f"unknown regressor {name!r}; {nearest(name, FEATURE_REGRESSORS)}")
    return FEATURE_REGRESSORS[name]


@dataclass(frozen=True)
class FittedRegressor:
    """A regressor behind the preprocessing of its features.

    Attributes:
        name: key of `FEATURE_REGRESSORS`.
        pipeline: the steps `preprocessing` and `regressor`.
        width: number of features.
    """

    name: str
    pipeline: Pipeline
    width: int

    @property
    def note(self) -> str:
        """Note of what was chosen or left out during the fit; may be empty."""
        estimator = self.pipeline["regressor"]
        return str(getattr(getattr(estimator, "regressor_", estimator), "note_", ""))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(n,) values in the task's unit, from (n, d) raw features.

        Raises:
            DataError: another number of features, or NaN among them.
        """
        features = checked(features)
        if features.shape[1] != self.width:
            raise DataError(f"{features.shape[1]} features, but {self.name} was fitted on {self.width}")
        return np.asarray(self.pipeline.predict(features), np.float64)

    def coefficients(self) -> tuple[np.ndarray, float]:
        """Weights (d,) and intercept on raw features: `features @ weights + intercept` is the prediction.

        Raises:
            ConfigError: it is not linear in raw features.
        """
        linear = [name for name, row in FEATURE_REGRESSORS.items() if row.is_linear]
        if self.name not in linear:
            raise ConfigError(f"{self.name} has no coefficients; linear are {', '.join(linear)}")
        if isinstance(self.pipeline["preprocessing"], Normalizer):
            raise ConfigError(
                f"{self.name} on l2-normalised features has no coefficients of raw ones: "
                "choose the preprocessing standardise or none"
            )
        scaler, (weights, intercept) = self.pipeline["preprocessing"], _coefficients(self.pipeline["regressor"])
        weights = weights / getattr(scaler, "scale_", 1.0)
        return weights, intercept - float((weights * getattr(scaler, "mean_", 0.0)).sum())


def _coefficients(estimator: Any) -> tuple[np.ndarray, float]:
    """Weights and intercept of a fitted linear estimator, whatever wraps it."""
    if isinstance(estimator, TransformedTargetRegressor):
        weights, intercept = _coefficients(estimator.regressor_)
        spread, mean = float(estimator.transformer_.scale_[0]), float(estimator.transformer_.mean_[0])
        return weights * spread, intercept * spread + mean
    if isinstance(estimator, Tuned):
        return _coefficients(estimator.estimator_)
    return np.ravel(estimator.coef_), float(np.ravel(estimator.intercept_)[0])


def checked(features: np.ndarray) -> np.ndarray:
    """(n, d) finite float64.

    Raises:
        DataError: another shape, no numbers, NaN or infinity; names the first such row.
    """
    if features.ndim != 2 or features.dtype.kind not in "fiu" or not features.shape[1]:
        raise DataError(f"features are (photos, numbers), not {features.shape} {features.dtype}")
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise DataError(
            f"features of {len(bad)} of {len(features)} photos hold NaN or infinity, first in row {bad[0]}: "
            "check the model that gives them"
        )
    return features.astype(np.float64)


def fit_regressor(
    name: str,
    features: np.ndarray,
    values: np.ndarray,
    *,
    preprocessing: str | None = None,
    seed: int = 0,
    bins: np.ndarray | None = None,
    std: np.ndarray | float | None = None,
) -> FittedRegressor:
    """Fit preprocessing and regressor on training rows.

    Args:
        name: key of `FEATURE_REGRESSORS`.
        features: (n, d) raw features.
        values: (n,) labels, in the task's unit.
        preprocessing: key of `PREPROCESSINGS`; None for the row's own.
        seed: random seed of whatever draws.
        bins: (K,) of the task, for rows that need them.
        std: σ of the labels, one or (n,), for rows that need it.

    Raises:
        ConfigError: unknown name, or bins or σ missing.
        DataError: features, values or σ that are no finite numbers of the same photos, or too few photos.
    """
    row = feature_regressor(name)
    preprocessing = preprocessing or row.preprocessing
    if preprocessing not in PREPROCESSINGS:
        raise ConfigError(f"unknown preprocessing {preprocessing!r}; {nearest(preprocessing, PREPROCESSINGS)}")
    for need, given in (("bins", bins), ("std", std)):
        if need in row.needs and given is None:
            raise ConfigError(f"regressor {name!r} needs {need}: give those of a scalar task")
    features, values = checked(features), np.asarray(values, np.float64)
    for what, numbers in (("values", values), ("std", np.asarray(0.0 if std is None else std, np.float64))):
        if numbers.shape not in ((len(features),), ()) or not np.isfinite(numbers).all():
            raise DataError(f"{what} {numbers.shape} are no finite numbers of {len(features)} photos")
    if len(features) < FEWEST_ROWS:
        raise DataError(f"{len(features)} training photos are too few for {name}: give {FEWEST_ROWS} or more")
    bins = None if bins is None else np.asarray(bins, np.float64)
    pipeline = Pipeline([("preprocessing", PREPROCESSINGS[preprocessing]()), ("regressor", row.make(seed, bins))])
    per_row = {"regressor__std": np.broadcast_to(np.asarray(std), len(features))} if "std" in row.needs else {}
    with warnings.catch_warnings():
        # liblinear and the coordinate descent stop at a bound, which limits their time and hardly their accuracy.
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(features, values, **per_row)
    return FittedRegressor(name, pipeline, features.shape[1])
