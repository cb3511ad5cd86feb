"""`keras-faceattr zoo`."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from keras_faceattr.artifact.loading import load_artifact
from keras_faceattr.cli.options import print_json
from keras_faceattr.evaluation.formatting import metric_rows
from keras_faceattr.tasks import sensitive_notices
from keras_faceattr.terminal.console import plain_console
from keras_faceattr.zoo import shipped_names, shipped_net


def run_zoo(json: bool) -> None:
    """Prints the nets that come with the package, with what was measured on their files."""
    rows = [_row(name) for name in shipped_names()]
    if json:
        print_json(rows)
        return
    console = plain_console()
    for row in rows:
        console.print(f"{row['name']}: {row['title']}")
        console.print(
            f"{row['bytes'] / 1e6:.2f} MB {row['recipe']}, {row['parameters']:,} parameters, {row['macs'] / 1e9:.3f} "
            f"GMAC, {row['status']}; data: {', '.join(f'{n} ({terms})' for n, terms in row['licences'].items())}"
        )
        table = Table("task", "metric", "value (95 % interval)", box=None)
        for task, measured in row["tasks"].items():
            for number, cells in enumerate(metric_rows(measured)):
                table.add_row("" if number else task, *cells)
        console.print(table)
        for notice in row["notices"]:
            console.print(notice)
        console.print(f"measured on {row['photos']} {row['split']} photos; card: {row['card']}")
        console.print(f"next  keras-faceattr predict {row['name']} PHOTO|FOLDER|CSV\n")
    if not rows:
        console.print("no net comes with this installation")


def _row(name: str) -> dict[str, Any]:
    net = shipped_net(name)
    artifact = load_artifact(net.path)
    sidecar = artifact.sidecar
    return {
        "name": name,
        "title": net.title,
        "file": str(net.path),
        "card": str(artifact.model_card_path),
        "recipe": sidecar.recipe,
        "status": sidecar.status,
        "bytes": sidecar.cost.file_bytes,
        "parameters": sidecar.cost.parameters,
        "macs": sidecar.cost.macs,
        "photos": sidecar.protocol["photos"],
        "split": sidecar.protocol["split"],
        "licences": {source: terms["licence"] for source, terms in sidecar.licences["data"].items()},
        "tasks": {
            task: {"unit": measured["unit"], "metrics": measured["metrics"]}
            for task, measured in sidecar.metrics.items()
        },
        "notices": sensitive_notices(sidecar.task_objects()),
        "command": list(net.command),
    }
