"""`keras-faceattr info` of a net or a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from keras_faceattr.api.describing import info
from keras_faceattr.cli.options import print_json
from keras_faceattr.tasks import sensitive_notices
from keras_faceattr.terminal.console import plain_console

if TYPE_CHECKING:
    from keras_faceattr.models.profile import ModelProfile
    from keras_faceattr.run import Run


def print_net(name: str, size: int, json: bool) -> None:
    """Print parameters and multiply-adds of a registered net, of a run's model, or of a `.keras` file.

    Of a run also which tasks are sensitive.

    Raises:
        ModelError: no such net, or a model that cannot be counted.
        RunError: a folder that holds no finished run.
    """
    from keras_faceattr.run import Run

    profile = info(name, size=size)
    notices = _notices_of(Run(Path(name))) if Path(name).is_dir() else []
    if json:
        print_json({**dataclasses.asdict(profile), "gmacs": round(profile.macs / 1e9, 3), "notices": notices})
    else:
        _print(profile)
        print(*notices, sep="\n", end="\n" if notices else "")


def _notices_of(run: Run) -> list[str]:
    """Notices of the sensitive tasks of a run on photos; runs on tables have no tasks."""
    return sensitive_notices(run.tasks()) if run.tasks_path.is_file() else []


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
