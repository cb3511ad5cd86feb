"""Groups in a sidecar: with intervals in both readings, and as older files have them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from keras_faceattr.artifact.measurements import TaskMetrics

NUMBER = {"value": 2.0, "low": 1.5, "high": 2.5}
TASK: dict[str, Any] = {"kind": "scalar", "unit": "years", "labelled": 30, "metrics": {"mae": NUMBER}, "groups": {}}


def groups(number: Any) -> dict[str, Any]:
    return {"gender": {"female": {"labelled": 20, "metrics": {"mae": number}}, "male": {"labelled": 3}}}


@pytest.mark.parametrize(
    "found",
    [
        {"groups": groups(NUMBER), "predicted_groups": groups(NUMBER)},
        {"groups": groups(NUMBER)},
        {"groups": groups(0.57)},
        {"groups": groups(None)},
        {"attributes": {"hat": {"labelled": 3}, "scarf": {"labelled": 9, "metrics": {"accuracy": NUMBER}}}},
        {"attributes": {"hat": 0.5}},
        {"worst_groups": {"mae": {**NUMBER, "column": "gender", "group": "female", "labelled": 200, "among": 2}}},
        {"readings": {"five": {"classes": ["a", "b"], "metrics": {"accuracy": NUMBER}}}},
    ],
    ids=[
        "both readings",
        "one reading",
        "older",
        "older, no number",
        "attributes",
        "attributes of older files",
        "worst",
        "readings",
    ],
)
def test_groups_with_intervals_and_of_older_files_are_read_as_they_stand(found: dict[str, Any]) -> None:
    assert TypeAdapter(TaskMetrics).validate_python(TASK | found) == TASK | found


@pytest.mark.parametrize("reading", ["groups", "predicted_groups"])
@pytest.mark.parametrize("number", ["2.0", {"value": 2.0}, [1, 2, 3]])
def test_a_groups_number_of_another_shape_is_refused_in_either_reading(reading: str, number: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(TaskMetrics).validate_python(TASK | {reading: groups(number)})
