"""Readers: one a data set, each from the layout of the official release to a manifest."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.tasks import Task

if TYPE_CHECKING:
    # Naming the readers must not read tables.
    from keras_faceattr.data.manifest import Manifest


@dataclass(frozen=True)
class Reader:
    """A registered reader.

    Attributes:
        title: title of the data set, for people.
        folder: name that the data set's folder usually has below `$KERAS_FACEATTR_DATA`; empty where there is none.
        needs_path: whether the user must say where the data lies.
        needs_tasks: whether the config must define the tasks, because the data cannot.
    """

    title: str
    folder: str = ""
    needs_path: bool = True
    needs_tasks: bool = False


READERS: dict[str, Reader] = {
    "synthetic": Reader("embedded drawn faces", needs_path=False),
    "csv_file": Reader("a CSV of your own", needs_tasks=True),
    "class_folders": Reader("a folder a class"),
    "scut_fbp5500": Reader("SCUT-FBP5500", "scut-fbp5500"),
    "scut_fbp": Reader("SCUT-FBP", "scut-fbp"),
    "cfd": Reader("Chicago Face Database", "cfd"),
    "chalearn": Reader("ChaLearn LAP 2015/2016 apparent age", "chalearn"),
    "morph": Reader("MORPH", "morph"),
    "imdb_wiki": Reader("IMDB-WIKI", "imdb-wiki"),
    "utkface": Reader("UTKFace", "utkface"),
    "fairface": Reader("FairFace", "fairface"),
    "celeba": Reader("CelebA", "celeba"),
    "lfwa": Reader("LFWA", "lfwa"),
    "fer2013": Reader("FER2013", "fer2013"),
    "raf_db": Reader("RAF-DB", "raf-db"),
    "identity_folders": Reader("a folder a person (LFW)", "lfw"),
}


def read_dataset(name: str, path: Path | None, options: dict[str, Any], tasks: Sequence[Task] = ()) -> Manifest:
    """Read a data set by its reader's name.

    Args:
        name: key of `READERS`.
        path: root of the data; None for a reader that needs none.
        options: the reader's own keyword options.
        tasks: what the columns mean, for a reader that cannot know.

    Raises:
        ConfigError: unknown reader or option, or no path.
        DataError: the data is missing or cannot be used.
    """
    if name not in READERS:
        raise ConfigError(f"unknown reader {name!r}; {nearest(name, READERS)}")
    entry = READERS[name]
    if entry.needs_path and path is None:
        raise ConfigError(f"where is {entry.title}? give --data {name}=PATH")
    if entry.needs_path and path is not None and not path.exists():
        raise DataError(f"{name}: no such folder or file: {path}")
    # Imported by its row's name, so that one reader's needs are not every reader's.
    read: Callable[..., Manifest] = importlib.import_module(f"{__name__}.{name}").read
    known = {k: p for k, p in inspect.signature(read, eval_str=True).parameters.items() if k not in ("root", "tasks")}
    for key, value in options.items():
        if key not in known:
            raise ConfigError(f"{name}: unknown option {key!r}; {nearest(key, known)}")
        kind = known[key].annotation
        # YAML writes the float 2 as an integer.
        if not isinstance(value, int | float if kind is float else kind) or (
            isinstance(value, bool) and kind is not bool
        ):
            raise ConfigError(f"{name}: option {key} = {value!r} is not {getattr(kind, '__name__', kind)}")
    arguments = dict(options)
    if entry.needs_tasks:
        arguments["tasks"] = list(tasks)
    return read(path, **arguments) if entry.needs_path else read(**arguments)
