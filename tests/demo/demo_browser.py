"""Shared by browser tests: a site that is served, and a clip in place of a camera."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from http_client import TOKEN, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_MS = 120_000
FRAME = (640, 480)

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

Open = Callable[..., Any]


@contextmanager
def served(folder: Path, receive: Callable[[bytes], str] | None = None, port: int = 0) -> Iterator[str]:
    """Address of a site that is being served, with the token that results need."""
    from keras_faceattr.demo.server import demo_app

    app = demo_app(folder, "127.0.0.1", TOKEN, receive)
    with serving(app, port=port) as client:
        yield f"http://127.0.0.1:{client.port}/#token={TOKEN}"


def write_clip(path: Path, frames: list[np.ndarray]) -> None:
    """Writes (480, 640, 3) RGB frames as y4m, which a browser plays in place of a camera."""
    width, height = FRAME
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YUV_I420).tobytes())
