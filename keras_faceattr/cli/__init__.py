"""The command line: thin commands, each of which imports what it needs when it runs."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

MOST_CHARACTERS = 2000
"""Length of an error's line."""


def main() -> None:
    """Entry point of `keras-faceattr`: an error that the user can fix is one line and exit 2."""
    from keras_faceattr.failures import machine_failure

    try:
        code = _run()
    except Exception as error:
        message = machine_failure(error)
        if message is None:
            raise
        _fail(message)
    sys.exit(code or 0)


def _run() -> int | None:
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
    except MemoryError:
        _fail("out of memory; free some, or use smaller photos, batches or fewer workers, and run it again")
    except wrong_usage as error:
        _fail_usage(error)
    return code


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
    # A full stderr must not hide the exit code.
    with suppress(OSError):
        print(f"error: {' '.join(message[:MOST_CHARACTERS].split())}", file=sys.stderr, flush=True)
    sys.exit(2)
