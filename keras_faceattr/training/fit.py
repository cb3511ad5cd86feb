"""`fit`: from an experiment to a finished run folder, and on from where a killed one stopped."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import pandas as pd

import keras_faceattr
from keras_faceattr.config import Experiment, PhotoExperiment
from keras_faceattr.data.alignment import template_points
from keras_faceattr.data.crops import Progress
from keras_faceattr.data.datasets import READERS
from keras_faceattr.data.mixing import source_weights
from keras_faceattr.data.pipeline import people_in_batches
from keras_faceattr.data.prepare import PreparedData, crop_spec, prepare, read_manifest
from keras_faceattr.data.targets import labelled
from keras_faceattr.errors import ConfigError, DataError, ModelError, RunError, nearest
from keras_faceattr.evaluation.finish import write_results
from keras_faceattr.methods import METHODS, check_settings, method_of
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.methods.terms import Relations
from keras_faceattr.models import architecture
from keras_faceattr.models.loading import load_model
from keras_faceattr.models.network import Network, build_network
from keras_faceattr.run import Run, new_run
from keras_faceattr.storage import locked, replacing, sha256, write_json
from keras_faceattr.tasks import MultilabelTask, Task
from keras_faceattr.training.initialise import initialise
from keras_faceattr.training.loop import Listener, make_losses, train
from keras_faceattr.training.start import check_starts, starts_of, write_trained_on

PACKAGES = (
    "keras-faceattr",
    "keras",
    "tensorflow",
    "jax",
    "numpy",
    "pandas",
    "opencv-python-headless",
    "ai-edge-litert",
)


class FitListener(Listener, Protocol):
    """Who is told how `fit` goes."""

    def decode_progress(self) -> Progress:
        """Receiver of photos decoded and photos in all."""

    def on_start(self, run: Run, data: PreparedData, network: Network, told: list[str]) -> None:
        """Before the first batch; `told` is what its start leaves to be said."""


def fit(
    experiment: Experiment,
    runs: Path,
    listener: FitListener,
    resume: Run | None = None,
    make_listener: Callable[[Run, Experiment], Listener] | None = None,
) -> Run:
    """Trains an experiment and writes its run.

    Args:
        runs: folder in which a new run is made.
        resume: a run to go on with instead.
        make_listener: a further listener that needs the run's folder, such as TensorBoard's.

    Returns:
        The finished run.

    Raises:
        FaceAttrError: whatever the user can mend.
    """
    _check_backend(experiment)
    check_experiment(experiment, fresh=resume is None)
    # On resuming by the classes of before: the data may name them in another order now.
    manifest, tasks = read_manifest(experiment, resume.tasks() if resume else None)
    starts = starts_of(experiment.model.init_from)
    told = check_starts(starts, manifest) if resume is None else []
    _check_methods(experiment, tasks)
    network = network_of(experiment, tasks, experiment.training.precision)
    data = prepare(experiment, ("train", "val"), listener.decode_progress(), (manifest, tasks))
    _check_learnable(experiment, data)
    if resume:
        check_same_data(resume, experiment, data)
    fresh = resume is None or not resume.checkpoint_path.exists()
    init_from = experiment.model.init_from
    init = initialise(network.trainable, init_from, data.tasks) if init_from and fresh else None
    run = resume or new_run(runs, experiment.name)
    run.lock_path.parent.mkdir(exist_ok=True)
    with run.lock_path.open("w") as stream, locked(stream, run.folder):
        # Also on resuming: the data may have moved.
        run.write_config(experiment, data.tasks)
        if not resume:
            write_json(run.provenance_path, provenance(experiment, data))
            write_trained_on(run, starts, manifest)
        write_quarantine(run, data)
        listener.on_start(run, data, network, [*told, *(init.lines() if init else [])])
        listeners: list[Listener] = [listener]
        if make_listener:
            listeners.append(make_listener(run, experiment))
        # A finished run stays as it is: the same weights would be another file, to which no export belongs.
        if not _finished(run):
            losses = make_losses(experiment, data.tasks)
            train(experiment, data, network, run, Several(listeners), resume=resume is not None, losses=losses)
            write_relations(run, losses)
            save_model(experiment, data.tasks, network, run)
        write_results(run, listener.decode_progress())
    return run


def _finished(run: Run) -> bool:
    """Whether all that training leaves is there and whole; metrics are written behind it."""
    try:
        pd.read_csv(run.history_path)["epoch"]
        load_model(run.model_path)
    except (ModelError, OSError, ValueError, KeyError):
        return False
    return run.metrics_path.exists()


def network_of(experiment: Experiment, tasks: dict[str, Task], precision: str = "float32") -> Network:
    """The experiment's net, freshly initialised from its seed."""
    methods = {name: (task, experiment.tasks[name].method) for name, task in tasks.items()}
    return build_network(
        experiment.model.name,
        methods,
        size=experiment.data.crop.size,
        dropout=experiment.model.dropout,
        precision=precision,
        seed=experiment.seed,
        vote=experiment.model.vote,
        landmarks=_landmarks(experiment),
        **experiment.model.options,
    )


