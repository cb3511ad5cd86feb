"""Tables of single ratings: mean and σ of what people say of each photo."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_faceattr.errors import DataError


def rated(table: pd.DataFrame, photo: str, path: Path) -> pd.DataFrame:
    """Mean and σ of each photo's ratings, the σ of the raters at hand, not of a larger population.

    Args:
        table: a rating a row in a column `Rating`, whatever its case, or a photo a row with a column a
            rater; and `row`.
        photo: the column that names the photo.
        path: path of the table, for messages.

    Returns:
        Columns `photo`'s name, `mean`, `std` and `row`, the first that the photo stands in.

    Raises:
        DataError: a rating is not a number.
    """
    title = next((column for column in table.columns if column.lower() == "rating"), None)
    raters = [title] if title else [column for column in table.columns if column not in (photo, "row")]
    long = table.melt([photo, "row"], raters, value_name="rating").dropna(subset=["rating"])
    long["rating"] = pd.to_numeric(long["rating"], errors="coerce")
    if long["rating"].isna().any():
        row = long.loc[long["rating"].isna(), "row"].iloc[0]
        raise DataError(f"{path}, line {row}: a rating is not a number; fix the cell or leave it empty")
    photos = long.groupby(photo, sort=False)
    numbers = {"mean": photos["rating"].mean(), "std": photos["rating"].std(ddof=0), "row": photos["row"].min()}
    return pd.DataFrame(numbers).reset_index()
