"""`keras-faceattr data list`."""

from __future__ import annotations

from rich.table import Table

from keras_faceattr.api.listing import readers
from keras_faceattr.cli.options import print_json
from keras_faceattr.config_files import config_names
from keras_faceattr.terminal.console import plain_console


def run_list(json: bool) -> None:
    """Print the readers and the configs."""
    if json:
        print_json({"readers": readers(), "configs": config_names()})
        return
    table = Table("reader", "data set", box=None)
    for name, title in readers().items():
        table.add_row(name, title)
    plain_console().print(table)
    print(f"\nconfigs  {', '.join(config_names())}")
