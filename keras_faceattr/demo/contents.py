"""The files of a site as they are sent: by URL, with their kind, packed once."""

from __future__ import annotations

import gzip
import hashlib
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TEXT = "text/plain; charset=utf-8"

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
    "": TEXT,
}
PACKED = {".html", ".css", ".js", ".json", ".webmanifest", ".wasm", ".tflite", ".svg"}
"""Kinds of files that gzip makes smaller."""


@dataclass(frozen=True)
class Content:
    """A file as it is sent."""

    stamp: tuple[int, int]
    tag: str
    plain: bytes
    packed: bytes | None


class Contents:
    """The files of a site by URL; nothing outside has a name here, so no request can reach it."""

    def __init__(self, folder: Path) -> None:
        found = (path for path in folder.rglob("*") if path.is_file())
        inside = folder.resolve()
        self.paths = {
            f"/{path.relative_to(folder).as_posix()}": path
            for path in found
            if path.resolve().is_relative_to(inside) and not path.name.startswith(".")
        }
        if "/index.html" in self.paths:
            self.paths["/"] = self.paths["/index.html"]
        self.kept: dict[Path, Content] = {}
        self.locks = {path: threading.Lock() for path in self.paths.values()}

    def warm(self) -> None:
        """Packs everything before it is asked for, small files first."""
        # At the end of serving, files go while this still runs.
        with suppress(OSError):
            for path in sorted(self.locks, key=lambda path: path.stat().st_size):
                self.get(path)

    def get(self, path: Path) -> Content:
        """A file, packed once for as long as it does not change.

        Raises:
            OSError: it is gone.
        """
        with self.locks[path]:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            content = self.kept.get(path)
            if content is None or content.stamp != stamp:
                plain = path.read_bytes()
                packed = gzip.compress(plain, 6, mtime=0) if path.suffix in PACKED else None
                # Weak, as it names both forms of the file.
                tag = f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"'
                content = self.kept[path] = Content(stamp, tag, plain, packed)
            return content
