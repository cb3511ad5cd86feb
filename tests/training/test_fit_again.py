"""Going on with a run: what is whole stays, what is damaged is made again, and nothing is measured on train photos."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from small import Quiet

from keras_faceattr.cli.evaluate import run_evaluate
from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.prepare import prepare
from keras_faceattr.errors import ConfigError, DataError, RunError
from keras_faceattr.run import Run
from keras_faceattr.storage import locked
from keras_faceattr.training.callbacks import validation_score
from keras_faceattr.training.fit import fit, network_of

BEAUTY = {"kind": "scalar", "minimum": 0, "maximum": 40, "step": 1, "method": "mse"}


class Starting(Quiet):
    def on_start(self, *_: Any) -> None:
        """Nothing."""


def own(csv: Path) -> Experiment:
    data = {
        "sources": [{"reader": "csv_file", "path": str(csv)}],
        "split": {"method": "stratified", "test": 0.25, "validation": 0.2},
        "crop": {"size": 32},
        "augmentation": None,
    }
    training = {"epochs": 1, "batch_size": 8}
    plain = {"name": "own", "data": data, "tasks": {"beauty": BEAUTY}, "training": training}
    return parse_experiment(
        {**plain, "model": {"name": "tiny_age_net"}, "evaluation": {"bootstrap_samples": 0}}, "test"
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 photos with their CSV, and a finished run on them."""
    folder, rng = tmp_path_factory.mktemp("again"), np.random.default_rng(0)
    for i in range(24):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 255, (32, 32, 3), np.uint8))
    pd.DataFrame({"image": [f"{i}.png" for i in range(24)], "beauty": range(24)}).to_csv(folder / "l.csv", index=False)
    fit(own(folder / "l.csv"), folder / "runs", Starting())
    return folder


@pytest.fixture
def again(trained: Path, tmp_path: Path) -> Path:
    """A copy of both."""
    copy = tmp_path / "again"
    shutil.copytree(trained, copy)
    config = copy / "runs" / "own" / "config.yaml"
    config.write_text(config.read_text().replace(str(trained), str(copy)))
    return copy


def resumed(folder: Path) -> tuple[Run, list[int]]:
    listener, run = Starting(), Run(folder / "runs" / "own")
    return fit(run.experiment(), folder / "runs", listener, resume=run), listener.epochs


def test_a_finished_run_does_not_need_its_checkpoint(again: Path) -> None:
    run = Run(again / "runs" / "own")
    model, metrics = run.model_path.read_bytes(), run.results()
    run.checkpoint_path.write_bytes(b"rubbish")
    assert resumed(again)[1] == []
    assert run.model_path.read_bytes() == model and run.results() == metrics


@pytest.mark.parametrize(
    ("name", "rubbish"), [("model.keras", b"PK rubbish"), ("history.csv", b""), ("history.csv", b"a")]
)
def test_what_is_damaged_is_made_again_from_the_checkpoint(again: Path, name: str, rubbish: bytes) -> None:
    run = Run(again / "runs" / "own")
    metrics, history = run.results(), run.history_path.read_text()
    (run.folder / name).write_bytes(rubbish)
    assert resumed(again)[1] == []
    assert run.results()["tasks"] == metrics["tasks"] and run.history_path.read_text() == history


def test_two_processes_do_not_train_one_run(again: Path) -> None:
    folder = again / "runs" / "own"
    with (
        locked(Run(folder).lock_path, folder),
        pytest.raises(RunError, match="another proc"),
    ):
        resumed(again)


def test_another_photo_under_the_same_name_is_noticed(again: Path) -> None:
    run = Run(again / "runs" / "own")
    old = {key: value for key, value in run.provenance().items() if key not in ("photo_hash", "teachers")}
    changed = own(again / "l.csv")
    photo = prepare(changed, ("train",)).manifest.paths()[0]
    cv2.imwrite(str(photo), np.full((32, 32, 3), 90, np.uint8))
    with pytest.raises(RunError, match="has changed since it started"):
        fit(changed, again / "runs", Starting(), resume=run)
    # A run of an older version does not know the bytes of its photos.
    run.provenance_path.write_text(json.dumps(old))
    fit(changed, again / "runs", Starting(), resume=run)


@pytest.mark.parametrize("text", ["{}", "[]", "5"])
def test_a_damaged_provenance_is_one_line(again: Path, text: str) -> None:
    run = Run(again / "runs" / "own")
    run.provenance_path.write_text(text)
    with pytest.raises(RunError, match=r"provenance\.json is damaged"):
        resumed(again)


@pytest.mark.parametrize("text", ["beauty: 5", "beauty: null", "beauty: {kind: scalar, name: beauty, minimum: a}"])
def test_damaged_tasks_are_one_line(again: Path, text: str) -> None:
    run = Run(again / "runs" / "own")
    run.tasks_path.write_text(text)
    with pytest.raises(RunError, match=r"tasks\.yaml is damaged") as error:
        resumed(again)
    assert "\n" not in str(error.value)


def test_photos_of_the_training_are_not_measured_as_test_photos(again: Path) -> None:
    run, csv = Run(again / "runs" / "own"), again / "l.csv"
    test = prepare(own(csv), ("test",)).manifest.rows["image"].tolist()
    table = pd.read_csv(csv)
    # Without one test photo the split is drawn anew.
    table[table["image"] != test[0]].to_csv(csv, index=False)
    with pytest.raises(DataError, match=r"was trained on \d+ of \d+ test photos \(the first: csv_file/\d+\.png\)"):
        run_evaluate(run.folder, [], "test", None, None, False, True)
    run_evaluate(run.folder, [], "train", None, None, False, True)


def test_a_set_of_test_photos_alone_can_be_measured(again: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = again / "other"
    other.mkdir()
    cv2.imwrite(str(other / "new.png"), np.full((32, 32, 3), 90, np.uint8))
    pd.DataFrame({"image": ["new.png"], "beauty": [3], "split": ["test"]}).to_csv(other / "l.csv", index=False)
    run = Run(again / "runs" / "own")
    run.config_path.write_text(run.config_path.read_text().replace("method: stratified", "method: given"))
    run_evaluate(run.folder, [f"csv_file={other / 'l.csv'}"], "test", None, None, False, True)
    assert json.loads(capsys.readouterr().out)["photos"] == 1


def test_a_net_that_says_no_number_is_never_the_best(trained: Path) -> None:
    experiment = own(trained / "l.csv")
    data = prepare(experiment, ("train", "val"))
    network = network_of(experiment, data.tasks)
    assert math.isfinite(validation_score(experiment, data, network, {}))
    network.trainable.weights[-1].assign(np.full(network.trainable.weights[-1].shape, np.nan))
    assert validation_score(experiment, data, network, {}) == math.inf


def test_an_attribute_that_the_data_does_not_know_is_named() -> None:
    data = {"sources": [{"reader": "synthetic", "options": {"count": 20, "size": 32}}], "crop": {"size": 32}}
    tasks: dict[str, Any] = {"attributes": {"attributes": ["Smilling"]}}
    with pytest.raises(ConfigError, match="tasks.attributes: no attribute 'Smilling'; did you mean 'Smiling'"):
        prepare(parse_experiment({"name": "x", "data": data, "tasks": tasks}, "test"), ("train",))
