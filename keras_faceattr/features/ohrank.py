"""Ordinal hyperplanes: a linear classifier for each threshold says whether a value lies above it.

Source: Chang, Chen, Hung: Ordinal hyperplanes ranker with cost sensitivities for age estimation, CVPR 2011.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.svm import LinearSVC


class OHRank(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ranks by counting the thresholds that a photo passes.

    A threshold lies halfway between two bins. A training photo weighs in it by its distance from it in bins, as a
    mistake about a far photo shifts the rank as much as many mistakes about near ones.

    Args:
        bins: (K,) ascending values, in the task's unit, two or more.
        regularization: C of liblinear; larger fits the training photos more closely.
        seed: random seed of liblinear's order of photos.
    """

    def __init__(self, bins: np.ndarray, regularization: float = 1.0, seed: int = 0) -> None:
        self.bins = bins
        self.regularization = regularization
        self.seed = seed

    def fit(self, features: np.ndarray, values: np.ndarray) -> OHRank:
        """Fit K − 1 classifiers; a threshold with all photos on one side always answers with that side.

        Args:
            features: (n, d), best of length 1: liblinear counts the intercept as one more weight.
            values: (n,) in the task's unit; they need not lie on bins.
        """
        thresholds = (self.bins[:-1] + self.bins[1:]) / 2
        above = values[:, None] > thresholds
        width = np.diff(self.bins)
        # Chang et al. count k − y + 1 below and y − k above for ranks y: half a bin more than the distance.
        costs = np.abs(values[:, None] - thresholds) / width + 0.5
        self.weights = np.zeros((features.shape[1], len(thresholds)))
        # What no photo contradicts is certain: far outside the margin.
        self.intercepts = np.where(above.all(axis=0), np.inf, -np.inf)
        for k in np.flatnonzero(above.any(axis=0) & ~above.all(axis=0)):
            # Ten times the intercept's feature makes its penalty a hundredth: thresholds near an end need large ones.
            # The dual of liblinear needs ten times as long for that and for thousands of features.
            plane = LinearSVC(C=self.regularization, dual=False, intercept_scaling=10.0, random_state=self.seed)
            plane.fit(features, above[:, k], sample_weight=costs[:, k] / costs[:, k].mean())
            self.weights[:, k], self.intercepts[k] = plane.coef_[0], plane.intercept_[0]
        return self

    def decision(self, features: np.ndarray) -> np.ndarray:
        """(n, K − 1) signed distances from the thresholds in margins: above 0 is above the threshold."""
        return np.asarray(features @ self.weights + self.intercepts)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(n,) bins: as many thresholds above the lowest as say yes (Chang et al., eq. 1)."""
        return np.asarray(self.bins[(self.decision(features) > 0).sum(axis=1)])

    def expectation(self, features: np.ndarray) -> np.ndarray:
        """(n,) values between the bins: a threshold within whose margin a photo lies counts in part."""
        shares = np.clip((self.decision(features) + 1) / 2, 0, 1)
        return np.asarray(self.bins[0] + shares @ np.diff(self.bins))
