"""Pictures of a run: curves, predicted against true, error by label range, confusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from keras_faceattr.data.targets import labelled
from keras_faceattr.evaluation.formatting import ERRORS
from keras_faceattr.metrics.classification import attribute_accuracies, attribute_balanced_accuracies, confusion
from keras_faceattr.metrics.scalar import band_of, intervals
from keras_faceattr.metrics.vectors import can_pair, pairs_of
from keras_faceattr.metrics.verification import roc
from keras_faceattr.plot_text import plot_names, plot_word, use_fonts
from keras_faceattr.storage import replacing
from keras_faceattr.tasks import CategoricalTask, EmbeddingTask, IdentityTask, ScalarTask, Task

COLOUR = "#2a6f97"
SECOND_COLOUR = "#c8553d"
FIRST_METRICS = ("mae", "interval_distance", "balanced_accuracy", "auc", "cosine")
"""Metrics of which each task has one or more, so that they tell the tasks' names."""

RANGES = 8
"""Ranges of a label in the plot of errors by range."""


def plot_history(history: pd.DataFrame, folder: Path) -> list[Path]:
    """Loss and learning rate by epoch, and the validation metrics of each task."""
    columns = [str(column) for column in history]

    def loss(axes: Axes) -> None:
        for column in [c for c in columns if c.endswith("loss")]:
            axes.plot(history["epoch"], history[column], ".-", label=column)
        axes.set_ylabel("training loss")
        _legend_below(axes, axes.get_lines())
        rate = axes.twinx()
        rate.plot(history["epoch"], history["learning_rate"], color="grey", linestyle=":", label="learning rate")
        rate.set_ylabel("learning rate (dotted)")

    plots = [draw_picture(folder / "loss.png", loss, "Training loss", "epoch")]
    tasks = [
        c.removeprefix("val_").removesuffix(f"_{first}")
        for c in columns
        for first in FIRST_METRICS
        if c.endswith(f"_{first}")
    ]
    for task in dict.fromkeys(tasks):
        metrics = {c.removeprefix(f"val_{task}_"): history[c] for c in columns if c.startswith(f"val_{task}_")}
        draw = partial(_validation, history["epoch"], metrics)
        plots.append(draw_picture(folder / f"{task}_validation.png", draw, f"{task.capitalize()}: validation", "epoch"))
    return plots


def _validation(epochs: pd.Series, metrics: dict[str, pd.Series], axes: Axes) -> None:
    """Errors in the task's unit on the left, shares and correlations on the right."""
    errors = [name for name in metrics if name in ERRORS]
    right = axes.twinx() if errors else axes
    for number, (name, values) in enumerate(metrics.items()):
        own = axes if name in ERRORS else right
        own.plot(epochs, values, ".-", color=f"C{number}", label=name)
    if errors:
        axes.set_ylabel(", ".join(errors))
    right.set_ylabel(", ".join(name for name in metrics if name not in ERRORS))
    _legend_below(axes, [line for own in dict.fromkeys((axes, right)) for line in own.get_lines()])


def _legend_below(axes: Axes, lines: Sequence[Line2D]) -> None:
    """Put the legend below the axes, for curves that leave no free corner."""
    names = [str(line.get_label()) for line in lines]
    axes.legend(lines, names, frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))


def plot_task(task: Task, labels: np.ndarray, predictions: np.ndarray, folder: Path) -> list[Path]:
    """The pictures of one task.

    Args:
        labels: (n, label_width), NaN where not labelled.
        predictions: (n, …) of the inference model.
    """
    known = labelled(task, labels)
    labels, predictions = labels[known], predictions[known]
    if not len(labels):
        return []
    if isinstance(task, ScalarTask):
        valued = ~np.isnan(labels[:, 0])
        plots = _plot_scalar(task, labels[valued, 0], predictions[valued], folder) if valued.any() else []
        return [*plots, *([_plot_bands(task, labels, predictions, folder)] if task.bands else [])]
    if isinstance(task, CategoricalTask):
        return [_plot_confusion(task, confusion(labels, predictions), folder)]
    if isinstance(task, IdentityTask):
        same, judged = pairs_of(labels, predictions) if can_pair(labels) else (labels[:0], predictions[:0])
        return [_plot_verification(task, same, judged[:, 0], folder)] if len(same) else []
    if isinstance(task, EmbeddingTask):
        return []
    return [_plot_attributes(task, labels, predictions, folder)]


def _plot_scalar(task: ScalarTask, true: np.ndarray, predicted: np.ndarray, folder: Path) -> list[Path]:
    unit = f" ({plot_word(task.unit)})" if task.unit else ""

    def scatter(axes: Axes) -> None:
        axes.scatter(true, predicted, s=6, alpha=0.35, color=COLOUR, linewidths=0)
        low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
        axes.plot([low, high], [low, high], color="grey", linewidth=1)
        axes.set_ylabel(f"predicted{unit}")
        axes.set_aspect("equal", adjustable="box")

    edges = np.linspace(true.min(), true.max(), RANGES + 1)
    place = np.clip(np.digitize(true, edges) - 1, 0, RANGES - 1)

    def by_range(axes: Axes) -> None:
        occupied = [r for r in range(RANGES) if (place == r).any()]
        middles = [(edges[r] + edges[r + 1]) / 2 for r in occupied]
        errors = [np.abs(predicted - true)[place == r].mean() for r in occupied]
        bias = [(predicted - true)[place == r].mean() for r in occupied]
        bars = axes.bar(middles, errors, width=0.8 * (edges[1] - edges[0]), color=COLOUR, label="MAE")
        axes.bar_label(bars, [str(int((place == r).sum())) for r in occupied], fontsize=8)
        axes.plot(middles, bias, "o-", color=SECOND_COLOUR, label="mean error")
        axes.axhline(0, color="grey", linewidth=1)
        axes.set_ylabel(f"error{unit}; photos above the bars")
        axes.legend(frameon=False)

    title = task.name.capitalize()
    return [
        draw_picture(folder / f"{task.name}_scatter.png", scatter, f"{title}: predicted against true", f"true{unit}"),
        draw_picture(folder / f"{task.name}_by_range.png", by_range, f"{title}: error by label range", f"true{unit}"),
    ]


