"""Folders that are expensive to fill, filled once per run of pytest however many workers it has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of the whole run; each worker's own lies in it."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """A folder that the first worker to ask fills; the others wait for it. Nobody may change it.

    Args:
        name: of the folder.
        fill: takes the new, empty folder; if it fails, the next worker tries again.
    """
    folder = shared_folder(factory) / "once" / name
    whole = folder.with_suffix(".whole")
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            whole.touch()
    return folder
