"""`fit` of regressors on features: features of every photo once, then one regressor after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from keras_faceattr.config_files import parse_section
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.prepare import PreparedData, crop_spec, prepare, read_manifest
from keras_faceattr.data.targets import label_forms
from keras_faceattr.errors import ConfigError
from keras_faceattr.evaluation.entries import DAMAGE, Entry, Results, as_net, read_predictions
from keras_faceattr.evaluation.evaluate import evaluate
from keras_faceattr.evaluation.plots import COLOUR, draw_picture
from keras_faceattr.faces.embedder import Embedder, tflite_embedder
from keras_faceattr.features.bif import bif
from keras_faceattr.features.experiment import FeatureConfig, FeatureExperiment
from keras_faceattr.features.layer_features import keras_file_embedder
from keras_faceattr.features.regressors import feature_regressor, fit_regressor
from keras_faceattr.metrics import metrics_of
from keras_faceattr.run import Run, new_run
from keras_faceattr.storage import replacing, write_json
from keras_faceattr.tasks import ScalarTask, Task
from keras_faceattr.training.checks import check_same_data
from keras_faceattr.training.provenance import provenance
from keras_faceattr.training.start import check_starts

Say = Callable[[str], None]

SPLITS = ("train", "val", "test")

SAID = ("mae", "pc")
"""Metrics that are told as soon as a regressor is measured."""


def fit_features(experiment: FeatureExperiment, runs: Path, say: Say, resume: Run | None = None) -> Run:
    """Fit every regressor of an experiment on the features of its train photos, and measure it on the test photos.

    The photos held out for validation train too: what a regressor must choose it chooses among its training rows.

    Args:
        runs: folder in which a new run is made.
        say: told what happens, a line at a time.
        resume: a run to go on with: regressors that it has finished are not fitted again.

    Returns:
        The finished run: `metrics.json`, `predictions.csv` with a column a regressor, and a picture.

    Raises:
        FaceAttrError: whatever the user can fix.
    """
    for name in experiment.regressors:
        feature_regressor(name)
    manifest, tasks = read_manifest(experiment)
    task = _only_scalar(tasks)
    source = experiment.features
    starts = [] if source.path is None else [Path(source.path)]
    for line in check_starts(starts, manifest) if resume is None else []:
        say(line)
    if "interval" in label_forms(manifest, task):
        raise ConfigError(f"tasks.{task.name}: regressors learn values, and this data gives intervals: fit a net")
    data = prepare(experiment, SPLITS, read=(manifest, tasks))
    if resume:
        check_same_data(resume, experiment, data)
    manifest = data.manifest.split("test")
    results, predictions = _finished(resume, experiment, manifest, task) if resume else ({}, {})
    waiting = [name for name in experiment.regressors if name not in results]
    # Opened before a folder is made, so that a wrong path leaves nothing behind.
    embed = embedder(experiment.features, experiment) if waiting else None
    run = resume or new_run(runs, experiment.name)
    run.write_config(experiment, data.tasks)
    write_json(run.provenance_path, provenance(experiment, data))
    if embed:
        photos = _embedded(embed, data, task, mirrored=experiment.evaluation.tta == "flip", say=say)
    for name in waiting:
        fitted = fit_regressor(
            name,
            photos.train,
            photos.labels[:, 0].astype("float64"),
            preprocessing=experiment.preprocessing,
            seed=experiment.seed,
            bins=task.bins,
            std=photos.labels[:, 1],
        )
        predictions[name] = np.mean([fitted.predict(test) for test in photos.tests], axis=0)
        outputs, samples = {task.name: predictions[name].astype("float32")}, experiment.evaluation.bootstrap_samples
        measured = evaluate(manifest, {task.name: task}, outputs, samples, experiment.seed)[task.name]
        results[name] = {**measured, "note": fitted.note, "features": int(photos.train.shape[1])}
        _write(run, manifest, task, results, predictions)
        note = f" ({fitted.note})" if fitted.note else ""
        say(f"{name}: " + ", ".join(f"{m.upper()} {measured['metrics'][m]['value']:.4f}" for m in SAID) + note)
    write_json(run.metrics_path, _summary(experiment, manifest, task, results))
    _plot(run, results)
    return run


@dataclass(frozen=True)
class Embedded:
    """Features of the photos of an experiment.

    Attributes:
        train: (n, d), of the train and val photos.
        labels: (n, 2) value and σ of these.
        tests: (m, d) of the test photos, and of the mirrored ones where predictions are averaged.
    """

    train: np.ndarray
    labels: np.ndarray
    tests: list[np.ndarray]


def _embedded(embed: Embedder, data: PreparedData, task: ScalarTask, mirrored: bool, say: Say) -> Embedded:
    """Ask the embedder about every photo, once; every one of them is labelled, as the task is the only one."""
    say(f"features of {sum(map(len, data.parts.values()))} photos")
    learned = [data.parts[split] for split in SPLITS[:2] if split in data.parts]
    train = np.concatenate([_features(embed, part) for part in learned])
    labels = np.concatenate([part.labels[task.name] for part in learned])
    tests = [_features(embed, data.parts["test"], flip) for flip in ((False, True) if mirrored else (False,))]
    say(f"{train.shape[1]} features, {len(train)} train photos")
    return Embedded(train, labels, tests)


def read_feature_experiment(run: Run) -> FeatureExperiment:
    """The resolved configuration of a run.

    Raises:
        RunError: this folder is no run.
        ConfigError: it is no run of regressors on features.
    """
    return parse_section(FeatureExperiment, run.plain_config(), str(run.config_path))


def embedder(config: FeatureConfig, experiment: FeatureExperiment) -> Embedder:
    """Embedder of an experiment's features.

    Raises:
        FaceAttrError: the model is missing or damaged, has no such layer, or was trained on other crops.
    """
    if config.source == "bif":
        return lambda crops: bif(crops)
    path = Path(str(config.path))
    if config.source == "tflite":
        return tflite_embedder(path, config.scale)
    if not path.is_dir():
        return keras_file_embedder(path, config.layers, config.grid)
    run = Run(path)
    trained, own = crop_spec(run.experiment()), crop_spec(experiment)
    others = own.differences(trained) | ({"size": trained.size} if own.size != trained.size else {})
    if others:
        values = trained.to_dict()
        mend = " ".join(f"--set data.crop.{key}={json.dumps(values[key], separators=(',', ':'))}" for key in others)
        raise ConfigError(f"{path} was trained on other crops: {mend}")
    return keras_file_embedder(run.model_path, config.layers, config.grid)


def _only_scalar(tasks: dict[str, Task]) -> ScalarTask:
    (task, *more) = tasks.values()
    if more or not isinstance(task, ScalarTask):
        raise ConfigError(f"regressors learn one scalar task, not {', '.join(tasks)}: leave the others out")
    return task


def _features(embed: Embedder, part: LabelledCrops, mirrored: bool = False) -> np.ndarray:
    """(n, d) features of a split, in order."""
    chunks = part.crops.chunks(part.rows)
    return np.concatenate([embed(np.ascontiguousarray(x[:, :, ::-1]) if mirrored else x) for x in chunks])


def _finished(
    run: Run, experiment: FeatureExperiment, manifest: Manifest, task: ScalarTask
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Regressors that a stopped run has fitted; those that `compare` could not read are fitted again."""
    try:
        results = dict(json.loads((run.folder / "regressors.json").read_text(encoding="utf-8")))
    except DAMAGE:
        return {}, {}
    summary = {**_summary(experiment, manifest, task, {}), "regressors": results}
    predictions = {}
    for name in results:
        try:
            predictions[name] = _kept_predictions(run, summary, name, manifest, task)
        except DAMAGE:
            continue
    return {name: results[name] for name in predictions}, predictions


