"""Metrics of vectors: whether photos of one person point the same way, and whether they point where the teacher's do.

Those of identities take pairs of photos: labels (pairs, 1), 1 for one person and 0 for two; and predictions (pairs, 2),
the cosine of the two vectors, and 1 where a threshold that was chosen on other pairs judges rightly.
"""

from __future__ import annotations

import numpy as np

from keras_faceattr.metrics import verification

PAIRS, SEED, FOLDS = 6000, 0, 10
"""As many pairs as LFW's protocol has, half of them of one person; always the same ones."""


def can_pair(people: np.ndarray) -> bool:
    """Whether (n, 1) people give pairs of both kinds: two people, and one of them on two photos."""
    _, counts = np.unique(people[:, 0], return_counts=True)
    return len(counts) > 1 and bool((counts > 1).any())


def pairs_of(people: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seeded pairs of photos.

    Args:
        people: (n, 1) number of each photo's person.
        vectors: (n, d).

    Returns:
        (pairs, 1) labels and (pairs, 2) predictions; the second is NaN where there are too few pairs for the folds.

    Raises:
        DataError: one person only, or nobody with two photos.
    """
    left, right, same = verification.verification_pairs(people[:, 0], PAIRS, SEED)
    return judged_pairs(same, verification.similarities(vectors, left, right))


def judged_pairs(same: np.ndarray, cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions as the metrics take them, of (pairs,) bool and (pairs,) cosines."""
    enough = min(int(same.sum()), int((~same).sum())) >= FOLDS
    judged = verification.judged(cosines, same, FOLDS) if enough else np.full(len(same), np.nan)
    return same.astype("float32")[:, None], np.stack([cosines, judged], axis=1)


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Share of pairs told right, each by a threshold chosen on the other folds."""
    return float(predictions[:, 1].mean())


def area_under_roc(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Chance that a pair of one person is more alike than a pair of two."""
    return float(verification.area_under_roc(predictions[:, 0], labels[:, 0] == 1)) if _both(labels) else float("nan")


def tar_at_far(labels: np.ndarray, predictions: np.ndarray, far: float) -> float:
    """Share of pairs of one person accepted where a share `far` of pairs of two is accepted."""
    return float(verification.tar_at_far(predictions[:, 0], labels[:, 0] == 1, far)) if _both(labels) else float("nan")


def mean_cosine(targets: np.ndarray, vectors: np.ndarray) -> float:
    """Mean cosine of (n, d) vectors to the teacher's."""
    lengths = np.linalg.norm(targets, axis=1) * np.linalg.norm(vectors, axis=1)
    return float(((targets * vectors).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())


def _both(labels: np.ndarray) -> bool:
    """Whether a draw holds pairs of both kinds."""
    return 0 < int((labels[:, 0] == 1).sum()) < len(labels)
