"""People as numbers: those to learn from first, each of their own data set, and nobody is nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.manifest import Manifest, Source
from keras_faceattr.data.prepare import prepare, read_manifest
from keras_faceattr.data.targets import label_array, labelled, people, person_numbers
from keras_faceattr.errors import ConfigError
from keras_faceattr.tasks import BinaryTask, EmbeddingTask, IdentityTask, MultilabelTask, ScalarTask

NAN = np.nan
SPLITS = ("train", "val", "test")


def manifest(*rows: tuple[str, str | None, str]) -> Manifest:
    """Photos of (source, person, split)."""
    table = pd.DataFrame(rows, columns=["source", "identity", "split"]).astype("string")
    table.insert(1, "image", [f"{i}.png" for i in range(len(rows))])
    return Manifest(table, {}, {name: Source(name, Path()) for name in table["source"].unique()})


def photos_of(folder: Path, **counts: int) -> Path:
    """A folder a person, no two photos alike."""
    number = 0
    for person, count in counts.items():
        (folder / person).mkdir(parents=True)
        for i in range(count):
            number += 1
            cv2.imwrite(str(folder / person / f"{i}.png"), np.full((20, 20, 3), number, np.uint8))
    return folder


def experiment(sources: list[dict[str, Any]], **data: Any) -> Experiment:
    section = {"sources": sources, "crop": {"size": 16}, **data}
    return parse_experiment({"name": "mine", "data": section, "tasks": {"who": {"kind": "identity"}}}, "test")


def test_people_in_training_come_first_by_name_and_others_after_them() -> None:
    photos = manifest(
        ("s", "eve", "test"), ("s", "bob", "train"), ("s", "ann", "val"), ("s", "cyd", "train"), ("s", "bob", "train")
    )  # fmt: skip
    assert people(photos).tolist() == ["s/bob", "s/cyd"]
    assert person_numbers(photos).tolist() == [3, 0, 2, 1, 0]


def test_a_person_of_train_and_test_has_the_number_of_training() -> None:
    photos = manifest(("s", "zoe", "test"), ("s", "zoe", "train"), ("s", "ann", "test"))
    assert person_numbers(photos).tolist() == [0, 0, 1]


def test_person_1_of_one_data_set_is_not_person_1_of_another() -> None:
    photos = manifest(("b", "1", "train"), ("a", "1", "train"), ("b", "1", "train"), ("a", "2", "test"))
    assert people(photos).tolist() == ["a/1", "b/1"]
    assert person_numbers(photos).tolist() == [1, 0, 1, 2]


def test_nobody_known_is_no_number() -> None:
    photos = manifest(("s", None, "train"), ("s", "ann", "train"), ("t", None, "test"))
    assert people(photos).tolist() == ["s/ann"]
    numbers = person_numbers(photos)
    assert numbers.dtype == np.float32
    np.testing.assert_array_equal(numbers, [NAN, 0, NAN])
    labels = label_array(photos, IdentityTask("who"))
    np.testing.assert_array_equal(labels, [[NAN], [0], [NAN]])
    assert labelled(IdentityTask("who"), labels).tolist() == [False, True, False]


def test_photos_without_training_are_numbered_from_0() -> None:
    photos = manifest(("s", "bob", "test"), ("s", "ann", "test"), ("s", "bob", "test"))
    assert people(photos).tolist() == []
    assert person_numbers(photos).tolist() == [1, 0, 1]


def test_the_teacher_alone_knows_the_labels_of_an_embedding() -> None:
    labels = label_array(manifest(("s", "ann", "train"), ("s", "bob", "test")), EmbeddingTask("e", 3))
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.full((2, 3), NAN))


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        (ScalarTask("age", 0, 100, 1), [[4, 2], [NAN, 2]], [True, False]),
        (BinaryTask("smile"), [[0], [NAN]], [True, False]),
        (MultilabelTask("worn", ("hat", "tie")), [[NAN, 0], [NAN, NAN], [1, 1]], [True, False, True]),
        (EmbeddingTask("e", 2), [[0.5, 0.5], [NAN, NAN]], [True, False]),
    ],
)
def test_a_photo_with_any_label_is_labelled(task, labels: list[list[float]], expected: list[bool]) -> None:
    assert labelled(task, np.array(labels, "float32")).tolist() == expected


def test_a_stratified_split_never_trains_on_people_that_it_tests(tmp_path: Path) -> None:
    folder = photos_of(tmp_path, **{f"person {i}": 1 + i % 4 for i in range(20)})
    source = {"reader": "identity_folders", "path": str(folder)}
    plan = {"method": "stratified", "test": 0.3, "validation": 0.2}
    data = prepare(experiment([source], split=plan), SPLITS)
    rows = data.manifest.rows
    names = {split: set(rows["identity"][rows["split"] == split]) for split in SPLITS}
    assert len(rows) == 50 and all(names.values())
    assert len(set.union(*names.values())) == sum(map(len, names.values())) == 20
    count = len(names["train"])
    assert data.tasks["who"] == IdentityTask("who", people=count)
    numbers = {split: set(data.parts[split].labels["who"][:, 0]) for split in SPLITS}
    assert numbers["train"] == set(range(count))
    assert numbers["val"] | numbers["test"] == set(range(count, 20))
    # Every photo of a person has that person's number.
    by_person = pd.DataFrame({"name": rows["identity"], "number": person_numbers(data.manifest)})
    assert (by_person.groupby("name")["number"].nunique() == 1).all()


def test_people_are_counted_alike_whichever_splits_are_wanted(tmp_path: Path) -> None:
    folder = photos_of(tmp_path, **{f"person {i}": 2 for i in range(10)})
    source = {"reader": "identity_folders", "path": str(folder)}
    config = experiment([source], split={"method": "stratified", "test": 0.2, "validation": 0})
    assert [prepare(config, (split,)).tasks["who"].people for split in ("train", "test")] == [8, 8]


def test_people_of_two_sources_are_counted_together_and_each_in_its_own(tmp_path: Path, tiny_csv) -> None:
    folder = photos_of(tmp_path / "folders", ann=2, bob=2, cyd=2)
    split = ["train"] * 3 + ["test"] * 2
    # This ann is another one, and a photo of nobody known teaches nothing about people.
    path = tiny_csv(tmp_path / "own", 5, identity=["ann", "dee", None, "eve", "eve"], split=split)
    sources = [
        {"reader": "identity_folders", "path": str(folder), "split": {"method": "stratified", "validation": 0}},
        {"reader": "csv_file", "path": str(path), "split": {"method": "given", "validation": 0}},
    ]
    found, tasks = read_manifest(experiment(sources, max_bad_share=0.2))
    assert "2.png" not in found.rows["image"].tolist()
    # Two of the three folders, as one is the test share; ann and dee of the csv.
    assert tasks["who"].people == len(people(found)) == 4
    assert [name for name in people(found) if name.startswith("csv_file")] == ["csv_file/ann", "csv_file/dee"]


def test_data_that_does_not_say_who_it_is_cannot_teach_it() -> None:
    drawn = {"reader": "synthetic", "options": {"count": 20, "size": 32, "seed": 5}}
    with pytest.raises(ConfigError, match=r"tasks\.who: .* needs a column identity") as error:
        read_manifest(experiment([drawn]))
    assert "\n" not in str(error.value)
