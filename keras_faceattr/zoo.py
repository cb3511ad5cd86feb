"""Nets that come with the package: their names stand wherever a command takes a run or an exported file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from keras_faceattr.errors import ArtifactError, RunError, nearest
from keras_faceattr.storage import sha256

FOLDER = Path(str(resources.files("keras_faceattr.shipped"))) / "zoo"
INDEX = "zoo.json"


class ShippedNet(BaseModel):
    """What `zoo.json` says of a net.

    Attributes:
        title: what it answers, in a line.
        file: the exported file that answers, below the net's folder.
        command: what made it from its data, a line each.
        files: SHA-256 of every other file, by path below the net's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    file: str
    command: tuple[str, ...]
    files: dict[str, str]

    @property
    def folder(self) -> Path:
        """A run folder, from which trainings can start, with the exported files in it."""
        return FOLDER / self.name

    @property
    def path(self) -> Path:
        return self.folder / self.file


def shipped_names() -> list[str]:
    """Names of the nets, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{INDEX}"))


def shipped_net(name: str) -> ShippedNet:
    """A net by its name, every file of it checked.

    Raises:
        ArtifactError: a file is missing or is not the one that was shipped.
    """
    folder = FOLDER / name
    try:
        net = ShippedNet.model_validate(json.loads((folder / INDEX).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(f"{folder / INDEX} is damaged: {reason}; install keras-faceattr again") from None
    for part, digest in net.files.items():
        path = folder / part
        if not path.is_file() or sha256(path) != digest:
            what = "is missing" if not path.is_file() else "is not the file that was shipped (another SHA-256)"
            raise ArtifactError(f"{path} {what}: install keras-faceattr again")
    return net


def found_net(given: Path) -> ShippedNet | None:
    """The shipped net that a name means; None for a path.

    What lies at the path itself, a file or the folder of a run, comes first.

    Raises:
        RunError: a name without folder and suffix, of which there is neither a net nor anything at that path.
        ArtifactError: the net is damaged.
    """
    if len(given.parts) != 1 or given.suffix or given.is_file() or (given / "config.yaml").is_file():
        return None
    names = shipped_names()
    if given.name in names:
        return shipped_net(given.name)
    if given.exists() or not names:
        return None
    raise RunError(f"no run or file {given}, and no net of this name comes with the package; {nearest(given, names)}")


def file_of(given: Path) -> Path:
    """The exported file of a shipped net, by its name; any other path as it is.

    Raises:
        RunError, ArtifactError: as of `found_net`.
    """
    net = found_net(given)
    return net.path if net else given
