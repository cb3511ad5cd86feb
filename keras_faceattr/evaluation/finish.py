"""What a finished training leaves: metrics, predictions, plots, report and model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_faceattr.data.crops import Progress
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.prepare import PreparedData, prepare
from keras_faceattr.data.targets import label_array
from keras_faceattr.evaluation.evaluate import evaluate
from keras_faceattr.evaluation.model_card import model_card
from keras_faceattr.evaluation.plots import plot_history, plot_task
from keras_faceattr.evaluation.predictions import Outputs, keras_predictor, predict_split
from keras_faceattr.evaluation.report import html_report
from keras_faceattr.models.loading import load_model
from keras_faceattr.recipes import with_paths
from keras_faceattr.run import Run
from keras_faceattr.storage import replacing, write_json, write_text
from keras_faceattr.tasks import CategoricalTask, Task


def evaluate_run(
    run: Run,
    split: str = "test",
    tta: str | None = None,
    progress: Progress | None = None,
    paths: dict[str, str] | None = None,
) -> tuple[dict[str, Any], PreparedData, Outputs]:
    """Measures a run's `model.keras` on a split.

    Args:
        split: train, val or test.
        tta: `none` or `flip`; None for the run's own setting.
        paths: where the data lies now, by reader, if it has moved.

    Returns:
        The results (protocol and numbers by task), the data and the model's outputs.

    Raises:
        RunError: no run, or one that never finished.
        DataError: the split has no rows.
    """
    experiment = with_paths(run.experiment(), paths or {})
    tta = tta or experiment.evaluation.tta
    model = load_model(run.model_path)
    data = prepare(experiment, (split,), progress)
    outputs = predict_split(keras_predictor(model, tta), data.parts[split])
    numbers = evaluate(data.manifest, run.tasks(), outputs, experiment.evaluation.bootstrap_samples, experiment.seed)
    results = {
        "run": experiment.name,
        "split": split,
        "photos": len(data.parts[split]),
        "put_aside": len(data.manifest.quarantine),
        "tta": tta,
        "seed": experiment.seed,
        "init_from": experiment.model.init_from,
        "crop": experiment.data.crop.model_dump(),
        "split_hash": data.manifest.split_hash(),
        "tasks": numbers,
    }
    return results, data, outputs


def write_results(run: Run, progress: Progress | None = None) -> dict[str, Any]:
    """Evaluates a finished run on its test split and writes all that people read.

    Returns:
        The results as they stand in `metrics.json`.
    """
    results, data, outputs = evaluate_run(run, "test", progress=progress)
    put_aside = append_quarantine(run, data.manifest.quarantine)
    write_json(run.metrics_path, results)
    write_predictions(run.predictions_path, data.manifest, run.tasks(), outputs)
    provenance = json.loads(run.provenance_path.read_text(encoding="utf-8"))
    plots = write_plots(run, data.manifest, outputs)
    write_text(run.model_card_path, model_card(run.experiment(), results, provenance))
    write_text(run.report_path, html_report(run.experiment(), results, provenance, plots, put_aside))
    return results


def append_quarantine(run: Run, quarantine: pd.DataFrame) -> int:
    """Adds rows to `quarantine.csv` that are not in it yet; returns how many it then holds."""
    known = pd.read_csv(run.quarantine_path) if run.quarantine_path.exists() else quarantine.iloc[:0]
    parts = [part for part in (known, quarantine) if len(part)]
    whole = pd.concat(parts).drop_duplicates(["source", "image", "row"]) if parts else quarantine
    with replacing(run.quarantine_path) as temporary:
        whole.to_csv(temporary, index=False)
    return len(whole)


def write_predictions(path: Path, manifest: Manifest, tasks: dict[str, Task], outputs: Outputs) -> None:
    """Writes a row a photo: what was labelled, and what the model says."""
    table = manifest.rows[["source", "image", *manifest.groups]].copy()
    for name, task in tasks.items():
        for column in task.columns:
            if column in manifest.rows:
                table[column] = manifest.rows[column]
        for column, values in prediction_columns(task, outputs[name]).items():
            table[column] = values
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def prediction_columns(task: Task, values: np.ndarray) -> dict[str, Any]:
    """Columns of a table of predictions: the value, or class and probability, or a probability an attribute."""
    if isinstance(task, CategoricalTask):
        best = values.argmax(axis=1)
        names = np.array(task.classes, dtype=object)[best]
        return {f"{task.name}_predicted": names, f"{task.name}_probability": values.max(axis=1)}
    if task.kind == "scalar":
        return {f"{task.name}_predicted": values}
    return {f"{column}_predicted": values[:, i] for i, column in enumerate(task.columns)}


def write_plots(run: Run, manifest: Manifest, outputs: Outputs) -> list[Path]:
    """Draws the training curves and each task's picture into `plots/`."""
    folder = run.folder / "plots"
    folder.mkdir(exist_ok=True)
    plots = []
    if run.history_path.exists():
        plots += plot_history(pd.read_csv(run.history_path), folder)
    for name, task in run.tasks().items():
        if set(task.columns) <= set(manifest.rows.columns):
            plots += plot_task(task, label_array(manifest, task), outputs[name], folder)
    return plots
