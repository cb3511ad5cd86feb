"""`fit` of regressors on features: features of every photo once, then one regressor after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes

from keras_faceattr.config import FeatureConfig, FeatureExperiment
from keras_faceattr.data.crops import CHUNK, LabelledCrops
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.prepare import PreparedData, crop_spec, prepare
from keras_faceattr.errors import ConfigError, RunError
from keras_faceattr.evaluation.evaluate import evaluate
from keras_faceattr.evaluation.plots import COLOUR, draw_picture
from keras_faceattr.features.bif import bif
from keras_faceattr.features.embedders import Embedder, tflite_embedder
from keras_faceattr.features.layer_features import keras_file_embedder
from keras_faceattr.features.regressors import fit_regressor, regressor
from keras_faceattr.recipes import parse_section
from keras_faceattr.run import Run, new_run
from keras_faceattr.storage import replacing, write_json, write_text
from keras_faceattr.tasks import ScalarTask
from keras_faceattr.training.fit import provenance

Say = Callable[[str], None]

SPLITS = ("train", "val", "test")


def fit_features(experiment: FeatureExperiment, runs: Path, say: Say, resume: Run | None = None) -> Run:
    """Fits every regressor of an experiment on the features of its train photos, and measures it on the test photos.

    The photos held out for validation train too: what a regressor must choose it chooses among its training rows.

    Args:
        runs: folder in which a new run is made.
        say: told what happens, a line at a time.
        resume: a run to go on with: regressors that it has finished are not fitted again.

    Returns:
        The finished run: `metrics.json`, `predictions.csv` with a column a regressor, and a picture.

    Raises:
        FaceAttrError: whatever the user can mend.
    """
    for name in experiment.regressors:
        regressor(name)
    data = prepare(experiment, SPLITS)
    task = _only_scalar(data)
    record = provenance(experiment, data)
    if resume:
        _check_same_data(resume, record)
    results, predictions = _finished(resume) if resume else ({}, {})
    waiting = [name for name in experiment.regressors if name not in results]
    # Opened before a folder is made, so that a wrong path leaves nothing behind.
    embed = embedder(experiment.features, experiment) if waiting else None
    run = resume or new_run(runs, experiment.name)
    plain = experiment.model_dump(mode="json")
    write_text(run.config_path, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
    write_json(run.provenance_path, record)
    if embed:
        say(f"features of {sum(map(len, data.parts.values()))} photos")
        train = np.concatenate([_features(embed, data.parts[s], False) for s in SPLITS[:2] if s in data.parts])
        labels = np.concatenate([data.parts[s].labels[task.name] for s in SPLITS[:2] if s in data.parts])
        mirrored = (False, True) if experiment.evaluation.tta == "flip" else (False,)
        tests = [_features(embed, data.parts["test"], flip) for flip in mirrored]
        say(f"{train.shape[1]} features, {len(train)} train photos")
    known_labels = ~np.isnan(data.parts["test"].labels[task.name][:, 0])
    for name in waiting:
        own = ~np.isnan(labels[:, 0])
        fitted = fit_regressor(
            name,
            train[own],
            labels[own, 0].astype("float64"),
            preprocessing=experiment.preprocessing,
            seed=experiment.seed,
            bins=task.bins,
            std=labels[own, 1],
        )
        values = np.mean([fitted.predict(test) for test in tests], axis=0)
        predictions[name] = values
        manifest = data.manifest.split("test")
        samples = experiment.evaluation.bootstrap_samples
        measured = evaluate(
            manifest, {task.name: task}, {task.name: values.astype("float32")}, samples, experiment.seed
        )
        results[name] = {**measured[task.name], "note": fitted.note, "features": int(train.shape[1])}
        _write(run, manifest, task, results, predictions)
        metrics = results[name]["metrics"]
        say(
            f"{name}: MAE {metrics['mae']['value']:.4f}, PC {metrics['pc']['value']:.4f}"
            + (f" ({fitted.note})" if fitted.note else "")
        )
    write_json(run.metrics_path, _summary(experiment, data, task, results, int(known_labels.sum())))
    _plot(run, results)
    return run


def _check_same_data(run: Run, record: dict[str, Any]) -> None:
    try:
        known = json.loads(run.provenance_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RunError(f"{run.folder} is not a run folder: cannot read {run.provenance_path.name}") from None
    if (known["split_hash"], known["label_hash"]) != (record["split_hash"], record["label_hash"]):
        raise RunError(f"the data of {run.folder} has changed since it started: train a new run")


def read_feature_experiment(run: Run) -> FeatureExperiment:
    """The resolved configuration of a run.

    Raises:
        RunError: this folder is no run.
        ConfigError: it is no run of regressors on features.
    """
    return parse_section(FeatureExperiment, run.plain_config(), str(run.config_path))


def embedder(config: FeatureConfig, experiment: FeatureExperiment) -> Embedder:
    """Where an experiment's features come from.

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


def _only_scalar(data: PreparedData) -> ScalarTask:
    (task, *more) = data.tasks.values()
    if more or not isinstance(task, ScalarTask):
        raise ConfigError(f"regressors learn one scalar task, not {', '.join(data.tasks)}: leave the others out")
    return task


def _features(embed: Embedder, part: LabelledCrops, mirrored: bool) -> np.ndarray:
    """(n, d) features of a split, in order."""
    rows = []
    for start in range(0, len(part), CHUNK):
        crops = part.crops.take(part.rows[start : start + CHUNK])
        rows.append(embed(np.ascontiguousarray(crops[:, :, ::-1]) if mirrored else crops))
    return np.concatenate(rows)


def _finished(run: Run) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a run that was stopped has already."""
    try:
        results = json.loads((run.folder / "regressors.json").read_text(encoding="utf-8"))
        table = pd.read_csv(run.predictions_path)
    except (OSError, ValueError):
        return {}, {}
    done = [name for name in results if name in table]
    return {name: results[name] for name in done}, {name: table[name].to_numpy() for name in done}


def _write(
    run: Run, manifest: Manifest, task: ScalarTask, results: dict[str, Any], predictions: dict[str, np.ndarray]
) -> None:
    table = manifest.rows[["source", "image", task.name]].assign(**predictions)
    with replacing(run.predictions_path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    write_json(run.folder / "regressors.json", results)


def _summary(
    experiment: FeatureExperiment, data: PreparedData, task: ScalarTask, results: dict[str, Any], photos: int
) -> dict[str, Any]:
    return {
        "run": experiment.name,
        "split": "test",
        "photos": photos,
        "tta": experiment.evaluation.tta,
        "seed": experiment.seed,
        "task": task.name,
        "unit": task.unit,
        "features": experiment.features.model_dump(),
        "crop": experiment.data.crop.model_dump(),
        "split_hash": data.manifest.select(data.manifest.rows["split"] == "test").split_hash(),
        "regressors": {name: results[name] for name in experiment.regressors},
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
