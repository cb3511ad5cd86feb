"""The one walk through folders of photos: links are followed, and whatever cannot be read is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from keras_faceattr.api.named import read_named
from keras_faceattr.data import photo_folders
from keras_faceattr.data.datasets import fer2013, identity_folders
from keras_faceattr.data.photo_folders import find_photos, list_photos
from keras_faceattr.errors import DataError
from keras_faceattr.evaluation.predict import list_inputs


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def test_a_linked_folder_is_entered_by_everything_that_lists_photos(tmp_path: Path) -> None:
    touch(tmp_path, "raw/a.png", "raw/b.png", "photos/c.png")
    (tmp_path / "photos" / "more").symlink_to("../raw")
    (tmp_path / "photos" / "d.png").symlink_to("../raw/a.png")
    expected = ["c.png", "d.png", "more/a.png", "more/b.png"]
    folder = tmp_path / "photos"
    assert list_photos(folder) == expected
    assert list_inputs(folder).photos == [folder / name for name in expected]
    assert read_named(str(folder), {}, [], plain_folder=True).manifest.rows["image"].tolist() == expected


def test_a_linked_person_and_a_linked_class_take_part(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.png", "people/ann/1.png", "train/happy/1.png", "test/happy/2.png")
    for name in ("people/bea", "train/sad", "test/sad"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    assert identity_folders.read(tmp_path / "people").rows["identity"].tolist() == ["ann", "bea"]
    assert sorted(fer2013.read(tmp_path).rows["image"]) == [
        "test/happy/2.png", "test/sad/1.png", "train/happy/1.png", "train/sad/1.png"
    ]  # fmt: skip


def test_a_link_to_a_folder_that_it_lies_in_is_no_endless_walk(tmp_path: Path) -> None:
    touch(tmp_path, "set/a/b/1.png", "other/2.png")
    for number, target in enumerate((tmp_path, tmp_path / "set", tmp_path / "set" / "a", "/")):
        (tmp_path / "set" / "a" / "b" / f"up{number}").symlink_to(target)
    (tmp_path / "set" / "a" / "b" / "self").symlink_to("self")
    (tmp_path / "link").symlink_to("set")
    for root in (tmp_path / "set", tmp_path / "link"):
        found = find_photos(root)
        assert found.photos == ("a/b/1.png",)
        assert [path for path, _ in found.skipped] == ["a/b/self"]


def test_pipes_devices_and_links_to_nothing_are_named_and_never_opened(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "notes.txt", "labels.CSV", "noend")
    os.mkfifo(tmp_path / "2.png")
    (tmp_path / "3.png").symlink_to("/dev/zero")
    (tmp_path / "4.png").symlink_to("nowhere.png")
    (tmp_path / "raw").symlink_to("../nowhere")
    found = find_photos(tmp_path)
    assert found.photos == ("1.png",)
    reasons = dict(found.skipped)
    assert list(reasons) == ["2.png", "3.png", "4.png", "raw"]
    assert "pipe, socket or device" in reasons["2.png"] and "pipe, socket or device" in reasons["3.png"]
    assert "a link to nothing" in reasons["4.png"] and "a link to nothing" in reasons["raw"]
    assert found.others == {"": 1, ".csv": 1, ".txt": 1}


@pytest.fixture
def locked_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two people, of whom one's folder cannot be read; also where the tests run as root."""
    touch(tmp_path, "ann/1.png", "bea/1.png")
    whole = os.scandir

    def scandir(path: Any) -> Any:
        if os.fspath(path).endswith("bea"):
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(photo_folders.os, "scandir", scandir)
    return tmp_path


def test_a_folder_that_cannot_be_read_is_named(locked_folder: Path) -> None:
    reason = "the folder cannot be read: Permission denied; allow it, or move it away"
    assert find_photos(locked_folder).skipped == (("bea/", reason),)
    for manifest in (
        identity_folders.read(locked_folder),
        read_named(str(locked_folder), {}, [], plain_folder=True).manifest,
    ):
        assert manifest.rows["image"].tolist() == ["ann/1.png"]
        assert manifest.quarantine[["image", "row", "reason"]].values.tolist() == [["bea/", -1, reason]]
    with pytest.raises(DataError, match=r"cannot read .*/bea: Permission denied"):
        find_photos(locked_folder / "bea")


@pytest.mark.parametrize(
    ("name", "shown", "word"),
    [
        (b"a\rb.png", r"a\rb.png", "control character"),
        (b"a\nb.png", r"a\nb.png", "control character"),
        (b"a\xff.png", r"a\udcff.png", "not UTF-8"),
    ],
)
def test_a_name_that_no_table_can_hold_is_left_out_and_named(
    tmp_path: Path, name: bytes, shown: str, word: str
) -> None:
    touch(tmp_path, "1.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"")
    found = find_photos(tmp_path)
    assert found.photos == ("1.png",)
    ((path, reason),) = found.skipped
    assert path == shown and word in reason
    assert path.isprintable()


@pytest.mark.parametrize("suffix", [".heic", ".AVIF", ".jp2", ".jpe", ".jfif"])
def test_every_format_of_photos_is_found(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"1{suffix}")
    assert list_photos(tmp_path) == [f"1{suffix}"]


@pytest.mark.parametrize("name", ["none", "none/deep/er", "file", "file/x", "loop"])
def test_what_is_no_folder_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match=rf"(no such folder: |cannot read ){tmp_path}/{name}"):
        find_photos(tmp_path / name)


def test_a_folder_without_photos_says_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b.txt", "c.csv", ".hidden.png")
    with pytest.raises(DataError, match=r"no photos below .*\(looked for \.jpg.*; other files: 1 \.csv, 2 \.txt\)"):
        list_photos(tmp_path)
