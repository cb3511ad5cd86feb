"""`compare` from the outside: runs and exported files in one table, or one clear line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from keras_faceattr.artifact.loading import Artifact

from .conftest import Cli

KEPT = ("metrics.json", "predictions.csv", "tasks.yaml", "config.yaml")


def copied(run: Path, folder: Path) -> Path:
    """All of a run that is compared."""
    folder.mkdir(parents=True)
    for name in KEPT:
        shutil.copyfile(run / name, folder / name)
    return folder


def metrics_of(run: Path) -> Any:
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture
def better(small_run: Path, tmp_path: Path) -> Path:
    """The small run, had it been a year off for everybody."""
    folder = copied(small_run, tmp_path / "better")
    table = pd.read_csv(folder / "predictions.csv")
    table.assign(age_predicted=table["age"] + 1).to_csv(folder / "predictions.csv", index=False)
    results = metrics_of(folder)
    for metric, value in {"mae": 1.0, "rmse": 1.0, "pc": 1.0}.items():
        results["tasks"]["age"]["metrics"][metric] = {"value": value, "low": value, "high": value}
    (folder / "metrics.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def test_runs_stand_in_one_table_a_task_with_paired_differences(cli: Cli, small_run: Path, better: Path) -> None:
    done = cli("compare", small_run, better)
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert [task for task in metrics_of(small_run)["tasks"] if task in lines] == list(metrics_of(small_run)["tasks"])
    assert any(line.startswith("better 12 flip 1.000* 1.000* 1.0000*") for line in lines)
    change = 1 - metrics_of(small_run)["tasks"]["age"]["metrics"]["mae"]["value"]
    (mae,) = [line for line in lines if line.startswith(f"better {small_run.name} 12 MAE −")]
    assert mae.endswith(" better") and f" −{-change:.2f} " in mae
    assert sum(line.endswith("no difference shown") for line in lines) >= 3
    assert max(map(len, done.out.splitlines())) <= 120


def test_the_json_holds_everything(cli: Cli, small_run: Path, better: Path) -> None:
    told = cli("compare", small_run, better, "--task", "age", "--json").json()
    assert [run["name"] for run in told["runs"]] == [small_run.name, "better"]
    assert told["runs"][0]["split_hash"] == metrics_of(small_run)["split_hash"]
    (task,) = told["tasks"].values()
    assert task["against"] == small_run.name and task["unit"] == "years"
    recorded = metrics_of(small_run)["tasks"]["age"]
    assert task["rows"][0]["metrics"] == recorded["metrics"]
    assert set(task["rows"][0]["groups"]) == set(recorded["groups"])
    assert {d["metric"]: d["verdict"] for d in task["rows"][1]["differences"]}["mae"] == "better"


def test_the_flat_table_has_a_row_a_run_task_and_metric(
    cli: Cli, small_run: Path, better: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tables" / "compared.csv"
    done = cli("compare", small_run, better, "--out", out)
    assert done.code == 0 and f"table    {out}" in done.out
    table = pd.read_csv(out)
    assert list(table.columns) == [
        "run", "task", "metric", "value", "low", "high", "difference", "difference_low", "difference_high"
    ]  # fmt: skip
    recorded = metrics_of(small_run)["tasks"]
    assert len(table) == 2 * sum(len(task["metrics"]) for task in recorded.values())
    row = table.set_index(["run", "task", "metric"]).loc[("better", "age", "mae")]
    assert row["difference"] == pytest.approx(1 - recorded["age"]["metrics"]["mae"]["value"], rel=1e-4)
    assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    assert table[table["run"] == small_run.name]["difference"].isna().all()
    assert not [path for path in out.parent.iterdir() if path != out]


def test_groups_are_rows_of_their_own_in_both_readings(cli: Cli, small_run: Path, better: Path, tmp_path: Path) -> None:
    mae = {"value": 3.25, "low": 3.0, "high": 3.5}
    results = metrics_of(better)
    results["tasks"]["age"] |= {
        "groups": {"gender": {"women": {"labelled": 11, "metrics": {"mae": mae}}, "men": {"labelled": 1}}},
        "predicted_groups": {"gender": {"women": {"labelled": 10, "metrics": {"mae": mae | {"value": 3.125}}}}},
    }
    (better / "metrics.json").write_text(json.dumps(results), encoding="utf-8")
    out = tmp_path / "compared.csv"
    done = cli("compare", small_run, better, "--by", "gender", "--task", "age", "--out", out)
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert any(line.startswith("women 11 3.250 not measured") for line in lines)
    assert any(line.startswith("predicted women 10 3.125 not measured") for line in lines)
    assert sum("3.000 – 3.500" in line for line in lines) == 2
    table = pd.read_csv(out)
    table = table[(table["run"] == "better") & (table["group"] == "women")]
    assert table[["given", "value", "low", "high"]].values.tolist() == [
        ["true", 3.25, 3.0, 3.5], ["predicted", 3.125, 3.0, 3.5],
    ]  # fmt: skip


def test_groups_of_older_results_are_read_without_intervals(
    cli: Cli, small_run: Path, better: Path, tmp_path: Path
) -> None:
    groups = {"women": {"labelled": 11, "metrics": {"mae": 3.25}}, "men": {"labelled": 1}}
    results = metrics_of(better)
    results["tasks"]["age"]["groups"] = {"gender": groups}
    del results["tasks"]["age"]["predicted_groups"]
    (better / "metrics.json").write_text(json.dumps(results), encoding="utf-8")
    out = tmp_path / "compared.csv"
    done = cli("compare", small_run, better, "--by", "gender", "--task", "age", "--out", out)
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert any(line.startswith("women 11 3.250 not measured") for line in lines)
    assert any(line.startswith("men 1 too few too few") for line in lines)
    table = pd.read_csv(out)
    table = table[table["run"] == "better"]
    assert table[table["group"] == "women"]["value"].tolist() == [3.25]
    assert len(table[table["group"].isna()]) == len(results["tasks"]["age"]["metrics"])


def test_a_table_of_a_run_is_not_written_over(cli: Cli, small_run: Path, better: Path) -> None:
    before = (better / "predictions.csv").read_bytes()
    done = cli("compare", small_run, better, "--out", better / "predictions.csv")
    assert done.code == 2 and "is a table of the run" in done.error
    assert (better / "predictions.csv").read_bytes() == before


def test_an_unknown_group_names_the_known_ones(cli: Cli, small_run: Path, better: Path) -> None:
    known = sorted({column for task in metrics_of(small_run)["tasks"].values() for column in task["groups"]})
    assert (
        f"unknown --by 'rase'; did you mean 'race'? valid: {', '.join(known)}"
        in cli("compare", small_run, better, "--by", "rase").error
    )


def test_groups_where_nobody_has_any_are_refused(cli: Cli, better: Path, tmp_path: Path) -> None:
    results = metrics_of(better)
    for task in results["tasks"].values():
        task["groups"] = task["predicted_groups"] = {}
    (better / "metrics.json").write_text(json.dumps(results), encoding="utf-8")
    done = cli("compare", better, copied(better, tmp_path / "twin"), "--by", "gender")
    assert done.code == 2 and "none of them has results by group" in done.error


def test_an_exported_file_shows_what_the_export_cost_it(
    cli: Cli, small_run: Path, exported: dict[str, Artifact]
) -> None:
    float32, int8 = exported["float32"], exported["int8_qat"]
    told = cli("compare", small_run, float32.path, int8.path, "--json").json()
    assert [run["name"] for run in told["runs"]] == [small_run.name, float32.path.name, int8.path.name]
    assert told["runs"][2]["parameters"] == int8.sidecar.cost.parameters and told["runs"][2]["tta"] == "none"
    row = told["tasks"]["age"]["rows"][2]
    metrics = int8.sidecar.parity["metrics"]
    change = [metrics[model]["age"]["metrics"]["mae"]["value"] for model in ("float", "file")]
    (difference,) = row["differences"]
    assert difference["against"] == "its float model" and difference["photos"] == 12
    assert difference["value"] == pytest.approx(change[1] - change[0], abs=1e-6)
    assert "other test-time augmentation (none, not flip)" in row["apart"]
    done = cli("compare", small_run, int8.path)
    text = " ".join(done.out.split())
    assert f"{int8.path.name} and {small_run.name} are not comparable: other test-time augmentation" in text
    assert f"{int8.sidecar.cost.parameters:,}" in text and max(map(len, done.out.splitlines())) <= 120


def test_exported_files_alone_can_be_put_side_by_side(cli: Cli, exported: dict[str, Artifact], tmp_path: Path) -> None:
    out = tmp_path / "files.csv"
    files = [exported[name].path for name in ("float32", "int8_qat", "int8_full")]
    told = cli("compare", *files, "--out", out, "--json").json()
    assert all(row["apart"] == [] for task in told["tasks"].values() for row in task["rows"])
    # The change from its own float model is no difference to the first file.
    assert pd.read_csv(out)["difference"].isna().all()


def test_a_sidecar_without_results_is_one_line(cli: Cli, exported: dict[str, Artifact], tmp_path: Path) -> None:
    whole = exported["float32"].path
    path = Path(shutil.copyfile(whole, tmp_path / whole.name))
    plain = json.loads(whole.with_suffix(".json").read_text(encoding="utf-8"))
    for key, value in [("protocol", {}), ("parity", {}), ("metrics", {"age": 3})]:
        path.with_suffix(".json").write_text(json.dumps({**plain, key: value}), encoding="utf-8")
        done = cli("compare", path, exported["int8_qat"].path)
        assert done.code == 2 and f"no sidecar of format 1: {key}." in done.error and "export it again" in done.error


# What is named, and what the line says.
MISTAKES: dict[str, tuple[Callable[[Path, Path], list[object]], str]] = {
    "nothing": (lambda run, folder: [], "two or more"),
    "one run": (lambda run, folder: [run], "two or more"),
    "twice": (lambda run, folder: [run, run.parent / "." / run.name / ".." / run.name], "is named twice"),
    "no run": (lambda run, folder: [run, folder], "is not a run folder"),
    "a photo": (lambda run, folder: [run, run / "report.html"], "is not a run folder"),
    "no file": (lambda run, folder: [run, folder / "x.tflite"], "no file"),
    "no such task": (lambda run, folder: [run, copied(run, folder / "b"), "--task", "agee"], "did you mean 'age'"),
    "no table": (lambda run, folder: [run, copied(run, folder / "b"), "--out", "x.xlsx"], "unknown kind '.xlsx'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_2(cli: Cli, small_run: Path, tmp_path: Path, mistake: str) -> None:
    arguments, words = MISTAKES[mistake]
    done = cli("compare", *arguments(small_run, tmp_path))
    assert done.code == 2 and words in done.error and done.out == ""


def test_a_stopped_run_says_how_to_go_on(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    stopped = copied(small_run, tmp_path / "stopped")
    (stopped / "metrics.json").unlink()
    done = cli("compare", small_run, stopped)
    assert done.code == 2 and f"never finished: go on with keras-faceattr fit --resume {stopped}" in done.error


def test_runs_of_one_name_are_told_apart_by_their_folders(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    twins = [copied(small_run, tmp_path / parent / "same") for parent in ("one", "two")]
    told = cli("compare", *twins, "--json").json()
    assert [run["name"] for run in told["runs"]] == ["one/same", "two/same"]


LIGHT = """
import sys
from keras_faceattr.cli import main
sys.argv = ["keras-faceattr", "compare", *sys.argv[1:], "--json"]
try:
    main()
except SystemExit as stop:
    assert not stop.code
print("imported", sorted({"tensorflow", "keras", "jax"} & set(sys.modules)))
"""


def test_neither_tensorflow_nor_keras_is_imported(small_run: Path, better: Path, exported: dict[str, Artifact]) -> None:
    arguments = [sys.executable, "-c", LIGHT, small_run, better, exported["float32"].path]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported []"
