"""A folder of crops that `align` wrote: the table, and next to it the description of the crops."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from keras_faceattr.data.manifest import Source
from keras_faceattr.errors import DataError, FaceAttrError, nearest
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.found import POINTS
from keras_faceattr.storage import write_json
from keras_faceattr.tasks import Task, task_from_dict, task_to_dict

MANIFEST_FILE = "manifest.csv"
CROP_FILE = "crop.json"
POINT_COLUMNS = [f"{point}_{axis}" for point in POINTS for axis in "xy"]


@dataclass(frozen=True)
class AlignedSet:
    """Data stored next to the table of crops.

    Attributes:
        crop: how the photos were cut.
        tasks: what they are labelled with.
        sources: the data sets that they come from.
    """

    crop: CropSpec
    tasks: list[Task]
    sources: list[Source]

    def source(self, root: Path, name: str = "") -> Source:
        """The source of this name, or without one a source that stands for all, with every citation and licence.

        Raises:
            DataError: no source has this name.
        """
        if name:
            named = {s.name: s for s in self.sources}
            if name not in named:
                raise DataError(f"{root}: no crops of source {name!r}; {nearest(name, named)}")
            return replace(named[name], root=root, crop=self.crop)
        joined = {
            key: "; ".join(dict.fromkeys(text for text in (getattr(s, key) for s in self.sources) if text))
            for key in ("citation", "licence")
        }
        return Source("+".join(s.name for s in self.sources), root, **joined, crop=self.crop)


def write_aligned_set(folder: Path, aligned: AlignedSet) -> None:
    """Write `crop.json`."""
    plain = {
        "crop": aligned.crop.to_dict(),
        "tasks": [task_to_dict(task) for task in aligned.tasks],
        "sources": [{"name": s.name, "citation": s.citation, "licence": s.licence} for s in aligned.sources],
    }
    write_json(folder / CROP_FILE, plain)


def aligned_set_of(path: Path) -> AlignedSet | None:
    """Describe the crops of a folder, or of a table in it; None for photos.

    Raises:
        DataError: `crop.json` is damaged.
    """
    return read_aligned_set(path if path.is_dir() else path.parent) if path.suffix.lower() in ("", ".csv") else None


def read_aligned_set(folder: Path) -> AlignedSet | None:
    """Describe the crops of a folder; None for a folder of photos.

    Raises:
        DataError: `crop.json` is damaged.
    """
    path = folder / CROP_FILE
    if not path.is_file():
        return None
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        crop = CropSpec(**plain["crop"])
        sources = [Source(s["name"], folder, s["citation"], s["licence"]) for s in plain["sources"]]
        return AlignedSet(crop, [task_from_dict(task) for task in plain["tasks"]], sources)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, FaceAttrError) as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__}): align the photos again") from None
