"""CelebA's list of attributes, `list_attr_celeba.txt`, which LFWA's re-releases share."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_faceattr.data.vocabulary import ATTRIBUTES
from keras_faceattr.errors import DataError

GENDERS = {0: "female", 1: "male"}


def read_attribute_list(path: Path) -> pd.DataFrame:
    """Read a file with one line per photo: its name and attributes.

    The txt has the number of photos in its first line and the attributes' names in its second; the csv starts with
    the names. Present is 1; absent is −1, or 0 in some re-releases.

    Returns:
        `name`, `row` (line in the file), and the columns of `attribute_columns`.

    Raises:
        DataError: the file is missing or malformed.
    """
    if not path.is_file():
        raise DataError(f"no {path}; is this the folder of the official release?")
    is_csv = path.suffix.lower() == ".csv"
    try:
        with path.open(encoding="utf-8-sig") as lines:
            head = [lines.readline() for _ in range(1 if is_csv else 2)]
        names = head[-1].strip().split(",")[1:] if is_csv else head[-1].split()
        frame = pd.read_csv(
            path, sep="," if is_csv else r"\s+", skiprows=len(head), header=None, index_col=False,
            encoding="utf-8-sig", low_memory=False, skip_blank_lines=False,
        )  # fmt: skip
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: not a list of attributes ({' '.join(str(error).split())})") from error
    if len(frame.columns) != len(names) + 1:
        line = "first" if is_csv else "second"
        raise DataError(f"{path}: {len(names)} names in the {line} line, but {len(frame.columns) - 1} values in a row")
    frame.columns = pd.Index(["name", *names])
    frame["row"] = range(len(head) + 1, len(head) + 1 + len(frame))
    frame = frame[frame["name"].notna()].reset_index(drop=True)
    columns = attribute_columns(frame.drop(columns=["name", "row"]), path)
    return columns.assign(name=frame["name"].astype("string").str.strip(), row=frame["row"])


def attribute_columns(values: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Manifest columns of raw attributes: `attributes.<name>`, present 1 and absent 0, and `gender`, from Male.

    Args:
        values: a column an attribute; names may differ from CelebA's in case, blanks and punctuation.
        path: where they come from, for messages.

    Raises:
        DataError: one of the 40 attributes is missing.
    """
    found = {_key(name): name for name in values.columns}
    missing = [name for name in ATTRIBUTES if _key(name) not in found]
    if missing:
        raise DataError(f"{path}: no attribute {missing[0]!r}; it has {', '.join(map(str, values.columns))}")
    columns = {}
    for name in ATTRIBUTES:
        raw = values[found[_key(name)]]
        number = pd.to_numeric(raw, errors="coerce")
        columns[f"attributes.{name}"] = number.where(number != -1, 0) if number.notna().all() else _mended(raw, number)
    gender = pd.to_numeric(columns["attributes.Male"], errors="coerce").map(GENDERS)
    return pd.DataFrame(columns).assign(gender=gender.astype("string"))


def _mended(raw: pd.Series, number: pd.Series) -> pd.Series:
    """−1 as 0; what is no number stays as it stands, for the quarantine's reason."""
    return number.astype("object").where(number.notna(), raw).where(number != -1, 0)


def _key(name: object) -> str:
    return "".join(c for c in str(name).lower() if c.isalnum())
