"""Nets that come with the package: found by name, checked file by file, and told apart from paths."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import keras_faceattr.zoo as zoo
from keras_faceattr.artifact.loading import Artifact, load_artifact
from keras_faceattr.config_files import load_experiment
from keras_faceattr.convert.card import shipped_card
from keras_faceattr.data.synthetic import draw_scene, synthetic_photo
from keras_faceattr.data.vocabulary import APPEARANCES
from keras_faceattr.errors import ArtifactError, RunError
from keras_faceattr.run import Run
from keras_faceattr.training.start import trained_on

MAKE = Path(__file__).parents[1] / "docs" / "zoo" / "make.py"
ABOUT = {"title": "ages of drawn faces", "command": ["keras-faceattr fit"], "about": "## What it is for\n\nTests."}


@pytest.fixture
def drawn(small_run: Path, exported: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo with one net, made from the small run as the shipped ones are made from theirs."""
    folder = tmp_path / "zoo"
    (folder / "drawn").mkdir(parents=True)
    (folder / "drawn" / "about.yaml").write_text(yaml.safe_dump(ABOUT))
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    for recipe in ("float32", "int8_qat"):
        shutil.copytree(exported[recipe].path.parent, run / "export" / recipe)
    monkeypatch.setattr(zoo, "FOLDER", folder)
    script = runpy.run_path(str(MAKE))
    script["make"].__globals__["FOLDER"] = folder
    script["make"]("drawn", Run(run))
    return folder / "drawn"


def test_a_shipped_net_stands_for_its_file_and_for_its_run(
    drawn: Path, command_line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = tmp_path / "face.png"
    assert cv2.imwrite(str(photo), synthetic_photo(3, 0, 70)[0][..., ::-1])
    code, out, _ = command_line("predict", "drawn", photo, "--json")
    _, file_out, _ = command_line("predict", zoo.shipped_net("drawn").path, photo, "--json")
    assert code == 0
    assert out == file_out
    code, out, _ = command_line("zoo", "--json")
    (row,) = json.loads(out)
    assert (code, row["name"], row["recipe"]) == (0, "drawn", "int8_qat")
    assert command_line("zoo")[1].startswith("drawn: ages of drawn faces")
    assert command_line("info", "drawn")[0] == 0
    assert command_line("evaluate", "drawn", "--tta", "none", "--json")[0] == 0


def test_a_training_starts_from_a_shipped_net_and_knows_its_photos(
    drawn: Path, command_line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_run: Path
) -> None:
    from small import SMALL

    monkeypatch.chdir(tmp_path)
    more = ["--set", "model.init_from=drawn", "--runs", tmp_path / "runs"]
    code, _, err = command_line("fit", "quickstart", *SMALL, *more)
    assert code == 0, err
    assert "variables initialised" in err
    assert trained_on(next((tmp_path / "runs").iterdir())) == trained_on(small_run)


def test_a_shipped_net_may_teach(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given, expected in (("drawn", str(drawn)), (["drawn", "a/run"], [str(drawn), str(tmp_path / "a/run")])):
        assert load_experiment("quickstart", [f"training.teacher={given}"]).training.teacher == expected


def test_the_weights_to_start_from_are_those_of_the_run_in_half_precision(drawn: Path, small_run: Path) -> None:
    from keras_faceattr.models.loading import load_model

    rounded, whole = load_model(drawn / "model.keras"), load_model(small_run / "model.keras")
    for one, other in zip(rounded.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other).astype("float16").astype("float32"))


@pytest.mark.parametrize("part", ["model.keras", "trained_on.txt", "int8/golden/0.png", "model_card.md"])
def test_a_tampered_file_is_refused_wherever_the_name_stands(drawn: Path, command_line, part: str) -> None:
    with (drawn / part).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(ArtifactError, match="is not the file that was shipped"):
        zoo.shipped_net("drawn")
    for arguments in (("predict", "drawn", drawn), ("zoo",), ("fit", "quickstart", "--set", "model.init_from=drawn")):
        code, _, err = command_line(*arguments)
        assert code == 2
        assert "(another SHA-256): install keras-faceattr again" in err


def test_a_missing_file_and_a_damaged_index_are_named(drawn: Path) -> None:
    (drawn / "int8" / "golden" / "expected.json").unlink()
    with pytest.raises(ArtifactError, match=r"expected\.json is missing"):
        zoo.shipped_net("drawn")
    (drawn / "zoo.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"zoo\.json is damaged"):
        zoo.shipped_net("drawn")


def test_an_unknown_name_offers_the_nearest_and_a_path_comes_first(
    drawn: Path, command_line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"no run or file drawm, and no net of this name.*did you mean 'drawn'\?"):
        zoo.file_of(Path("drawm"))
    for words in (["demo", "drawm"], ["benchmark", "drawm"], ["compare", "drawn", "drawm"], ["evaluate", "drawm"]):
        code, _, err = command_line(*words)
        assert code == 2
        assert "no net of this name comes with the package; did you mean 'drawn'?" in err
    code, _, err = command_line("fit", "quickstart", "--set", "model.init_from=drawm")
    assert code == 2
    assert "nets that come with the package: did you mean 'drawn'?" in err
    # A folder of photos of the same name is no run.
    (tmp_path / "drawn").mkdir()
    assert zoo.file_of(Path("drawn")) == drawn / zoo.shipped_net("drawn").file
    (tmp_path / "drawn" / "config.yaml").write_text("name: mine")
    for path in ("drawn", "./drawn", "a/drawn", "drawn.tflite"):
        assert zoo.file_of(Path(path)) == Path(path)


@pytest.mark.parametrize("name", zoo.shipped_names())
def test_card_sidecar_and_file_of_every_shipped_net_hold_together(name: str) -> None:
    net = zoo.shipped_net(name)
    artifact = load_artifact(net.path)
    about = yaml.safe_load((net.folder / "about.yaml").read_text(encoding="utf-8"))
    card = (net.folder / "model_card.md").read_text(encoding="utf-8")
    sidecar = artifact.sidecar
    assert card == shipped_card(about["about"], sidecar.experiment_object(), sidecar, net.command)
    assert list(net.command) == about["command"]
    for needed in ("CC BY 4.0", "WIDER FACE", "CelebA", "not asked"):
        assert needed in card
    assert sum(path.stat().st_size for path in net.folder.rglob("*")) < 20e6
    for path in net.folder.rglob("*.json"):
        assert "/tmp/" not in path.read_text(encoding="utf-8")


@pytest.mark.skipif("faces" not in zoo.shipped_names(), reason="the net faces is not there")
def test_faces_answers_for_faces_and_says_where_it_saw_none(command_line, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    assert cv2.imwrite(str(photos / "face.png"), draw_scene(20_000, 0, 300, 400)[0][..., ::-1])
    assert cv2.imwrite(str(photos / "grey.png"), np.full((200, 200, 3), 127, np.uint8))
    code, out, err = command_line("predict", "faces", photos, "--json")
    assert code == 0
    rows = {Path(row["image"]).name: row for row in map(json.loads, out.splitlines())}
    assert rows["grey.png"]["face_score"] is None
    assert rows["face.png"]["face_score"] > 0.6
    assert "1 without a face answered by their middle" in err
    assert "race is sensitive and not answered: name it by --task race" in err
    for row in rows.values():
        assert "race" not in row
        assert 0 <= row["age"] <= 100
        assert row["gender"] in ("male", "female")
        assert all(0 <= row[name] <= 1 for name in APPEARANCES)
