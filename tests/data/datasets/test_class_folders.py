"""A folder per class, with and without folders of splits above."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.datasets import class_folders
from keras_faceattr.data.prepare import read_manifest
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.tasks import CategoricalTask


def test_a_folder_is_a_class(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "male/1.jpg", "male/old/2.jpg", "female/1.png", "x.jpg", ".thumbs/1.jpg")
    (tmp_path / "male" / "notes.txt").write_text("no photo")
    manifest = class_folders.read(tmp_path, task="gender")
    assert manifest.tasks == {"gender": CategoricalTask("gender", ("female", "male"))}
    assert dict(zip(manifest.rows["image"], manifest.rows["gender"], strict=True)) == {
        "female/1.png": "female", "male/1.jpg": "male", "male/old/2.jpg": "male"
    }  # fmt: skip
    assert manifest.rows["split"].isna().all()
    assert manifest.quarantine[["image", "reason"]].values.tolist() == [["x.jpg", "lies in no class's folder"]]


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), ("train", "val", "test")),
        (("Training", "Testing"), ("train", "test")),
        (("train", "validation"), ("train", "test")),
        (("train",), ("train",)),
    ],
)
def test_folders_above_the_classes_are_splits(
    tmp_path: Path, write_photos, folders: tuple[str, ...], splits: tuple[str, ...]
) -> None:
    write_photos(tmp_path, *(f"{folder}/{name}/1.jpg" for folder in folders for name in "ab"))
    write_photos(tmp_path, f"{folders[0]}/x.jpg", "extra/a/1.jpg", "y.jpg")
    manifest = class_folders.read(tmp_path)
    found = manifest.rows.groupby("split")["image"].apply(sorted).to_dict()
    assert found == {s: [f"{f}/a/1.jpg", f"{f}/b/1.jpg"] for f, s in zip(folders, splits, strict=True)}
    assert manifest.tasks["label"].classes == ("a", "b")
    apart = f"lies in none of the folders {', '.join(folders)}"
    assert dict(zip(manifest.quarantine["image"], manifest.quarantine["reason"], strict=True)) == {
        f"{folders[0]}/x.jpg": "lies in no class's folder", "extra/a/1.jpg": apart, "y.jpg": apart
    }  # fmt: skip


def test_numbers_are_in_order(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, *(f"{name}/1.jpg" for name in ("10", "9", "2", "b10", "b9", "a")))
    assert class_folders.read(tmp_path).tasks["label"].classes == ("2", "9", "10", "a", "b9", "b10")


def test_a_linked_and_an_empty_folder_are_classes_too(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "elsewhere/1.jpg", "set/a/1.jpg")
    (tmp_path / "set" / "b").symlink_to("../elsewhere")
    (tmp_path / "set" / "c").mkdir()
    manifest = class_folders.read(tmp_path / "set")
    assert manifest.tasks["label"].classes == ("a", "b", "c")
    assert manifest.rows["image"].tolist() == ["a/1.jpg", "b/1.jpg"]


@pytest.mark.parametrize(
    ("photos", "words"),
    [
        (("1.jpg", "2.jpg"), "needs a folder with photos for each of two classes or more; found: none"),
        (("a/1.jpg",), "two classes or more; found: a"),
        ((), "no photos below"),
    ],
)
def test_fewer_than_two_classes_are_refused(tmp_path: Path, write_photos, photos: tuple[str, ...], words: str) -> None:
    write_photos(tmp_path, *photos)
    with pytest.raises(DataError, match=words):
        class_folders.read(tmp_path)
    with pytest.raises(ConfigError, match="a task's name is made of"):
        class_folders.read(tmp_path, task="source")


def test_a_config_renames_the_classes_and_is_split(tmp_path: Path, write_photos) -> None:
    write_photos(
        tmp_path, *(f"{split}/{name}/{i}.jpg" for split in ("train", "test") for name in "12" for i in range(3))
    )
    for number, path in enumerate(sorted(tmp_path.rglob("*.jpg"))):
        path.write_bytes(path.read_bytes() + bytes([number]))
    source = {
        "reader": "class_folders",
        "path": str(tmp_path),
        "options": {"task": "expression"},
        "labels": {"expression": {"1": "surprise", "2": "fear"}},
    }
    config = {"name": "x", "data": {"sources": [source]}, "tasks": {"expression": {}}}
    manifest, tasks = read_manifest(parse_experiment(config, "x"))
    assert tasks["expression"].classes == ("surprise", "fear")
    assert (manifest.rows["split"] == "test").sum() == 6
