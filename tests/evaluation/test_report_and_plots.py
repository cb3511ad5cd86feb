"""What people read of a run: texts, pictures, page and card."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_faceattr.config_files import load_experiment
from keras_faceattr.evaluation.formatting import group_tables, metric_rows, metric_text, metric_title, number_text
from keras_faceattr.evaluation.model_card import model_card
from keras_faceattr.evaluation.plots import plot_history, plot_task
from keras_faceattr.evaluation.report import html_report
from keras_faceattr.tasks import CategoricalTask, MultilabelTask, ScalarTask

RESULTS = {
    "photos": 5, "split": "test", "tta": "flip", "seed": 3, "split_hash": "ab" * 32,
    "tasks": {
        "age": {
            "kind": "scalar", "unit": "years", "labelled": 5,
            "metrics": {"mae": {"value": 3.14159, "low": 3.0, "high": 3.3}},
            "groups": {
                "gender": {
                    "<b>x": {"labelled": 2},
                    "male": {"labelled": 30, "metrics": {"mae": {"value": 2.0, "low": 1.5, "high": 2.5}}},
                }
            },
            "predicted_groups": {
                "gender": {"male": {"labelled": 40, "metrics": {"mae": {"value": 2.25, "low": 2.0, "high": 2.75}}}},
            },
        }
    },
}  # fmt: skip
PROVENANCE = {
    "sources": {"s": {"citation": "A & B", "licence": "research only"}}, "photos": {"train": 7}, "label_hash": "c" * 64,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("mae", 0.25284, "0.2528"),
        ("mae", 12.345, "12.35"),
        ("pc", 0.8708, "0.8708"),
        ("cs@5", 0.1234, "12.3 %"),
        ("average_precision", 0.8764, "87.6 %"),
        # In the task's unit, and no share.
        ("interval_distance", 3.14159, "3.142"),
        ("mae", float("nan"), "not measured"),
    ],
)
def test_numbers_have_the_places_that_mean_something(name: str, value: float, text: str) -> None:
    assert number_text(name, value) == text


def test_an_interval_that_was_not_measured_is_left_out() -> None:
    assert metric_text("mae", {"value": 1.0, "low": float("nan"), "high": float("nan")}) == "1.000"
    assert metric_text("mae", {"value": 1.0, "low": 0.5, "high": 1.5}) == "1.000 (0.5000–1.500)"
    assert (metric_title("mae", "years"), metric_title("cs@5", "years")) == ("MAE (years)", "CS@5 years")


def test_the_page_escapes_what_comes_from_data(tmp_path: Path) -> None:
    page = html_report(load_experiment("quickstart"), RESULTS, PROVENANCE, [], quarantined=4)
    assert "<b>x" not in page and "&lt;b&gt;x" in page and "A &amp; B" in page
    assert "4 rows or photos quarantined" in page and "too few" in page and "3.142 (3.000–3.300)" in page


def test_the_card_names_terms_protocol_and_small_groups() -> None:
    card = model_card(load_experiment("quickstart"), {}, RESULTS, PROVENANCE)
    for words in (
        "research only",
        "7 train",
        "seed 3",
        "| <b>x | 2 | too few |",
        "| male | 30 | 2.000 (1.500–2.500) |",
    ):
        assert words in card


def test_the_card_says_which_task_is_answered_only_where_it_is_named() -> None:
    tasks = {"age": ScalarTask("age", 0, 100, 1), "mood": CategoricalTask("mood", ("a", "b"), sensitive=True)}
    card = model_card(load_experiment("quickstart"), tasks, RESULTS, PROVENANCE)
    notices = card.partition("## Intended use and limits")[2].splitlines()
    assert "mood is a sensitive task: predictions answer it only where it is named (--task mood)." in notices
    assert not [line for line in notices if line.startswith("age is")]


def test_card_and_page_show_both_readings_of_a_group_with_intervals() -> None:
    experiment = load_experiment("quickstart")
    card = model_card(experiment, {}, RESULTS, PROVENANCE)
    page = html_report(experiment, RESULTS, PROVENANCE, [], quarantined=0)
    assert card.index("By gender:") < card.index("By predicted gender:")
    assert "| male | 40 | 2.250 (2.000–2.750) |" in card and "the model itself puts there" in card
    assert "By predicted gender" in page and "2.250 (2.000–2.750)" in page


def test_a_narrow_table_has_the_intervals_of_the_first_metrics_alone() -> None:
    numbers = {"value": 2.0, "low": 1.5, "high": 2.5}
    group = {"labelled": 30, "metrics": {"mae": numbers, "rmse": numbers}}
    task = {"unit": "years", "metrics": {"mae": numbers, "rmse": numbers}, "groups": {"gender": {"male": group}}}
    ((title, header, rows),) = group_tables(task, intervals=1)
    assert (title, header) == ("gender", ["gender", "photos", "MAE (years)", "RMSE (years)"])
    assert rows == [["male", "30", "2.000 (1.500–2.500)", "2.000"]]


def test_card_and_page_show_every_attribute_and_pass_over_accuracies_of_earlier_versions() -> None:
    numbers = {"value": 0.5, "low": 0.25, "high": 0.75}
    metrics = {"accuracy": numbers, "average_precision": numbers}
    hats = {"kind": "multilabel", "unit": "", "labelled": 9, "metrics": metrics, "groups": {}}
    hats["attributes"] = {"red": {"labelled": 9, "metrics": metrics}, "blue": {"labelled": 0}}
    experiment, half = load_experiment("quickstart"), "50.0 % (25.0 %–75.0 %)"
    card = model_card(experiment, {}, {**RESULTS, "tasks": {"hats": hats}}, PROVENANCE)
    assert "| attribute | photos | accuracy | average precision |" in card
    assert f"| red | 9 | {half} | {half} |" in card and "| blue | 0 | no photo | no photo |" in card
    page = html_report(experiment, {**RESULTS, "tasks": {"hats": hats}}, PROVENANCE, [], quarantined=0)
    assert "<h3>By attribute</h3>" in page and "average precision" in page
    hats["attributes"] = {"red": 0.5, "blue": 0.25}
    assert "By attribute" not in model_card(experiment, {}, {**RESULTS, "tasks": {"hats": hats}}, PROVENANCE)


def test_a_metric_in_a_reading_is_told_with_the_groups_of_the_reading() -> None:
    numbers = {"value": 0.5, "low": 0.25, "high": 0.75}
    task = {"unit": "", "metrics": {"accuracy": numbers}}
    assert metric_rows(task) == [("accuracy", "50.0 % (25.0 %–75.0 %)")]
    task["readings"] = {"five": {"classes": list("abcde"), "metrics": {"balanced_accuracy": numbers}}}
    assert metric_rows(task)[1:] == [("balanced accuracy in 5 groups (five)", "50.0 % (25.0 %–75.0 %)")]


def test_metrics_of_bands_have_titles_with_the_unit_where_they_have_one() -> None:
    names = ("interval_distance", "band_accuracy", "one_off_accuracy", "average_precision")
    assert [metric_title(name, "years") for name in names] == [
        "distance to the interval (years)", "accuracy of bands", "at most one band off", "average precision",
    ]  # fmt: skip


def shows_something(path: Path) -> bool:
    """Whether a picture has both ink and paper."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return picture is not None and (picture < 128).mean() > 0.005 and (picture > 200).mean() > 0.3


