"""Help pages as plain text: quick to import, readable on 80 columns, options grouped by their panel."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

WIDTH = 120
"""Lines are no longer than this, and never longer than the terminal."""

EMPTY = re.compile(r"--[\w-]+=")
"""An option with nothing behind `=`."""

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}
"""Settings of every command's context."""


class Command(TyperCommand):
    """A command whose options stand under the heading of their `rich_help_panel`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an empty value, such as that of a shell's variable that is not set: of a path it is this folder."""
        for before, argument in zip(["", *args], args, strict=False):
            if not argument or EMPTY.fullmatch(argument):
                name = argument.removesuffix("=") or (before if before.startswith("-") else "an argument")
                raise typer.BadParameter(f"{name} is empty: write its value, or leave it out", ctx)
        return list(super().parse_args(ctx, args))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        _write_parameters(self.get_params(ctx), ctx, formatter)


class Group(TyperGroup):
    """A group that lists its commands with the whole first sentence of their help."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write options, then commands."""
        _write_parameters(self.get_params(ctx), ctx, formatter)
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        shown = [(name, command.get_short_help_str(1000)) for name, command in commands if not command.hidden]
        _write_section("Commands", shown, formatter)


def _write_parameters(parameters: Iterable[Any], ctx: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is not None:
            usual = "Options"
            if parameter.param_type_name == "argument":
                # The type says nothing that its help does not say.
                usual, record = "Arguments", (record[0].split(" <")[0], record[1])
            sections.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
    for title, rows in sections.items():
        _write_section(title, rows, formatter)


def _write_section(title: str, rows: list[tuple[str, str]], formatter: Any) -> None:
    if rows:
        # Colours are left out where the help does not go to a terminal.
        with formatter.section(typer.style(title, bold=True)):
            formatter.write_dl([(typer.style(name, fg="cyan"), text) for name, text in rows])
