"""Runs side by side: paired differences against NumPy by hand, and every reason for which two are kept apart."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from keras_faceattr.errors import ConfigError, RunError
from keras_faceattr.evaluation.compare import compare, verdict
from keras_faceattr.evaluation.entries import Entry, Results, read_entries, unique_names
from keras_faceattr.tasks import ScalarTask, Task, task_from_dict

AGE = {"kind": "scalar", "name": "age", "minimum": 0, "maximum": 100, "step": 1, "unit": "years", "tolerances": [5]}
MOOD = {"kind": "categorical", "name": "mood", "classes": ["happy", "sad"]}
HATS = {"kind": "multilabel", "name": "hats", "attributes": ["red", "blue"]}
COUNT = 400


def photos(count: int = COUNT, source: str = "faces") -> pd.DataFrame:
    return pd.DataFrame({"source": source, "image": [f"{i}.jpg" for i in range(count)]})


def ages(noise: float = 5.0, seed: int = 1, count: int = COUNT, source: str = "faces") -> pd.DataFrame:
    """The same ages for every seed, whole and so the same after six digits, with other mistakes."""
    age = np.random.default_rng(0).integers(20, 80, count).astype(float)
    said = np.round(age + np.random.default_rng(seed).normal(0, noise, count), 3)
    return photos(count, source).assign(age=age, age_predicted=said)


def first_metrics(task: dict[str, Any], table: pd.DataFrame) -> tuple[int, dict[str, float]]:
    """Labelled photos and metrics by hand."""
    name = task["name"]
    if task["kind"] == "multilabel":
        columns = [f"{name}.{attribute}" for attribute in task["attributes"]]
        labelled = table[columns].notna().any(axis=1)
        shares = [
            ((table[f"{c}_predicted"] >= 0.5) == (table[c] == 1))[table[c].notna()].mean() for c in columns
        ]  # fmt: skip
        return int(labelled.sum()), {"accuracy": float(np.mean(shares))}
    rows = table[table[name].notna()]
    true, said = rows[name], rows[f"{name}_predicted"]
    if task["kind"] == "categorical":
        return len(rows), {"accuracy": float((true == said).mean())}
    with np.errstate(invalid="ignore"):
        return len(rows), {"mae": float((true - said).abs().mean()), "pc": float(np.corrcoef(true, said)[0, 1])}


def split_hash(table: pd.DataFrame) -> str:
    lines = sorted(f"{source}/{image} test" for source, image in zip(table["source"], table["image"], strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_run(folder: Path, table: pd.DataFrame, *tasks: dict[str, Any], tta: str = "flip") -> Path:
    """What `fit` leaves of its results, from a table of labels and predictions."""
    results: dict[str, Any] = {}
    for task in tasks:
        labelled, metrics = first_metrics(task, table)
        numbers = {name: {"value": value, "low": value - 0.1, "high": None} for name, value in metrics.items()}
        unit = task.get("unit", "")
        results[task["name"]] = {
            "kind": task["kind"], "unit": unit, "labelled": labelled, "metrics": numbers, "groups": {}
        }  # fmt: skip
    plain = {
        "run": folder.name, "split": "test", "photos": len(table), "tta": tta, "seed": 0, "init_from": None,
        "crop": {}, "split_hash": split_hash(table), "tasks": results,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(plain))
    (folder / "tasks.yaml").write_text(yaml.safe_dump({task["name"]: task for task in tasks}))
    config = {"name": "x", "tasks": {task["name"]: {} for task in tasks}}
    (folder / "config.yaml").write_text(json.dumps(config))
    table.to_csv(folder / "predictions.csv", index=False, float_format="%.6g")
    return folder


Write = Callable[..., Entry]


@pytest.fixture
def entry(tmp_path: Path) -> Write:
    """A run that was written and read again."""

    def make(name: str, table: pd.DataFrame, *tasks: dict[str, Any], tta: str = "flip") -> Entry:
        return read_entries(write_run(tmp_path / name, table, *(tasks or (AGE,)), tta=tta), name)[0]

    return make


def rows_of(result: dict[str, Any], task: str = "age") -> dict[str, Any]:
    return {row["run"]: row for row in result["tasks"][task]["rows"]}


def difference(result: dict[str, Any], run: str, metric: str, task: str = "age") -> dict[str, Any]:
    (found,) = [d for d in rows_of(result, task)[run]["differences"] if d["metric"] == metric]
    return found


def test_the_difference_of_errors_is_paired_photo_by_photo(entry: Write) -> None:
    before = ages(noise=8, seed=1)
    # Nearly the same mistakes, so that only pairing can tell the two apart.
    mistakes = before["age_predicted"] - before["age"]
    nudge = np.random.default_rng(3).normal(0, 0.5, COUNT)
    after = before.assign(age_predicted=np.round(before["age"] + 1.04 * mistakes + nudge, 3))
    found = difference(compare([entry("a", before), entry("b", after)]), "b", "mae")
    photo_by_photo = (after["age_predicted"] - after["age"]).abs() - (before["age_predicted"] - before["age"]).abs()
    mean, error = photo_by_photo.mean(), photo_by_photo.std() / np.sqrt(COUNT)
    assert (found["against"], found["photos"], found["verdict"]) == ("a", COUNT, "worse")
    assert found["value"] == pytest.approx(mean, abs=1e-3)
    assert found["low"] == pytest.approx(mean - 1.96 * error, abs=0.3 * error)
    assert found["high"] == pytest.approx(mean + 1.96 * error, abs=0.3 * error)
    unpaired = mistakes.abs().std() * np.sqrt(2 / COUNT)
    assert error < unpaired / 5 and mean < 1.96 * unpaired


def test_the_difference_is_this_run_minus_the_first_in_both_metrics(entry: Write) -> None:
    poor, good = ages(noise=9, seed=1), ages(noise=3, seed=2)
    result = compare([entry("poor", poor), entry("good", good)])
    error = [(t["age_predicted"] - t["age"]).abs().mean() for t in (poor, good)]
    correlation = [np.corrcoef(t["age"], t["age_predicted"])[0, 1] for t in (poor, good)]
    mae, pc = difference(result, "good", "mae"), difference(result, "good", "pc")
    assert mae["value"] == pytest.approx(error[1] - error[0], rel=1e-4) and mae["verdict"] == "better"
    assert pc["value"] == pytest.approx(correlation[1] - correlation[0], rel=1e-4) and pc["verdict"] == "better"
    assert rows_of(result)["poor"]["differences"] == []


def test_runs_that_say_the_same_show_no_difference(entry: Write) -> None:
    result = compare([entry("a", ages()), entry("b", ages().iloc[::-1])])
    for metric in ("mae", "pc"):
        found = difference(result, "b", metric)
        assert found["value"] == pytest.approx(0, abs=1e-12) and found["verdict"] == "no difference shown"


@pytest.mark.parametrize(
    ("metric", "low", "high", "words"),
    [
        ("mae", -2.0, -0.1, "better"),
        ("mae", 0.1, 2.0, "worse"),
        ("pc", 0.1, 0.2, "better"),
        ("pc", -0.2, -0.1, "worse"),
        ("pc", -0.1, 0.1, "no difference shown"),
        ("mae", 0.0, 0.2, "no difference shown"),
        ("mae", None, None, "not measured"),
    ],
)
def test_the_verdict_knows_which_way_is_up(metric: str, low: float | None, high: float | None, words: str) -> None:
    assert verdict(metric, ScalarTask("age", 0, 100, 1), low, high) == words


def test_a_class_is_right_or_wrong_also_where_another_run_knows_more_classes(entry: Write) -> None:
    true = ["happy", "sad"] * 50
    before = photos(100).assign(mood=true, mood_predicted=["happy"] * 100)
    after = photos(100).assign(mood=true, mood_predicted=["angry"] * 10 + true[10:])
    wider = {**MOOD, "classes": ["angry", "happy", "sad"]}
    result = compare([entry("a", before, MOOD), entry("b", after, wider)])
    found = difference(result, "b", "accuracy", "mood")
    assert found["value"] == pytest.approx(0.9 - 0.5) and found["verdict"] == "better"
    assert [d["metric"] for d in rows_of(result, "mood")["b"]["differences"]] == ["accuracy"]


def test_each_attribute_counts_over_its_own_labelled_photos(entry: Write) -> None:
    red, blue = [1.0, 0.0, np.nan, np.nan], [1.0, np.nan, 0.0, np.nan]
    labels = photos(4).assign(**{"hats.red": red, "hats.blue": blue})
    before = labels.assign(**{"hats.red_predicted": [0.1, 0.1, 0.9, 0.9], "hats.blue_predicted": [0.1, 0.1, 0.9, 0.9]})
    after = labels.assign(**{"hats.red_predicted": [0.9, 0.1, 0.9, 0.9], "hats.blue_predicted": [0.1, 0.1, 0.1, 0.9]})
    found = difference(compare([entry("a", before, HATS), entry("b", after, HATS)]), "b", "accuracy", "hats")
    # From (1/2 + 0/2) / 2 to (2/2 + 1/2) / 2, over the three photos with a label.
    assert found["value"] == pytest.approx(0.5) and found["photos"] == 3


def test_the_best_value_is_marked_by_the_metrics_own_direction(entry: Write) -> None:
    result = compare([entry("a", ages(8)), entry("b", ages(2)), entry("c", ages(4)), entry("d", ages(2))])
    assert {name: row["best"] for name, row in rows_of(result).items()} == {
        "a": [], "b": ["mae", "pc"], "c": [], "d": ["mae", "pc"]
    }  # fmt: skip


def shifted(table: pd.DataFrame, by: int) -> pd.DataFrame:
    return table.assign(image=[f"{i + by}.jpg" for i in range(len(table))])


OTHER_LABEL = ages(2).assign(age=[1.0, *ages(2)["age"][1:]])
YEARS_IN_MONTHS = {**AGE, "unit": "months"}
APART: dict[str, tuple[pd.DataFrame, dict[str, Any], str, str]] = {
    "augmentation": (ages(2), AGE, "none", "other test-time augmentation (none, not flip)"),
    "photos": (shifted(ages(2), COUNT), AGE, "flip", "other photos (none is shared)"),
    "source": (ages(2, source="other"), AGE, "flip", "other photos (none is shared)"),
    "split": (shifted(ages(2), 100), AGE, "flip", "only 300 of its 400 photos are among the 400 of a"),
    "labels": (OTHER_LABEL, AGE, "flip", "other labels (1 of 400 photos, such as faces/0.jpg)"),
    "unit": (ages(2), YEARS_IN_MONTHS, "flip", "another unit"),
}


@pytest.mark.parametrize("what", APART)
def test_what_was_measured_otherwise_is_never_compared_and_says_why(entry: Write, what: str) -> None:
    table, task, tta, words = APART[what]
    row = rows_of(compare([entry("a", ages(8)), entry("b", table, task, tta=tta)]))["b"]
    assert len(row["apart"]) == 1 and words in row["apart"][0]
    assert row["differences"] == [] and row["best"] == []


def test_attributes_of_another_set_are_not_compared(entry: Write) -> None:
    one = photos(2).assign(**{"hats.red": [1.0, 0.0], "hats.red_predicted": [0.9, 0.1]})
    other = one.assign(**{"hats.blue": [1.0, 0.0], "hats.blue_predicted": [0.9, 0.1]})
    runs = [entry("a", one, {**HATS, "attributes": ["red"]}), entry("b", other, HATS)]
    assert rows_of(compare(runs), "hats")["b"]["apart"] == ["other attributes"]


def test_all_reasons_are_named(entry: Write) -> None:
    row = rows_of(compare([entry("a", ages()), entry("b", shifted(ages(), COUNT), tta="none")]))["b"]
    assert [reason.split(" (")[0] for reason in row["apart"]] == ["other test-time augmentation", "other photos"]


def test_a_net_for_everything_meets_its_twin_on_the_photos_of_one_source(entry: Write) -> None:
    twin = ages(3, seed=2)
    moods = photos(50, "moods").assign(mood="happy", mood_predicted="sad")
    everything = pd.concat([moods, ages(6, seed=1)], ignore_index=True)
    runs = [entry("all", everything, AGE, MOOD), entry("twin", twin)]
    result = compare(runs)
    found = difference(result, "twin", "mae")
    error = [(t["age_predicted"] - t["age"]).abs().mean() for t in (ages(6, seed=1), twin)]
    assert found["photos"] == COUNT and found["value"] == pytest.approx(error[1] - error[0], rel=1e-4)
    assert rows_of(result)["twin"]["best"] == ["mae", "pc"]
    assert list(rows_of(result, "mood")) == ["all"]
    turned = difference(compare(runs[::-1]), "all", "mae")
    assert turned["value"] == pytest.approx(-found["value"]) and turned["verdict"] == "worse"


def test_where_one_run_saw_more_photos_only_the_shared_ones_are_paired(entry: Write) -> None:
    more, fewer = ages(6, seed=1), ages(3, seed=2).iloc[:100]
    row = rows_of(compare([entry("more", more), entry("fewer", fewer)]))["fewer"]
    mae = row["differences"][0]
    same = more.iloc[:100]
    expected = (fewer["age_predicted"] - fewer["age"]).abs().mean() - (same["age_predicted"] - same["age"]).abs().mean()
    assert mae["photos"] == 100 and mae["value"] == pytest.approx(expected, rel=1e-4)
    # Its own values are of other photos than those of the first.
    assert row["best"] == [] and row["apart"] == []


def test_differences_are_to_the_first_run_that_has_the_task(entry: Write) -> None:
    moods = photos(20).assign(mood="happy", mood_predicted="sad")
    result = compare([entry("moods", moods, MOOD), entry("a", ages(5)), entry("b", ages(3))])
    assert result["tasks"]["age"]["against"] == "a" and difference(result, "b", "mae")["against"] == "a"


def test_photos_may_be_called_like_numbers_or_nothing(entry: Write) -> None:
    names = ["NA", "007", "7", "nan", 'a,"b".jpg', "1e3", "True", "null"]
    table = ages(5, count=8).assign(image=names)
    assert difference(compare([entry("a", table), entry("b", table)]), "b", "mae")["photos"] == 8


def test_the_correlation_of_a_constant_is_not_measured_rather_than_compared(entry: Write, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "b", ages().assign(age_predicted=50.0), AGE)
    results = json.loads((folder / "metrics.json").read_text().replace("NaN", "null"))
    (folder / "metrics.json").write_text(json.dumps(results))
    result = compare([entry("a", ages()), *read_entries(folder, "b")])
    assert difference(result, "b", "pc")["verdict"] == "not measured"
    assert difference(result, "b", "pc")["value"] is None and rows_of(result)["a"]["best"] == ["mae"]


def exported(entry: Entry, name: str, tta: str = "flip", split_hash: str | None = None) -> Entry:
    """What is known of a file: metrics, and no predictions."""
    changes = {"tta": tta, "split_hash": split_hash or entry.results.split_hash}
    return Entry(name, entry.path, entry.results.model_copy(update=changes), entry.tasks)


def test_an_exported_file_is_never_matched_with_a_run_but_with_files_of_the_same_photos(entry: Write) -> None:
    run = entry("run", ages(5))
    files = [exported(run, "a"), exported(run, "b"), exported(run, "c", split_hash="0")]
    rows = rows_of(compare([files[0], run]))
    assert "no predictions to match photos by" in rows["a"]["apart"][0] and rows["run"]["apart"] == []
    rows = rows_of(compare(files))
    assert rows["b"]["apart"] == [] and rows["b"]["best"] == ["mae", "pc"] and rows["b"]["differences"] == []
    assert "no predictions to match photos by" in rows["c"]["apart"][0] and rows["c"]["best"] == []


def test_metrics_that_a_task_does_not_have_are_refused(entry: Write) -> None:
    run = entry("run", ages())
    plain = run.results.model_dump()
    plain["tasks"]["age"]["metrics"]["accuracy"] = {"value": 1.0, "low": None, "high": None}
    with pytest.raises(ValueError, match="no task 'age' with the metrics mae, pc, accuracy"):
        Entry("run", run.path, Results.model_validate(plain), run.tasks)


def test_tasks_can_be_chosen_and_an_unknown_one_names_the_nearest(entry: Write) -> None:
    both = ages().assign(mood="happy", mood_predicted="sad")
    runs = [entry("a", both, AGE, MOOD), entry("b", both, AGE, MOOD)]
    assert list(compare(runs)["tasks"]) == ["age", "mood"]
    assert list(compare(runs, ["mood"])["tasks"]) == ["mood"]
    with pytest.raises(ConfigError, match="unknown --task 'agee'; did you mean 'age'"):
        compare(runs, ["agee"])


def test_runs_without_a_task_in_common_are_refused(entry: Write) -> None:
    moods = photos(20).assign(mood="happy", mood_predicted="sad")
    both = ages(count=20).assign(mood="happy", mood_predicted="sad")
    with pytest.raises(ConfigError, match="no two of them have a task in common: a has age; b has mood"):
        compare([entry("a", ages()), entry("b", moods, MOOD)])
    with pytest.raises(ConfigError, match="no two of them have age"):
        compare([entry("c", both, AGE, MOOD), entry("d", moods, MOOD)], ["age"])


def test_names_are_as_short_as_tells_them_apart() -> None:
    paths = [Path(p) for p in ("/x/one/run", "/x/two/run", "/x/one/other", "/y/one/run")]
    assert unique_names(paths) == ["x/one/run", "two/run", "other", "y/one/run"]


def text(path: str, change: Callable[[str], str]) -> Callable[[Path], Any]:
    return lambda folder: (folder / path).write_text(change((folder / path).read_text()))


def without_last_line(content: str) -> str:
    return "\n".join(content.splitlines()[:-1]) + "\n"


def shuffled_predictions(folder: Path) -> None:
    table = pd.read_csv(folder / "predictions.csv")
    table["age_predicted"] = table["age_predicted"].to_numpy()[::-1]
    table.to_csv(folder / "predictions.csv", index=False)


# How a run is damaged, and what the line says.
DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no JSON": (text("metrics.json", lambda s: s[:-9]), "metrics.json is damaged"),
    "another JSON": (text("metrics.json", lambda _: "[]"), "metrics.json is damaged"),
    "no value": (text("metrics.json", lambda s: s.replace('"labelled": 400', '"labelled": "x"')), "tasks.age.labelled"),
    "not a number": (text("metrics.json", lambda s: s.replace("null}", "NaN}")), "metrics.json is damaged"),
    "no tasks": (lambda folder: (folder / "tasks.yaml").unlink(), "cannot read tasks.yaml"),
    "other tasks": (text("tasks.yaml", lambda s: s.replace("age", "aeg")), "tasks.yaml is damaged: it defines ['aeg']"),
    "odd tasks": (text("tasks.yaml", lambda _: "age: 3\n"), "tasks.yaml is damaged"),
    "no predictions": (lambda folder: (folder / "predictions.csv").unlink(), "predictions.csv is damaged: No such"),
    "empty": (text("predictions.csv", lambda _: ""), "predictions.csv is damaged"),
    "not text": (
        lambda folder: (folder / "predictions.csv").write_bytes(b"\xff\xfe\x00"),
        "predictions.csv is damaged",
    ),
    "no column": (text("predictions.csv", lambda s: s.replace("age_pred", "x")), "no column 'age_predicted'"),
    "a row less": (text("predictions.csv", without_last_line), "its photos are not those"),
    "cut short": (text("predictions.csv", lambda s: s[:-20]), "predictions.csv is damaged"),
    "a row twice": (text("predictions.csv", lambda s: s + s.splitlines()[-1]), "its photos are not those"),
    "a word": (text("predictions.csv", lambda s: s + "faces,x.jpg,old,older\n"), "predictions.csv is damaged"),
    "a label less": (
        lambda folder: ages().assign(age=[np.nan, *ages()["age"][1:]]).to_csv(folder / "predictions.csv", index=False),
        "399 labels of age, but metrics.json counts 400",
    ),
    "other predictions": (shuffled_predictions, "age has mae"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_one_line_with_the_mend(tmp_path: Path, damage: str) -> None:
    folder = write_run(tmp_path / "run", ages(), AGE)
    change, words = DAMAGES[damage]
    change(folder)
    with pytest.raises(RunError) as caught:
        read_entries(folder, "run")
    assert words in str(caught.value)
    mend = "; train a new run" if damage in ("odd tasks", "other tasks") else f"keras-faceattr fit --resume {folder}"
    assert mend in str(caught.value) or damage == "no tasks"


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ('{"regressors": {"ridge": 5}}', "no 'task'"),
        ('{"task": "age", "regressors": {"ridge": 5}}', "metrics.json is damaged: "),
        ('{"task": "age", "regressors": 5}', "metrics.json is damaged: "),
        ('{"task": "age", "regressors": {}}', "no regressors"),
    ],
)
def test_damaged_results_of_regressors_are_one_line_with_the_mend(tmp_path: Path, results: str, words: str) -> None:
    folder = write_run(tmp_path / "run", ages(), AGE)
    (folder / "metrics.json").write_text(results)
    with pytest.raises(RunError, match=re.escape(f"keras-faceattr fit --resume {folder}")) as caught:
        read_entries(folder, "run")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_class_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    table = photos(4).assign(mood="happy", mood_predicted=["happy", "sad", "sad", "gloomy"])
    with pytest.raises(RunError, match="a mood that is none of happy, sad"):
        read_entries(write_run(tmp_path / "run", table, MOOD), "run")


def test_what_is_no_finished_run_on_photos_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="empty is not a run folder"):
        read_entries(tmp_path / "empty", "x")
    with pytest.raises(RunError, match="nowhere is not a run folder"):
        read_entries(tmp_path / "nowhere", "x")
    stopped = write_run(tmp_path / "stopped", ages(), AGE)
    (stopped / "metrics.json").unlink()
    with pytest.raises(RunError, match=f"never finished: go on with keras-faceattr fit --resume {stopped}"):
        read_entries(stopped, "x")


def test_a_run_is_read_as_it_was_written(entry: Write) -> None:
    run = entry("a", ages())
    expected: Task = task_from_dict(AGE)
    assert run.tasks == {"age": expected} and run.results.tasks["age"].labelled == COUNT
    assert run.photos is not None and list(run.photos["age"].columns) == ["age", "age_predicted"]
