"""Losses that are smooth near 0 and linear far from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.losses.regression import ErrorLoss

Tensor = Any


def smooth_huber(errors: Tensor, delta: float, form: str = "continuous") -> Tensor:
    """log(cosh(error)) up to δ, a straight line above it.

    The line of the form "paper" is δ·|error| − δ²/2: it does not meet log(cosh) at δ. For δ = 0.6 the loss jumps there
    from 0.1701 up to 0.18 and its slope from 0.537 to 0.6. The line of the form "continuous" is the tangent at δ, so
    that neither jumps.

    Args:
        errors: prediction less label, of any shape.
        delta: δ, above 0, in the unit of the errors.
        form: "continuous" or "paper".

    Returns:
        At least 0, of the same shape.

    Raises:
        ConfigError: for an unknown form.

    Source: HMTNet, Loss_a.
    """
    if form not in FORMS:
        raise ConfigError(f"unknown form {form!r} of smooth Huber; {nearest(form, FORMS)}")
    return FORMS[form](ops.abs(errors), delta)


def smooth_l1(errors: Tensor, beta: float = 1.0) -> Tensor:
    """error²/(2β) up to β, the tangent there above it.

    Args:
        errors: prediction less label, of any shape.
        beta: β, above 0, in the unit of the errors.

    Returns:
        At least 0, of the same shape.

    Source: Girshick, Fast R-CNN, eq. 3, which is β = 1.
    """
    errors = ops.expand_dims(errors, -1)
    return keras.losses.huber(ops.zeros_like(errors), errors, delta=beta) / beta


def _log_cosh(distance: Tensor) -> Tensor:
    # Keras' own log_cosh loses errors below 1e-3 to rounding.
    # From 10 on it is distance − log 2 to the last bit of float32, and sinh² cannot overflow below.
    inner = ops.minimum(distance, 10.0)
    return 0.5 * ops.log1p(ops.square(ops.sinh(inner))) + (distance - inner)


def _continuous(distance: Tensor, delta: float) -> Tensor:
    inner = ops.minimum(distance, delta)
    return _log_cosh(inner) + math.tanh(delta) * (distance - inner)


def _paper(distance: Tensor, delta: float) -> Tensor:
    return ops.where(distance <= delta, _log_cosh(distance), delta * distance - 0.5 * delta**2)


FORMS: dict[str, Callable[[Tensor, float], Tensor]] = {"continuous": _continuous, "paper": _paper}


@keras.saving.register_keras_serializable("keras_faceattr")
class SmoothHuber(ErrorLoss):
    """`smooth_huber` of the error: log(cosh) up to δ, a straight line above it.

    `y_true` is (batch,) or (batch, 1) values, or (batch, 2) value and σ, which is not looked at; `y_pred` is (batch,)
    or (batch, 1): the value in the label's unit or, with a range, the value projected from it to [−1, 1], as the
    registered nets give it.

    Args:
        delta: δ, above 0, in the label's unit.
        form: `continuous`, or `paper`, whose two pieces do not meet at δ.
        minimum: lower end of the range; None: the outputs are in the label's unit.
        maximum: upper end of the range.

    Source: HMTNet (Xu et al.), Loss_a.
    """

    def __init__(
        self,
        delta: float = 0.6,
        form: str = "continuous",
        minimum: float | None = None,
        maximum: float | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "smooth_huber",
    ) -> None:
        super().__init__(minimum, maximum, reduction, name)
        if not delta > 0:
            raise ConfigError(f"{name}: delta {delta!r} is not above 0")
        if form not in FORMS:
            raise ConfigError(f"unknown form {form!r} of smooth Huber; {nearest(form, FORMS)}")
        self.delta, self.form = delta, form

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo."""
        return smooth_huber(self.errors(y_true, y_pred), self.delta, self.form)


@keras.saving.register_keras_serializable("keras_faceattr")
class SmoothL1(ErrorLoss):
    """`smooth_l1` of the error; labels, outputs and range as of `SmoothHuber`.

    Args:
        beta: β, above 0, in the label's unit: from there on the loss is linear.
        minimum: lower end of the range; None: the outputs are in the label's unit.
        maximum: upper end of the range.

    Source: Girshick, Fast R-CNN, eq. 3; HMTNet (Xu et al.), table 4.
    """

    def __init__(
        self,
        beta: float = 1.0,
        minimum: float | None = None,
        maximum: float | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "smooth_l1",
    ) -> None:
        super().__init__(minimum, maximum, reduction, name)
        if not beta > 0:
            raise ConfigError(f"{name}: beta {beta!r} is not above 0")
        self.beta = beta

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo."""
        return smooth_l1(self.errors(y_true, y_pred), self.beta)
