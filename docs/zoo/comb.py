"""Do predicted ages pile up at the ends of FairFace's bands? `python docs/zoo/comb.py predictions.csv`.

The table is what `keras-faceattr evaluate NET --data utkface=PATH --tta none --out predictions.csv` writes.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from keras_faceattr.data.datasets.fairface import BANDS

NEIGHBOURS, FEWEST = 4, 20
"""Years on either side that a year is compared with, and photos below which a year is passed over."""


def relative(counts: np.ndarray, years: list[int]) -> np.ndarray:
    """Photos of each year, over the mean of its neighbours."""
    found = []
    for year in years:
        around = counts[max(0, year - NEIGHBOURS) : year + NEIGHBOURS + 1]
        if counts[year] > FEWEST:
            found.append(counts[year] * (len(around) - 1) / (around.sum() - counts[year]))
    return np.array(found)


def main(path: str) -> None:
    """Prints the mean and the largest at the ends of bands and, two years or more from any, elsewhere."""
    ages = pd.read_csv(path)["age_predicted"]
    counts, _ = np.histogram(ages, bins=np.arange(-0.5, 101.5))
    # Neither 0 nor 100 lies between two bands.
    ends = sorted(end for band in BANDS for end in band if 0 < end < 100)
    others = [year for year in range(5, 75) if min(abs(year - end) for end in ends) >= 2]
    for name, years in (("ends of bands", ends), ("other years", others)):
        found = relative(counts, years)
        print(f"{name}: {found.mean():.2f} times their neighbours, at most {found.max():.2f} ({len(ages)} photos)")


if __name__ == "__main__":
    main(sys.argv[1])
