"""What `inspect` says about a data set: counts that can be recounted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_faceattr.data.inspection import draw_inspection, inspect_manifest
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.tasks import BinaryTask, CategoricalTask, EmbeddingTask, IdentityTask, MultilabelTask, ScalarTask

NAN = np.nan


@pytest.fixture
def manifest(tmp_path: Path, tiny_photos) -> Manifest:
    """Seven rows: photo 4 is a copy of photo 0, photo 5 is no photo, row 6 has a label out of range."""
    tiny_photos(tmp_path, 7)
    (tmp_path / "4.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "5.png").write_text("no photo")
    rows = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(7)],
            "row": range(2, 9),
            "age": [5, 15, 15, 100, NAN, 50, 101],
            "age_std": [1, NAN, 2, NAN, NAN, 1, 1],
            "mood": ["calm", "calm", None, "glad", "calm", "glad", "calm"],
            "smile": [1, 0, 1, 1, NAN, 0, 0],
            "worn.hat": [1, 0, 0, 0, 0, 1, 1],
            "worn.glasses": [1, 1, 0, 0, NAN, 1, 1],
            "split": ["train", "train", "train", "test", "val", "test", "test"],
            "identity": ["a", "a", "b", "c", "a", "d", "e"],
            "gender": ["f", "m", "f", "f", "f", "m", "m"],
            "race": ["x"] * 7,
        }
    )
    tasks = [
        ScalarTask("age", 0.0, 100.0, 1.0, "years"),
        CategoricalTask("mood", ("calm", "glad", "cross")),
        BinaryTask("smile"),
        MultilabelTask("worn", ("hat", "glasses")),
    ]
    return build_manifest(Source("mine", tmp_path, licence="CC0"), rows, tasks)


def test_counts_of_photos_splits_people_groups_and_copies(manifest: Manifest) -> None:
    findings, readable = inspect_manifest(manifest)
    assert findings["photos"] == len(readable) == 5
    assert findings["splits"] == {"train": 3, "test": 1, "val": 1}
    assert findings["identities"] == 3
    assert findings["groups"] == {"gender": {"f": 4, "m": 1}, "age": {"3–9": 1, "10–19": 2, "70+": 1}}
    assert findings["duplicates"] == {"photos_with_a_twin": 2, "sets": 1}
    assert findings["sources"]["mine"]["licence"] == "CC0"
    aside = {entry["image"]: (entry["row"], entry["reason"]) for entry in findings["put_aside"]}
    assert aside["6.png"] == (8, "age 101 is not in 0 to 100")
    assert aside["5.png"][0] == 7
    assert "not a photo" in aside["5.png"][1]


def test_labels_of_each_task_are_counted(manifest: Manifest) -> None:
    tasks = inspect_manifest(manifest)[0]["tasks"]
    age = tasks["age"]
    assert (age["labelled"], age["missing"], age["with_own_std"]) == (4, 1, 2)
    # 5, 15, 15, 100: mean 135 / 4; mean square 10475 / 4.
    assert age["mean"] == pytest.approx(33.75)
    assert age["std"] == pytest.approx((10475 / 4 - 33.75**2) ** 0.5)
    assert [b["photos"] for b in age["histogram"]] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert (age["histogram"][0]["from"], age["histogram"][9]["to"]) == (0.0, 100.0)
    assert tasks["mood"]["classes"] == {"calm": 3, "glad": 1, "cross": 0}
    assert tasks["mood"]["missing"] == 1
    assert tasks["smile"]["share_of_yes"] == {"smile": pytest.approx(3 / 4)}
    assert tasks["worn"]["share_of_yes"] == {"hat": pytest.approx(1 / 5), "glasses": pytest.approx(2 / 4)}
    assert tasks["worn"]["missing"] == 0


def test_without_decoding_no_photo_is_put_aside(manifest: Manifest) -> None:
    findings, readable = inspect_manifest(manifest, decode=False)
    assert findings["photos"] == len(readable) == 6
    assert [entry["image"] for entry in findings["put_aside"]] == ["6.png"]


def test_findings_are_plain_data(manifest: Manifest) -> None:
    findings, _ = inspect_manifest(manifest, decode=False)
    assert json.loads(json.dumps(findings, allow_nan=False)) == findings


def test_the_picture_shows_the_photos(manifest: Manifest, tmp_path: Path) -> None:
    findings, readable = inspect_manifest(manifest)
    draw_inspection(readable, findings, tmp_path / "out" / "inspection.png")
    picture = cv2.imread(str(tmp_path / "out" / "inspection.png"))
    # tiny_photos: photo 3 is (3, 6, 252) in RGB, a blue that no axis, bar or text of the figure has.
    blue = np.abs(picture.astype(int) - (252, 6, 3)).max(axis=-1) <= 3
    assert blue.sum() > 500
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["inspection.png"]


def test_a_data_set_without_a_readable_photo_is_drawn_too(tmp_path: Path, tiny_photos) -> None:
    tiny_photos(tmp_path, 1)
    (tmp_path / "0.png").write_text("no photo")
    rows = pd.DataFrame({"image": ["0.png"], "age": [5]})
    manifest = build_manifest(Source("mine", tmp_path), rows, [ScalarTask("age", 0.0, 100.0, 1.0)])
    findings, readable = inspect_manifest(manifest)
    assert findings["photos"] == 0
    draw_inspection(readable, findings, tmp_path / "inspection.png")


def test_people_are_counted_by_their_photos_and_a_teacher_labels_all(tmp_path: Path, tiny_photos) -> None:
    # Ann is on one photo, Bea on two, Cleo on four; one photo shows nobody that is known.
    images = tiny_photos(tmp_path, 8)
    rows = pd.DataFrame({"image": images, "identity": ["a", *"bb", *"cccc", None]})
    manifest = build_manifest(Source("mine", tmp_path), rows, [IdentityTask("person"), EmbeddingTask("vector", 4)])
    findings, readable = inspect_manifest(manifest, decode=False)
    person = findings["tasks"]["person"]
    assert (person["labelled"], person["missing"], person["people"]) == (7, 1, 3)
    assert person["photos_per_person"] == {
        "1 photo": 1, "2 to 4 photos": 2, "5 to 9 photos": 0, "10 to 49 photos": 0, "50 or more photos": 0
    }  # fmt: skip
    assert findings["tasks"]["vector"] == {"kind": "embedding", "labelled": 8, "missing": 0}
    draw_inspection(readable, findings, tmp_path / "inspection.png")


def test_the_command_inspects_people(tmp_path: Path, tiny_csv, command_line) -> None:
    csv = tiny_csv(tmp_path, 3, identity=["a", "a", "[b]"])
    config = {"name": "x", "data": {"sources": [{"reader": "csv_file", "path": str(csv)}]}}
    path = tmp_path / "x.yaml"
    path.write_text(json.dumps({**config, "tasks": {"person": {"kind": "identity"}}}))
    code, out, err = command_line("data", "inspect", path, "--picture", tmp_path / "look.png")
    assert code == 0, err
    assert "person: 3 labelled, 0 missing, 2 people" in out
    assert "2 to 4 photos" in out
