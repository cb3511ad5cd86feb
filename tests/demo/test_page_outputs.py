"""What the page makes of a file's numbers: the tasks that it answers, and none of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from page_module import page_module

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


def test_a_task_that_is_named_is_shown_with_all_that_the_file_says_of_it(decoded: Any) -> None:
    assert [(one["task"], one["kind"]) for one in decoded(["race"])] == [("race", "classes"), ("race_aura", "unknown")]
    assert [one["task"] for one in decoded(["smile", "race"])] == ["race", "smile", "race_aura"]
