"""The worst group: ranked by the worse end of the interval, among groups of enough photos, whatever their column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.cli.results import print_results
from keras_faceattr.config_files import load_experiment
from keras_faceattr.data.manifest import Manifest, Source
from keras_faceattr.evaluation.evaluate import evaluate
from keras_faceattr.evaluation.model_card import model_card
from keras_faceattr.evaluation.report import html_report
from keras_faceattr.evaluation.worst import SMALLEST_RANKED, worst_groups
from keras_faceattr.metrics import metrics_of
from keras_faceattr.tasks import CategoricalTask, age_task

GENDER = CategoricalTask("gender", ("female", "male"))
TABLE = metrics_of(GENDER)


def entry(labelled: int, value: float, low: float, high: float, metric: str = "accuracy") -> dict[str, Any]:
    return {"labelled": labelled, "metrics": {metric: {"value": value, "low": low, "high": high}}}


def test_the_worst_group_has_the_lowest_end_of_the_interval_of_any_column() -> None:
    groups = {
        "race": {"White": entry(400, 0.95, 0.93, 0.97), "Black": entry(210, 0.91, 0.86, 0.95)},
        "age": {"0–2": entry(900, 0.90, 0.88, 0.92)},
    }
    # The value of 0–2 is lower, but what its interval allows is not.
    assert worst_groups(TABLE, groups) == {
        "accuracy": {
            "column": "race", "group": "Black", "labelled": 210, "value": 0.91, "low": 0.86, "high": 0.95, "among": 3,
        }
    }  # fmt: skip


def test_of_an_error_the_worst_group_has_the_highest_end() -> None:
    table = metrics_of(age_task())
    groups = {"gender": {n: entry(300, *numbers, metric="mae") for n, numbers in
                         {"female": (4.0, 3.7, 4.4), "male": (4.1, 3.9, 4.3)}.items()}}  # fmt: skip
    assert worst_groups(table, groups)["mae"]["group"] == "female"


@pytest.mark.parametrize(
    "second",
    [
        entry(SMALLEST_RANKED - 1, 0.1, 0.05, 0.2),
        entry(300, 0.1, float("nan"), float("nan")),
        entry(300, 0.1, 0.05, 0.2, metric="balanced_accuracy"),
    ],
    ids=["too few photos", "no interval", "another metric"],
)
def test_with_one_group_that_can_be_ranked_there_is_no_ranking(second: dict[str, Any]) -> None:
    groups = {"gender": {"female": entry(SMALLEST_RANKED, 0.9, 0.85, 0.95), "male": second}}
    assert worst_groups(TABLE, groups) == {}
    assert worst_groups(TABLE, {"gender": {**groups["gender"], "other": entry(200, 0.95, 0.91, 0.99)}}) != {}


def manifest(**columns: object) -> Manifest:
    rows = pd.DataFrame({"source": "s", **columns})
    rows.insert(0, "image", [f"{i}.jpg" for i in range(len(rows))])
    return Manifest(rows, {}, {"s": Source("s", Path())})


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """Of 250 women 80 % are recognised, of 350 men 90 %; as many of either race and band of age."""
    gender = np.repeat(["female", "male"], [250, 350])
    said = np.eye(2)[np.concatenate([np.arange(250) % 5 == 0, np.arange(350) % 10 > 0]).astype(int)]
    photos = manifest(gender=gender, race=np.tile(["White", "Black"], 300), age=np.repeat([1.0, 5.0], 300))
    return evaluate(photos, {"gender": GENDER}, {"gender": said}, samples=200)


def test_a_tasks_own_classes_are_ranked_with_the_groups_of_other_columns(measured: dict[str, Any]) -> None:
    worst = measured["gender"]["worst_groups"]["accuracy"]
    assert (worst["column"], worst["group"], worst["labelled"]) == ("gender", "female", 250)
    assert worst["value"] == pytest.approx(0.8) and worst["low"] < 0.8 < worst["high"]
    # Two genders, two races and two bands of age.
    assert worst["among"] == 6


def test_a_scalar_with_bands_is_ranked_by_its_first_metric_and_by_the_accuracy_of_bands() -> None:
    # Half of those of one year are taken for six, whatever their race.
    age, place = np.repeat([1.0, 5.0], 300), np.arange(600)
    said = np.where((age == 1.0) & (place % 4 < 2), 6.0, age)
    photos = manifest(race=np.tile(["White", "Black"], 300), age=age)
    task = age_task(bands=[(0, 2), (3, 9)])
    worst = evaluate(photos, {"age": task}, {"age": said}, samples=200)["age"]["worst_groups"]
    assert list(worst) == ["interval_distance", "band_accuracy"]
    assert {(w["column"], w["group"], w["among"]) for w in worst.values()} == {("age", "0–2", 4)}
    assert worst["band_accuracy"]["value"] == pytest.approx(0.5)
    assert worst["interval_distance"]["value"] == pytest.approx(2.5)


def test_terminal_card_and_page_name_the_column_of_the_worst_group(
    measured: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = {"photos": 600, "split": "test", "tta": "none", "seed": 0, "split_hash": "ab" * 32, "put_aside": 0}
    results = {**protocol, "tasks": {"gender": measured["gender"]}}
    provenance = {"sources": {}, "photos": {"train": 7}, "label_hash": "c" * 64}
    experiment = load_experiment("quickstart")
    card = model_card(experiment, {}, results, provenance)
    assert "| worst group by | group | photos | value (95 % interval) | groups ranked |" in card
    assert "| accuracy | gender: female | 250 | 80.0 % (" in card and "at least 200 photos" in card
    page = html_report(experiment, results, provenance, [], quarantined=0)
    assert "Worst group" in page and "gender: female" in page
    print_results(results)
    told = capsys.readouterr().out
    assert told.index("predicted gender") < told.index("worst group by") < told.index("gender: female")
    # Results of earlier versions have no ranking, and nothing is said of one.
    older = {name: value for name, value in measured["gender"].items() if name != "worst_groups"}
    for part in ({**measured["gender"], "worst_groups": {}}, older):
        assert "orst group" not in model_card(experiment, {}, {**protocol, "tasks": {"gender": part}}, provenance)
