"""`keras-faceattr data list`."""

from __future__ import annotations

from rich.table import Table

from keras_faceattr.cli.options import print_json
from keras_faceattr.config_files import config_names
from keras_faceattr.data.datasets import READERS
from keras_faceattr.terminal.console import plain_console


def run_list(json: bool) -> None:
    """Prints the readers and the configs."""
    if json:
        print_json({"readers": {n: r.title for n, r in READERS.items()}, "configs": config_names()})
        return
    table = Table("reader", "data set", box=None)
    for name, reader in READERS.items():
        table.add_row(name, reader.title)
    plain_console().print(table)
    print(f"\nconfigs  {', '.join(config_names())}")
