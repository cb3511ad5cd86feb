"""Parts of regressors: preprocessed features, a setting chosen on training rows, few rows for a costly process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

TUNING_ROWS = 1500
"""Most training rows on which a setting is chosen: it keeps that within minutes for thousands of features."""
PROCESS_ROWS, PROCESS_KERNEL_ROWS = 2000, 500
"""Most rows of a Gaussian process, whose time grows with their cube, and of the choice of its kernel."""

PREPROCESSINGS: dict[str, Callable[[], Any]] = {
    "l2": Normalizer,
    "standardise": StandardScaler,
    "none": FunctionTransformer,
}
"""Each is fitted on the training rows."""


def best_settings(
    estimator: Any, grid: dict[str, Any], features: np.ndarray, values: np.ndarray, folds: Any, **per_row: np.ndarray
) -> dict[str, Any]:
    """The settings of a grid with the least mean absolute error on held-out rows; of equals, the first.

    Args:
        estimator: is cloned.
        grid: by name of a parameter, the values to try.
        folds: as `cv` of scikit-learn.
        per_row: what `fit` of the estimator takes besides, row by row.
    """
    search = GridSearchCV(
        estimator, grid, scoring="neg_mean_absolute_error", cv=folds, refit=False, error_score="raise"
    )
    return dict(search.fit(features, values, **per_row).best_params_)


class Tuned(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Chooses one setting on a seeded share of the training rows, then fits all of them.

    `GridSearchCV` alone would search on all rows: its refit knows no others than the search.

    Args:
        estimator: what is tuned.
        setting: name of its parameter.
        grid: values, or a function of features and values that gives them.
        symbol: the setting's name, for the note.
        seed: random seed of the choice of rows.
        rounds: number of the three folds that are held out in turn; fewer where a fit takes long.
    """

    def __init__(
        self,
        estimator: Any,
        setting: str,
        grid: Sequence[Any] | Callable[[np.ndarray, np.ndarray], Sequence[Any]],
        symbol: str,
        seed: int,
        rounds: int = 3,
    ) -> None:
        self.estimator, self.setting, self.grid, self.symbol = estimator, setting, grid, symbol
        self.seed, self.rounds = seed, rounds

    def fit(self, features: np.ndarray, values: np.ndarray, **per_row: np.ndarray) -> Tuned:
        rows = np.random.default_rng(self.seed).permutation(len(values))[:TUNING_ROWS]
        grid = self.grid(features[rows], values[rows]) if callable(self.grid) else self.grid
        best = best_settings(
            self.estimator,
            {self.setting: list(grid)},
            features[rows],
            values[rows],
            list(KFold(3).split(rows))[: self.rounds],
            **{name: numbers[rows] for name, numbers in per_row.items()},
        )
        self.estimator_ = clone(self.estimator).set_params(**best).fit(features, values, **per_row)
        self.note_ = f"{self.symbol} = {best[self.setting]:.3g}, chosen on {len(rows)} training rows"
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(self.estimator_.predict(features))


class GaussianProcess(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A process with a radial kernel and noise on a seeded subset of rows.

    Args:
        seed: random seed of the subset.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, features: np.ndarray, values: np.ndarray) -> GaussianProcess:
        rows = np.random.default_rng(self.seed).permutation(len(values))[:PROCESS_ROWS]
        few = rows[:PROCESS_KERNEL_ROWS]
        length = float(np.median(pairwise_distances(features[few]))) or 1.0
        kernel = ConstantKernel(1.0) * RBF(length, (length / 30, length * 30)) + WhiteKernel(0.3)
        chosen = GaussianProcessRegressor(kernel, normalize_y=True).fit(features[few], values[few]).kernel_
        self.process_ = GaussianProcessRegressor(chosen, optimizer=None, normalize_y=True).fit(
            features[rows], values[rows]
        )
        self.note_ = f"fitted on {len(rows)} of {len(values)} training rows" if len(rows) < len(values) else ""
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(self.process_.predict(features))
