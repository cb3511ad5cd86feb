"""The files of a site as they are sent: by URL, with their type, compressed once."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from keras_faceattr.errors import DemoError
from keras_faceattr.storage import stamp

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".tflite": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    "": "text/plain; charset=utf-8",
}
PACKED = {".html", ".css", ".js", ".json", ".webmanifest", ".wasm", ".tflite", ".svg"}
"""Types of files that gzip makes smaller."""


@dataclass(frozen=True)
class Content:
    """A file as it is sent."""

    stamp: tuple[int, int]
    tag: str
    type: str
    plain: bytes
    packed: bytes | None


class Contents:
    """The files of a site by URL; nothing outside has a name here, so no request can reach it.

    Args:
        pinned: SHA-256 that a file must have, by URL.
    """

    def __init__(self, folder: Path, pinned: Mapping[str, str] | None = None) -> None:
        found = (path for path in folder.rglob("*") if path.is_file())
        inside = folder.resolve()
        self.paths = {
            f"/{path.relative_to(folder).as_posix()}": path
            for path in found
            if path.resolve().is_relative_to(inside) and not path.name.startswith(".")
        }
        if "/index.html" in self.paths:
            self.paths["/"] = self.paths["/index.html"]
        self.pinned = {self.paths[url]: digest for url, digest in (pinned or {}).items() if url in self.paths}
        self.kept: dict[Path, Content] = {}
        self.locks = {path: threading.Lock() for path in self.paths.values()}

    def warm(self) -> None:
        """Compress everything before it is asked for, small files first."""
        # At the end of serving, files go while this still runs; a damaged one is refused when it is asked for.
        with suppress(OSError, DemoError):
            for path in sorted(self.locks, key=lambda path: path.stat().st_size):
                self.get(path)

    def current(self, path: Path) -> Content | None:
        """A file that has been read, if it has not changed since.

        Raises:
            OSError: it is gone.
        """
        content = self.kept.get(path)
        return content if content and content.stamp == stamp(path) else None

    def get(self, path: Path) -> Content:
        """A file, read and compressed once for as long as it does not change.

        Raises:
            OSError: it is gone.
            DemoError: it is pinned and has another hash.
        """
        with self.locks[path]:
            content = self.current(path)
            if content is None:
                found, plain = stamp(path), path.read_bytes()
                digest = hashlib.sha256(plain).hexdigest()
                if self.pinned.get(path, digest) != digest:
                    raise DemoError(f"{path.name} was changed while it was served: start the demo again")
                packed = gzip.compress(plain, 6, mtime=0) if path.suffix in PACKED else None
                kind = TYPES.get(path.suffix, "application/octet-stream")
                # Weak, as it names both forms of the file.
                content = self.kept[path] = Content(found, f'W/"{digest[:32]}"', kind, plain, packed)
            return content
