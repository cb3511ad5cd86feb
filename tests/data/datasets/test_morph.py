"""MORPH: age, gender, race and identity from the release's csv."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_faceattr.data.datasets import morph
from keras_faceattr.errors import DataError

HEADER = "id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,glasses,photo"
ROWS = [
    "009055,0,1962-09-08,2003-09-01,B,M,,40,0,,{}009055_0M54.JPG",
    "009055,1,1962-09-08,2005-09-01,B,M,,42,2,,{}009055_1M42.JPG",
    "012345,0,1980-01-01,2001-01-01,w,F,,21,0,,{}012345_0F21.JPG",
    "012346,0,1980-01-01,2001-01-01,X,F,,21,0,,{}012346_0F21.JPG",
    "012347,0,1980-01-01,2001-01-01,H,F,,-1,0,,{}012347_0F21.JPG",
]
NAMES = [row.rpartition("}")[2] for row in ROWS]


def write_labels(root: Path, prefix: str = "", name: str = "MORPH_Album2_comp.csv", header: str = HEADER) -> None:
    (root / name).write_text("\n".join([header, *(row.format(prefix) for row in ROWS)]) + "\n")


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [("Album2/", "Album2"), ("", "Album2"), ("", ""), ("Album2/", ""), ("..\\CD1\\Album2\\", "Album2")],
)
def test_official_table(tmp_path: Path, write_photos, prefix: str, folder: str) -> None:
    write_labels(tmp_path, prefix)
    (tmp_path / "MORPH_Album2_EYECOORDS.csv").write_text("a,b\n1,2\n")
    write_photos(tmp_path / folder, *NAMES)
    manifest = morph.read(tmp_path)
    below = f"{folder}/" if folder else ""
    assert manifest.rows[["image", "identity", "age", "gender", "race", "row"]].values.tolist() == [
        [f"{below}009055_0M54.JPG", "009055", 40.0, "male", "Black", 2],
        [f"{below}009055_1M42.JPG", "009055", 42.0, "male", "Black", 3],
        [f"{below}012345_0F21.JPG", "012345", 21.0, "female", "White", 4],
    ]
    assert manifest.quarantine[["row", "reason"]].values.tolist() == [
        [5, "race 'X' is none of Asian, Black, Hispanic, Other, White"],
        [6, "age -1 is not in 0 to 100"],
    ]


def test_which_table_must_be_clear(tmp_path: Path, write_photos) -> None:
    with pytest.raises(DataError, match="expected one csv in .*, found none"):
        morph.read(tmp_path)
    write_photos(tmp_path, *NAMES)
    write_labels(tmp_path, name="MORPH_Album2_one.csv")
    write_labels(tmp_path, name="MORPH_Album2_two.csv")
    with pytest.raises(DataError, match=r"found MORPH_Album2_one\.csv, MORPH_Album2_two\.csv; name it with label_file"):
        morph.read(tmp_path)
    assert len(morph.read(tmp_path, label_file="MORPH_Album2_two.csv")) == 3
    with pytest.raises(DataError, match=r"no label file .*three\.csv"):
        morph.read(tmp_path, label_file="three.csv")


def test_column_names_may_differ_in_case_but_not_lack(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, *NAMES)
    write_labels(tmp_path, header=HEADER.replace("id_num", "ID_num"))
    assert len(morph.read(tmp_path)) == 3
    write_labels(tmp_path, header=HEADER.replace("age,", "years,"))
    with pytest.raises(DataError, match="no column 'age'; it has id_num, picture_num"):
        morph.read(tmp_path)