def test_each_kind_of_task_is_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    age = np.stack([rng.uniform(0, 100, 50), np.full(50, 2.0)], axis=1)
    age[0, 0] = np.nan
    cases = [
        (ScalarTask("age", 0, 100, 1, "years"), age, rng.uniform(0, 100, 50), 2),
        (CategoricalTask("mood", ("a", "b")), rng.integers(0, 2, (50, 1)).astype(float), rng.random((50, 2)), 1),
        (MultilabelTask("hats", ("x", "y")), rng.integers(0, 2, (50, 2)).astype(float), rng.random((50, 2)), 1),
    ]
    for task, labels, predictions, count in cases:
        plots = plot_task(task, labels, predictions, tmp_path)
        assert len(plots) == count and all(shows_something(p) for p in plots)


def test_curves_are_drawn_with_and_without_validation(tmp_path: Path) -> None:
    history = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "learning_rate": [1e-3, 1e-3]})
    assert len(plot_history(history, tmp_path)) == 1
    both = plot_history(history.assign(val_age_mae=[9.0, 8.0], val_mood_balanced_accuracy=[0.5, 0.6]), tmp_path)
    assert [p.stem for p in both] == ["loss", "age_validation", "mood_validation"]
    banded = plot_history(
        history.assign(val_age_interval_distance=[9.0, 8.0], val_age_band_accuracy=[0.1, 0.2]), tmp_path
    )
    assert [p.stem for p in banded] == ["loss", "age_validation"]
    assert all(shows_something(p) for p in both)


def test_a_task_without_labels_is_not_drawn(tmp_path: Path) -> None:
    assert plot_task(ScalarTask("age", 0, 100, 1), np.full((3, 2), np.nan), np.zeros(3), tmp_path) == []
