"""What every shipped config must hold: it resolves, it is called like its file, and all that it names is registered."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
import yaml

from keras_faceattr.config_files import CONFIG_FOLDER, config_names, experiment_kind, load_experiment
from keras_faceattr.data.datasets import READERS, read_dataset
from keras_faceattr.data.drawing import PLANS
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.data.splits import split_manifest
from keras_faceattr.methods import METHODS
from keras_faceattr.models import architecture
from keras_faceattr.tasks import ScalarTask, task_from_dict

ALL = sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))
CONFIGS = [name for name in ALL if experiment_kind(name) == "photos"]


def test_configs_are_found_by_name() -> None:
    assert config_names() == ALL
    assert "quickstart" in CONFIGS


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_called_like_its_file(name: str) -> None:
    assert load_experiment(name).name == name


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_says_what_it_is_in_its_head(name: str) -> None:
    first = (CONFIG_FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 20


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configs_readers_and_their_options_exist(name: str) -> None:
    for source in load_experiment(name).data.sources:
        assert source.reader in READERS
        read = importlib.import_module(f"keras_faceattr.data.datasets.{source.reader}").read
        assert set(source.options) <= set(inspect.signature(read).parameters)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configs_model_methods_and_crop_exist(name: str) -> None:
    experiment = load_experiment(name)
    assert architecture(experiment.model.name).tasks
    assert {task.method for task in experiment.tasks.values()} <= {None, *METHODS}
    architecture(experiment.model.name).check_options(experiment.model.options)
    assert crop_spec(experiment).size == experiment.data.crop.size


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_defines_the_tasks_that_its_readers_cannot(name: str) -> None:
    experiment = load_experiment(name)
    if any(READERS[source.reader].needs_tasks for source in experiment.data.sources):
        assert any(task.kind for task in experiment.tasks.values())
    for task_name, task in experiment.tasks.items():
        if task.kind:
            assert task_from_dict({"name": task_name, **task.definition()}).name == task_name


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_holds_no_path_of_someones_machine(name: str) -> None:
    experiment = load_experiment(name)
    assert [source.path for source in experiment.data.sources if source.path] == []
    assert experiment.model.init_from is None


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_takes_whole_photos_says_that_it_is_for_reproduction(name: str) -> None:
    """A net that has learned from whole photos knows faces in the framing of its set alone."""
    experiment = load_experiment(name)
    text = (CONFIG_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    head = " ".join(line.removeprefix("#") for line in text.splitlines() if line.startswith("#"))
    drawn = {source.reader for source in experiment.data.sources} == {"synthetic"}
    if experiment.data.crop.method != "five_points" and not drawn:
        assert "reproduc" in head
        ways = [other for other in CONFIGS if other in head.split() or f"{other}." in head.split()]
        assert "five_points" in head or any(load_experiment(w).data.crop.method == "five_points" for w in ways)


def test_the_papers_config_is_that_of_dldl_v2() -> None:
    """Section 4.1 of the paper."""
    experiment = load_experiment("chalearn15_paper")
    training, optimizer = experiment.training, experiment.training.optimizer
    assert (training.epochs, training.batch_size, optimizer.name) == (60, 128, "adam")
    assert (optimizer.learning_rate, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (1e-3, 0.9, 0.999, 1e-8)
    assert (training.schedule.name, training.schedule.step_epochs, training.schedule.step_factor) == ("step", 30, 0.1)
    assert (experiment.data.crop.size, experiment.data.crop.method) == (224, "five_points")
    assert (experiment.data.split.method, experiment.data.split.validation) == ("given", 0.0)
    assert (experiment.model.name, experiment.evaluation.tta) == ("thin_age_net", "flip")


FIRST_PLAN = {"faces": 2}
"""Of configs whose first results came after plan 1."""


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "quickstart"])
def test_a_config_that_draws_photos_names_the_plan_of_its_published_results(name: str) -> None:
    data = yaml.safe_load((CONFIG_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["data"]
    for split in (data.get("split"), *(source.get("split") for source in data["sources"])):
        if split and (split["method"] in ("stratified", "kfold") or split.get("validation", 0.1) > 0):
            assert split.get("plan") == FIRST_PLAN.get(name, 1)


def test_the_quickstart_draws_nothing_so_that_it_needs_no_plan(tmp_path: Path, tiny_csv) -> None:
    assert load_experiment("quickstart").data.split.method == "given"
    path = tiny_csv(tmp_path, 12, age=range(12), split=["train", "val", "test"] * 4)
    manifest = read_dataset("csv_file", path, {}, [ScalarTask("age", 0, 100, 1)])
    splits = [split_manifest(manifest, "given", stratify="age", plan=plan).split_hash() for plan in PLANS]
    assert splits == [manifest.split_hash()] * len(PLANS)
