"""Allowed loss of a file compared with the float model."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, model_validator

from keras_faceattr.config import NotNegative, Section
from keras_faceattr.errors import nearest


class Tolerance(Section):
    """Allowed loss of a metric compared with the float model: as a share of it, or in its own unit."""

    relative: NotNegative | None = None
    absolute: NotNegative | None = None

    @model_validator(mode="after")
    def _one(self) -> Tolerance:
        if (self.relative is None) == (self.absolute is None):
            raise ValueError("a tolerance is either relative or absolute")
        return self

    def limit(self, float_value: float) -> float:
        """The largest drop, in the metric's unit."""
        return self.absolute if self.absolute is not None else (self.relative or 0.0) * abs(float_value)


JUDGED_METRICS = (
    "mae", "rmse", "pc", "epsilon_error", "interval_distance", "band_accuracy", "one_off_accuracy",
    "accuracy", "balanced_accuracy", "average_precision", "auc", "cosine",
)  # fmt: skip
"""Metrics that a tolerance may name, in addition to the cumulative scores `cs@k`."""


def _known_metrics(tolerances: dict[str, Tolerance]) -> dict[str, Tolerance]:
    """A tolerance of a metric that no task has would never be judged."""
    for name in tolerances:
        if name not in JUDGED_METRICS and not name.startswith("cs@"):
            raise ValueError(f"no metric {name!r}; {nearest(name, (*JUDGED_METRICS, 'cs@k'))}")
    return tolerances


Tolerances = Annotated[dict[str, Tolerance], AfterValidator(_known_metrics)]
"""By metric."""
