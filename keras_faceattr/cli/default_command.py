"""A group that runs one of its commands where none is named."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from keras_faceattr.cli.help_pages import Group

DEFAULT = "models"


class ModelsByDefault(Group):
    """Sends what does not begin with a command's name to the hidden command `models`.

    So both `benchmark a.tflite --json` and `benchmark pipeline` work; a file that has a command's name is `./pipeline`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name in front where it is missing."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            self._refuse_misspelt_command(ctx, args[0])
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of `models` as that of the group itself, then the other commands."""
        command = self.commands[DEFAULT]
        command.format_help(type(ctx)(command, info_name=ctx.info_name, parent=ctx.parent), formatter)
        formatter.write("\n")
        super().format_help(ctx, formatter)

    def _refuse_misspelt_command(self, ctx: Any, word: str) -> None:
        """A word that neither is nor looks like a file, and is close to a command, was meant as that command."""
        if word.startswith("-") or "/" in word or Path(word).suffix or Path(word).exists():
            return
        shown = [name for name, command in self.commands.items() if not command.hidden]
        if close := get_close_matches(word, shown, n=1):
            ctx.fail(f"No such command or file {word!r}. Did you mean {close[0]!r}?")
