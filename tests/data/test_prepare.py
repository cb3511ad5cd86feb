"""From a configuration to crops and labels of each split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.prepare import as_trained, prepare, read_manifest, source_path
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.evaluation.protocol import measure
from keras_faceattr.tasks import CategoricalTask, IdentityTask, MultilabelTask, ScalarTask, Task

SPLIT = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
BEAUTY = {"kind": "scalar", "minimum": 0, "maximum": 10, "step": 0.5, "unit": "points"}


def experiment(
    path: Path | None,
    tasks: dict[str, Any],
    reader: str = "csv_file",
    options: dict[str, Any] | None = None,
    **data: Any,
) -> Experiment:
    source = {"reader": reader, "path": path and str(path), "options": options or {}}
    plain = {"name": "mine", "data": {"sources": [source], "crop": {"size": 16}, **data}, "tasks": tasks}
    return parse_experiment(plain, "test")


def drawn_faces(**tasks: dict[str, Any]) -> Experiment:
    return experiment(None, tasks, "synthetic", {"count": 20, "size": 32, "seed": 5})


def test_a_csv_with_a_scalar_of_ones_own_becomes_crops_and_labels(tmp_path: Path, tiny_csv) -> None:
    path = tiny_csv(tmp_path, 10, beauty=[i / 2 for i in range(10)], split=SPLIT)
    data = prepare(experiment(path, {"beauty": BEAUTY}), ("train", "val", "test"))
    # Without deviations of its own, twice the step; tolerances are one and five steps.
    assert data.tasks == {"beauty": ScalarTask("beauty", 0.0, 10.0, 0.5, "points", 1.0, (0.5, 2.5))}
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 6, "val": 2, "test": 2}
    for name, expected in (("train", range(6)), ("val", range(6, 8)), ("test", range(8, 10))):
        part = data.parts[name]
        # tiny_photos: the first channel of photo i is i.
        assert part.crops.take(part.rows)[:, 0, 0, 0].tolist() == list(expected)
        np.testing.assert_array_equal(part.labels["beauty"], [[i / 2, 1.0] for i in expected])


def test_only_the_wanted_splits_are_decoded(tmp_path: Path, tiny_csv) -> None:
    path = tiny_csv(tmp_path, 10, beauty=range(10), split=SPLIT)
    data = prepare(experiment(path, {"beauty": BEAUTY}), ("test",))
    assert list(data.parts) == ["test"]
    assert len(data.parts["test"].crops) == 2


def test_the_config_overrides_what_the_reader_says_of_a_task() -> None:
    _, tasks = read_manifest(drawn_faces(age={"step": 2, "default_std": 5, "tolerances": [3]}))
    assert tasks == {"age": ScalarTask("age", 0.0, 100.0, 2.0, "years", 5.0, (3.0,))}


def test_a_reader_defines_the_tasks_that_the_config_only_names() -> None:
    manifest, tasks = read_manifest(drawn_faces(gender={}, age={}))
    assert list(tasks) == ["gender", "age"]
    assert tasks["gender"] == CategoricalTask("gender", ("female", "male"))
    assert len(manifest) == 20


def test_a_label_that_the_data_lacks_is_named_with_the_nearest(tmp_path: Path, tiny_csv) -> None:
    with pytest.raises(ConfigError, match="task 'agee': the data has no such label; did you mean 'age'"):
        read_manifest(drawn_faces(agee={}))
    with pytest.raises(DataError, match="no column 'beauty'"):
        read_manifest(experiment(tiny_csv(tmp_path, 3, points=[1, 2, 3]), {"beauty": BEAUTY}))


def test_labels_outside_an_overridden_range_are_not_learned() -> None:
    experiment = drawn_faces(age={"maximum": 30})
    experiment = experiment.model_copy(update={"data": experiment.data.model_copy(update={"max_bad_share": 1.0})})
    manifest, _ = read_manifest(experiment)
    assert manifest.rows["age"].max() <= 30


def test_more_bad_rows_than_allowed_are_refused_with_the_first(tmp_path: Path, tiny_csv) -> None:
    path = tiny_csv(tmp_path, 10, beauty=[*range(9), 99], split=SPLIT)
    with pytest.raises(DataError, match=r"1 of 10 .*: 9\.png, row 11: beauty 99 is not in 0 to 10") as error:
        read_manifest(experiment(path, {"beauty": BEAUTY}))
    assert "\n" not in str(error.value)
    manifest, _ = read_manifest(experiment(path, {"beauty": BEAUTY}, max_bad_share=0.1))
    assert len(manifest) == 9


def test_photos_that_cannot_be_decoded_are_put_aside_with_their_labels(tmp_path: Path, tiny_csv) -> None:
    path = tiny_csv(tmp_path, 10, beauty=range(10), split=SPLIT)
    (tmp_path / "2.png").write_text("no photo")
    data = prepare(experiment(path, {"beauty": BEAUTY}, max_bad_share=0.125), ("train", "val"))
    assert data.manifest.quarantine["image"].tolist() == ["2.png"]
    train = data.parts["train"]
    assert train.labels["beauty"][:, 0].tolist() == [0, 1, 3, 4, 5]
    assert train.crops.take(train.rows)[:, 0, 0, 0].tolist() == [0, 1, 3, 4, 5]
    assert data.parts["val"].labels["beauty"][:, 0].tolist() == [6, 7]


def test_photos_without_a_label_of_the_learned_tasks_are_left_out(tmp_path: Path, tiny_csv) -> None:
    beauty = [1, None, 3, 4, 5, 6, 7, 8, 9, 10]
    path = tiny_csv(tmp_path, 10, beauty=beauty, smile=[1] * 10, split=SPLIT)
    tasks = {"beauty": BEAUTY, "smile": {"kind": "binary"}}
    manifest, _ = read_manifest(experiment(path, tasks))
    assert len(manifest) == 10
    manifest, _ = read_manifest(experiment(path, {"beauty": BEAUTY}, max_bad_share=0.1))
    assert "1.png" not in manifest.rows["image"].tolist()


def test_a_wanted_split_without_rows_is_refused(tmp_path: Path, tiny_csv) -> None:
    path = tiny_csv(tmp_path, 10, beauty=range(10), split=["test"] * 10)
    with pytest.raises(DataError, match="no train rows"):
        prepare(experiment(path, {"beauty": BEAUTY}), ("train",))


def test_the_first_of_several_splits_must_have_rows(tmp_path: Path, tiny_csv) -> None:
    path = tiny_csv(tmp_path, 10, beauty=range(10), split=["test"] * 10)
    with pytest.raises(DataError, match="no train rows"):
        prepare(experiment(path, {"beauty": BEAUTY}), ("train", "val", "test"))


def test_two_sources_are_learned_together(tmp_path: Path, tiny_csv) -> None:
    path = tiny_csv(tmp_path, 10, age=range(10), split=SPLIT)
    age = {"kind": "scalar", "minimum": 0, "maximum": 100, "step": 1, "unit": "years", "tolerances": [5, 10]}
    sources = [
        {"reader": "csv_file", "path": str(path)},
        {"reader": "synthetic", "options": {"count": 20, "size": 32, "seed": 5}},
    ]
    plain = {"name": "mine", "data": {"sources": sources, "crop": {"size": 16}}, "tasks": {"age": age}}
    data = prepare(parse_experiment(plain, "test"), ("train", "val", "test"))
    # 20 drawn faces are 14, 2 and 4.
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 20, "val": 4, "test": 6}


def test_the_usual_folder_is_found_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_FACEATTR_DATA", str(tmp_path))
    assert source_path("utkface", None) is None
    (tmp_path / "utkface").mkdir()
    assert source_path("utkface", None) == tmp_path / "utkface"
    assert source_path("utkface", "/other") == Path("/other")
    assert source_path("csv_file", None) is None
    assert source_path("utkface", "~/faces") == Path.home() / "faces"


MOOD = {"kind": "categorical", "classes": ["calm", "glad"]}


def test_labels_follow_the_order_of_the_classes_that_a_model_has_learned(tmp_path: Path, tiny_csv) -> None:
    moods = ["calm", "glad"] * 5
    own = experiment(tiny_csv(tmp_path, 10, mood=moods, split=SPLIT), {"mood": MOOD})
    learned = CategoricalTask("mood", ("glad", "sad", "calm"))
    data = prepare(own, ("test",), trained={"mood": learned})
    assert data.tasks == {"mood": learned}
    assert data.parts["test"].labels["mood"][:, 0].tolist() == [2.0, 0.0]

    def right(images: np.ndarray) -> dict[str, np.ndarray]:
        # tiny_photos: the first channel of photo i is i; even photos are calm.
        return {"mood": np.eye(3)[[0 if int(image[0, 0, 0]) % 2 else 2 for image in images]].astype("float32")}

    assert (
        measure(right, own, {"mood": learned}, tta="none").results["tasks"]["mood"]["metrics"]["accuracy"]["value"] == 1
    )


@pytest.mark.parametrize(
    ("found", "trained", "words"),
    [
        (CategoricalTask("t", ("a", "b", "c")), CategoricalTask("t", ("a", "b")), "differ: c"),
        (MultilabelTask("t", ("a", "b")), MultilabelTask("t", ("a", "b", "c")), "differ: c"),
        (MultilabelTask("t", ("a", "b")), MultilabelTask("t", ("a",)), "differ: b"),
        (ScalarTask("t", 0, 10, 1), ScalarTask("t", 1, 10, 1), "differ: minimum 0, not 1"),
        (ScalarTask("t", 0, 10, 1, "years"), ScalarTask("t", 0, 10, 1, "points"), "differ: unit years, not points"),
        (CategoricalTask("t", ("a", "b")), ScalarTask("t", 0, 1, 1), "differ: kind categorical, not scalar"),
    ],
)
def test_data_that_means_something_else_than_the_model_is_refused(found: Task, trained: Task, words: str) -> None:
    with pytest.raises(DataError, match=f"t: the data and what the model has learned {words}"):
        as_trained(found, trained)


def test_attributes_in_another_order_and_fewer_classes_are_the_models() -> None:
    one, other = MultilabelTask("t", ("a", "b")), MultilabelTask("t", ("b", "a"))
    assert as_trained(one, other) is other
    fewer, more = CategoricalTask("t", ("b", "a")), CategoricalTask("t", ("a", "b", "c"))
    assert as_trained(fewer, more) is more
    # People of another set and vectors of another teacher are no outputs of a head.
    assert as_trained(IdentityTask("p", 8, 3), IdentityTask("p", 8, 5)).people == 3
