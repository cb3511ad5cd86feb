"""Files that are either whole or absent, and the folder where derived data is cached."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from keras_faceattr.errors import RunError

TEMPORARY = ".writing-"
"""What names of temporary files and folders begin with; the process and the machine follow."""


FREE_SPACE = "free space or choose another folder"


@contextmanager
def replacing(path: Path, *, private: bool = False, fix: str = FREE_SPACE) -> Iterator[Path]:
    """Yield a temporary path next to `path`, which takes its place when the block succeeds.

    A killed or failing writer leaves the old file as it was.

    Args:
        path: the file; its folder is made.
        private: whether nobody else may read it, at no moment.
        fix: end of the error message.

    Raises:
        RunError: the file system refuses (disk full, no permission).
    """
    with _as_run_error(path, fix):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_temporary_prefix(), suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            if not private:
                os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path, proof: str, fix: str = FREE_SPACE) -> Iterator[Path]:
    """Yield a temporary folder next to `folder`, which takes its place when the block succeeds.

    Several processes may fill the same folder: the first to finish wins, and the others keep its result.

    Args:
        folder: the folder; its parent is made.
        proof: name of a file that a whole folder has; a folder without it is replaced.
        fix: end of the error message.

    Raises:
        RunError: the file system refuses (disk full, no permission).
    """
    with _as_run_error(folder, fix):
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent)
        temporary = Path(tempfile.mkdtemp(prefix=_temporary_prefix(), dir=folder.parent))
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())
            try:
                os.replace(temporary, folder)
            except OSError:
                if not (folder / proof).is_file():
                    shutil.rmtree(folder)
                    os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


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


def _temporary_prefix() -> str:
    return f"{TEMPORARY}{os.getpid()}-{platform.node()}-"


@contextmanager
def _as_run_error(path: Path, fix: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; {fix}") from error


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
        raise RunError(f"cannot write {path}: {error.strerror}; choose another folder") from error
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


def cache_folder() -> Path:
    """Folder of derived data: `$KERAS_FACEATTR_CACHE`, else `~/.cache/keras-faceattr`."""
    return Path(os.environ.get("KERAS_FACEATTR_CACHE") or Path.home() / ".cache" / "keras-faceattr")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
