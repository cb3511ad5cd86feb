"""One vocabulary for the labels of several data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.manifest import Manifest, Source, build_manifest, concatenate
from keras_faceattr.data.prepare import read_manifest, read_sources
from keras_faceattr.data.relabel import relabelled
from keras_faceattr.errors import ConfigError
from keras_faceattr.tasks import CategoricalTask, ScalarTask, Task

MOOD = CategoricalTask("mood", ("joy", "grief", "calm", "delight"))
AGE = ScalarTask("age", 0, 100, 1)
DRAWN = {"reader": "synthetic", "options": {"count": 20, "size": 32, "seed": 5}}


@pytest.fixture
def manifest(tmp_path: Path, tiny_photos) -> Manifest:
    """Five photos: of each mood one, and one without."""
    rows = pd.DataFrame(
        {
            "image": tiny_photos(tmp_path, 5),
            "mood": ["joy", "grief", "calm", "delight", None],
            "age": [1, 2, 3, 4, 5],
            "race": ["x", "y", None, "x", "y"],
        }
    )
    return build_manifest(Source("mine", tmp_path), rows, [MOOD, AGE])


def labels(manifest: Manifest, column: str) -> list[str | None]:
    return [None if pd.isna(label) else label for label in manifest.rows[column]]


def experiment(sources: list[dict[str, Any]], tasks: dict[str, Any], **data: Any) -> Experiment:
    plain = {"name": "mine", "data": {"sources": sources, "crop": {"size": 16}, **data}, "tasks": tasks}
    return parse_experiment(plain, "test")


def test_labels_get_their_new_names_and_others_stay(manifest: Manifest) -> None:
    renamed = relabelled(manifest, {"mood": {"joy": "happy", "grief": "sad"}})
    assert labels(renamed, "mood") == ["happy", "sad", "calm", "delight", None]
    assert renamed.tasks == {"mood": CategoricalTask("mood", ("happy", "sad", "calm", "delight")), "age": AGE}
    pd.testing.assert_frame_equal(renamed.rows.drop(columns="mood"), manifest.rows.drop(columns="mood"))
    # The manifest that was given is as it was.
    assert labels(manifest, "mood")[0] == "joy" and manifest.tasks["mood"] == MOOD


def test_two_labels_of_one_new_name_become_one_class(manifest: Manifest) -> None:
    renamed = relabelled(manifest, {"mood": {"joy": "happy", "delight": "happy"}})
    assert labels(renamed, "mood") == ["happy", "grief", "calm", "happy", None]
    assert renamed.tasks["mood"] == CategoricalTask("mood", ("happy", "grief", "calm"))


def test_labels_may_swap_their_names(manifest: Manifest) -> None:
    renamed = relabelled(manifest, {"mood": {"joy": "grief", "grief": "joy"}})
    assert labels(renamed, "mood") == ["grief", "joy", "calm", "delight", None]
    assert renamed.tasks["mood"] == CategoricalTask("mood", ("grief", "joy", "calm", "delight"))


def test_null_takes_the_label_away_and_leaves_the_photo_with_its_other_labels(manifest: Manifest) -> None:
    renamed = relabelled(manifest, {"mood": {"calm": None}})
    assert labels(renamed, "mood") == ["joy", "grief", None, "delight", None]
    assert renamed.tasks["mood"] == CategoricalTask("mood", ("joy", "grief", "delight"))
    assert renamed.rows["age"].tolist() == [1, 2, 3, 4, 5]


def test_a_group_column_is_renamed_too(manifest: Manifest) -> None:
    renamed = relabelled(manifest, {"race": {"x": "one", "y": None}})
    assert labels(renamed, "race") == ["one", None, None, "one", None]
    assert renamed.tasks == manifest.tasks


def test_no_names_change_nothing(manifest: Manifest) -> None:
    same = relabelled(manifest, {})
    pd.testing.assert_frame_equal(same.rows, manifest.rows)
    assert same.tasks == manifest.tasks


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ({"moood": {"joy": "happy"}}, r"mine: no classes to rename in 'moood'; did you mean 'mood'\? valid: mood"),
        ({"age": {"1": "2"}}, "mine: no classes to rename in 'age'; valid: mood"),
        (
            {"mood": {"joi": "happy"}},
            r"mine: mood has no label 'joi'; did you mean 'joy'\? valid: calm, delight, grief, joy",
        ),
        ({"race": {"z": "one"}}, "mine: race has no label 'z'; valid: x, y"),
        ({"mood": dict.fromkeys(("joy", "grief", "calm"))}, "needs two or more different classes"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(manifest: Manifest, names: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as error:
        relabelled(manifest, names)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("column", "name"), [("source", "mine"), ("image", "0.png")])
def test_columns_that_are_no_labels_are_refused(manifest: Manifest, column: str, name: str) -> None:
    with pytest.raises(ConfigError, match="no classes to rename"):
        relabelled(manifest, {column: {name: "other"}})


def test_two_manifests_agree_once_they_are_renamed(manifest: Manifest) -> None:
    other: list[Task] = [CategoricalTask("mood", ("happy", "sad"))]
    rows = pd.DataFrame({"image": ["0.png", "1.png"], "mood": ["happy", "sad"]})
    second = build_manifest(Source("other", manifest.sources["mine"].root), rows, other)
    names = {"joy": "happy", "delight": "happy", "grief": "sad", "calm": None}
    both = concatenate([relabelled(manifest, {"mood": names}), second])
    assert both.tasks["mood"] == CategoricalTask("mood", ("happy", "sad"))
    assert labels(both, "mood") == ["happy", "sad", None, "happy", None, "happy", "sad"]


def test_an_experiments_sources_are_renamed_before_they_are_joined(tmp_path: Path, tiny_csv) -> None:
    # `gender` is no task of this csv, but a group that `synthetic` knows as a task.
    path = tiny_csv(tmp_path, 4, beauty=[1, 2, 3, 4], gender=["F", "M", "F", "?"], split=["train"] * 3 + ["test"])
    own = {"reader": "csv_file", "path": str(path), "labels": {"gender": {"F": "female", "M": "male", "?": None}}}
    beauty = {"kind": "scalar", "minimum": 0, "maximum": 10, "step": 1}
    manifest = read_sources(experiment([own, DRAWN], {"beauty": beauty, "gender": {}}))
    assert labels(manifest, "gender")[:4] == ["female", "male", "female", None]
    assert set(labels(manifest, "gender")[4:]) == {"female", "male"}
    assert manifest.tasks["gender"].classes == ("female", "male")


def test_a_label_without_a_name_takes_the_photo_out_of_training_on_it_alone() -> None:
    drawn = {**DRAWN, "options": {"count": 40, "size": 32, "seed": 5}}
    kept, tasks = read_manifest(experiment([{**drawn, "labels": {"race": {"Asian": None}}}], {"race": {}}))
    whole, _ = read_manifest(experiment([drawn], {"race": {}}))
    asian = whole.rows["race"] == "Asian"
    assert asian.any() and not asian.all()
    assert kept.rows["image"].tolist() == whole.rows["image"][~asian].tolist()
    assert tasks["race"].classes == ("Black", "Caucasian", "Indian")


def test_a_csv_is_renamed_to_the_classes_that_the_config_gives(tmp_path: Path, tiny_csv) -> None:
    path = tiny_csv(tmp_path, 4, gender=["F", "M", "F", "M"], split=["train", "train", "test", "test"])
    source = {"reader": "csv_file", "path": str(path), "labels": {"gender": {"F": "female", "M": "male"}}}
    gender = {"kind": "categorical", "classes": ["female", "male"]}
    manifest, tasks = read_manifest(experiment([source], {"gender": gender}, split={"validation": 0}))
    assert labels(manifest, "gender") == ["female", "male", "female", "male"]
    assert tasks["gender"].classes == ("female", "male")
