"""A comparison from configuration to run folder, and on from where it was killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

from keras_faceattr.config_files import CONFIG_FOLDER, load_section, parse_section
from keras_faceattr.errors import ConfigError, RunError, TrainingError
from keras_faceattr.models.loading import load_model
from keras_faceattr.run import Run
from keras_faceattr.tabular.compare import compare_tables
from keras_faceattr.tabular.data import load_table
from keras_faceattr.tabular.experiment import TableExperiment
from keras_faceattr.tabular.fit import fit_table, read_table_experiment
from keras_faceattr.tabular.nets import predict_net
from keras_faceattr.tabular.regressors import TABLE_REGRESSORS

SMALL = [
    "table.options.count=150", "splits.repeats=2", "training.epochs=2", "baselines=[ridge]",
    "model.shared=[8]", "model.branch_units=[4]",
]  # fmt: skip


class KilledError(Exception):
    """Stands for a kill at a moment of the test's choice."""


class Lines:
    """Keeps what is said, and dies after so many cells."""

    def __init__(self, cells: int | None = None) -> None:
        self.lines: list[str] = []
        self.cells = cells

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if self.cells is not None and sum(s.startswith("split ") for s in self.lines) >= self.cells:
            raise KilledError


def small(*overrides: str) -> TableExperiment:
    return load_section(TableExperiment, CONFIG_FOLDER, "mtb_dnn", "config", [*SMALL, *overrides])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit_table(small(), tmp_path_factory.mktemp("runs"), Lines())


def killed_run(runs: Path, cells: int) -> Run:
    with pytest.raises(KilledError):
        fit_table(small(), runs, Lines(cells))
    return Run(runs / "mtb_dnn")


def test_the_shipped_config_holds_the_papers_protocol() -> None:
    experiment = load_section(TableExperiment, CONFIG_FOLDER, "mtb_dnn", "config")
    assert (experiment.name, experiment.splits.repeats) == ("mtb_dnn", 10)
    assert [*experiment.baselines, "mtb_dnn"] == list(TABLE_REGRESSORS)
    assert load_table(experiment.table).values.shape == (7000, 15)


def test_cells_hold_every_split_and_regressor_once(finished: Run) -> None:
    cells = pd.read_csv(finished.folder / "cells.csv")
    expected = [(split, name) for split in (1, 2) for name in ("ridge", "mtb_dnn")]
    assert list(zip(cells["split"], cells["regressor"], strict=True)) == expected


def test_metrics_add_up_the_cells(finished: Run) -> None:
    cells = pd.read_csv(finished.folder / "cells.csv")
    results = json.loads(finished.metrics_path.read_text())
    assert list(results["regressors"]) == ["ridge", "mtb_dnn"]
    assert results["rows"] == {"train": 108, "validation": 12, "test": 30}
    for name, row in results["regressors"].items():
        for metric in ("mae", "rmse"):
            first, second = cells.loc[cells["regressor"] == name, metric]
            assert row[metric]["mean"] == pytest.approx((first + second) / 2)
            assert row[metric]["sigma"] == pytest.approx(abs(first - second) / 2**0.5)


def test_predictions_of_the_last_split_give_its_cells(finished: Run) -> None:
    cells = pd.read_csv(finished.folder / "cells.csv").query("split == 2").set_index("regressor")
    predictions = pd.read_csv(finished.predictions_path)
    table = load_table(read_table_experiment(finished).table)
    assert len(predictions) == 30
    np.testing.assert_array_equal(predictions["score"], table.target_values[predictions["row"] - 1])
    for name in ("ridge", "mtb_dnn"):
        errors = predictions[f"{name}_predicted"] - predictions["score"]
        assert errors.abs().mean() == pytest.approx(cells.loc[name, "mae"], rel=1e-5)
        assert np.square(errors).mean() ** 0.5 == pytest.approx(cells.loc[name, "rmse"], rel=1e-5)


def test_the_saved_model_predicts_the_same_from_raw_columns(finished: Run) -> None:
    predictions = pd.read_csv(finished.predictions_path)
    raw = load_table(read_table_experiment(finished).table).values[predictions["row"] - 1]
    model = load_model(finished.model_path)
    np.testing.assert_allclose(
        np.asarray(model(raw.astype("float32")))[:, 0], predictions["mtb_dnn_predicted"], rtol=1e-5
    )


