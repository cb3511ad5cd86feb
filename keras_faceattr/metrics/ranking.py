"""Average precision: how well probabilities put the photos that have an attribute before those that have not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from keras_faceattr.metrics.sums import CHUNK_BYTES, mean_of_known


@dataclass(frozen=True)
class AveragePrecision:
    """Mean over the attributes that have both answers of the area below each one's steps of precision over recall.

    Labels are (n, attributes) 0 or 1, NaN where not labelled; predictions (n, attributes) probability of 1, of which
    one that is no number ranks last. NaN where no attribute has both answers.

    Attributes:
        columns: the attributes that count.

    Source: `sklearn.metrics.average_precision_score`, which has photos of equal probability accepted together, too.
    """

    columns: slice = field(default_factory=lambda: slice(None))

    def __call__(self, labels: np.ndarray, predictions: np.ndarray) -> float:
        return float(self.of_draws(labels, predictions, [np.arange(len(labels))])[0])

    def of_columns(self, columns: slice) -> AveragePrecision:
        """The same of some attributes alone."""
        return AveragePrecision(columns)

    def of_draws(self, labels: np.ndarray, predictions: np.ndarray, draws: Iterable[np.ndarray]) -> np.ndarray:
        """(samples,) values of the photos that each draw names, a photo as often as it is named.

        Args:
            draws: (m,) indices each.
        """
        of_some = by_attribute(labels[:, self.columns], predictions[:, self.columns], draws)
        return mean_of_known(of_some)


average_precision = AveragePrecision()


def by_attribute(labels: np.ndarray, predictions: np.ndarray, draws: Iterable[np.ndarray]) -> np.ndarray:
    """(samples, attributes) average precision of each; arguments as of `AveragePrecision.of_draws`."""
    places = [_places(*columns) for columns in zip(labels.T, predictions.T, strict=True)]
    size = max(1, CHUNK_BYTES // (16 * max(len(labels), 1)))
    draws, found = iter(draws), [np.empty((0, len(places)))]
    while some := list(islice(draws, size)):
        found.append(np.stack([_of_counts(*place, some) for place in places], axis=1))
    return np.concatenate(found)


def _places(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Bin of each photo for one attribute, and the number of bins.

    Recall grows only at the scores of photos that have the attribute, so that these are the only thresholds. Of each
    there is a bin of photos without the attribute that are accepted from there on, and then one of those with it. In
    front lie bins of photos that no threshold accepts, and of those without a label.
    """
    scores = np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    thresholds = np.unique(scores[labels == 1])
    accepted = np.searchsorted(thresholds, scores, side="right")
    return np.where(np.isnan(labels), 1, 2 * accepted + (labels == 1)), 2 * (len(thresholds) + 1)


def _of_counts(bins: np.ndarray, count: int, draws: list[np.ndarray]) -> np.ndarray:
    """(draws,) average precision of one attribute; NaN where a draw has one answer only."""
    counts = np.stack([np.bincount(bins[draw], minlength=count) for draw in draws]).reshape(len(draws), -1, 2)
    no, yes = counts[:, ::-1, 0], counts[:, :0:-1, 1]
    found = np.cumsum(yes, axis=1)
    precision = found / np.maximum(found + np.cumsum(no[:, :-1], axis=1), 1)
    total, both = yes.sum(axis=1), (yes.sum(axis=1) > 0) & (no.sum(axis=1) > 0)
    return np.where(both, (yes * precision).sum(axis=1) / np.maximum(total, 1), np.nan)
