"""The command line: thin commands, each of which imports what it needs when it runs."""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    """Entry point of `keras-faceattr`: an error that the user can fix is one line and exit 2."""
    import typer

    from keras_faceattr.cli.app import app
    from keras_faceattr.cli.environment import prepare_environment
    from keras_faceattr.errors import FaceAttrError

    prepare_environment()

    # Click's base of wrong usage; newer versions of Typer carry Click along under a private name.
    wrong_usage: type[Any] = typer.BadParameter.__mro__[2]
    try:
        code = app(standalone_mode=False)
    except FaceAttrError as error:
        _fail(str(error))
    except wrong_usage as error:
        _fail_usage(error)
    sys.exit(code or 0)


def _fail_usage(error: Any) -> None:
    """Tells what is wrong with the arguments; a group that is given none shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(2)
    close = getattr(error, "possibilities", None)
    message = f"{error.message}. Did you mean {close[0]!r}?" if close else error.format_message()
    message = message if message.endswith((".", "?")) else f"{message}."
    context = getattr(error, "ctx", None)
    _fail(f"{message} See '{context.command_path} --help'." if context else message)


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
