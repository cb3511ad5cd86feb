"""Times that the page measures: each call by itself, means of several only where the browser's clock is too coarse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from page_module import page_module

# A clock of its own, in whole steps; reading it takes a little, so that it goes on.
SCRIPT = """
import { measure } from './latency.mjs';
const { durations, step } = JSON.parse(process.argv[2]);
let [now, done] = [0, 0];
const clock = () => Math.floor((now += 1e-5) / step) * step;
console.log(JSON.stringify(await measure(async () => { now += durations[done++ % durations.length]; }, 0.5, clock)));
"""


@pytest.fixture
def measured(tmp_path: Path) -> Any:
    """Runs `measure` on calls that take so many milliseconds in turn, with a clock of steps."""
    run = page_module(tmp_path, "latency", SCRIPT)
    return lambda durations, step: dict(run(durations=durations, step=step))


# Of ten calls eight take 0.2 ms and two 1 ms: the p90 is 1 ms, and a mean of ten 0.36 ms.
MIXED = [0.2] * 4 + [1.0] + [0.2] * 4 + [1.0]


def test_the_p90_is_that_of_single_calls(measured: Any) -> None:
    # The step of Chromium's clock in an isolated page.
    found = measured(MIXED, 0.005)
    assert (found["p50_ms"], found["p90_ms"]) == (pytest.approx(0.2, abs=0.011), pytest.approx(1.0, abs=0.011))
    assert found["busy"] is True


@pytest.mark.parametrize("step", [0.1, 1.0])
def test_where_the_clock_is_too_coarse_for_a_call_there_is_no_p90(measured: Any, step: float) -> None:
    found = measured(MIXED, step)
    assert found["p90_ms"] is None
    assert found["p50_ms"] == pytest.approx(0.36, rel=0.1) and found["low_ms"] <= found["p50_ms"] <= found["high_ms"]


def test_slow_calls_are_timed_one_by_one_by_any_clock(measured: Any) -> None:
    found = measured([30.0, 30.0, 60.0], 1.0)
    assert (found["p50_ms"], found["p90_ms"]) == (pytest.approx(30, abs=1), pytest.approx(60, abs=1))
