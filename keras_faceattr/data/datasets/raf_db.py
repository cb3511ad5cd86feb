"""RAF-DB, basic emotions: 15,339 aligned faces in seven expressions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_faceattr.data.datasets.label_tables import read_lines
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.vocabulary import EXPRESSIONS
from keras_faceattr.errors import DataError
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
GENDERS = {"0": "male", "1": "female", "2": None}
RACES = {"0": "Caucasian", "1": "African-American", "2": "Asian"}


def read(root: Path) -> Manifest:
    """Reads the aligned photos with the official train and test parts.

    Gender (missing where the release says unsure) and race come from `Annotation/manual/` where that exists.

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
        rows["gender"], rows["race"] = people[0].astype("string"), people[1].astype("string")
    task = CategoricalTask("expression", EXPRESSIONS)
    source = Source("raf_db", root, CITATION, LICENCE)
    return build_manifest(source, rows.drop(columns=["name", "code"]), [task])


def _read_person(path: Path) -> tuple[str | None, str | None]:
    """Gender and race of a photo: the sixth and seventh line, after five landmarks."""
    if not path.is_file():
        return None, None
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    codes = [line.strip() for line in lines[5:7]]
    if len(codes) < 2 or codes[0] not in GENDERS or codes[1] not in RACES:
        raise DataError(
            f"{path}: lines 6 and 7 are {codes}, not gender 0 to 2 and race 0 to 2; mend or remove the file"
        )
    return GENDERS[codes[0]], RACES[codes[1]]
