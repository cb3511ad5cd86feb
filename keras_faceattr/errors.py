"""Errors that a user can fix: each is one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable


class FaceAttrError(Exception):
    """Base of every error that a user can fix; the command line prints it and exits with 2."""


class ConfigError(FaceAttrError):
    """An experiment's configuration cannot be used."""


class DataError(FaceAttrError):
    """A data set, its labels or its splits cannot be used."""


class PhotoError(FaceAttrError):
    """A photo cannot be decoded."""


class ResourceError(FaceAttrError):
    """Memory, disk or open files ran out; the data is not at fault, and the same call may succeed later."""


class DetectionError(FaceAttrError):
    """Faces cannot be detected."""


class ModelError(FaceAttrError):
    """A model or its weights cannot be used."""


class RunError(FaceAttrError):
    """A run folder cannot be written, read or resumed."""


class TrainingError(FaceAttrError):
    """Training had to stop."""


class ArtifactError(FaceAttrError):
    """An exported file, its sidecar or its conversion cannot be used."""


class BenchmarkError(FaceAttrError):
    """A device or a benchmark cannot be used."""


class ServerError(FaceAttrError):
    """An HTTP server cannot listen or be started."""


class DemoError(FaceAttrError):
    """The demo cannot be built or served."""


MOST_SHOWN = 100
"""Characters of a value that an error message shows."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = MOST_SHOWN
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """A value as an error message shows it: on one line, and cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 300:
        return f"a number of {int(value.bit_length() * math.log10(2)) + 1:,} digits"
    return shortened(_SHORT.repr(value))


def shortened(text: str) -> str:
    """Text as an error message shows it: on one line, and cut where it is long."""
    line = " ".join(text[: 10 * MOST_SHOWN].split())
    return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN - 1]}…"


def nearest(word: object, valid: Iterable[str]) -> str:
    """Hint for an unknown word: the nearest valid one, and the list of all of them."""
    choices = sorted(valid)
    close = difflib.get_close_matches(str(word)[:MOST_SHOWN], choices, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}valid: {', '.join(choices)}"
