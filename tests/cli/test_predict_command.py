"""`predict`: files = predicted + left out, one table however often it was killed, valid JSON, silent decoders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from keras_faceattr import predictions
from keras_faceattr.api import predicting
from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.data.synthetic import synthetic_photo

from .conftest import Cli


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three drawn faces, of which a link to a folder leads to one, and what cannot be used."""
    folder = tmp_path / "photos"
    for index, place in enumerate(("a.png", "b.jpg", "../elsewhere/c.png")):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels, _, _ = synthetic_photo(7, index, 80)
        assert cv2.imwrite(os.path.normpath(path), pixels[..., ::-1])
    (folder / "more").symlink_to("../elsewhere")
    whole = (folder / "b.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(40))
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "notes.txt").touch()
    (folder / ".writing-1-x.csv").write_text("image\nnone.png\n")
    return folder


def test_files_are_predicted_or_left_out_and_nothing_vanishes(
    cli: Cli, exported: dict[str, Artifact], photos: Path, tmp_path: Path
) -> None:
    file, out = exported["float32"].path, tmp_path / "out.csv"
    done = cli("predict", file, photos, "--out", out, "--json")
    assert done.json() == {
        "photos": 6, "predicted": 3, "left_out": 3, "no_answer": 0, "other_files": {".txt": 1}, "out": str(out)
    }  # fmt: skip
    assert [line.split(",")[0] for line in out.read_text().splitlines()[1:]] == [
        str(photos / name) for name in ("a.png", "b.jpg", "more/c.png")
    ]
    left_out = [line for line in done.err.splitlines() if line.startswith("left out: ")]
    for line, name in zip(sorted(left_out), ("gone.png", "half.jpg", "phone.heic"), strict=True):
        assert line.startswith(f"left out: {photos / name}: ")
    done = cli("predict", file, photos)
    assert "3 photos predicted, 3 left out, 1 files that do not end as photos do (.txt 1)" in done.err
    assert len(done.out.splitlines()) == 4


def test_photos_that_are_not_there_are_one_line_whatever_their_name(cli: Cli, exported: dict[str, Artifact]) -> None:
    for name in ("nowhere", "nowhere.csv", "nowhere.jpg", "n" * 300, f"{'n' * 300}.csv"):
        done = cli("predict", exported["float32"].path, name)
        assert done.code == 2 and f"no such photo, folder or CSV: {name}" in done.error


def test_only_fallback_crops_in_the_first_batch_give_a_whole_parquet(
    cli: Cli, exported: dict[str, Artifact], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = predicting.predicted

    def boxes_come_late(*arguments):  # type: ignore[no-untyped-def]
        for number, batch in enumerate(predict(*arguments)):
            place = {"face": 1, "left": 2.5 if number else None}
            rows = [{**row, **place} for row in batch.rows]
            yield SimpleNamespace(rows=rows, left_out=batch.left_out, no_answer=batch.no_answer, abstained=0)

    monkeypatch.setattr(predictions, "EVALUATION_BATCH", 1)
    monkeypatch.setattr(predicting, "predicted", boxes_come_late)
    done = cli("predict", exported["float32"].path, photos, "--out", tmp_path / "out.parquet")
    assert done.code == 0, done.err
    import pandas as pd

    assert pd.read_parquet(tmp_path / "out.parquet")["left"].isna().tolist() == [True, False, False]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_prediction_that_is_killed_anywhere_ends_as_one_that_was_not(
    exported: dict[str, Artifact], tmp_path: Path, suffix: str
) -> None:
    rng = np.random.default_rng(3)
    (tmp_path / "photos").mkdir()
    for index in range(1500):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        assert cv2.imwrite(str(tmp_path / "photos" / f"{index:04d}.png"), pixels)
    file = exported["float32"].path

    def start(folder: str) -> subprocess.Popen[str]:
        words = ["predict", str(file), "photos", "--out", f"{folder}/table{suffix}", "--json"]
        (tmp_path / folder).mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "keras_faceattr", *words], cwd=tmp_path, text=True, stdout=subprocess.PIPE
        )

    whole = start("whole")
    assert json.loads(whole.communicate()[0])["predicted"] == 1500
    kills = 0
    for batches in (1, 4, 9, 15):
        killed = start("killed")
        while killed.poll() is None and lines(tmp_path / "killed") <= batches:
            time.sleep(0.005)
        kills += killed.poll() is None
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert kills
    again = start("killed")
    assert json.loads(again.communicate()[0])["predicted"] == 1500
    table = f"table{suffix}"
    assert (tmp_path / "killed" / table).read_bytes() == (tmp_path / "whole" / table).read_bytes()
    assert [path.name for path in (tmp_path / "killed").iterdir()] == [table]


def lines(folder: Path) -> int:
    """How many lines of batches a prediction has kept so far."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(".predicting-*.jsonl"))
