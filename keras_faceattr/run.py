"""The run folder: what one training leaves behind."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from keras_faceattr.config import Experiment, Section
from keras_faceattr.config_files import parse_experiment, with_first_plan
from keras_faceattr.errors import ConfigError, RunError, shortened, shown
from keras_faceattr.measured import TaskMetrics, metrics_of
from keras_faceattr.storage import jsonable, write_text
from keras_faceattr.tasks import Task, task_from_dict, task_to_dict
from keras_faceattr.yaml_files import read_yaml

PHOTOS = "photos"
"""The kind of a run whose configuration names none."""

TABLE = "table"
"""The kind of a run of regressors on a table."""

FEATURES = "features"
"""The kind of a run of regressors on the features of photos."""


class Cited(BaseModel):
    """Where data comes from."""

    citation: str
    licence: str


class Provenance(BaseModel):
    """Types of what is read back of a provenance; a run of another kind or version lacks some of it."""

    model_config = ConfigDict(strict=True, extra="ignore")

    label_hash: str = ""
    photo_hash: str = ""
    split_hash: str = ""
    data_hash: str = ""
    backend: str = ""
    seed: int = 0
    versions: dict[str, str] = {}
    photos: dict[str, int] = {}
    teachers: dict[str, str] = {}
    distilled_from: dict[str, str] = {}
    excluded: dict[str, str] = {}
    sources: dict[str, Cited] = {}


PHOTO_PARTS = ("photos", "label_hash", "split_hash", "sources")
"""Parts of the provenance of a run on photos."""

KERAS_FILE = (
    "a Keras model, not the folder of a run: --set model.init_from={path} starts a training from it, fit "
    "transferred_features --set features.path={path} uses its layers, keras_faceattr.quantization rounds it in Python"
)
OLD_KERAS_FILE = (
    "a Keras model in the old HDF5 format, not the folder of a run: save it anew as a .keras file, "
    "keras.models.load_model({path!r}).save('net.keras'), and start a training from that with model.init_from"
)
FOREIGN = {".keras": KERAS_FILE, ".h5": OLD_KERAS_FILE, ".hdf5": OLD_KERAS_FILE}
"""By suffix: what a file is that somebody names in place of a run, and what can be done with it."""


def no_run(path: Path, why: str) -> RunError:
    """The error that says what stands at a path instead of a run.

    Args:
        why: what a folder lacks.
    """
    if path.is_file():
        told = FOREIGN.get(path.suffix.lower(), "not a run folder but a file: name a folder that fit made")
        return RunError(f"{path} is {told.format(path=str(path))}")
    if (path / "saved_model.pb").is_file():
        return RunError(
            f"{path} is a TensorFlow SavedModel, not the folder of a run: train a run by keras-faceattr fit, or "
            "convert the model with TensorFlow and measure the .tflite file by keras-faceattr benchmark"
        )
    return RunError(f"{path} is not a run folder: {why}")


@dataclass(frozen=True)
class Run:
    """Paths of a run, and what stands in its configuration."""

    folder: Path

    @property
    def resume_command(self) -> str:
        """For a shell, whatever characters the folder's name has."""
        return f"keras-faceattr fit --resume {shlex.quote(str(self.folder))}"

    @property
    def config_path(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def tasks_path(self) -> Path:
        return self.folder / "tasks.yaml"

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoints" / "last.npz"

    @property
    def lock_path(self) -> Path:
        """Held by the process that trains the run."""
        return self.folder / "checkpoints" / "lock"

    def best_path(self, epoch: int) -> Path:
        """Weights of the best epoch; the last checkpoint says which that is."""
        return self.folder / "checkpoints" / f"best-{epoch}.npz"

    def drop_best_but(self, epoch: int) -> None:
        """Removes the weights of epochs that are no longer the best."""
        for path in self.checkpoint_path.parent.glob("best-*.npz"):
            if path != self.best_path(epoch):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise RunError(f"cannot remove {path}: {error.strerror}; remove it yourself") from error

    @property
    def model_path(self) -> Path:
        return self.folder / "model.keras"

    @property
    def history_path(self) -> Path:
        return self.folder / "history.csv"

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def predictions_path(self) -> Path:
        return self.folder / "predictions.csv"

    @property
    def quarantine_path(self) -> Path:
        return self.folder / "quarantine.csv"

    def relations_path(self, task: str) -> Path:
        """Relations between a task's attributes, where they were learned."""
        return self.folder / f"{task}_relations.csv"

    @property
    def cells_path(self) -> Path:
        """Of a run on a table: the errors of each regressor on each split."""
        return self.folder / "cells.csv"

    @property
    def report_path(self) -> Path:
        return self.folder / "report.html"

    @property
    def model_card_path(self) -> Path:
        return self.folder / "model_card.md"

    @property
    def provenance_path(self) -> Path:
        return self.folder / "provenance.json"

    @property
    def trained_on_path(self) -> Path:
        """Hashes of the photos that the run has learned from, and those that its start had: one a line."""
        return self.folder / "trained_on.txt"

    def write_config(self, section: Section, tasks: dict[str, Task]) -> None:
        """Records the resolved configuration and the tasks as the data defined them."""
        self.write_section(section)
        plain = jsonable({name: task_to_dict(task) for name, task in tasks.items()})
        write_text(self.tasks_path, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))

    def write_section(self, section: Section) -> None:
        """Records the resolved configuration, of whatever kind."""
        dump = section.model_dump(mode="json")
        write_text(self.config_path, yaml.safe_dump(dump, sort_keys=False, allow_unicode=True))

    def experiment(self) -> Experiment:
        """The resolved configuration.

        Raises:
            RunError: this folder is no run.
        """
        data = self.plain_config()
        kind = _kind_of(data)
        if kind != PHOTOS:
            raise RunError(f"{self.folder} is a run of kind {kind!r}: this command is for nets that take photos")
        return parse_experiment(data, str(self.config_path))

    def kind(self) -> str:
        """What the run is about: `photos`, or whatever its configuration says.

        Raises:
            RunError: this folder is no run.
        """
        return _kind_of(self.plain_config())

    def provenance(self, *needed: str) -> dict[str, Any]:
        """What was recorded when the run started.

        Args:
            needed: parts that must be there.

        Raises:
            RunError: this folder is no run, or a part is missing or of a wrong type.
        """
        try:
            plain: dict[str, Any] = json.loads(self.provenance_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raise no_run(self.folder, f"cannot read {self.provenance_path.name}") from None
        if not isinstance(plain, dict) or not plain:
            raise RunError(f"{self.provenance_path} is damaged: it says nothing; train a new run")
        wrong = next((part for part in needed if part not in plain), None)
        try:
            Provenance.model_validate(plain)
        except ValidationError as error:
            wrong = wrong or ".".join(map(str, error.errors()[0]["loc"]))
        if wrong:
            raise RunError(f"{self.provenance_path} is damaged: {wrong} is not as fit wrote it; train a new run")
        return plain

    def results(self) -> dict[str, Any]:
        """What `metrics.json` of a finished run holds.

        Raises:
            RunError: no run, one that never finished, or one whose file is damaged.
        """
        folder, again = self.folder, self.resume_command
        if not self.metrics_path.is_file():
            if self.config_path.is_file():
                raise RunError(f"{folder} never finished: go on with {again}")
            raise no_run(folder, "name a folder that fit made, or an exported .tflite file")
        try:
            plain = json.loads(self.metrics_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise RunError(f"{self.metrics_path} is damaged: {reason}; write it again with {again}") from None
        if not isinstance(plain, dict):
            raise RunError(f"{self.metrics_path} is damaged: it is not a mapping; write it again with {again}")
        return plain

    @property
    def metrics(self) -> dict[str, TaskMetrics]:
        """The metrics of a finished run by task: `run.metrics["age"]["mae"]`.

        Raises:
            RunError: as of `results`, or a run on a table, whose `results` go by regressor.
        """
        results = self.results()
        tasks = results.get("tasks")
        if not isinstance(tasks, dict):
            raise RunError(f"{self.folder} is no run of a net on photos: read its results() instead")
        try:
            return metrics_of(tasks)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{self.metrics_path} is damaged: {shortened(str(error))}; write it again with {self.resume_command}"
            ) from None

    def plain_config(self) -> dict[str, Any]:
        """The resolved configuration as plain data, of whatever kind.

        Raises:
            RunError: this folder is no run.
        """
        return with_first_plan(self._read(self.config_path))

    def tasks(self) -> dict[str, Task]:
        """The tasks by name, in the order of the model's heads.

        Raises:
            RunError: this folder is no run, or the file that tells them is damaged.
        """
        plain = self._read(self.tasks_path)
        try:
            tasks = {name: task_from_dict(data) for name, data in plain.items()}
        except (ConfigError, AttributeError, TypeError, ValueError) as error:
            raise RunError(f"{self.tasks_path} is damaged: {shortened(str(error))}; train a new run") from None
        names = self._learned() or list(tasks)
        # The run of a fine-tuning has the heads that were exported, and the config of the whole net: its splits.
        if not tasks or not set(tasks) <= set(names) or any(name != task.name for name, task in tasks.items()):
            raise RunError(
                f"{self.tasks_path} is damaged: it defines {shown([task.name for task in tasks.values()])}, and "
                f"config.yaml learns {shown(names)}; train a new run"
            )
        return tasks

    def _learned(self) -> list[str]:
        """Names of the tasks in the configuration; none where it has none, or is no configuration."""
        if not self.config_path.is_file():
            return []
        learned = self.plain_config().get("tasks")
        return [str(name) for name, task in learned.items() if task is not None] if isinstance(learned, dict) else []

    def _read(self, path: Path) -> Any:
        try:
            data = read_yaml(path)
        except (OSError, ValueError):
            raise no_run(self.folder, f"cannot read {path.name}") from None
        if not isinstance(data, dict):
            raise no_run(self.folder, f"{path.name} is not a mapping")
        return data


def new_run(parent: Path, name: str) -> Run:
    """Makes the first free folder of `name`, `name-2`, `name-3`, … below `parent`.

    Raises:
        RunError: the folder cannot be made.
    """
    safe, number = safe_name(name), 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = parent / (safe if number == 1 else f"{safe}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
                continue
            return Run(folder)
    except OSError as error:
        raise RunError(f"cannot make a run folder in {parent}: {error.strerror}") from error


def run_of(path: Path) -> Run:
    """The run whose folder, or a file in it such as its model, a path names; whether there is one is not looked at."""
    return Run(path if path.is_dir() else path.parent)


def safe_name(name: str) -> str:
    """The name as that of a folder or file: whatever is no letter, digit, `_`, `.` or `-` becomes `-`."""
    return re.sub(r"[^\w.-]+", "-", name)


def _kind_of(config: dict[str, Any]) -> str:
    return str(config.get("kind", PHOTOS))
