"""Callbacks for `model.fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_faceattr.errors import ConfigError

__all__ = ["WholeSetMetrics"]


class WholeSetMetrics(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures functions of all labels and predictions of a set at the end of each epoch.

    For metrics that no sum over batches can give, such as average precision and verification. The values stand in the
    epoch's logs as `val_<name>`, for `History` and for callbacks behind this one, such as
    `ModelCheckpoint(monitor="val_ap")`.

    Args:
        x: photos of the set, as `model.predict` takes them.
        y: (n, …) their labels, as the functions take them.
        metrics: by name, (labels, predictions) → number, such as `kfa.metrics.ranking.average_precision`.
        read: predictions of `model.predict` → what the functions take, such as a sigmoid of logits; None: as they are.
        batch_size: of the predictions.

    Raises:
        ConfigError: there is no metric.
    """

    def __init__(
        self,
        x: Any,
        y: np.ndarray,
        metrics: Mapping[str, Callable[[np.ndarray, np.ndarray], float]],
        read: Callable[[Any], np.ndarray] | None = None,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        if not metrics:
            raise ConfigError("WholeSetMetrics: needs one metric or more, such as {'ap': average_precision}")
        self.x, self.y, self.metrics, self.read, self.batch_size = x, y, dict(metrics), read, batch_size

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Predicts the set and adds the values to the logs."""
        said = self.model.predict(self.x, batch_size=self.batch_size, verbose=0)
        said = said if self.read is None else self.read(said)
        if logs is not None:
            logs.update({f"val_{name}": float(metric(self.y, said)) for name, metric in self.metrics.items()})
