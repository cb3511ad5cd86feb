"""FER2013's csv of pixels as PNG files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from keras_faceattr.data.datasets.label_tables import read_table, require_columns
from keras_faceattr.storage import replacing_folder

SIDE = 48
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
ROW_FILE = "rows.csv"


def extract(path: Path, folder: Path) -> None:
    """Write `folder` with `<usage>/<class>/<row>.png` for each good row of the csv, and a list of all rows.

    The list, `rows.csv`, has `image, row` (line in the csv), `expression, split` and `reason` (empty = good).

    Raises:
        DataError: the csv lacks a column or is no table.
        RunError: `folder` cannot be written.
    """
    table = read_table(path)
    require_columns(table, ("emotion", "pixels", "Usage"), path)
    with replacing_folder(folder, ROW_FILE) as temporary:
        texts = table[["emotion", "pixels", "Usage"]].fillna("")
        records = texts.assign(row=table["row"]).itertuples(index=False, name=None)
        rows = [_write_row(temporary, *record) for record in records]
        columns = ["image", "row", "expression", "split", "reason"]
        pd.DataFrame(rows, columns=pd.Index(columns)).to_csv(temporary / ROW_FILE, index=False)


def _write_row(folder: Path, emotion: str, pixels: str, usage: str, row: int) -> tuple[str, int, str, str, str]:
    """Write one photo; return its line of `rows.csv`."""
    if usage not in USAGES:
        return f"{row}.png", row, "", "", f"Usage {usage!r} is none of {', '.join(USAGES)}"
    if emotion not in map(str, range(len(CLASSES))):
        return f"{usage}/{row}.png", row, "", "", f"emotion {emotion!r} is not in 0 to {len(CLASSES) - 1}"
    expression = CLASSES[int(emotion)]
    image, split = f"{usage}/{expression}/{row}.png", USAGES[usage]
    photo = _decode(pixels)
    if photo is None:
        return image, row, expression, split, f"pixels are not {SIDE * SIDE} numbers from 0 to 255"
    (folder / image).parent.mkdir(parents=True, exist_ok=True)
    (folder / image).write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    return image, row, expression, split, ""


def _decode(pixels: str) -> np.ndarray | None:
    """(48, 48) uint8, or nothing where the text is no such photo."""
    try:
        values = np.array(pixels.split(), dtype="int64")
    except (ValueError, OverflowError):
        return None
    if values.size != SIDE * SIDE or values.min() < 0 or values.max() > 255:
        return None
    return values.astype("uint8").reshape(SIDE, SIDE)
