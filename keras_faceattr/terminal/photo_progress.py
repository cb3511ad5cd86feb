"""Progress of work on a collection of photos."""

from __future__ import annotations

import sys
import time

from keras_faceattr.terminal.bar import new_bar
from keras_faceattr.terminal.console import plain_console

LINE_EVERY_S = 30.0
"""Without a terminal, the work says how far it is this often."""


class PhotoProgress:
    """Shows photos done, and photos per second: a bar on a terminal, plain lines elsewhere.

    Args:
        doing: the word for the work.
        total: photos.
        already: photos that an earlier call has done.
        quiet: shows nothing.
    """

    def __init__(self, doing: str, total: int, already: int, quiet: bool = False) -> None:
        self.quiet = quiet
        self.total, self.first, self.done = total, already, already
        self.start = self.last = time.monotonic()
        self.console = plain_console(stderr=True)
        self.bar = new_bar(self.console, quiet)
        self.task = self.bar.add_task(doing, total=total, completed=already, note="")

    def __enter__(self) -> PhotoProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, done: int) -> None:
        """Moves the bar."""
        self.done = done
        note = f"{self.images_per_s:.0f} images/s"
        self.bar.update(self.task, completed=done, note=note)
        if not self.console.is_terminal and (time.monotonic() - self.last > LINE_EVERY_S or done == self.total):
            self.say(f"{done}/{self.total} photos · {note}")

    def say(self, line: str) -> None:
        """One line, above the bar."""
        if self.quiet:
            return
        self.console.print(line, soft_wrap=True)
        self.last = time.monotonic()
        sys.stderr.flush()

    @property
    def images_per_s(self) -> float:
        """Photos per second of this call."""
        return (self.done - self.first) / max(1e-9, time.monotonic() - self.start)
