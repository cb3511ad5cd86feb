"""The page that an export ends in: what each recipe costs, what it loses, and which layer hurts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.artifact.sidecar import Sidecar
from keras_faceattr.budget.limits import verdict_row
from keras_faceattr.evaluation.formatting import TOO_FEW, metric_text, metric_title, reliability_rows, signed_text
from keras_faceattr.evaluation.plots import COLOUR, SECOND_COLOUR, draw_picture
from keras_faceattr.measure.latency import Latency
from keras_faceattr.pages import render
from keras_faceattr.plot_text import plot_word
from keras_faceattr.storage import write_text

WORST_LAYERS = 40


def write_page(path: Path, artifacts: list[Artifact], latencies: dict[str, Latency]) -> None:
    """Writes one self-contained HTML page.

    Args:
        artifacts: of one run, proven on the same photos.
        latencies: by name of the artifact; measured in turn, in one run.
    """
    first = artifacts[0].sidecar
    folder = path.parent / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    page = render(
        "export.html",
        title=f"{first.experiment['name']}: export",
        first=first,
        recipes=_recipes(artifacts, latencies),
        controls=[artifact.sidecar.recipe for artifact in artifacts if artifact.sidecar.is_control],
        pareto=_pareto(artifacts, latencies, folder),
        files=[_file(artifact, folder) for artifact in artifacts],
    )
    write_text(path, page)


def _metrics(artifact: Artifact) -> dict[tuple[str, str], dict[str, Any]]:
    """Metrics of a file by task and name."""
    tasks = artifact.sidecar.metrics
    return {(task, name): entry for task, of in tasks.items() for name, entry in of["metrics"].items()}


def _recipes(
    artifacts: list[Artifact], latencies: dict[str, Latency]
) -> list[tuple[str, tuple[list[str], list[list[str]]]]]:
    """Tables, each with its title: what each recipe costs, and what it keeps of each task; one for all is too wide."""
    costs = []
    for artifact in artifacts:
        sidecar, latency = artifact.sidecar, latencies.get(artifact.sidecar.name)
        times = [f"{latency.p50_ms:.2f}", f"{latency.p90_ms:.2f}"] if latency else ["not measured"] * 2
        cost = sidecar.cost
        size = [f"{cost.file_bytes / 1e6:.3f}", f"{cost.macs / 1e6:.1f}", f"{cost.peak_activation_bytes / 1e6:.2f}"]
        costs.append([sidecar.recipe, *size, *times, sidecar.status])
    tables = [("", (["recipe", "MB", "MMAC", "peak activations MB", "p50 ms", "p90 ms", "gates"], costs))]
    for task, measured in artifacts[0].sidecar.metrics.items():
        names = [name for name in measured["metrics"] if not name.startswith("cs@")]
        found = measured_models([artifact.sidecar for artifact in artifacts], task)
        rows = [[model, *(metric_text(name, metrics[name]) for name in names)] for model, _, metrics in found]
        tables.append((task, (["recipe", *(metric_title(name, measured["unit"]) for name in names)], rows)))
    return tables


def measured_models(sidecars: list[Sidecar], task: str) -> list[tuple[str, int | None, dict[str, Any]]]:
    """Rows of a task's table: what each model is called, the number of its file, and its metrics.

    The trained model and the net that a control fine-tuned in float are Keras models, without a file.
    """
    rows: list[tuple[str, int | None, dict[str, Any]]] = []
    before = sidecars[0].parity["metrics"]["float"][task]["metrics"]
    rows.append(("Keras, float", None, before))
    for number, sidecar in enumerate(sidecars):
        if unrounded := sidecar.parity["metrics"].get("unrounded"):
            rows.append((f"{sidecar.recipe}, float", None, unrounded[task]["metrics"]))
        rows.append((sidecar.recipe, number, sidecar.metrics[task]["metrics"]))
    return rows


def _pareto(artifacts: list[Artifact], latencies: dict[str, Latency], folder: Path) -> list[Path]:
    """Size against the first metric of the first task, and time against it."""
    key = next(iter(_metrics(artifacts[0])), None)
    if key is None:
        return []
    task, name = key
    # None is no number, and leaves a gap in the picture.
    values = [_number(_metrics(artifact)[key]["value"]) for artifact in artifacts]
    before = _number(artifacts[0].sidecar.parity["metrics"]["float"][task]["metrics"][name]["value"])
    label = plot_word(f"{task} {metric_title(name, artifacts[0].sidecar.metrics[task]['unit'])}")

    def scatter(x: list[float]) -> Any:
        def paint(axes: Axes) -> None:
            axes.scatter(x, values, color=COLOUR, zorder=3)
            for number, (place, value, artifact) in enumerate(zip(x, values, artifacts, strict=True)):
                # Integer files lie close together: their names go up and down in turn.
                offset = (6, 6 if number % 2 else -12)
                axes.annotate(artifact.sidecar.recipe, (place, value), xytext=offset, textcoords="offset points")
            axes.axhline(before, color=SECOND_COLOUR, linewidth=1, label="Keras, float")
            axes.set_ylabel(label)
            axes.margins(x=0.25, y=0.25)
            axes.legend(frameon=False)

        return paint

    sizes = [artifact.sidecar.cost.file_bytes / 1e6 for artifact in artifacts]
    pictures = [draw_picture(folder / "size_against_metric.png", scatter(sizes), "Size against accuracy", "MB")]
    if all(artifact.sidecar.name in latencies for artifact in artifacts):
        times = [latencies[artifact.sidecar.name].p50_ms for artifact in artifacts]
        pictures.append(
            draw_picture(folder / "time_against_metric.png", scatter(times), "Time against accuracy", "p50 ms")
        )
    return pictures


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _file(artifact: Artifact, folder: Path) -> dict[str, Any]:
    sidecar = artifact.sidecar
    layers = sidecar.quantization.get("layers")
    return {
        "sidecar": sidecar,
        "as_before": sidecar.quantization.get("fine_tuned") is False,
        "gates": [verdict_row(gate.name, gate.limit, gate.measured, gate.met) for gate in sidecar.gates],
        "held": [[task, *row] for task, found in sidecar.metrics.items() for row in reliability_rows(found)],
        "differences": [
            [*pair.replace("_", " ").split(" to "), output, *(_gap(gap[k]) for k in ("largest", "p99", "mean"))]
            for pair, outputs in sidecar.parity["differences"].items()
            for output, gap in outputs.items()
        ],
        "groups": [_groups(task, found) for task, found in sidecar.parity["groups"].items()],
        "floats": [list(row) for row in sidecar.quantization.get("float_layers", {}).items()],
        "integer_share": sidecar.quantization.get("integer_share"),
        "noise": _noise(layers, folder / f"{sidecar.recipe}_layer_noise.png") if layers else None,
        "histogram": artifact.differences_path,
    }


def _gap(value: float | None) -> str:
    """A difference of outputs; None where one of them is no number."""
    return "no number" if value is None else f"{value:.2g}"


def _groups(task: str, found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of what quantization changed for a task's groups."""
    rows = [["all", *_change(found["metric"], found["all"])]]
    rows += [
        [f"{column}: {value}", *_change(found["metric"], change)]
        for column, changes in found["by"].items()
        for value, change in changes.items()
    ]
    return [task, "photos", f"change of {found['metric']} from float to file", "95 % interval (paired)"], rows


