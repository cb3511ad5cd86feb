"""The commands of `keras-faceattr data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_faceattr.cli.arguments import DataPaths, Json, PhotoRoot, Set
from keras_faceattr.cli.help_pages import Command, Group

data_app = typer.Typer(cls=Group, help="Look at data before training on it.", no_args_is_help=True)


@data_app.command("inspect", cls=Command)
def data_inspect(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Config (name or path), READER=PATH, CSV, or folder of crops.")
    ],
    data: DataPaths = [],  # noqa: B006  Typer copies defaults
    photo_root: PhotoRoot = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PNG to which label histograms and sample photos are drawn.")
    ] = None,
    set_: Set = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Show counts, label histograms, missing labels, duplicates and bad files."""
    from keras_faceattr.cli.inspect import run_inspect

    run_inspect(source, data, photo_root, picture, set_, json)


@data_app.command("list", cls=Command)
def data_list(json: Json = False) -> None:
    """List the readers of data sets and the shipped configs."""
    from keras_faceattr.cli.data_list import run_list

    run_list(json)
