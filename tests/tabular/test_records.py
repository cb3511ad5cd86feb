"""The embedded records: the same from the same seed, in range, and shaped as their documentation says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.tabular.records import RECORD_COLUMNS, RECORD_TARGET, lecture_records


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return lecture_records(4000, seed=3)


def test_the_same_seed_gives_the_same_records_and_another_one_others(records: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(lecture_records(4000, seed=3), records)
    assert (lecture_records(4000, seed=4)[RECORD_TARGET] != records[RECORD_TARGET]).mean() > 0.9


def test_the_columns_are_the_15_documented_ones_and_the_score(records: pd.DataFrame) -> None:
    assert len(RECORD_COLUMNS) == 15
    assert list(records) == [*RECORD_COLUMNS, RECORD_TARGET]


def test_counts_are_whole_numbers_that_are_not_negative(records: pd.DataFrame) -> None:
    counts = records.drop(columns=["reply_share", RECORD_TARGET])
    assert (counts >= 0).all(axis=None)
    assert (counts == counts.round()).all(axis=None)
    assert set(records["speaker_verified"]) == {0, 1}
    assert records["reply_share"].between(0, 1).all()


def test_nobody_rates_without_a_seat_but_in_the_smallest_rooms(records: pd.DataFrame) -> None:
    rooms = records[records["seats_taken"] >= 3]
    assert len(rooms) > 3900
    assert (rooms["reviews"] <= rooms["seats_taken"]).all()


def test_scores_crowd_near_the_top_with_a_tail_below(records: pd.DataFrame) -> None:
    score = records[RECORD_TARGET]
    assert score.between(0, 5).all()
    assert 4.2 < score.median() < 4.7
    assert score.skew() < -0.8
    # A wall at the best score would be another problem, a censored one.
    assert (score == 5).mean() < 0.03


def test_the_score_is_no_sum_of_columns(records: pd.DataFrame) -> None:
    """A tree ensemble finds much that a plane cannot hold."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    x, y = records[list(RECORD_COLUMNS)].to_numpy(), records[RECORD_TARGET].to_numpy()
    errors = [
        np.square(model.fit(x[:3000], y[:3000]).predict(x[3000:]) - y[3000:]).mean()
        for model in (LinearRegression(), HistGradientBoostingRegressor(max_iter=60, random_state=0))
    ]
    assert errors[1] < 0.75 * errors[0] < 0.75 * y[3000:].var()
