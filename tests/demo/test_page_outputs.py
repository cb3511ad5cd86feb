"""What the page makes of a file's numbers: the tasks that it answers, and none of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_module import page_module

from keras_faceattr.evaluation.intervals import Intervals, spread_of
from keras_faceattr.tasks import ScalarTask

SCRIPT = """
import { decode } from './outputs.mjs';
const { sidecar, raw, answered } = JSON.parse(process.argv[2]);
console.log(JSON.stringify(decode(sidecar, raw, answered)));
"""

SHARES = {"meaning": "probabilities", "unit": "", "labels": ["one", "other"]}
SIDECAR = {
    "tasks": {"race": {"kind": "categorical"}, "smile": {"kind": "binary"}},
    "outputs": {
        "race": {**SHARES, "task": "race"},
        # Of a meaning that an older page does not know.
        "race_aura": {**SHARES, "task": "race", "meaning": "aura"},
        "smile": {"task": "smile", "meaning": "probability", "unit": "", "labels": []},
    },
}
RAW = {"race": [0.1, 0.9], "race_aura": [3.0], "smile": [0.75]}


@pytest.fixture
def decoded(tmp_path: Path) -> Any:
    """Runs `decode` on those numbers, and gives the task and text of each reading."""
    run = page_module(tmp_path, "outputs", SCRIPT)
    return lambda answered: list(run(sidecar=SIDECAR, raw=RAW, answered=answered))


def test_an_output_of_a_task_that_is_not_answered_is_not_shown_under_any_name(decoded: Any) -> None:
    (smile,) = decoded(["smile"])
    assert (smile["task"], smile["said"], smile["probability"]) == ("smile", "yes", 0.75)


def test_the_range_of_a_scalar_is_that_of_python(tmp_path: Path) -> None:
    task = ScalarTask("age", 0, 100, 1, unit="years")
    heights = np.exp(-0.5 * np.square((task.bins - np.array([[31.0], [97.0]])) / np.array([[4.0], [9.0]])))
    shares = heights / heights.sum(axis=1, keepdims=True)
    values = np.array([31.2, 96.1])
    sidecar: dict[str, Any] = {
        "tasks": {"age": {"kind": "scalar", "minimum": 0, "maximum": 100, "step": 1}},
        "outputs": {
            "age": {"task": "age", "meaning": "value", "unit": "years", "labels": []},
            "age_distribution": {"task": "age", "meaning": "distribution", "unit": "", "labels": task.bins.tolist()},
        },
        "calibration": {"age": {"intervals": [{"level": 0.5, "factor": 0.7}, {"level": 0.9, "factor": 1.6}]}},
    }
    script = SCRIPT.replace("{ decode }", "{ decode, said, columns }").replace(
        "decode(sidecar, raw, answered)",
        "decode(sidecar, raw, answered).map((one) => [one.interval, said(one), columns(one)])",
    )
    run = page_module(tmp_path, "outputs", script)
    expected = Intervals({0.9: 1.6}, 100).bounds(task, values, spread_of(task, shares))
    for value, own, ends in zip(values, shares, expected, strict=True):
        raw = {"age": [value], "age_distribution": own.tolist()}
        ((interval, text, cells),) = run(sidecar=sidecar, raw=raw, answered=["age"])
        assert interval == pytest.approx(ends.tolist(), rel=1e-9)
        assert text == f"{value:.0f} years ({ends[0]:.0f}–{ends[1]:.0f})"
        assert [name for name, _ in cells] == ["age", "age_low", "age_high"]
        ((interval, text, _),) = run(sidecar={**sidecar, "calibration": {}}, raw=raw, answered=["age"])
        assert interval is None and text == f"{value:.0f} years"


def test_a_task_that_is_named_is_shown_with_all_that_the_file_says_of_it(decoded: Any) -> None:
    assert [(one["task"], one["kind"]) for one in decoded(["race"])] == [("race", "classes"), ("race_aura", "unknown")]
    assert [one["task"] for one in decoded(["smile", "race"])] == ["race", "smile", "race_aura"]
