"""The detector's files for a phone: fixed shapes, every constant beside them, and the faces that a port must find."""

from __future__ import annotations

import json
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import CommandLine

from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.convert.detector import GOLDEN_SEED, export_detector
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import ConfigError
from keras_faceattr.faces.boxes import overlaps
from keras_faceattr.faces.detector import Detector, FixedDetector
from keras_faceattr.faces.detector_spec import DetectorSpec
from keras_faceattr.faces.nets import Fixed
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.run import Run
from keras_faceattr.storage import sha256

HEIGHT, WIDTH, MIN_FACE, WINDOWS = 120, 161, 24, (8, 3)
"""One shape for all tests, because building its nets takes long."""

SPEC = DetectorSpec(MIN_FACE)
SHAPE = ["--photo", f"{WIDTH}x{HEIGHT}", "--windows", "8,3"]
NETS = ("pnet", "rnet", "onet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = export_detector(tmp_path_factory.mktemp("detector") / "out", (HEIGHT, WIDTH), SPEC, WINDOWS)
    assert path.name == "detector.json"
    return path.parent


@pytest.fixture(scope="module")
def sidecar(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "detector.json").read_text(encoding="utf-8")))


@pytest.fixture
def command(command_line: CommandLine) -> CommandLine:
    """Runs `keras-faceattr export --detector` with arguments."""
    return partial(command_line, "export", "--detector")


def test_files_stand_beside_what_describes_them(folder: Path, sidecar: dict[str, Any]) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    golden = {"golden/expected.json", *(f"golden/{i}.png" for i in range(6))}
    assert names == {"detector.json", *(f"{name}.tflite" for name in NETS), *golden}
    assert list(sidecar["nets"]) == list(NETS)
    for name, net in sidecar["nets"].items():
        path = folder / net["file"]
        assert path.name == f"{name}.tflite"
        assert (net["sha256"], net["bytes"]) == (sha256(path), path.stat().st_size)
        assert net["macs"] > 0


