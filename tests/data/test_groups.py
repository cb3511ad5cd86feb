"""Groups of photos: which column gives them, and the bands of age."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.data.groups import AGE_BANDS, age_bands, group_columns, group_members
from keras_faceattr.data.manifest import Manifest, Source
from keras_faceattr.tasks import CategoricalTask, ScalarTask, Task, age_task


def manifest(task: Task | None = None, **columns: object) -> Manifest:
    rows = pd.DataFrame(columns)
    rows.insert(0, "source", "s")
    return Manifest(rows, {task.name: task} if task else {}, {"s": Source("s", Path())})


@pytest.mark.parametrize(
    ("age", "band"),
    [(0, "0–2"), (2.99, "0–2"), (3, "3–9"), (9.5, "3–9"), (10, "10–19"), (19, "10–19"), (20, "20–29"), (39, "30–39"),
     (40, "40–49"), (59.9, "50–59"), (60, "60–69"), (70, "70+"), (116, "70+")],
)  # fmt: skip
def test_an_age_lies_in_the_band_of_its_completed_years(age: float, band: str) -> None:
    assert age_bands(pd.Series([age])).tolist() == [band]


def test_an_unknown_age_has_no_band_and_the_band_of_a_data_set_stays() -> None:
    assert age_bands(pd.Series([np.nan, 8.0])).isna().tolist() == [True, False]
    texts = pd.Series(["20-29", "8", None, "more than 70"], dtype="string")
    assert age_bands(texts).fillna("-").tolist() == ["20-29", "3–9", "-", "more than 70"]


def test_bands_come_by_age_and_other_groups_by_name() -> None:
    members = group_members(age_bands(pd.Series([75.0, 12.0, 4.0, 12.0, np.nan])))
    assert list(members) == ["3–9", "10–19", "70+"]
    assert members["10–19"].tolist() == [False, True, False, True, False]
    assert list(group_members(pd.Series(["b", None, "a"], dtype="string"))) == ["a", "b"]
    assert len(AGE_BANDS) == 9


@pytest.mark.parametrize(
    ("task", "ages", "grouped"),
    [
        (age_task(), [5.0, 50.0], True),
        (None, [5.0, 50.0], True),
        (CategoricalTask("age", ("young", "old")), ["young", "old"], True),
        (ScalarTask("age", 0, 300, 1, "months"), [5.0, 50.0], False),
        (age_task(), [51.0, 50.0], False),
    ],
    ids=["years", "not learned", "classes", "months", "one band"],
)
def test_photos_are_grouped_by_age_wherever_it_is_known_in_years(task: Task | None, ages: list, grouped: bool) -> None:
    assert list(group_columns(manifest(task, age=ages))) == (["age"] if grouped else [])
