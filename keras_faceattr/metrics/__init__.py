"""Metrics over a whole set of photos, never averaged over batches.

`metrics_of` is a table of NumPy functions. The classes are the same metrics for `model.compile`: they hold over a whole
epoch, whatever its batches. They are looked up when they are first used, as whoever reads the table needs no Keras.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_faceattr.metrics import classification, ranking, scalar, vectors
from keras_faceattr.tasks import ScalarTask, Task

if TYPE_CHECKING:
    from keras_faceattr.metrics.class_metrics import AttributeBalancedAccuracy as AttributeBalancedAccuracy
    from keras_faceattr.metrics.class_metrics import BalancedAccuracy as BalancedAccuracy
    from keras_faceattr.metrics.ranked_metrics import AveragePrecision as AveragePrecision
    from keras_faceattr.metrics.ranked_metrics import PairAUC as PairAUC
    from keras_faceattr.metrics.ranked_metrics import TrueAcceptRate as TrueAcceptRate
    from keras_faceattr.metrics.scalar_metrics import BandAccuracy as BandAccuracy
    from keras_faceattr.metrics.scalar_metrics import CumulativeScore as CumulativeScore
    from keras_faceattr.metrics.scalar_metrics import EpsilonError as EpsilonError
    from keras_faceattr.metrics.scalar_metrics import ExpectationMAE as ExpectationMAE
    from keras_faceattr.metrics.scalar_metrics import ExpectationRMSE as ExpectationRMSE
    from keras_faceattr.metrics.scalar_metrics import IntervalDistance as IntervalDistance
    from keras_faceattr.metrics.scalar_metrics import PearsonCorrelation as PearsonCorrelation

_CLASSES = {
    **dict.fromkeys(("AttributeBalancedAccuracy", "BalancedAccuracy"), "class_metrics"),
    **dict.fromkeys(("AveragePrecision", "PairAUC", "TrueAcceptRate"), "ranked_metrics"),
    **dict.fromkeys(
        (
            "BandAccuracy", "CumulativeScore", "EpsilonError", "ExpectationMAE", "ExpectationRMSE", "IntervalDistance",
            "PearsonCorrelation",
        ),
        "scalar_metrics",
    ),
}  # fmt: skip
"""Module of each metric of Keras."""

__all__ = [
    "AttributeBalancedAccuracy",
    "AveragePrecision",
    "BalancedAccuracy",
    "BandAccuracy",
    "CumulativeScore",
    "EpsilonError",
    "ExpectationMAE",
    "ExpectationRMSE",
    "IntervalDistance",
    "Metric",
    "PairAUC",
    "PearsonCorrelation",
    "TrueAcceptRate",
    "metrics_of",
]


if not TYPE_CHECKING:
    # Types know every name: one that is misspelt would be hidden from them.

    def __getattr__(name: str) -> Any:
        if name not in _CLASSES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_CLASSES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_CLASSES})


@dataclass(frozen=True)
class Metric:
    """A row of a task's table.

    Attributes:
        function: (labels (n, width), predictions (n, …)) → number.
        higher_is_better: which way is up.
        needs_std: whether it means anything only where each photo has its own σ.
        needs_values: whether it means anything only of scalars that are labelled with values, not with intervals.
    """

    function: Callable[[np.ndarray, np.ndarray], float]
    higher_is_better: bool
    needs_std: bool = False
    needs_values: bool = False


_CLASSIFICATION = {
    "accuracy": Metric(classification.accuracy, True),
    "balanced_accuracy": Metric(classification.balanced_accuracy, True),
}
_YES_NO = {
    "accuracy": Metric(classification.binary_accuracy, True),
    "balanced_accuracy": Metric(classification.binary_balanced_accuracy, True),
    "average_precision": Metric(ranking.average_precision, True),
}


_VERIFICATION = {
    "accuracy": Metric(vectors.pair_accuracy, True),
    "auc": Metric(vectors.pair_auc, True),
    "tar@far=0.01": Metric(partial(vectors.pair_tar_at_far, far=0.01), True),
    "tar@far=0.001": Metric(partial(vectors.pair_tar_at_far, far=0.001), True),
}
_BY_KIND = {
    "binary": _YES_NO,
    "categorical": _CLASSIFICATION,
    "multilabel": _YES_NO,
    "identity": _VERIFICATION,
    "embedding": {"cosine": Metric(vectors.mean_cosine, True)},
}


def metrics_of(task: Task) -> dict[str, Metric]:
    """The metrics of a task; the first is the one by which the best epoch is chosen."""
    if isinstance(task, ScalarTask):
        values = partial(Metric, needs_values=True)
        bands = np.array(task.bands, "float64")
        of_bands = {
            "interval_distance": Metric(scalar.interval_distance, False),
            "band_accuracy": Metric(scalar.band_accuracy(bands), True),
            "one_off_accuracy": Metric(scalar.band_accuracy(bands, off=1), True),
        }
        return {
            **(of_bands if task.bands else {}),
            "mae": values(scalar.mean_absolute_error, False),
            "rmse": values(scalar.root_mean_squared_error, False),
            "pc": values(scalar.pearson_correlation, True),
            "epsilon_error": values(scalar.epsilon_error, False, needs_std=True),
            **{f"cs@{k:g}": values(scalar.cumulative_score(k), True) for k in task.tolerances},
        }
    return _BY_KIND[task.kind]
