"""IMDB-WIKI: half a million photos of film people and of people with a Wikipedia page, with age and gender."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from keras_faceattr.data.datasets.matlab import read_struct
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import CategoricalTask, Task, age_task

CITATION = (
    "Rothe, Timofte, Van Gool: Deep Expectation of Real and Apparent Age from a Single Image without Facial "
    "Landmarks, International Journal of Computer Vision 126, 2018"
)
LICENCE = "academic research only"
PARTS = ("imdb", "wiki")
GENDERS = ("female", "male")
FIELDS = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")
MATLAB_1970 = 719529
"""MATLAB's number of the day on which Unix time begins; its day 1 is 1 January of the year 0."""


def read(root: Path, *, min_face_score: float = 1.0, one_face: bool = True) -> Manifest:
    """Read the tables of both parts, as far as they are there; there is no official split. Identity is the name.

    The age is that on 1 July of the year in which the photo was taken, in completed years, as in the authors' own
    lines. Ages that cannot be (below 0, above 100: wrong dates of birth, photos of another year) are quarantined; where
    the date of birth is missing, the gender is still a label. `row` is the place in the part's table, from 1.

    Args:
        root: holds `imdb_crop/imdb.mat` or `imdb/imdb.mat`, `wiki_crop/wiki.mat` or `wiki/wiki.mat`, with the photos
            next to them; or is one of these folders. The crops go first.
        min_face_score: lowest score of the release's detector that counts; a photo without a face has −∞.
        one_face: whether photos are left out on which the release found a second face, as nobody says whose age it is.

    Raises:
        DataError: there is no table, it is malformed, or no photo is left.
    """
    tables = [(part, path) for part in PARTS if (path := _find(root, part))]
    if not tables:
        raise DataError(f"imdb_wiki: neither imdb_crop/imdb.mat nor wiki_crop/wiki.mat in {root}; unpack them there")
    rows = pd.concat([_read_part(root, part, path) for part, path in tables], ignore_index=True)
    clear = rows["face_score"] >= min_face_score
    if one_face:
        clear &= rows["second_face_score"].isna()
    if not clear.any():
        raise DataError(
            f"imdb_wiki: none of {len(rows)} photos in {root} has a clear face: lower the option min_face_score"
        )
    rows = rows[clear].drop(columns=["face_score", "second_face_score"])
    tasks: list[Task] = [age_task(), CategoricalTask("gender", GENDERS)]
    return build_manifest(Source("imdb_wiki", root, CITATION, LICENCE), rows, tasks)


def completed_years(births: np.ndarray, years: np.ndarray) -> np.ndarray:
    """(n,) age on 1 July of a year; NaN where either is unknown.

    Args:
        births: (n,) MATLAB day numbers; a fraction is the time of the day; 0 and NaN are unknown.
        years: (n,) in which the photos were taken.
    """
    births, years = births.astype("float64"), years.astype("float64")
    known = np.isfinite(births) & (births > 0) & np.isfinite(years) & (years > 0)
    days = (np.floor(np.where(known, births, MATLAB_1970)) - MATLAB_1970).astype("int64").astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    born = days.astype("datetime64[Y]").astype("int64") + 1970
    month, day = months.astype("int64") % 12 + 1, (days - months).astype("int64") + 1
    after_july = (month > 7) | ((month == 7) & (day > 1))
    return np.where(known, years - born - after_july, np.nan)


def _find(root: Path, part: str) -> Path | None:
    places = (root / f"{part}_crop", root / part, root)
    return next((place / f"{part}.mat" for place in places if (place / f"{part}.mat").is_file()), None)


def _read_part(root: Path, part: str, path: Path) -> pd.DataFrame:
    table = read_struct(path, part, FIELDS)
    sizes = {name: len(values) for name, values in table.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{path}: fields of different lengths {sizes}; is this the official file?")
    folder = path.parent.relative_to(root).as_posix()
    gender = table["gender"].astype("float64")
    names = pd.Series([str(name).strip() for name in table["name"]], dtype="string")
    return pd.DataFrame(
        {
            "image": [f"{folder}/{name}" for name in table["full_path"]],
            "row": np.arange(1, len(gender) + 1),
            "age": completed_years(table["dob"], table["photo_taken"]),
            "gender": pd.Series(gender, dtype="object").map(dict(enumerate(GENDERS))).astype("string"),
            "identity": names.where(names != ""),
            "face_score": table["face_score"].astype("float64"),
            "second_face_score": table["second_face_score"].astype("float64"),
        }
    )
