"""An alignment that goes on: photos that have changed, another detector, a damaged journal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from aligning import here, manifest_of, plain_photos, scene, written

from keras_faceattr.alignment import job
from keras_faceattr.alignment.job import Alignment
from keras_faceattr.alignment.work import AlignedPhoto, Work, align_photos
from keras_faceattr.errors import DataError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.photos import read_photo

SQUARES = Work(CropSpec(16, "centre_square"), "largest", "png")
FACES = Work(CropSpec(32, "five_points"), "largest", "png")


def again(folder: Path, work: Work = SQUARES) -> list[str]:
    """Goes on with an alignment of `folder/photos`; names of the photos that it cut."""
    cut: list[str] = []

    def engine(work: Work, chunks: Iterable[list[Path]]) -> Iterator[list[AlignedPhoto]]:
        for chunk in chunks:
            cut.extend(path.name for path in chunk)
            yield align_photos(work, chunk)

    alignment = Alignment(folder / "out", manifest_of(folder / "photos"), work)
    already = alignment.done
    alignment.run(engine, lambda done: None)
    assert already == len(alignment.manifest) - len(cut)
    alignment.finish(0.5)
    assert [name.split("/")[-1].split(".")[0] for name in _column(folder, "image")] == [
        name.split(".")[0] for name in _column(folder, "source_image")
    ]
    return cut


def _column(folder: Path, name: str) -> list[str]:
    head, *rows = (folder / "out" / "manifest.csv").read_text().splitlines()
    return [row.split(",")[head.split(",").index(name)] for row in rows]


def test_photos_that_have_changed_are_cut_anew_and_no_others(tmp_path: Path) -> None:
    photos = plain_photos(tmp_path / "photos", 40)
    assert len(again(tmp_path)) == 40
    assert again(tmp_path) == []
    for number in (3, 20):
        written(photos[number], np.full((24, 24, 3), 200, np.uint8))
    # Only its time has changed.
    os.utime(photos[5], ns=(1, 1))
    assert again(tmp_path) == ["003.png", "020.png"]
    for number, grey in ((2, 2), (3, 200), (5, 5), (20, 200), (39, 39)):
        assert read_photo(tmp_path / "out" / "crops" / f"{number:03d}.png")[0, 0, 0] == grey
    assert again(tmp_path) == []
    plain_photos(tmp_path / "fresh" / "photos", 40)
    for number in (3, 20):
        written(tmp_path / "fresh" / "photos" / f"{number:03d}.png", np.full((24, 24, 3), 200, np.uint8))
    again(tmp_path / "fresh")
    assert (tmp_path / "fresh/out/manifest.csv").read_bytes() == (tmp_path / "out/manifest.csv").read_bytes()


def test_a_journal_without_sizes_and_times_is_checked_by_the_photos_bytes(tmp_path: Path) -> None:
    photos = plain_photos(tmp_path / "photos", 3)
    again(tmp_path)
    journal = tmp_path / "out" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps({k: line[k] for k in line if k != "stamp"}) + "\n" for line in lines))
    assert again(tmp_path) == []
    written(photos[1], np.full((24, 24, 3), 200, np.uint8))
    assert again(tmp_path) == ["001.png"]


def test_faces_that_a_changed_photo_no_longer_shows_leave_no_crop(tmp_path: Path) -> None:
    work = Work(CropSpec(32, "five_points"), "all", "png")
    written(tmp_path / "photos" / "a.png", scene(3, faces=2))
    written(tmp_path / "photos" / "b.png", scene(0))
    again(tmp_path, work)
    written(tmp_path / "photos" / "a.png", scene(1))
    assert again(tmp_path, work) == ["a.png"]
    assert sorted(path.name for path in (tmp_path / "out" / "crops").iterdir()) == ["a.1.png", "b.1.png"]


@pytest.mark.parametrize(
    "damage",
    [
        b"{\n",
        b"[1]\n",
        b"\xff\xfe\n",
        b'{"sha256": "x"}\n',
        b'{"sha256": "x", "faces": [1], "reason": null}\n',
        b"null\n",
    ],
)
def test_what_stands_behind_a_damaged_line_is_cut_anew(tmp_path: Path, damage: bytes) -> None:
    plain_photos(tmp_path / "photos", 5)
    again(tmp_path)
    journal, table = tmp_path / "out" / "journal.jsonl", (tmp_path / "out" / "manifest.csv").read_bytes()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], damage, *lines[3:]]))
    assert again(tmp_path) == ["002.png", "003.png", "004.png"]
    assert journal.read_bytes().splitlines(keepends=True) == lines
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == table
    # One that stands there too much is dropped.
    journal.write_bytes(b"".join([*lines, damage]))
    assert again(tmp_path) == []
    assert journal.read_bytes() == b"".join(lines)


def test_crops_of_two_detectors_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_photos(tmp_path / "photos", 2)
    manifest = manifest_of(tmp_path / "photos")
    for folder, work in (("faces", FACES), ("squares", SQUARES)):
        Alignment(tmp_path / folder, manifest, work)
    monkeypatch.setattr(job, "detector_version", lambda: "9.9-9")
    with pytest.raises(DataError, match=r"holds crops of detector .*, and this is 9\.9-9, .*: choose another --out"):
        Alignment(tmp_path / "faces", manifest, FACES)
    # Where no face is looked for, any will do.
    Alignment(tmp_path / "squares", manifest, SQUARES)
    plan = tmp_path / "faces" / "plan.json"
    plan.write_text(json.dumps({k: v for k, v in json.loads(plan.read_text()).items() if k != "detector"}))
    with pytest.raises(DataError, match="holds crops of detector unknown"):
        Alignment(tmp_path / "faces", manifest, FACES)


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 2)
    # No process has this number.
    name = f".writing-4194305-{os.uname().nodename}-x.csv"
    left = [tmp_path / "out" / name, tmp_path / "out" / "crops" / name]
    alignment = Alignment(tmp_path / "out", manifest_of(tmp_path / "photos"), SQUARES)
    (tmp_path / "out" / "crops").mkdir()
    for path in left:
        path.touch()
    alignment.run(here, lambda done: None)
    assert not any(path.exists() for path in left)
