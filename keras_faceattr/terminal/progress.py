"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rich.progress import TaskID

from keras_faceattr.data.prepare import PreparedData
from keras_faceattr.models.network import Network
from keras_faceattr.run import Run
from keras_faceattr.terminal.bar import new_bar
from keras_faceattr.terminal.console import plain_console

LINE_EVERY_S = 30.0
"""Without a terminal, an unfinished epoch says how far it is this often."""


class FitProgress:
    """Shows decoding, steps and epochs; everything goes to stderr, so that stdout stays for results.

    Args:
        quiet: shows nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = plain_console(stderr=True)
        self.bar = new_bar(self.console, quiet)
        self.task: TaskID | None = None
        self.total_epochs = 0
        self.folder: Path | None = None
        self.last_line = time.monotonic()

    def __enter__(self) -> FitProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def decode_progress(self) -> Any:
        """Receiver of photos decoded and photos in all."""
        return self._progress("decoding", "decoded {} photos")

    def teacher_progress(self) -> Any:
        """Receiver of photos that a teacher was asked about and photos in all."""
        return self._progress("asking the teacher", "asked the teacher about {} photos")

    def _progress(self, doing: str, done_line: str) -> Any:
        tasks: list[TaskID] = []

        def report(done: int, total: int) -> None:
            if not tasks:
                tasks.append(self.bar.add_task(doing, total=total, note=""))
            self.bar.update(tasks[0], completed=done, total=total)
            if done == total:
                self.bar.remove_task(tasks.pop())
                self.say(done_line.format(total))

        return report

    def on_start(self, run: Run, data: PreparedData, network: Network, told: list[str]) -> None:
        """Says what is trained on what, and where."""
        self.total_epochs = run.experiment().training.epochs
        self.folder = run.folder
        counts = ", ".join(f"{len(part)} {split}" for split, part in data.parts.items())
        self.say(f"run {run.folder}: {network.trainable.name}, {counts} photos")
        if len(data.manifest.quarantine):
            self.say(f"quarantined {len(data.manifest.quarantine)} rows: {run.quarantine_path}")
        for line in told:
            self.say(line)

    def on_step(self, epoch: int, step: int, steps: int, loss: float, images_per_s: float, wait_share: float) -> None:
        """Moves the bar."""
        note = f"loss {loss:.4f} · {images_per_s:.0f} images/s · {wait_share:.0%} waiting for data"
        if self.task is None:
            self.task = self.bar.add_task("", total=steps, note="")
        self.bar.update(
            self.task, description=f"epoch {epoch}/{self.total_epochs}", completed=step, total=steps, note=note
        )
        if not self.console.is_terminal and time.monotonic() - self.last_line > LINE_EVERY_S:
            self.say(f"epoch {epoch}/{self.total_epochs}, step {step}/{steps}: {note}")

    def on_epoch(self, row: dict[str, Any], best: bool) -> None:
        """Leaves a line for each epoch."""
        metrics = [
            f"{key.removeprefix('val_')} {value:.4f}"
            for key, value in row.items()
            if key.startswith("val_") and key.rsplit("_", 1)[-1] in ("mae", "pc", "accuracy")
        ]
        parts = [f"epoch {row['epoch']}/{self.total_epochs}: loss {row['loss']:.4f}", *metrics]
        parts.append(f"{row['images_per_s']:.0f} images/s, {row['wait_share']:.0%} waiting for data")
        self.say(" · ".join(parts) + (" · best" if best and metrics else ""))

    def say(self, line: str) -> None:
        """One line, above the bar."""
        if self.quiet:
            return
        self.console.print(line, soft_wrap=True)
        self.last_line = time.monotonic()
        sys.stderr.flush()
