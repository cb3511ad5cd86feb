"""Small photos and real folders for the readers' tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

WritePhotos = Callable[..., None]


@pytest.fixture
def write_photos() -> WritePhotos:
    """Writes tiny grey photos below a folder."""

    def write(root: Path, *names: str) -> None:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / name), np.full((8, 8), 128, np.uint8))

    return write


@pytest.fixture
def real_folder() -> Callable[[str], Path]:
    """A folder of `$KERAS_FACEATTR_DATA`; skips the test where there is none."""

    def folder(name: str) -> Path:
        data = os.environ.get("KERAS_FACEATTR_DATA")
        if not data:
            pytest.skip("KERAS_FACEATTR_DATA is not set: no real photos here")
        return Path(data) / name

    return folder
