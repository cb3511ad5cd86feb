"""A model measured on a data set that it was not trained on, whose classes are those of a reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.datasets.utkface import RACES as UTKFACE_RACES
from keras_faceattr.data.elsewhere import on_other_data, read_elsewhere
from keras_faceattr.data.vocabulary import RACES
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.evaluation.jitter import Jitter, measure_jitter
from keras_faceattr.evaluation.protocol import measure
from keras_faceattr.tasks import BinaryTask, CategoricalTask, Task, age_task

FIVE = {
    "White": ["White"],
    "Black": ["Black"],
    "Asian": ["East Asian", "Southeast Asian"],
    "Indian": ["Indian"],
    "Other": ["Latino_Hispanic", "Middle Eastern"],
}
RACE = CategoricalTask("race", RACES, {"five": FIVE})
TRAINED: dict[str, Task] = {
    "age": age_task(bands=[(0, 2), (3, 9)]), "race": RACE, "smiling": BinaryTask("smiling"),
}  # fmt: skip
PHOTOS = [(10 + i, i % 5) for i in range(20)]
"""Age and UTKFace's number of the race."""


def trained_on_fairface(**tasks: Any) -> Experiment:
    plain = {
        "name": "faces", "seed": 3,
        "data": {"sources": [{"reader": "fairface"}], "crop": {"size": 16}},
        "tasks": tasks or {"age": {}, "race": {"readings": {"five": FIVE}}, "smiling": {}},
        "evaluation": {"tta": "none", "bootstrap_samples": 50},
    }  # fmt: skip
    return parse_experiment(plain, "test")


@pytest.fixture
def utkface(tmp_path: Path) -> Path:
    """Grey photos; photo i has the brightness 10 · i."""
    for i, (age, race) in enumerate(PHOTOS):
        cv2.imwrite(str(tmp_path / f"{age}_0_{race}_201701091{i:08}.jpg"), np.full((20, 20, 3), 10 * i, np.uint8))
    return tmp_path


