"""Checkpoints: every variable and the state of the loop in one file, written whole or not at all."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_faceattr.errors import RunError
from keras_faceattr.run import Run
from keras_faceattr.storage import replacing

STATE = "state"


def save_checkpoint(path: Path, model: keras.Model, state: dict[str, Any], with_optimizer: bool = True) -> None:
    """Writes weights, optimizer variables and the loop's state.

    Raises:
        RunError: the disk is full or refuses; the checkpoint before is left as it was.
    """
    arrays = {name: np.asarray(keras.ops.convert_to_numpy(v)) for name, v in _variables(model, with_optimizer)}
    arrays[STATE] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def load_checkpoint(path: Path, model: keras.Model, with_optimizer: bool = True) -> dict[str, Any]:
    """Sets the model's (and optimizer's) variables and returns the loop's state.

    Raises:
        RunError: missing, damaged, or of another model.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        state: dict[str, Any] = json.loads(arrays.pop(STATE).tobytes())
    except FileNotFoundError:
        raise RunError(f"no checkpoint {path}: train a new run") from None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        raise RunError(f"{path} is damaged: train a new run") from None
    variables = _variables(model, with_optimizer)
    for name, variable in variables:
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            raise RunError(f"{path} is of another model: {name} is missing or of another shape")
    for name, variable in variables:
        variable.assign(arrays[name])
    return state


def best_checkpoint(run: Run) -> Path:
    """Where the weights of a finished run's best epoch lie, of which there is one."""
    return next(iter(sorted(run.checkpoint_path.parent.glob("best-*.npz"))), run.checkpoint_path)


def load_loss_memory(path: Path, variables: list[keras.Variable]) -> None:
    """Sets what losses have learned as a checkpoint remembers it.

    Raises:
        RunError: missing or damaged, or it does not know them.
    """
    if not variables:
        return
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = [stored[f"model/{variable.path}"] for variable in variables]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
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
