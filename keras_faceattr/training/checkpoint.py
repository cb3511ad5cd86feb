"""Checkpoints: every variable and the state of the loop in one file, written whole or not at all."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from keras_faceattr.errors import RunError
from keras_faceattr.run import Run
from keras_faceattr.storage import replacing

STATE = "state"


def save_checkpoint(path: Path, model: keras.Model, state: dict[str, Any], with_optimizer: bool = True) -> None:
    """Write weights, optimizer variables and the loop's state.

    Raises:
        RunError: the disk is full or refuses; the checkpoint before is left as it was.
    """
    arrays = {name: np.asarray(keras.ops.convert_to_numpy(v)) for name, v in _variables(model, with_optimizer)}
    arrays[STATE] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def load_checkpoint(path: Path, model: keras.Model, with_optimizer: bool = True) -> dict[str, Any]:
    """Set the model's (and optimizer's) variables and return the loop's state.

    Raises:
        RunError: missing, damaged, or of another model.
    """
    arrays = _read_arrays(path)
    try:
        state: dict[str, Any] = json.loads(arrays.pop(STATE).tobytes())
    except (KeyError, ValueError, RecursionError):
        raise RunError(f"{path} is damaged: it holds no state of a training; train a new run") from None
    if not isinstance(state, dict):
        raise RunError(f"{path} is damaged: its state is no mapping; train a new run")
    variables = _variables(model, with_optimizer)
    for name, variable in variables:
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            raise RunError(f"{path} is of another model: {name} is missing or of another shape")
        kind, expected = arrays[name].dtype.kind, np.asarray(keras.ops.convert_to_numpy(variable)).dtype.kind
        if NUMBERS.get(kind) != NUMBERS.get(expected):
            raise RunError(f"{path} is damaged: {name} holds {arrays[name].dtype.name}; train a new run")
    for name, variable in variables:
        variable.assign(arrays[name])
    return state


NUMBERS = {"f": "real", "i": "whole", "u": "whole", "b": "whole"}
"""Kinds of NumPy's types that stand for each other: another backend may count its steps in another width."""


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint, of which none takes more memory than the file has bytes.

    Raises:
        RunError: missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    _check_size(stream, entry)
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise RunError(f"no checkpoint {path}: train a new run") from None
    except (OSError, EOFError, ValueError, TypeError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        raise RunError(f"{path} is damaged: train a new run") from None


def _check_size(stream: IO[bytes], entry: zipfile.ZipInfo) -> None:
    """Refuse an array that claims more numbers than are there, before NumPy makes room for them.

    Raises:
        ValueError: it does, or it is packed, as no checkpoint is.
    """
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if (
        entry.compress_type != zipfile.ZIP_STORED
        or stream.tell() + math.prod(shape) * dtype.itemsize != entry.file_size
    ):
        raise ValueError(f"{entry.filename} is not as long as its shape says")


def best_checkpoint(run: Run) -> Path:
    """Path of the weights of a finished run's best epoch, the only one that is kept."""
    return next(iter(sorted(run.checkpoint_path.parent.glob("best-*.npz"))), run.checkpoint_path)


def load_loss_memory(path: Path, variables: list[keras.Variable]) -> None:
    """Set what losses have learned as a checkpoint remembers it.

    Raises:
        RunError: missing or damaged, or it does not know them.
    """
    if not variables:
        return
    try:
        stored = _read_arrays(path)
        for variable, value in [(variable, stored[f"model/{variable.path}"]) for variable in variables]:
            variable.assign(value)
    except (RunError, ValueError, TypeError, KeyError):
        raise RunError(f"{path} does not tell what the losses had learned: train the run again") from None


def _variables(model: keras.Model, with_optimizer: bool) -> list[tuple[str, Any]]:
    """Variables by a name that does not depend on how many models the process has built."""
    # Metrics begin anew with each epoch.
    weights = {id(v) for v in (*model.weights, *model.metrics_variables)}
    named = [(f"model/{v.path}", v) for v in model.weights]
    # What is no weight is the seed of a dropout, whose path counts the nets built before.
    named += [(f"seed/{i}", v) for i, v in enumerate(v for v in model.variables if id(v) not in weights)]
    if with_optimizer:
        named += [(f"optimizer/{i}", v) for i, v in enumerate(model.optimizer.variables)]
    return named
