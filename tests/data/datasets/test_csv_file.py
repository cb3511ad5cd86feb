"""The user's own csv: labels of every kind, groups, splits, and errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.api.named import read_named
from keras_faceattr.data.datasets import csv_file
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

AGE = ScalarTask("age", 0.0, 100.0, 1.0, "years")
TASKS: list[Task] = [
    AGE,
    BinaryTask("smile"),
    CategoricalTask("mood", ("calm", "None")),
    MultilabelTask("worn", ("hat", "glasses")),
]
TEXT = """file,age,age_std,smile,mood,hat,worn.glasses,split,fold,identity,gender,note
a.jpg,30,2.5,1,calm,0,1,train,1,007,male,x
b/c.jpg,,,0,None,1,0,test,2,null,female,y
"""


@pytest.fixture
def folder(tmp_path: Path, write_photos) -> Path:
    write_photos(tmp_path, "a.jpg", "b/c.jpg", "d.jpg")
    return tmp_path


def write(folder: Path, text: str, name: str = "photos.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_every_column_comes_through(folder: Path) -> None:
    path = write(folder, TEXT)
    for root in (path, folder):
        manifest = csv_file.read(root, tasks=TASKS, image_column="file")
        rows = manifest.rows
        assert rows["image"].tolist() == ["a.jpg", "b/c.jpg"]
        assert rows["row"].tolist() == [2, 3]
        assert rows["age"][0] == 30.0
        assert pd.isna(rows["age"][1])
        assert rows["age_std"][0] == 2.5
        assert rows["smile"].tolist() == [1.0, 0.0]
        assert rows["mood"].tolist() == ["calm", "None"]
        assert rows["worn.hat"].tolist() == [0.0, 1.0]
        assert rows["worn.glasses"].tolist() == [1.0, 0.0]
        assert rows["split"].tolist() == ["train", "test"]
        assert rows["fold"].tolist() == [1, 2]
        assert rows["identity"].tolist() == ["007", "null"]
        assert manifest.groups == ("gender",)
        assert "note" not in rows
        assert manifest.sources["csv_file"].root == folder


def test_bad_rows_are_put_aside_with_their_line(folder: Path) -> None:
    text = "image,age\na.jpg,30\nb/c.jpg,130\n\nd.jpg,old\ne.jpg,3\n../f.jpg,4\nb\\c.jpg,5\n"
    quarantine = csv_file.read(write(folder, text), tasks=[AGE]).quarantine
    assert dict(zip(quarantine["row"], quarantine["reason"], strict=True)) == {
        3: "age 130 is not in 0 to 100",
        5: "age 'old' is not a number",
        6: "no such photo",
        7: "lies outside the data folder",
        8: "two rows give this photo different labels",
    }


def test_a_missing_column_is_named_with_those_that_exist(folder: Path) -> None:
    path = write(folder, "image,ages\na.jpg,3\n")
    with pytest.raises(DataError, match=r"photos\.csv: no column 'age'; it has image, ages$"):
        csv_file.read(path, tasks=[AGE])
    with pytest.raises(DataError, match="no column 'photo'; 'image' names photos"):
        csv_file.read(path, tasks=[AGE], image_column="photo")
    with pytest.raises(DataError, match="no column 'hat'; it has image, ages$"):
        csv_file.read(path, tasks=[TASKS[3]])


def test_a_fold_must_be_a_whole_number(folder: Path) -> None:
    for fold in ("0", "1.5", "first"):
        path = write(folder, f"image,age,fold\na.jpg,3,1\nd.jpg,3,{fold}\n")
        with pytest.raises(DataError, match=f"line 3: fold '{fold}' is no whole number from 1"):
            csv_file.read(path, tasks=[AGE])


def test_which_csv_must_be_clear(folder: Path) -> None:
    with pytest.raises(DataError, match="expected one csv in .*, found none"):
        csv_file.read(folder, tasks=[AGE])
    write(folder, TEXT, "a.csv")
    write(folder, TEXT, "b.csv")
    with pytest.raises(DataError, match=r"found a\.csv, b\.csv; give the file's own path"):
        csv_file.read(folder, tasks=[AGE])
    with pytest.raises(DataError, match="no such file or folder"):
        csv_file.read(folder / "c.csv", tasks=[AGE])


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"image,age\n\xe9.jpg,3\n", "not UTF-8"), (b"image,age\na.jpg,3,4\n", "not a table")],
)
def test_an_unreadable_csv_is_a_one_line_error(folder: Path, content: bytes, message: str) -> None:
    (folder / "photos.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        csv_file.read(folder, tasks=[AGE])
    assert "\n" not in str(caught.value)


def test_photos_may_lie_elsewhere_than_the_labels(folder: Path) -> None:
    (folder / "labels").mkdir()
    path = write(folder / "labels", "image,age\na.jpg,30\nb/c.jpg,40\n")
    for photo_root in ("..", str(folder), "../../" + folder.name):
        manifest = csv_file.read(path, tasks=[AGE], photo_root=photo_root)
        assert manifest.paths() == [folder / "labels" / photo_root / name for name in ("a.jpg", "b/c.jpg")]
        assert not len(manifest.quarantine)
    with pytest.raises(DataError, match="photo_root '../none': no such folder"):
        csv_file.read(path, tasks=[AGE], photo_root="../none")


@pytest.mark.parametrize("column", ["filename", "Photo of"])
def test_a_column_that_names_photos_is_pointed_out(folder: Path, column: str) -> None:
    path = write(folder, f"age,{column}\n3,a.jpg\n4,b/c.JPG\n5,\n")
    with pytest.raises(DataError, match=rf"no column 'image'; '{column}' names photos: rename it, or .*image_column"):
        csv_file.read(path, tasks=[AGE])


def test_hidden_tables_are_no_labels(folder: Path) -> None:
    write(folder, "image,age\na.jpg,30\n", "labels.CSV")
    for name in (".writing-12-host-x.csv", "._labels.csv", ".hidden.xlsx"):
        (folder / name).write_bytes(b"\x00\x05\x16\x07")
    assert len(csv_file.read(folder, tasks=[AGE])) == 1
    assert len(read_named(str(folder), {}, []).manifest) == 1


def test_a_backslash_parts_folders_unless_a_photo_is_called_so(folder: Path, write_photos) -> None:
    write_photos(folder, r"b\d.jpg")
    manifest = csv_file.read(write(folder, "image,age\nb\\c.jpg,1\nb\\d.jpg,2\n"), tasks=[AGE])
    assert manifest.rows["image"].tolist() == ["b/c.jpg", r"b\d.jpg"]


def test_rows_of_a_photo_that_differ_in_any_column_contradict_where_nothing_says_what_is_a_label(folder: Path) -> None:
    text = "image,age,note\na.jpg,30,x\na.jpg,31,x\nb/c.jpg,5,y\nb/c.jpg,5.0,y\nd.jpg,7,z\n"
    path = write(folder, text)
    unknown, known = csv_file.read(path, tasks=[]), csv_file.read(path, tasks=[AGE])
    for manifest in (unknown, known):
        assert manifest.rows["image"].tolist() == ["b/c.jpg", "d.jpg"]
        assert dict(zip(manifest.quarantine["row"], manifest.quarantine["reason"], strict=True)) == {
            2: "two rows give this photo different labels",
            3: "two rows give this photo different labels",
            5: "second row for one photo",
        }


def test_rows_of_one_source_are_read_alone(folder: Path) -> None:
    path = write(folder, "image,source,age,smile\na.jpg,one,30,1\nb/c.jpg,two,40,0\nd.jpg,one,50,1\n")
    manifest = csv_file.read(path, tasks=[AGE], source="one")
    assert manifest.rows["image"].tolist() == ["a.jpg", "d.jpg"]
    assert list(manifest.sources) == ["one"]
    with pytest.raises(DataError, match="no row of source 'tow'; did you mean 'two'"):
        csv_file.read(path, tasks=[AGE], source="tow")
