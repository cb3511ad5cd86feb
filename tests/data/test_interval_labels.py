"""Labels that are intervals, from a CSV to batches, splits, groups and results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.data.groups import group_columns
from keras_faceattr.data.manifest import Manifest, Source, build_manifest, concatenate
from keras_faceattr.data.mixing import strata_of
from keras_faceattr.data.splits import split_manifest
from keras_faceattr.data.targets import label_array, label_counts, label_forms
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.evaluation.evaluate import evaluate
from keras_faceattr.tasks import BinaryTask, ScalarTask, age_task

BANDS = [(0, 9), (10, 19), (20, 100)]


def manifest_of(root: Path, rows: list[tuple], tasks=None) -> Manifest:
    """One of photos with age, age_low, age_high."""
    frame = pd.DataFrame(rows, columns=pd.Index(["age", "age_low", "age_high"]))
    for number in range(len(frame)):
        (root / f"{number}.jpg").write_bytes(b"%d" % number)
    frame["image"] = [f"{number}.jpg" for number in range(len(frame))]
    return build_manifest(Source("csv_file", root), frame, tasks or [age_task()])


def test_exact_labels_and_intervals_mix_in_one_task(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, [(5, None, None), (None, 10, 19), (None, "0", "9"), (33, None, None)])
    task = manifest.tasks["age"]
    assert task.bands == ((0, 9), (10, 19))
    assert label_forms(manifest, task) == ("exact", "interval")
    labels = label_array(manifest, task)
    nan = np.nan
    np.testing.assert_array_equal(labels, [[5, 2, nan, nan], [nan, 2, 10, 19], [nan, 2, 0, 9], [33, 2, nan, nan]])
    assert list(label_counts(task, labels)) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, 9, 3), "age_low 9 is above age_high 3"),
        ((5, 0, 9), "age is both a value and an interval; leave one of them empty"),
        ((None, 5, None), "age has one end of an interval alone"),
        ((None, "old", 9), "age_low 'old' is not a number"),
        ((None, 20, 120), "age_high 120 is not in 0 to 100"),
        ((None, None, None), "has no label"),
    ],
)
def test_a_bad_interval_is_quarantined_with_its_reason(tmp_path: Path, row: tuple, reason: str) -> None:
    manifest = manifest_of(tmp_path, [(None, 0, 9), (None, 10, 19), row])
    assert list(manifest.quarantine["reason"]) == [reason]


def test_what_is_none_of_the_bands_is_quarantined(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, [(None, 0, 9), (None, 0, 19)], [age_task(bands=BANDS)])
    assert list(manifest.quarantine["reason"]) == ["age 0 to 19 is none of the bands 0–9, 10–19, 20–100"]


def test_bands_that_overlap_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the bands 0 to 9 and 5 to 19 overlap or do not ascend; give each photo"):
        manifest_of(tmp_path, [(None, 0, 9), (None, 5, 19)])


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([(9, 0), (10, 19)], "the band 9 to 0 does not ascend within 0 to 100"),
        ([(0, 9), (9, 19)], "the bands 0 to 9 and 9 to 19 overlap"),
        ([(10, 19), (0, 9)], "the bands 10 to 19 and 0 to 9 overlap or do not ascend"),
        ([(0, 9), (10, 101)], "the band 10 to 101 does not ascend within 0 to 100"),
        ([(0, 9)], "one band tells nothing apart"),
    ],
)
def test_a_task_refuses_bands_that_are_none(bands: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        age_task(bands=bands)


def test_one_source_may_give_values_and_the_other_bands(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    banded = manifest_of(tmp_path / "a", [(None, 0, 9), (None, 10, 19)])
    plain = manifest_of(tmp_path / "b", [(5, None, None)])
    plain = replace(
        plain,
        rows=plain.rows.drop(columns=["age_low", "age_high"]).assign(source="other"),
        sources={"other": Source("other", tmp_path / "b")},
    )
    joined = concatenate([banded, plain])
    assert joined.tasks["age"].bands == ((0, 9), (10, 19))
    assert label_counts(joined.tasks["age"], label_array(joined, joined.tasks["age"])).tolist() == [1, 1, 1]
    other = replace(plain, tasks={"age": age_task(bands=BANDS)})
    with pytest.raises(DataError, match="task 'age' is defined differently by two sources: bands"):
        concatenate([banded, other])


def test_splits_and_balanced_batches_keep_bands_in_proportion(tmp_path: Path) -> None:
    rows = [(None, *BANDS[number % 3]) if number % 4 else (BANDS[number % 3][0], None, None) for number in range(240)]
    manifest = split_manifest(manifest_of(tmp_path, rows), "stratified", stratify="age", test=0.25, validation=0)
    for low, _ in BANDS:
        own = manifest.rows["age_low"].fillna(manifest.rows["age"]) == low
        assert (manifest.rows["split"][own] == "test").mean() == pytest.approx(0.25, abs=0.04)
    strata, shares = strata_of(manifest.tasks["age"], label_array(manifest, manifest.tasks["age"]))
    assert len(set(strata)) == len(shares) - 1
    assert shares[-1] == 0


def test_photos_are_grouped_by_the_band_that_holds_their_interval(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, [(None, 3, 9), (12, None, None), (None, 10, 25)])
    assert list(group_columns(manifest)["age"].fillna("?")) == ["3–9", "10–19", "?"]


def test_results_of_intervals_are_those_of_bands_and_values_are_measured_where_there_are_some(tmp_path: Path) -> None:
    rows = [(None, *BANDS[number % 3]) for number in range(12)]
    manifest = manifest_of(tmp_path, rows)
    task = manifest.tasks["age"]
    said = {"age": np.array([low + 1.0 for _, low, _ in rows])}
    metrics = evaluate(manifest, {"age": task}, said, samples=10)["age"]["metrics"]
    assert list(metrics) == ["interval_distance", "band_accuracy", "one_off_accuracy"]
    assert metrics["band_accuracy"]["value"] == 1.0
    mixed = manifest_of(tmp_path, [*rows, (50, None, None)])
    metrics = evaluate(mixed, {"age": task}, {"age": np.append(said["age"], 53.0)}, samples=10)["age"]["metrics"]
    assert metrics["mae"]["value"] == pytest.approx(3.0)
    assert metrics["interval_distance"]["value"] == pytest.approx(3.0 / 13)


def test_a_csv_may_hold_intervals_alone(tmp_path: Path) -> None:
    from keras_faceattr.data.datasets import read_dataset

    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    (tmp_path / "labels.csv").write_text("image,years_low,years_high,smile\na.jpg,0,9,1\nb.jpg,10,19,\nc.jpg,,,0\n")
    tasks = [ScalarTask("years", 0, 100, 1), BinaryTask("smile")]
    manifest = read_dataset("csv_file", tmp_path, {}, tasks)
    assert manifest.rows["years_high"].tolist()[:2] == [9, 19]
    assert len(manifest) == 3
    (tmp_path / "labels.csv").write_text("image,years_low\na.jpg,0\n")
    with pytest.raises(DataError, match="no column 'years_high'"):
        read_dataset("csv_file", tmp_path, {}, tasks[:1])


def test_an_inspection_counts_the_photos_of_each_band(tmp_path: Path) -> None:
    from keras_faceattr.data.inspection import bars_of, inspect_manifest

    manifest = manifest_of(tmp_path, [(None, *BANDS[number % 3]) for number in range(7)] + [(50, None, None)])
    findings, _ = inspect_manifest(replace(manifest, notes=("said by the reader",)), decode=False)
    assert findings["tasks"]["age"]["bands"] == {"0 to 9": 3, "10 to 19": 2, "20 to 100": 2}
    assert bars_of(findings["tasks"]["age"]) == ("photos", [("0 to 9", 3), ("10 to 19", 2), ("20 to 100", 2)])
    assert findings["tasks"]["age"]["labelled"] == 8
    assert findings["notes"] == ["said by the reader"]


def test_predictions_of_intervals_are_written_and_read_back_with_their_labels(tmp_path: Path) -> None:
    from keras_faceattr.evaluation.entries import arrays_of, columns_of
    from keras_faceattr.evaluation.predictions import write_predictions

    manifest = manifest_of(tmp_path, [(None, 0, 9), (12, None, None), (None, 10, 19)])
    task, said = manifest.tasks["age"], np.array([4.0, 13.0, 30.0])
    write_predictions(tmp_path / "p.csv", manifest, {"age": task}, {"age": said})
    table = pd.read_csv(tmp_path / "p.csv")
    assert columns_of(task, table) == ["age", "age_predicted", "age_low", "age_high"]
    labels, predictions = arrays_of(task, table)
    np.testing.assert_array_equal(predictions, said)
    np.testing.assert_array_equal(labels[:, [0, 2, 3]], label_array(manifest, task)[:, [0, 2, 3]])


def test_the_plot_of_bands_is_drawn_where_there_is_no_value(tmp_path: Path) -> None:
    from keras_faceattr.evaluation.plots import plot_task

    manifest = manifest_of(tmp_path, [(None, *BANDS[number % 3]) for number in range(9)])
    task = manifest.tasks["age"]
    plots = plot_task(task, label_array(manifest, task), np.linspace(0, 90, 9), tmp_path)
    assert [path.name for path in plots] == ["age_bands.png"]
    assert plots[0].stat().st_size > 1000


def test_a_method_that_cannot_learn_from_intervals_is_refused_before_the_training(tmp_path: Path) -> None:
    from keras_faceattr.config import Experiment
    from keras_faceattr.data.crop_cache import LabelledCrops
    from keras_faceattr.data.prepare import PreparedData
    from keras_faceattr.training.checks import check_learnable

    manifest = manifest_of(tmp_path, [(None, *BANDS[number % 3]) for number in range(9)])
    tasks = manifest.tasks
    labels = {"age": label_array(manifest, tasks["age"])}
    part = LabelledCrops(None, labels, np.arange(9))  # type: ignore[arg-type]
    data = PreparedData(manifest, tasks, {"train": part}, {"age": label_forms(manifest, tasks["age"])})
    config = {"name": "x", "data": {"sources": [{"reader": "csv_file"}]}}
    for method, allowed in (("ranking", False), ("crnet", False), ("mr_l1", False), ("dldl_v2", True), ("l1", True)):
        experiment = Experiment(**config, tasks={"age": {"method": method}})
        if allowed:
            check_learnable(experiment, data)
        else:
            with pytest.raises(ConfigError, match=f"the method '{method}' cannot learn from interval labels; use dex"):
                check_learnable(experiment, data)
