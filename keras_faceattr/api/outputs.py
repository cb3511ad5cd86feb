"""Outputs that must not take the place of what is read, or of what a training left."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from keras_faceattr.config import Experiment, PhotoExperiment
from keras_faceattr.errors import ConfigError
from keras_faceattr.run import Run

LABEL_SUFFIXES = (".csv", ".xlsx", ".txt", ".mat", ".parquet")
"""Endings of files that may hold labels."""


def check_out(
    out: Path, inputs: Iterable[Path], experiment: PhotoExperiment | None = None, option: str = "--out"
) -> None:
    """Refuses an output that would take the place of what is read, or of what a training left.

    Args:
        inputs: files, and folders of photos, whose tables may hold labels.
        experiment: whose sources, lists, teachers and starts are inputs, too.
        option: that names the output, for the message.

    Raises:
        ConfigError: it would.
    """
    if out.is_dir():
        raise ConfigError(f"{option} {out} is a folder: name a file")
    if not os.path.isfile(out):
        return
    check_is_no_table(out, option)
    target = out.resolve()
    for path in (*inputs, *(inputs_of(experiment) if experiment else ())):
        if os.path.isfile(path) and out.samefile(path):
            raise ConfigError(f"{option} {out} would take the place of the data itself: choose another name")
        if path.is_dir() and _may_be_data(target) and target.is_relative_to(path.resolve()):
            held = "labels" if target.suffix.lower() in LABEL_SUFFIXES else "a photo"
            raise ConfigError(
                f"{option} {out} is there already, in the data's folder {path}, and may hold {held}: choose another "
                "name"
            )


def inputs_of(experiment: PhotoExperiment) -> list[Path]:
    """Files and folders that an experiment reads."""
    # Imported here: reading data is more than most commands need that share these options.
    from keras_faceattr.data.prepare import source_path

    found: list[Path | str | None] = [task.teacher.path for task in experiment.tasks.values() if task.teacher]
    for source in experiment.data.sources:
        path = source_path(source.reader, source.path)
        found += [path, source.exclude]
        photo_root = source.options.get("photo_root")
        if path and photo_root:
            found.append((path if path.is_dir() else path.parent) / str(photo_root))
    if isinstance(experiment, Experiment):
        init_from = experiment.model.init_from
        found += list(init_from.values()) if isinstance(init_from, dict) else [init_from]
        found += experiment.training.teachers
    return [Path(path).expanduser() for path in found if path]


def recorded_inputs(run: Run) -> Iterator[Path]:
    """Files and folders that a run of whatever kind has read.

    Raises:
        RunError: it is no run.
    """
    config = run.plain_config()
    section, table = config.get("data"), config.get("table")
    sources = section.get("sources") if isinstance(section, dict) else None
    for source in (*(sources if isinstance(sources, list) else ()), table):
        if isinstance(source, dict) and isinstance(source.get("path"), str):
            yield Path(source["path"])


def _may_be_data(path: Path) -> bool:
    from keras_faceattr.data.photo_folders import PHOTO_SUFFIXES

    return path.suffix.lower() in (*LABEL_SUFFIXES, *PHOTO_SUFFIXES)


def check_is_no_table(out: Path, option: str = "--out") -> None:
    """Refuses an output that would take the place of what a training left.

    Raises:
        ConfigError: it would.
    """
    target = out.resolve()
    run = Run(target.parent)
    tables = (
        run.history_path,
        run.predictions_path,
        run.quarantine_path,
        run.cells_path,
        *run.folder.glob(run.relations_path("*").name),
    )
    if os.path.isfile(run.config_path) and os.path.isfile(out) and target in tables:
        raise ConfigError(f"{option} {out} is a table of the run {run.folder}: choose another name")
    run = Run(target.parent.parent)
    if target.parent.name == "plots" and os.path.isfile(run.config_path) and os.path.isfile(out):
        raise ConfigError(f"{option} {out} is a plot of the run {run.folder}: choose another name")
