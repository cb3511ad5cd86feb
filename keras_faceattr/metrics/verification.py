"""Verification: do two photos show the same person? Pairs, similarities, and how well these tell (LFW's protocol)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_faceattr.errors import DataError


def verification_pairs(
    identities: Sequence[object] | np.ndarray, pairs: int = 6000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw as many pairs of one person as pairs of two, none of them twice in either order.

    People take turns in giving pairs of one person, so that nobody with very many photos rules them. Pairs of two
    people are drawn evenly from all there are. Where fewer exist than wanted, all are used, with as many of the other
    kind.

    Args:
        identities: (n,) who each photo shows.
        pairs: how many pairs, half of each kind.
        seed: random seed of the draw.

    Returns:
        (pairs,) index of the one photo, (pairs,) index of the other, and (pairs,) bool whether they show one person.

    Raises:
        DataError: if no pair of one person or none of two people exists, or an identity is missing.
    """
    if pairs < 2:
        raise DataError(f"verification needs at least 2 pairs, one of each kind, not {pairs}")
    missing = sum(not isinstance(name, str) and str(name) in ("None", "nan", "<NA>") for name in identities)
    if missing:
        raise DataError(f"verification needs an identity for each photo: {missing} of {len(identities)} have none")
    names, owner, counts = np.unique(np.asarray(identities, dtype=str), return_inverse=True, return_counts=True)
    if len(names) < 2:
        alone = f"all {len(owner)} are of {names[0]}" if len(names) else "there is no photo"
        raise DataError(f"verification needs photos of at least two people: {alone}")
    if counts.max() < 2:
        raise DataError(f"verification needs a person with two photos: each of the {len(names)} people has one")

    # Sorted by person, the photos that follow in a person's block make pairs of one, those after it pairs of two.
    order = np.argsort(owner, kind="stable")
    position = np.arange(len(order))
    block_end = np.cumsum(counts)[owner[order]]
    same_counts, different_counts = block_end - position - 1, len(order) - block_end
    wanted = int(min(pairs // 2, same_counts.sum(), different_counts.sum()))

    rng = np.random.default_rng(seed)
    capacities = counts * (counts - 1) // 2
    quotas = _quotas(capacities, wanted, rng)
    first_ranks = np.cumsum(capacities) - capacities
    givers = np.flatnonzero(quotas)
    same_ranks = [first_ranks[i] + rng.choice(capacities[i], quotas[i], replace=False) for i in givers]
    different_ranks = rng.choice(int(different_counts.sum()), wanted, replace=False)
    drawn = [
        _pair_of_rank(np.concatenate(same_ranks), same_counts, position + 1),
        _pair_of_rank(different_ranks, different_counts, block_end),
    ]
    left, right = (order[np.concatenate(side)] for side in zip(*drawn, strict=True))
    return left, right, np.arange(2 * wanted) < wanted


def similarities(embeddings: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cosine similarity of pairs.

    Args:
        embeddings: (n, d).
        left: (pairs,) index of the one photo.
        right: (pairs,) index of the other.

    Returns:
        (pairs,) from −1 to 1; 0 where an embedding is all zeros.
    """
    values = np.asarray(embeddings, "float32")
    lengths = np.maximum(np.linalg.norm(values, axis=1), 1e-12)
    products = np.einsum("pd,pd->p", values[left], values[right])
    cosines: np.ndarray = np.clip(products / (lengths[left] * lengths[right]), -1.0, 1.0)
    return cosines


def roc(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of pairs that are accepted, for every threshold that makes a difference.

    Args:
        scores: (pairs,) higher for more alike; a pair is accepted from the threshold on.
        same: (pairs,) bool whether they show one person.

    Returns:
        FAR, accepted share of the pairs of two people; TAR, accepted share of the pairs of one; and thresholds,
        descending from infinity: (thresholds,) each.

    Raises:
        DataError: if a score is NaN or one kind of pair is missing.
    """
    _check(scores, same)
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order].astype("float64")
    # Pairs of equal score are accepted together.
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    tar = np.cumsum(same[order])[last] / same.sum()
    far = np.cumsum(~same[order])[last] / (~same).sum()
    return np.append(0.0, far), np.append(0.0, tar), np.append(np.inf, sorted_scores[last])


def tar_at_far(scores: np.ndarray, same: np.ndarray, far: float) -> float:
    """TAR at the lowest threshold whose FAR is at most `far`; arguments and errors as `roc`.

    Below 1 / pairs of two people it is the TAR without any false acceptance: measuring such a FAR needs more pairs.
    """
    measured, tar, _ = roc(scores, same)
    return float(tar[measured <= far].max())


def area_under_roc(scores: np.ndarray, same: np.ndarray) -> float:
    """Chance that a pair of one person scores above a pair of two, ties half; arguments and errors as `roc`."""
    far, tar, _ = roc(scores, same)
    return float((np.diff(far) * (tar[1:] + tar[:-1])).sum() / 2)


def best_accuracy(scores: np.ndarray, same: np.ndarray, folds: int = 10, seed: int = 0) -> float:
    """Share of pairs judged rightly, each fold by the threshold that is best on the others.

    Args:
        scores: (pairs,) higher for more alike.
        same: (pairs,) bool whether they show one person.
        folds: how many.
        seed: random seed of the shuffle into folds.

    Raises:
        DataError: as `roc`, or if a fold would miss one kind of pair.
    """
    _check(scores, same)
    return float(judged(scores, same, folds_of(same, folds, seed)).mean())


def folds_of(same: np.ndarray, folds: int = 10, seed: int = 0) -> np.ndarray:
    """(pairs,) number of each pair's fold.

    Each fold has its share of both kinds of pairs. Unlike LFW's own folds, these may share people.

    Raises:
        DataError: a fold would miss one kind of pair.
    """
    kinds = (np.flatnonzero(same), np.flatnonzero(~same))
    if folds < 2 or min(map(len, kinds)) < folds:
        counted = " and ".join(str(len(kind)) for kind in kinds)
        raise DataError(f"{folds} folds need at least 2 folds and a pair of each kind in each: there are {counted}")
    rng = np.random.default_rng(seed)
    fold = np.empty(len(same), int)
    for kind in kinds:
        fold[kind] = rng.permutation(len(kind)) % folds
    return fold


def judged(scores: np.ndarray, same: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(pairs,) bool which pairs are judged rightly, each fold by the threshold that is best on the others.

    Args:
        scores: (pairs,) higher for more alike.
        same: (pairs,) bool whether they show one person.
        fold: (pairs,) number of each pair's fold.

    Raises:
        DataError: as `roc`, of all folds but one.
    """
    # Sorting what is sorted already takes no time: once here, and not for every fold.
    order = np.argsort(-scores, kind="stable")
    scores, same, fold = scores[order], same[order], fold[order]
    right = np.empty(len(scores), bool)
    for held_out in np.unique(fold):
        tested = fold == held_out
        threshold = _best_threshold(scores[~tested], same[~tested])
        right[order[tested]] = (scores[tested] >= threshold) == same[tested]
    return right


def _check(scores: np.ndarray, same: np.ndarray) -> None:
    if np.isnan(scores).any():
        raise DataError(f"{np.isnan(scores).sum()} of {len(scores)} scores are NaN: check the embeddings")
    if same.all() or not same.any():
        raise DataError(f"verification needs pairs of both kinds: {same.sum()} of {len(same)} are of one person")


def _best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    far, tar, thresholds = roc(scores, same)
    right = tar * same.sum() + (1 - far) * (~same).sum()
    # Halfway to the next lower score: at the score itself, all unseen pairs just below it would be refused.
    between = (thresholds + np.append(thresholds[1:], -np.inf)) / 2
    return float(between[right.argmax()])


def _quotas(capacities: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Shares `wanted` pairs among people as evenly as what each has allows; chance decides who gives one more."""
    quotas = np.zeros_like(capacities)
    while (left := wanted - quotas.sum()) > 0:
        able = rng.permutation(np.flatnonzero(quotas < capacities))[:left]
        quotas[able] = np.minimum(quotas[able] + max(left // len(able), 1), capacities[able])
    return quotas


def _pair_of_rank(ranks: np.ndarray, partners: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs with these ranks, where photo i is paired with `partners[i]` photos in a row from `first[i]` on."""
    ends = np.cumsum(partners)
    photo = np.searchsorted(ends, ranks, side="right")
    return photo, first[photo] + ranks - (ends[photo] - partners[photo])
