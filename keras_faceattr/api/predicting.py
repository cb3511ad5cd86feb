"""`predict`: what nets say of any number of photos, written to a table that survives a kill."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_faceattr import __version__
from keras_faceattr.api.openable import Openable, opened, path_of
from keras_faceattr.api.outputs import check_out
from keras_faceattr.artifact.loading import is_artifact
from keras_faceattr.data.aligned_folder import MANIFEST_FILE, aligned_set_of
from keras_faceattr.data.crop_cache import check_same_crop
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.evaluation.face import NO_LIMITS, Limits
from keras_faceattr.evaluation.predict import Inputs, column_types, list_inputs
from keras_faceattr.evaluation.predictions import TTA
from keras_faceattr.evaluation.table_writer import Table, open_table
from keras_faceattr.evaluation.unfinished import Rows, Unfinished
from keras_faceattr.faces.crop_spec import CHOICES
from keras_faceattr.faces.nets import detector_version
from keras_faceattr.faces.photos import DECODER
from keras_faceattr.net import Asked, Net, checked, checked_limits, intervals_of, load, named, predicted
from keras_faceattr.run import Run
from keras_faceattr.storage import sha256, stamp
from keras_faceattr.tasks import VECTORS, Task, answered, meaning_of, not_answered, task_to_dict
from keras_faceattr.terminal.console import say_if

Say = Callable[[str], None]


@dataclass(frozen=True)
class PredictionSummary:
    """What became of the photos; `photos` is `predicted` and `left_out` together.

    Attributes:
        photos: in all.
        predicted: that have at least one row.
        left_out: that could not be read, or show no face.
        no_answer: cells that are empty because the net gave no number.
        abstained: cells that are empty because the answer was less certain than demanded; None if nothing was.
        other_files: files of a folder that do not end as photos do, by suffix.
        faces: that were found; None where the net's crop looks for no faces.
        without_face: photos without a face of which the middle was answered; None as `faces`.
        out: the table.
    """

    photos: int
    predicted: int
    left_out: int
    no_answer: int
    other_files: dict[str, int] = field(default_factory=dict)
    faces: int | None = None
    without_face: int | None = None
    abstained: int | None = None
    out: Path | None = None

    def __str__(self) -> str:
        faces = f" with {self.faces} faces" if self.faces is not None else ""
        parts = [f"{self.predicted} photos{faces} predicted, {self.left_out} left out"]
        if self.without_face:
            parts.append(f"{self.without_face} without a face answered by their middle (empty cells of the box)")
        if self.no_answer:
            parts.append(f"{self.no_answer} answers missing")
        if self.abstained is not None:
            parts.append(f"{self.abstained} answers too uncertain (empty cells)")
        if self.other_files:
            kinds = ", ".join(f"{suffix or 'no suffix'} {count}" for suffix, count in self.other_files.items())
            parts.append(f"{sum(self.other_files.values())} files that do not end as photos do ({kinds})")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The counts that are known, as the command line's JSON has them."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        return {**found, "out": str(self.out)} if self.out else found


def predict(
    net: Openable,
    photos: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    others: Sequence[Openable] = (),
    tasks: Sequence[str] = (),
    tta: str = "none",
    face: str = "all",
    min_face: int | None = None,
    workers: int = 1,
    min_probability: float | None = None,
    max_width: float | None = None,
    verbose: bool = True,
) -> PredictionSummary:
    """Predict photos into a table, one row per photo or face, in constant memory.

    A call that was killed is continued by the same call: batches that are done are not predicted again.

    Args:
        net: a run or an exported file: its path or name, or what `fit`, `export` or `load` gave.
        photos: a photo, a folder of photos or of aligned crops, or a CSV with a column `image`.
        out: table to write: `.csv`, `.parquet` or `.jsonl`.
        others: further nets, whose predictions are averaged with the first one's.
        tasks: to answer; all but the sensitive ones by default.
        tta: `none`, or `flip` to average with the mirrored crop.
        face: which faces, where crops need a face: `all`, `largest` or `central`.
        min_face: side in pixels of the smallest face to look for; default: that of the net's crop.
        workers: processes, each with one thread of the runtime; 1 works in this process, on all cores.
        min_probability: classes and yes/no answers that are less likely stay empty cells, and are counted.
        max_width: scalars whose 90 % interval is wider, in their unit, stay empty cells, and are counted.
        verbose: names on stderr what is left out.

    Raises:
        ConfigError: an unknown option or task, nets whose answers do not mean the same, or an output that would replace
            the photos.
        DataError: nothing lies at the path, or none of the photos could be used.
        RunError: no finished run, or a folder that cannot be written.
        ArtifactError: a damaged file.
    """
    limits = Limits(min_probability, max_width)
    work = prepare(net, photos, others, tasks, tta, face, min_face, workers, limits)
    return work.write_to(Path(out), say_if(verbose))


@dataclass(frozen=True)
class PredictionWork:
    """Nets and the photos that they are to predict.

    Attributes:
        nets: the first and those that are averaged with it.
        tasks: that are answered, by name.
        source: what the caller named.
        aligned: whether the photos are crops already.
        silent_tasks: lines that name tasks which are not answered.
    """

    nets: tuple[Net, ...]
    tasks: dict[str, Task]
    source: Path
    inputs: Inputs
    aligned: bool
    asked: Asked
    workers: int
    silent_tasks: list[str]

    def write_to(self, out: Path, told: Say) -> PredictionSummary:
        """Writes a table, or what is left of it after a kill; arguments as of `write`."""
        check_out(out, [self.source], self.nets[0].experiment)
        unfinished = Unfinished(out, self._plan())
        return self.write(open_table(out, "text", column_types(self.tasks)), told, unfinished)

    def write(
        self, table: AbstractContextManager[Table], told: Say, unfinished: Unfinished | None = None
    ) -> PredictionSummary:
        """Predicts and writes batch by batch.

        Args:
            table: where rows go.
            told: is given a line for each photo that is left out.
            unfinished: keeps batches across kills.

        Raises:
            DataError: none of the photos could be used.
        """
        faces, without_face, no_answer, abstained, left_out = 0, 0, 0, 0, len(self.inputs.left_out)
        for line in (*self.silent_tasks, *(f"left out: {reason}" for reason in self.inputs.left_out)):
            told(line)
        with table as rows:
            for batch in unfinished.batches(self._batches) if unfinished else self._batches(0):
                rows.write(batch.rows)
                faces += len(batch.rows)
                without_face += sum("face_score" in row and row["face_score"] is None for row in batch.rows)
                no_answer += len(batch.no_answer)
                abstained += batch.abstained
                left_out += len(batch.left_out)
                for line in (*(f"left out: {reason}" for reason in batch.left_out), *batch.no_answer):
                    told(line)
            if not faces:
                if unfinished:
                    unfinished.finish()
                # Inside the block, so that a table of an earlier call stays.
                raise DataError(f"none of {left_out} photos could be used")
        if unfinished:
            unfinished.finish()
        photos = len(self.inputs.photos) + len(self.inputs.left_out)
        counted: dict[str, int] = {}
        if self.nets[0].crop.needs_face:
            found = faces if self.aligned else faces - without_face
            counted = {"faces": found, "without_face": faces - found}
        return PredictionSummary(
            photos,
            photos - left_out,
            left_out,
            no_answer,
            self.inputs.other_files,
            **counted,
            abstained=abstained if self.asked.limits else None,
            out=unfinished.out if unfinished else None,
        )

    def _batches(self, first_batch: int) -> Iterator[Rows]:
        return map(Rows.of, predicted(self.nets, self.asked, self.inputs.photos, self.workers, first_batch))

    def _plan(self) -> dict[str, Any]:
        """Whatever decides what is predicted: a call that was killed goes on only where all of it is the same."""
        crops = [net.crop for net in self.nets]
        return {
            "version": [__version__, DECODER],
            "nets": [sha256(net.path if is_artifact(net.path) else Run(net.path).model_path) for net in self.nets],
            "crops": [crop.to_dict() for crop in crops],
            "detector": detector_version() if crops[0].needs_face else "",
            "tasks": {name: task_to_dict(task) for name, task in self.tasks.items()},
            "options": [self.asked.tta, self.asked.face, self.asked.min_face, *asdict(self.asked.limits).values()],
            "photos": [[str(photo), *_state(photo)] for photo in self.inputs.photos],
        }


def prepare(
    net: Openable,
    photos: str | os.PathLike[str],
    others: Sequence[Openable] = (),
    tasks: Sequence[str] = (),
    tta: str = "none",
    face: str = "all",
    min_face: int | None = None,
    workers: int = 1,
    limits: Limits = NO_LIMITS,
) -> PredictionWork:
    """Opens nets and lists photos; arguments and errors as of `predict`."""
    checked("tta", tta, TTA)
    checked("face", face, CHOICES)
    source = Path(photos)
    first, *further = nets = [opened(one) or load(path_of(one)) for one in (net, *others)]
    chosen = answered(first.tasks, named(tasks), [other.tasks for other in further])
    for other in further:
        _check_averaged(other, first, chosen)
    aligned = aligned_set_of(source) if os.path.exists(source) else None  # noqa: PTH110
    inputs = list_inputs(source / MANIFEST_FILE if aligned and source.is_dir() else source)
    if aligned:
        for one in nets:
            check_same_crop(str(source), aligned.crop, one.crop)
    if min_face is not None:
        first.cropper(face, min_face)  # Refuses now what it cannot do.
    checked_limits(limits, chosen, intervals_of(nets, tta))
    asked = Asked(tuple(chosen), face, tta, aligned is not None, min_face, limits)
    silent = [] if tasks else list(not_answered(first.tasks, chosen))
    return PredictionWork(tuple(nets), chosen, source, inputs, aligned is not None, asked, workers, silent)


def _state(photo: Path) -> tuple[int, ...]:
    """Changes when the photo does; empty where none can be opened."""
    try:
        return stamp(photo)
    except OSError:
        return ()


def _check_averaged(other: Net, first: Net, tasks: dict[str, Task]) -> None:
    """Refuse a further net whose answers do not mean what the first one's do.

    Args:
        tasks: those that are answered.

    Raises:
        ConfigError: it does not know these tasks, or cuts faces in another way.
    """
    for name, task in tasks.items():
        if isinstance(task, VECTORS):
            raise ConfigError(
                f"--with {other.path}: vectors such as {name} are each net's own, with no mean: name other tasks by "
                "--task"
            )
        if name not in other.tasks:
            raise ConfigError(f"--with {other.path}: it says nothing of {name}, which {first.path} predicts")
        if meaning_of(other.tasks[name]) != meaning_of(task):
            raise ConfigError(f"--with {other.path}: its {name} is defined in another way than that of {first.path}")
    differing = other.crop.differences(first.crop)
    if differing:
        raise ConfigError(
            f"--with {other.path}: it cuts photos in another way than {first.path}: {', '.join(differing)}"
        )
