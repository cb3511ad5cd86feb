"""What a caller may name a net by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from keras_faceattr.net import Net
from keras_faceattr.run import Run
from keras_faceattr.zoo import file_of


@runtime_checkable
class HasPath(Protocol):
    """A result that says where its file or folder lies, such as an opened net or an exported file."""

    @property
    def path(self) -> Path: ...


Openable = str | os.PathLike[str] | Run | HasPath
"""A run, an exported file or a shipped net: its path or name, or the object that `fit`, `export` or `load` gave."""


def path_of(net: Openable) -> Path:
    """The folder of a run, or the path of a file."""
    if isinstance(net, Run):
        return net.folder
    if isinstance(net, HasPath):
        return net.path
    return file_of(Path(net))


def opened(net: Openable) -> Net | None:
    """The net itself, where the caller has loaded it already."""
    return net if isinstance(net, Net) else None
