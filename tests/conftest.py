"""A cache of its own for every test session, TensorFlow in silence, tiny photos with their labels, small models."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Set before any test module imports TensorFlow.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2
import numpy as np
import pandas as pd
import pytest
from once import once, shared_folder
from small import SMALL, UNTUNED, CommandLine, Quiet
from stand_in_phone import phone as phone

if TYPE_CHECKING:
    from keras_faceattr.artifact.loading import Artifact
    from keras_faceattr.convert.source import Source


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Derived data of the whole session, shared by its workers; nothing lands in the home folder."""
    before = os.environ.get("KERAS_FACEATTR_CACHE")
    folder = shared_folder(tmp_path_factory) / "cache"
    folder.mkdir(exist_ok=True)
    os.environ["KERAS_FACEATTR_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["KERAS_FACEATTR_CACHE"]
    else:
        os.environ["KERAS_FACEATTR_CACHE"] = before


@pytest.fixture(scope="module", autouse=True)
def frozen_heap() -> Iterator[None]:
    """What a module leaves is set apart from the garbage collector.

    Keras and TensorFlow keep millions of objects of the nets that were trained, and every conversion collects garbage:
    looking through all of them would cost each conversion seconds, more from module to module.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that this test alone uses."""
    folder = tmp_path / "own-cache"
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", str(folder))
    return folder


@pytest.fixture
def tiny_photos() -> Callable[..., list[str]]:
    """Writes `count` lossless photos `0.png, 1.png, …`; every pixel of photo i is (i, 2 i, 255 - i)."""

    def write(folder: Path, count: int, size: int = 20) -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = np.full((size, size, 3), (255 - i, 2 * i % 256, i), np.uint8)
            assert cv2.imwrite(str(folder / f"{i}.png"), pixels)
        return [f"{i}.png" for i in range(count)]

    return write


@pytest.fixture
def tiny_csv(tiny_photos: Callable[..., list[str]]) -> Callable[..., Path]:
    """Writes `tiny_photos` and a csv with a row for each photo and the given columns."""

    def write(folder: Path, count: int, **columns: Any) -> Path:
        table = pd.DataFrame({"image": tiny_photos(folder, count), **columns})
        table.to_csv(folder / "labels.csv", index=False)
        return folder / "labels.csv"

    return write


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs `keras-faceattr` with arguments: exit status, stdout and stderr."""
    from keras_faceattr.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["keras-faceattr", *map(str, arguments)])
        monkeypatch.setenv("KERAS_FACEATTR_TRACEBACK", "1")
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capfd.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the quickstart, made small; nobody may change it."""

    def fill(folder: Path) -> None:
        from keras_faceattr.api.configs import read_experiment
        from keras_faceattr.terminal.progress import FitProgress
        from keras_faceattr.training.fit import fit

        with FitProgress() as progress:
            fit(read_experiment("quickstart", {}, SMALL[1::2]), folder, progress)

    (run,) = once(tmp_path_factory, "runs", fill).iterdir()
    return run


@pytest.fixture(scope="session")
def source(small_run: Path) -> Source:
    """The small run as an export reads it."""
    from keras_faceattr.convert.source import read_source
    from keras_faceattr.run import Run

    return read_source(Run(small_run), [], {}, Quiet())


@pytest.fixture(scope="session")
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Artifacts of the small run by recipe, fine-tuned for one epoch or not at all; nobody may change them."""
    from keras_faceattr.artifact.loading import load_artifact

    tuning = ["integer.fine_tuning.epochs=1", "integer.fine_tuning.frozen_epochs=0"]
    changes: dict[str, list[str]] = {"float32": [], "int8_qat": tuning, "int8_full": UNTUNED}

    def fill(folder: Path) -> None:
        from keras_faceattr.convert.export import export_recipe
        from keras_faceattr.convert.recipe import load_recipe

        source = request.getfixturevalue("source")
        for name, changed in changes.items():
            export_recipe(source, load_recipe(name, changed), folder / name, Quiet())

    folder = once(tmp_path_factory, "export", fill)
    paths = {name: next((folder / name).glob("*.tflite")) for name in changes}
    return {name: load_artifact(path) for name, path in paths.items()}
