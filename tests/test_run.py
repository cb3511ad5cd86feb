"""The run folder: what is written comes back, what is none is refused, no run overwrites another."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from small import photo_configs

import keras_faceattr
from keras_faceattr.config import TaskConfig
from keras_faceattr.config_files import load_experiment, parse_experiment
from keras_faceattr.errors import RunError
from keras_faceattr.run import PHOTO_PARTS, Run, new_run
from keras_faceattr.storage import write_json
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

TASKS: dict[str, Task] = {
    "worn": MultilabelTask("worn", ("hat", "glasses"), {"head": ("hat",), "eyes": ("glasses",)}),
    "age": ScalarTask("age", 0.0, 100.0, 1.0, "years", 2.0, (5.0, 10.0)),
    "smile": BinaryTask("smile"),
    "mood": CategoricalTask("mood", ("ruhig", "fröhlich")),
}


@pytest.mark.parametrize("recipe", photo_configs())
def test_configuration_and_tasks_come_back_from_the_run_folder(tmp_path: Path, recipe: str) -> None:
    experiment = load_experiment(recipe, ["training.optimizer.learning_rate=3e-5", "name=Größe"])
    run = new_run(tmp_path, "run")
    experiment = experiment.model_copy(update={"tasks": dict.fromkeys(TASKS, TaskConfig())})
    run.write_config(experiment, TASKS)
    assert Run(run.folder).experiment() == experiment
    assert Run(run.folder).tasks() == TASKS
    assert list(Run(run.folder).tasks()) == list(TASKS)


def test_a_runs_configuration_can_be_given_as_a_config_again(tmp_path: Path) -> None:
    run = new_run(tmp_path, "run")
    run.write_config(load_experiment("quickstart"), TASKS)
    assert load_experiment(str(run.config_path)) == load_experiment("quickstart")


@pytest.mark.parametrize(
    "damage",
    [
        {"other": {"kind": "binary", "name": "other"}},
        {"age": {"kind": "binary", "name": "other"}},
        {"age": {"kind": "scalar", "name": "age", "minimum": None, "maximum": 1, "step": 1}},
        {"age": {"kind": "scalar", "name": "age", "minimum": "a", "maximum": 1, "step": 1}},
        {"age": None},
        {"age": 5},
        {"age": {"kind": "categorical", "name": "age", "classes": 3}},
        {},
    ],
)
def test_tasks_that_are_not_those_of_the_run_are_one_line(tmp_path: Path, damage: dict[str, Any]) -> None:
    run = Run(tmp_path)
    config = {"name": "x", "tasks": {"age": {}, "gone": None}}
    run.config_path.write_text(yaml.safe_dump(config))
    run.tasks_path.write_text(yaml.safe_dump({"age": {"kind": "binary", "name": "age"}}))
    assert run.tasks() == {"age": BinaryTask("age")}
    run.tasks_path.write_text(yaml.safe_dump(damage))
    with pytest.raises(RunError, match=r"tasks\.yaml is damaged: .*train a new run") as error:
        run.tasks()
    assert "\n" not in str(error.value)


def test_a_run_may_have_fewer_heads_than_its_config_as_that_of_an_exports_fine_tuning(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.config_path.write_text(yaml.safe_dump({"name": "x", "tasks": {"age": {}, "smile": {}}}))
    run.tasks_path.write_text(yaml.safe_dump({"smile": {"kind": "binary", "name": "smile"}}))
    assert run.tasks() == {"smile": BinaryTask("smile")}


WHOLE = {
    "photos": {"train": 3},
    "label_hash": "a",
    "split_hash": "b",
    "sources": {"x": {"citation": "", "licence": ""}},
}


@pytest.mark.parametrize("value", [None, 5, [1], {"x": None}, {"x": [1]}], ids=repr)
@pytest.mark.parametrize("part", WHOLE)
def test_a_part_of_the_provenance_of_a_wrong_type_is_named(tmp_path: Path, part: str, value: Any) -> None:
    run = Run(tmp_path)
    write_json(run.provenance_path, WHOLE)
    assert run.provenance(*PHOTO_PARTS) == WHOLE
    write_json(run.provenance_path, {**WHOLE, part: value})
    with pytest.raises(RunError, match=rf"provenance\.json is damaged: {part}.* is not as fit wrote it"):
        run.provenance()
    write_json(run.provenance_path, {key: value for key, value in WHOLE.items() if key != part})
    assert part not in run.provenance()
    with pytest.raises(RunError, match=f"damaged: {part} is not as fit wrote it"):
        run.provenance(*PHOTO_PARTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read config.yaml"),
        ("a: [", "cannot read config.yaml"),
        ("- a", "config.yaml is not a mapping"),
        ("", "config.yaml is not a mapping"),
    ],
)
def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "config.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=f"{tmp_path} is not a run folder: {message}") as error:
        Run(tmp_path).experiment()
    assert "\n" not in str(error.value)
    with pytest.raises(RunError, match="cannot read tasks.yaml"):
        Run(tmp_path).tasks()


def test_a_missing_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        Run(tmp_path / "none").experiment()


def test_new_runs_take_the_first_free_number(tmp_path: Path) -> None:
    parent = tmp_path / "runs" / "deep"
    names = [new_run(parent, "age").folder.name for _ in range(3)]
    assert names == ["age", "age-2", "age-3"]
    (parent / "age-2").rmdir()
    assert new_run(parent, "age").folder == parent / "age-2"


@pytest.mark.parametrize(
    ("name", "folder"), [("a/b", "a-b"), ("../up", "..-up"), ("two words", "two-words"), ("v1.2_x-y", "v1.2_x-y")]
)
def test_a_name_becomes_one_folder_below_the_parent(tmp_path: Path, name: str, folder: str) -> None:
    assert new_run(tmp_path / "runs", name).folder == tmp_path / "runs" / folder


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot make a run folder in .*file: "):
        new_run(tmp_path / "file", "age")


def test_a_parent_that_leads_nowhere_is_said_instead_of_counting_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").symlink_to(tmp_path / "unmounted")
    mkdir, calls = Path.mkdir, []

    def counted(self: Path, *arguments: Any, **options: Any) -> None:
        calls.append(self)
        assert len(calls) < 100, "tries one number after the other for ever"
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", counted)
    with pytest.raises(RunError, match="cannot make a run folder"):
        new_run(tmp_path / "runs", "age")


def test_a_run_from_before_there_were_plans_is_split_by_the_first(tmp_path: Path) -> None:
    sources = [{"reader": "utkface", "split": {"method": "kfold"}}, {"reader": "csv_file"}]
    config = {"name": "old", "data": {"sources": sources}, "tasks": {"age": {}}}
    run = Run(tmp_path)
    run.config_path.write_text(yaml.safe_dump(config))
    data = run.experiment().data
    assert (data.split.plan, data.sources[0].split.plan, data.sources[1].split) == (1, 1, None)
    # A config that is written today is split by the newest.
    assert parse_experiment(config, "new").data.split.plan == 2
    config["data"]["split"] = {"plan": 2}
    run.config_path.write_text(yaml.safe_dump(config))
    assert run.experiment().data.split.plan == 2


@pytest.mark.parametrize("name", ["plain", "two words", "a'b", "[x]", "$HOME", "a;b"])
def test_a_command_that_is_printed_can_be_pasted_into_a_shell(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path / name)
    expected = ["keras-faceattr", "fit", "--resume", str(run.folder)]
    assert shlex.split(run.resume_command) == expected
    run.folder.mkdir()
    run.config_path.touch()
    with pytest.raises(RunError) as error:
        run.results()
    assert shlex.split(str(error.value).partition("go on with ")[2]) == expected


def test_no_message_names_a_run_to_resume_without_quotes() -> None:
    package = Path(keras_faceattr.__file__).parent
    found = [path.name for path in package.rglob("*.py") if "--resume {" in path.read_text(encoding="utf-8")]
    assert found == ["run.py"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "net.keras",
            r"is a Keras model, not the folder of a run: --set model\.init_from=.*net\.keras starts a training",
        ),
        (
            "net.h5",
            r"in the old HDF5 format, .* save it anew as a \.keras file, keras\.models\.load_model\('.*net\.h5'\)",
        ),
        ("NET.HDF5", "in the old HDF5 format"),
        ("photo.png", "is not a run folder but a file: name a folder that fit made"),
    ],
)
def test_a_file_in_place_of_a_run_is_told_what_it_is_and_what_can_be_done(
    tmp_path: Path, name: str, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    for read in (Run(path).experiment, Run(path).results, Run(path).provenance, Run(path).tasks):
        with pytest.raises(RunError, match=words) as error:
            read()
        assert "\n" not in str(error.value)


def test_a_saved_model_in_place_of_a_run_is_told_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(RunError, match="is a TensorFlow SavedModel, not the folder of a run: .*benchmark"):
        Run(tmp_path).experiment()
