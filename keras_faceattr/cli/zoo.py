"""`keras-faceattr zoo`."""

from __future__ import annotations

from dataclasses import asdict

from rich.table import Table

from keras_faceattr.api.listing import shipped_nets
from keras_faceattr.cli.options import print_json
from keras_faceattr.evaluation.formatting import metric_rows
from keras_faceattr.terminal.console import plain_console


def run_zoo(json: bool) -> None:
    """Prints the nets that come with the package, with what was measured on their files."""
    rows = [asdict(net) for net in shipped_nets()]
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
