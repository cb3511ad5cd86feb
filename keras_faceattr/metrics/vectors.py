"""Metrics of vectors: whether photos of one person point the same way, and whether they point where the teacher's do.

Those of identities take pairs of photos: labels (pairs, 4), 1 for one person and 0 for two, the pair's fold, and the
numbers of the people on both photos; and predictions (pairs, 1), the cosine of the two vectors. A pair may be there
several times: its fold goes with it, so that no threshold is chosen on a pair that it judges. They are NaN where a
cosine is, or where a kind of pair is missing.
"""

from __future__ import annotations

import numpy as np

from keras_faceattr.metrics import verification
from keras_faceattr.metrics.sums import SumMetric, counted, mean_of_sums

PAIRS, SEED, FOLDS = 6000, 0, 10
"""As many pairs as LFW's protocol has, half of them of one person; always the same ones."""


def can_pair(people: np.ndarray) -> bool:
    """Return whether (n, 1) people give pairs of both kinds: two people, and one of them on two photos."""
    _, counts = np.unique(people[:, 0], return_counts=True)
    return len(counts) > 1 and bool((counts > 1).any())


def pairs_of(people: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seeded pairs of photos.

    Args:
        people: (n, 1) number of each photo's person.
        vectors: (n, d).

    Returns:
        (pairs, 4) labels and (pairs, 1) predictions; the fold is NaN where there are too few pairs for the folds.

    Raises:
        DataError: one person only, or nobody with two photos.
    """
    left, right, same = verification.verification_pairs(people[:, 0], PAIRS, SEED)
    enough = min(int(same.sum()), int((~same).sum())) >= FOLDS
    fold = verification.folds_of(same, FOLDS) if enough else np.full(len(same), np.nan)
    labels = np.stack([same, fold, people[left, 0], people[right, 0]], axis=1)
    return labels.astype("float32"), verification.similarities(vectors, left, right)[:, None]


def pair_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Share of pairs told right, each by a threshold chosen on the other folds."""
    same, fold = labels[:, 0] == 1, labels[:, 1]
    # Without any one fold, the others must still hold pairs of both kinds.
    enough = not np.isnan(fold).any() and all(len(np.unique(fold[same == kind])) > 1 for kind in (True, False))
    if not enough or np.isnan(predictions).any():
        return float("nan")
    return float(verification.judged(predictions[:, 0], same, fold).mean())


def pair_auc(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Chance that a pair of one person is more alike than a pair of two."""
    if not _comparable(labels, predictions):
        return float("nan")
    return float(verification.area_under_roc(predictions[:, 0], labels[:, 0] == 1))


def pair_tar_at_far(labels: np.ndarray, predictions: np.ndarray, far: float) -> float:
    """Share of pairs of one person accepted where a share `far` of pairs of two is accepted."""
    if not _comparable(labels, predictions):
        return float("nan")
    return float(verification.tar_at_far(predictions[:, 0], labels[:, 0] == 1, far))


def _cosines(targets: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    targets, vectors = targets.astype("float64"), vectors.astype("float64")
    lengths = np.linalg.norm(targets, axis=1) * np.linalg.norm(vectors, axis=1)
    return counted((targets * vectors).sum(axis=1) / np.maximum(lengths, 1e-12))


mean_cosine = SumMetric(_cosines, mean_of_sums)
"""Mean cosine of (n, d) vectors to the teacher's."""


def _comparable(labels: np.ndarray, predictions: np.ndarray) -> bool:
    """Return whether a draw holds pairs of both kinds, and finite numbers only."""
    return 0 < int((labels[:, 0] == 1).sum()) < len(labels) and not bool(np.isnan(predictions).any())