def test_a_run_says_what_it_is_made_of(finished: Run) -> None:
    experiment = parse_section(TableExperiment, yaml.safe_load(finished.config_path.read_text()), "config.yaml")
    assert experiment == small()
    provenance = json.loads(finished.provenance_path.read_text())
    assert provenance["backend"] == keras.backend.backend()
    assert provenance["data"] == "made-up records"
    assert {"scikit-learn", "keras", "numpy"} <= set(provenance["versions"])
    assert (finished.folder / "plots" / "regressors.png").stat().st_size > 1000
    assert finished.quarantine_path.read_text() == "row,reason\n"


@pytest.mark.parametrize("cells", [1, 3])
def test_a_killed_run_goes_on_and_gives_the_same_cells(cells: int, finished: Run, tmp_path: Path) -> None:
    run = killed_run(tmp_path, cells)
    before = (run.folder / "cells.csv").read_text()
    assert len(before.splitlines()) == 1 + cells
    assert not run.metrics_path.exists()
    lines = Lines()
    assert fit_table(small(), tmp_path, lines, resume=run) == run
    assert sum(line.startswith("split ") for line in lines.lines) == 4 - cells
    assert (run.folder / "cells.csv").read_text() == (finished.folder / "cells.csv").read_text()
    assert run.predictions_path.read_text() == finished.predictions_path.read_text()
    first, second = (json.loads(r.metrics_path.read_text()) for r in (run, finished))
    assert first == second
    for a, b in zip(*(load_model(r.model_path).get_weights() for r in (run, finished)), strict=True):
        np.testing.assert_array_equal(a, b)


def lines(first: int, last: int) -> Callable[[str], str]:
    return lambda text: "".join(text.splitlines(keepends=True)[first:last])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cells.csv", lines(0, 1)),
        ("cells.csv", lambda text: text.replace("1,ridge", "1,rigde")),
        ("predictions.csv", lines(0, 20)),
        ("predictions.csv", lambda text: text.replace("ridge_predicted", "x")),
        ("predictions.csv", lambda text: text.rpartition(",")[0] + "\n"),
        ("metrics.json", lambda text: text.replace('"ridge"', '"rigde"')),
    ],
    ids=["no cells", "another regressor", "cut short", "another column", "last number gone", "foreign regressor"],
)
def test_a_damaged_run_is_mended_by_a_resume(
    name: str, change: Callable[[str], str], finished: Run, tmp_path: Path
) -> None:
    run = Run(tmp_path / "copy")
    shutil.copytree(finished.folder, run.folder)
    before = (run.folder / name).read_text()
    (run.folder / name).write_text(change(before))
    assert (run.folder / name).read_text() != before
    fit_table(small(), tmp_path, Lines(), resume=run)
    assert run.results() == finished.results()
    assert compare_tables({"x": run}) == compare_tables({"x": finished})
    whole = pd.read_csv(finished.predictions_path)
    pd.testing.assert_frame_equal(pd.read_csv(run.predictions_path)[list(whole)], whole)


@pytest.mark.parametrize("lost", ["model.keras", "predictions.csv"])
def test_what_the_last_split_leaves_is_made_again_where_it_is_lost(lost: str, finished: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "copy")
    shutil.copytree(finished.folder, run.folder)
    (run.folder / lost).unlink()
    fit_table(small(), tmp_path, Lines(), resume=run)
    for name in ("cells.csv", "predictions.csv", "metrics.json"):
        assert (run.folder / name).read_text() == (finished.folder / name).read_text()
    assert run.model_path.exists()


def test_another_configuration_cannot_resume(finished: Run) -> None:
    with pytest.raises(RunError, match="was started with training = .*'epochs': 2.*, not .*'epochs': 3"):
        fit_table(small("training.epochs=3"), finished.folder.parent, Lines(), resume=finished)


