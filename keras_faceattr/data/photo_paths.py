"""Paths of a label file's photos below the data's folder, and the reason if a photo is missing."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from pathlib import Path

OUTSIDE = "lies outside the data folder"
ABSENT = "no such photo"
NO_FILE = "no photo but a folder, a pipe, a device or a link to nothing"


class PhotoPaths:
    """Paths as a label file names them, looked up below a root.

    Args:
        root: folder of the photos.
    """

    def __init__(self, root: Path) -> None:
        # A path in the label file may name the folder by either.
        self._roots = list(dict.fromkeys([os.path.normpath(root.absolute()), str(root.resolve())]))
        self._listed: dict[str, dict[str, str]] = {}

    def relative(self, path: str) -> str:
        """The path below the root, with `/` between folders; one that lies outside stays as it is."""
        if not path:
            return path
        if not path.startswith("/") and ".." not in path:
            return posixpath.normpath(path)
        for root in self._roots:
            joined = posixpath.normpath(posixpath.join(root, path))
            if joined.startswith(f"{root.rstrip('/')}/"):
                return joined[len(root.rstrip("/")) + 1 :]
        return path

    def fault(self, path: str) -> str | None:
        """Why there is no photo at a path that is relative; None where there is one."""
        if path.startswith("/") or ".." in path.split("/"):
            return OUTSIDE
        if os.path.isfile(f"{self._roots[0]}/{path}"):
            return None
        if os.path.lexists(f"{self._roots[0]}/{path}") and path:
            return NO_FILE
        near = self._near(path)
        if near is None:
            return ABSENT
        if unicodedata.normalize("NFC", near) == unicodedata.normalize("NFC", path):
            return f"{ABSENT}; there is one whose name is the same in another Unicode form (NFC or NFD): rename it"
        return f"{ABSENT}; there is {near!r}, in other upper and lower case: rename one of them"

    def _near(self, path: str) -> str | None:
        """A path that differs in letter case or Unicode form alone."""
        found = ""
        for part in path.split("/"):
            folder = f"{self._roots[0]}/{found}"
            if folder not in self._listed:
                try:
                    self._listed[folder] = {_key(p.name): p.name for p in sorted(Path(folder).iterdir())}
                except OSError:
                    self._listed[folder] = {}
            exact = os.path.lexists(f"{folder}/{part}")
            name = part if exact else self._listed[folder].get(_key(part))
            if name is None:
                return None
            found = f"{found}/{name}" if found else name
        return found if found != path else None


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
