"""What comes with the package and what the cache holds: shipped nets, configs, readers, entries of the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_faceattr.cache import Entry, entries, remove
from keras_faceattr.tasks import sensitive_notices
from keras_faceattr.zoo import shipped_names, shipped_net


@dataclass(frozen=True)
class ShippedFile:
    """A net that comes with the package, and what was measured on its file.

    Attributes:
        name: by which every call and command takes it.
        title: what it answers, in a line.
        file: the exported file.
        card: the model card.
        recipe: of the export.
        status: of the gates.
        bytes: of the file.
        parameters: of the net.
        macs: multiply-adds for one photo.
        photos: on which it was measured.
        split: of the data, to which these belong.
        licences: terms of the photos that it was trained on, by data set.
        tasks: unit, metrics with their intervals, and `reliability`, by task.
        notices: of sensitive tasks.
        command: what made it from its data, a line each.
    """

    name: str
    title: str
    file: str
    card: str
    recipe: str
    status: str
    bytes: int
    parameters: int
    macs: int
    photos: int
    split: str
    licences: dict[str, str]
    tasks: dict[str, Any]
    notices: list[str]
    command: list[str]


@dataclass(frozen=True)
class CleanedCache:
    """What `clean_cache` did.

    Attributes:
        removed: entries that are gone.
        in_use: entries that a process holds, and so were kept.
    """

    removed: list[Entry]
    in_use: list[Entry]

    @property
    def freed_bytes(self) -> int:
        """Size of what was removed."""
        return sum(entry.size for entry in self.removed)


def shipped_nets() -> list[ShippedFile]:
    """List the nets that come with the package, with the results of their files.

    Raises:
        ArtifactError: a file is missing or is not the one that was shipped.
    """
    return [_shipped(name) for name in shipped_names()]


def _shipped(name: str) -> ShippedFile:
    from keras_faceattr.artifact.loading import load_artifact

    net = shipped_net(name)
    artifact = load_artifact(net.path)
    sidecar = artifact.sidecar
    return ShippedFile(
        name=name,
        title=net.title,
        file=str(net.path),
        card=str(artifact.model_card_path),
        recipe=sidecar.recipe,
        status=sidecar.status,
        bytes=sidecar.cost.file_bytes,
        parameters=sidecar.cost.parameters,
        macs=sidecar.cost.macs,
        photos=sidecar.protocol["photos"],
        split=sidecar.protocol["split"],
        licences={source: terms["licence"] for source, terms in sidecar.licences["data"].items()},
        tasks={
            task: {
                "unit": measured["unit"],
                "metrics": measured["metrics"],
                "reliability": {"metrics": measured.get("reliability", {}).get("metrics", {})},
            }
            for task, measured in sidecar.metrics.items()
        },
        notices=sensitive_notices(sidecar.task_objects()),
        command=list(net.command),
    )


def readers() -> dict[str, str]:
    """List the readers of data sets, each with the title of its data set."""
    from keras_faceattr.data.datasets import READERS

    return {name: reader.title for name, reader in READERS.items()}


def cache_entries(kinds: Sequence[str] = (), *, older_than_days: float = 0.0) -> list[Entry]:
    """List the entries of the cache of derived data, least recently used first; all of it can be rebuilt.

    Args:
        kinds: only these kinds, such as `crops`; default: all.
        older_than_days: only entries last used at least this many days ago.

    Returns:
        Records with `.kind`, `.path`, `.size` in bytes, `.last_used` in seconds since 1970, and `.in_use`.

    Raises:
        ConfigError: unknown kind.
    """
    return entries(kinds, older_than_days)


def clean_cache(kinds: Sequence[str] = (), *, older_than_days: float = 0.0) -> CleanedCache:
    """Remove entries of the cache, except those that a process uses.

    Args:
        kinds: as of `cache_entries`.
        older_than_days: as of `cache_entries`.

    Raises:
        ConfigError: unknown kind.
        RunError: an entry cannot be removed.
    """
    found = entries(kinds, older_than_days)
    gone = {entry.path for entry in found if remove(entry)}
    return CleanedCache([e for e in found if e.path in gone], [e for e in found if e.path not in gone])
