"""RAF-DB, basic emotions: 15,339 aligned faces in seven expressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from keras_faceattr.data.datasets.label_tables import read_lines
from keras_faceattr.data.manifest import GROUP_COLUMNS, Manifest, Source, build_manifest
from keras_faceattr.data.vocabulary import EXPRESSIONS
from keras_faceattr.errors import DataError
from keras_faceattr.faces.found import POINTS as FIVE_POINTS
from keras_faceattr.tasks import CategoricalTask

CITATION = (
    "Li, Deng, Du: Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the "
    "Wild, CVPR 2017"
)
LICENCE = "non-commercial research only"
LABELS = "EmoLabel/list_patition_label.txt"  # the release spells it so
ATTRIBUTES = "Annotation/manual"
CLASSES = {
    "1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral",
}  # fmt: skip
GENDERS: dict[str, str | None] = {"0": "male", "1": "female", "2": None}
RACES: dict[str, str | None] = {"0": "Caucasian", "1": "African-American", "2": "Asian"}
AGES: dict[str, str | None] = {"0": "0–3", "1": "4–19", "2": "20–39", "3": "40–69", "4": "70+"}
POINTS = [f"original_{point}_{axis}" for point in FIVE_POINTS for axis in "xy"]
"""Columns of the five landmarks, which are those of the original photo, not of the aligned one."""


def read(root: Path) -> Manifest:
    """Read the aligned photos with the official train and test parts.

    Gender (missing where the release says unsure), race and age group come from `Annotation/manual/` where that exists,
    and so do the five landmarks, x and y in pixels of the original photo: columns `original_left_eye_x` and so on.

    Args:
        root: holds `EmoLabel/`, `Image/aligned/` and, optionally, `Annotation/manual/`, or `basic/` with these.

    Raises:
        DataError: a label file is missing or malformed.
    """
    base = "" if (root / LABELS).is_file() else "basic/"
    labels = root / base / LABELS
    if not labels.is_file():
        raise DataError(f"raf_db: no {LABELS} in {root} or its basic/; give the release's folder")
    rows = read_lines(labels, ("name", "code"))
    rows["expression"] = rows["code"].map(CLASSES).fillna(rows["code"])
    rows["split"] = rows["name"].str.extract(r"^(train|test)_", expand=False)
    stem = rows["name"].str.replace(r"\.\w+$", "", regex=True)
    rows["image"] = f"{base}Image/aligned/" + stem + "_aligned.jpg"
    attributes = root / base / ATTRIBUTES
    if attributes.is_dir():
        people = pd.DataFrame([_read_person(attributes / f"{name}_manu_attri.txt") for name in stem])
        people = people.reindex(columns=[*GROUP_COLUMNS, *POINTS])
        rows = rows.join(people.astype(dict.fromkeys(GROUP_COLUMNS, "string") | dict.fromkeys(POINTS, "float64")))
    task = CategoricalTask("expression", EXPRESSIONS)
    source = Source("raf_db", root, CITATION, LICENCE)
    return build_manifest(source, rows.drop(columns=["name", "code"]), [task])


def _read_person(path: Path) -> dict[str, Any]:
    """Read the release's file about a photo: five lines of landmarks, then gender, race and age group."""
    if not path.is_file():
        return {}
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").split("\n")]
    tables: dict[str, dict[str, str | None]] = {"gender": GENDERS, "race": RACES, "age_group": AGES}
    codes = dict(zip(tables, lines[5:8], strict=False))
    if len(codes) < len(tables) or any(codes[name] not in table for name, table in tables.items()):
        raise DataError(
            f"{path}: lines 6 to 8 are {lines[5:8]}, not gender 0 to 2, race 0 to 2 and age group 0 to 4; fix or "
            "remove the file"
        )
    try:
        points = dict(zip(POINTS, map(float, " ".join(lines[:5]).split()), strict=True))
    except ValueError:
        raise DataError(f"{path}: lines 1 to 5 are not x and y of five landmarks; fix or remove the file") from None
    return {name: table[codes[name]] for name, table in tables.items()} | points
