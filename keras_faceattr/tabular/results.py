"""What the cells of a comparison add up to: means, spreads and paired differences."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from keras_faceattr.evaluation.plots import COLOUR, SECOND_COLOUR, draw_picture
from keras_faceattr.plot_text import plot_word

METRICS = ("mae", "rmse")
REFERENCE = "mtb_dnn"


def summarise(cells: pd.DataFrame, test_over_train: float, reference: str | None = REFERENCE) -> dict[str, Any]:
    """Adds up the cells by regressor.

    Args:
        cells: a row for each split and regressor, with `mae` and `rmse` in the target's unit.
        test_over_train: test rows for each row that is not in the test.
        reference: the regressor that the others are compared with; None: they are not.

    Returns:
        By regressor and metric: `mean`, `sigma` (sample deviation over the splits) and, for all but the reference,
        `difference` to it with the ends `low` and `high` of its 95 % interval; positive where the reference is better.
    """
    found: dict[str, Any] = {}
    for metric in METRICS:
        table = cells.pivot(index="split", columns="regressor", values=metric)
        for name in cells["regressor"].unique():
            values = table[name].to_numpy("float64")
            numbers: dict[str, Any] = {"mean": float(values.mean()), "sigma": float(values.std(ddof=1))}
            if reference and name != reference:
                numbers["difference"] = paired_difference(values - table[reference].to_numpy(), test_over_train)
            found.setdefault(name, {})[metric] = numbers
    return found


def paired_difference(differences: np.ndarray, test_over_train: float) -> dict[str, float]:
    """Mean of differences over repeated random splits, and its 95 % interval.

    The splits share most of their rows, so that the deviation over √n would be too small: its square is enlarged from
    1/n to 1/n + test/train.

    Source: Nadeau and Bengio, Inference for the Generalization Error, 2003: corrected resampled t-test.
    """
    count, mean = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1)) * math.sqrt(1 / count + test_over_train)
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return {"mean": mean, "low": mean - half, "high": mean + half}


def plot_regressors(path: Path, regressors: dict[str, Any], unit: str) -> Path:
    """Draws a pair of bars, MAE and RMSE, for each regressor, with their σ over the splits.

    Args:
        regressors: of `summarise`, with a `title` each.
        unit: what the errors are measured in.
    """
    titles = [row["title"] for row in regressors.values()][::-1]

    def bars(axes: Axes) -> None:
        for metric, shift, colour in (("mae", 0.2, COLOUR), ("rmse", -0.2, SECOND_COLOUR)):
            numbers = [row[metric] for row in regressors.values()][::-1]
            draw = partial(axes.barh, height=0.38, color=colour, label=metric.upper(), capsize=3)
            draw(
                np.arange(len(titles)) + shift,
                [n["mean"] for n in numbers],
                xerr=[n["sigma"] for n in numbers],
            )
        axes.set_yticks(range(len(titles)), titles)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    return draw_picture(
        path, bars, "Errors over the splits, with σ", f"error of {plot_word(unit)}", 0.45 * len(titles) + 1.2
    )
