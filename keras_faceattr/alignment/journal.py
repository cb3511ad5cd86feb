"""The journal of an alignment: one line of JSON per photo, in their order, written after its crops are whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_faceattr.storage import stamp

Entry = dict[str, Any]
"""`sha256` and `stamp` of the photo, its `faces` (each with `box`, `score`, `points`), and `reason`."""


@dataclass(frozen=True)
class Sound:
    """The lines of a journal that still hold.

    Attributes:
        done: how many of the first photos need not be looked at again.
        end: where their lines end in the file, in bytes.
        kept: entries behind the first that does not hold, by number of the photo.
        dropped: entries of photos that have changed since, by number of the photo.
    """

    done: int
    end: int
    kept: dict[int, Entry] = field(default_factory=dict)
    dropped: dict[int, Entry] = field(default_factory=dict)


def read_journal(path: Path) -> Iterator[Entry]:
    """Entries up to the first line that is not whole."""
    for _, entry in _lines(path):
        if entry is None:
            return
        yield entry


def check_journal(path: Path, photos: Sequence[Path]) -> Sound:
    """Which lines hold: whole, and of a photo that has not changed since."""
    done = end = 0
    sound, kept, dropped = True, dict[int, Entry](), dict[int, Entry]()
    for number, ((place, entry), photo) in enumerate(zip(_lines(path), photos, strict=False)):
        if entry is None:
            # Behind a damaged line nobody knows which photo a line is of.
            break
        same = is_same_photo(entry, photo)
        sound = sound and same
        if sound:
            done, end = number + 1, place
        else:
            (kept if same else dropped)[number] = entry
    return Sound(done, end, kept, dropped)


def is_same_photo(entry: Entry, photo: Path) -> bool:
    """Whether a photo is the file that an entry tells of: by size and time, else by its bytes."""
    try:
        if entry.get("stamp") == list(stamp(photo)):
            return True
        if not entry["sha256"]:
            # It ended its worker before anybody knew its bytes.
            return entry.get("stamp") is None
        return hashlib.sha256(photo.read_bytes()).hexdigest() == str(entry["sha256"])
    except OSError:
        return False


def cut_off(path: Path, end: int) -> None:
    """Removes what stands behind `end`, such as a line that a killed process left unfinished."""
    if path.exists():
        os.truncate(path, end)


def line_of(entry: Entry) -> str:
    """The line that stands for an entry."""
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _lines(path: Path) -> Iterator[tuple[int, Entry | None]]:
    """Where each line ends, in bytes, and its entry; None for one that is not whole or damaged."""
    end = 0
    try:
        with path.open("rb") as stream:
            for line in stream:
                end += len(line)
                yield end, _entry(line)
    except FileNotFoundError:
        return


def _entry(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    whole = (
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("reason"), str | None)
        and isinstance(entry.get("faces"), list)
        and all(map(_is_face, entry["faces"]))
    )
    return entry if whole else None


def _is_face(face: Any) -> bool:
    if not isinstance(face, dict) or not {"box", "score", "points"} <= face.keys():
        return False
    if face["box"] is None:
        return True
    points = face["points"]
    pairs = isinstance(points, list) and len(points) == 5 and all(_numbers(point, 2) for point in points)
    return _numbers(face["box"], 4) and _numbers([face["score"]], 1) and pairs


def _numbers(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(isinstance(v, int | float) for v in values)
