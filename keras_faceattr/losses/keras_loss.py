"""Base classes of the losses as Keras objects: their config, their bins, and how they read labels."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_faceattr.errors import ConfigError
from keras_faceattr.tasks import ScalarTask

Tensor = Any


class ConfiguredLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss per photo in float32, whose config is the arguments of its constructor.

    Keras weighs and reduces it: with the default reduction the result is Σ sample_weight · loss / batch.
    """

    def __init__(self, reduction: str, name: str) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes the same loss."""
        return {argument: getattr(self, argument) for argument in inspect.signature(type(self)).parameters}


class BinnedLoss(ConfiguredLoss):
    """A loss of a scalar that is predicted over bins."""

    extra_outputs = 0
    """Numbers that the net gives beyond one per bin: −1 for a ranking."""

    default_name = "binned_loss"

    def __init__(
        self,
        minimum: float,
        maximum: float,
        step: float,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        name = name or self.default_name
        super().__init__(reduction, name)
        self.minimum, self.maximum, self.step = minimum, maximum, step
        # The task checks the range.
        self._bins = ScalarTask(name, minimum, maximum, step).bins.astype("float32")

    def bins_for(self, y_pred: Tensor) -> Tensor:
        """(K,) value of each bin.

        Raises:
            ConfigError: the net gives another number of outputs.
        """
        wanted = len(self._bins) + self.extra_outputs
        check_width(self.name, y_pred, wanted, f"from {self.minimum:g} to {self.maximum:g} in steps of {self.step:g}")
        return ops.convert_to_tensor(self._bins)


def check_width(name: str, y_pred: Tensor, wanted: int, what: str) -> None:
    """Refuse outputs (batch, numbers) of another width.

    Raises:
        ConfigError: naming both.
    """
    if len(y_pred.shape) != 2 or y_pred.shape[-1] != wanted:
        raise ConfigError(
            f"{name}: needs {wanted} outputs per photo ({what}), and y_pred has the shape {tuple(y_pred.shape)}: "
            "give the net's last layer as many units, or change the loss's arguments"
        )


def values_and_stds(name: str, y_true: Tensor, std: float) -> tuple[Tensor, Tensor]:
    """Labels of scalars: (batch,) values and (batch,) σ.

    Args:
        name: name of the loss, for the message.
        y_true: (batch,) or (batch, 1) values, or (batch, 2) value and σ.
        std: σ where the labels have none.

    Raises:
        ConfigError: labels of another shape.
    """
    columns = label_columns(name, y_true)
    values = columns[:, 0]
    return values, columns[:, 1] if columns.shape[-1] == 2 else ops.full_like(values, std)


def label_columns(name: str, y_true: Tensor, second: str = "σ") -> Tensor:
    """(batch, 1) or (batch, 2) float32 labels of scalars.

    Raises:
        ConfigError: labels of another shape.
    """
    y_true = ops.cast(y_true, "float32")
    if getattr(y_true.shape, "rank", 0) is None:
        # TensorFlow relaxes the shapes of a compiled step that it has traced for others.
        raise ConfigError(f"{name}: fit has seen labels of another rank before: call model.compile again")
    columns = ops.expand_dims(y_true, -1) if len(y_true.shape) == 1 else y_true
    if len(columns.shape) != 2 or columns.shape[-1] not in (1, 2):
        raise ConfigError(
            f"{name}: needs labels of the shape (batch,), (batch, 1), or (batch, 2) with {second} in the second "
            f"column, not {tuple(y_true.shape)}"
        )
    return columns


def class_indices(y_true: Tensor) -> Tensor:
    """(batch,) of labels (batch,) or (batch, 1)."""
    return ops.reshape(y_true, (-1,))


def range_ends(minimum: float | None, maximum: float | None) -> np.ndarray | None:
    """(2,) ends of a range; None where the values are not projected to [−1, 1].

    Raises:
        ConfigError: one end alone, or a range that does not ascend.
    """
    if minimum is None and maximum is None:
        return None
    if minimum is None or maximum is None or not minimum < maximum:
        raise ConfigError(f"minimum {minimum} and maximum {maximum}: give both, ascending, or neither")
    return np.array([minimum, maximum], "float32")
