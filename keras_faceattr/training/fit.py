"""`fit`: from an experiment to a finished run folder, and on from where a killed one stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import keras
import pandas as pd

from keras_faceattr.config import Experiment
from keras_faceattr.data.crop_cache import Progress
from keras_faceattr.data.prepare import PreparedData, prepare, read_manifest
from keras_faceattr.data.targets import unlearned_classes
from keras_faceattr.errors import ModelError
from keras_faceattr.evaluation.evaluate_run import write_results
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.methods.terms import Relations
from keras_faceattr.models.feature_taps import student_with_maps
from keras_faceattr.models.loading import load_model
from keras_faceattr.models.network import Network, build_network
from keras_faceattr.run import Run, new_run
from keras_faceattr.storage import locked, replacing, write_json
from keras_faceattr.tasks import Task
from keras_faceattr.training.callbacks import Listener
from keras_faceattr.training.checks import (
    check_backend,
    check_experiment,
    check_learnable,
    check_methods,
    check_same_data,
    landmarks_of,
)
from keras_faceattr.training.initialise import initialise
from keras_faceattr.training.loop import make_losses, train
from keras_faceattr.training.provenance import provenance
from keras_faceattr.training.start import check_known, check_starts, starts_of, write_trained_on
from keras_faceattr.training.teacher import open_teachers, teacher_paths, teaching_of


class FitListener(Listener, Protocol):
    """Who is told how `fit` goes."""

    def decode_progress(self) -> Progress:
        """Receiver of photos decoded and photos in all."""

    def teacher_progress(self) -> Progress:
        """Receiver of photos that a teacher was asked about and photos in all."""

    def on_start(self, run: Run, data: PreparedData, network: Network, told: list[str]) -> None:
        """Before the first batch; `told` is what its start and its data leave to be said."""


def fit(
    experiment: Experiment,
    runs: Path,
    listener: FitListener,
    resume: Run | None = None,
    make_callbacks: Callable[[Run], list[keras.callbacks.Callback]] | None = None,
) -> Run:
    """Train an experiment and write its run.

    Args:
        runs: folder in which a new run is made.
        resume: a run to go on with instead.
        make_callbacks: callbacks of Keras for a run, such as TensorBoard's, which needs its folder. An epoch's logs
            hold the validation metrics.

    Returns:
        The finished run.

    Raises:
        FaceAttrError: whatever the user can fix.
    """
    check_backend(experiment)
    check_experiment(experiment, fresh=resume is None)
    # On resuming by the classes of before: the data may name them in another order now.
    manifest, tasks = read_manifest(experiment, resume.tasks() if resume else None)
    starts = starts_of(experiment.model)
    if resume is None:
        told = check_starts(starts, manifest) + check_starts(teacher_paths(experiment), manifest, "learn from")
    else:
        told = check_known(resume)
    check_methods(experiment, tasks)
    fresh = resume is None or not resume.checkpoint_path.exists()
    network = network_of(experiment, tasks, experiment.training.precision, fresh)
    teachers = open_teachers(experiment, tasks)
    if teachers:
        matches, shapes = experiment.training.distillation.features, teachers.subjects.maps
        network = student_with_maps(network, matches, shapes, experiment.seed)
    taught = teachers.subjects.widths if teachers else {}
    data = prepare(experiment, ("train", "val"), listener.decode_progress(), (manifest, tasks))
    check_learnable(experiment, data, taught)
    if resume:
        check_same_data(resume, experiment, data)
    init_from = experiment.model.init_from
    init = initialise(network.trainable, init_from, data.tasks) if init_from and fresh else None
    run = resume or new_run(runs, experiment.name)
    run.lock_path.parent.mkdir(exist_ok=True)
    with locked(run.lock_path, run.folder):
        # Also on resuming: the data may have moved.
        run.write_config(experiment, data.tasks)
        if not resume:
            learned = write_trained_on(run, [*starts, *teacher_paths(experiment)], manifest)
            write_json(run.provenance_path, {**provenance(experiment, data), "trained_on": learned})
        write_quarantine(run, data)
        labelled_only = {name: task for name, task in data.tasks.items() if name not in taught}
        told = [*data.manifest.notes, *told, *unlearned_classes(data.manifest, labelled_only)]
        listener.on_start(run, data, network, [*told, *(init.lines() if init else [])])
        # A finished run stays as it is: the same weights would be another file, to which no export belongs.
        if not _finished(run):
            losses = make_losses(experiment, data.tasks, data.forms, taught)
            callbacks = make_callbacks(run) if make_callbacks else []
            teaching = teaching_of(experiment, data, teachers, listener.teacher_progress() if teachers else None)
            train(
                experiment, data, network, run, listener,
                resume=resume is not None, losses=losses, callbacks=callbacks, teaching=teaching,
            )  # fmt: skip
            write_relations(run, losses)
            save_model(experiment, data.tasks, network, run)
        write_results(run, listener.decode_progress())
    return run


def _finished(run: Run) -> bool:
    """Return whether all that training writes is there and whole; metrics are written after it."""
    try:
        pd.read_csv(run.history_path)["epoch"]
        load_model(run.model_path)
    except (ModelError, OSError, ValueError, KeyError):
        return False
    return run.metrics_path.exists()


def network_of(
    experiment: Experiment, tasks: dict[str, Task], precision: str = "float32", fresh: bool = True
) -> Network:
    """The experiment's net, freshly initialised from its seed.

    Args:
        fresh: whether its initial weights matter, so that the file of `model.weights` is read.
    """
    options = {key: value for key, value in experiment.model.options.items() if fresh or key != "weights"}
    methods = {name: (task, experiment.tasks[name].method) for name, task in tasks.items()}
    return build_network(
        experiment.model.name,
        methods,
        size=experiment.data.crop.size,
        dropout=experiment.model.dropout,
        precision=precision,
        seed=experiment.seed,
        vote=experiment.model.vote,
        landmarks=landmarks_of(experiment),
        **options,
    )


def save_model(experiment: Experiment, tasks: dict[str, Task], network: Network, run: Run) -> None:
    """Write `model.keras`, in float32 whatever the precision of training."""
    inference = network.inference
    if experiment.training.precision != "float32":
        inference = network_of(experiment, tasks, fresh=False).inference
        # Weights, not all variables: a dropout's seed has another name in every net that a process builds.
        weights = {v.path: v for v in network.inference.weights}
        for variable in inference.weights:
            variable.assign(weights[variable.path])
    with replacing(run.model_path) as temporary:
        inference.save(temporary)


def write_relations(run: Run, losses: dict[str, TaskLoss]) -> None:
    """Write the relations that a loss has learned: correlations of attributes, empty where one was always the same."""
    for name, loss in losses.items():
        if isinstance(loss.term, Relations):
            names = list(loss.task.attributes)  # type: ignore[union-attr]
            with replacing(run.relations_path(name)) as temporary:
                pd.DataFrame(loss.term.matrix(), names, names).to_csv(temporary, float_format="%.4f")


def write_quarantine(run: Run, data: PreparedData) -> None:
    """Write `quarantine.csv`: rows quarantined, each with its reason."""
    with replacing(run.quarantine_path) as temporary:
        data.manifest.quarantine.to_csv(temporary, index=False)
