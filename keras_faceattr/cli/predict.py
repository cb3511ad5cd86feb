"""`keras-faceattr predict`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Any

from keras_faceattr.cli.evaluate import check_tta
from keras_faceattr.cli.options import check_out
from keras_faceattr.cli.predictors import Predicting, open_predictor
from keras_faceattr.data.aligned_folder import MANIFEST_FILE, aligned_set_of
from keras_faceattr.data.crop_cache import check_same_crop
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.evaluation.predict import list_inputs, predict_photos
from keras_faceattr.evaluation.predictions import with_augmentation
from keras_faceattr.evaluation.table_writer import open_table
from keras_faceattr.faces.crop_spec import CHOICES
from keras_faceattr.tasks import VECTORS, meaning_of


def run_predict(
    path: Path, photos: Path, others: list[Path], out: Path | None, tta: str, face: str, json: bool
) -> None:
    """Write one row per photo or face; photos that cannot be read or show no face are named on stderr and left out."""
    check_tta(tta)
    if face not in CHOICES:
        raise ConfigError(f"unknown --face {face!r}; {nearest(face, CHOICES)}")
    opened = open_predictor(path)
    nets = [opened, *(_averaged(other, path, opened) for other in others)]
    aligned = aligned_set_of(photos)
    inputs = list_inputs(photos / MANIFEST_FILE if aligned and photos.is_dir() else photos)
    if aligned:
        for net in nets:
            check_same_crop(str(photos), aligned.crop, net.crop)
    if out:
        check_out(out, [photos], opened.experiment)
    members = [(with_augmentation(net.predictor, tta), net.crop) for net in nets]
    count, bad = 0, []
    with open_table(out, "json" if json else "text") as table:
        for rows, failures in predict_photos(members, opened.tasks, inputs, face, aligned is not None):
            table.write(rows)
            count += len(rows)
            bad += failures
            for failure in failures:
                print(f"left out: {failure}", file=sys.stderr)
        if not count:
            # Inside the block, so that a table of an earlier call stays.
            raise DataError(f"none of {len(bad)} photos could be used")
    if out:
        done = len(inputs) - len(bad)
        summary: dict[str, Any] = {"predicted": done, "left_out": len(bad), "out": str(out)}
        faces = ""
        if opened.crop.needs_face:
            summary["faces"], faces = count, f" with {count} faces"
        print(json_module.dumps(summary) if json else f"{done} photos{faces} predicted, {len(bad)} left out: {out}")


def _averaged(path: Path, first_path: Path, first: Predicting) -> Predicting:
    """A further net, whose outputs must mean what the first one's do.

    Raises:
        ConfigError: it does not know the first one's tasks, or cuts faces in another way.
    """
    opened = open_predictor(path)
    for name, task in first.tasks.items():
        if isinstance(task, VECTORS):
            raise ConfigError(f"--with {path}: vectors such as {name} are each net's own, and have no mean")
        if name not in opened.tasks:
            raise ConfigError(f"--with {path}: it says nothing of {name}, which {first_path} predicts")
        if meaning_of(opened.tasks[name]) != meaning_of(task):
            raise ConfigError(f"--with {path}: its {name} is defined in another way than that of {first_path}")
    differing = opened.crop.differences(first.crop)
    if differing:
        raise ConfigError(f"--with {path}: it cuts photos in another way than {first_path}: {', '.join(differing)}")
    return opened
