"""`keras-faceattr info` of a net or a run."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from keras_faceattr.cli.options import print_json
from keras_faceattr.errors import ModelError
from keras_faceattr.tasks import sensitive_notices
from keras_faceattr.terminal.console import plain_console

if TYPE_CHECKING:
    from keras_faceattr.models.profile import ModelProfile
    from keras_faceattr.run import Run


def print_net(name: str, size: int, json: bool) -> None:
    """Prints parameters and multiply-adds of a registered net, of a run's model, or of a `.keras` file.

    Of a run also which tasks are sensitive.

    Raises:
        ModelError: no such net, or a model that cannot be counted.
        RunError: a folder that holds no finished run.
    """
    from keras_faceattr.models.profile import profile_network
    from keras_faceattr.run import Run

    path = Path(name)
    of_file = path.is_dir() or (path.is_file() and path.suffix)
    profile = _of_file(path) if of_file else profile_network(name, size)
    notices = _notices_of(Run(path)) if path.is_dir() else []
    if json:
        print_json({**dataclasses.asdict(profile), "gmacs": round(profile.macs / 1e9, 3), "notices": notices})
    else:
        _print(profile)
        print(*notices, sep="\n", end="\n" if notices else "")


def _notices_of(run: Run) -> list[str]:
    """Of the sensitive tasks of a run on photos; runs on tables have no tasks."""
    return sensitive_notices(run.tasks()) if run.tasks_path.is_file() else []


def _of_file(path: Path) -> ModelProfile:
    """Counts a run's model, or anybody's `.keras` file."""
    from keras_faceattr.models.loading import load_model
    from keras_faceattr.models.profile import profile_model
    from keras_faceattr.run import Run, no_run

    if path.is_file() and path.suffix != ".keras":
        raise no_run(path, "")
    if path.is_dir() and not Run(path).model_path.is_file():
        raise no_run(path, f"it has no {Run(path).model_path.name}")
    with warnings.catch_warnings():
        # The backend that counts has no gradients, and warns of layers that have their own.
        warnings.simplefilter("ignore")
        model = load_model(Run(path).model_path if path.is_dir() else path)
    try:
        return profile_model(model)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: only a model of one input picture of fixed size is counted: {reason}") from None


def _print(profile: ModelProfile) -> None:
    table = Table("layer", "kind", "output", "parameters", "MMAC", box=None)
    for column in table.columns[3:]:
        column.justify = "right"
    for layer in profile.layers:
        shape = "×".join(map(str, layer.output_shape)) or "1"
        parameters = f"{layer.trainable_parameters:,}" if layer.trainable_parameters else ""
        table.add_row(layer.name, layer.kind, shape, parameters, f"{layer.macs / 1e6:.2f}" if layer.macs else "")
    console = plain_console()
    console.print(table)
    console.print(
        f"\n{profile.name} at {profile.input_size}²: {profile.trainable_parameters:,} trainable parameters, "
        f"{profile.macs / 1e9:.3f} GMAC",
    )
