"""The teachers of a training: which they are, whether they fit, and what they say about a batch of crops."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_faceattr.artifact.loading import is_artifact, load_artifact
from keras_faceattr.config import Experiment, FeatureMatchConfig
from keras_faceattr.data.crop_cache import Progress
from keras_faceattr.data.prepare import PreparedData, crop_spec
from keras_faceattr.data.teaching import Along, Answers, Subjects, Teaching, ask_all
from keras_faceattr.errors import ConfigError, ModelError
from keras_faceattr.evaluation.predictions import Outputs, Predictor, keras_predictor
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.methods import check_lesson
from keras_faceattr.methods.lessons import LESSONS, lesson_width
from keras_faceattr.models.feature_taps import tap_names, teacher_with_maps
from keras_faceattr.models.loading import load_model
from keras_faceattr.run import Run
from keras_faceattr.storage import sha256
from keras_faceattr.tasks import VECTORS, Task, meaning_of


@dataclass(frozen=True)
class Teacher:
    """One teacher.

    Attributes:
        path: path of the run or the exported file.
        tasks: those that it knows.
        crop: what it sees of a photo.
        outputs: names of what it says.
        maps: shapes of the feature maps among its outputs.
    """

    path: Path
    predictor: Predictor
    tasks: dict[str, Task]
    crop: CropSpec
    outputs: Collection[str]
    maps: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __call__(self, images: np.ndarray) -> Outputs:
        """Outputs for (b, side, side, 3) crops, which may have another size."""
        if images.shape[1] != self.crop.size:
            # Cubic interpolation goes beyond black and white.
            images = np.clip(np.stack([self.crop.resized(image) for image in images]), 0.0, 255.0)
        return self.predictor(images)


class Teachers:
    """Mean of what several teachers say about the crops of a batch, as `methods.lessons` encodes it.

    May be called from several threads; one is answered at a time.

    Args:
        lessons: by task, of `methods.lessons.LESSONS`.
        flips: whether answers are means over the crop and its mirror image; feature maps are those of the crop.
    """

    def __init__(self, teachers: list[Teacher], tasks: dict[str, Task], lessons: dict[str, str], flips: bool) -> None:
        self.teachers, self.lessons, self.flips = teachers, lessons, flips
        widths = {name: lesson_width(lesson, tasks[name]) for name, lesson in lessons.items()}
        self.subjects = Subjects(widths, teachers[0].maps)
        self._lock = threading.Lock()

    def __call__(self, images: np.ndarray) -> Answers:
        """Answers about (b, side, side, 3) crops from 0 to 255.

        Raises:
            ModelError: an answer is no number.
        """
        with self._lock:
            said = [(teacher, teacher(images)) for teacher in self.teachers]
            maps = {name: said[0][1][name] for name in self.subjects.maps}
            if self.flips:
                mirrored = np.ascontiguousarray(images[:, :, ::-1])
                said += [(teacher, teacher(mirrored)) for teacher in self.teachers]
        return {**{name: self._answer(name, said) for name in self.lessons}, **maps}

    def _answer(self, name: str, said: list[tuple[Teacher, Outputs]]) -> np.ndarray:
        lesson = LESSONS[self.lessons[name]]
        parts = []
        for teacher, outputs in said:
            if name not in teacher.tasks:
                continue
            values = np.asarray(outputs[f"{name}{lesson.output}"], "float64")
            if not np.isfinite(values).all():
                raise ModelError(f"teacher {teacher.path}: its answer for {name} is no number: choose another teacher")
            parts.append(values.reshape(len(values), -1))
        return lesson.encode(np.mean(parts, axis=0)).astype("float32")


def teacher_paths(experiment: Experiment) -> list[Path]:
    """The runs and files that `training.teacher` names."""
    return [Path(path) for path in experiment.training.teachers]


def teacher_hashes(experiment: Experiment) -> dict[str, str]:
    """SHA-256 of each teacher's file or model, by path."""
    paths = teacher_paths(experiment)
    return {str(path): sha256(path if is_artifact(path) else Run(path).model_path) for path in paths}


