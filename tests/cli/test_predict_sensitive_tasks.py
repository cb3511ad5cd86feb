"""`predict --task`: what is named is answered, and without a name all but the sensitive tasks."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from keras_faceattr import net, predictions
from keras_faceattr.api import predicting
from keras_faceattr.config_files import load_experiment
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.net import Net
from keras_faceattr.tasks import BinaryTask, CategoricalTask, Task

from .conftest import Cli

RACE = CategoricalTask("race", ("one", "other"), sensitive=True)
NET: dict[str, Task] = {"smile": BinaryTask("smile"), "race": RACE}

Known = dict[str, dict[str, Task]]


def said(images: np.ndarray) -> dict[str, np.ndarray]:
    """What each of the nets says: always the same."""
    return {"smile": np.full((len(images), 1), 0.25), "race": np.tile([0.1, 0.9], (len(images), 1))}


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Known:
    """Tasks of the files that can be named; fill it."""
    known: Known = {"net.tflite": NET}
    (tmp_path / "net.tflite").write_text("net")

    def opened(path: Path) -> Net:
        tasks = known[path.name]

        def predictor(images: np.ndarray) -> dict[str, np.ndarray]:
            return {name: said(images)[name] for name in tasks}

        return Net(path, tasks, CropSpec(16), load_experiment("quickstart"), predictor)

    monkeypatch.setattr(predicting, "load", opened)
    return known


@pytest.fixture
def predict(cli: Cli, nets: Known, tmp_path: Path) -> Callable[..., Any]:
    """`predict net.tflite photos` with further words."""
    (tmp_path / "photos").mkdir()
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f"photos/{number}.png"), np.full((16, 16, 3), number, np.uint8))
    return lambda *words: cli("predict", tmp_path / "net.tflite", tmp_path / "photos", *words)


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        ([], ["smile"]),
        (["--task", "race"], ["race", "race_probability"]),
        (["--task", "race", "--task", "smile"], ["smile", "race", "race_probability"]),
        (["--task", "smile"], ["smile"]),
    ],
)
def test_a_sensitive_task_is_a_column_only_where_it_is_named(
    predict: Callable[..., Any], tmp_path: Path, words: list[str], columns: list[str]
) -> None:
    done = predict(*words, "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0 and [list(row) for row in rows] == [["image", *columns]] * 3
    assert predict(*words, "--out", tmp_path / "out.csv").code == 0
    with (tmp_path / "out.csv").open(encoding="utf-8") as stream:
        assert next(csv.reader(stream)) == ["image", *columns]
    assert ("race is sensitive and not answered: name it by --task race" in done.err) == (not words)


def test_an_unknown_task_is_refused_with_the_nearest(predict: Callable[..., Any]) -> None:
    done = predict("--task", "rase")
    assert done.code == 2 and "no task 'rase'; did you mean 'race'" in done.error


def test_a_further_net_may_mark_a_task_or_lack_one_that_is_not_asked_for(
    predict: Callable[..., Any], nets: Known, tmp_path: Path
) -> None:
    other = tmp_path / "other.tflite"
    other.write_text("other")
    nets |= {"net.tflite": {**NET, "race": replace(RACE, sensitive=False)}, "other.tflite": NET}
    with_other = ("--with", other, "--json")
    assert list(json.loads(predict(*with_other).out.splitlines()[0])) == ["image", "smile"]
    assert json.loads(predict(*with_other, "--task", "race").out.splitlines()[0])["race"] == "other"
    nets |= {"net.tflite": NET, "other.tflite": {"smile": NET["smile"]}}
    assert predict(*with_other).code == 0
    done = predict(*with_other, "--task", "race")
    assert done.code == 2 and "says nothing of race" in done.error


def test_a_table_that_was_stopped_is_not_finished_by_a_call_for_other_tasks(
    predict: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = predicting.predicted, tmp_path / "out.jsonl"

    def stopped(*arguments: Any) -> Any:
        yield next(whole(*arguments))
        raise KeyboardInterrupt

    for module in (net, predictions):
        monkeypatch.setattr(module, "EVALUATION_BATCH", 1)
    monkeypatch.setattr(predicting, "predicted", stopped)
    predict("--task", "race", "--out", out)
    assert list(tmp_path.glob(".predicting-*.jsonl")) and not out.exists()
    monkeypatch.setattr(predicting, "predicted", whole)
    assert predict("--out", out).code == 0
    assert [list(json.loads(line)) for line in out.read_text().splitlines()] == [["image", "smile"]] * 3
