"""SCUT-FBP: 500 frontal faces with attractiveness from 1 to 5, rated by about 70 people each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_faceattr.data.datasets.label_tables import find_tables, read_table, rename_columns
from keras_faceattr.data.datasets.ratings import rated
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import attractiveness_task

CITATION = "Xie, Liang, Jin, Xu, Li: SCUT-FBP: A Benchmark Dataset for Facial Beauty Perception, SMC 2015"
LICENCE = "non-commercial research only"
RATINGS_FOLDER = "Rating_Collection"
COLUMNS = {
    "Image": "number", "Filename": "number",
    "Attractiveness label": "attractiveness", "Standard Deviation": "attractiveness_std",
}  # fmt: skip


def read(root: Path) -> Manifest:
    """Read the official release; there is no official split.

    The mean is that of the table `Attractiveness label`. σ is its column `Standard Deviation`; where it has none, or
    there is no such table, mean and σ (of the raters at hand, not of a larger population) come from `All Ratings`.

    Args:
        root: holds `Data_Collection/SCUT-FBP-<N>.jpg` and `Rating_Collection/` with `Attractiveness label.csv`
            or `.xlsx` (columns Image, Attractiveness label) and, optionally, `All Ratings.csv` or `.xlsx`: a rating
            a row (Image, Rating), or an image a row with a column a rater.

    Raises:
        DataError: there is no table, or it is malformed.
    """
    folder = root / RATINGS_FOLDER
    labels, ratings = find_tables(folder, "Attractiveness*abel.*"), find_tables(folder, "All*Ratings.*")
    if labels:
        rows = _read_named(labels[0], optional=["attractiveness_std"])
        if ratings and "attractiveness_std" not in rows:
            spread = _read_ratings(ratings[0]).set_index("number")["attractiveness_std"]
            rows["attractiveness_std"] = rows["number"].map(spread)
    elif ratings:
        rows = _read_ratings(ratings[0])
    else:
        raise DataError(f"scut_fbp: no 'Attractiveness label.xlsx' or .csv in {folder}; give the release's folder")
    rows["image"] = "Data_Collection/SCUT-FBP-" + rows["number"] + ".jpg"
    columns = [c for c in ("image", "attractiveness", "attractiveness_std", "row") if c in rows]
    return build_manifest(Source("scut_fbp", root, CITATION, LICENCE), rows[columns], [attractiveness_task()])


def _read_named(path: Path, optional: list[str]) -> pd.DataFrame:
    """The table with `number` (of the photo) and the label columns under the manifest's names."""
    table = read_table(path, header_with=("Image", "Filename"))
    table = rename_columns(table, COLUMNS, path, optional)
    number = table["number"].str.extract(r"(\d+)(?:\.0+)?(?:\.\w+)?$", expand=False)
    return table.assign(number=number.fillna(table["number"]))


def _read_ratings(path: Path) -> pd.DataFrame:
    """`number`, mean and σ of each photo's ratings, and the first `row` that it stands in."""
    table = _read_named(path, optional=["attractiveness", "attractiveness_std"])
    names = {"mean": "attractiveness", "std": "attractiveness_std"}
    return rated(table, "number", path).rename(columns=names)
