"""`fit` from the outside: what it leaves, how it goes on, and what it refuses."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from .conftest import SMALL, Cli

EXPECTED_FILES = {
    "config.yaml", "tasks.yaml", "model.keras", "history.csv", "metrics.json", "predictions.csv", "quarantine.csv",
    "report.html", "model_card.md", "provenance.json", "trained_on.txt", "plots", "checkpoints",
}  # fmt: skip


def test_fit_leaves_a_whole_run_and_says_where_and_what_next(cli: Cli, tmp_path: Path) -> None:
    done = cli("fit", *SMALL, "--runs", tmp_path, "--tensorboard")
    assert done.code == 0
    folder = tmp_path / "quickstart"
    assert {p.name for p in folder.iterdir()} == EXPECTED_FILES | {"tensorboard"}
    assert str(folder / "report.html") in done.out and f"next     keras-faceattr export {folder} --tflite" in done.out
    assert len(pd.read_csv(folder / "history.csv")) == 2
    assert len(pd.read_csv(folder / "predictions.csv")) == 12
    assert not [p for p in folder.rglob("*") if p.name.startswith(".writing-")]
    assert list((folder / "tensorboard").iterdir())


def test_the_report_is_one_self_contained_page(small_run: Path) -> None:
    page = (small_run / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == len(list((small_run / "plots").glob("*.png")))
    assert "http://" not in page and "https://" not in page
    for word in ("MAE (points)", "MAE (years)", "balanced accuracy", "By race", "Provenance"):
        assert word in page


def test_the_model_card_names_data_licence_protocol_and_groups(small_run: Path) -> None:
    card = (small_run / "model_card.md").read_text(encoding="utf-8")
    for word in (
        "Licence: Apache-2.0",
        "split hash",
        "test-time augmentation: flip",
        "By gender:",
        "By race:",
        "seed 0",
    ):
        assert word in card


def test_a_second_fit_does_not_overwrite_the_first(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path / "quickstart")
    metrics = (small_run / "metrics.json").read_bytes()
    fast = [*SMALL, "--set", "training.epochs=1", "--set", "training.steps_per_epoch=1"]
    assert cli("fit", *fast, "--runs", tmp_path).code == 0
    assert (tmp_path / "quickstart" / "metrics.json").read_bytes() == metrics
    assert sorted(p.name for p in tmp_path.iterdir()) == ["quickstart", "quickstart-2"]


def test_resume_refuses_another_config_and_names_the_key(cli: Cli, small_run: Path) -> None:
    done = cli("fit", "quickstart", *SMALL, "--set", "training.epochs=7", "--resume", small_run)
    assert done.code == 2
    assert "training.epochs = 2, not 7" in done.error


def test_resume_of_a_finished_run_writes_its_report_again(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    (run / "report.html").unlink()
    model = (run / "model.keras").read_bytes()
    assert cli("fit", "--resume", run).code == 0
    assert (run / "report.html").exists()
    assert (run / "model.keras").read_bytes() == model
    assert len(pd.read_csv(run / "history.csv")) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "quickstrat"], "did you mean 'quickstart'"),
        (["fit", "quickstart", "--set", "training.epoch=1"], "did you mean 'epochs'"),
        (["fit", "quickstart", "--set", "training.epochs=many"], "training.epochs"),
        (["fit", "quickstart", "--set", "tasks.age.method=dldl_v3"], "did you mean 'dldl_v2'"),
        (["fit", "quickstart", "--set", "tasks.age.minimum=200"], "minimum 200"),
        (["fit", "quickstart", "--set", "tasks.age.step=3"], "does not divide"),
        (["fit", "quickstart", "--set", "tasks.beauty.method=dex"], "no such label"),
        (["fit", "quickstart", "--set", "model.name=tiny_at_net"], "did you mean 'tiny_att_net'"),
        (["fit", "quickstart", "--set", "data.crop.size=16"], "at least 32"),
        (["fit", "quickstart", "--set", "data.sources.0.reader=celebb"], "did you mean 'celeba'"),
        (["fit", "quickstart", "--set", "model.init_from=/nonexistent.keras"], "no model file or run"),
        (["fit", "quickstart", "--data", "celeba=/tmp"], "no such source"),
        (["fit", "--resume", "/nonexistent"], "not a run folder"),
        (["fit", ""], "an argument is empty"),
        (["fit", "quickstart", "--runs", __file__], f"--runs {__file__}: {__file__} is no folder"),
        (["fit", "--runs", f"{__file__}/deep"], f"--runs {__file__}/deep: {__file__} is no folder"),
        (["fit", "mtb_dnn", "--runs", __file__], "is no folder"),
        (["benchmark", "tasks", "mtb_dnn"], "mtb_dnn is a config of kind 'table'"),
        (["benchmark", "pipeline", "mtb_dnn"], "mtb_dnn is a config of kind 'table'"),
        (["benchmark", "pipeline", ""], "an argument is empty"),
        (["data", "inspect", ""], "an argument is empty"),
        (["evaluate", "/nonexistent"], "not a run folder"),
        (["predict", "/nonexistent", "/tmp"], "not a run folder"),
        (["info", "tiny_at_net"], "did you mean 'tiny_att_net'"),
        (["data", "inspect", "scut_fbp5500=/nonexistent"], "no such folder"),
    ],
)  # fmt: skip
def test_a_users_mistake_is_one_line_and_exit_2(cli: Cli, tmp_path: Path, arguments: list[str], words: str) -> None:
    small = [*SMALL, "--runs", tmp_path] if arguments[0] == "fit" and "--resume" not in arguments else []
    # The last --runs counts.
    done = cli(arguments[0], *small, *arguments[1:])
    assert done.code == 2
    assert words in done.error
    assert "Traceback" not in done.err


def test_a_full_disk_during_a_checkpoint_is_one_line_and_keeps_the_old_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_faceattr.training import callbacks as loop

    save, calls = loop.save_checkpoint, []

    def full_in_the_second_epoch(path, *args, **kwargs):  # type: ignore[no-untyped-def]
        calls.append(path)
        if len(calls) > 2:
            monkeypatch.setattr(
                np, "savez", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space left on device"))
            )
        save(path, *args, **kwargs)

    monkeypatch.setattr(loop, "save_checkpoint", full_in_the_second_epoch)
    done = cli("fit", *SMALL, "--runs", tmp_path)
    assert done.code == 2
    assert "No space left on device" in done.error
    monkeypatch.undo()
    assert not list((tmp_path / "quickstart").rglob(".writing-*"))
    monkeypatch.setattr("sys.argv", [])
    assert cli("fit", "--resume", tmp_path / "quickstart").code == 0


def start_fit(runs: Path, *extra: str) -> subprocess.Popen[bytes]:
    """`fit` in a process of its own."""
    command = [sys.executable, "-m", "keras_faceattr", "fit", *SMALL, "--runs", str(runs), *extra]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))


def epochs_done(history: Path) -> int:
    """Rows of `history.csv`, 0 where there is none."""
    if not history.exists():
        return 0
    with history.open(encoding="utf-8") as stream:
        return len(list(csv.DictReader(stream)))


@pytest.mark.slow
def test_a_killed_fit_goes_on_to_the_same_result_as_one_that_was_not(cli: Cli, tmp_path: Path) -> None:
    extra = ["--set", "training.epochs=4", "--set", "training.deterministic=true"]
    whole = start_fit(tmp_path / "whole", *extra)
    assert whole.wait(timeout=300) == 0
    killed = start_fit(tmp_path / "killed", *extra)
    history = tmp_path / "killed" / "quickstart" / "history.csv"
    deadline = time.monotonic() + 300
    while epochs_done(history) < 2 and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=60)
    done = epochs_done(history)
    assert 1 <= done <= 4
    resume = [sys.executable, "-m", "keras_faceattr", "fit", "--resume", str(history.parent)]
    subprocess.run(resume, check=True, capture_output=True, timeout=300)
    first, second = (pd.read_csv(tmp_path / n / "quickstart" / "history.csv") for n in ("whole", "killed"))
    measured = [c for c in first if c not in ("images_per_s", "wait_share", "seconds")]
    pd.testing.assert_frame_equal(first[measured], second[measured], check_exact=True)
    predictions = [pd.read_csv(tmp_path / n / "quickstart" / "predictions.csv") for n in ("whole", "killed")]
    pd.testing.assert_frame_equal(*predictions, check_exact=True)


def test_a_run_holds_when_its_data_and_the_working_folder_move(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_faceattr.data.synthetic import synthetic_photo

    old = tmp_path / "old"
    old.mkdir()
    rows = ["image,score"]
    for i in range(20):
        assert cv2.imwrite(str(old / f"{i}.png"), synthetic_photo(2, i, 40)[0])
        rows.append(f"{i}.png,{i % 5}")
    (old / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "own.yaml").write_text(
        "name: own\n"
        "data: {sources: [{reader: csv_file, path: old/labels.csv}], split: {method: stratified}, crop: {size: 32}}\n"
        "tasks: {score: {kind: scalar, minimum: 0, maximum: 4, step: 1}}\n"
        "training: {epochs: 1, batch_size: 4}\nevaluation: {bootstrap_samples: 5}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert cli("fit", "own.yaml").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = tmp_path / "runs" / "own"
    assert cli("evaluate", run).code == 0
    old.rename(tmp_path / "new")
    assert "no such folder or file" in cli("evaluate", run).error
    moved = f"csv_file={tmp_path / 'new' / 'labels.csv'}"
    assert cli("evaluate", run, "--data", moved).code == 0
    assert cli("fit", "--resume", run, "--data", moved).code == 0


def test_a_wrong_word_is_refused_before_any_photo_is_read(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_faceattr.training import fit as fit_module

    monkeypatch.setattr(fit_module, "prepare", lambda *_: pytest.fail("photos are read"))
    for setting, words in [("tasks.age.method=rankin", "'ranking'"), ("model.name=tiny_net", "unknown model")]:
        assert words in cli("fit", *SMALL, "--runs", tmp_path, "--set", setting).error
