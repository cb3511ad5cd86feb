"""Files that are either whole or absent, and the folder where derived data is cached."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from keras_faceattr.errors import RunError

TEMPORARY = ".writing-"
"""What names of temporary files and folders begin with; the process and the machine follow."""


FREE_SPACE = "free space or choose another folder"
IN_THE_WAY = "a folder has its name: remove or rename it"
OTHER_CACHE = "free space, or set KERAS_FACEATTR_CACHE to a folder that you may write"


@contextmanager
def replacing(path: Path, *, private: bool = False, fix: str | None = None) -> Iterator[Path]:
    """Yield a temporary path next to `path`, which takes its place when the block succeeds.

    A killed or failing writer leaves the old file as it was. A device or pipe, such as /dev/stdout, stays what it is:
    the content is written into it at the end.

    Args:
        path: the file; its folder is made.
        private: whether nobody else may read it, at no moment.
        fix: end of the error message; by default that of the cache, or of any other folder.

    Raises:
        RunError: the file system refuses (disk full, no permission).
    """
    with _as_run_error(path, fix):
        device = is_device(path)
        folder = Path(tempfile.gettempdir()) if device else path.parent
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers_once(folder.absolute(), os.getpid())
        temporary = folder / f"{temporary_prefix()}{secrets.token_hex(4)}{path.suffix}"
        # The system takes the umask away itself: asking for it would change it for a moment, for every thread.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 if private or device else 0o666))
        try:
            yield temporary
            if device:
                _write_into(path, temporary)
            else:
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def is_device(path: Path) -> bool:
    """Whether a path names a device, a pipe or an open stream, which no file may take the place of."""
    if _stream_number(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _stream_number(path: Path) -> int | None:
    """Number of this process's open file that a path such as /dev/stdout stands for."""
    name = {"/dev/stdin": "/dev/fd/0", "/dev/stdout": "/dev/fd/1", "/dev/stderr": "/dev/fd/2"}.get(str(path), str(path))
    found = re.fullmatch(rf"/(?:dev|proc/self|proc/{os.getpid()})/fd/(\d+)", name)
    return int(found[1]) if found else None


def _write_into(path: Path, source: Path) -> None:
    number = _stream_number(path)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Another opening of a redirected stream would have a position of its own, and what is printed next overwrite it.
    target = os.dup(number) if number is not None else os.open(path, os.O_WRONLY)
    with source.open("rb") as content, os.fdopen(target, "wb") as sink:
        shutil.copyfileobj(content, sink)


@contextmanager
def replacing_folder(folder: Path, proof: str, fix: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder next to `folder`, which takes its place when the block succeeds.

    Several processes may fill the same folder: the first to finish wins, and the others keep its result.

    Args:
        folder: the folder; its parent is made.
        proof: name of a file that a whole folder has; a folder without it is replaced.
        fix: as of `replacing`.

    Raises:
        RunError: the file system refuses (disk full, no permission).
    """
    with _as_run_error(folder, fix):
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent)
        temporary = folder.parent / f"{temporary_prefix()}{secrets.token_hex(4)}"
        temporary.mkdir()
        try:
            yield temporary
            try:
                os.replace(temporary, folder)
            except OSError:
                if not (folder / proof).is_file():
                    shutil.rmtree(folder)
                    os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@lru_cache(maxsize=10_000)
def _remove_leftovers_once(folder: Path, process: int) -> None:
    """`remove_leftovers`, once per process and folder: a folder of a million crops is not looked through for each."""
    remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose processes of this machine were killed."""
    pattern = re.compile(rf"{re.escape(TEMPORARY)}(\d+)-{re.escape(platform.node())}-")
    for path in folder.glob(f"{TEMPORARY}*"):
        match = pattern.match(path.name)
        if match and not psutil.pid_exists(int(match[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def temporary_prefix() -> str:
    """Beginning of the name of a temporary file or folder of this process, by which others know whether it lives."""
    return f"{TEMPORARY}{os.getpid()}-{platform.node()}-"


@contextmanager
def _as_run_error(path: Path, fix: str | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fix = IN_THE_WAY if isinstance(error, IsADirectoryError) else fix or usual_fix(path)
        raise RunError(f"cannot write {path}: {error.strerror or error}; {fix}") from error


def usual_fix(path: Path) -> str:
    """What to do where a path cannot be written."""
    try:
        cached = path.absolute().is_relative_to(cache_folder().absolute())
    except RunError:
        cached = False
    return OTHER_CACHE if cached else FREE_SPACE


@contextmanager
def locked(path: Path, folder: Path) -> Iterator[None]:
    """Hold a lock file alone among all processes; a process that ends, however it ends, releases it.

    Args:
        path: the lock file, which stays.
        folder: what the lock protects, for the error message.

    Raises:
        RunError: another process holds it, or it cannot be written.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"another process is filling {folder}; wait for it or choose another folder") from None
    except OSError as error:
        fix = IN_THE_WAY if isinstance(error, IsADirectoryError) else "choose another folder"
        raise RunError(f"cannot write {path}: {error.strerror}; {fix}") from error
    try:
        yield
    finally:
        lock.release()


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def jsonable(value: Any) -> Any:
    """The value with null for every number that JSON does not know."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds, which change when the file does.

    Raises:
        OSError: it cannot be asked for.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def cache_folder() -> Path:
    """Folder of derived data: `$KERAS_FACEATTR_CACHE`, else `~/.cache/keras-faceattr`.

    Raises:
        RunError: the user has no home folder.
    """
    if given := os.environ.get("KERAS_FACEATTR_CACHE"):
        return Path(given)
    try:
        return Path.home() / ".cache" / "keras-faceattr"
    except RuntimeError:
        raise RunError("you have no home folder for the cache: set KERAS_FACEATTR_CACHE to a folder") from None
