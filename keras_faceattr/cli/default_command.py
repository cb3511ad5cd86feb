"""A group of commands that does something without naming one."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

DEFAULT = "models"


class ModelsByDefault(TyperGroup):
    """Sends what does not begin with a command's name to the hidden command `models`.

    So `benchmark a.tflite --json` works beside `benchmark pipeline`; a file called like a command is `./pipeline`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the command's name in front where it is missing."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help of `models` as that of the group itself, then the other commands."""
        command = self.commands[DEFAULT]
        command.format_help(type(ctx)(command, info_name=ctx.info_name, parent=ctx.parent), formatter)
        super().format_help(ctx, formatter)
