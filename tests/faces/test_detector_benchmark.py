"""Our detector beside the package `mtcnn`: which faces are the same, and what is measured."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small import CommandLine

from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.faces.detector_benchmark import agreement, benchmark_detector
from keras_faceattr.faces.found import NO_FACES, Faces


def faces(*lefts: float, shift: float = 0.0) -> Faces:
    """Faces of 100 by 100 pixels at these left edges, whose points are moved by `shift`."""
    boxes = np.array([[left, 0, left + 100, 100] for left in lefts], np.float32).reshape(-1, 4)
    points = np.stack([np.full((5, 2), left + 50 + shift) for left in lefts]) if lefts else NO_FACES.points
    return Faces(boxes, np.ones(len(lefts), np.float32), points.astype(np.float32))


def test_the_same_faces_agree_in_whatever_order() -> None:
    same = agreement([faces(0, 300), NO_FACES], [faces(300, 0), NO_FACES])
    assert same == {"faces": 2, "recall": 1.0, "precision": 1.0, "largest_point_gap": 0.0}


def test_faces_that_one_has_alone_lower_recall_or_precision() -> None:
    theirs, ours = [faces(0, 300, 600, 900)], [faces(0, 300, 600)]
    assert agreement(ours, theirs) == {"faces": 4, "recall": 0.75, "precision": 1.0, "largest_point_gap": 0.0}
    assert agreement(theirs, ours) == {"faces": 3, "recall": 1.0, "precision": 0.75, "largest_point_gap": 0.0}


def test_a_face_counts_as_the_same_from_an_overlap_of_95_percent() -> None:
    # Two pixels aside: 98 of 102 columns are shared. Three: 97 of 103, which is 0.942.
    assert agreement([faces(2)], [faces(0)])["recall"] == 1.0
    assert agreement([faces(3)], [faces(0)])["recall"] == 0.0


def test_one_face_answers_for_one_only() -> None:
    same = agreement([faces(0)], [faces(0, 1)])
    assert (same["faces"], same["recall"], same["precision"]) == (2, 0.5, 1.0)


def test_the_largest_gap_is_between_points_of_the_same_faces() -> None:
    assert agreement([faces(0, shift=3), faces(0)], [faces(0), faces(0, shift=7)])["largest_point_gap"] == 7.0
    # What is not the same face has no gap.
    assert agreement([faces(500, shift=3)], [faces(0)])["largest_point_gap"] == 0.0


def test_no_faces_at_all_agree() -> None:
    assert agreement([NO_FACES], [NO_FACES]) == {
        "faces": 0, "recall": 1.0, "precision": 1.0, "largest_point_gap": 0.0
    }  # fmt: skip
    assert agreement([faces(0)], [NO_FACES])["precision"] == 0.0
    assert agreement([NO_FACES], [faces(0)])["recall"] == 0.0


def test_our_detector_alone_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_faceattr.faces.detector_benchmark.usable_cores", lambda: 2)
    photos = [draw_scene(5, index, 96, 96)[0] for index in range(2)]
    result = benchmark_detector(photos, package=False)
    assert set(result) == {
        "photos", "side", "images_per_s", "stages", "machine", "rounds", "ratios", "agreement"
    }  # fmt: skip
    assert (result["photos"], result["side"], result["ratios"]) == (2, 96, {})
    assert list(result["images_per_s"]) == ["ours, one thread", "ours, 2 threads", "ours, one thread, min_face 40"]
    assert all(speed > 0 for speed in result["images_per_s"].values())
    assert len(result["stages"]) == 4 and sum(result["stages"].values()) == pytest.approx(1)
    assert all(share >= 0 for share in result["stages"].values())
    (same,) = result["agreement"].values()
    assert same["faces"] == 2 and 0 <= same["recall"] <= 1


def test_photos_too_small_for_any_face_are_measured_too() -> None:
    result = benchmark_detector([np.zeros((16, 16, 3), np.uint8)], package=False)
    assert result["agreement"]["min_face 40 with min_face 20"]["faces"] == 0
    assert sum(result["stages"].values()) == pytest.approx(1)


@pytest.mark.slow
def test_the_package_finds_the_same_faces() -> None:
    pytest.importorskip("mtcnn")
    photos = [draw_scene(5, index, 96, 96)[0] for index in range(2)]
    result = benchmark_detector(photos, package=True)
    same = result["agreement"]["ours with mtcnn"]
    assert (same["faces"], same["recall"], same["precision"]) == (2, 1.0, 1.0)
    assert same["largest_point_gap"] < 1
    assert len(result["ratios"]) == 3 and all(ratio > 0 for ratio in result["ratios"].values())
    assert {"mtcnn, one thread, one by one", "mtcnn, one thread, 16 at once"} <= result["images_per_s"].keys()


@pytest.fixture
def command(command_line: CommandLine) -> CommandLine:
    """Runs `keras-faceattr benchmark detector` with arguments."""
    return partial(command_line, "benchmark", "detector")


def test_the_command_measures_drawn_scenes_in_every_size(command: CommandLine, tmp_path: Path) -> None:
    code, out, _ = command("--photos", "1", "--side", "64,48", "--no-package", "--json", "--out", tmp_path)
    assert code == 0
    told: dict[str, Any] = json.loads(out)
    assert told["source"] == "drawn scenes"
    assert [(entry["photos"], entry["side"]) for entry in told["results"]] == [(1, 64), (1, 48)]
    assert json.loads((tmp_path / "detector.json").read_text(encoding="utf-8")) == told


def test_the_command_prints_speeds_and_stages_of_photos_of_ones_own(command: CommandLine, tmp_path: Path) -> None:
    for index in range(3):
        photo = draw_scene(5, index, 90, 120)[0]
        assert cv2.imwrite(str(tmp_path / f"{index}.png"), photo[..., ::-1])
    code, out, err = command(tmp_path, "--photos", "2", "--side", "80", "--no-package")
    assert code == 0
    assert "2 photos at 80 × 80 pixels" in err
    for text in ("images/s", "ours, one thread", "min_face 40 with min_face 20", "size pyramid"):
        assert text in out, text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--side", "16"], "--side '16' is no whole number from 32 to 1024"),
        (["--side", "64,large"], "--side 'large'"),
        (["--side", "²56"], "--side '²56'"),
        (["/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_value_is_one_line(command: CommandLine, options: list[str], words: str) -> None:
    code, out, err = command(*options, "--no-package", "--photos", "1")
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (code, out, len(lines)) == (2, "", 1), err
    assert words in lines[0]


def test_no_side_at_all_is_refused(command: CommandLine) -> None:
    assert command("--side", ",", "--no-package", "--photos", "1")[0] == 2
