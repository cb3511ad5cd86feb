"""`--out` and `--picture`: nothing that is read, and nothing that a training left, is ever written over."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml

from keras_faceattr.api import measuring, predicting
from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.net import Net
from keras_faceattr.tasks import ScalarTask

from .conftest import Cli

TASKS = {"age": ScalarTask("age", 0, 100, 1)}
LABELS = "image,age\n0.png,30\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos, a run, and an exported file that says 40 years of everybody."""
    for folder in ("photos", "new"):
        (tmp_path / folder).mkdir()
        assert cv2.imwrite(str(tmp_path / folder / "0.png"), np.full((40, 40, 3), 90, np.uint8))
        (tmp_path / folder / "labels.csv").write_text(LABELS)
    (tmp_path / "run").mkdir()
    (tmp_path / "x.tflite").write_bytes(b"an exported file")
    for name in ("config.yaml", "predictions.csv", "history.csv", "quarantine.csv", "attributes_relations.csv"):
        (tmp_path / "run" / name).write_text("of the run")
    opened = Net(
        tmp_path / "x.tflite",
        TASKS,
        CropSpec(32),
        experiment(tmp_path / "photos" / "labels.csv"),
        lambda images: {"age": np.full(len(images), 40.0)},
    )
    for module in (predicting, measuring):
        monkeypatch.setattr(module, "load", lambda *_: opened)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def experiment(path: Path) -> Experiment:
    data = {"sources": [{"reader": "csv_file", "path": str(path)}]}
    return parse_experiment({"name": "own", "data": data, "tasks": {"age": {}}}, "test")


def contents(place: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("photos", "out", "words"),
    [
        ("new/labels.csv", "new/labels.csv", "would take the place of the data itself"),
        ("new/labels.csv", "new/../new/labels.csv", "would take the place of the data itself"),
        ("new", "new/labels.csv", "in the data's folder new, and may hold labels"),
        (".", "new/labels.csv", "may hold labels"),
        ("new/0.png", "photos/labels.csv", "would take the place of the data itself"),
        ("new/0.png", "linked.csv", "would take the place of the data itself"),
        ("new", "run/predictions.csv", "is a table of the run"),
        ("new", "run/attributes_relations.csv", "is a table of the run"),
    ],
)
def test_predict_writes_over_no_labels_and_no_table_of_a_run(
    cli: Cli, place: Path, photos: str, out: str, words: str
) -> None:
    (place / "linked.csv").symlink_to(place / "photos" / "labels.csv")
    before = contents(place)
    done = cli("predict", "x.tflite", photos, "--out", out)
    assert done.code == 2 and f"--out {out} " in done.error and words in done.error
    assert contents(place) == before


@pytest.mark.parametrize(
    ("photos", "out"), [("new", "run/own.csv"), ("new/labels.csv", "new/p.jsonl"), ("new/0.png", "new/p.csv")]
)
def test_predict_writes_its_own_tables_anew(cli: Cli, place: Path, photos: str, out: str) -> None:
    for text in ("", "an older table"):
        (place / out).write_text(text)
        assert cli("predict", "x.tflite", photos, "--out", out).code == 0
        assert "40" in (place / out).read_text()
    assert (place / "new" / "labels.csv").read_text() == LABELS


def test_predict_writes_a_new_table_among_the_photos(cli: Cli, place: Path) -> None:
    assert cli("predict", "x.tflite", "new", "--out", "new/predictions.csv").code == 0
    assert (place / "new" / "predictions.csv").read_text() == "image,age\nnew/0.png,40\n"


@pytest.mark.parametrize(
    ("source", "out", "words"),
    [
        ("photos/labels.csv", "photos/labels.csv", "would take the place of the data itself"),
        ("photos", "photos/labels.csv", "may hold labels"),
        ("photos/labels.csv", "run/predictions.csv", "is a table of the run"),
        ("photos/labels.csv", "x.foo", "unknown kind '.foo'; valid: .csv"),
        ("photos/labels.csv", "x.parquet", "unknown kind '.parquet'; valid: .csv"),
    ],
)
def test_evaluate_writes_over_no_labels_and_no_table_of_a_run(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch, source: str, out: str, words: str
) -> None:
    opened = SimpleNamespace(experiment=experiment(place / source), predictor=None, tasks=TASKS)
    monkeypatch.setattr(measuring, "load", lambda *_: opened)
    monkeypatch.setattr(measuring, "measure", lambda *_: pytest.fail("measured first"))
    before = contents(place)
    done = cli("evaluate", "x.tflite", "--out", out)
    assert done.code == 2 and f"--out {out}" in done.error and words in done.error
    assert contents(place) == before