def _kept_predictions(run: Run, summary: dict[str, Any], name: str, manifest: Manifest, task: ScalarTask) -> np.ndarray:
    """(m,) predictions of a regressor for the test photos, once they agree with its results; any of `DAMAGE` if not."""
    plain, columns = as_net(summary, name)
    entry = Entry(name, run.folder, Results.model_validate(plain), {task.name: task})
    result = summary["regressors"][name]
    metrics = {metric for metric, row in metrics_of(task).items() if not row.needs_std}
    if not {"note", "features"} <= result.keys() or not metrics <= result["metrics"].keys():
        raise ValueError(f"the results of {name} are not whole")
    rows = read_predictions(run.predictions_path, entry, columns)[task.name]
    photos = pd.MultiIndex.from_frame(manifest.rows[["source", "image"]])
    return rows.loc[photos, columns[name]].to_numpy("float64")


def _write(
    run: Run, manifest: Manifest, task: ScalarTask, results: dict[str, Any], predictions: dict[str, np.ndarray]
) -> None:
    table = manifest.rows[["source", "image", task.name]].assign(**predictions)
    with replacing(run.predictions_path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    write_json(run.folder / "regressors.json", results)


def _summary(
    experiment: FeatureExperiment, manifest: Manifest, task: ScalarTask, results: dict[str, Any]
) -> dict[str, Any]:
    return {
        "run": experiment.name,
        "split": "test",
        "photos": len(manifest),
        "tta": experiment.evaluation.tta,
        "seed": experiment.seed,
        "task": task.name,
        "unit": task.unit,
        "features": experiment.features.model_dump(),
        "crop": experiment.data.crop.model_dump(mode="json"),
        "split_hash": manifest.split_hash(),
        "regressors": {name: results[name] for name in experiment.regressors if name in results},
    }


def _plot(run: Run, results: dict[str, Any]) -> None:
    pc = {name: [result["metrics"]["pc"][key] for key in ("value", "low", "high")] for name, result in results.items()}
    # What is not a number stands as null in a file that was read again.
    table = {name: np.array(row, "float64") for name, row in pc.items()}
    names = sorted(table, key=lambda name: np.nan_to_num(table[name][0], nan=-1.0))
    values, low, high = np.stack([table[name] for name in names], axis=1)
    spans = np.abs([low - values, high - values])

    def points(axes: Axes) -> None:
        axes.errorbar(values, names, xerr=np.nan_to_num(spans), fmt="o", color=COLOUR, ecolor="grey")
        axes.grid(axis="x", alpha=0.3)

    folder = run.folder / "plots"
    folder.mkdir(exist_ok=True)
    draw_picture(folder / "regressors.png", points, "Regressors on the same features", "PC (95 % interval)")
