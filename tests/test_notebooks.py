"""The notebooks run from the first cell to the last, and are stored without their outputs."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pytest
from doc_blocks import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def cells(notebook: Path) -> list[dict[str, object]]:
    return list(json.loads(notebook.read_text(encoding="utf-8"))["cells"])


def test_there_are_notebooks_without_outputs() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["export", "predict", "train"]
    code = [cell for path in NOTEBOOKS for cell in cells(path) if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    matplotlib.use("Agg")
    names: dict[str, object] = {}
    for number, cell in enumerate(cells(notebook), start=1):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{notebook.name}, cell {number}", "exec"), names)  # type: ignore[arg-type]
