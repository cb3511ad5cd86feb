"""Errors that people read: one family, and hints with the nearest valid word."""

from __future__ import annotations

import inspect

import pytest

from keras_faceattr import errors
from keras_faceattr.errors import FaceAttrError, nearest

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]


def test_every_error_of_the_package_is_caught_as_one() -> None:
    assert {c.__name__ for c in CLASSES} >= {
        "ConfigError", "DataError", "PhotoError", "ModelError", "RunError", "TrainingError",
    }  # fmt: skip
    for error in CLASSES:
        assert issubclass(error, FaceAttrError)
        assert not issubclass(error, OSError | ValueError)


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_reads_as_its_line_alone(error: type[FaceAttrError]) -> None:
    assert str(error("photos.csv, row 3: no such photo")) == "photos.csv, row 3: no such photo"


def test_a_misspelt_word_gets_the_nearest_valid_one_and_all_of_them() -> None:
    assert nearest("dldl_v3", ["ranking", "dldl_v2", "mr_l1"]) == (
        "did you mean 'dldl_v2'? valid: dldl_v2, mr_l1, ranking"
    )


def test_a_word_like_no_other_gets_the_list_alone() -> None:
    assert nearest("zzz", ["b", "a"]) == "valid: a, b"


def test_only_the_single_nearest_word_is_offered() -> None:
    assert nearest("tiny_at_net", ["tiny_att_net", "tiny_age_net"]).startswith("did you mean 'tiny_att_net'? valid:")


@pytest.mark.parametrize(
    "valid", [{"b": 1, "a": 2}, ("b", "a"), {"a", "b"}, iter("ba")], ids=lambda v: type(v).__name__
)
def test_valid_words_may_come_from_any_collection(valid) -> None:
    assert nearest("q", valid) == "valid: a, b"
