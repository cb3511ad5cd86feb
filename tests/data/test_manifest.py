"""Manifests: what is quarantined and why, what is refused, how data sets are joined, what the hashes stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.data.manifest import Manifest, Source, build_manifest, concatenate
from keras_faceattr.data.photo_folders import list_photos
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

AGE = ScalarTask("age", 0.0, 100.0, 1.0, "years")
SMILE = BinaryTask("smile")
MOOD = CategoricalTask("mood", ("calm", "glad"))
WORN = MultilabelTask("worn", ("hat", "glasses"))


@pytest.fixture
def folder(tmp_path: Path, tiny_photos) -> Path:
    tiny_photos(tmp_path / "photos", 6)
    return tmp_path / "photos"


def build(folder: Path, tasks: list[Task], name: str = "mine", **columns: Any) -> Manifest:
    return build_manifest(Source(name, folder), pd.DataFrame(columns), tasks)


def aside(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.quarantine["image"], manifest.quarantine["reason"], strict=True))


@pytest.mark.parametrize(
    ("task", "columns", "reason"),
    [
        (AGE, {"age": [30, 100.5]}, "age 100.5 is not in 0 to 100"),
        (AGE, {"age": [30, -1]}, "age -1 is not in 0 to 100"),
        (AGE, {"age": [30, np.inf]}, "age inf is not in 0 to 100"),
        (AGE, {"age": ["30", "old"]}, "age 'old' is not a number"),
        (AGE, {"age": [30, np.nan]}, "has no label"),
        (AGE, {"age": [30, 40], "age_std": ["1", "-2"]}, "age_std '-2' is not a standard deviation"),
        (AGE, {"age": [30, 40], "age_std": ["1", "inf"]}, "age_std 'inf' is not a standard deviation"),
        (AGE, {"age": [30, 40], "age_std": ["1", "wide"]}, "age_std 'wide' is not a standard deviation"),
        (SMILE, {"smile": [1, 2]}, "smile 2 is neither 0 nor 1"),
        (SMILE, {"smile": [1, -1]}, "smile -1 is neither 0 nor 1"),
        (SMILE, {"smile": ["0", "yes"]}, "smile 'yes' is not a number"),
        (MOOD, {"mood": ["calm", "cross"]}, "mood 'cross' is none of calm, glad"),
        (WORN, {"worn.hat": [0, 0], "worn.glasses": [1, 0.5]}, "worn.glasses 0.5 is neither 0 nor 1"),
        (AGE, {"age": [30, 40], "split": ["train", "dev"]}, "unknown split 'dev'; valid: train, val, test"),
    ],
)
def test_a_row_with_a_wrong_value_is_put_aside_with_the_reason(
    folder: Path, task: Task, columns: dict[str, list[Any]], reason: str
) -> None:
    manifest = build(folder, [task], image=["0.png", "1.png"], **columns)
    assert manifest.rows["image"].tolist() == ["0.png"]
    assert aside(manifest) == {"1.png": reason}


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("9.png", "no such photo"),
        ("", "no such photo"),
        ("../other/1.png", "lies outside the data folder"),
        ("sub/../../1.png", "lies outside the data folder"),
        ("..", "lies outside the data folder"),
        ("/etc/hostname", "lies outside the data folder"),
        ("folder.png", "no photo but a folder, a pipe, a device or a link to nothing"),
        ("zero.png", "no photo but a folder, a pipe, a device or a link to nothing"),
    ],
)
def test_a_photo_that_is_missing_or_outside_the_folder_is_put_aside(folder: Path, image: str, reason: str) -> None:
    (folder / "folder.png").mkdir()
    (folder / "zero.png").symlink_to("/dev/zero")
    manifest = build(folder, [AGE], image=["0.png", image], age=[1, 2])
    assert manifest.rows["image"].tolist() == ["0.png"]
    assert aside(manifest) == {image: reason}


def test_a_name_with_a_line_break_is_put_aside_in_one_line(folder: Path) -> None:
    (folder / "a\rb.png").touch()
    manifest = build(folder, [AGE], image=["0.png", "a\rb.png"], age=[1, 2])
    assert aside(manifest) == {r"a\rb.png": "the file name holds a line break or another control character; rename it"}


@pytest.mark.parametrize("image", ["{root}/1.png", "{root}/sub/../1.png", "../photos/1.png", "./sub/..//1.png"])
def test_a_path_that_leads_into_the_folder_is_taken_however_it_is_written(folder: Path, image: str) -> None:
    manifest = build(folder, [AGE], image=["0.png", image.format(root=folder)], age=[1, 2])
    assert manifest.rows["image"].tolist() == ["0.png", "1.png"]
    # Also where the folder is named by a link, and the rows name what it leads to.
    (folder.parent / "link").symlink_to(folder)
    assert len(build(folder.parent / "link", [AGE], image=["0.png", image.format(root=folder)], age=[1, 2])) == 2


def test_a_photo_that_is_there_under_nearly_the_same_name_is_named(folder: Path) -> None:
    for name in ("Sub/A.JPG", "caf\u00e9.png", "u\u0308.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    images = ["0.png", "sub/a.jpg", "cafe\u0301.png", "\u00fc.png", "sub/b.jpg"]
    reasons = aside(build(folder, [AGE], image=images, age=range(5)))
    assert (
        reasons["sub/a.jpg"] == "no such photo; there is 'Sub/A.JPG', in other upper and lower case: rename one of them"
    )
    assert all("in another Unicode form (NFC or NFD)" in reasons[name] for name in images[2:4])
    assert reasons["sub/b.jpg"] == "no such photo"


def test_data_of_which_no_photo_is_there_names_the_first(folder: Path) -> None:
    with pytest.raises(DataError, match=r"none of 2 rows can be used; the first: x\.png, row 7: no such photo"):
        build(folder, [AGE], image=["x.png", "y.png"], age=[1, 2], row=[7, 8])


@pytest.mark.parametrize("column", ["split", "identity", "gender", "age_std"])
def test_two_rows_that_contradict_each_other_are_both_put_aside(folder: Path, column: str) -> None:
    values = {"split": ["train", "test"], "identity": "ab", "gender": "fm", "age_std": [1, 2]}[column]
    columns = {"image": ["0.png", "1.png", "1.png"], "age": [5, 6, 6], column: [values[0], *values]}
    manifest = build(folder, [AGE], **columns)
    assert manifest.rows["image"].tolist() == ["0.png"]
    assert manifest.quarantine["reason"].tolist() == [f"two rows of this photo differ in {column}"] * 2


def test_a_name_with_two_dots_inside_is_no_way_out(folder: Path) -> None:
    (folder / "a..b.png").write_bytes((folder / "0.png").read_bytes())
    assert len(build(folder, [AGE], image=["a..b.png"], age=[1])) == 1


def test_two_rows_with_the_same_label_keep_the_first(folder: Path) -> None:
    manifest = build(folder, [AGE], image=["0.png", "1.png", "0.png"], age=[5, 6, 5], row=[2, 3, 4])
    assert manifest.rows["row"].tolist() == [2, 3]
    assert manifest.quarantine["row"].tolist() == [4]
    assert aside(manifest) == {"0.png": "second row for one photo"}


def test_two_rows_with_different_labels_are_both_put_aside(folder: Path) -> None:
    manifest = build(folder, [AGE], image=["0.png", "1.png", "0.png"], age=[5, 6, 7])
    assert manifest.rows["image"].tolist() == ["1.png"]
    assert manifest.quarantine["reason"].tolist() == ["two rows give this photo different labels"] * 2


def test_labels_given_as_text_become_numbers_and_names_lose_their_blanks(folder: Path) -> None:
    manifest = build(
        folder,
        [AGE, MOOD],
        image=["0.png", "1.png"],
        age=["7", "8.5"],
        mood=[" calm", "glad "],
        split=["train ", "test"],
    )
    assert manifest.rows["age"].tolist() == [7.0, 8.5]
    assert manifest.rows["mood"].tolist() == ["calm", "glad"]
    assert manifest.rows["split"].tolist() == ["train", "test"]


def test_both_ends_of_a_scalar_range_are_labels(folder: Path) -> None:
    manifest = build(folder, [AGE], image=["0.png", "1.png"], age=[0, 100])
    assert len(manifest) == 2


def test_a_row_labelled_for_one_of_two_tasks_is_kept(folder: Path) -> None:
    manifest = build(folder, [AGE, SMILE], image=["0.png", "1.png"], age=[5, np.nan], smile=[np.nan, 1])
    assert len(manifest) == 2
    assert not len(manifest.quarantine)


def test_a_missing_column_is_refused_in_one_line_with_the_columns_that_exist(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'age'; it has image, years") as error:
        build(folder, [AGE], image=["0.png"], years=[5])
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="no column 'worn.glasses'"):
        build(folder, [WORN], image=["0.png"], **{"worn.hat": [1]})


def test_data_without_a_usable_row_is_refused_in_one_line_with_the_first_reason(folder: Path) -> None:
    with pytest.raises(DataError, match="none of 2 rows can be used; the first: 0.png: age 300 is not in 0") as error:
        build(folder, [AGE], image=["0.png", "1.png"], age=[300, 400])
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="no photos found"):
        build(folder, [AGE], image=[], age=[])


def test_a_row_without_a_photo_name_is_put_aside(folder: Path) -> None:
    manifest = build(folder, [AGE], image=["0.png", None], age=[1, 2])
    assert manifest.quarantine["reason"].tolist() == ["no such photo"]


def test_two_rows_without_a_photo_name_are_put_aside(folder: Path) -> None:
    manifest = build(folder, [AGE], image=["0.png", None, None], age=[1, 2, 3])
    assert manifest.rows["image"].tolist() == ["0.png"]


def test_concatenation_leaves_labels_that_one_source_lacks_missing(folder: Path) -> None:
    first = build(folder, [AGE], "first", image=["0.png", "1.png"], age=[5, 6])
    second = build(folder, [SMILE], "second", image=["2.png"], smile=[1])
    both = concatenate([first, second])
    assert list(both.tasks) == ["age", "smile"]
    np.testing.assert_array_equal(both.rows["age"], [5, 6, np.nan])
    np.testing.assert_array_equal(both.rows["smile"], [np.nan, np.nan, 1])
    assert both.paths() == [folder / "0.png", folder / "1.png", folder / "2.png"]


def test_concatenation_unites_classes_in_the_order_of_the_sources(folder: Path) -> None:
    other = CategoricalTask("mood", ("glad", "cross"))
    both = concatenate(
        [
            build(folder, [MOOD], "first", image=["0.png"], mood=["calm"]),
            build(folder, [other], "second", image=["1.png"], mood=["cross"]),
        ]
    )
    assert both.tasks["mood"] == CategoricalTask("mood", ("calm", "glad", "cross"))


def test_concatenation_refuses_different_ranges_and_equal_names(folder: Path) -> None:
    first = build(folder, [AGE], "first", image=["0.png"], age=[5])
    other = build(folder, [ScalarTask("age", 0.0, 80.0, 1.0, "years")], "second", image=["1.png"], age=[5])
    with pytest.raises(DataError, match="task 'age' is defined differently by two sources: maximum 100.0 and 80.0"):
        concatenate([first, other])
    with pytest.raises(DataError, match="two sources are called 'first'"):
        concatenate([first, first])


def test_concatenation_keeps_what_each_source_put_aside(folder: Path) -> None:
    first = build(folder, [AGE], "first", image=["0.png", "1.png"], age=[5, 500])
    second = build(folder, [AGE], "second", image=["2.png", "9.png"], age=[5, 6])
    both = concatenate([first, second])
    assert list(zip(both.quarantine["source"], both.quarantine["image"], strict=True)) == [
        ("first", "1.png"),
        ("second", "9.png"),
    ]


def test_hashes_do_not_depend_on_the_order_of_rows(folder: Path) -> None:
    columns = {"image": ["0.png", "1.png", "2.png"], "age": [5, 6, 7], "split": ["train", "val", "test"]}
    one = build(folder, [AGE], **columns, row=[1, 2, 3])
    two = build(folder, [AGE], **{name: values[::-1] for name, values in columns.items()}, row=[1, 2, 3])
    assert one.rows["image"].tolist() != two.rows["image"].tolist()
    assert one.split_hash() == two.split_hash()
    assert one.label_hash() == two.label_hash()


def test_each_hash_changes_with_what_it_stands_for_alone(folder: Path) -> None:
    images = ["0.png", "1.png"]
    base = build(folder, [AGE], image=images, age=[5, 6], age_std=[1, 1], split=["train", "test"])
    other_label = build(folder, [AGE], image=images, age=[5, 7], age_std=[1, 1], split=["train", "test"])
    other_std = build(folder, [AGE], image=images, age=[5, 6], age_std=[1, 2], split=["train", "test"])
    other_split = build(folder, [AGE], image=images, age=[5, 6], age_std=[1, 1], split=["test", "train"])
    assert base.label_hash() != other_label.label_hash()
    assert base.label_hash() != other_std.label_hash()
    assert base.split_hash() == other_label.split_hash()
    assert base.split_hash() != other_split.split_hash()
    assert base.label_hash() == other_split.label_hash()
    assert base.select([True, False]).split_hash() != base.split_hash()


def test_a_split_is_named_or_refused(folder: Path) -> None:
    manifest = build(folder, [AGE], image=["0.png", "1.png"], age=[5, 6], split=["train", "test"])
    assert manifest.split("test").rows["image"].tolist() == ["1.png"]
    with pytest.raises(DataError, match="no val rows"):
        manifest.split("val")
    with pytest.raises(DataError, match="unknown split 'dev'"):
        manifest.split("dev")


def test_only_group_columns_that_tell_photos_apart_are_groups(folder: Path) -> None:
    manifest = build(folder, [AGE], image=["0.png", "1.png"], age=[5, 6], gender=["f", "m"], race=["x", "x"])
    assert manifest.groups == ("gender",)


def test_photos_are_listed_sorted_below_folders_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "a.png", "b/1.jpeg", ".hidden/3.png", "b/.4.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_photos(tmp_path) == ["a.png", "b/1.jpeg", "b/2.JPG"]
    with pytest.raises(DataError, match="no such folder"):
        list_photos(tmp_path / "c")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no photos below"):
        list_photos(tmp_path / "empty")
