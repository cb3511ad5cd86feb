"""A net that answers: the model of a run, or an exported file."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np

from keras_faceattr.artifact.loading import is_artifact, load_artifact
from keras_faceattr.config import Experiment
from keras_faceattr.config_files import with_paths
from keras_faceattr.data.elsewhere import on_other_data
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.evaluation.face import NO_LIMITS, Face, Limits
from keras_faceattr.evaluation.intervals import Intervals
from keras_faceattr.evaluation.predict import Predicted, faces_of, predict_photos
from keras_faceattr.evaluation.predictions import (
    EVALUATION_BATCH,
    TTA,
    Predictor,
    keras_predictor,
    with_augmentation,
)
from keras_faceattr.faces.crop_spec import CHOICES, CropSpec
from keras_faceattr.faces.cutting import Cropper, Cut
from keras_faceattr.faces.pictures import Picture, looks_like_bgr, picture
from keras_faceattr.predictions import Photos, Predictions, in_batches, listed_photos
from keras_faceattr.run import Run
from keras_faceattr.tasks import Task, answered
from keras_faceattr.zoo import file_of


@dataclass(frozen=True)
class Net:
    """The model of a run, or an exported file, with all that is known about it.

    Attributes:
        path: the run's folder or the `.tflite` file.
        tasks: what it answers, by name.
        crop: how a face is cut out of a photo for it.
        experiment: the configuration that it was trained by.
        predictor: crops (n, side, side, 3) from 0 to 255 to its outputs by name.
        elsewhere: whether the experiment's sources are other data sets than those that it was trained on.
        intervals: of the scalar tasks of a file that has them, by name.
    """

    path: Path
    tasks: dict[str, Task]
    crop: CropSpec
    experiment: Experiment = field(repr=False)
    predictor: Predictor = field(repr=False)
    elsewhere: bool = field(default=False, repr=False)
    intervals: Mapping[str, Intervals] = field(default_factory=dict, repr=False)

    def predict(
        self,
        photo: Picture,
        *,
        tasks: Sequence[str] = (),
        face: str = "all",
        min_face: int | None = None,
        tta: str = "none",
        ready: bool = False,
        min_probability: float | None = None,
        max_width: float | None = None,
    ) -> list[Face]:
        """Predict the faces in a photo, the best face first.

        Args:
            photo: a path, bytes of a photo file, (height, width, 3) uint8 RGB, or a `PIL.Image.Image`; a file and a
                picture of Pillow are turned upright by their EXIF orientation.
            tasks: to answer; without, all but the sensitive ones.
            face: which faces, where the net's crop looks for them: `all`, the `largest`, or the most `central`.
            min_face: side in pixels of the smallest face to look for; default: that of the net's crop. Large photos
                are searched several times faster where only large faces are wanted.
            tta: `none`, or `flip` to average with the mirrored crop.
            ready: whether the photo is the net's crop already.
            min_probability: answers of classes that are less likely are named in `face.abstained`, and their cells in
                `face.row()` are empty.
            max_width: the same for scalars whose 90 % interval is wider, in their unit.

        Returns:
            A record per face; none where the photo shows no face and the crop has no fallback. A net whose crop looks
            for no face gives one record.

        Warns:
            UserWarning: the faces in an array are blue, as those of OpenCV's BGR are.

        Raises:
            PhotoError: no photo, or an array that is not upright RGB from 0 to 255.
            ConfigError: an unknown task, choice of faces or augmentation, or limits that the net cannot keep.
        """
        chosen, cropper = answered(self.tasks, named(tasks)), self.cropper(face, min_face)
        predictor = with_augmentation(self.predictor, checked("tta", tta, TTA))
        intervals = intervals_of([self], tta)
        limits = checked_limits(Limits(min_probability, max_width), chosen, intervals)
        taken, name = picture(photo)
        cuts: list[Cut] = [cropper.ready(taken)] if ready else cropper.cut(taken)
        if not cuts:
            return []
        faces = [cut.pixels for cut in cuts if ready or cut.box is not None]
        if isinstance(photo, np.ndarray) and looks_like_bgr(faces):
            warnings.warn(
                "every face is blue: if the array is BGR, as OpenCV reads it, give photo[..., ::-1]", stacklevel=2
            )
        outputs = predictor(np.stack([cut.pixels for cut in cuts]).astype("float32"))
        places = [(name, number, cut) for number, cut in enumerate(cuts, start=1)]
        return faces_of(places, chosen, outputs, self.crop.needs_face, intervals, limits)

    def predict_many(
        self,
        photos: Photos,
        *,
        tasks: Sequence[str] = (),
        face: str = "all",
        min_face: int | None = None,
        tta: str = "none",
        workers: int = 1,
        min_probability: float | None = None,
        max_width: float | None = None,
    ) -> Predictions:
        """Predict the faces in many photos, in order, with a few batches in memory.

        Args:
            photos: a folder, a CSV with a column `image`, or any number of paths.
            tasks, face, min_face, tta, min_probability, max_width: as of `predict`.
            workers: processes, each with one thread of the runtime; 1 works in this process, on all cores.

        Returns:
            An iterator of faces; photos that cannot be read or show no face are named in its `left_out`.

        Raises:
            DataError: nothing lies at the path, or what is given is no path.
            ConfigError: as of `predict`, or fewer than one worker.
        """
        chosen = answered(self.tasks, named(tasks))
        limits = checked_limits(Limits(min_probability, max_width), chosen, intervals_of([self], tta))
        asked = Asked(
            tuple(chosen), checked("face", face, CHOICES), checked("tta", tta, TTA), min_face=min_face, limits=limits
        )
        self.cropper(face, min_face)  # Refuses now what it cannot do, and not at the first photo.
        paths, left_out = listed_photos(photos)
        return Predictions(predicted([self], asked, paths, workers), left_out)

    def cropper(self, face: str, min_face: int | None = None) -> Cropper:
        """Finder and cropper of these faces of a photo; built once, because a detector takes a while."""
        wanted = face, min_face
        if wanted not in self._croppers:
            self._croppers[wanted] = Cropper(self.crop, checked("face", face, CHOICES), min_face)
        return self._croppers[wanted]

    @cached_property
    def _croppers(self) -> dict[tuple[str, int | None], Cropper]:
        """Croppers by the choice of faces and the smallest face."""
        return {}


@dataclass(frozen=True)
class Asked:
    """Question to one or several nets.

    Attributes:
        tasks: names of those to answer.
        face: which faces of a photo: `all`, `largest` or `central`.
        tta: `none` or `flip`.
        ready: whether the photos are crops already.
        min_face: side in pixels of the smallest face to look for; None for that of each net's crop.
        limits: how certain answers must be.
    """

    tasks: tuple[str, ...]
    face: str = "all"
    tta: str = "none"
    ready: bool = False
    min_face: int | None = None
    limits: Limits = NO_LIMITS


def intervals_of(nets: Sequence[Net], tta: str) -> Mapping[str, Intervals]:
    """Intervals that hold: those of one file, which were measured on crops as they are."""
    return nets[0].intervals if len(nets) == 1 and tta == "none" else {}


def checked_limits(limits: Limits, tasks: dict[str, Task], intervals: Mapping[str, Intervals]) -> Limits:
    """Refuses limits that no answer could show to keep.

    Raises:
        ConfigError: no share, no width, or a width where none of the tasks has intervals.
    """
    if limits.min_probability is not None and not 0 < limits.min_probability < 1:
        raise ConfigError(f"--min-probability {limits.min_probability:g}: needs a number between 0 and 1")
    if limits.max_width is not None:
        if not limits.max_width > 0:
            raise ConfigError(f"--max-width {limits.max_width:g}: needs a number above 0, in the task's unit")
        if not set(tasks) & set(intervals):
            raise ConfigError(
                "--max-width: no measured intervals: predict a scalar by one exported file, without --with and --tta"
            )
    return limits


def predicted(
    nets: Sequence[Net], asked: Asked, photos: Iterable[Path], workers: int = 1, first_batch: int = 0
) -> Iterator[Predicted]:
    """Predict photos batch by batch and in order; several nets are averaged.

    Args:
        nets: all of which know the tasks; their crops differ in size alone.
        workers: processes, each with one thread of the runtime; 1 works in this process, on all cores.
        first_batch: where to begin; the batches before it are passed over.

    Raises:
        ConfigError: fewer than one worker.
        ResourceError: memory ran out.
    """
    left = islice(photos, first_batch * EVALUATION_BATCH, None)
    if workers == 1:
        return in_batches(left, partial(_predict_batch, list(nets), asked), workers)
    paths = tuple(str(net.path.absolute()) for net in nets)
    return in_batches(left, partial(_predict_elsewhere, paths, asked), workers)


def _predict_batch(nets: Sequence[Net], asked: Asked, photos: list[Path]) -> Predicted:
    members = [(with_augmentation(net.predictor, asked.tta), net.crop) for net in nets]
    tasks = {name: nets[0].tasks[name] for name in asked.tasks}
    croppers = {net.crop: net.cropper(asked.face, asked.min_face) for net in nets}
    (batch,) = predict_photos(
        members, tasks, photos, ready=asked.ready, croppers=croppers, intervals=intervals_of(nets, asked.tta),
        limits=asked.limits,
    )  # fmt: skip
    return batch


@lru_cache(maxsize=1)
def _opened(paths: tuple[str, ...]) -> list[Net]:
    """The nets of a worker process, on one thread each."""
    return [load(path, threads=1) for path in paths]


def _predict_elsewhere(paths: tuple[str, ...], asked: Asked, photos: list[Path]) -> Predicted:
    return _predict_batch(_opened(paths), asked, photos)


def load(name: str | Path, data: dict[str, str] | None = None, threads: int | None = None) -> Net:
    """Open a run, an exported `.tflite` file, or a net that comes with the package.

    A file needs no TensorFlow and no Keras.

    Args:
        name: folder of a run, path of a file, or name of a shipped net, such as `faces`.
        data: where the data lies now, by reader; of readers that the net was not trained on, other data sets.
        threads: number of threads of the runtime of a file; None for one per core.

    Raises:
        ConfigError: data of no source and no reader.
        RunError: no finished run.
        ArtifactError: a file that is damaged, or that its sidecar does not describe.
    """
    path = file_of(Path(name))
    if is_artifact(path):
        artifact = load_artifact(path)
        sidecar = artifact.sidecar
        experiment, elsewhere = _with_data(sidecar.experiment_object(), data or {})
        tasks, crop = sidecar.task_objects(), sidecar.crop_spec()
        return Net(path, tasks, crop, experiment, artifact.model(threads).predict, elsewhere, sidecar.intervals())
    from keras_faceattr.models.loading import load_model

    run = Run(path)
    experiment, elsewhere = _with_data(run.experiment(), data or {})
    predictor = keras_predictor(load_model(run.model_path))
    return Net(path, run.tasks(), crop_spec(experiment), experiment, predictor, elsewhere)


def checked(what: str, value: str, valid: Sequence[str]) -> str:
    """Refuse an unknown value of an option.

    Raises:
        ConfigError: with the valid ones.
    """
    if value not in valid:
        raise ConfigError(f"unknown {what} {value!r}; {nearest(value, valid)}")
    return value


def named(tasks: str | Sequence[str]) -> list[str]:
    """Names of tasks, or the one name."""
    return [tasks] if isinstance(tasks, str) else list(tasks)


def _with_data(experiment: Experiment, paths: dict[str, str]) -> tuple[Experiment, bool]:
    """The experiment with its data where it lies now, and whether that is other data."""
    other = on_other_data(experiment, paths)
    return (other, True) if other else (with_paths(experiment, paths), False)
