"""The regressors that are compared. A new one is a new row.

Those of scikit-learn read columns and target standardised by the training rows' statistics, as the nets do inside. They
have no use for validation rows to stop by, so they learn from these too. Their hyperparameters are those of the grid
with the least MAE in a five-fold cross-validation among these rows; the test rows take no part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
from sklearn.linear_model import Lasso, Ridge
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVR

from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.features.estimators import best_settings
from keras_faceattr.tabular.experiment import TableExperiment
from keras_faceattr.tabular.nets import fit_net, predict_net
from keras_faceattr.tabular.splits import SplitTable

SEARCH_FOLDS = 5
SEARCH_ROWS = 1500
"""Rows that a search looks at; the winner is fitted to all. The time of an SVR grows with their square."""

MOST_ITERATIONS = 200_000
"""Of an SVR: far more than standardised columns need, and an end for those that never converge."""


@dataclass(frozen=True)
class Fitted:
    """A regressor that has learned from one split.

    Attributes:
        predict: (rows, features) raw columns → (rows,) in the target's unit.
        settings: what was chosen on the way, for people.
        model: of the nets.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    settings: str
    model: keras.Model | None = None


@dataclass(frozen=True)
class Searched:
    """A regressor of scikit-learn.

    Attributes:
        make: builds it from hyperparameters.
        grid: values of each hyperparameter that the inner cross-validation tries.
    """

    title: str
    make: Callable[..., Any]
    grid: dict[str, list[Any]]

    def fit(self, table: SplitTable, experiment: TableExperiment) -> Fitted:
        """Chooses hyperparameters, then fits all rows but the test's."""
        scale, rows = table.standardisation, table.fitting
        inputs = (rows.columns - scale.means) / scale.stds
        target = (rows.target - scale.target_mean) / scale.target_std
        seed = table.split.seed
        sample = np.random.default_rng(seed).permutation(len(target))[:SEARCH_ROWS]
        folds = KFold(SEARCH_FOLDS, shuffle=True, random_state=seed)
        best = best_settings(self.make(), self.grid, inputs[sample], target[sample], folds)
        estimator = self.make(**best).fit(inputs, target)

        def predict(columns: np.ndarray) -> np.ndarray:
            standardised = estimator.predict((columns - scale.means) / scale.stds)
            return np.asarray(standardised * scale.target_std + scale.target_mean)

        return Fitted(predict, ", ".join(f"{name}={value}" for name, value in best.items()))


@dataclass(frozen=True)
class Net:
    """A net of `models.tabular_dnn`, which learns from the training rows and stops by the validation rows.

    Attributes:
        options: of the net, as the experiment sets them.
    """

    title: str
    name: str
    options: Callable[[TableExperiment], dict[str, Any]] = field(default=lambda experiment: {})

    def fit(self, table: SplitTable, experiment: TableExperiment) -> Fitted:
        """Trains the net."""
        model, epoch = fit_net(self.name, self.options(experiment), table, experiment.training)
        return Fitted(partial(predict_net, model), f"epoch={epoch}", model)


_SVR = partial(SVR, max_iter=MOST_ITERATIONS)

TABLE_REGRESSORS: dict[str, Searched | Net] = {
    "ridge": Searched("ridge regression", Ridge, {"alpha": [0.1, 1.0, 10.0, 100.0, 1000.0]}),
    "lasso": Searched("lasso regression", Lasso, {"alpha": [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]}),
    "knn": Searched(
        "k nearest neighbours",
        KNeighborsRegressor,
        {"n_neighbors": [5, 10, 20, 40], "weights": ["uniform", "distance"]},
    ),
    "svr_rbf": Searched(
        "SVR, RBF kernel", partial(_SVR, kernel="rbf"), {"C": [1.0, 10.0, 100.0], "gamma": [0.01, 0.03]}
    ),
    "svr_linear": Searched("SVR, linear kernel", partial(_SVR, kernel="linear"), {"C": [0.001, 0.01, 0.1]}),
    "svr_poly": Searched(
        "SVR, polynomial kernel", partial(_SVR, kernel="poly", coef0=1.0), {"C": [0.01, 0.1, 1.0], "degree": [2, 3]}
    ),
    "mlp": Net("MLP", "mlp"),
    "mtb_dnn": Net("MTB-DNN", "mtb_dnn", lambda experiment: experiment.model.model_dump()),
}
"""In the order of the paper's Table 7."""


def table_regressor(name: str) -> Searched | Net:
    """The row called `name`.

    Raises:
        ConfigError: there is none; the message lists the valid names.
    """
    if name not in TABLE_REGRESSORS:
        raise ConfigError(f"unknown regressor {name!r} in baselines; {nearest(name, TABLE_REGRESSORS)}")
    return TABLE_REGRESSORS[name]
