"""Accuracies of class and yes/no predictions."""

from __future__ import annotations

import numpy as np

from keras_faceattr.metrics.sums import SumMetric, mean_of_known


def confusion(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Counts of true (rows) against predicted (columns) classes.

    Args:
        labels: (n, 1) index of the class.
        predictions: (n, classes) probabilities.

    Returns:
        (classes, classes) int64.
    """
    classes = predictions.shape[1]
    flat = labels[:, 0].astype("int64") * classes + predictions.argmax(axis=1)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def attribute_accuracies(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(attributes,) share of right answers of each; shapes as `binary_accuracy`."""
    return _shares(_answers(labels, predictions).sum(axis=0).astype("float64"))


def attribute_balanced_accuracies(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(attributes,) mean of true-positive and true-negative rate of each; shapes as `binary_accuracy`."""
    return _rates(_answers_by_label(labels, predictions).sum(axis=0).astype("float64"))


def _hits(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(n, 2) whether the likeliest class is the right one, and that it is a photo."""
    right = labels[:, 0].astype("int64") == predictions.argmax(axis=1)
    return np.stack([right, np.ones_like(right)], axis=1)


def _hits_by_class(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(n, 2 · classes) whether a photo is one of a class that was recognised, and whether it is one of the class."""
    own = labels[:, :1].astype("int64") == np.arange(predictions.shape[1])
    right = labels[:, 0].astype("int64") == predictions.argmax(axis=1)
    return np.concatenate([own & right[:, None], own], axis=1)


def _answers(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(n, 2 · attributes) whether the answer is right, and whether there is a label."""
    known = ~np.isnan(labels)
    return np.concatenate([_right(labels, predictions) & known, known], axis=1)


def _answers_by_label(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(n, 4 · attributes) as `_answers`, for photos labelled 0 and for those labelled 1."""
    right, no, yes = _right(labels, predictions), labels == 0, labels == 1
    return np.concatenate([right & no, right & yes, no, yes], axis=1)


def _right(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    right: np.ndarray = (predictions >= 0.5) == (labels == 1)
    return right


def _shares(sums: np.ndarray) -> np.ndarray:
    """(…, k) shares, of sums of what is right and then of what counts; NaN where nothing counts."""
    right, total = np.split(sums, 2, axis=-1)
    return np.where(total > 0, right / np.maximum(total, 1), np.nan)


def _rates(sums: np.ndarray) -> np.ndarray:
    """(…, attributes) mean of the two rates of each."""
    return mean_of_known(np.stack(np.split(_shares(sums), 2, axis=-1), axis=-1))


accuracy = SumMetric(_hits, lambda sums: _shares(sums)[..., 0])
"""Share of photos whose likeliest class is the right one; shapes as `confusion`."""

balanced_accuracy = SumMetric(_hits_by_class, lambda sums: mean_of_known(_shares(sums)))
"""Mean over the classes that occur of the share recognised; shapes as `confusion`."""

binary_accuracy = SumMetric(_answers, lambda sums: mean_of_known(_shares(sums)))
"""Share of right answers, as the mean over the attributes of each one's share over its labelled photos.

Labels are (n, attributes) 0 or 1, NaN where not labelled; predictions (n, attributes) probability of 1.
"""

binary_balanced_accuracy = SumMetric(_answers_by_label, lambda sums: mean_of_known(_rates(sums)))
"""Mean over the attributes of the mean of true-positive and true-negative rate; shapes as `binary_accuracy`.

An attribute of which only one answer occurs counts with that answer's rate.
"""
