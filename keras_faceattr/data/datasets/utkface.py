"""UTKFace: aligned crops with age, gender and race in the file's name."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.photo_folders import find_photos
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import CategoricalTask, Task, age_task

CITATION = "Zhang, Song, Qi: Age Progression/Regression by Conditional Adversarial Autoencoder, CVPR 2017"
LICENCE = "non-commercial research"
GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Other")
TIME = r"20\d{14,16}(?!\d)"
"""Year to millisecond; a few of the release lack a digit or have one too many."""

NAME = re.compile(rf"(?P<age>\d{{1,3}})_(?P<gender>[01])_(?P<race>[0-4])_{TIME}")
INCOMPLETE = re.compile(rf"(?P<age>\d{{1,3}})(?:_\d|__\d|_\d_)_{TIME}")
"""Three photos of the release lack their gender or race, such as `61_1_20170109142408075` and `53__0_201701161…`."""

OLDEST = 116
"""In the release."""


def read(root: Path) -> Manifest:
    """Read `age_gender_race_time.jpg…` files below `root`; an age of 101 to 116 years counts as 100.

    Photos whose name lacks a part (three in the official release) keep their age. Photos that are not named so, and
    ages above 116, are quarantined.

    Raises:
        DataError: the folder is missing, holds no photo, or none is named in this way.
    """
    found = find_photos(root)
    rows: list[tuple[str, str, str | None, str | None]] = []
    others: list[tuple[str, str]] = []
    for image in found.photos:
        name = image.rsplit("/", 1)[-1]
        match = NAME.match(name) or INCOMPLETE.match(name)
        if match is None:
            others.append((image, "is not named age_gender_race_time"))
        elif int(match["age"]) > OLDEST:
            others.append((image, f"age {int(match['age'])} is not in 0 to {OLDEST}"))
        else:
            codes = match.groupdict()
            gender = GENDERS[int(codes["gender"])] if "gender" in codes else None
            race = RACES[int(codes["race"])] if "race" in codes else None
            rows.append((image, str(min(int(codes["age"]), 100)), gender, race))
    if not rows:
        raise DataError(
            f"utkface: no file below {root} is named age_gender_race_time.jpg, such as "
            f"26_0_3_20170119180924926.jpg; the first: {others[0][0]}: {others[0][1]}"
        )
    frame = pd.DataFrame(rows, columns=pd.Index(["image", "age", "gender", "race"]))
    tasks: list[Task] = [age_task(), CategoricalTask("gender", GENDERS), CategoricalTask("race", RACES)]
    source = Source("utkface", root, CITATION, LICENCE)
    return build_manifest(source, frame, tasks, [*others, *found.skipped])