def _landmarks(experiment: Experiment) -> np.ndarray | None:
    """Where the five points lie in every crop, for a net that must know.

    Raises:
        ConfigError: they lie elsewhere in each.
    """
    if not architecture(experiment.model.name).needs_landmarks:
        return None
    crop = experiment.data.crop
    if crop.method != "five_points":
        raise ConfigError(
            f"{experiment.model.name} cuts parts of the face where its five points lie, and data.crop.method "
            f"{crop.method!r} does not tell: set data.crop.method=five_points, or cut the photos before with "
            "keras-faceattr align"
        )
    return template_points(crop.size, crop.margin)


def save_model(experiment: Experiment, tasks: dict[str, Task], network: Network, run: Run) -> None:
    """Writes `model.keras`, in float32 whatever the precision of training."""
    inference = network.inference
    if experiment.training.precision != "float32":
        inference = network_of(experiment, tasks).inference
        # Weights, not all variables: a dropout's seed has another name in every net that a process builds.
        weights = {v.path: v for v in network.inference.weights}
        for variable in inference.weights:
            variable.assign(weights[variable.path])
    with replacing(run.model_path) as temporary:
        inference.save(temporary)


class Several:
    """Tells several listeners."""

    def __init__(self, listeners: list[Listener]) -> None:
        self.listeners = listeners

    def on_step(self, epoch: int, step: int, steps: int, loss: float, images_per_s: float, wait_share: float) -> None:
        """Passes a step on."""
        for listener in self.listeners:
            listener.on_step(epoch, step, steps, loss, images_per_s, wait_share)

    def on_epoch(self, row: dict[str, Any], best: bool) -> None:
        """Passes an epoch on."""
        for listener in self.listeners:
            listener.on_epoch(row, best)


def write_relations(run: Run, losses: dict[str, TaskLoss]) -> None:
    """Writes the relations that a loss has learned: correlations of attributes, empty where one was always the same."""
    for name, loss in losses.items():
        if isinstance(loss.term, Relations):
            names = list(loss.task.attributes)  # type: ignore[union-attr]
            with replacing(run.relations_path(name)) as temporary:
                pd.DataFrame(loss.term.matrix(), names, names).to_csv(temporary, float_format="%.4f")


def write_quarantine(run: Run, data: PreparedData) -> None:
    """Writes `quarantine.csv`: rows put aside, each with its reason."""
    with replacing(run.quarantine_path) as temporary:
        data.manifest.quarantine.to_csv(temporary, index=False)


def provenance(experiment: PhotoExperiment, data: PreparedData) -> dict[str, Any]:
    """Versions, machine, seed and hashes: what another person needs to get the same run."""
    rows = data.manifest.rows
    return {
        **environment(experiment.seed),
        "label_hash": data.manifest.label_hash(),
        "photo_hash": data.manifest.photo_hash(),
        "split_hash": data.manifest.split_hash(),
        "photos": {str(k): int(v) for k, v in rows["split"].value_counts().items()},
        "teachers": {name: sha256(Path(task.teacher.path)) for name, task in experiment.tasks.items() if task.teacher},
        "sources": {
            name: {"citation": source.citation, "licence": source.licence}
            for name, source in data.manifest.sources.items()
        },
    }


def environment(seed: int, *packages: str) -> dict[str, Any]:
    """Command, versions and machine: what of a run's provenance does not depend on its data.

    Args:
        packages: on which the results depend besides the usual ones.
    """
    return {
        "command": " ".join(["keras-faceattr", *sys.argv[1:]]),
        "versions": {"python": platform.python_version(), **installed_versions(*packages)},
        "backend": keras.backend.backend(),
        "machine": f"{platform.system()} {platform.machine()}",
        "seed": seed,
    }


def installed_versions(*more: str) -> dict[str, str]:
    """Versions of the packages that results depend on."""
    found = {}
    for package in (*PACKAGES, *more):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found["keras-faceattr"] = keras_faceattr.__version__
    return found