def open_teachers(experiment: Experiment, tasks: dict[str, Task]) -> Teachers | None:
    """The teachers of a training; None where it has none.

    Args:
        tasks: those of the student.

    Raises:
        ConfigError: a teacher with another crop or other meanings, one that shares no task, a method that cannot learn
            from one, or feature maps that it does not have.
        FaceAttrError: it cannot be opened.
    """
    if not experiment.training.teachers:
        return None
    settings = experiment.training.distillation
    teachers = [_open(path, settings.features) for path in teacher_paths(experiment)]
    lessons: dict[str, str] = {}
    for teacher in teachers:
        check_crop(teacher, crop_spec(experiment))
        shared = shared_tasks(teacher.path, teacher.tasks, tasks)
        for name in shared:
            lessons[name] = check_lesson(tasks[name], experiment.tasks[name].method)
            _check_distribution(teacher, name, lessons[name])
    ordered = {name: lessons[name] for name in tasks if name in lessons}
    return Teachers(teachers, tasks, ordered, settings.flips)


def _open(path: Path, features: list[FeatureMatchConfig]) -> Teacher:
    if is_artifact(path):
        artifact = load_artifact(path)
        if features:
            raise ConfigError(f"training.distillation.features: {path} shows no feature maps: name the run it is of")
        sidecar = artifact.sidecar
        crop = sidecar.crop_spec()
        return Teacher(path, artifact.model().predict, sidecar.task_objects(), crop, frozenset(sidecar.outputs))
    run = Run(path)
    tasks, crop, model = run.tasks(), crop_spec(run.experiment()), load_model(run.model_path)
    maps: dict[str, tuple[int, ...]] = {}
    if features:
        model = teacher_with_maps(model, features, f"the teacher {path}")
        maps = {name: tuple(model.output[name].shape[1:]) for name in tap_names(features)}
    return Teacher(path, keras_predictor(model), tasks, crop, frozenset(model.output), maps)


def check_crop(teacher: Teacher, crop: CropSpec) -> None:
    """Refuse a teacher that sees another part of a photo than the student.

    Raises:
        ConfigError: naming what differs.
    """
    differences = teacher.crop.differences(crop)
    if differences:
        told = ", ".join(f"data.crop.{key}={'null' if value is None else value}" for key, value in differences.items())
        raise ConfigError(
            f"teacher {teacher.path}: its photos are cut otherwise, by {told}: set the same, or choose another teacher"
        )


def shared_tasks(path: Path, known: Mapping[str, Task], tasks: Mapping[str, Task]) -> list[str]:
    """Names of the tasks in which a teacher can teach a student.

    Args:
        path: path of the teacher.
        known: its tasks.
        tasks: the student's.

    Raises:
        ConfigError: a task of the same name means something else, or there is none.
    """
    shared = [name for name in tasks if name in known and not isinstance(tasks[name], VECTORS)]
    for name in shared:
        own, other = _meaning(tasks[name]), _meaning(known[name])
        differ = [key for key in own | other if own.get(key) != other.get(key)]
        if differ:
            key = differ[0]
            raise ConfigError(
                f"teacher {path}: its task {name!r} means something else: {key} {other.get(key)}, here {own.get(key)}: "
                "call one of them otherwise, or choose another teacher"
            )
    if not shared:
        raise ConfigError(f"teacher {path}: knows {', '.join(known)}, and none of {', '.join(tasks)} as numbers: "
                          "choose another teacher")  # fmt: skip
    return shared


def _meaning(task: Task) -> dict[str, object]:
    """Groups of attributes say how a net is built, not what its outputs stand for."""
    return {"kind": task.kind, **{key: value for key, value in meaning_of(task).items() if key != "groups"}}


def _check_distribution(teacher: Teacher, name: str, lesson: str) -> None:
    if f"{name}{LESSONS[lesson].output}" not in teacher.outputs:
        raise ConfigError(
            f"teacher {teacher.path}: gives a value of {name} and no distribution: learn its value by tasks.{name}."
            "method=l1, or choose a teacher of dldl_v2"
        )


def teaching_of(
    experiment: Experiment, data: PreparedData, teachers: Teachers | None, progress: Progress | None = None
) -> Teaching | None:
    """Maker of the crops of the batches with the teachers' answers; None without teachers.

    Args:
        progress: called with photos asked about and photos in all, where answers are stored.
    """
    if teachers is None:
        return None
    settings, augmentation, seed = experiment.training.distillation, experiment.data.augmentation, experiment.seed
    if not settings.crops:
        return Along(teachers, teachers.subjects, augmentation, seed)
    # Where the files lie changes nothing.
    hashes = list(teacher_hashes(experiment).values())
    identity = f"{hashes} {teachers.lessons} {settings.flips}"
    return ask_all(
        teachers, teachers.subjects, identity, data.parts["train"], augmentation, seed, settings.crops, progress
    )
