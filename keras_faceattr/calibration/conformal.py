"""Split-conformal intervals of scalar tasks, from the label distribution of each photo."""

from __future__ import annotations

import numpy as np

from keras_faceattr.evaluation.intervals import Intervals, spread_of
from keras_faceattr.metrics.scalar import intervals
from keras_faceattr.tasks import ScalarTask

LEVELS = (0.5, 0.8, 0.9, 0.95)

FEWEST = 50
"""Photos: fewer give a factor that another such set would not."""


def conformal_intervals(
    task: ScalarTask, values: np.ndarray, distributions: np.ndarray, labels: np.ndarray
) -> Intervals | None:
    """Measure how many standard deviations an interval needs to contain the label of a given share of photos.

    The score of a photo is |label − value| / standard deviation; the factor of a level is the smallest score that at
    least level · (n + 1) of the n photos do not exceed. If the next photo is drawn like these (exchangeable), its
    interval contains its label with at least that probability. A label that is an interval counts as each of its bins
    with an equal share of one photo: the truth is as likely anywhere in it.

    Args:
        values: (n,) answers for photos that the net was neither trained on nor chosen by.
        distributions: (n, K) of the same answers.
        labels: (n, 2) value and σ, or (n, 4) with lowest and highest value behind; all labelled.

    Returns:
        None for fewer than `FEWEST` photos.

    Source: Lei et al., Distribution-free predictive inference for regression, 2018, section 5.2 (locally weighted).
    """
    if len(values) < FEWEST:
        return None
    spread, (low, high) = spread_of(task, distributions), intervals(labels).T
    bins = task.bins[None]
    inside = (bins >= low[:, None]) & (bins <= high[:, None])
    # Between two bins lies no bin: such a label, as every exact one, is its own.
    exact = (low == high) | ~inside.any(axis=1)
    points = np.where(exact[:, None], ((low + high) / 2)[:, None], bins)
    shares = np.where(exact[:, None], np.eye(1, bins.shape[1]), inside / np.maximum(inside.sum(axis=1), 1)[:, None])
    scores = np.abs(points - values.astype("float64")[:, None]) / spread[:, None]
    used = shares > 0
    order = np.argsort(scores[used], kind="stable")
    ranked, mass = scores[used][order], np.cumsum(shares[used][order])
    factors = {}
    for level in LEVELS:
        needed = level * (len(values) + 1)
        # Sums of thirds fall short of whole photos by rounding.
        place = int(np.searchsorted(mass, needed - 1e-6))
        if place < len(ranked):
            factors[level] = float(ranked[place])
    return Intervals(factors, len(values))
