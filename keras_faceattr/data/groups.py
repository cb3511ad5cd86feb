"""Groups of photos by which results are reported apart: gender, race, bands of age, and where photos come from."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.targets import label_forms
from keras_faceattr.tasks import ScalarTask, Task

AGE = "age"
AGE_STARTS = (0, 3, 10, 20, 30, 40, 50, 60, 70)
AGE_BANDS = ("0–2", "3–9", "10–19", "20–29", "30–39", "40–49", "50–59", "60–69", "70+")
"""Bands of completed years, so that 9.6 lies in 3–9. Their bounds are those of FairFace."""

BAND = re.compile(r"(\d+)(?:[–-]\d+|\+)$")


def is_age(task: Task | None) -> bool:
    """Return whether a task is an age in years."""
    return isinstance(task, ScalarTask) and task.name == AGE and task.unit in ("", "years")


def age_bands(ages: pd.Series) -> pd.Series:
    """(n,) band of each age in years; text that is no number, such as the band of a data set, stays as it is."""
    years = pd.to_numeric(ages, errors="coerce").astype("float64")
    bands = ages.astype("string").where(years.isna())
    known = (years >= 0).to_numpy()
    bands[known] = np.array(AGE_BANDS, object)[np.searchsorted(AGE_STARTS, years[known], side="right") - 1]
    return bands


def group_columns(manifest: Manifest) -> dict[str, pd.Series]:
    """Group of each photo by column; missing where it is unknown. Columns with a single group are left out."""
    columns = {name: manifest.rows[name].astype("string") for name in manifest.groups}
    task = manifest.tasks.get(AGE)
    if AGE in manifest.rows and (is_age(task) or not isinstance(task, ScalarTask)):
        columns[AGE] = age_bands(manifest.rows[AGE])
        if isinstance(task, ScalarTask) and "interval" in label_forms(manifest, task):
            low, high = (age_bands(manifest.rows[column]) for column in task.interval_columns)
            # An interval that reaches into two bands is in neither.
            columns[AGE] = columns[AGE].fillna(low.where((low == high).fillna(False)))
    return {name: groups for name, groups in columns.items() if groups.nunique() > 1}


def group_members(groups: pd.Series) -> dict[str, np.ndarray]:
    """Members of each group that occurs: (n,) bool by group, bands by age and others by name."""
    starts = {group: BAND.match(group) for group in groups.dropna().unique()}
    found = sorted(starts, key=lambda group: (int(start[1]) if (start := starts[group]) else -1, group))
    return {str(group): (groups == group).to_numpy(bool, na_value=False) for group in found}
