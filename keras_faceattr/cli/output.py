"""Standard output that nobody takes any more."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

CLOSED_PIPE = 141
"""Exit code where the reader of the output has gone: what a shell says of a program that SIGPIPE ended."""


def flush_output() -> None:
    """Write out what waits in the buffer, so that a full disk is noticed before the process ends.

    Raises:
        OSError: it cannot be written.
    """
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError:
            _silence()
            raise


def is_nowhere() -> bool:
    """Return whether the output goes to the null device."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(1), Path(os.devnull).stat())
    return False


def end_for_broken_pipe(nowhere_from_start: bool) -> NoReturn:
    """End the process: in silence where the reader of its output has gone, else with a line about the other pipe.

    Args:
        nowhere_from_start: `is_nowhere` as the process began; rich sends the output there when its reader has gone.
    """
    if _reader_has_gone() or (is_nowhere() and not nowhere_from_start):
        _silence()
        sys.exit(CLOSED_PIPE)
    print("error: a pipe to another process broke: run the command again", file=sys.stderr)
    sys.exit(2)


def _reader_has_gone() -> bool:
    if not hasattr(select, "poll"):  # Windows, where only a pipe of the output breaks in practice.
        return True
    watch = select.poll()
    watch.register(1, 0)
    return any(event & select.POLLERR for _, event in watch.poll(0))


def _silence() -> None:
    """Send to nowhere what the buffer still holds: Python would complain of it at the end of the process."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
