"""`keras-faceattr predict`."""

from __future__ import annotations

import json as json_module
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_faceattr import __version__
from keras_faceattr.artifact.loading import is_artifact
from keras_faceattr.cli.options import check_out
from keras_faceattr.cli.results import say
from keras_faceattr.data.aligned_folder import MANIFEST_FILE, aligned_set_of
from keras_faceattr.data.crop_cache import check_same_crop
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.evaluation.predict import Inputs, column_types, list_inputs, predict_photos
from keras_faceattr.evaluation.predictions import TTA, with_augmentation
from keras_faceattr.evaluation.table_writer import open_table
from keras_faceattr.evaluation.unfinished import Rows, Unfinished
from keras_faceattr.faces.crop_spec import CHOICES
from keras_faceattr.faces.nets import detector_version
from keras_faceattr.faces.photos import DECODER
from keras_faceattr.net import Net, checked, load
from keras_faceattr.run import Run
from keras_faceattr.storage import sha256, stamp
from keras_faceattr.tasks import VECTORS, Task, answered, meaning_of, not_answered, task_to_dict


def run_predict(
    path: Path, photos: Path, others: list[Path], named: list[str], out: Path | None, tta: str, face: str, json: bool
) -> None:
    """Write one row per photo or face; photos that cannot be read or show no face are named on stderr and left out.

    Without `named` tasks all are answered but the sensitive ones, which are named on stderr.

    A table that was being written when an earlier call was killed is finished from where that call was.
    """
    checked("tta", tta, TTA)
    checked("face", face, CHOICES)
    opened, *further = nets = [load(name) for name in (path, *others)]
    tasks = answered(opened.tasks, named, [net.tasks for net in further])
    for other, net in zip(others, further, strict=True):
        _check_averaged(other, net, path, opened, tasks)
    aligned = aligned_set_of(photos) if os.path.exists(photos) else None  # noqa: PTH110
    inputs = list_inputs(photos / MANIFEST_FILE if aligned and photos.is_dir() else photos)
    if aligned:
        for net in nets:
            check_same_crop(str(photos), aligned.crop, net.crop)
    if out:
        check_out(out, [photos], opened.experiment)
    members = [(with_augmentation(net.predictor, tta), net.crop) for net in nets]

    def predict(first_batch: int) -> Iterator[Rows]:
        ready = aligned is not None
        return map(Rows.of, predict_photos(members, tasks, inputs.photos, face, ready, first_batch=first_batch))

    unfinished = Unfinished(out, _plan(path, others, nets, tasks, inputs, tta, face)) if out else None
    faces, without_face, no_answer, left_out = 0, 0, 0, list(inputs.left_out)
    if not named:
        for line in not_answered(opened.tasks, tasks):
            say(line)
    for reason in left_out:
        say(f"left out: {reason}")
    with open_table(out, "json" if json else "text", column_types(tasks)) as table:
        for batch in unfinished.batches(predict) if unfinished else predict(0):
            table.write(batch.rows)
            faces += len(batch.rows)
            without_face += sum("face_score" in row and row["face_score"] is None for row in batch.rows)
            no_answer += len(batch.no_answer)
            left_out += batch.left_out
            for line in (*(f"left out: {reason}" for reason in batch.left_out), *batch.no_answer):
                say(line)
        if not faces:
            if unfinished:
                unfinished.finish()
            # Inside the block, so that a table of an earlier call stays.
            raise DataError(f"none of {len(left_out)} photos could be used")
    if unfinished:
        unfinished.finish()
    summary: dict[str, Any] = {
        "photos": len(inputs.photos) + len(inputs.left_out),
        "predicted": len(inputs.photos) + len(inputs.left_out) - len(left_out),
        "left_out": len(left_out),
        "no_answer": no_answer,
        "other_files": inputs.other_files,
    }
    if opened.crop.needs_face:
        found = faces if aligned else faces - without_face
        summary |= {"faces": found, "without_face": faces - found}
    if not out:
        say(_told(summary))
    elif json:
        print(json_module.dumps({**summary, "out": str(out)}))
    else:
        print(f"{_told(summary)}: {out}")


def _told(summary: dict[str, Any]) -> str:
    """The summary in a line; photos = predicted + left out."""
    faces = f" with {summary['faces']} faces" if "faces" in summary else ""
    parts = [f"{summary['predicted']} photos{faces} predicted, {summary['left_out']} left out"]
    if summary.get("without_face"):
        parts.append(f"{summary['without_face']} without a face answered by their middle (empty cells of the box)")
    if summary["no_answer"]:
        parts.append(f"{summary['no_answer']} answers missing")
    if summary["other_files"]:
        kinds = ", ".join(f"{suffix or 'no suffix'} {count}" for suffix, count in summary["other_files"].items())
        parts.append(f"{sum(summary['other_files'].values())} files that do not end as photos do ({kinds})")
    return ", ".join(parts)


def _plan(
    path: Path,
    others: list[Path],
    nets: list[Net],
    tasks: dict[str, Task],
    inputs: Inputs,
    tta: str,
    face: str,
) -> dict[str, Any]:
    """Whatever decides what is predicted: a call that was killed goes on only where all of it is the same."""
    return {
        "version": [__version__, DECODER],
        "nets": [sha256(name if is_artifact(name) else Run(name).model_path) for name in (path, *others)],
        "crops": [net.crop.to_dict() for net in nets],
        "detector": detector_version() if nets[0].crop.needs_face else "",
        "tasks": {name: task_to_dict(task) for name, task in tasks.items()},
        "options": [tta, face],
        "photos": [[str(photo), *_state(photo)] for photo in inputs.photos],
    }


def _state(photo: Path) -> tuple[int, ...]:
    """Changes when the photo does; empty where none can be opened."""
    try:
        return stamp(photo)
    except OSError:
        return ()


def _check_averaged(path: Path, opened: Net, first_path: Path, first: Net, tasks: dict[str, Task]) -> None:
    """Refuse a further net whose answers do not mean what the first one's do.

    Args:
        tasks: those that are answered.

    Raises:
        ConfigError: it does not know these tasks, or cuts faces in another way.
    """
    for name, task in tasks.items():
        if isinstance(task, VECTORS):
            raise ConfigError(
                f"--with {path}: vectors such as {name} are each net's own, with no mean: name other tasks by --task"
            )
        if name not in opened.tasks:
            raise ConfigError(f"--with {path}: it says nothing of {name}, which {first_path} predicts")
        if meaning_of(opened.tasks[name]) != meaning_of(task):
            raise ConfigError(f"--with {path}: its {name} is defined in another way than that of {first_path}")
    differing = opened.crop.differences(first.crop)
    if differing:
        raise ConfigError(f"--with {path}: it cuts photos in another way than {first_path}: {', '.join(differing)}")
