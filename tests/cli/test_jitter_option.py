"""`evaluate --jitter` from the outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_faceattr.artifact.loading import Artifact

from .conftest import Cli


def test_a_run_is_shown_on_disturbed_crops(cli: Cli, small_run: Path) -> None:
    done = cli("evaluate", small_run, "--jitter")
    assert done.code == 0
    assert "12 photos of the split test" in done.out
    for text in ("as cut", "shift 10%", "scale 20%", "turn 20°", "age", "gender", "answers changed"):
        assert text in done.out, text


def test_machines_are_told_every_row(cli: Cli, small_run: Path) -> None:
    result = cli("evaluate", small_run, "--jitter", "--split", "val", "--tta", "none", "--json").json()
    assert (result["split"], result["tta"], result["photos"]) == ("val", "none", 6)
    assert len(result["rows"]) == 10
    for row in result["rows"]:
        assert set(row["tasks"]) == {"attractiveness", "age", "gender"}
    assert result["rows"][0]["tasks"]["age"]["moved"] == {"mean": 0.0, "p95": 0.0}
    assert result["rows"][3]["tasks"]["age"]["moved"]["mean"] > 0


def test_the_crop_as_cut_is_measured_as_without_jitter(cli: Cli, small_run: Path) -> None:
    plain = cli("evaluate", small_run, "--tta", "none", "--json").json()["tasks"]["age"]["metrics"]["mae"]["value"]
    first = cli("evaluate", small_run, "--tta", "none", "--jitter", "--json").json()["rows"][0]
    assert first["tasks"]["age"]["metrics"]["mae"] == pytest.approx(plain, rel=1e-5)


def test_an_exported_file_moves_as_its_run(cli: Cli, small_run: Path, exported: dict[str, Artifact]) -> None:
    moved = [
        [row["tasks"]["age"]["moved"]["mean"] for row in cli("evaluate", model, "--jitter", "--json").json()["rows"]]
        for model in (small_run, exported["float32"].path)
    ]
    assert moved[1] == pytest.approx(moved[0], abs=1e-3)


def test_a_table_of_predictions_is_not_of_disturbed_crops(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    done = cli("evaluate", small_run, "--jitter", "--out", tmp_path / "rows.csv")
    assert done.code == 2 and "--jitter" in done.error
    assert not (tmp_path / "rows.csv").exists()
