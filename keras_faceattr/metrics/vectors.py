"""Metrics of vectors: whether photos of one person point the same way, and whether they point where the teacher's do.

Those of identities take pairs of photos: labels (pairs, 1), 1 for one person and 0 for two, and predictions (pairs,),
the cosine of the two vectors.
"""

from __future__ import annotations

import numpy as np

from keras_faceattr.metrics import verification

PAIRS, SEED, FOLDS = 6000, 0, 10
"""As many pairs as LFW's protocol has, half of them of one person; always the same ones."""


def pairs_of(people: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seeded pairs of photos.

    Args:
        people: (n, 1) number of each photo's person.
        vectors: (n, d).

    Returns:
        (pairs, 1) labels and (pairs,) cosines.

    Raises:
        DataError: one person only, or nobody with two photos.
    """
    left, right, same = verification.verification_pairs(people[:, 0], PAIRS, SEED)
    return same.astype("float32")[:, None], verification.similarities(vectors, left, right)


def accuracy(labels: np.ndarray, cosines: np.ndarray) -> float:
    """Share of pairs told right, each by a threshold chosen on the other folds."""
    if not _both(labels, FOLDS):
        return float("nan")
    return float(verification.best_accuracy(cosines, labels[:, 0] == 1, FOLDS))


def area_under_roc(labels: np.ndarray, cosines: np.ndarray) -> float:
    """Chance that a pair of one person is more alike than a pair of two."""
    return float(verification.area_under_roc(cosines, labels[:, 0] == 1)) if _both(labels) else float("nan")


def tar_at_far(labels: np.ndarray, cosines: np.ndarray, far: float) -> float:
    """Share of pairs of one person accepted where a share `far` of pairs of two is accepted."""
    return float(verification.tar_at_far(cosines, labels[:, 0] == 1, far)) if _both(labels) else float("nan")


def mean_cosine(targets: np.ndarray, vectors: np.ndarray) -> float:
    """Mean cosine of (n, d) vectors to the teacher's."""
    lengths = np.linalg.norm(targets, axis=1) * np.linalg.norm(vectors, axis=1)
    return float(((targets * vectors).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())


def _both(labels: np.ndarray, least: int = 1) -> bool:
    """Whether there are as many pairs of each kind as it takes."""
    same = int((labels[:, 0] == 1).sum())
    return min(same, len(labels) - same) >= least