def _change(metric: str, change: dict[str, Any] | None) -> list[str]:
    if change is None:
        return [TOO_FEW, "", ""]
    limits = [change["low"], change["high"]]
    interval = "–" if None in limits else " to ".join(signed_text(metric, limit) for limit in limits)
    return [str(change["photos"]), signed_text(metric, change["change"]), interval]


def _noise(layers: list[dict[str, Any]], path: Path) -> Path:
    rows = [row for row in layers[:WORST_LAYERS][::-1] if row["total"] is not None and row["own"] is not None]
    places = np.arange(len(rows))

    def bars(axes: Axes) -> None:
        axes.barh(
            places, [row["total"] for row in rows], color=COLOUR, height=0.7, label="output, all rounding before it"
        )
        axes.plot(
            [row["own"] for row in rows], places, "|", color="black", markersize=9, label="output, its own rounding"
        )
        kernels = [(row["kernel"], place) for row, place in zip(rows, places, strict=True) if row["kernel"] is not None]
        axes.plot(*zip(*kernels, strict=True), "o", color=SECOND_COLOUR, markersize=4, label="kernel")
        axes.set_yticks(places, [row["layer"] for row in rows], fontsize=8)
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=2)

    height = max(3.0, 0.22 * len(rows) + 1.6)
    return draw_picture(path, bars, "Signal to rounding noise: short bars hurt", "dB (6 dB are a bit)", height)


def plot_differences(path: Path, differences: dict[str, np.ndarray]) -> Path:
    """Histogram of file minus float, for each task's value.

    Args:
        differences: by task, any shape: of its value, or of its probabilities.
    """

    def histogram(axes: Axes) -> None:
        for number, (name, values) in enumerate(differences.items()):
            # A gate tells of those that are no numbers.
            numbers = values[np.isfinite(values)]
            limit = max(float(np.abs(numbers).max(initial=0)), 1e-9)
            axes.hist(numbers / limit, bins=41, histtype="step", color=f"C{number}", label=f"{name} (1 = {limit:.3g})")
        axes.set_ylabel("numbers")
        axes.legend(frameon=False)

    return draw_picture(path, histogram, "File minus float", "difference, as a share of the largest")
