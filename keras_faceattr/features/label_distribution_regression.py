"""Label distribution learning with a maximum entropy model, fitted by a quasi-Newton method (BFGS-LDL).

Source: Geng: Label distribution learning, IEEE TKDE 2016, section 3.3.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, RegressorMixin
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

SMALL = 1e8
"""Multiplications of a matrix product below which it stays on one core."""


def label_distributions(values: np.ndarray, stds: np.ndarray | float, bins: np.ndarray) -> np.ndarray:
    """Normal distribution around each label, over the bins: `losses.label_distribution` without Keras.

    Args:
        values: (n,) in the task's unit.
        stds: one σ, or (n,), in the task's unit; at least a hundredth of a bin is taken.
        bins: (K,) in the task's unit.

    Returns:
        (n, K) rows that sum to 1.

    Source: DLDL-v2, eq. 1.
    """
    deviation = np.maximum(np.broadcast_to(stds, values.shape), 0.01 * (bins[1] - bins[0]))
    return np.asarray(softmax(-0.5 * np.square((bins - values[:, None]) / deviation[:, None]), axis=1))


def objective(theta: np.ndarray, features: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
    """Mean cross-entropy of the distributions plus a penalty on the weights, and its gradient.

    The cross-entropy is the KL divergence and a constant.

    Args:
        theta: ((d + 1) · K,) weights, then intercepts, which bear no penalty.
        features: (n, d).
        targets: (n, K) rows sum to 1.
        penalty: on half the sum of squared weights.

    Returns:
        Number in nats, and ((d + 1) · K,).

    Source: Geng, 2016, eq. 9 and 10.
    """
    bins = targets.shape[1]
    weights, intercepts = theta[:-bins].reshape(-1, bins), theta[-bins:]
    log_probabilities = log_softmax(features @ weights + intercepts, axis=1)
    value = -(targets * log_probabilities).sum() / len(targets) + 0.5 * penalty * np.square(weights).sum()
    error = (np.exp(log_probabilities) - targets) / len(targets)
    gradient = features.T @ error + penalty * weights
    return float(value), np.concatenate([gradient.ravel(), error.sum(axis=0)])


class BFGSLDL(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """p(y | x) ∝ exp(θ x), read back as the expected value.

    Args:
        bins: (K,) ascending values, in the task's unit, two or more.
        penalty: on half the sum of squared weights, against the sum of the photos' divergences in nats, so that it
            means the same for few photos and for many.
        iterations: at most, of L-BFGS.
    """

    def __init__(self, bins: np.ndarray, penalty: float = 0.03, iterations: int = 300) -> None:
        self.bins = bins
        self.penalty = penalty
        self.iterations = iterations

    def fit(self, features: np.ndarray, values: np.ndarray, std: np.ndarray | float) -> BFGSLDL:
        """Minimise the KL divergence from the labels' distributions.

        Args:
            features: (n, d).
            values: (n,) in the task's unit.
            std: σ of the labels, in the task's unit; one, or (n,).
        """
        features = np.asarray(features, np.float64)
        targets = label_distributions(np.asarray(values, np.float64), std, np.asarray(self.bins, np.float64))
        start = np.zeros((features.shape[1] + 1, len(self.bins)))
        # The training photos' mean distribution is the best that intercepts can do alone.
        start[-1] = np.log(np.maximum(targets.mean(axis=0), 1e-6))
        # Products of a few milliseconds wait longer for a busy machine's other cores than they take on one.
        small = features.size * len(self.bins) < SMALL
        with threadpool_limits(1 if small else None):
            found = minimize(
                objective,
                start.ravel(),
                args=(features, targets, self.penalty / len(features)),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": self.iterations},
            )
        self.weights, self.intercepts = np.split(found.x.reshape(start.shape), [-1])
        return self

    def predict_distribution(self, features: np.ndarray) -> np.ndarray:
        """(n, K) probabilities of the bins."""
        return np.asarray(softmax(features @ self.weights + self.intercepts, axis=1))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(n,) expected values, in the task's unit (DLDL-v2, section 4.5.3)."""
        return np.asarray(self.predict_distribution(features) @ self.bins)
