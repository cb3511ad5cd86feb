"""`align` from the outside, and what comes behind it: training, export and prediction on crops of faces."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from keras_faceattr.artifact.loading import load_artifact
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.faces.photos import read_photo

from .conftest import Cli

FAST = ["--workers", "1"]


def scenes(folder: Path, count: int, faces: int = 1) -> list[str]:
    """Photos with faces somewhere in them."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        photo, _ = draw_scene(11, index, 181, 243 * faces, faces)
        assert cv2.imwrite(str(folder / f"{index:02d}.png"), photo[..., ::-1])
    return [f"{index:02d}.png" for index in range(count)]


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("manifest.csv", "quarantine.csv")}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five drawn scenes and a file that is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    scenes(folder, 5)
    (folder / "text.jpg").write_text("not a photo")
    return folder


def small_config(path: Path, **changes: Any) -> Path:
    """Of a training on a few drawn faces."""
    crop = {"method": "five_points", "size": 40}
    source = {"reader": "synthetic", "options": {"count": 12, "size": 96}}
    config = {"name": "drawn", "data": {"sources": [source], "crop": crop}, "tasks": {"age": {}, "gender": {}}}
    path.write_text(yaml.safe_dump({**config, **changes}))
    return path


def test_a_folder_of_photos_becomes_a_folder_of_crops(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = cli("align", photos, "--out", tmp_path / "out", "--size", "48", *FAST)
    assert done.code == 0
    assert "5 crops of 6 photos, 1 quarantined" in done.out
    assert f"next     keras-faceattr predict RUN|FILE.tflite {tmp_path}/out/manifest.csv" in done.out
    assert "6/6 photos" in done.err
    assert read_photo(tmp_path / "out" / "crops" / "00.png").shape == (48, 48, 3)
    assert "text.jpg" in (tmp_path / "out" / "quarantine.csv").read_text()


def test_machines_are_told_in_json_and_that_nothing_was_left_to_do(cli: Cli, photos: Path, tmp_path: Path) -> None:
    command = ("align", photos, "--out", tmp_path / "out", *FAST, "--json")
    first, again = cli(*command).json(), cli(*command).json()
    assert first.pop("images_per_s") > 0
    assert again.pop("images_per_s") == 0
    expected = {"photos": 6, "crops": 5, "put_aside": 1, "cut_without_face": 0, "out": str(tmp_path / "out")}
    assert first == {**expected, "already_done": 0}
    assert again == {**expected, "already_done": 6}


@pytest.mark.parametrize(("count", "rows"), [(3, 1), (5, 2), (26, 6)])
def test_the_preview_shows_up_to_24_photos_beside_their_crops(cli: Cli, tmp_path: Path, count: int, rows: int) -> None:
    scenes(tmp_path / "photos", count)
    done = cli("align", tmp_path / "photos", "--out", tmp_path / "out", *FAST, "--size", "32", "--preview")
    picture = read_photo(tmp_path / "out" / "preview.png")
    assert done.code == 0 and f"preview  {tmp_path}/out/preview.png" in done.out
    # Four photos a row, each with its crop, in tiles of 160 pixels.
    assert picture.shape == (rows * 160, 4 * 320, 3)
    # The box of the first photo's face, and its crop in full size.
    box = (picture[:160, :160].astype(int) - [64, 220, 64]).__abs__().sum(axis=2)
    assert (box < 60).sum() > 40
    crop = cv2.resize(read_photo(tmp_path / "out" / "crops" / "00.png"), (160, 160), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(picture[:160, 160:320], crop)


def test_the_columns_of_a_csv_go_with_the_crops(cli: Cli, tmp_path: Path) -> None:
    names = scenes(tmp_path / "photos", 4)
    (tmp_path / "photos" / names[2]).write_text("not a photo")
    labels = pd.DataFrame({"image": names, "score": [1, 2, 3, 4], "split": ["train", "test"] * 2, "note": list("abcd")})
    labels.to_csv(tmp_path / "photos" / "labels.csv", index=False)
    for source in (tmp_path / "photos" / "labels.csv", tmp_path / "photos"):
        out = tmp_path / source.name
        assert cli("align", source, "--out", out / "out", *FAST).code == 0
        rows = pd.read_csv(out / "out" / "manifest.csv", dtype="string")
        assert rows["source_image"].tolist() == ["00.png", "01.png", "03.png"]
        assert rows["score"].tolist() == ["1", "2", "4"]
        assert rows["split"].tolist() == ["train", "test", "test"]
        assert rows["note"].tolist() == ["a", "b", "d"]


def test_a_csv_that_is_named_with_its_reader_is_aligned_alike(cli: Cli, tmp_path: Path) -> None:
    pd.DataFrame({"image": scenes(tmp_path, 2), "score": [1, 2]}).to_csv(tmp_path / "labels.csv", index=False)
    assert cli("align", f"csv_file={tmp_path / 'labels.csv'}", "--out", tmp_path / "out", *FAST).code == 0
    assert pd.read_csv(tmp_path / "out" / "manifest.csv")["score"].tolist() == [1, 2]


def test_crops_are_not_cut_again(cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert cli("align", photos, "--out", tmp_path / "a", *FAST).code == 0
    for source in (tmp_path / "a", tmp_path / "a" / "manifest.csv"):
        assert "holds crops already" in cli("align", source, "--out", tmp_path / "b", *FAST).error


def test_set_and_the_option_choose_the_face_alike(cli: Cli, photos: Path, tmp_path: Path) -> None:
    for name, choice in (("a", ["--face", "central"]), ("b", ["--set", "face=central"])):
        assert cli("align", photos, "--out", tmp_path / name, *FAST, *choice).code == 0
    plans = [json.loads((tmp_path / name / "plan.json").read_text(encoding="utf-8")) for name in "ab"]
    assert plans[0] == plans[1]
    assert plans[0]["face"] == plans[0]["spec"]["face"] == "central"


def test_a_config_that_was_changed_by_hand_stays(cli: Cli, tmp_path: Path) -> None:
    command = ("align", small_config(tmp_path / "own.yaml"), "--out", tmp_path / "out", *FAST)
    assert cli(*command).code == 0
    (tmp_path / "out" / "fit.yaml").write_text("name: mine")
    assert cli(*command).code == 0
    assert (tmp_path / "out" / "fit.yaml").read_text() == "name: mine"


def test_crops_do_not_lie_below_the_photos_unless_a_table_names_these(cli: Cli, tmp_path: Path) -> None:
    names = scenes(tmp_path, 2)
    refused = cli("align", tmp_path, "--out", tmp_path / "aligned", *FAST)
    assert refused.code == 2
    assert "inside the photos' folder" in refused.error
    pd.DataFrame({"image": names}).to_csv(tmp_path / "labels.csv", index=False)
    command = ("align", tmp_path / "labels.csv", "--out", tmp_path / "aligned", *FAST, "--json")
    assert cli(*command).json()["photos"] == 2
    assert cli(*command).json()["already_done"] == 2


def test_the_crop_of_a_config_is_used_unless_the_command_says_otherwise(cli: Cli, tmp_path: Path) -> None:
    config = small_config(tmp_path / "own.yaml")
    assert cli("align", config, "--out", tmp_path / "a", *FAST).code == 0
    more = ["--size", "32", "--margin", "0.5", "--set", "min_face=30"]
    assert cli("align", config, "--out", tmp_path / "b", *FAST, *more).code == 0
    first, other = (yaml.safe_load((tmp_path / name / "fit.yaml").read_text())["data"]["crop"] for name in "ab")
    assert (first["method"], first["size"], first["margin"], first["min_face"]) == ("five_points", 40, 0.2, 20)
    assert (other["method"], other["size"], other["margin"], other["min_face"]) == ("five_points", 32, 0.5, 30)
    rows = pd.read_csv(tmp_path / "a" / "manifest.csv")
    assert set(rows["source"]) == {"synthetic"} and {"age", "gender", "attributes.smiling"} & set(rows.columns)
    tasks = yaml.safe_load((tmp_path / "a" / "fit.yaml").read_text())["tasks"]
    assert set(tasks) == {"attractiveness", "age", "gender", "race", "expression", "attributes"}


def test_aligned_drawn_faces_can_be_read_back(cli: Cli, tmp_path: Path) -> None:
    config = small_config(tmp_path / "own.yaml")
    assert cli("align", config, "--out", tmp_path / "out", *FAST).code == 0
    assert cli("data", "inspect", tmp_path / "out" / "fit.yaml", "--json").code == 0


def test_a_reader_with_its_path_is_aligned(cli: Cli, photos: Path, tmp_path: Path) -> None:
    for index, person in enumerate(("Ann", "Bea")):
        (tmp_path / "lfw" / person).mkdir(parents=True)
        shutil.copy(photos / f"{index:02d}.png", tmp_path / "lfw" / person / "1.png")
    done = cli("align", f"identity_folders={tmp_path / 'lfw'}", "--out", tmp_path / "out", *FAST, "--face", "central")
    assert done.code == 0
    rows = pd.read_csv(tmp_path / "out" / "manifest.csv")
    assert rows["image"].tolist() == ["crops/Ann/1.png", "crops/Bea/1.png"]
    assert rows["identity"].tolist() == ["Ann", "Bea"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--engine", "spark"], "unknown --engine 'spark'; valid: local, ray"),
        (["--format", "webp"], "unknown --format 'webp'; valid: jpg, png"),
        (["--method", "five_point"], "unknown crop method 'five_point'; did you mean 'five_points'?"),
        (["--face", "smallest"], "unknown --face 'smallest'; valid: all, central, largest"),
        (["--fallback", "face_box"], "unknown crop fallback 'face_box'; valid: centre_square, whole_photo"),
        (["--size", "5"], "size = 5: input should be greater than or equal to 16"),
        (["--margin", "-1"], "margin = -1.0: input should be greater than or equal to 0"),
        (["--set", "minface=40"], "unknown key 'minface'; did you mean 'min_face'?"),
        (["--set", "min_face=huge"], "min_face = 'huge'"),
        (["--set", "thresholds=[0.5,0.5]"], "thresholds = [0.5, 0.5]"),
        (["--set", "min_face"], "write key.key=value"),
        (["--address", "ray://there:10001"], "add --engine ray"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_before_any_work(
    cli: Cli, photos: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    done = cli("align", photos, "--out", tmp_path / "out", *options)
    assert done.code == 2
    assert words in done.error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("options", "words"), [(["--workers", "0"], "--workers"), (["--max-bad-share", "2"], "--max")])
def test_a_number_out_of_range_is_refused(
    cli: Cli, photos: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    done = cli("align", photos, "--out", tmp_path / "out", *options)
    assert done.code == 2 and words in done.err
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_not_there_is_one_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_FACEATTR_DATA", raising=False)
    (tmp_path / "empty").mkdir()
    for source, words in [
        (tmp_path / "nowhere", "neither a file nor one that is shipped"),
        (tmp_path / "nowhere.csv", "no such folder or file"),
        (f"utkface={tmp_path / 'nowhere'}", "no such folder or file"),
        ("utkface", "give --data utkface=PATH"),
        (tmp_path / "empty", "no photos below"),
    ]:
        done = cli("align", source, "--out", tmp_path / "out")
        assert done.code == 2 and words in done.error, source


def test_too_many_bad_photos_and_other_settings_are_one_line(cli: Cli, photos: Path, tmp_path: Path) -> None:
    command = ("align", photos, "--out", tmp_path / "out", *FAST)
    done = cli(*command, "--max-bad-share", "0.1")
    assert done.code == 2 and "the first: text.jpg: not a photo" in done.error and "--max-bad-share" in done.error
    assert cli(*command, "--json").json()["already_done"] == 6
    assert "choose another --out" in cli(*command, "--size", "64").error


@pytest.mark.slow
def test_an_alignment_that_was_killed_goes_on_where_it_was(cli: Cli, tmp_path: Path) -> None:
    scenes(tmp_path / "photos", 80)
    (tmp_path / "photos" / "05.png").write_text("no photo")
    command = ["align", tmp_path / "photos", "--workers", "1", "--size", "64", "--out"]
    assert cli(*command, tmp_path / "whole").code == 0
    child = subprocess.Popen([sys.executable, "-m", "keras_faceattr", *map(str, command), str(tmp_path / "killed")])
    journal, deadline = tmp_path / "killed" / "journal.jsonl", time.monotonic() + 300
    while not (journal.exists() and journal.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "manifest.csv").exists()
    assert 0 < cli(*command, tmp_path / "killed", "--json").json()["already_done"] < 80
    assert tables(tmp_path / "killed") == tables(tmp_path / "whole")
    for path in (tmp_path / "whole" / "crops").iterdir():
        assert (tmp_path / "killed" / "crops" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_ray_cluster_on_this_machine_writes_the_same(photos: Path, tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("ray")
    assert cli("align", photos, "--out", tmp_path / "here", *FAST).code == 0
    arguments = [sys.executable, "-m", "keras_faceattr", "align", photos, "--engine", "ray", "--json", "--out"]
    done = subprocess.run([*arguments, tmp_path / "ray"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["crops"] == 5
    assert tables(tmp_path / "ray") == tables(tmp_path / "here")


TINY = [
    "--set", "training.epochs=2", "--set", "training.batch_size=8", "--set", "evaluation.bootstrap_samples=20",
]  # fmt: skip


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Aligned faces with labels, and the config that trains on them."""
    folder = tmp_path_factory.mktemp("end_to_end")
    labels: dict[str, Any] = {"image": scenes(folder / "photos", 50)}
    labels |= {"age": range(20, 70), "gender": ["female", "male"] * 25}
    labels["split"] = ["train", "train", "train", "val", "test"] * 10
    pd.DataFrame(labels).to_csv(folder / "photos" / "labels.csv", index=False)
    tasks = {
        "age": {"kind": "scalar", "minimum": 0, "maximum": 100, "step": 1, "unit": "years"},
        "gender": {"kind": "categorical", "classes": ["female", "male"]},
    }
    data = {
        "sources": [{"reader": "csv_file", "path": str(folder / "photos")}],
        "crop": {"method": "five_points", "size": 32},
    }
    config = small_config(folder / "own.yaml", data=data, tasks=tasks)
    command = [sys.executable, "-m", "keras_faceattr", "align", config, "--out", folder / "aligned", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["crops"] >= 45
    return folder / "aligned"


@pytest.fixture(scope="module")
def run(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run on the crops, by the command that `align` names."""
    command = [sys.executable, "-m", "keras_faceattr", "fit", crops / "fit.yaml", *TINY, "--json", "--runs"]
    done = subprocess.run([*command, tmp_path_factory.mktemp("runs")], capture_output=True, text=True, check=True)
    return Path(json.loads(done.stdout)["folder"])


def rows(cli: Cli, *arguments: object) -> list[dict[str, Any]]:
    done = cli("predict", *arguments, "--json")
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_from_crops_to_a_file_that_finds_the_faces_of_whole_photos(cli: Cli, run: Path, tmp_path: Path) -> None:
    (name,) = scenes(tmp_path, 1, faces=2)
    both = rows(cli, run, tmp_path / name)
    assert [row["face"] for row in both] == [1, 2]
    # The scene's faces stand side by side, each in its half.
    assert sorted(int((row["left"] + row["right"]) / 2 // 243) for row in both) == [0, 1]
    assert all(row["right"] - row["left"] > 40 for row in both)
    assert all(0 <= row["age"] <= 100 and row["gender"] in ("female", "male") for row in both)
    assert len(rows(cli, run, tmp_path / name, "--face", "largest")) == 1

    done = cli("export", run, "--recipe", "float32", "--out", tmp_path / "export", "--json")
    assert done.code == 0, done.err
    (summary,) = done.json()["artifacts"]
    file = Path(summary["file"])
    crop = load_artifact(file).sidecar.crop_spec()
    assert (crop.method, crop.size) == ("five_points", 32)
    for got, expected in zip(rows(cli, file, tmp_path / name), both, strict=True):
        for key in ("face", "left", "top", "right", "bottom", "face_score", "gender"):
            assert got[key] == expected[key]
        for key in ("age", "age_std", "gender_probability"):
            assert got[key] == pytest.approx(expected[key], rel=1e-3, abs=1e-3)


def test_predicting_faces_to_a_table_counts_photos_and_faces(cli: Cli, run: Path, tmp_path: Path) -> None:
    scenes(tmp_path / "photos", 2, faces=2)
    assert cv2.imwrite(str(tmp_path / "photos" / "grey.png"), np.full((90, 120, 3), 127, np.uint8))
    done = cli("predict", run, tmp_path / "photos", "--out", tmp_path / "faces.csv")
    assert done.code == 0
    assert "grey.png: no face found" in done.err
    assert "2 photos with 4 faces predicted, 1 left out" in done.out
    table = pd.read_csv(tmp_path / "faces.csv")
    assert list(table.columns[:7]) == ["image", "face", "left", "top", "right", "bottom", "face_score"]
    assert table["face"].tolist() == [1, 2, 1, 2]


def test_predicting_the_table_of_crops_gives_what_evaluating_them_gives(
    cli: Cli, run: Path, crops: Path, tmp_path: Path
) -> None:
    assert cli("evaluate", run, "--tta", "none", "--out", tmp_path / "rows.csv").code == 0
    measured = pd.read_csv(tmp_path / "rows.csv").set_index("image")["age_predicted"]
    predicted = {
        Path(row["image"]).relative_to(crops).as_posix(): row["age"] for row in rows(cli, run, crops / "manifest.csv")
    }
    assert {name: predicted.get(name) for name in measured.index} == pytest.approx(dict(measured), rel=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["method=centre_square"], "set data.crop.method=five_points"),
        (["margin=0.4", "min_face=40"], "set data.crop.margin=0.2 data.crop.min_face=20"),
        (["thresholds=[0.5,0.5,0.5]"], "set data.crop.thresholds=[0.6,0.7,0.7]"),
        (["fallback=centre_square"], "set data.crop.fallback=null"),
        (["size=64"], "its crops have 32 pixels, and data.crop.size is 64"),
    ],
)
def test_training_otherwise_than_the_crops_were_cut_is_one_line(
    cli: Cli, crops: Path, tmp_path: Path, change: list[str], words: str
) -> None:
    overrides = [text for key in change for text in ("--set", f"data.crop.{key}")]
    done = cli("fit", crops / "fit.yaml", *TINY, *overrides, "--runs", tmp_path / "runs")
    assert done.code == 2
    assert words in done.error


def test_what_a_refused_training_says_mends_it(cli: Cli, crops: Path, tmp_path: Path) -> None:
    fast = [*TINY, "--set", "training.epochs=1", "--set", "training.steps_per_epoch=1", "--runs", tmp_path / "runs"]
    wrong = ["--set", "data.crop.margin=0.4", "--set", "data.crop.thresholds=[0.5,0.5,0.5]"]
    said = cli("fit", crops / "fit.yaml", *fast, *wrong).error
    mend = [word.rstrip(",") for word in said.replace("align them", "").split() if word.startswith("data.crop.")]
    assert len(mend) == 2
    repaired = [text for change in mend for text in ("--set", change)]
    done = cli("fit", crops / "fit.yaml", *fast, *wrong, *repaired)
    assert done.code == 0, done.err


def test_photos_of_a_csv_may_lie_in_another_folder(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = scenes(tmp_path / "images", 2)
    (tmp_path / "labels").mkdir()
    pd.DataFrame({"image": names, "score": [1, 2]}).to_csv(tmp_path / "labels" / "x.csv", index=False)
    monkeypatch.chdir(tmp_path)
    command = ("--out", "out", "--method", "centre_square", *FAST, "--photo-root", "images")
    for source in ("labels/x.csv", "labels", "csv_file=labels/x.csv"):
        assert cli("align", source, *command).code == 0
        assert cli("data", "inspect", source, "--photo-root", "images", "--json").json()["photos"] == 2
    assert pd.read_csv("out/manifest.csv")["score"].tolist() == [1, 2]
    refused = cli("align", "images", *command)
    assert refused.code == 2 and "--photo-root says where the photos of a CSV lie; images is none" in refused.error


def test_too_many_bad_rows_stop_before_a_photo_is_looked_at(cli: Cli, tmp_path: Path) -> None:
    names = scenes(tmp_path, 2)
    table = pd.DataFrame({"image": [*names, "none.png", names[0]], "score": [1, 2, 3, 4]})
    table.to_csv(tmp_path / "labels.csv", index=False)
    # Of four rows two contradict each other, and one names no photo.
    command = ("align", tmp_path / "labels.csv", "--out", tmp_path / "out", "--method", "centre_square", *FAST)
    done = cli(*command)
    assert done.code == 2 and "3 of 4 rows or photos are bad, more than the allowed 50.0%" in done.error
    assert "the first: 00.png: two rows give this photo different labels; give a higher --max-bad-share" in done.error
    assert not (tmp_path / "out" / "journal.jsonl").exists()
    assert cli(*command, "--max-bad-share", "0.75", "--json").json()["crops"] == 1