def predictor(seen: Callable[[int], list[float]]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    def predict(images: np.ndarray) -> dict[str, np.ndarray]:
        numbers = np.round(images[:, 8, 8, 0] / 10).astype(int)
        ages = np.array([PHOTOS[i][0] + 2.0 for i in numbers])
        return {"age": ages, "race": np.array([seen(i) for i in numbers]), "smiling": np.zeros((len(numbers), 1))}

    return predict


def torn(number: int) -> list[float]:
    """Of Asian people no class alone is likeliest; of Indian people every second is called White."""
    race = UTKFACE_RACES[PHOTOS[number][1]]
    probabilities = dict.fromkeys(RACES, 0.0)
    if race == "Asian":
        probabilities |= {"White": 0.4, "East Asian": 0.3, "Southeast Asian": 0.3}
    elif race == "Other":
        probabilities |= {"Black": 0.45, "Latino_Hispanic": 0.3, "Middle Eastern": 0.25}
    elif race == "Indian":
        probabilities["White" if number % 2 else "Indian"] = 1.0
    else:
        probabilities[race] = 1.0
    return list(probabilities.values())


def test_a_net_of_seven_races_is_measured_on_five_by_the_sums_of_its_probabilities(utkface: Path) -> None:
    experiment = on_other_data(trained_on_fairface(), {"utkface": str(utkface)})
    assert experiment is not None
    elsewhere = read_elsewhere(experiment, TRAINED, "test")
    measured = measure(predictor(torn), experiment, TRAINED, elsewhere=elsewhere)
    race = measured.results["tasks"]["race"]
    # UTKFace gives no split: all 20 photos are measured.
    assert (measured.results["photos"], race["labelled"], race["reading"]) == (20, 20, "five")
    assert (race["classes"], race["readings"]) == (list(UTKFACE_RACES), {})
    assert race["metrics"]["accuracy"]["value"] == pytest.approx(18 / 20)
    assert race["metrics"]["balanced_accuracy"]["value"] == pytest.approx((4 + 0.5) / 5)
    # Rows are true; two Indian people (number 3) are taken for White.
    assert race["confusion"][3] == [2, 0, 0, 2, 0]
    assert measured.outputs["race"].shape == (20, 5)
    assert list(measured.data.tasks) == list(measured.results["tasks"]) == ["age", "race"]


def test_what_the_data_does_not_label_is_left_out_and_said(utkface: Path) -> None:
    experiment = on_other_data(trained_on_fairface(), {"utkface": str(utkface)})
    assert experiment is not None
    assert read_elsewhere(experiment, TRAINED, "test").notes == [
        "race: measured in the reading five: Asian is East Asian or Southeast Asian, "
        "Other is Latino_Hispanic or Middle Eastern",
        "not measured: utkface has no label of smiling",
    ]
    with pytest.raises(DataError, match="^utkface labels nothing that the model predicts: .*no label of smiling"):
        read_elsewhere(experiment, {"smiling": TRAINED["smiling"]}, "test")


def test_an_age_is_measured_as_the_data_labels_it_and_not_by_the_bands_of_training(utkface: Path) -> None:
    experiment = on_other_data(trained_on_fairface(), {"utkface": str(utkface)})
    assert experiment is not None
    elsewhere = read_elsewhere(experiment, TRAINED, "test")
    metrics = measure(predictor(torn), experiment, TRAINED, elsewhere=elsewhere).results["tasks"]["age"]["metrics"]
    assert metrics["mae"]["value"] == pytest.approx(2.0) and "interval_distance" not in metrics


def test_without_a_reading_the_task_is_left_out_and_the_others_are_measured(utkface: Path) -> None:
    experiment = on_other_data(trained_on_fairface(age={}, race={}), {"utkface": str(utkface)})
    assert experiment is not None
    trained = {"age": TRAINED["age"], "race": CategoricalTask("race", RACES)}
    found = read_elsewhere(experiment, trained, "test")
    assert list(found.tasks) == ["age"]
    assert found.notes == [
        "not measured: race: the data and what the model has learned differ: Asian, Other",
    ]


def test_classes_that_are_some_of_the_nets_own_are_measured_as_such(tmp_path: Path, tiny_csv: Any) -> None:
    path = tiny_csv(tmp_path, 4, race=["White", "Indian", "White", "Indian"], image2=list("abcd"))
    given = {"race": {"kind": "categorical", "classes": ["White", "Indian"], "readings": None}}
    experiment = on_other_data(trained_on_fairface(**given), {"csv_file": str(path)})
    assert experiment is not None
    found = read_elsewhere(experiment, {"race": RACE}, "test")
    assert found.tasks == {"race": RACE} and found.notes == []


def test_jitter_disturbs_what_is_measured_in_a_reading(utkface: Path) -> None:
    experiment = on_other_data(trained_on_fairface(), {"utkface": str(utkface)})
    assert experiment is not None
    elsewhere = read_elsewhere(experiment, TRAINED, "test")
    jitters = (Jitter("shift", 0.02),)
    plain, shifted = measure_jitter(predictor(torn), experiment, TRAINED, jitters=jitters, elsewhere=elsewhere)["rows"]
    assert plain["tasks"]["race"]["metrics"]["accuracy"] == pytest.approx(18 / 20)
    assert shifted["tasks"]["race"]["moved"] == {"changed": 0.0} and list(shifted["tasks"]) == ["age", "race"]


def test_a_split_that_other_data_gives_is_kept(tmp_path: Path, tiny_csv: Any) -> None:
    path = tiny_csv(tmp_path, 4, smiling=[0, 1, 0, 1], split=["train", "test", "test", "train"])
    experiment = on_other_data(trained_on_fairface(smiling={"kind": "binary"}), {"csv_file": str(path)})
    assert experiment is not None
    manifest = read_elsewhere(experiment, {"smiling": BinaryTask("smiling")}, "test").manifest
    assert manifest.rows["split"].tolist() == ["train", "test", "test", "train"]
    pd.read_csv(path).drop(columns="split").to_csv(path, index=False)
    manifest = read_elsewhere(experiment, {"smiling": BinaryTask("smiling")}, "test").manifest
    assert manifest.rows["split"].tolist() == ["test"] * 4


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"utkfaec": "/x"}, "--data utkfaec: this config has no such source; did you mean 'utkface'"),
        ({"fairface": "/x", "utkface": "/y"}, "--data fairface is what the model was trained on, utkface is another"),
    ],
)
def test_a_path_of_no_data_or_of_both_is_refused(paths: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        on_other_data(trained_on_fairface(), paths)


def test_a_path_of_a_source_of_training_is_no_other_data() -> None:
    assert on_other_data(trained_on_fairface(), {"fairface": "/x"}) is None
    assert on_other_data(trained_on_fairface(), {}) is None
