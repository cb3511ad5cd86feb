"""`fit` does what the config's kind says, and commands on nets say of other runs what they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import SMALL, CommandLine

TABLE = ["table.options.count=150", "splits.repeats=2", "training.epochs=1", "baselines=[ridge]", "model.shared=[8]"]

FEATURES = """\
kind: features
name: small_features
data:
  sources: [{{reader: synthetic, options: {{count: 60, size: 40, seed: 0}}}}]
  crop: {{size: 32}}
tasks: {{attractiveness: {{}}}}
features: {{path: {run}}}
regressors: [linear, ridge]
evaluation: {{bootstrap_samples: 20}}
"""


def sets(overrides: list[str]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def error(done: tuple[int, str, str]) -> str:
    """The one line of a user's error."""
    code, _, shown = done
    lines = [line for line in shown.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(lines) == 1 and "Traceback" not in shown, shown
    return lines[0]


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the table's recipe, made tiny."""
    from keras_faceattr.config_files import CONFIG_FOLDER, load_section
    from keras_faceattr.tabular.experiment import TableExperiment
    from keras_faceattr.tabular.fit import fit_table

    experiment = load_section(TableExperiment, CONFIG_FOLDER, "mtb_dnn", "config", TABLE)
    return fit_table(experiment, tmp_path_factory.mktemp("tables"), lambda line: None).folder


@pytest.fixture(scope="module")
def features_config(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "own.yaml"
    path.write_text(FEATURES.format(run=small_run))
    return path


@pytest.fixture(scope="module")
def features_run(features_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of regressors on features."""
    from keras_faceattr.config_files import CONFIG_FOLDER, load_section
    from keras_faceattr.features.experiment import FeatureExperiment
    from keras_faceattr.features.fit import fit_features

    experiment = load_section(FeatureExperiment, CONFIG_FOLDER, str(features_config), "config")
    return fit_features(experiment, tmp_path_factory.mktemp("features"), lambda line: None).folder


def test_photos_are_what_a_config_without_a_kind_is_about(command_line: CommandLine, tmp_path: Path) -> None:
    fast = [*SMALL, "--set", "training.epochs=1", "--set", "training.steps_per_epoch=1"]
    code, out, shown = command_line("fit", "quickstart", *fast, "--runs", tmp_path, "--json")
    assert code == 0, shown
    folder = tmp_path / "quickstart"
    stored = json.loads((folder / "metrics.json").read_text())
    assert json.loads(out) == {"folder": str(folder), "report": str(folder / "report.html"), **stored}
    assert set(stored["tasks"]) == {"attractiveness", "age", "gender"}


def test_a_table_is_fitted(command_line: CommandLine, tmp_path: Path) -> None:
    code, out, shown = command_line("fit", "mtb_dnn", *sets(TABLE), "--runs", tmp_path, "--json")
    assert code == 0, shown
    printed = json.loads(out)
    stored = json.loads((tmp_path / "mtb_dnn" / "metrics.json").read_text())
    assert printed == {"folder": str(tmp_path / "mtb_dnn"), **stored}
    assert printed["kind"] == "table" and list(printed["regressors"]) == ["ridge", "mtb_dnn"]


def test_regressors_on_features_are_fitted(
    command_line: CommandLine, features_config: Path, features_run: Path, tmp_path: Path
) -> None:
    code, out, shown = command_line("fit", features_config, "--runs", tmp_path)
    assert code == 0, shown
    assert [line.split()[0] for line in out.splitlines() if line.split()[:1] in (["linear"], ["ridge"])] == [
        "linear",
        "ridge",
    ]
    folder = tmp_path / "small_features"
    assert str(folder / "predictions.csv") in out
    assert (folder / "metrics.json").read_bytes() == (features_run / "metrics.json").read_bytes()
    code, out, shown = command_line("fit", features_config, *sets(["regressors=[ridge]"]), "--runs", tmp_path, "--json")
    assert code == 0, shown
    printed = json.loads(out)
    assert printed["folder"] == str(tmp_path / "small_features-2") and list(printed["regressors"]) == ["ridge"]


def test_a_table_of_ones_own_is_given_by_data(command_line: CommandLine, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 150))
    own = tmp_path / "own.csv"
    pd.DataFrame({"first": first, "second": second, "grade": 2 * first - second}).to_csv(own, index=False)
    overrides = sets([*TABLE[1:], "table.target=grade"])
    code, out, shown = command_line("fit", "mtb_dnn", "--data", f"csv={own}", *overrides, "--runs", tmp_path, "--json")
    assert code == 0, shown
    printed = json.loads(out)
    assert (printed["reader"], printed["target"], printed["columns"]) == ("csv", "grade", ["first", "second"])
    # The grade is linear in the columns, which a ridge finds and the mean of the grades, far off, does not.
    assert printed["regressors"]["ridge"]["mae"]["mean"] < 0.2
    line = error(command_line("fit", "mtb_dnn", "--data", f"scut_fbp5500={own}", *overrides, "--runs", tmp_path))
    assert "--data scut_fbp5500" in line and "csv=FILE" in line
    line = error(command_line("fit", "mtb_dnn", "--data", f"csv={tmp_path}/none.csv", *overrides, "--runs", tmp_path))
    assert "none.csv" in line


def test_data_of_another_reader_than_a_features_configs_is_refused(
    command_line: CommandLine, features_config: Path, tmp_path: Path
) -> None:
    line = error(command_line("fit", features_config, "--data", "scut_fbp5500=/x", "--runs", tmp_path))
    assert "no such source" in line and "synthetic" in line


def test_a_finished_run_of_each_kind_can_be_resumed(
    command_line: CommandLine, small_run: Path, table_run: Path, features_run: Path, tmp_path: Path
) -> None:
    for number, finished in enumerate((table_run, features_run, small_run)):
        run = Path(shutil.copytree(finished, tmp_path / str(number)))
        before = json.loads((run / "metrics.json").read_text())
        code, out, shown = command_line("fit", "--resume", run, "--json")
        assert code == 0, shown
        printed = json.loads(out)
        assert printed.pop("folder") == str(run)
        printed.pop("report", None)
        assert printed == before == json.loads((run / "metrics.json").read_text())


def test_what_a_killed_run_lacks_is_fitted_on_resuming(
    command_line: CommandLine, features_config: Path, features_run: Path, tmp_path: Path
) -> None:
    assert command_line("fit", features_config, "--runs", tmp_path)[0] == 0
    run = tmp_path / "small_features"
    results = json.loads((run / "regressors.json").read_text())
    del results["ridge"]
    (run / "regressors.json").write_text(json.dumps(results))
    (run / "metrics.json").unlink()
    code, _, shown = command_line("fit", "--resume", run)
    assert code == 0 and "ridge:" in shown and "linear:" not in shown
    assert (run / "metrics.json").read_bytes() == (features_run / "metrics.json").read_bytes()


@pytest.mark.parametrize("kind", ["table", "features"])
def test_resuming_takes_the_runs_own_config(
    command_line: CommandLine, kind: str, table_run: Path, features_run: Path
) -> None:
    run = {"table": table_run, "features": features_run}[kind]
    before = (run / "config.yaml").read_bytes()
    assert "leave out" in error(command_line("fit", "--resume", run, "--set", "seed=1"))
    assert (run / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("kind", ["table", "features"])
@pytest.mark.parametrize("command", ["evaluate", "predict", "export"])
def test_commands_on_nets_refuse_a_run_of_another_kind(
    command_line: CommandLine, command: str, kind: str, table_run: Path, features_run: Path, tmp_path: Path
) -> None:
    run = {"table": table_run, "features": features_run}[kind]
    arguments = {
        "evaluate": [run],
        "predict": [run, tmp_path],
        "export": [run, "--tflite", "--out", tmp_path / "out"],
    }
    line = error(command_line(command, *arguments[command]))
    assert str(run) in line
    assert f"run of kind {kind!r}" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("config", "kind"), [("mtb_dnn", "table"), ("bif_features", "features")])
def test_data_of_a_config_of_another_kind_is_not_inspected(command_line: CommandLine, config: str, kind: str) -> None:
    assert f"{config} is a config of kind {kind!r}" in error(command_line("data", "inspect", config))


def test_regressors_on_features_are_compared_with_nets(
    command_line: CommandLine, features_run: Path, small_run: Path
) -> None:
    code, out, shown = command_line("compare", small_run, features_run, "--json")
    assert code == 0, shown
    rows = {row["run"]: row for row in json.loads(out)["tasks"]["attractiveness"]["rows"]}
    own = json.loads((features_run / "metrics.json").read_text())["regressors"]
    assert list(rows) == [small_run.name, *(f"small_features:{name}" for name in own)]
    for name, measured in own.items():
        row = rows[f"small_features:{name}"]
        assert row["metrics"]["mae"] == measured["metrics"]["mae"]
        change = measured["metrics"]["mae"]["value"] - rows[small_run.name]["metrics"]["mae"]["value"]
        assert row["differences"][0]["value"] == pytest.approx(change, abs=1e-4) and not row["apart"]


def test_regressors_of_one_run_are_compared(command_line: CommandLine, features_run: Path) -> None:
    code, out, shown = command_line("compare", features_run)
    assert code == 0, shown
    assert "small_features:linear" in out and "small_features:ridge" in out


def test_a_damaged_run_on_features_is_one_line(
    command_line: CommandLine, features_run: Path, small_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(features_run, run)
    table = pd.read_csv(run / "predictions.csv")
    table.drop(columns="ridge").to_csv(run / "predictions.csv", index=False)
    line = error(command_line("compare", small_run, run))
    assert "predictions.csv is damaged: no column 'attractiveness_predicted'" in line
    (run / "metrics.json").write_text('{"regressors": 3, "task": "age"}')
    assert "metrics.json is damaged" in error(command_line("compare", small_run, run))


def test_runs_on_tables_are_compared_with_their_like_alone(
    command_line: CommandLine, table_run: Path, small_run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(table_run, other)
    code, out, shown = command_line("compare", table_run, other, "--out", tmp_path / "table.csv")
    assert code == 0, shown
    assert "other" in out and "MAE − mtb_dnn:mtb_dnn" in " ".join(out.split())
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(table) == 8 and set(table["metric"]) == {"mae", "rmse"}
    assert table.loc[(table["run"] == "other") & (table["regressor"] == "mtb_dnn"), "difference"].eq(0).all()
    assert "run on a table" in error(command_line("compare", small_run, table_run))
    assert "leave out --task and --by" in error(command_line("compare", table_run, other, "--task", "score"))
    (other / "metrics.json").unlink()
    assert f"fit --resume {other}" in error(command_line("compare", table_run, other))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: features\nname: x\n", "missing key"),
        ("kind: table\nname: x\nregressors: [ridge]\n", "unknown key 'regressors'"),
        ("- 1\n", "a config is a mapping of keys"),
    ],
)
def test_a_config_is_read_as_what_it_says_it_is(
    command_line: CommandLine, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    assert words in error(command_line("fit", tmp_path / "own.yaml", "--runs", tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
