"""What regressors stand on: preprocessed features, scaled values, a setting chosen on training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import pairwise_distances

TUNING_ROWS = 1500
"""Most training rows on which a setting is chosen: it keeps that within minutes for thousands of features."""
PROCESS_ROWS, PROCESS_KERNEL_ROWS = 2000, 500
"""Most rows of a Gaussian process, whose time grows with their cube, and of the choice of its kernel."""


@dataclass(frozen=True)
class Preprocessing:
    """Features as a regressor sees them: (x − shift) / scale, or rows of length 1.

    Attributes:
        name: of `PREPROCESSINGS`.
        shift: (d,) or one number.
        scale: (d,) or one number.
    """

    name: str
    shift: np.ndarray | float = 0.0
    scale: np.ndarray | float = 1.0

    def __call__(self, features: np.ndarray) -> np.ndarray:
        if self.name == "l2":
            norms = np.linalg.norm(features, axis=1, keepdims=True)
            return np.asarray(features / np.where(norms > 0, norms, 1))
        return np.asarray((features - self.shift) / self.scale)


def _standardise(features: np.ndarray) -> Preprocessing:
    deviation = features.std(axis=0)
    # Of a constant feature, rounding may leave a spread that is not 0.
    constant = deviation <= 1e-9 * np.abs(features).max(axis=0)
    return Preprocessing("standardise", features.mean(axis=0), np.where(constant, 1, deviation))


PREPROCESSINGS: dict[str, Callable[[np.ndarray], Preprocessing]] = {
    "l2": lambda features: Preprocessing("l2"),
    "standardise": _standardise,
    "none": lambda features: Preprocessing("none"),
}
"""Each is fitted on the training rows."""


class Scaled:
    """An estimator of values with mean 0 and spread 1, on which ε, C and the penalty of an intercept rely."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def fit(self, features: np.ndarray, values: np.ndarray) -> Scaled:
        self.mean, self.spread = values.mean(), values.std() or 1.0
        self.inner.fit(features, (values - self.mean) / self.spread)
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(self.inner.predict(features) * self.spread + self.mean)

    @property
    def note(self) -> str:
        return str(getattr(self.inner, "note", ""))

    @property
    def coef_(self) -> np.ndarray:
        return np.asarray(self.inner.coef_ * self.spread)

    @property
    def intercept_(self) -> Any:
        return self.inner.intercept_ * self.spread + self.mean


class Tuned:
    """Chooses one setting by the mean absolute error on held-out training rows, then fits all rows.

    Args:
        make: (setting, rows) → estimator; rows are those that it will be fitted on.
        grid: settings, or a function of features and values that gives them.
        what: the setting's name, for the note.
        seed: of the choice of rows.
        rounds: of the three folds that are held out in turn; fewer where a fit takes long.
    """

    def __init__(
        self,
        make: Callable[[Any, np.ndarray], Any],
        grid: Sequence[Any] | Callable[[np.ndarray, np.ndarray], Sequence[Any]],
        what: str,
        seed: int,
        rounds: int = 3,
    ) -> None:
        self.make, self.grid, self.what, self.seed, self.rounds = make, grid, what, seed, rounds

    def fit(self, features: np.ndarray, values: np.ndarray) -> Tuned:
        rows = np.random.default_rng(self.seed).permutation(len(values))[:TUNING_ROWS]
        parts = np.array_split(rows, 3)
        settings = self.grid(features[rows], values[rows]) if callable(self.grid) else self.grid
        errors = []
        for setting in settings:
            error = 0.0
            for held in range(self.rounds):
                kept = np.concatenate(parts[:held] + parts[held + 1 :])
                fitted = self.make(setting, kept).fit(features[kept], values[kept])
                error += np.abs(fitted.predict(features[parts[held]]) - values[parts[held]]).sum()
            errors.append(error)
        self.setting = settings[int(np.argmin(errors))]
        self.inner = self.make(self.setting, np.arange(len(values))).fit(features, values)
        self.note = f"{self.what} = {self.setting:.3g}, chosen on {len(rows)} training rows"
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(self.inner.predict(features))

    @property
    def coef_(self) -> np.ndarray:
        return np.ravel(self.inner.coef_)

    @property
    def intercept_(self) -> Any:
        return self.inner.intercept_


class GaussianProcess:
    """A process with a radial kernel and noise on a seeded subset of rows.

    Args:
        seed: of the subset.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, features: np.ndarray, values: np.ndarray) -> GaussianProcess:
        rows = np.random.default_rng(self.seed).permutation(len(values))[:PROCESS_ROWS]
        few = rows[:PROCESS_KERNEL_ROWS]
        length = float(np.median(pairwise_distances(features[few]))) or 1.0
        kernel = ConstantKernel(1.0) * RBF(length, (length / 30, length * 30)) + WhiteKernel(0.3)
        chosen = GaussianProcessRegressor(kernel, normalize_y=True).fit(features[few], values[few]).kernel_
        self.inner = GaussianProcessRegressor(chosen, optimizer=None, normalize_y=True).fit(
            features[rows], values[rows]
        )
        self.note = f"fitted on {len(rows)} of {len(values)} training rows" if len(rows) < len(values) else ""
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(self.inner.predict(features))
