"""Runs on tables side by side, and paired differences where they were measured on the same splits of the same rows."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, Field, ValidationError, field_validator

from keras_faceattr.errors import ConfigError, RunError
from keras_faceattr.run import Run
from keras_faceattr.tabular.cells import read_all_cells
from keras_faceattr.tabular.results import REFERENCE, summarise

Count = Annotated[int, Field(ge=1, lt=2**63)]


class Rows(BaseModel):
    """Sizes of the parts of a split."""

    train: Count
    validation: Count
    test: Count


class TableResults(BaseModel):
    """What is compared of a table's `metrics.json`; the errors themselves are added up from the cells."""

    target: str
    splits: Annotated[int, Field(ge=2, le=1000)]
    rows: Rows
    regressors: dict[str, Any]

    @field_validator("regressors")
    @classmethod
    def _with_reference(cls, regressors: dict[str, Any]) -> dict[str, Any]:
        if REFERENCE not in regressors:
            raise ValueError(f"no {REFERENCE}")
        return regressors


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
    target, against = results[first].target, f"{first}:{REFERENCE}"
    for name, other in results.items():
        if other.target != target:
            raise ConfigError(f"{first} measures {target}, and {name} {other.target}: compare runs on one target")
    cells = {name: read_all_cells(run, results[name].regressors, results[name].splits) for name, run in runs.items()}
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
        {"run": name, "regressor": regressor, "splits": results[name].splits, "apart": apart[name]}
        | numbers[f"{name}:{regressor}"]
        for name in runs
        for regressor in results[name].regressors
    ]
    return {"target": target, "against": against, "rows": rows}


def _results(run: Run) -> TableResults:
    plain = run.results()
    try:
        return TableResults.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(
            f"{run.metrics_path} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}; "
            f"write it again with {run.resume_command}"
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


def _test_share(results: TableResults) -> float:
    return results.rows.test / (results.rows.train + results.rows.validation)
