"""RAF-DB: the seven numbers, the official parts, and groups from the manual annotations."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_faceattr.data.datasets import raf_db
from keras_faceattr.data.groups import group_members
from keras_faceattr.data.vocabulary import EXPRESSIONS
from keras_faceattr.errors import DataError

NAMES = [f"train_{n:05d}" for n in range(1, 6)] + ["test_0001", "test_0002"]
CLASSES = ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]  # 1 to 7 in the release's readme
LANDMARKS = "10.5\t20.5\n" * 5


def write_release(base: Path, write_photos) -> None:
    write_photos(base / "Image" / "aligned", *(f"{name}_aligned.jpg" for name in NAMES))
    (base / "EmoLabel").mkdir(parents=True)
    labels = "".join(f"{name}.jpg {code}\n" for code, name in enumerate(NAMES, start=1))
    (base / "EmoLabel" / "list_patition_label.txt").write_text(labels)


@pytest.mark.parametrize("prefix", ["", "basic"])
def test_official_release(tmp_path: Path, write_photos, prefix: str) -> None:
    write_release(tmp_path / prefix, write_photos)
    manifest = raf_db.read(tmp_path)
    rows = manifest.rows
    below = f"{prefix}/" if prefix else ""
    assert rows["image"].tolist() == [f"{below}Image/aligned/{name}_aligned.jpg" for name in NAMES]
    assert rows["expression"].tolist() == CLASSES
    assert rows["split"].tolist() == ["train"] * 5 + ["test"] * 2
    assert rows["row"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert manifest.groups == ()


def test_groups_of_the_manual_annotations(tmp_path: Path, write_photos) -> None:
    write_release(tmp_path, write_photos)
    folder = tmp_path / "Annotation" / "manual"
    folder.mkdir(parents=True)
    codes = [("0", "0", "0"), ("1", "1", "1"), ("2", "2", "2"), ("1", "0", "3"), ("0", "2", "4"), ("1", "1", "2")]
    for name, attributes in zip(NAMES, codes, strict=False):
        (folder / f"{name}_manu_attri.txt").write_text(LANDMARKS + "".join(f"{code}\n" for code in attributes))
    manifest = raf_db.read(tmp_path)
    assert manifest.rows["gender"].fillna("-").tolist() == ["male", "female", "-", "female", "male", "female", "-"]
    assert manifest.rows["race"].fillna("-").tolist() == [
        "Caucasian", "African-American", "Asian", "Caucasian", "Asian", "African-American", "-",
    ]  # fmt: skip
    # Ranges as the release's readme names them.
    assert manifest.rows["age_group"].fillna("-").tolist() == ["0–3", "4–19", "20–39", "40–69", "70+", "20–39", "-"]
    assert manifest.groups == ("gender", "race", "age_group")
    assert list(group_members(manifest.rows["age_group"])) == ["0–3", "4–19", "20–39", "40–69", "70+"]
    assert list(manifest.tasks) == ["expression"]
    (folder / f"{NAMES[0]}_manu_attri.txt").write_text(f"{LANDMARKS}male\n0\n2\n")
    with pytest.raises(DataError, match=r"train_00001_manu_attri\.txt: lines 6 to 8 are \['male', '0', '2'\]"):
        raf_db.read(tmp_path)


def test_landmarks_of_the_original_photo_are_columns(tmp_path: Path, write_photos) -> None:
    write_release(tmp_path, write_photos)
    path = tmp_path / "Annotation" / "manual" / f"{NAMES[1]}_manu_attri.txt"
    path.parent.mkdir(parents=True)
    path.write_text("101\t52\n150.5\t50\n127\t80\n105\t110\n148\t111\n1\n0\n2\n")
    rows = raf_db.read(tmp_path).rows
    points = [column for column in rows if column.startswith("original_")]
    assert points[:3] == ["original_left_eye_x", "original_left_eye_y", "original_right_eye_x"]
    assert rows.loc[1, points].tolist() == [101, 52, 150.5, 50, 127, 80, 105, 110, 148, 111]
    assert rows.loc[0, points].isna().all()
    path.write_text("101\t52\n150.5\n127\t80\n105\t110\n148\t111\n1\n0\n2\n")
    with pytest.raises(DataError, match="lines 1 to 5 are not x and y of five landmarks"):
        raf_db.read(tmp_path)


def test_unknown_number_and_missing_photo_are_put_aside(tmp_path: Path, write_photos) -> None:
    write_release(tmp_path, write_photos)
    with (tmp_path / "EmoLabel" / "list_patition_label.txt").open("a") as labels:
        labels.write("test_0003.jpg 8\ntest_0004.jpg 1\n")
    quarantine = raf_db.read(tmp_path).quarantine
    assert quarantine[["row", "reason"]].values.tolist() == [
        [8, f"expression '8' is none of {', '.join(EXPRESSIONS)}"],
        [9, "no such photo"],
    ]


def test_a_missing_label_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no EmoLabel/list_patition_label\.txt in .* or its basic/"):
        raf_db.read(tmp_path)
    (tmp_path / "EmoLabel").mkdir()
    for text, message in (("", "not lines of name and code"), ("train_00001.jpg 5 1\n", "3 words in a line")):
        (tmp_path / "EmoLabel" / "list_patition_label.txt").write_text(text)
        with pytest.raises(DataError, match=message):
            raf_db.read(tmp_path)
