"""A cache of its own for every test session, TensorFlow in silence, and tiny photos with their labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Set before any test module imports TensorFlow.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2
import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Derived data of the whole session; nothing lands in the home folder."""
    before = os.environ.get("KERAS_FACEATTR_CACHE")
    folder = tmp_path_factory.mktemp("cache")
    os.environ["KERAS_FACEATTR_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["KERAS_FACEATTR_CACHE"]
    else:
        os.environ["KERAS_FACEATTR_CACHE"] = before


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
