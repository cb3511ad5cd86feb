"""What the machine refuses, such as memory, space or a name: told in one line, in this process and of a child."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor

NO_MEMORY = (
    "cannot allocate memory", "unable to allocate", "can't start new thread", "failed to map segment",
    "insufficient memory", "bad_alloc", "memoryerror", "resource_exhausted", "resource exhausted",
    "failed to allocate", "oom when allocating", "resource temporarily unavailable",
)  # fmt: skip
"""What libraries say without a MemoryError, in lower case."""

NO_SPACE = ("no space left on device", "disk quota exceeded")

MEMORY = "not enough memory: end other programs, raise the limit (ulimit -v), or choose smaller batches or photos"
ELSEWHERE = "choose another folder, or one that you may use"

FIXES = {
    errno.ENOSPC: "free space or choose another folder",
    errno.EDQUOT: "free space or choose another folder",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files (ulimit -n)",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead in a circle: name the file itself",
}
"""What to do about an error of the system, by its number."""


def machine_failure(error: BaseException) -> str | None:
    """A line about what the machine refused; None where the error is none of its refusals."""
    causes = list(_causes(error))
    space = any(isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT) for cause in causes)
    if not space and any(_is_memory(cause) for cause in causes):
        return MEMORY
    if any(isinstance(cause, BrokenExecutor) for cause in causes):
        return "a worker process was killed, usually for too little memory: free some, and run it again"
    if not isinstance(error, OSError) or error.errno is None:
        return None
    place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"{place}{error.strerror}; {FIXES.get(error.errno, ELSEWHERE)}"


def child_failure(status: int, chatter: str) -> str:
    """Why a child process failed that TensorFlow runs in, and what to do.

    Args:
        status: its exit status; negative: the signal that killed it.
        chatter: what it wrote to stderr.
    """
    if status < 0:
        return f"its process was killed by signal {-status}; free memory or choose a smaller side"
    told = chatter.lower()
    if any(phrase in told for phrase in NO_SPACE):
        return f"the disk is full: free space, also in {tempfile.gettempdir()}, or set KERAS_FACEATTR_CACHE and TMPDIR"
    if any(phrase in told for phrase in NO_MEMORY):
        return MEMORY
    if "no module named 'tensorflow'" in told or "no module named 'keras'" in told:
        return "TensorFlow is not installed: pip install tensorflow"
    lines = [line.strip() for line in chatter.splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"its process wrote no file and ended with {status}"


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    text = str(error)[:10_000].lower()
    return any(phrase in text for phrase in NO_MEMORY)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those on whose account it was raised."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
