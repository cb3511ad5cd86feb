"""`keras-faceattr info`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rich.console import Console
from rich.table import Table

from keras_faceattr.cli.options import print_json
from keras_faceattr.models import architecture
from keras_faceattr.models.loading import load_model
from keras_faceattr.models.network import build_network
from keras_faceattr.models.profile import ModelProfile, profile_model
from keras_faceattr.run import Run


def run_info(name: str, size: int, json: bool) -> None:
    """Prints a net's cost."""
    if Path(name).is_dir():
        profile = profile_model(load_model(Run(Path(name)).model_path))
    else:
        task = architecture(name).default_task
        profile = profile_model(build_network(name, {task.name: (task, "dldl_v2")}, size=size).inference)
    if json:
        print_json({**dataclasses.asdict(profile), "gmacs": round(profile.macs / 1e9, 3)})
    else:
        _print(profile)


def _print(profile: ModelProfile) -> None:
    table = Table("layer", "kind", "output", "parameters", "MMAC", box=None)
    for column in table.columns[3:]:
        column.justify = "right"
    for layer in profile.layers:
        shape = "×".join(map(str, layer.output_shape)) or "1"
        parameters = f"{layer.trainable_parameters:,}" if layer.trainable_parameters else ""
        table.add_row(layer.name, layer.kind, shape, parameters, f"{layer.macs / 1e6:.2f}" if layer.macs else "")
    console = Console()
    console.print(table)
    console.print(
        f"\n{profile.name} at {profile.input_size}²: {profile.trainable_parameters:,} trainable parameters, "
        f"{profile.macs / 1e9:.3f} GMAC",
        highlight=False,
    )
