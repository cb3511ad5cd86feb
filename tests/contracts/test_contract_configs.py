"""What every shipped config must hold: it resolves, it is called like its file, and all that it names is registered."""

from __future__ import annotations

import importlib
import inspect

import pytest

from keras_faceattr.config_files import CONFIG_FOLDER, config_names, experiment_kind, load_experiment
from keras_faceattr.data.datasets import READERS
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.methods import METHODS
from keras_faceattr.models import MODELS, architecture
from keras_faceattr.tasks import task_from_dict

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
    assert experiment.model.name in MODELS
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
