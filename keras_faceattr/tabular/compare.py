"""Runs on tables side by side, and paired differences where they were measured on the same splits of the same rows."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keras_faceattr.errors import ConfigError, RunError
from keras_faceattr.run import Run
from keras_faceattr.tabular.cells import read_cells
from keras_faceattr.tabular.results import REFERENCE, summarise


def compare_tables(runs: dict[str, Run]) -> dict[str, Any]:
    """Puts the regressors of finished runs side by side.

    Args:
        runs: by a name that no other has.

    Returns:
        `target`, the run's regressor `against` which the others stand, and `rows`: `run`,
        `regressor`, `splits`, the numbers of `summarise`, and `apart`: why the run's rows have no difference.

    Raises:
        ConfigError: they measure other targets.
        RunError: one never finished, or is damaged.
    """
    results = {name: _results(run) for name, run in runs.items()}
    first = next(iter(runs))
    target, against = results[first]["target"], f"{first}:{REFERENCE}"
    for name, other in results.items():
        if other["target"] != target:
            raise ConfigError(f"{first} measures {target}, and {name} {other['target']}: compare runs on one target")
    cells = {name: read_cells(run) for name, run in runs.items()}
    apart = {name: _apart(runs[first], run) for name, run in runs.items()}
    numbers = summarise(
        pd.concat([_named(table, name) for name, table in cells.items() if not apart[name]]),
        _test_share(results[first]),
        against,
    )
    for name, reason in apart.items():
        if reason:
            numbers |= summarise(_named(cells[name], name), _test_share(results[name]), None)
    rows = [
        {"run": name, "regressor": regressor, "splits": results[name]["splits"], "apart": apart[name]}
        | numbers[f"{name}:{regressor}"]
        for name in runs
        for regressor in results[name]["regressors"]
    ]
    return {"target": target, "against": against, "rows": rows}


def _results(run: Run) -> dict[str, Any]:
    results = run.results()
    try:
        return {key: results[key] for key in ("target", "splits", "rows", "regressors")}
    except KeyError:
        raise RunError(
            f"{run.metrics_path} is damaged: write it again with keras-faceattr fit --resume {run.folder}"
        ) from None


def _apart(first: Run, other: Run) -> str:
    """Why two runs cannot be paired; nothing where they can."""
    before, after = first.provenance(), other.provenance()
    for key, words in (("data_hash", "other rows"), ("split_hash", "other splits")):
        if before.get(key) != after.get(key):
            return words
    return ""


def _named(cells: pd.DataFrame, name: str) -> pd.DataFrame:
    return cells.assign(regressor=[f"{name}:{regressor}" for regressor in cells["regressor"]])


def _test_share(results: dict[str, Any]) -> float:
    rows = results["rows"]
    return float(rows["test"] / (rows["train"] + rows["validation"]))
