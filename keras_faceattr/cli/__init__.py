"""The command line: thin commands, each of which imports what it needs when it runs."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

WRONG = 2
CRASHED = 70
"""EX_SOFTWARE of sysexits.h: no script takes a fault of this package for a verdict."""
TRACEBACK = "KERAS_FACEATTR_TRACEBACK"

MOST_CHARACTERS = 2000
"""Length of an error's line."""


def main() -> None:
    """Entry point of `keras-faceattr`: an error that the user can fix is one line and exit 2, a crash one line and 70.

    Exit codes: docs/exit-codes.md.
    """
    from keras_faceattr.failures import machine_failure

    try:
        code = _run()
    except Exception as error:
        message = machine_failure(error)
        if message is None:
            _crash(error)
        _fail(message)
    sys.exit(code or 0)


def _run() -> int | None:
    """Run the command; its exit code, None for 0."""
    import typer

    from keras_faceattr.cli.app import app
    from keras_faceattr.cli.environment import prepare_environment
    from keras_faceattr.cli.output import end_for_broken_pipe, flush_output, is_nowhere
    from keras_faceattr.errors import FaceAttrError

    prepare_environment()
    nowhere = is_nowhere()
    # Click's base of wrong usage; newer versions of Typer carry Click along under a private name.
    wrong_usage: type[Any] = typer.BadParameter.__mro__[2]
    try:
        code: int | None = app(standalone_mode=False)
        flush_output()
    except SystemExit as stop:
        # Typer and rich end a command themselves where a pipe breaks, with the code of a limit that is not met.
        if isinstance(stop.__context__, BrokenPipeError):
            end_for_broken_pipe(nowhere)
        raise
    except BrokenPipeError:
        end_for_broken_pipe(nowhere)
    except FaceAttrError as error:
        _fail(str(error))
    except wrong_usage as error:
        _fail_usage(error)
    return code


def _crash(error: Exception) -> NoReturn:
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    print(
        f"internal error: {told}; this is a fault of keras-faceattr: run it again with {TRACEBACK}=1 and report the "
        "traceback in the project's issue tracker",
        file=sys.stderr,
    )
    sys.exit(CRASHED)


def _fail_usage(error: Any) -> NoReturn:
    """Tell what is wrong with the arguments; a group that is given none shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(WRONG)
    close = getattr(error, "possibilities", None)
    message = f"{error.message}. Did you mean {close[0]!r}?" if close else error.format_message()
    message = message if message.endswith((".", "?")) else f"{message}."
    context = getattr(error, "ctx", None)
    _fail(f"{message} See '{context.command_path} --help'." if context else message)


def _fail(message: str) -> NoReturn:
    # A full stderr must not hide the exit code.
    with suppress(OSError):
        print(f"error: {' '.join(message[:MOST_CHARACTERS].split())}", file=sys.stderr, flush=True)
    sys.exit(WRONG)
