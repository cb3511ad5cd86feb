"""Intervals of scalar answers: a table of factors that was measured, and the two ends that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keras_faceattr.errors import ConfigError
from keras_faceattr.tasks import ScalarTask

SHOWN = 0.9
"""Level of the interval that tables show."""


def spread_of(task: ScalarTask, distributions: np.ndarray) -> np.ndarray:
    """(n,) standard deviation of each distribution, in the task's unit, and at least half a step of its bins.

    Args:
        distributions: (n, K) probability of each of the task's bins.
    """
    said, bins = distributions.astype("float64"), task.bins
    mean = said @ bins
    # Rounding may leave a variance below zero, and a sum of probabilities other than 1.
    variance = np.maximum(said @ np.square(bins) - 2 * mean * mean + np.square(mean) * said.sum(axis=1), 0.0)
    return np.asarray(np.maximum(np.sqrt(variance), float(np.diff(bins).min()) / 2))


@dataclass(frozen=True)
class Intervals:
    """How wide the intervals of a scalar task are: value ± factor · standard deviation of the distribution.

    Attributes:
        factors: by level, the share of photos whose interval contains the label; both ascending.
        photos: validation photos that gave them.
    """

    factors: Mapping[float, float]
    photos: int

    def bounds(self, task: ScalarTask, values: np.ndarray, spread: np.ndarray, level: float = SHOWN) -> np.ndarray:
        """(n, 2) low and high, in the task's unit and within its range.

        Args:
            values: (n,) answers.
            spread: (n,) of the same answers, as of `spread_of`.
            level: one of `factors`.

        Raises:
            ConfigError: the file has no intervals of this level.
        """
        if level not in self.factors:
            known = ", ".join(f"{share:g}" for share in self.factors)
            raise ConfigError(f"{task.name}: no interval of level {level:g}; measured: {known or 'none'}")
        half = self.factors[level] * spread
        ends = np.stack([values - half, values + half], axis=1)
        return np.asarray(np.clip(ends, task.minimum, task.maximum))
