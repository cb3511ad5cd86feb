"""`keras-faceattr info` of an exported file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.api.describing import file_info
from keras_faceattr.budget.limits import verdict_row
from keras_faceattr.cli.options import print_json
from keras_faceattr.evaluation.formatting import metric_text, metric_title
from keras_faceattr.tasks import sensitive_notices
from keras_faceattr.terminal.console import plain_console


def print_file(path: Path, json: bool) -> None:
    """Prints the operations of an exported file, what was verified on it, and whether it still holds here."""
    found = file_info(path)
    sidecar, golden, reproduced, operations = found.sidecar, found.golden, found.reproduced, found.operations
    if json:
        plain = sidecar.model_dump(mode="json")
        print_json({**plain, "golden": {"crops": len(golden), "reproduced": reproduced}, "operation_table": operations})
        return
    console = plain_console()
    table = Table("#", "operation", "inputs", "output", "shape", box=None)
    for row in operations:
        inputs = ", ".join(kind for kind in row["input_types"] if kind)
        table.add_row(
            str(row["index"]),
            row["kind"],
            inputs,
            ", ".join(row["output_types"]),
            "×".join(map(str, row["output_shape"])),
        )
    console.print(table)
    console.print(*_facts(sidecar, reproduced, len(golden)), sep="\n")
    gates = Table("gate", "limit", "measured", "verdict", box=None)
    for gate in sidecar.gates:
        gates.add_row(*verdict_row(gate.name, gate.limit, gate.measured, gate.met))
    console.print(gates)


def _facts(sidecar: Any, reproduced: int, golden: int) -> list[str]:
    cost, shape = sidecar.cost, "×".join(map(str, sidecar.input.shape))
    lines = [
        f"\n{sidecar.name}: {sidecar.model}, recipe {sidecar.recipe}, {sidecar.status}",
        f"input    {sidecar.input.name}: {shape} {sidecar.input.dtype}, {sidecar.input.colour} 0–255, "
        f"crop {sidecar.crop_spec().title}",
    ]
    for name, output in sidecar.outputs.items():
        integer = f", scale {output.scale:.6g}, zero point {output.zero_point}" if output.scale is not None else ""
        unit = f" in {output.unit}" if output.unit else ""
        lines.append(
            f"output   {name}: {'×'.join(map(str, output.shape))} {output.dtype}, {output.meaning}{unit}{integer}"
        )
    lines.append(
        f"cost     {cost.file_bytes / 1e6:.3f} MB, {cost.parameters:,} parameters, {cost.macs / 1e9:.3f} GMAC, "
        f"peak activations {cost.peak_activation_bytes / 1e6:.2f} MB"
    )
    for task, measured in sidecar.metrics.items():
        shown = [f"{metric_title(n, measured['unit'])} {metric_text(n, m)}" for n, m in measured["metrics"].items()]
        lines.append(
            f"measured {task}, {sidecar.protocol['photos']} {sidecar.protocol['split']} photos: {', '.join(shown)}"
        )
    lines += [f"golden   {reproduced} of {golden} crops reproduced on this machine", f"sha256   {sidecar.file.sha256}"]
    # The notices of a sidecar say it, too, unless its task was marked later.
    return [*lines, *dict.fromkeys([*sidecar.notices, *sensitive_notices(sidecar.task_objects())]), ""]
