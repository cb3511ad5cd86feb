"""Batches from several data sets, each with the share that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_faceattr.config import SourceConfig
from keras_faceattr.errors import ConfigError
from keras_faceattr.tasks import BinaryTask, CategoricalTask, ScalarTask, Task


def source_weights(sources: Sequence[SourceConfig]) -> np.ndarray | None:
    """(sources,) shares of a batch, which sum to 1; None where no weights are given.

    Raises:
        ConfigError: some sources have a weight and others none.
    """
    weights = [source.weight for source in sources]
    if all(weight is None for weight in weights):
        return None
    for number, (source, weight) in enumerate(zip(sources, weights, strict=True)):
        if weight is None:
            raise ConfigError(
                f"data.sources.{number}.weight: {source.reader} has none, other sources have: give it to all"
            )
    found: np.ndarray = np.array(weights, "float64")
    shares: np.ndarray = found / found.sum()
    return shares


def mixed_order(
    source: np.ndarray, weights: np.ndarray, batch_size: int, batches: int, seed: int, epoch: int
) -> np.ndarray:
    """Return the photos of an epoch in order: any stretch holds the sources in their shares.

    In the first so many photos of an epoch no source is a whole photo off its share, in a batch none is two.

    A source is gone through in a random order, again and again where its share asks for more than it holds. A large one
    shows other photos in every epoch.

    Args:
        source: (n,) number of each photo's source.
        weights: (sources,) shares, which sum to 1.

    Returns:
        (batches × batch_size,) positions from 0 to n − 1.
    """
    slots = _interleaved(weights * np.isin(np.arange(len(weights)), source), batches * batch_size)
    order = np.empty(len(slots), "int64")
    for number in range(len(weights)):
        places, members = np.flatnonzero(slots == number), np.flatnonzero(source == number)
        rounds = -(-len(places) // max(1, len(members)))
        passes = [
            members[np.random.default_rng([seed, epoch, number, i]).permutation(len(members))] for i in range(rounds)
        ]
        order[places] = np.concatenate([*passes, members[:0]])[: len(places)]
    return order


BANDS = 10
"""Number of bands of a scalar's range that every batch shows equally often."""


def strata_of(task: Task, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strata that a balanced batch shows equally often: a task's classes, or equal bands of a scalar's range.

    Photos without a label are a stratum of their own, which keeps the share that it has.

    Args:
        labels: (n, width) of `data.targets.label_array`, NaN where not labelled; an interval counts by its middle.

    Returns:
        (n,) number of each photo's stratum, and (strata,) shares of a batch, which sum to 1.

    Raises:
        ConfigError: a task that has neither classes nor a range.
    """
    values = labels[:, 0]
    if isinstance(task, ScalarTask) and labels.shape[1] > task.label_width:
        values = np.where(np.isnan(values), labels[:, task.label_width :].mean(axis=1), values)
    known = ~np.isnan(values)
    if isinstance(task, ScalarTask):
        share = (values - task.minimum) / (task.maximum - task.minimum)
        numbers = np.clip(np.nan_to_num(share) * BANDS, 0, BANDS - 1).astype(int)
    elif isinstance(task, CategoricalTask | BinaryTask):
        numbers = np.nan_to_num(values).astype(int)
    else:
        raise ConfigError(f"training.balanced_by: {task.name} is {task.kind}; name a task with classes or a range")
    present = np.unique(numbers[known])
    strata = np.where(known, np.searchsorted(present, numbers), len(present))
    unlabelled = 1 - float(known.mean())
    shares = np.append(np.full(len(present), (1 - unlabelled) / max(len(present), 1)), unlabelled)
    return strata, shares


def people_order(people: np.ndarray, photos: int, batch_size: int, batches: int, seed: int, epoch: int) -> np.ndarray:
    """Return the photos of an epoch in order: a batch holds `photos` of each of its people.

    Of the last person it holds what is left, one photo alone if need be, where `photos` does not divide `batch_size`:
    3, 3, 3 and 1 of 10. Someone with fewer photos than that is shown with some of them again. Where the data has too
    few people for a batch, one may be drawn twice.

    Args:
        people: (n,) number of each photo's person; NaN for nobody known, who is left out.
        photos: number of photos of a person in a batch.

    Returns:
        (batches × batch_size,) positions from 0 to n − 1.
    """
    rng = np.random.default_rng([seed, epoch])
    known = np.flatnonzero(~np.isnan(people))
    members = [known[people[known] == person] for person in np.unique(people[known])]
    each = -(-batch_size // photos)
    order = []
    for _ in range(batches):
        chosen = rng.choice(len(members), each, replace=len(members) < each)
        drawn = [np.resize(rng.permutation(members[person]), photos) for person in chosen]
        order.append(np.concatenate(drawn)[:batch_size])
    return np.concatenate(order)


def _interleaved(weights: np.ndarray, count: int) -> np.ndarray:
    """(count,) source of each place, such that in any beginning none is a whole photo off its share.

    Source: Tijdeman, The chairman assignment problem, 1980.
    """
    slots = np.full(count, int(weights.argmax()), "int64")
    present = np.flatnonzero(weights > 0)
    if len(present) < 2:
        return slots
    shares, given = weights[present] / weights[present].sum(), np.zeros(len(present))
    slack = 1 / (2 * len(present) - 2)
    for place in range(count):
        owed = shares * (place + 1) - given
        waits = np.where(owed >= slack - 1e-9, (1 - slack - owed) / shares, np.inf)
        chosen = int(waits.argmin())
        slots[place] = present[chosen]
        given[chosen] += 1
    return slots