def test_the_nets_have_the_fixed_shapes_that_are_stated(folder: Path, sidecar: dict[str, Any]) -> None:
    nets, canvas = sidecar["nets"], sidecar["canvas"]
    assert nets["pnet"]["input"] == [1, canvas["height"], canvas["width"], 3]
    assert nets["rnet"]["input"] == [8, 24, 24, 3] and nets["onet"]["input"] == [3, 48, 48, 3]
    assert nets["rnet"]["outputs"] == {"offsets": [8, 4], "score": [8, 2]}
    assert nets["onet"]["outputs"] == {"offsets": [3, 4], "points": [3, 10], "score": [3, 2]}
    rows, columns = (canvas[side] // 2 - 5 for side in ("height", "width"))
    assert nets["pnet"]["outputs"] == {"offsets": [1, rows, columns, 4], "score": [1, rows, columns, 2]}
    for name in NETS:
        file = read_tflite(folder / f"{name}.tflite")
        assert not any(tensor.is_dynamic for tensor in file.tensors)


@pytest.mark.parametrize("name", NETS)
def test_every_operation_is_a_builtin_and_counted(folder: Path, sidecar: dict[str, Any], name: str) -> None:
    file = read_tflite(folder / f"{name}.tflite")
    assert not [op.kind for op in file.ops if op.is_custom or op.kind.startswith("Flex")]
    assert sum(sidecar["nets"][name]["operations"].values()) == len(file.ops)
    assert sidecar["nets"][name]["operations"].keys() == {op.kind for op in file.ops}


def test_every_size_of_the_photo_lies_on_the_canvas_and_on_no_other(sidecar: dict[str, Any]) -> None:
    canvas, levels = sidecar["canvas"], sidecar["canvas"]["levels"]
    taken = np.zeros((canvas["height"], canvas["width"]), int)
    for level in levels:
        taken[level["top"] : level["top"] + level["height"], level["left"] : level["left"] + level["width"]] += 1
        assert level["top"] + level["height"] <= canvas["height"]
        assert level["left"] + level["width"] <= canvas["width"]
        assert (level["height"], level["width"]) == (int(HEIGHT * level["scale"]), int(WIDTH * level["scale"]))
        cells = level["cells"]
        assert (2 * cells["top"], 2 * cells["left"]) == (level["top"], level["left"])
        # A window of 12 pixels reaches over the level's border by one at most.
        assert 2 * (cells["bottom"] - 1) + 12 <= level["top"] + level["height"] + 1
        assert 2 * (cells["right"] - 1) + 12 <= level["left"] + level["width"] + 1
    assert taken.max() == 1
    # P-Net's window shows the smallest face first.
    assert levels[0]["scale"] == pytest.approx(12 / MIN_FACE)
    for larger, smaller in pairwise(levels):
        assert smaller["scale"] == pytest.approx(larger["scale"] * 0.709)
    assert HEIGHT * levels[-1]["scale"] * 0.709 < 12.1


def test_every_constant_of_the_cascade_is_stated(sidecar: dict[str, Any]) -> None:
    assert sidecar["format"] == 1
    assert sidecar["photo"] == {"height": HEIGHT, "width": WIDTH, "pixels": "RGB, 0 to 255, float32"}
    assert (sidecar["min_face"], sidecar["factor"], sidecar["stride"]) == (MIN_FACE, 0.709, 2)
    assert sidecar["thresholds"] == {"pnet": 0.6, "rnet": 0.7, "onet": 0.7}
    assert [net["window"] for net in sidecar["nets"].values()] == [12, 24, 48]
    assert sidecar["points"] == ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"]
    template = np.array(sidecar["template"])
    assert template.shape == (5, 2) and ((template > 0) & (template < 1)).all()
    # Mirrored, left and right change places.
    np.testing.assert_allclose(template[[1, 0, 2, 4, 3]] * [-1, 1] + [1, 0], template, atol=1e-5)
    assert sidecar["licence"]["weights"].startswith("MIT, mtcnn ")
    assert sidecar["golden"]["photos"] == 6
    assert sidecar["golden"]["smallest_iou"] > 0.99 and sidecar["golden"]["largest_point_gap_px"] < 0.25


def test_a_port_that_reads_the_files_finds_the_golden_faces(folder: Path, sidecar: dict[str, Any]) -> None:
    files = {name: folder / net["file"] for name, net in sidecar["nets"].items()}
    fixed = Fixed((HEIGHT, WIDTH), sidecar["min_face"], sidecar["factor"], WINDOWS)
    spec = DetectorSpec(sidecar["min_face"], tuple(sidecar["thresholds"].values()), sidecar["factor"])  # type: ignore[arg-type]
    phone, here = FixedDetector(fixed, files, spec), Detector(spec)
    expected = json.loads((folder / "golden" / "expected.json").read_text(encoding="utf-8"))
    assert sum(map(len, expected.values())) >= 6
    for name, faces in expected.items():
        photo = read_photo(folder / "golden" / name)
        np.testing.assert_array_equal(
            photo, draw_scene(GOLDEN_SEED, int(name[0]), HEIGHT, WIDTH, faces=1 + int(name[0]) % 2)[0]
        )
        found, ours = phone.detect(photo), here.detect(photo)
        assert len(found) == len(faces) == len(ours)
        for i, face in enumerate(faces):
            np.testing.assert_allclose(found.boxes[i], face["box"], atol=0.01)
            np.testing.assert_allclose(found.points[i], face["points"], atol=0.01)
            assert found.scores[i] == pytest.approx(face["score"], abs=1e-4)
        if faces:
            assert overlaps(found.boxes, ours.boxes).max(axis=1).min() > 0.99


def test_the_command_says_what_it_wrote(command: CommandLine, folder: Path, tmp_path: Path) -> None:
    code, out, _ = command(*SHAPE, "--set", "min_face=24", "--out", tmp_path / "out")
    assert code == 0
    assert "rnet  " in out and "8 × 24 × 24 × 3" in out and f"sidecar  {tmp_path}/out/detector.json" in out
    for name in NETS:
        assert (tmp_path / "out" / f"{name}.tflite").read_bytes() == (folder / f"{name}.tflite").read_bytes()
    code, out, _ = command(*SHAPE, "--set", "min_face=24", "--out", tmp_path / "out", "--json")
    assert code == 0
    told = json.loads(out)
    assert told.pop("folder") == str(tmp_path / "out")
    assert told == json.loads((tmp_path / "out" / "detector.json").read_text(encoding="utf-8"))
    assert told == json.loads((folder / "detector.json").read_text(encoding="utf-8"))


def test_the_settings_of_a_runs_crop_are_used_unless_changed(
    command: CommandLine, folder: Path, tmp_path: Path
) -> None:
    crop = {"method": "five_points", "min_face": MIN_FACE, "thresholds": [0.5, 0.6, 0.8], "size": 32}
    data = {"sources": [{"reader": "synthetic"}], "crop": crop}
    experiment = parse_experiment({"name": "own", "data": data, "tasks": {"age": {}}}, "test")
    run = Run(tmp_path / "run")
    run.write_config(experiment, {})
    assert command(run.folder, *SHAPE)[0] == 0
    told = json.loads((run.folder / "export" / "detector" / "detector.json").read_text(encoding="utf-8"))
    assert (told["min_face"], told["thresholds"]) == (MIN_FACE, {"pnet": 0.5, "rnet": 0.6, "onet": 0.8})
    assert command(run.folder, *SHAPE, "--set", "thresholds=[0.6,0.7,0.9]", "--out", tmp_path / "other")[0] == 0
    told = json.loads((tmp_path / "other" / "detector.json").read_text(encoding="utf-8"))
    assert (told["min_face"], told["thresholds"]["onet"]) == (MIN_FACE, 0.9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--photo", "320"], "--photo '320': write two whole numbers, such as 320x240"),
        (["--photo", "320x-1"], "write two whole numbers"),
        (["--photo", "320X240"], "write two whole numbers"),
        (["--photo", "³20x240"], "write two whole numbers"),
        (["--photo", "10x10"], "show no face of 20"),
        (["--photo", "0x0"], "show no face of 20"),
        (["--photo", "5000x100"], "above 4096"),
        (["--photo", "99999x99999"], "above 4096"),
        (["--photo", "64x48", "--set", "min_face=60"], "show no face of 60"),
        (["--windows", "16"], "--windows '16': write two whole numbers, such as 16,4"),
        (["--windows", "16,4,2"], "write two whole numbers"),
        (["--windows", "0,4"], "windows 0 and 4 are not in 1 to 256"),
        (["--windows", "16,257"], "windows 16 and 257 are not in 1 to 256"),
        (["--set", "min_face=5"], "min_face = 5"),
        (["--set", "minface=40"], "did you mean 'min_face'?"),
        (["--set", "size=40"], "unknown key 'size'"),
        (["--set", "factor=1"], "factor = 1"),
        (["--set", "thresholds=[0.6,0.7,1]"], "thresholds.2 = 1: input should be less than 1"),
        (["--set", "thresholds=[0.6,0.7,.nan]"], "thresholds"),
        (["--set", "thresholds=0.6"], "thresholds = 0.6"),
        (["/nowhere"], "/nowhere"),
    ],
    ids=" ".join,
)
def test_a_wrong_value_is_one_line_before_any_work(
    command: CommandLine, tmp_path: Path, options: list[str], words: str
) -> None:
    code, out, err = command("--out", tmp_path / "out", *options)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (code, out, len(lines)) == (2, "", 1), err
    assert words in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_photo_in_which_no_face_fits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="show no face of 200"):
        export_detector(tmp_path / "out", (100, 100), DetectorSpec(200), WINDOWS)
