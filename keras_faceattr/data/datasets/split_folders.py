"""Folders `train/`, `val/`, `test/` above those of the classes."""

from __future__ import annotations

from pathlib import Path

NAMES = {"train": ("train", "training"), "val": ("validation", "valid", "val"), "test": ("test", "testing")}
"""Names of each split's folder, in lower case."""


def split_folders(root: Path) -> dict[str, str]:
    """Names of the folders of the splits, by split; empty where there is no training folder.

    Train is train; the only other part is test, whatever its name, and where there are both, validation is val.
    """
    there = {path.name.lower(): path.name for path in sorted(root.iterdir()) if path.is_dir()}
    found = {split: there[name] for split, names in NAMES.items() for name in names[::-1] if name in there}
    if "train" not in found:
        return {}
    if "val" in found and "test" not in found:
        found["test"] = found.pop("val")
    return found
