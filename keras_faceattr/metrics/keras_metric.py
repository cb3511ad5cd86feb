"""Metrics of Keras that hold over a whole epoch, whatever its batches: the same numbers as the functions on all photos.

Each keeps sums over photos, or what two sets of photos need to be merged, and never an average of batches.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras
from keras import ops

from keras_faceattr.errors import ConfigError
from keras_faceattr.losses.keras_loss import label_columns, range_ends
from keras_faceattr.losses.label_distribution import expectation
from keras_faceattr.losses.regression import unproject
from keras_faceattr.tasks import ScalarTask

Tensor = Any


class ConfiguredMetric(keras.metrics.Metric):  # type: ignore[misc]
    """A metric in float32, whose config is the arguments of its constructor."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, dtype="float32")

    def zeros(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        """A variable that starts at 0 in every epoch."""
        return self.add_variable(shape=shape, initializer="zeros", name=name)

    def get_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes the same metric."""
        return {argument: getattr(self, argument) for argument in inspect.signature(type(self)).parameters}


class ScalarMetric(ConfiguredMetric):
    """A metric of scalars, which reads a value from whatever the net gives; see `values`."""

    def __init__(self, minimum: float | None, maximum: float | None, step: float | None, name: str) -> None:
        super().__init__(name)
        self.minimum, self.maximum, self.step = minimum, maximum, step
        self._ends = range_ends(minimum, maximum)
        self._bins = None
        if step is not None:
            if minimum is None or maximum is None:
                raise ConfigError(f"{name}: step {step!r} needs a minimum and a maximum")
            self._bins = ScalarTask(name, minimum, maximum, step).bins.astype("float32")

    def values(self, y_pred: Tensor) -> Tensor:
        """(batch,) predicted values, in the unit of the range.

        Args:
            y_pred: with a step, (batch, K) logits of the bins, whose expected value it is; or (batch, K − 1) logits of
                "it lies above this bin", of which the bin that is reached. With a range alone, (batch,) or
                (batch, n) with the value projected to [−1, 1] in the first column; it is clipped to the range. Without
                one, (batch,) or (batch, 1) values.

        Raises:
            ConfigError: outputs of another shape.
        """
        y_pred = ops.cast(y_pred, "float32")
        width = y_pred.shape[-1] if len(y_pred.shape) == 2 else 1
        if self._bins is not None:
            return self._of_bins(y_pred, width, len(self._bins))
        if len(y_pred.shape) > 2 or (width != 1 and self._ends is None):
            raise ConfigError(
                f"{self.name}: reads values of the shape (batch,) or (batch, 1), and y_pred has the shape "
                f"{tuple(y_pred.shape)}: give minimum, maximum and step if it holds logits of bins"
            )
        first = y_pred[:, 0] if len(y_pred.shape) == 2 else y_pred
        if self._ends is None:
            return first
        return ops.clip(unproject(first, ops.convert_to_tensor(self._ends)), self.minimum, self.maximum)

    def _of_bins(self, y_pred: Tensor, width: int, count: int) -> Tensor:
        if len(y_pred.shape) != 2 or width not in (count, count - 1):
            raise ConfigError(
                f"{self.name}: needs logits of {count} bins from {self.minimum:g} to {self.maximum:g}, or of "
                f"{count - 1} thresholds, and y_pred has the shape {tuple(y_pred.shape)}: give the net's last layer as "
                "many units, or change the metric's arguments"
            )
        bins = ops.convert_to_tensor(self._bins)
        if width == count:
            return expectation(ops.softmax(y_pred, axis=-1), bins)
        reached = ops.sum(ops.cast(y_pred > 0, "float32"), axis=-1)
        return bins[0] + reached * (bins[-1] - bins[0]) / (count - 1)


class MeanOfPhotos(ScalarMetric):
    """The weighted mean of a number per photo; photos whose number is NaN, such as those without a label, are skipped.

    NaN if there is no other photo.
    """

    def __init__(self, minimum: float | None, maximum: float | None, step: float | None, name: str) -> None:
        super().__init__(minimum, maximum, step, name)
        self.total, self.weight = self.zeros("total"), self.zeros("weight")

    def terms(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) number of each photo."""
        raise NotImplementedError

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take in a batch."""
        terms = self.terms(y_true, y_pred)
        weights = photo_weights(terms, sample_weight) * ops.cast(ops.logical_not(ops.isnan(terms)), "float32")
        self.total.assign_add(ops.sum(weights * ops.where(ops.isnan(terms), 0.0, terms)))
        self.weight.assign_add(ops.sum(weights))

    def result(self) -> Tensor:
        """The mean so far."""
        return divide(self.total, self.weight)


def photo_weights(like: Tensor, sample_weight: Tensor | None) -> Tensor:
    """(batch,) weights of photos."""
    if sample_weight is None:
        return ops.ones_like(like)
    return ops.reshape(ops.cast(sample_weight, "float32"), (-1,))


def divide(total: Tensor, weight: Tensor) -> Tensor:
    """`total` / `weight`; NaN where nothing counts."""
    return ops.where(weight > 0, total / ops.where(weight > 0, weight, 1.0), float("nan"))


def exact_labels(name: str, y_true: Tensor) -> Tensor:
    """(batch,) values of labels (batch,), (batch, 1), or (batch, 2) with σ."""
    return label_columns(name, y_true)[:, 0]


def attribute_labels(name: str, y_true: Tensor, attributes: int) -> Tensor:
    """(batch, attributes) float32 of labels of that shape, or of (batch,) for one attribute.

    Raises:
        ConfigError: labels of another shape.
    """
    labels = ops.cast(y_true, "float32")
    labels = ops.expand_dims(labels, -1) if len(labels.shape) == 1 else labels
    if tuple(labels.shape[1:]) != (attributes,):
        raise ConfigError(
            f"{name}: needs {attributes} labels per photo, and y_true has the shape {tuple(y_true.shape)}: change "
            "attributes, or the labels"
        )
    return labels


def mean_of_known(values: Tensor) -> Tensor:
    """(…) mean over the last axis of what is not NaN; NaN where nothing is."""
    known = ops.logical_not(ops.isnan(values))
    return divide(ops.sum(ops.where(known, values, 0.0), axis=-1), ops.sum(ops.cast(known, "float32"), axis=-1))
