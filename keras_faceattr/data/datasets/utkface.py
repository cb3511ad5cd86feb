"""UTKFace: aligned crops with age, gender and race in the file's name."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from keras_faceattr.data.manifest import Manifest, Source, build_manifest, list_photos
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import CategoricalTask, Task, age_task

CITATION = "Zhang, Song, Qi: Age Progression/Regression by Conditional Adversarial Autoencoder, CVPR 2017"
LICENCE = "non-commercial research"
GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Other")
NAME = re.compile(r"^(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_\d+")
ANY_NAME = re.compile(r"^\d{1,3}_")


def read(root: Path) -> Manifest:
    """Reads `age_gender_race_time.jpg…` files below `root`; a photo above 100 years counts as 100.

    Photos whose name lacks a part (three in the official release) keep the labels they have.

    Raises:
        DataError: no file is named in this way.
    """
    images = list_photos(root)
    rows: list[tuple[str, int, str | None, str | None]] = []
    for image in images:
        name = image.rsplit("/", 1)[-1]
        match = NAME.match(name)
        if match:
            gender, race = GENDERS[int(match["gender"])], RACES[int(match["race"])]
            rows.append((image, min(int(match["age"]), 100), gender, race))
        elif ANY_NAME.match(name):
            rows.append((image, min(int(name.split("_")[0]), 100), None, None))
    if not rows:
        raise DataError(f"utkface: no file below {root} is named age_gender_race_time.jpg, such as {images[0]!r}")
    frame = pd.DataFrame(rows, columns=["image", "age", "gender", "race"])
    tasks: list[Task] = [age_task(), CategoricalTask("gender", GENDERS), CategoricalTask("race", RACES)]
    return build_manifest(Source("utkface", root, CITATION, LICENCE), frame, tasks)
