"""Label distributions, their divergence and their expectation (DLDL-v2, section 3)."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def label_distribution(values: Tensor, stds: Tensor, bins: Tensor) -> Tensor:
    """Normal distribution around each label, over the bins.

    It is normalised over the bins that exist, so that a label at an end of the range keeps a whole distribution.
    A σ of 0 gives the nearest bin alone.

    Args:
        values: (batch,) labels, in the task's unit.
        stds: (batch,) σ, in the task's unit.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch, K) rows that sum to 1.

    Source: DLDL-v2, eq. 1.
    """
    # A floor of a hundredth of a bin keeps σ² above float32's underflow; softmax is exact where exp would underflow.
    width = bins[1] - bins[0]
    deviation = ops.expand_dims(ops.maximum(stds, 0.01 * width), -1)
    distance = (ops.expand_dims(bins, 0) - ops.expand_dims(values, -1)) / deviation
    return ops.softmax(-0.5 * ops.square(distance), axis=-1)


def kl_divergence(target: Tensor, logits: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the predicted distribution from the target, summed over the bins.

    Args:
        target: (batch, K) rows sum to 1.
        logits: (batch, K) before the softmax.

    Returns:
        (batch,) in nats, at least 0.

    Source: DLDL-v2, eq. 8 and 9.
    """
    log_target = ops.log(ops.maximum(target, 1e-30))
    return ops.sum(target * (log_target - ops.log_softmax(logits, axis=-1)), axis=-1)


def expectation(probabilities: Tensor, bins: Tensor) -> Tensor:
    """Expected value of a label distribution.

    Args:
        probabilities: (batch, K) rows sum to 1.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch,) in the task's unit.

    Source: DLDL-v2, eq. 10.
    """
    return ops.sum(probabilities * ops.expand_dims(bins, 0), axis=-1)


def expectation_l1(values: Tensor, logits: Tensor, bins: Tensor) -> Tensor:
    """Distance of the expected value from the label.

    Args:
        values: (batch,) labels, in the task's unit.
        logits: (batch, K) before the softmax.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch,) in the task's unit.

    Source: DLDL-v2, eq. 11.
    """
    return ops.abs(expectation(ops.softmax(logits, axis=-1), bins) - values)


def interval_divergence(interval: Tensor, logits: Tensor, bins: Tensor) -> Tensor:
    """Minus the log of the probability that the value lies in an interval; bins on its ends count as inside.

    Args:
        interval: (batch, 2) lowest and highest value, in the task's unit. An interval between two bins takes in the
            nearest bin on either side.
        logits: (batch, K) before the softmax.
        bins: (K,) value of each bin, in the task's unit, ascending in equal steps.

    Returns:
        (batch,) in nats, at least 0.
    """
    width, low, high = bins[1] - bins[0], interval[:, :1], interval[:, 1:]
    tolerance = 1e-4 * width
    inside = ops.logical_and(bins[None] >= low - tolerance, bins[None] <= high + tolerance)
    near = ops.abs(bins[None] - (low + high) / 2) <= 0.5 * width + tolerance
    inside = ops.where(ops.any(inside, axis=-1, keepdims=True), inside, near)
    # The log of a sum of probabilities, without leaving the logs.
    own = ops.logsumexp(ops.where(inside, logits, -1e30), axis=-1)
    return ops.logsumexp(logits, axis=-1) - own


def roughness(logits: Tensor) -> Tensor:
    """How far a label distribution is from a normal one: mean square of the third differences of its logarithm.

    The logarithm of a normal distribution is a parabola, wherever it lies and however wide it is: there it is 0.

    Args:
        logits: (batch, K) before the softmax; with fewer than four bins it is 0.

    Returns:
        (batch,) at least 0.
    """
    if logits.shape[-1] < 4:
        return ops.zeros_like(logits[:, 0])
    third = logits[:, 3:] - 3 * logits[:, 2:-1] + 3 * logits[:, 1:-2] - logits[:, :-3]
    return ops.mean(ops.square(third), axis=-1)


def interval_distance(interval: Tensor, logits: Tensor, bins: Tensor) -> Tensor:
    """Distance of the expected value from an interval; 0 inside.

    Args:
        interval: (batch, 2) lowest and highest value, in the task's unit.
        logits: (batch, K) before the softmax.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch,) in the task's unit.
    """
    value = expectation(ops.softmax(logits, axis=-1), bins)
    return ops.maximum(interval[:, 0] - value, 0.0) + ops.maximum(value - interval[:, 1], 0.0)