def test_a_changed_table_cannot_resume(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    load = f"table={{reader: csv, path: {path}, target: score}}"
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(80, 3)), columns=["a", "b", "score"])
    table.to_csv(path, index=False)
    with pytest.raises(KilledError):
        fit_table(small(load), tmp_path / "runs", Lines(1))
    table.assign(a=table["a"] + 1).to_csv(path, index=False)
    with pytest.raises(RunError, match="the table of .* has changed since it started"):
        fit_table(small(load), tmp_path, Lines(), resume=Run(tmp_path / "runs" / "mtb_dnn"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("split,regressor\n1,ridge\n", "its columns are not"),
        ("split,regressor,mae,rmse,settings\n1,ridge,x0.83,0.9,\n", "line 2 is no cell"),
        ("", "No columns"),
    ],
)
def test_a_damaged_list_of_cells_is_named_and_the_mend_works(
    text: str, words: str, finished: Run, tmp_path: Path
) -> None:
    run = Run(tmp_path / "copy")
    shutil.copytree(finished.folder, run.folder)
    (run.folder / "cells.csv").write_text(text)
    mend = f"delete it, then write it again with keras-faceattr fit --resume {run.folder}"
    with pytest.raises(RunError, match=rf"cells\.csv is damaged: .*{words}.*; {mend}"):
        fit_table(small(), tmp_path, Lines(), resume=run)
    (run.folder / "cells.csv").unlink()
    fit_table(small(), tmp_path, Lines(), resume=run)
    assert (run.folder / "cells.csv").read_text() == (finished.folder / "cells.csv").read_text()


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_net_that_diverges_stops_the_run_and_prints_nothing(
    epochs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = small(f"training.epochs={epochs}", "baselines=[]")
    # More than a config may say, so that the net diverges for sure.
    wild = plain.model_copy(update={"training": plain.training.model_copy(update={"learning_rate": 1e30})})
    with pytest.raises(TrainingError, match="mtb_dnn.* became infinite; lower training.learning_rate") as error:
        fit_table(wild, tmp_path, Lines())
    assert "\n" not in str(error.value) and capsys.readouterr().out == ""
    assert not Run(tmp_path / "mtb_dnn").metrics_path.exists()


def test_numbers_that_a_net_cannot_hold_are_not_kept_as_predictions() -> None:
    columns = keras.Input((1,))
    net = keras.Model(columns, keras.layers.Rescaling(1e30)(columns), name="mlp")
    np.testing.assert_allclose(predict_net(net, np.array([[2.0], [3.0]])), [2e30, 3e30], rtol=1e-6)
    with pytest.raises(TrainingError, match="mlp: predictions became infinite"):
        predict_net(net, np.array([[2.0], [1e10]]))


def test_the_largest_numbers_of_a_table_can_be_learned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(-1, 1, (80, 3)), columns=["a", "b", "score"]).assign(b=rng.normal(size=80))
    errors = []
    for scale in (1.0, 1e18):
        path = tmp_path / f"{scale}.csv"
        table.assign(a=scale * table["a"], score=scale * table["score"]).to_csv(path, index=False)
        run = fit_table(small(f"table={{reader: csv, path: {path}, target: score}}"), tmp_path / "runs", Lines())
        errors.append([row["mae"]["mean"] / scale for row in run.results()["regressors"].values()])
    np.testing.assert_allclose(errors[1], errors[0], rtol=0.1)


def test_a_target_that_takes_the_name_of_predictions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 2)), columns=["a", "ridge_predicted"])
    table.to_csv(path, index=False)
    source = f"table={{reader: csv, path: {path}, target: ridge_predicted}}"
    with pytest.raises(ConfigError, match="the predictions of ridge 'ridge_predicted'; rename the column"):
        fit_table(small(source), tmp_path / "runs", Lines())
    assert not (tmp_path / "runs").exists()


def test_a_stop_by_the_user_says_how_to_go_on(tmp_path: Path) -> None:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_table(small(), tmp_path, say)
    assert lines[-1] == f"stopped; go on with: keras-faceattr fit --resume {tmp_path / 'mtb_dnn'}"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("baselines=[ridge, ridge]", "ridge stands twice"),
        ("baselines=[mtb_dnn]", "mtb_dnn stands twice"),
        ("model.branchs=2", "unknown key 'model.branchs'; did you mean 'branches'"),
        ("splits.repeats=1", "splits.repeats = 1"),
        ("kind=photos", "kind = 'photos'"),
        ("table.reader=xls", "table.reader = 'xls'"),
    ],
)
def test_a_wrong_configuration_is_one_line(override: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        small(override)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_baseline_stops_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown regressor 'svr' in baselines"):
        fit_table(small("baselines=[svr]"), tmp_path, Lines())
    assert not list(tmp_path.iterdir())
