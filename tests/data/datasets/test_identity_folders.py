"""Folders of photos, one a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_faceattr.data.datasets import identity_folders
from keras_faceattr.errors import ConfigError, DataError


def test_the_folder_is_the_person(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "Ann_Bee/Ann_Bee_0001.jpg", "Ann_Bee/Ann_Bee_0002.jpg", "null/null_0001.png", "x.jpg")
    (tmp_path / "Ann_Bee" / "notes.txt").write_text("no photo")
    manifest = identity_folders.read(tmp_path)
    assert manifest.tasks == {}
    assert dict(zip(manifest.rows["image"], manifest.rows["identity"], strict=True)) == {
        "Ann_Bee/Ann_Bee_0001.jpg": "Ann_Bee",
        "Ann_Bee/Ann_Bee_0002.jpg": "Ann_Bee",
        "null/null_0001.png": "null",
    }
    assert manifest.quarantine[["image", "reason"]].values.tolist() == [["x.jpg", "lies in no person's folder"]]


def test_photos_without_folders_are_refused(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(DataError, match="put each person's photos in a folder"):
        identity_folders.read(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        identity_folders.read(tmp_path / "nowhere")


def test_people_with_fewer_photos_than_asked_for_are_left_out(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, *(f"ann/{n}.jpg" for n in range(3)), "bob/0.jpg", "bob/1.jpg", "carl/0.jpg", "x.jpg")
    manifest = identity_folders.read(tmp_path, min_photos=2)
    assert manifest.rows["identity"].value_counts().to_dict() == {"ann": 3, "bob": 2}
    assert manifest.quarantine["image"].tolist() == ["x.jpg"]
    assert len(identity_folders.read(tmp_path)) == 6
    with pytest.raises(DataError, match="nobody in .* has 4 photos, the most are 3: lower the option min_photos"):
        identity_folders.read(tmp_path, min_photos=4)
    with pytest.raises(ConfigError, match="min_photos 0 is below 1"):
        identity_folders.read(tmp_path, min_photos=0)


@pytest.mark.realdata
def test_real_photos(real_folder) -> None:
    manifest = identity_folders.read(real_folder("lfw"))
    assert len(manifest) == 6078
    counts = manifest.rows["identity"].value_counts()
    assert len(counts) == 1680
    assert (counts.min(), counts.max()) == (2, 8)
