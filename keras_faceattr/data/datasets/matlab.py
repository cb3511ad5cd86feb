"""Variables of MATLAB files: version 7.3 (HDF5) through h5py, older ones through scipy where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.errors import DataError

HDF5_OFFSET = 512  # MATLAB puts a header of its own before the HDF5 signature
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_matlab(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read matrices and cell arrays of text, in MATLAB's own orientation.

    Raises:
        DataError: the file is unreadable, lacks a variable, or needs scipy, which is not installed.
    """
    with path.open("rb") as stream:
        head = stream.read(HDF5_OFFSET + len(HDF5_SIGNATURE))
    is_hdf5 = HDF5_SIGNATURE in (head[: len(HDF5_SIGNATURE)], head[HDF5_OFFSET:])
    if not is_hdf5 and importlib.util.find_spec("scipy") is None:
        raise DataError(f"{path}: reading this MATLAB file needs scipy; install it, or save the file with -v7.3")
    try:
        variables = _read_hdf5(path, names) if is_hdf5 else _read_scipy(path, names)
    except MemoryError:
        raise
    except Exception as error:  # Both libraries raise whatever a damaged file makes them stumble over.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not a readable MATLAB file ({reason}); download it again") from error
    for name in names:
        if name not in variables:
            raise DataError(f"{path}: no variable {name!r}; is this the official file?")
    return variables


def read_struct(path: Path, name: str, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """Fields of a structure of vectors, each flat: numbers, or a cell array of text.

    Raises:
        DataError: the file is unreadable, has no such structure or field, or needs scipy, which is not installed.
    """
    with path.open("rb") as stream:
        head = stream.read(HDF5_OFFSET + len(HDF5_SIGNATURE))
    if HDF5_SIGNATURE in (head[: len(HDF5_SIGNATURE)], head[HDF5_OFFSET:]):
        raise DataError(f"{path}: a MATLAB 7.3 file, where the official one is older; download it again")
    if importlib.util.find_spec("scipy") is None:
        raise DataError(f"{path}: reading this MATLAB file needs scipy; install it")
    try:
        loaded = importlib.import_module("scipy.io").loadmat(path, variable_names=[name], chars_as_strings=True)
        found: Any = loaded[name].ravel()[0] if name in loaded and np.size(loaded[name]) else None
        known = found.dtype.names or () if isinstance(found, np.void) else ()
        for field in fields:
            if field not in known:
                raise DataError(f"{path}: no field {field!r} of {name!r}; is this the official file?")
        return {field: _texts(np.asarray(found[field])).ravel() for field in fields}
    except (DataError, MemoryError):
        raise
    except Exception as error:
        # Of damaged bytes scipy raises whatever its parser stumbles over, also errors of its own and zlib's.
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: not a readable MATLAB file ({reason}); download it again") from error


def _read_hdf5(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    h5py: Any = importlib.import_module("h5py")
    with h5py.File(path, "r") as file:
        values = {name: np.asarray(file[name]).T for name in names if name in file}
        for name, value in values.items():
            if value.dtype == object:
                texts = ["".join(map(chr, np.asarray(file[cell]).ravel())) for cell in value.ravel()]
                values[name] = np.array(texts, dtype=object).reshape(value.shape)
    return values


def _read_scipy(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    loaded = importlib.import_module("scipy.io").loadmat(path, variable_names=list(names), chars_as_strings=True)
    return {name: _texts(np.asarray(loaded[name])) for name in names if name in loaded}


def _texts(value: np.ndarray) -> np.ndarray:
    """A cell array as text, an empty cell as none; numbers as they are."""
    if value.dtype != object:
        return value
    texts = [str(np.asarray(cell).item()) if np.size(cell) else "" for cell in value.ravel()]
    return np.array(texts, dtype=object).reshape(value.shape)
