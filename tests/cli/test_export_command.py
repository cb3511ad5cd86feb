"""`export` from the outside: files, page, verdicts and exit status, and one line for every mistake."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from small import UNTUNED, untrained_run

from keras_faceattr.api import exporting
from keras_faceattr.artifact.loading import Artifact, load_artifact
from keras_faceattr.run import Run

from .conftest import Cli

LENIENT = ["--set", "tolerance={mae: {absolute: 1000}, accuracy: {absolute: 1}, balanced_accuracy: {absolute: 1}}"]
"""A tolerance that every file keeps: a net of two epochs, measured on twelve photos, need not keep the recipe's own."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast the files are is no matter here."""
    monkeypatch.setattr(exporting, "SECONDS_A_FILE", 0.1)


@pytest.fixture(scope="module")
def race_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained net for race and score, on photos that a csv describes."""
    import cv2

    from keras_faceattr.data.synthetic import synthetic_photo

    folder = tmp_path_factory.mktemp("race")
    for i in range(24):
        assert cv2.imwrite(str(folder / f"{i}.png"), synthetic_photo(5, i, 40)[0][..., ::-1])
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(24)], "score": [i % 5 for i in range(24)]})
    table["race"] = ["a", "b"] * 12
    table["split"] = ["train"] * 12 + ["test"] * 12
    table.to_csv(folder / "labels.csv", index=False)
    table.assign(split="test").to_csv(folder / "test-only.csv", index=False)
    config = {
        "name": "own",
        "data": {
            "sources": [{"reader": "csv_file", "path": str(folder / "labels.csv")}], "crop": {"size": 32}
        },
        "tasks": {
            "race": {"kind": "categorical", "classes": ["a", "b"]},
            "score": {"kind": "scalar", "minimum": 0, "maximum": 4, "step": 1},
        },
        "training": {"batch_size": 4, "steps_per_epoch": 1},
        "evaluation": {"bootstrap_samples": 10},
    }  # fmt: skip
    return untrained_run(folder / "run", config)


def test_an_export_ends_with_files_a_page_and_what_comes_next(
    cli: Cli, small_run: Path, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    # The fine-tuned model of the fixture lies there already, as after a kill behind the fine-tuning.
    shutil.copytree(exported["int8_full"].path.parent / "qat", out / "int8_full" / "qat")
    full = ["--recipe", "int8_full"]
    for setting in UNTUNED:
        full += ["--set", setting]
    done = cli("export", small_run, "--tflite", *full, *LENIENT, "--out", out)
    assert done.code == 0 and "using the model that an earlier export left" in done.err
    name = "quickstart_int8_full"
    folder = out / "int8_full"
    files = [f"{name}.tflite", f"{name}.json", "golden/expected.json", "golden/0.png", "model_card.md"]
    for path in [*(folder / file for file in files), out / "index.html", out / "export.json"]:
        assert path.is_file(), path
    assert f"page     {out / 'index.html'}" in done.out and f"file     {folder / name}.tflite" in done.out
    assert f"next     keras-faceattr demo {folder / name}.tflite" in done.out
    assert f"         keras-faceattr benchmark {folder / name}.tflite" in done.out
    assert "12 photos of the split test, no test-time augmentation" in done.out
    assert "Keras, float" in done.out and "attractiveness mae" in done.out
    assert "not met" not in done.out
    # The same model gives the same file.
    assert (folder / f"{name}.tflite").read_bytes() == exported["int8_full"].path.read_bytes()


def test_json_is_for_machines_and_stands_in_the_folder_too(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    done = cli("export", small_run, "--recipe", "float32", "--out", tmp_path, "--json")
    assert done.code == 0
    result = done.json()
    assert result == json.loads((tmp_path / "export.json").read_text(encoding="utf-8"))
    (row,) = result["artifacts"]
    assert (row["recipe"], row["status"], row["file"]) == (
        "float32", "passed", str(tmp_path / "float32" / "quickstart_float32.tflite")
    )  # fmt: skip
    assert row["cost"]["file_bytes"] == Path(row["file"]).stat().st_size
    assert row["host_one_thread_ms"]["p50"] > 0 and row["drop"]["age"]["mae"] < 0.1
    assert all(gate["met"] is not False for gate in row["gates"])


def test_a_budget_that_is_not_met_exits_1_names_it_and_still_writes_the_file(
    cli: Cli, small_run: Path, tmp_path: Path
) -> None:
    budget = tmp_path / "small.yaml"
    budget.write_text("name: small\nfile: {max_bytes: 10.0e+3}\nnote: It is ten kilobytes.\n", encoding="utf-8")
    done = cli("export", small_run, "--recipe", "float32", "--budget", budget, "--out", tmp_path / "out")
    assert done.code == 1
    assert done.err.splitlines()[-1] == "gate not met: file size"
    assert "not met" in done.out and "It is ten kilobytes." in done.out
    artifact = load_artifact(tmp_path / "out" / "float32" / "quickstart_float32.tflite")
    assert artifact.sidecar.status == "failed"
    assert "not met" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_one_head_can_be_shipped_alone_also_fine_tuned(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    tuning = ["--set", "integer.fine_tuning.epochs=1", "--set", "integer.fine_tuning.frozen_epochs=0"]
    tuning += ["--set", "integer.calibration.observer=minmax"]
    done = cli("export", small_run, "--heads", "gender", "--recipe", "int8_qat", *tuning, *LENIENT, "--out", tmp_path)
    assert done.code == 0, done.err
    sidecar = load_artifact(tmp_path / "int8_qat" / "quickstart_int8_qat.tflite").sidecar
    assert sidecar.outputs.keys() == sidecar.tasks.keys() == sidecar.metrics.keys() == {"gender"}
    assert sidecar.parity["differences"]["float_to_file"].keys() == {"gender"}
    # Its fine-tuned model is a run as any other, with this head alone.
    measured = cli("evaluate", tmp_path / "int8_qat" / "qat", "--json").json()
    assert measured["tasks"].keys() == {"gender"}


@pytest.mark.slow
def test_the_gain_of_rounding_aware_training_is_told_apart_from_that_of_its_epochs(
    cli: Cli, race_run: Path, tmp_path: Path
) -> None:
    tuning = ["--set", "integer.fine_tuning.epochs=1", "--set", "integer.fine_tuning.frozen_epochs=0"]
    # Nothing proves the control but the table; no gate of it may hold up the file that is shipped.
    tuning += ["--set", "integer.calibration.observer=minmax", *LENIENT, "--out", tmp_path]
    done = cli("export", race_run, "--recipe", "int8_qat", "--control", *tuning, "--json")
    assert done.code == 0, done.err
    rounded, control = done.json()["artifacts"]
    assert [rounded["recipe"], control["recipe"]] == ["int8_qat", "int8_qat_control"]
    assert "unrounded_metrics" not in rounded
    sidecar = load_artifact(Path(control["file"])).sidecar
    assert sidecar.is_control and sidecar.parity["metrics"]["unrounded"] == control["unrounded_metrics"]
    # It is a run as any other, which computes in floats.
    measured = cli("evaluate", tmp_path / "int8_qat_control" / "qat", "--tta", "none", "--json").json()
    for task, numbers in control["unrounded_metrics"].items():
        for metric, entry in numbers["metrics"].items():
            assert measured["tasks"][task]["metrics"][metric]["value"] == pytest.approx(entry["value"], rel=1e-4)
    shown = cli("export", race_run, "--recipe", "int8_qat", "--control", *tuning)
    assert "int8_qat_control, float" in shown.out and f"gain     keras-faceattr compare {control['file']}" in shown.out
    assert shown.err.count("using the model that an earlier export left") == 2


def test_the_fine_tuned_model_is_measured_as_any_run(cli: Cli, exported: dict[str, Artifact]) -> None:
    artifact = exported["int8_qat"]
    measured = cli("evaluate", artifact.path.parent / "qat", "--tta", "none", "--json").json()
    expected = artifact.sidecar.parity["metrics"]["fake_quantized"]
    for task, numbers in expected.items():
        for metric, entry in numbers["metrics"].items():
            assert measured["tasks"][task]["metrics"][metric]["value"] == pytest.approx(entry["value"], rel=1e-4)


def test_a_head_that_the_law_restricts_is_told_of(cli: Cli, race_run: Path, tmp_path: Path) -> None:
    done = cli("export", race_run, "--recipe", "float32", "--out", tmp_path)
    assert done.code == 0
    assert "Deriving race from faces is restricted or forbidden by law" in done.out
    folder = tmp_path / "float32"
    assert "restricted or forbidden by law" in (folder / "model_card.md").read_text(encoding="utf-8")
    assert load_artifact(folder / "own_float32.tflite").sidecar.notices
    without = cli("export", race_run, "--recipe", "float32", "--heads", "score", "--out", tmp_path / "score")
    assert "forbidden by law" not in without.out
    card = (tmp_path / "score" / "float32" / "model_card.md").read_text(encoding="utf-8")
    assert "forbidden by law" not in card and "tasks: score;" in card


def test_a_head_without_labelled_test_photos_exits_3_says_so_and_can_be_left_out(
    cli: Cli, race_run: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(race_run.parent / "labels.csv")
    table["score"] = table["score"].where(table["split"] == "train")
    table.to_csv(race_run.parent / "unscored.csv", index=False)
    options = ("--recipe", "float32", "--data", f"csv_file={race_run.parent / 'unscored.csv'}")
    done = cli("export", race_run, *options, "--out", tmp_path / "both")
    assert done.code == 3
    told, mend = done.err.splitlines()[-2:]
    assert told == "not proven: score (recipe float32) not judged: no labelled test photos"
    assert mend.startswith("The files are written") and "--heads" in mend
    assert "not judged" in done.out
    path = tmp_path / "both" / "float32" / "own_float32.tflite"
    assert "recipe float32, not proven" in cli("info", path).out
    # Nothing holds up who goes on with the file, or ships what is proven.
    budget = tmp_path / "own.yaml"
    budget.write_text("name: own\ndrop: {mae: {relative: 0.1}}\n", encoding="utf-8")
    measured = cli("benchmark", path, "--against", "none", "--seconds", "1", "--budget", budget, "--json")
    # As the export said: nothing proves this file.
    assert measured.code == 3, measured.err
    assert [(gate["name"], gate["met"]) for gate in measured.json()["verdicts"]["own_float32.tflite"]] == [
        ("score mae (budget own)", None), ("gates of the export", None)
    ]  # fmt: skip
    assert cli("export", race_run, *options, "--heads", "race", "--out", tmp_path / "one").code == 0


def test_a_larger_batch_is_fixed_and_its_file_is_measured_as_any_other(
    cli: Cli, race_run: Path, tmp_path: Path
) -> None:
    assert cli("export", race_run, "--recipe", "float32", "--batch", "2", "--out", tmp_path).code == 0
    path = tmp_path / "float32" / "own_float32.tflite"
    assert load_artifact(path).sidecar.input.shape == (2, 32, 32, 3)
    csv = race_run.parent / "labels.csv"
    assert cli("evaluate", path, "--data", f"csv_file={csv}", "--json").json()["photos"] == 12
    benchmark = cli("benchmark", path, "--against", "none", "--seconds", "1", "--json")
    assert benchmark.code == 0, benchmark.err
    assert benchmark.json()["rows"][0]["batch"] == 2


def test_without_a_train_split_nothing_can_be_calibrated(cli: Cli, race_run: Path, tmp_path: Path) -> None:
    csv = f"csv_file={race_run.parent / 'test-only.csv'}"
    done = cli("export", race_run, "--recipe", "int8_ptq", "--data", csv, "--out", tmp_path)
    assert done.code == 2 and "no photos to calibrate with: the train split is empty" in done.error


def test_a_run_that_never_finished_or_is_none_is_refused(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    shutil.copytree(small_run, unfinished)
    (unfinished / "model.keras").unlink()
    done = cli("export", unfinished)
    assert done.code == 2 and f"fit --resume {unfinished}" in done.error
    assert "is not a run folder" in cli("export", tmp_path).error
    assert "is not a run folder" in cli("export", tmp_path / "nowhere").error
    (unfinished / "model.keras").write_bytes(b"PK\x03\x04")
    assert "damaged" in cli("export", unfinished).error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipe", "int9"], "no recipe 'int9'"),
        (["--recipe", "float32", "--set", "wieghts=int8"], "did you mean 'weights'?"),
        (["--set", "weights=int8"], "--set changes one recipe: name it with --recipe"),
        (["--recipe", "float32,float32"], "two of the recipes have the same name"),
        (["--budget", "tiny_at_net"], "did you mean 'tiny_att_net'?"),
        (["--engine", "tf"], "unknown --engine 'tf'"),
        (["--control", "--engine", "tfmot"], "--control compares with the native engine's fine-tuning: leave out"),
        (["--recipe", "int8_ptq", "--set", "integer.keep_float=[(]"], "keep_float.0 = '(': no regular expression"),
        (["--recipe", "int8_ptq", "--set", "integer.keep_float=[zzz]"], "keep_float: no layer's name matches 'zzz'"),
        (["--control", "--recipe", "int8_ptq"], "--control: no recipe of int8_ptq fine-tunes with rounding; add"),
        (["--heads", "agee"], "--heads agee: the run has no such task; did you mean 'age'?"),
        (["--batch", "0"], "--batch 0"),
        (["--data", "utkface=/x"], "this config has no such source"),
        (["--data", "utkface"], "write READER=PATH"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(
    cli: Cli, small_run: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    done = cli("export", small_run, "--out", tmp_path / "out", *options)
    assert done.code == 2 and words in done.error and done.out == ""
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_one_line(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = cli("export", small_run, "--recipe", "float32", "--out", tmp_path / "file")
    assert done.code == 2 and "cannot write" in done.error and "choose another folder" in done.error


KILLED = """
import sys
from keras_faceattr.cli import main
sys.argv = ["keras-faceattr", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_an_export_that_was_killed_goes_on(cli: Cli, race_run: Path, tmp_path: Path) -> None:
    options = ["export", str(race_run), "--recipe", "int8_qat", "--set", "integer.fine_tuning.epochs=4"]
    options += ["--set", "integer.calibration.observer=minmax", *LENIENT, "--out", str(tmp_path)]
    run = Run(tmp_path / "int8_qat" / "qat")
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, *options], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    while not run.checkpoint_path.is_file() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not run.model_path.exists(), "killed too late"
    assert not list((tmp_path / "int8_qat").glob("*.json"))
    done = cli(*options)
    assert done.code == 0, done.err
    epochs = [int(found[1]) for found in re.finditer(r"^epoch (\d+)/4:", done.err, re.MULTILINE)]
    assert epochs[0] > 1 and epochs == list(range(epochs[0], 5))
    assert list(pd.read_csv(run.history_path)["epoch"]) == list(range(1, 5))
    load_artifact(tmp_path / "int8_qat" / "own_int8_qat.tflite")
    assert not list(tmp_path.rglob(".writing-*.tflite"))


def test_all_recipes_are_those_that_the_net_can_have(
    cli: Cli, race_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(race_run, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["tasks"]["score"]["method"] = "l1"
    untrained_run(run, config)
    monkeypatch.setattr(exporting, "export_recipe_names", lambda: ["float32", "int8_full"])
    done = cli("export", run, "--tflite", "--recipe", "all", "--json")
    assert done.code == 0 and "int8_full is left out: " in done.err
    result = done.json()
    assert [one["recipe"] for one in result["artifacts"]] == ["float32"]
    assert list(result["left_out"]) == ["int8_full"] and "float" in result["left_out"]["int8_full"]
    assert (run / "export" / "index.html").exists()
    assert cli("export", run, "--tflite", "--recipe", "int8_full").code == 2
    monkeypatch.setattr(exporting, "export_recipe_names", lambda: ["int8_full"])
    none = cli("export", run, "--tflite", "--recipe", "all")
    assert none.code == 2 and "this net can have no recipe: " in none.error
