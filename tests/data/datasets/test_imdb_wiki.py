"""IMDB-WIKI: the tables of both parts, ages from dates of birth, and photos that show no clear face."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from keras_faceattr.data.datasets import imdb_wiki
from keras_faceattr.errors import DataError

NONE, NAN = -np.inf, np.nan


def datenum(year: int, month: int, day: int) -> float:
    """MATLAB's, which has 1 January of the year 0 as day 1: https://mathworks.com/help/matlab/ref/datenum.html."""
    return float(date(year, month, day).toordinal() + 366)


def cells(texts: list[str]) -> np.ndarray:
    column = np.empty((1, len(texts)), dtype=object)
    column[0, :] = [np.array([text]) if text else np.zeros((0,), "U1") for text in texts]
    return column


def write_part(path: Path, part: str, write_photos, **fields: list) -> None:
    write_photos(path.parent, *fields["full_path"])
    texts = ("full_path", "name")
    struct = {n: cells(v) if n in texts else np.array([v], "float64") for n, v in fields.items()}
    struct["celeb_id"] = np.ones((1, len(fields["dob"])))
    savemat(path, {part: struct})


@pytest.fixture
def release(tmp_path: Path, write_photos) -> Path:
    """Seven photos of IMDB, of which three show no clear face, and two of Wikipedia."""
    write_part(
        tmp_path / "imdb_crop" / "imdb.mat", "imdb", write_photos,
        full_path=[f"0{n}/nm{n}.jpg" for n in range(1, 8)],
        dob=[datenum(1950, 7, 1), datenum(1950, 7, 2), 0, datenum(1980, 1, 1), *[datenum(1960, 1, 1)] * 3],
        photo_taken=[2000, 2000, 2000, 1979, 2000, 2000, 2000],
        gender=[1, 0, 0, 1, 1, 1, NAN],
        name=["Ann Bee", "Carl Dee", "Eve Eff", "Gus Gee", "x", "y", ""],
        face_score=[4.5, 2.0, 1.0, 3.0, NONE, 0.5, 3.0],
        second_face_score=[NAN, NAN, NAN, NAN, NAN, NAN, 1.5],
    )  # fmt: skip
    write_part(
        tmp_path / "wiki_crop" / "wiki.mat", "wiki", write_photos,
        full_path=["17/1.jpg", "17/2.jpg"], dob=[datenum(1900, 12, 31), NAN], photo_taken=[1930, 1930],
        gender=[NAN, 0], name=["Hal Ill", "Ann Bee"], face_score=[5.0, 5.0], second_face_score=[NAN, NAN],
    )  # fmt: skip
    return tmp_path


def test_official_release(release: Path) -> None:
    manifest = imdb_wiki.read(release)
    rows = manifest.rows
    assert rows["image"].tolist() == [
        "imdb_crop/01/nm1.jpg", "imdb_crop/02/nm2.jpg", "imdb_crop/03/nm3.jpg", "wiki_crop/17/1.jpg",
        "wiki_crop/17/2.jpg",
    ]  # fmt: skip
    # Fifty on the very day, forty-nine a day before, and nobody knows.
    assert rows["age"].fillna(-1).tolist() == [50, 49, -1, 29, -1]
    assert rows["gender"].fillna("-").tolist() == ["male", "female", "female", "-", "female"]
    assert rows["identity"].tolist() == ["Ann Bee", "Carl Dee", "Eve Eff", "Hal Ill", "Ann Bee"]
    assert rows["row"].tolist() == [1, 2, 3, 1, 2]
    assert rows["split"].isna().all() and list(manifest.tasks) == ["age", "gender"]


def test_an_age_that_cannot_be_is_put_aside(release: Path) -> None:
    quarantine = imdb_wiki.read(release).quarantine
    assert quarantine[["image", "row", "reason"]].values.tolist() == [
        ["imdb_crop/04/nm4.jpg", 4, "age -1 is not in 0 to 100"]
    ]


def test_photos_without_one_clear_face_are_left_out_unless_asked_for(release: Path) -> None:
    def names(**options) -> list[str]:
        return [image[-7:-4] for image in imdb_wiki.read(release, **options).rows["image"] if "imdb" in image]

    assert names(min_face_score=0.0) == ["nm1", "nm2", "nm3", "nm6"]
    assert names(one_face=False) == ["nm1", "nm2", "nm3", "nm7"]
    assert names(min_face_score=NONE, one_face=False) == ["nm1", "nm2", "nm3", "nm5", "nm6", "nm7"]
    with pytest.raises(DataError, match="none of 9 photos in .* has a clear face: lower the option min_face_score"):
        imdb_wiki.read(release, min_face_score=99.0)


@pytest.mark.parametrize("folder", ["imdb", "."])
def test_the_whole_photos_or_a_single_part_are_read_where_they_lie(tmp_path: Path, write_photos, folder: str) -> None:
    write_part(
        tmp_path / folder / "imdb.mat", "imdb", write_photos, full_path=["01/a.jpg"], dob=[datenum(1999, 6, 30)],
        photo_taken=[2009], gender=[0], name=["Ann"], face_score=[2], second_face_score=[NAN],
    )  # fmt: skip
    rows = imdb_wiki.read(tmp_path).rows
    assert rows[["image", "age"]].values.tolist() == [[f"{folder}/01/a.jpg".removeprefix("./"), 10.0]]


@pytest.mark.parametrize("day", ["1896-02-29", "1970-01-01", "1955-07-01", "1955-07-02", "2000-12-31", "0012-03-04"])
def test_completed_years_are_those_of_the_calendar(day: str) -> None:
    born = date.fromisoformat(day)
    age = imdb_wiki.completed_years(np.array([datenum(born.year, born.month, born.day) + 0.75]), np.array([2010]))
    assert age.tolist() == [2010 - born.year - ((born.month, born.day) > (7, 1))]


def test_a_table_that_is_not_the_official_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither imdb_crop/imdb\.mat nor wiki_crop/wiki\.mat in"):
        imdb_wiki.read(tmp_path)
    path = tmp_path / "wiki.mat"
    for variables, message in (
        ({"wiki": {"dob": [1.0]}}, "no field 'photo_taken' of 'wiki'"),
        ({"imdb": {"dob": [1.0]}}, "no field 'dob' of 'wiki'"),
        ({"wiki": [1.0]}, "no field 'dob' of 'wiki'"),
    ):
        savemat(path, variables)
        with pytest.raises(DataError, match=message):
            imdb_wiki.read(tmp_path)
    whole = path.read_bytes()
    for damaged in (b"", b"no MATLAB file at all" * 40, whole[: len(whole) // 2], b"\x89HDF\r\n\x1a\n" + b"0" * 600):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"wiki\.mat: (not a readable MATLAB file|a MATLAB 7\.3 file|no field)"):
            imdb_wiki.read(tmp_path)
