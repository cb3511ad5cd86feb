"""What the command prints: the table, where the result lies, and JSON for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keras_faceattr.cli.fit import run_fit
from keras_faceattr.config_files import CONFIG_FOLDER, load_section
from keras_faceattr.evaluation.formatting import difference_text
from keras_faceattr.tabular.data import load_table
from keras_faceattr.tabular.experiment import TableExperiment

SMALL = ["table.options.count=150", "splits.repeats=2", "training.epochs=1", "baselines=[ridge]", "model.shared=[8]"]


def test_the_table_the_folder_and_the_next_command_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_fit("mtb_dnn", [], SMALL, tmp_path, None, tensorboard=False, json=False)
    printed = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.err.splitlines()[1:]] == [
        f"split {split}/2 · {name}" for split in (1, 2) for name in ("ridge", "mtb_dnn")
    ]
    results = json.loads((tmp_path / "mtb_dnn" / "metrics.json").read_text())
    for name in ("ridge", "mtb_dnn"):
        numbers = results["regressors"][name]["mae"]
        row = next(line for line in printed.out.splitlines() if line.split()[:1] == [name])
        assert f"{numbers['mean']:.4f} ± {numbers['sigma']:.4f}" in row
    difference = results["regressors"]["ridge"]["mae"]["difference"]
    assert difference_text("mae", difference) in printed.out
    assert "made-up records" in printed.out
    (following,) = [line for line in printed.out.splitlines() if line.startswith("next")]
    assert following.split()[1:4] == ["keras-faceattr", "fit", "mtb_dnn"]
    options = [word for word in following.split()[4:] if word != "--set"]
    own = tmp_path / "own.csv"
    own.write_text("a,b,grade\n" + "".join(f"{i},{i * i % 7},{i % 3}\n" for i in range(90)))
    options = [option.replace("FILE", str(own)).replace("COLUMN", "grade") for option in options]
    read = load_section(TableExperiment, CONFIG_FOLDER, "mtb_dnn", "config", options)
    assert load_table(read.table).columns == ("a", "b")
    for path in ("cells.csv", "model.keras", "plots/regressors.png"):
        assert str(tmp_path / "mtb_dnn" / path) in printed.out
        assert (tmp_path / "mtb_dnn" / path).exists()

    run_fit(None, [], [], tmp_path, tmp_path / "mtb_dnn", tensorboard=False, json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"folder": str(tmp_path / "mtb_dnn"), **results}
    assert "split" not in printed.err.partition("\n")[2]
