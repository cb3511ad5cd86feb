"""`fit` of a table: every regressor on every split, and on from where a killed command stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_faceattr.config_files import parse_section
from keras_faceattr.errors import ConfigError, RunError
from keras_faceattr.metrics.scalar import mean_absolute_error, root_mean_squared_error
from keras_faceattr.run import Run, new_run
from keras_faceattr.storage import replacing, write_json
from keras_faceattr.tabular.cells import add_cell, read_all_cells, read_cells, read_exactly, write_exactly
from keras_faceattr.tabular.data import Table, load_table
from keras_faceattr.tabular.experiment import TableExperiment
from keras_faceattr.tabular.regressors import TABLE_REGRESSORS, Fitted, table_regressor
from keras_faceattr.tabular.results import REFERENCE, plot_regressors, summarise
from keras_faceattr.tabular.splits import Split, SplitTable, make_splits, split_table
from keras_faceattr.training.provenance import environment

Say = Callable[[str], None]


def fit_table(experiment: TableExperiment, runs: Path, say: Say, resume: Run | None = None) -> Run:
    """Compares MTB-DNN with its baselines over repeated splits of a table, and writes the run.

    Args:
        runs: folder in which a new run is made.
        say: told of the run's start and, after it is written, of each finished cell.
        resume: a run to go on with instead.

    Returns:
        The run: `cells.csv` (a row for each split and regressor), `metrics.json`, `predictions.csv` and `model.keras`
        of the last split, `quarantine.csv`, `plots/regressors.png`, `config.yaml` and `provenance.json`.

    Raises:
        FaceAttrError: whatever the user can mend.
    """
    experiment = _with_absolute_path(experiment)
    names = [*experiment.baselines, REFERENCE]
    for name in names:
        table_regressor(name)
        if experiment.table.target == _predicted(name):
            raise ConfigError(
                f"table.target: predictions.csv calls the predictions of {name} {_predicted(name)!r}; rename the "
                "column in the table"
            )
    if resume:
        check_same_table_experiment(resume, experiment)
    table = load_table(experiment.table)
    splits = make_splits(len(table.rows), experiment.splits, experiment.seed)
    if resume:
        _check_same_table(resume, table)
    run = resume or new_run(runs, experiment.name)
    if not resume:
        write_json(run.provenance_path, _provenance(experiment, table, splits))
        write_exactly(run.quarantine_path, table.quarantine)
        # Last, as a folder with a configuration is one that can be resumed.
        run.write_section(experiment)
    say(f"run {run.folder}: {len(table.rows)} rows, {len(table.columns)} columns, {len(splits)} splits of {len(names)}")
    if len(table.quarantine):
        say(f"quarantined {len(table.quarantine)} rows with empty cells: {run.quarantine_path}")
    try:
        for split in splits:
            _fit_split(run, experiment, names, table, split, say)
    except KeyboardInterrupt:
        say(f"stopped; go on with: {run.resume_command}")
        raise
    write_table_results(run, experiment, table, splits[0])
    return run


def write_table_results(run: Run, experiment: TableExperiment, table: Table, split: Split) -> dict[str, Any]:
    """Writes `metrics.json` and the picture; any one split tells the parts' sizes."""
    names = [*experiment.baselines, REFERENCE]
    cells = read_all_cells(run, names, experiment.splits.repeats)
    numbers = summarise(cells, len(split.test) / (len(split.train) + len(split.validation)))
    regressors = {name: {"title": TABLE_REGRESSORS[name].title, **numbers[name]} for name in names}
    results = {
        "kind": experiment.kind,
        "name": experiment.name,
        "reader": experiment.table.reader,
        "target": table.target,
        "columns": list(table.columns),
        "rows": {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        "put_aside": len(table.quarantine),
        "splits": experiment.splits.repeats,
        "regressors": regressors,
    }
    write_json(run.metrics_path, results)
    plot_regressors(run.folder / "plots" / "regressors.png", regressors, table.target)
    return results


def read_table_experiment(run: Run) -> TableExperiment:
    """The resolved configuration of a run.

    Raises:
        RunError: this folder is no run.
        ConfigError: it is no run of a table.
    """
    return parse_section(TableExperiment, run.plain_config(), str(run.config_path))


def check_same_table_experiment(run: Run, experiment: TableExperiment) -> None:
    """Refuses to resume with another configuration.

    Raises:
        RunError: the first section that differs, with both values.
    """
    before, now = read_table_experiment(run).model_dump(), _with_absolute_path(experiment).model_dump()
    for key, value in now.items():
        if before[key] != value:
            raise RunError(
                f"{run.folder} was started with {key} = {before[key]}, not {value}: resume without a config, or start "
                "a new run"
            )


def _fit_split(run: Run, experiment: TableExperiment, names: list[str], table: Table, split: Split, say: Say) -> None:
    """Fits and measures what is not finished yet."""
    last = split.number == experiment.splits.repeats
    dealt = split_table(table, split)
    finished = _finished(run, dealt, table, last)
    for name in names:
        if name in finished:
            continue
        started = time.monotonic()
        fitted = table_regressor(name).fit(dealt, experiment)
        cell = _measure(run, name, fitted, dealt, table, last)
        say(
            f"split {split.number}/{experiment.splits.repeats} · {name}: MAE {cell['mae']:.4f}, RMSE {cell['rmse']:.4f}"
            f" · {cell['settings']} · {time.monotonic() - started:.1f} s"
        )
    # Each split builds nets of its own, which Keras would otherwise keep.
    keras.utils.clear_session()


def _finished(run: Run, dealt: SplitTable, table: Table, last: bool) -> set[str]:
    """Regressors that need no work on a split; on the last one, only where what it leaves is still there."""
    cells = read_cells(run)
    finished = set(cells.loc[cells["split"] == dealt.split.number, "regressor"])
    if last:
        kept = _kept_predictions(run, dealt, table)
        finished = {name for name in finished if _predicted(name) in kept}
    return finished - {REFERENCE} if last and not run.model_path.exists() else finished


def _measure(run: Run, name: str, fitted: Fitted, dealt: SplitTable, table: Table, last: bool) -> dict[str, Any]:
    """Predicts the test rows and writes the cell, behind what the last split leaves, so that a kill loses nothing."""
    predictions, labels = fitted.predict(dealt.test.columns), dealt.test.target[:, None]
    if last:
        _add_predictions(run, name, predictions, dealt, table)
        if name == REFERENCE and fitted.model is not None:
            with replacing(run.model_path) as temporary:
                fitted.model.save(temporary)
    cell = {
        "split": dealt.split.number,
        "regressor": name,
        "mae": mean_absolute_error(labels, predictions),
        "rmse": root_mean_squared_error(labels, predictions),
        "settings": fitted.settings,
    }
    add_cell(run, cell)
    return cell


def _add_predictions(run: Run, name: str, predictions: Any, dealt: SplitTable, table: Table) -> None:
    """Adds a regressor's column to `predictions.csv`, whose rows are the split's test rows in the table's order."""
    known = _kept_predictions(run, dealt, table)
    order = dealt.split.test.argsort()
    write_exactly(run.predictions_path, known.assign(**{_predicted(name): predictions[order]}))


def _kept_predictions(run: Run, dealt: SplitTable, table: Table) -> pd.DataFrame:
    """The whole columns of `predictions.csv`; none of predictions where it is not of the split's test rows."""
    rows = np.sort(dealt.split.test)
    known = pd.DataFrame({"row": table.rows[rows], table.target: table.target_values[rows]})
    if run.predictions_path.exists():
        kept = read_exactly(run.predictions_path).select_dtypes("number").dropna(axis="columns")
        if set(known) <= set(kept) and all(np.array_equal(kept[name], known[name]) for name in known):
            return kept
    return known


def _predicted(name: str) -> str:
    """Column of a regressor's predictions."""
    return f"{name}_predicted"


def _with_absolute_path(experiment: TableExperiment) -> TableExperiment:
    """A run's configuration must hold wherever it is read again."""
    path = experiment.table.path and str(Path(experiment.table.path).expanduser().absolute())
    return experiment.model_copy(update={"table": experiment.table.model_copy(update={"path": path})})


def _provenance(experiment: TableExperiment, table: Table, splits: list[Split]) -> dict[str, Any]:
    """Versions, machine, seed and hashes: what another person needs to get the same numbers."""
    tests = hashlib.sha256(b"".join(split.test.astype("int64").tobytes() for split in splits))
    return {
        **environment(experiment.seed, "scikit-learn", "scipy"),
        "data_hash": table.data_hash(),
        "split_hash": tests.hexdigest(),
        "data": "made-up records" if experiment.table.reader == "records" else experiment.table.path,
    }


def _check_same_table(run: Run, table: Table) -> None:
    """Cells of two tables, or of two backends, make no mean."""
    before = run.provenance()
    if before.get("data_hash") != table.data_hash():
        raise RunError(f"the table of {run.folder} has changed since it started: start a new run")
    if before.get("backend") != keras.backend.backend():
        raise RunError(f"{run.folder} was started with KERAS_BACKEND={before.get('backend')}: resume it with that")
