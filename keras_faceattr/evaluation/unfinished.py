"""State of a killed prediction, kept next to its table until that is complete."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_faceattr.errors import RunError
from keras_faceattr.evaluation.face import Row
from keras_faceattr.evaluation.predict import Predicted
from keras_faceattr.storage import jsonable, locked

PREFIX = ".predicting-"
"""Names begin with a dot, so that no reader takes them for photos or labels."""


@dataclass(frozen=True)
class Rows:
    """A batch of predictions as plain data: rows of the table, and what there is to say."""

    rows: list[Row]
    left_out: list[str]
    no_answer: list[str]
    abstained: int = 0

    @classmethod
    def of(cls, batch: Predicted) -> Rows:
        """The rows of predictions."""
        return cls(batch.rows, batch.left_out, batch.no_answer, batch.abstained)


class Unfinished:
    """Batches of predictions that survive a kill.

    A line of JSON says what is being predicted; a line for each batch follows. Numbers come back to the last bit, so
    that a table is the same however often the work was stopped.

    Args:
        out: the table.
        plan: what is being predicted, by what; batches of another plan are dropped.
    """

    def __init__(self, out: Path, plan: dict[str, Any]) -> None:
        name = f"{PREFIX}{hashlib.sha256(out.name.encode(errors='surrogateescape')).hexdigest()[:16]}"
        self.out, self.path, self.lock = out, out.parent / f"{name}.jsonl", out.parent / f"{name}.lock"
        self.head = json.dumps({"plan": hashlib.sha256(json.dumps(plan).encode()).hexdigest()})

    def batches(self, predict: Callable[[int], Iterator[Rows]]) -> Iterator[Rows]:
        """All batches: those of an earlier call, then what is left, each kept before it is given out.

        Args:
            predict: begins at a batch.

        Raises:
            RunError: the folder cannot be written, or another process writes the same table.
        """
        self._writable(lambda: self.out.parent.mkdir(parents=True, exist_ok=True))
        with locked(self.lock, self.out):
            count, whole = 0, 0
            for batch, end in self._kept():
                count, whole = count + 1, end
                yield batch
            with self._writable(lambda: self.path.open("a", encoding="utf-8")) as stream:
                os.truncate(self.path, whole)
                if not whole:
                    self._append(stream, self.head)
                for batch in predict(count):
                    self._append(stream, json.dumps(jsonable(asdict(batch)), allow_nan=False))
                    yield batch

    def finish(self) -> None:
        """Remove what is kept: the table is whole."""
        self.path.unlink(missing_ok=True)
        self.lock.unlink(missing_ok=True)

    def _kept(self) -> Iterator[tuple[Rows, int]]:
        """Whole batches of the same plan, and where each ends in the file."""
        try:
            stream = self.path.open("rb")
        except FileNotFoundError:
            return
        with stream:
            end = len(line) if (line := stream.readline()) == f"{self.head}\n".encode() else 0
            for line in stream if end else ():
                try:
                    batch = Rows(**json.loads(line)) if line.endswith(b"\n") else None
                except (ValueError, TypeError):
                    batch = None
                if batch is None:
                    return
                end += len(line)
                yield batch, end

    def _append(self, stream: Any, line: str) -> None:
        self._writable(lambda: (stream.write(f"{line}\n"), stream.flush()))

    def _writable(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}; free space and run it again") from error
