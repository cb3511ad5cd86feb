"""Metric regression on labels projected to [−1, 1] (DLDL-v2, section 4.5.4, "MR")."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def project(values: Tensor, bins: Tensor) -> Tensor:
    """Maps the range of the bins linearly to [−1, 1].

    Args:
        values: (batch,) labels, in the task's unit.
        bins: (K,) value of each bin, in the task's unit.
    """
    return 2.0 * (values - bins[0]) / (bins[-1] - bins[0]) - 1.0


def unproject(projected: Tensor, bins: Tensor) -> Tensor:
    """The inverse of `project`."""
    return bins[0] + 0.5 * (projected + 1.0) * (bins[-1] - bins[0])


def regression_l1(values: Tensor, raw: Tensor, bins: Tensor) -> Tensor:
    """|tanh(raw) − projected label|.

    Args:
        values: (batch,) labels, in the task's unit.
        raw: (batch, 1) before the tanh.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch,) from 0 to 2.
    """
    return ops.abs(ops.tanh(raw[:, 0]) - project(values, bins))


def regression_l2(values: Tensor, raw: Tensor, bins: Tensor) -> Tensor:
    """The square of `regression_l1`."""
    return ops.square(regression_l1(values, raw, bins))