@pytest.mark.parametrize(
    ("source", "picture", "words"),
    [
        ("csv_file=new/labels.csv", "new/labels.csv", "unknown kind '.csv'; valid: .png"),
        ("csv_file=new/labels.csv", "picture", "unknown kind ''; valid: .png"),
        ("new/labels.csv", "new/0.png", "in the data's folder new, and may hold a photo"),
        ("own.yaml", "photos/0.png", "may hold a photo"),
        ("own.yaml", "apart/0.png", "may hold a photo"),
        ("own.yaml", "exclude.png", "would take the place of the data itself"),
        ("new/labels.csv", "run/plots/age.png", "is a plot of the run"),
        ("new/labels.csv", "folder.png", "is a folder"),
    ],
)
def test_inspect_draws_over_nothing_that_is_read(cli: Cli, place: Path, source: str, picture: str, words: str) -> None:
    (place / "folder.png").mkdir()
    (place / "run" / "plots").mkdir()
    (place / "run" / "plots" / "age.png").write_text("of the run")
    (place / "apart").mkdir()
    shutil.copy(place / "photos" / "0.png", place / "apart")
    (place / "exclude.png").write_text("1.png\n")
    csv = {"reader": "csv_file", "path": "photos/labels.csv", "exclude": "exclude.png"}
    apart = {"reader": "csv_file", "name": "apart", "path": "new/labels.csv", "options": {"photo_root": "../apart"}}
    tasks = {"age": {"kind": "scalar", "minimum": 0, "maximum": 100, "step": 1}}
    (place / "own.yaml").write_text(yaml.safe_dump({"name": "own", "data": {"sources": [csv, apart]}, "tasks": tasks}))
    before = contents(place)
    done = cli("data", "inspect", source, "--picture", picture)
    assert done.code == 2 and f"--picture {picture}" in done.error and words in done.error
    assert contents(place) == before


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("photos/labels.csv", "would take the place of the data itself"),
        ("new/labels.csv", "in the data's folder new, and may hold labels"),
        ("table.csv", "would take the place of the data itself"),
        ("photos", "is a folder"),
    ],
)
def test_compare_writes_over_nothing_that_its_runs_have_read(cli: Cli, place: Path, out: str, words: str) -> None:
    sections = {
        "a": {"data": {"sources": [{"reader": "csv_file", "path": "photos/labels.csv"}]}},
        "b": {"data": {"sources": [{"reader": "synthetic", "path": None}, {"reader": "csv_file", "path": "new"}]}},
        "c": {"kind": "table", "table": {"reader": "csv", "path": "table.csv"}},
    }
    (place / "table.csv").write_text(LABELS)
    for name, section in sections.items():
        (place / name).mkdir()
        (place / name / "config.yaml").write_text(yaml.safe_dump(section))
    before = contents(place)
    done = cli("compare", *sections, "--out", out)
    assert done.code == 2 and f"--out {out}" in done.error and words in done.error
    assert contents(place) == before


@pytest.mark.parametrize(
    "command", [["align", "new", "--out", ""], ["align", "new", "--out="], ["align", "", "--out=x"]]
)
def test_an_empty_path_is_not_the_working_folder(cli: Cli, place: Path, command: list[str]) -> None:
    before = contents(place)
    done = cli(*command)
    assert done.code == 2 and "is empty: write its value, or leave it out" in done.err
    assert contents(place) == before


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "x.tflite", "new", "--out", ""],
        ["evaluate", "x.tflite", "--out", ""],
        ["export", "run", "--out", ""],
        ["fit", "quickstart", "--runs", ""],
        ["demo", "x.tflite", "--build", ""],
        ["data", "inspect", "new", "--picture", ""],
        ["benchmark", "models", "x.tflite", "--out", ""],
    ],
)
def test_no_command_takes_an_empty_path(cli: Cli, place: Path, command: list[str]) -> None:
    done = cli(*command)
    assert done.code == 2 and f"{command[-2]} is empty" in done.err
