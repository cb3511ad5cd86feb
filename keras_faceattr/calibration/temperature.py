"""Temperature scaling: one number per task, by which its logits are divided so that its probabilities hold."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from keras_faceattr.calibration.conformal import FEWEST

RANGE = (0.1, 10.0)
"""Within which the temperature lies."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray, yes_no: bool) -> float | None:
    """Find the temperature under which the labels are likeliest.

    No answer changes by it, only its certainty.

    Args:
        logits: (n, classes), or with `yes_no` (n, answers), of photos that the net was not trained on.
        labels: (n, 1) index of the class; with `yes_no` (n, answers) 0 or 1, NaN where not labelled.
        yes_no: whether each number is the logit of a yes of its own.

    Returns:
        T; None for fewer than `FEWEST` labelled answers, or where all of them are alike.

    Source: Guo et al., On calibration of modern neural networks, 2017, section 4.2.
    """
    said = logits.astype("float64")
    if yes_no:
        known = ~np.isnan(labels)
        said, truth = np.stack([np.zeros(known.sum()), said[known]], axis=1), labels[known].astype("int64")
    else:
        truth = labels[:, 0].astype("int64")
    if len(truth) < FEWEST or len(np.unique(truth)) < 2:
        return None

    def surprise(log_temperature: float) -> float:
        scaled = said / np.exp(log_temperature)
        largest = scaled.max(axis=1)
        total = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
        return float((total - scaled[np.arange(len(truth)), truth]).mean())

    found = minimize_scalar(surprise, bounds=tuple(np.log(RANGE)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))
