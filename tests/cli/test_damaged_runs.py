"""A run folder that was damaged in any file and in any way is one line, or is made whole again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Cli

pytestmark = pytest.mark.slow


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def into_folder(path: Path) -> None:
    remove(path)
    path.mkdir()


def into_file(path: Path) -> None:
    remove(path)
    path.write_text("in the way")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": remove,
    "folder": into_folder,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(255, 0, -1)) * 3),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "file": into_file,
}
WHOLE = ("missing", "empty", "garbage", "half")

REFUSED = [
    *(("evaluate", name, how) for name in ("config.yaml", "tasks.yaml", "model.keras") for how in (*WHOLE, "folder")),
    *(("resume", "provenance.json", how) for how in (*WHOLE, "folder")),
    *(("evaluate", "trained_on.txt", how) for how in (*WHOLE, "folder")),
    *(("train", "checkpoints/last.npz", how) for how in ("empty", "garbage", "half", "folder")),
    *(("train", "best", how) for how in (*WHOLE, "folder")),
    ("train", "checkpoints/lock", "folder"),
    ("train", "checkpoints", "file"),
    ("resume", "plots", "file"),
    ("resume", "quarantine.csv", "folder"),
    ("compare", "metrics.json", "garbage"),
    ("compare", "predictions.csv", "half"),
]
MADE_AGAIN = [("metrics.json", "half"), ("quarantine.csv", "garbage"), ("history.csv", "half"), ("plots", "missing")]


def damaged(small_run: Path, folder: Path, command: str, name: str, how: str) -> list[str]:
    """A copy of the run with the damage, and the words that look at it."""
    shutil.copytree(small_run, folder)
    if command == "train":  # As a training that was killed behind its last checkpoint.
        remove(folder / "metrics.json")
        remove(folder / "model.keras")
    path = next((folder / "checkpoints").glob("best-*.npz")) if name == "best" else folder / name
    DAMAGES[how](path)
    if command == "compare":
        return ["compare", str(folder), str(small_run)]
    return ["evaluate", str(folder)] if command == "evaluate" else ["fit", "--resume", str(folder)]


@pytest.mark.parametrize(("command", "name", "how"), REFUSED, ids=" ".join)
def test_a_damaged_file_of_a_run_is_named_in_one_line(
    cli: Cli, small_run: Path, tmp_path: Path, command: str, name: str, how: str
) -> None:
    words = damaged(small_run, tmp_path / "run", command, name, how)
    done = cli(*words)
    assert done.code == 2 and str(tmp_path / "run") in done.error and len(done.error) < 500


@pytest.mark.parametrize(("name", "how"), MADE_AGAIN, ids=" ".join)
def test_what_a_run_can_make_again_is_made_again(
    cli: Cli, small_run: Path, tmp_path: Path, name: str, how: str
) -> None:
    words = damaged(small_run, tmp_path / "run", "resume", name, how)
    assert cli(*words).code == 0
    assert (tmp_path / "run" / "metrics.json").read_bytes() == (small_run / "metrics.json").read_bytes()
    assert len(list((tmp_path / "run" / "plots").iterdir())) == len(list((small_run / "plots").iterdir()))