def _plot_bands(task: ScalarTask, labels: np.ndarray, predictions: np.ndarray, folder: Path) -> Path:
    """Predictions for the photos of each band, between its ends."""
    bands, true = np.array(task.bands), band_of(np.array(task.bands), intervals(labels).mean(axis=1))
    unit = f" ({plot_word(task.unit)})" if task.unit else ""

    def boxes(axes: Axes) -> None:
        present = [number for number in range(len(bands)) if (true == number).any()]
        axes.boxplot([predictions[true == number] for number in present], positions=present, widths=0.6, sym="")
        for number, (low, high) in enumerate(bands):
            axes.fill_between([number - 0.4, number + 0.4], low, high, color=COLOUR, alpha=0.25, linewidth=0)
        axes.set_xticks(range(len(bands)), [f"{low:g}–{high:g}" for low, high in bands], rotation=45, ha="right")
        axes.set_ylabel(f"predicted{unit}")

    title = f"{task.name.capitalize()}: predicted by true band (shaded)"
    label = f"band{unit}; boxes: median and quartiles"
    return draw_picture(folder / f"{task.name}_bands.png", boxes, title, label)


def _plot_confusion(task: CategoricalTask, counts: np.ndarray, folder: Path) -> Path:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names, note = plot_names(task.classes)

    def matrix(axes: Axes) -> None:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        ticks = range(len(task.classes))
        axes.set_xticks(ticks, names, rotation=45, ha="right")
        axes.set_yticks(ticks, names)
        for (i, j), count in np.ndenumerate(counts):
            axes.text(
                j, i, count, ha="center", va="center", fontsize=8, color="white" if shares[i, j] > 0.6 else "black"
            )
        axes.set_ylabel("true")

    return draw_picture(
        folder / f"{task.name}_confusion.png", matrix, f"{task.name.capitalize()}: confusion", _noted("predicted", note)
    )


def _plot_verification(task: Task, same: np.ndarray, cosines: np.ndarray, folder: Path) -> Path:
    far, tar, _ = roc(cosines, same[:, 0] == 1)

    def curve(axes: Axes) -> None:
        axes.plot(np.maximum(far, 1e-4), tar, color=COLOUR)
        axes.set_xscale("log")
        axes.set_ylabel("pairs of one person accepted")
        axes.set_ylim(0, 1.01)

    title = f"{task.name.capitalize()}: {len(same)} pairs of photos"
    return draw_picture(folder / f"{task.name}_roc.png", curve, title, "pairs of two people accepted")


def _plot_attributes(task: Task, labels: np.ndarray, predictions: np.ndarray, folder: Path) -> Path:
    shares, balanced = attribute_accuracies(labels, predictions), attribute_balanced_accuracies(labels, predictions)
    majority = np.maximum(np.nanmean(labels, axis=0), 1 - np.nanmean(labels, axis=0))
    order = np.argsort(shares)
    shown, note = plot_names([column.removeprefix(f"{task.name}.") for column in task.columns])
    names = [shown[i] for i in order]

    def bars(axes: Axes) -> None:
        axes.barh(range(len(order)), shares[order], color=COLOUR, label="model")
        axes.set_yticks(range(len(order)), names)
        axes.plot(
            majority[order], range(len(order)), "|", color=SECOND_COLOUR, markersize=8, label="always the commoner"
        )
        axes.plot(balanced[order], range(len(order)), "o", color="black", markersize=3, label="model, balanced")
        axes.set_xlim(min(0.5, float(np.nanmin([shares, balanced]))), 1)
        axes.tick_params(axis="y", labelsize=7)
        axes.legend(frameon=False, loc="lower right")

    height = max(3.0, 0.18 * len(names) + 1)
    title, label = f"{task.name.capitalize()}: accuracy", _noted("share right", note)
    return draw_picture(folder / f"{task.name}_accuracy.png", bars, title, label, height)


def plot_relations(task: str, relations: pd.DataFrame, folder: Path) -> Path:
    """Correlations of attributes as they were learned; grey where one was always the same."""
    (names, note), values = plot_names(list(map(str, relations.columns))), relations.to_numpy("float64")

    def matrix(axes: Axes) -> None:
        axes.set_facecolor("lightgrey")
        image = axes.imshow(np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-1, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=5)
        axes.set_yticks(range(len(names)), names, fontsize=5)
        axes.figure.colorbar(image, ax=axes, shrink=0.8)

    title = f"{task.capitalize()}: relations learned"
    return draw_picture(folder / f"{task}_relations.png", matrix, title, note, height=5.5)


def _noted(label: str, note: str) -> str:
    return f"{label}\n({note})" if note else label


def draw_picture(path: Path, draw: Callable[[Axes], Any], title: str, xlabel: str, height: float = 4.0) -> Path:
    """One picture as a PNG file; a figure of its own needs no display and no backend of matplotlib's.

    Args:
        draw: paints on the axes.
        height: in inches; the width is 6.
    """
    figure = Figure(figsize=(6, height), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(title)
    axes.set_xlabel(xlabel)
    axes.spines[["top", "right"]].set_visible(False)
    use_fonts(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path
