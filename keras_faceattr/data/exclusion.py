"""Photos that a source leaves out, by a list of names or a pattern."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import numpy as np

from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import ConfigError
from keras_faceattr.storage import sha256

PATTERN = "*?["
"""Characters that make a pattern of a name."""


def is_pattern(exclude: str) -> bool:
    """Return whether `exclude` is a pattern and not the path of a list."""
    return any(character in exclude for character in PATTERN) and not Path(exclude).is_file()


def without_excluded(manifest: Manifest, exclude: str) -> Manifest:
    """The photos that are not excluded; a name is the whole path below the source's root, or its last part.

    Args:
        exclude: path of a UTF-8 text file with one name per line, or a pattern such as `old/*.jpg`.

    Raises:
        ConfigError: no such file, a list that is no text, a pattern that no photo matches, or no photo is left.
    """
    images = manifest.rows["image"]
    if is_pattern(exclude):
        excluded = np.array([fnmatchcase(i, exclude) or fnmatchcase(_last(i), exclude) for i in images], bool)
        if not excluded.any():
            raise ConfigError(f"exclude {exclude!r}: no photo matches; photos are called {images[0]!r}")
    else:
        names = _listed(Path(exclude))
        excluded = np.array([i in names or _last(i) in names for i in images], bool)
    if excluded.all():
        raise ConfigError(f"exclude {exclude!r}: no photo is left of {len(manifest)}")
    return manifest.select(~excluded)


def exclusion_hash(exclude: str) -> str:
    """SHA-256 of a list, or the pattern itself: what a run notes of the photos that it left out."""
    return exclude if is_pattern(exclude) else sha256(Path(exclude))


def _last(image: str) -> str:
    return PurePosixPath(image).name


def _listed(path: Path) -> set[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"exclude {str(path)!r}: no such file, and no pattern such as *.jpg") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"exclude {str(path)!r}: cannot be read as a list of names: {error}") from None
    return {line.strip() for line in lines if line.strip()}
