"""Relations of attributes, averaged over batches, and the loss that holds predictions to them (OBRL, section II.C)."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def batch_correlation(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Pearson correlation of each pair of attributes over the photos that are labelled for both.

    Args:
        labels: (batch, M) 0 or 1, NaN where not labelled.

    Returns:
        (M, M) from −1 to 1, 0 where it is not defined, and (M, M) 1 where it is defined, else 0. It is not defined
        where one of the two attributes is constant over these photos, or where there is none.
    """
    labelled = ops.logical_not(ops.isnan(labels))
    yes = ops.cast(ops.where(labelled, labels, 0.0), "float32")
    both = ops.concatenate([ops.cast(labelled, "float32"), yes], axis=-1)
    (photos, yes_of_column), (yes_of_row, yes_of_both) = (
        ops.split(rows, 2, axis=-1) for rows in ops.split(ops.matmul(ops.transpose(both), both), 2)
    )
    # As a product of counts, the variance of a constant attribute is exactly 0 and needs no threshold.
    variance = yes_of_row * (photos - yes_of_row)
    spread = ops.sqrt(ops.maximum(variance, 1.0))
    covariance = photos * yes_of_both - yes_of_row * yes_of_column
    defined = ops.cast((variance > 0) & (ops.transpose(variance) > 0), "float32")
    correlation = ops.clip(covariance / (spread * ops.transpose(spread)), -1.0, 1.0)
    return correlation * defined, defined


def moving_correlation(
    sums: Tensor, weights: Tensor, correlation: Tensor, defined: Tensor, decay: float = 0.99
) -> tuple[Tensor, Tensor]:
    """Take a batch into the moving average; both start at zeros, and `relation` reads the average.

    The paper has one weight for all pairs. Here each pair has its own, and a batch in which a pair is not defined
    leaves that pair as it was.

    Args:
        sums: (M, M) running sums of correlations.
        weights: (M, M) running weights, 0 or at least 1.
        correlation: (M, M) of the batch.
        defined: (M, M) 1 where the batch defines it, else 0.
        decay: λ, from 0 to 1.

    Returns:
        New sums and new weights, (M, M) each.

    Source: OBRL, eq. 1.
    """
    known = defined > 0
    return (
        ops.where(known, decay * sums + correlation, sums),
        ops.where(known, decay * weights + 1.0, weights),
    )


def relation(sums: Tensor, weights: Tensor) -> Tensor:
    """(M, M) moving average of the correlations, 0 where no batch has defined it. Source: OBRL, eq. 1."""
    # A weight is 0 or at least 1, so that the floor changes no average.
    return sums / ops.maximum(weights, 1.0)


def relation_loss(
    probabilities: Tensor, relations: Tensor, defined: Tensor, positive: float = 0.8, negative: float = 0.2
) -> Tensor:
    """Pull the probabilities of positively related attributes together and push those of others apart.

    As published, "others" are all pairs with a correlation of at most `negative`, uncorrelated ones among them.

    Args:
        probabilities: (batch, M) after the sigmoid.
        relations: (M, M) correlations.
        defined: (M, M) above 0 where a correlation is known; other pairs add nothing.
        positive: least correlation of a pair that is pulled together.
        negative: greatest correlation of a pair that is pushed apart.

    Returns:
        (batch,) from 0 to 0.5 as long as `positive` is above `negative`; its mean over the batch is the paper's loss.

    Source: OBRL, eq. 2 and 3.
    """
    known = defined > 0
    pulled, pushed = (
        _either_way(ops.cast(chosen & known, "float32")) for chosen in (relations >= positive, relations <= negative)
    )
    # The powers of pᵢ − pⱼ are multiplied out to products of matrices: M² numbers a photo would take far longer.
    p = ops.cast(probabilities, "float32")
    p2 = ops.square(p)
    pulls, pushes = ops.sum(pulled, axis=0), ops.sum(pushed, axis=0)
    of_pulled, of_pushed, of_pushed2 = ops.matmul(p, pulled), ops.matmul(p, pushed), ops.matmul(p2, pushed)
    together = 2 * (p2 * pulls - p * of_pulled)
    apart = 4 * (p * of_pushed - p2 * pushes)
    apart_squared = 2 * p2 * p2 * pushes - 8 * p * p2 * of_pushed + 6 * p2 * of_pushed2
    return (ops.sum(together + apart + apart_squared, axis=-1) + ops.sum(pushed)) / (2.0 * p.shape[-1] ** 2)


def _either_way(pairs: Tensor) -> Tensor:
    """A pair and its reverse add the same."""
    return (pairs + ops.transpose(pairs)) / 2