def check_experiment(experiment: Experiment, fresh: bool = True) -> None:
    """Refuses what can be known to be wrong before any photo is read.

    Args:
        fresh: whether the initial weights will be needed.

    Raises:
        ConfigError: unknown reader or method, or a crop that makes no sense.
        ModelError: unknown net, or initial weights that are not there.
    """
    _check_options(experiment)
    _landmarks(experiment)
    crop_spec(experiment)
    source_weights(experiment.data.sources)
    people_in_batches(experiment)
    for name in [source.reader for source in experiment.data.sources]:
        if name not in READERS:
            raise ConfigError(f"unknown reader {name!r}; {nearest(name, READERS)}")
    for task in experiment.tasks.values():
        if task.teacher and task.kind != "embedding":
            raise ConfigError("a teacher is for tasks of kind embedding")
        if task.kind == "embedding" and task.dimension:
            raise ConfigError("a task of kind embedding has its teacher's dimension: leave dimension out")
        if task.method and task.method not in METHODS:
            raise ConfigError(f"unknown method {task.method!r}; {nearest(task.method, METHODS)}")
    if experiment.model.init_from == {}:
        raise ConfigError("model.init_from: names no run; write a path, or {layer prefix: path}")
    for start in starts_of(experiment.model.init_from):
        if fresh and not start.exists():
            raise ModelError(f"no model file or run {start}")


def _check_options(experiment: Experiment) -> None:
    """An option that the net does not have may be a misspelt key of the section."""
    model = experiment.model
    try:
        architecture(model.name).check_options(model.options, type(model).model_fields)
    except ModelError as error:
        raise ConfigError(f"model.name={model.name}: {error}") from None


def _check_methods(experiment: Experiment, tasks: dict[str, Task]) -> None:
    """What is set for a method that does not look at it was meant for another."""
    for name, task in tasks.items():
        check_settings(task, experiment.tasks[name].method, experiment.tasks[name].settings())
    looked_at = {key for name, task in tasks.items() for key in method_of(task, experiment.tasks[name].method).settings}
    if experiment.training.first_stage_epochs and "expectation_weight" not in looked_at:
        raise ConfigError(f"training.first_stage_epochs: no method of {', '.join(tasks)} has a first stage, as dldl_v2")


def _check_backend(experiment: Experiment) -> None:
    if experiment.training.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    if keras.backend.backend() not in ("tensorflow", "jax"):
        raise ConfigError(f"KERAS_BACKEND={keras.backend.backend()} is not supported; valid: tensorflow, jax")


def _check_learnable(experiment: Experiment, data: PreparedData) -> None:
    """Two photos are the least that batch norm can learn from, and one label the least of a task."""
    part = data.parts["train"]
    if len(part) < 2:
        raise DataError(f"only {len(part)} train photo: at least 2 are needed")
    for name, task in data.tasks.items():
        labels = part.labels[name]
        if experiment.training.photos_per_person and len(np.unique(labels[~np.isnan(labels)])) < 2:
            raise DataError(f"one person only among {len(part)} train photos: {name} needs two or more")
        if not labelled(task, labels).any():
            raise DataError(
                f"none of {len(part)} train photos is labelled with {name}: leave the task out, or add labels"
            )
        if experiment.tasks[name].method == "obrl" and isinstance(task, MultilabelTask):
            _check_correlated(task, labels)


def _check_correlated(task: MultilabelTask, labels: np.ndarray) -> None:
    """An attribute that never changes has no correlation with any other."""
    same = [
        name
        for name, column in zip(task.attributes, labels.T, strict=True)
        if len(np.unique(column[~np.isnan(column)])) < 2
    ]
    if same:
        raise DataError(
            f"the correlation of {', '.join(same)} is undefined: always the same in the train photos; leave it out of "
            f"tasks.{task.name}.attributes, or learn by tasks.{task.name}.method=attribute_cross_entropy"
        )


def check_same_data(run: Run, experiment: PhotoExperiment, data: PreparedData) -> None:
    """Refuses to resume with other photos, labels, splits or teachers.

    Raises:
        RunError: they have changed since the run started.
    """
    before, now = run.provenance(), provenance(experiment, data)
    # A run of an older version does not know them all.
    if any(before.get(key, now[key]) != now[key] for key in ("split_hash", "label_hash", "photo_hash", "teachers")):
        raise RunError(f"the data of {run.folder} has changed since it started: train a new run")


def check_same_experiment(run: Run, experiment: Experiment) -> None:
    """Refuses to resume with another configuration.

    Raises:
        RunError: the first key that differs, with both values.
    """
    before, now = _flat(run.experiment().model_dump(mode="json")), _flat(experiment.model_dump(mode="json"))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise RunError(
                f"{run.folder} was started with {key} = {before.get(key)!r}, not {now.get(key)!r}: "
                "resume without a config, or start a new run"
            )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}{key}.").items()}
    if isinstance(value, list) and value:
        return {k: v for i, item in enumerate(value) for k, v in _flat(item, f"{prefix}{i}.").items()}
    return {prefix.rstrip("."): value}
