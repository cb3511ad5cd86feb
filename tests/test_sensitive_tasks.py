"""Sensitive tasks: marked by the config, answered only where they are named, and otherwise tasks like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import load_experiment, parse_experiment
from keras_faceattr.data.aligned_folder import AlignedSet, read_aligned_set, write_aligned_set
from keras_faceattr.data.manifest import concatenate
from keras_faceattr.data.prepare import read_manifest, read_sources
from keras_faceattr.errors import ConfigError
from keras_faceattr.evaluation.model_card import notices_of
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.run import Run
from keras_faceattr.tasks import (
    BinaryTask,
    CategoricalTask,
    EmbeddingTask,
    IdentityTask,
    MultilabelTask,
    ScalarTask,
    Task,
    answered,
    meaning_of,
    task_from_dict,
    task_to_dict,
)

EVERY_KIND: list[Task] = [
    ScalarTask("yaw", -90.0, 90.0, 3.0),
    BinaryTask("smile"),
    CategoricalTask("mood", ("calm", "angry")),
    MultilabelTask("worn", ("hat", "scarf")),
    IdentityTask("person", 16, 3),
    EmbeddingTask("teacher", 16),
]
KIND = pytest.mark.parametrize("task", EVERY_KIND, ids=lambda task: task.kind)

AGE, SMILE = ScalarTask("age", 0, 100, 1), BinaryTask("smile")
RACE = CategoricalTask("race", ("one", "other"), sensitive=True)
NET = {"age": AGE, "race": RACE, "smile": SMILE}
DRAWN = {"reader": "synthetic", "options": {"count": 20, "size": 32}}


def drawn_faces(**tasks: dict[str, object]) -> Experiment:
    data = {"sources": [DRAWN], "crop": {"size": 16}}
    return parse_experiment({"name": "mine", "data": data, "tasks": tasks}, "test")


@KIND
def test_a_task_of_every_kind_keeps_the_mark_in_its_plain_form_and_has_none_by_default(task: Task) -> None:
    marked = replace(task, sensitive=True)
    assert not task.sensitive and task_from_dict(task_to_dict(marked)) == marked != task


@KIND
def test_a_task_of_an_older_run_or_file_is_not_sensitive(task: Task) -> None:
    older = {key: value for key, value in task_to_dict(task).items() if key != "sensitive"}
    assert len(older) == len(task_to_dict(task)) - 1 and task_from_dict(older) == task


@KIND
def test_the_mark_changes_nothing_of_what_outputs_stand_for(task: Task) -> None:
    assert meaning_of(replace(task, sensitive=True)) == meaning_of(task)


@pytest.mark.parametrize("mark", ["no", 1, None, "true"])
def test_a_mark_that_is_neither_true_nor_false_is_refused(mark: object) -> None:
    with pytest.raises(ConfigError, match=r"task 'x' \(binary\): sensitive is .*, not true or false"):
        task_from_dict({"kind": "binary", "name": "x", "sensitive": mark})


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ([], ["age", "smile"]),
        (["race"], ["race"]),
        (["smile", "age"], ["age", "smile"]),
        (["race", "age", "race"], ["age", "race"]),
    ],
)
def test_named_tasks_are_answered_or_else_all_but_the_sensitive_ones(named: Sequence[str], expected: list[str]) -> None:
    assert list(answered(NET, named)) == expected


def test_what_one_of_several_nets_marks_is_sensitive_for_their_mean() -> None:
    unmarked = {**NET, "race": replace(RACE, sensitive=False)}
    assert list(answered(unmarked)) == ["age", "race", "smile"]
    assert list(answered(unmarked, [], [unmarked, NET])) == ["age", "smile"]
    assert list(answered(unmarked, ["race"], [NET])) == ["race"]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="the net has no task 'rase'; did you mean 'race'"):
        answered(NET, ["age", "rase"])


def test_a_net_of_sensitive_tasks_alone_says_how_to_ask() -> None:
    with pytest.raises(ConfigError, match="race: sensitive, and answered only where named; .* --task race"):
        answered({"race": RACE})


def test_the_config_marks_a_task_that_the_reader_defines() -> None:
    manifest, tasks = read_manifest(drawn_faces(race={"sensitive": True}, gender={}, age={"sensitive": False}))
    assert {name: task.sensitive for name, task in tasks.items()} == {"race": True, "gender": False, "age": False}
    plain, _ = read_manifest(drawn_faces(race={}, gender={}, age={}))
    assert len(manifest.quarantine) == len(plain.quarantine) == 0 and manifest.rows.equals(plain.rows)


def test_race_of_the_shipped_net_is_sensitive_and_nothing_else() -> None:
    marks = {name: task.sensitive for name, task in load_experiment("faces").tasks.items()}
    assert marks.pop("race") is True and set(marks.values()) == {None}


def test_a_run_written_before_there_were_sensitive_tasks_is_read(tmp_path: Path) -> None:
    run, experiment = Run(tmp_path), drawn_faces(race={}, age={})
    run.write_config(experiment, {"race": replace(RACE, sensitive=False), "age": AGE})
    for path, tasks in ((run.tasks_path, lambda plain: plain), (run.config_path, lambda plain: plain["tasks"])):
        plain = yaml.safe_load(path.read_text())
        for task in tasks(plain).values():
            del task["sensitive"]
        path.write_text(yaml.safe_dump(plain))
    assert run.experiment() == experiment and not any(task.sensitive for task in run.tasks().values())


def test_crops_of_a_config_keep_its_mark_and_go_with_photos_that_have_none(tmp_path: Path) -> None:
    manifest = read_sources(drawn_faces(race={"sensitive": True}, smile={}, gender={}))
    write_aligned_set(tmp_path, AlignedSet(CropSpec(16), list(manifest.tasks.values()), []))
    again = read_aligned_set(tmp_path)
    assert again is not None
    kept = {task.name: task for task in again.tasks}
    assert [name for name, task in kept.items() if task.sensitive] == ["race"]
    crops = replace(manifest, tasks=kept, sources={"crops": next(iter(manifest.sources.values()))})
    for several in ([crops, read_sources(drawn_faces(race={}))], [read_sources(drawn_faces(race={})), crops]):
        assert concatenate(several).tasks["race"].sensitive


def test_a_binary_task_that_one_of_two_sources_marks_is_one_task() -> None:
    manifest = read_sources(drawn_faces(age={}))
    (source,) = manifest.sources.values()
    one, other = (
        replace(manifest, tasks={"smile": replace(SMILE, sensitive=mark)}, sources={name: source})
        for mark, name in ((False, "a"), (True, "b"))
    )
    assert concatenate([one, other]).tasks["smile"].sensitive


def test_card_and_file_say_which_tasks_are_answered_only_where_they_are_named() -> None:
    line = "race is a sensitive task: predictions answer it only where it is named (--task race)."
    assert line in notices_of(NET) and not [notice for notice in notices_of(NET) if "age" in notice]
    assert line not in notices_of({**NET, "race": replace(RACE, sensitive=False)})
