"""Accuracies of class and yes/no predictions."""

from __future__ import annotations

import numpy as np


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


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Share of photos whose likeliest class is the right one; shapes as `confusion`."""
    return float((labels[:, 0].astype("int64") == predictions.argmax(axis=1)).mean())


def balanced_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Mean over the classes that occur of the share recognised; shapes as `confusion`."""
    counts = confusion(labels, predictions)
    occurring = counts.sum(axis=1) > 0
    return float((np.diag(counts)[occurring] / counts.sum(axis=1)[occurring]).mean())


def binary_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Share of right answers, as the mean over the attributes of each one's share over its labelled photos.

    Args:
        labels: (n, attributes) 0 or 1, NaN where not labelled.
        predictions: (n, attributes) probability of 1.
    """
    return float(np.nanmean(_share(_right(labels, predictions), ~np.isnan(labels))))


def binary_balanced_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Mean over the attributes of the mean of true-positive and true-negative rate; shapes as `binary_accuracy`.

    An attribute of which only one answer occurs counts with that answer's rate.
    """
    right = _right(labels, predictions)
    rates = np.stack([_share(right, labels == answer) for answer in (0, 1)])
    occurring = ~np.isnan(rates)
    per_attribute = np.where(occurring, rates, 0).sum(axis=0) / np.maximum(occurring.sum(axis=0), 1)
    return float(per_attribute[occurring.any(axis=0)].mean())


def attribute_accuracies(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(attributes,) share of right answers of each; shapes as `binary_accuracy`."""
    return _share(_right(labels, predictions), ~np.isnan(labels))


def _right(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    right: np.ndarray = (predictions >= 0.5) == (labels == 1)
    return right


def _share(right: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(attributes,) share of `right` among `counted`; NaN where nothing counts."""
    total = counted.sum(axis=0)
    return np.where(total > 0, (right & counted).sum(axis=0) / np.maximum(total, 1), np.nan)
