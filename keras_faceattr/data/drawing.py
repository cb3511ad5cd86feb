"""Random choice of groups of photos for a part, by the plans that `data.split.plan` names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

Draw = Callable[[np.ndarray, np.ndarray, float, np.random.Generator], np.ndarray]
DrawFolds = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]


EVERY = -1
"""Place of the count over all strata, behind theirs."""


@dataclass(frozen=True)
class Plan:
    """Rules by which photos are drawn. What a plan gives for a seed never changes.

    Attributes:
        in_order_of_names: whether rows are drawn sorted by source and image, whatever their order in the label file.
        draw: (groups, strata, share, random state) → (n,) whether a row is drawn: whole groups, about that share.
        draw_folds: (groups, strata, number of folds, random state) → (n,) fold of each row, from 1.
    """

    in_order_of_names: bool
    draw: Draw
    draw_folds: DrawFolds


def balanced_parts(
    groups: np.ndarray, strata: np.ndarray, shares: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """(n,) part of each row: whole groups, sizes near the shares, strata in proportion.

    Each group goes where it fits best, as in scikit-learn's `StratifiedGroupKFold`. Here the largest go first, the
    size of a part counts next to its strata, and the shares need not be equal. No part stays empty while there are
    as many groups as parts.

    Args:
        groups: (n,) group of each row.
        strata: (n,) stratum of each row.
        shares: shares of the parts; they sum to 1.
    """
    if not len(groups):
        return np.empty(0, int)
    group_of, stratum_of = pd.factorize(groups)[0], pd.factorize(strata)[0]
    counts: list[Counter[int]] = [Counter() for _ in range(group_of.max() + 1)]
    for group, stratum in zip(group_of.tolist(), stratum_of.tolist(), strict=True):
        counts[group][stratum] += 1
    sizes = [count.total() for count in counts]
    # By how many rows of each stratum, and at last of all, a part has more than it should.
    totals = [*np.bincount(stratum_of).tolist(), len(groups)]
    surplus = [[-share * total for total in totals] for share in shares]
    filled = [False] * len(shares)
    part_of = np.empty(len(counts), int)
    # Single rows come stratum by stratum, so that one is in proportion before the next begins.
    most = [next(iter(count)) if count.total() == 1 else EVERY for count in counts]
    order = sorted(rng.permutation(len(counts)).tolist(), key=lambda group: (-sizes[group], most[group]))
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        added = [*counts[group].items(), (EVERY, sizes[group])]
        empty = [part for part, full in enumerate(filled) if not full]
        # By which part the squared distance from what parts should have, relative to their shares, grows least.
        part = min(
            empty if len(empty) == left else range(len(shares)),
            key=lambda part: sum(n * (n + 2 * surplus[part][place]) for place, n in added) / shares[part],
        )
        for place, n in added:
            surplus[part][place] += n
        filled[part], part_of[group] = True, part
    return part_of[group_of]


def _draw_balanced(groups: np.ndarray, strata: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(balanced_parts(groups, strata, [share, 1 - share], rng) == 0)


def _draw_balanced_folds(groups: np.ndarray, strata: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    return balanced_parts(groups, strata, [1 / folds] * folds, rng) + 1


def _stratified_order(groups: np.ndarray, strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The groups in an order in which any stretch holds the strata in proportion."""
    first = pd.DataFrame({"group": groups, "stratum": strata}).drop_duplicates("group")
    first = first.iloc[rng.permutation(len(first))]
    size = first.groupby("stratum")["group"].transform("size")
    place = (first.groupby("stratum").cumcount() + rng.random(len(first))) / size
    return first.assign(place=place).sort_values("place", kind="stable")["group"].to_numpy()


def _draw_in_order(groups: np.ndarray, strata: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    order = _stratified_order(groups, strata, rng)
    sizes = pd.Series(groups).value_counts()
    total = sizes.loc[order].cumsum().to_numpy()
    count = max(1, int(np.searchsorted(total, share * len(groups), side="right")))
    return np.isin(groups, order[:count])


def _draw_folds_in_order(groups: np.ndarray, strata: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(pd.Index(_stratified_order(groups, strata, rng)).get_indexer(groups) % folds + 1)


PLANS = {
    1: Plan(False, _draw_in_order, _draw_folds_in_order),
    2: Plan(True, _draw_balanced, _draw_balanced_folds),
}
"""By the number that a config names. Plan 1 takes groups in a random order, whatever their size."""
