"""The table of docs/quantize.md is what its command measured, and every net reaches its floor."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import keras
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "quantize" / "table.py"))


def test_the_page_shows_the_rows_that_the_command_wrote(script: dict[str, Any]) -> None:
    rows = script["stored"]()
    assert rows
    assert script["table"](rows) in (ROOT / "docs" / "quantize.md").read_text(encoding="utf-8")


def test_every_measured_net_has_at_least_its_floor_of_integer_multiply_adds(script: dict[str, Any]) -> None:
    floors = script["FLOORS"]
    assert min(floors.values()) >= 95
    for name, row in script["stored"]().items():
        assert float(row["integer_percent"]) >= float(row["floor_percent"]) == floors[name]


def test_every_net_with_a_floor_is_one_of_keras_applications(script: dict[str, Any]) -> None:
    assert all(callable(getattr(keras.applications, name)) for name in script["FLOORS"])
