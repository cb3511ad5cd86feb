"""Configurations: every mistake is one line that names the key and the nearest valid one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small import photo_configs

from keras_faceattr.budget.limits import Budget
from keras_faceattr.config import Experiment, MethodSettings, Section
from keras_faceattr.config_files import load_experiment, parse_experiment
from keras_faceattr.convert.recipe import ExportRecipe
from keras_faceattr.errors import ConfigError
from keras_faceattr.features.experiment import FeatureExperiment
from keras_faceattr.tabular.experiment import RecordOptions, TableExperiment
from keras_faceattr.tasks import CategoricalTask, MultilabelTask, ScalarTask, task_from_dict, task_to_dict

TEXT = """
name: mine
data:
  sources:
    - reader: csv_file
      path: /photos
      options: {image_column: file}
    - reader: utkface
  augmentation: {flip: 0.25}
tasks:
  age: {kind: scalar, minimum: 0, maximum: 100, step: 1}
  smile: {kind: binary}
training:
  optimizer: {name: adamw}
"""

START = "name: x\ndata: {sources: [{reader: synthetic}]}\n"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "mine.yaml").write_text(TEXT, encoding="utf-8")
    return str(tmp_path / "mine.yaml")


def refused(config: str, *overrides: str, **data_paths: str) -> str:
    """The line that a mistake is answered with."""
    with pytest.raises(ConfigError) as error:
        load_experiment(config, list(overrides), data_paths)
    assert "\n" not in str(error.value)
    return str(error.value)


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "other.yaml").write_text(text, encoding="utf-8")
    return str(tmp_path / "other.yaml")


@pytest.mark.parametrize("name", photo_configs())
def test_a_shipped_config_loads_by_name_and_survives_a_round_trip(name: str) -> None:
    experiment = load_experiment(name)
    assert parse_experiment(experiment.model_dump(mode="json"), name) == experiment


def test_a_file_loads_by_path_and_what_it_leaves_out_is_the_papers(path: str) -> None:
    experiment = load_experiment(path)
    assert experiment.name == "mine"
    assert [source.reader for source in experiment.data.sources] == ["csv_file", "utkface"]
    assert experiment.data.augmentation is not None
    assert experiment.data.augmentation.flip == 0.25
    # DLDL-v2, section 4.1: Adam's usual constants, 1e-3, batch 128, 60 epochs, ×0.1 after 30, 224².
    assert experiment.training.optimizer.learning_rate == 1e-3
    assert experiment.training.optimizer.beta_1 == 0.9
    assert experiment.training.batch_size == 128
    assert experiment.training.epochs == 60
    assert (experiment.training.schedule.step_epochs, experiment.training.schedule.step_factor) == (30, 0.1)
    assert experiment.data.crop.size == 224


def test_arc_face_has_the_papers_margin_and_scale_unless_published_results_had_others() -> None:
    # Deng et al., ArcFace, section 3.1.
    assert (MethodSettings().angular_margin, MethodSettings().angular_scale) == (0.5, 64)
    person = load_experiment("identity_pretrain").tasks["person"]
    assert (person.angular_margin, person.angular_scale) == (0.3, 30)


def test_a_shipped_name_wins_over_a_file_in_the_working_folder_and_a_path_over_a_shipped_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text(TEXT, encoding="utf-8")
    assert load_experiment("quickstart").name == "quickstart"
    assert load_experiment("./quickstart").name == "mine"


def test_an_unknown_config_names_the_nearest_config(tmp_path: Path) -> None:
    assert "no config 'quikstart'" in refused("quikstart")
    assert "did you mean 'quickstart'" in refused("quikstart")
    assert "neither a file nor one that is shipped" in refused(str(tmp_path))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("traning", "unknown key 'traning'; did you mean 'training'?"),
        ("data.sorces", "unknown key 'data.sorces'; did you mean 'sources'?"),
        ("data.sources.0.reeder", "unknown key 'data.sources.0.reeder'; did you mean 'reader'?"),
        ("data.split.methd", "unknown key 'data.split.methd'; did you mean 'method'?"),
        ("data.crop.sice", "unknown key 'data.crop.sice'; did you mean 'size'?"),
        ("data.augmentation.flp", "unknown key 'data.augmentation.flp'; did you mean 'flip'?"),
        ("tasks.age.methd", "unknown key 'tasks.age.methd'; did you mean 'method'?"),
        ("training.epoch", "unknown key 'training.epoch'; did you mean 'epochs'?"),
        ("training.optimizer.lerning_rate", "did you mean 'learning_rate'?"),
        ("training.schedule.warmup", "did you mean 'warmup_epochs'?"),
        ("evaluation.tta_", "unknown key 'evaluation.tta_'; did you mean 'tta'?"),
    ],
)
def test_an_unknown_key_names_the_nearest_at_every_level(path: str, key: str, message: str) -> None:
    line = refused(path, f"{key}=1")
    assert message in line
    assert "valid: " in line
    assert line.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("training.epochs=many", "training.epochs = 'many'"),
        ("training.epochs=0", "training.epochs = 0"),
        ("training.epochs=2.5", "training.epochs = 2.5"),
        ("training.epochs=true", "training.epochs = True: input should be a number, not true or false"),
        ("training.early_stop_epochs=yes", "training.early_stop_epochs = True: input should be a number"),
        ("training.optimizer.learning_rate=true", "training.optimizer.learning_rate = True: input should be a number"),
        ("training.xla=5", "training.xla = 5"),
        ("data.sources.1.labels={race: {Asian: ''}}", "data.sources.1.labels.race.Asian = ''"),
        ("name=true", "name = True: input should be a valid string; text that looks like something else needs quotes"),
        ("name=1e5", "name = 100000.0: input should be a valid string; text that looks like something else needs"),
        ("training.batch_size=1", "training.batch_size = 1"),
        ("training.optimizer.name=sgd", "training.optimizer.name = 'sgd'"),
        ("training.optimizer.learning_rate=0", "training.optimizer.learning_rate = 0"),
        ("training.optimizer.learning_rate=.nan", "training.optimizer.learning_rate = nan"),
        ("training.first_stage_epochs=60", "training: first_stage_epochs 60 leaves nothing of 60 epochs"),
        ("tasks.age.negative_relation=0.9", "tasks.age: negative_relation is above positive_relation"),
        ("name=''", "name = ''"),
        ("name=..", "name = '..'"),
        ("data.augmentation.flip=1.5", "data.augmentation.flip = 1.5"),
        ("data.split.test=1", "data.split.test = 1"),
        ("data.sources=[]", "data.sources = []"),
        ("tasks={}", "tasks = {}"),
        ("tasks.age=5", "tasks.age = 5"),
        ("data=[1]", "data = [1]"),
        ("model.dropout=lots", "model.dropout = 'lots'"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(path: str, override: str, key: str) -> None:
    assert key in refused(path, override)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "missing key 'data'" in refused(written(tmp_path, "name: x\ntasks: {age: {}}\n"))
    text = "name: x\ndata: {sources: [{path: /x}]}\ntasks: {age: {}}\n"
    assert "missing key 'data.sources.0.reader'" in refused(written(tmp_path, text))


def test_set_changes_nested_keys_list_entries_and_sections_that_the_file_leaves_out(path: str) -> None:
    experiment = load_experiment(
        path,
        [
            "training.optimizer.learning_rate=1e-4",
            "data.sources.1.path=/faces",
            "data.sources.0.options={image_column: photo}",
            "data.crop.size=96",
            "tasks.age.tolerances=[2, 4]",
            "name=a=b",
            "data.augmentation=null",
        ],
    )
    assert experiment.training.optimizer.learning_rate == 0.0001
    assert experiment.training.optimizer.name == "adamw"
    # Of an option nothing is known, so that no validation turns text into the number that was meant.
    assert load_experiment(path, ["data.sources.0.options.x=1e-4"]).data.sources[0].options["x"] == 0.0001
    assert [source.path for source in experiment.data.sources] == ["/photos", "/faces"]
    assert experiment.data.sources[0].options == {"image_column": "photo"}
    assert experiment.data.crop.size == 96
    assert experiment.tasks["age"].tolerances == [2.0, 4.0]
    assert experiment.name == "a=b"
    assert experiment.data.augmentation is None


@pytest.mark.parametrize(("given", "name"), [("nan", "nan"), ("infinity", "infinity"), ("'1e5'", "1e5"), ('"5"', "5")])
def test_set_keeps_words_and_what_stands_in_quotes_of_its_own_as_text(path: str, given: str, name: str) -> None:
    experiment = load_experiment(path, [f"name={given}", f"data.sources.0.options.x={given}"])
    assert experiment.name == experiment.data.sources[0].options["x"] == name


def test_true_and_numbers_stay_what_they_are_where_they_belong(tmp_path: Path) -> None:
    training = "training: {xla: true, optimizer: {learning_rate: 1.0e-3, epsilon: 1e-7, weight_decay: 1}, epochs: 5.0}"
    settings = load_experiment(written(tmp_path, f"{START}tasks: {{age: {{}}}}\n{training}\n")).training
    assert settings.xla is True and settings.epochs == 5
    assert (settings.optimizer.learning_rate, settings.optimizer.epsilon) == (0.001, 1e-7)
    assert settings.optimizer.weight_decay == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: {age: {}}\nseed: 1\ntasks: {race: {}}\n", "the key 'tasks' stands a second time in line 5"),
        ("tasks:\n  age: {}\n  age: {method: dex}\n", "the key 'age' stands a second time in line 5"),
        ("tasks: {age: {weight: 1, 'weight': 2}}\n", "the key 'weight' stands a second time in line 3"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(written(tmp_path, START + text))


def test_a_section_may_take_over_another_and_change_a_key_of_it(tmp_path: Path) -> None:
    text = "tasks:\n  age: &age {weight: 2, method: dex}\n  x: &x {<<: *age, weight: 3}\n  y: {<<: *x, method: er}\n"
    tasks = load_experiment(written(tmp_path, START + text)).tasks
    assert {name: (task.weight, task.method) for name, task in tasks.items()} == {
        "age": (2, "dex"), "x": (3, "dex"), "y": (3, "er")
    }  # fmt: skip


def test_an_empty_name_is_no_config() -> None:
    assert "no config ''" in refused("")


@pytest.mark.parametrize(
    "section", [Experiment, FeatureExperiment, TableExperiment, RecordOptions, Budget, ExportRecipe]
)
def test_every_number_and_text_of_a_config_has_bounds(section: type[Section]) -> None:
    unbound, numbers = [], 0
    pending: list[tuple[str, Any]] = [("", section.model_json_schema())]
    while pending:
        place, schema = pending.pop()
        if isinstance(schema, list):
            pending += [(place, entry) for entry in schema]
            continue
        if not isinstance(schema, dict):
            continue
        # A default is no schema.
        pending += [(f"{place}.{key}", inner) for key, inner in schema.items() if key != "default"]
        if schema.get("type") in ("integer", "number"):
            numbers += 1
            low, high = {"minimum", "exclusiveMinimum"} & schema.keys(), {"maximum", "exclusiveMaximum"} & schema.keys()
            if not (low and high) and not {"const", "enum"} & schema.keys():
                unbound.append(place)
        if schema.get("type") == "string" and not {"maxLength", "const", "enum"} & schema.keys():
            unbound.append(place)
    assert numbers and not unbound


@pytest.mark.parametrize(
    ("override", "start"),
    [
        ("training.epochs=1e300", "training.epochs = 1e+300: "),
        ("training.epochs=" + "9" * 400, f"--set 'training.epochs={'9' * 20}"),
        (
            "training.schedule.warmup_epochs=1e300",
            "training.schedule.warmup_epochs = 1e+300: input should be less than",
        ),
        ("evaluation.bootstrap_samples=1e12", "evaluation.bootstrap_samples = 1000000000000.0: input should be less"),
        ("seed=" + "9" * 39, "seed = 99999"),
        ("seed=" + "9" * 5000, f"--set 'seed={'9' * 20}"),
        ("name=" + "x" * 5000, "name = 'xxxxx"),
        ("data.sources.0.path=" + "x" * 5000, "data.sources.0.path = 'xxxxx"),
        ("x" * 5000 + "=1", "unknown key 'xxxxx"),
        ("name=[" + "x, " * 5000 + "]", "name = ['x', 'x'"),
        ("tasks.age.classes=[" + "x, " * 10_001 + "]", "tasks.age.classes = ['x', 'x'"),
        (".".join("a" * 50) + "=1", "--set 'a.a.a"),
        ("data.split.folds=1e9", "data.split.folds = 1000000000.0: "),
        ("data.crop.min_face=1e9", "data.crop.min_face = 1000000000.0: "),
        ("tasks.age.tolerances=[1e300]", "tasks.age.tolerances.0 = '1e300': "),
    ],
)
def test_a_value_without_measure_is_refused_in_a_line_of_readable_length(path: str, override: str, start: str) -> None:
    line = refused(path, override)
    assert start in line and len(line) < len(path) + 400


def test_a_bomb_of_aliases_is_named(tmp_path: Path) -> None:
    lists = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    line = refused(written(tmp_path, f"{START}a0: &a0 [x, x]\n{lists}\n"))
    assert "cannot be read as YAML: more than 50,000 values" in line and len(line) < 400


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "write key.key=value"),
        ("=3", "write key.key=value"),
        ("data.sources.2.path=/x", "data.sources has entries 0 to 1"),
        ("data.sources.first.path=/x", "data.sources has entries 0 to 1"),
        ("data.sources.2=x", "data.sources has entries 0 to 1"),
        ("name.first=x", "name is a value, not a section"),
        ("name=[", "the value is not YAML"),
        ("tasks.age={weight: 1, weight: 2}", "the value is not YAML"),
        ("name=!!python/object/apply:os.getcwd []", "the value is not YAML"),
    ],
)
def test_an_override_that_fits_nowhere_is_refused(path: str, override: str, message: str) -> None:
    line = refused(path, override)
    assert message in line
    assert override in line


def test_data_sets_the_path_of_its_reader_alone(path: str) -> None:
    experiment = load_experiment(path, data_paths={"utkface": "/faces"})
    assert [source.path for source in experiment.data.sources] == ["/photos", "/faces"]


def test_data_for_a_reader_that_the_config_lacks_names_the_nearest(path: str) -> None:
    line = refused(path, utkfaces="/faces")
    assert "--data utkfaces: this config has no such source; did you mean 'utkface'?" in line


def test_data_for_a_config_with_empty_sources_is_refused(tmp_path: Path) -> None:
    refused(written(tmp_path, "name: x\ndata:\n  sources:\ntasks: {age: {}}\n"), utkface="/faces")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "a config is a mapping of keys"),
        ("just text\n", "a config is a mapping of keys"),
        ("", "a config is a mapping of keys"),
        ("a: [1\nb: 2\n", "cannot be read as YAML"),
        ("name: !!python/object/apply:os.getcwd []\n", "cannot be read as YAML"),
        ("name: x\ndata: {sources: [{reader: synthetic}]}\ntasks: {age: {}}\n1: 2\n", "1 = 1"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(written(tmp_path, text))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00name")
    assert "cannot be read as YAML" in refused(str(tmp_path / "binary.yaml"))


def test_an_experiment_does_not_change_after_it_was_read(path: str) -> None:
    experiment = load_experiment(path)
    assert isinstance(experiment, Experiment)
    with pytest.raises(ValueError, match="frozen"):
        experiment.name = "other"


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"minimum": 5, "maximum": 1, "step": 1}, "minimum 5 is not below maximum 1"),
        ({"minimum": 5, "maximum": 5, "step": 1}, "minimum 5 is not below maximum 5"),
        ({"minimum": 0, "maximum": 1, "step": 0}, "step 0 is not above 0"),
        ({"minimum": 0, "maximum": 1, "step": 0.3}, "step 0.3 does not divide the range 0 to 1"),
        ({"minimum": 0, "maximum": 1}, "needs 'step'"),
        ({"minimum": 0, "maximum": 1, "step": 0.5, "classes": ["a"]}, "unknown key 'classes'"),
        ({"kind": "categorical", "classes": ["a"]}, "needs two or more different classes"),
        ({"kind": "categorical", "classes": ["a", "a"]}, "needs two or more different classes"),
        ({"kind": "multilabel", "attributes": []}, "needs one or more different attributes"),
        ({"kind": "multilabel", "attributes": ["hat"], "groups": {"top": ["hatt"]}}, "did you mean 'hat'"),
        ({"kind": "scaler"}, "unknown kind 'scaler'; did you mean 'scalar'"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(definition: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match="task 'mine'") as error:
        task_from_dict({"kind": "scalar", "name": "mine", **definition})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_task_without_an_upper_end_is_refused() -> None:
    with pytest.raises(ConfigError):
        ScalarTask("age", 0.0, float("inf"), 1.0)


@pytest.mark.parametrize(("minimum", "maximum", "step", "count"), [(1, 5, 0.1, 41), (0, 100, 1, 101), (-1, 1, 0.5, 5)])
def test_bins_run_from_minimum_to_maximum_in_steps(minimum: float, maximum: float, step: float, count: int) -> None:
    bins = ScalarTask("mine", minimum, maximum, step).bins
    assert len(bins) == count
    assert bins.tolist() == pytest.approx([minimum + i * step for i in range(count)])


@pytest.mark.parametrize(
    "task",
    [
        ScalarTask("age", 0, 100, 1, "years", 2.0, (5.0,)),
        CategoricalTask("mood", ("calm", "glad")),
        MultilabelTask("worn", ("hat", "glasses"), {"head": ("hat",)}),
    ],
)
def test_a_task_comes_back_from_its_plain_data(task: Any) -> None:
    assert task_from_dict(task_to_dict(task)) == task


@pytest.mark.parametrize("several", [False, True])
def test_paths_of_teachers_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool) -> None:
    monkeypatch.chdir(tmp_path)
    given = "[runs/a, b.tflite]" if several else "runs/a"
    expected = [str(tmp_path / "runs" / "a"), str(tmp_path / "b.tflite")] if several else str(tmp_path / "runs" / "a")
    experiment = load_experiment("quickstart", [f"training.teacher={given}"])
    assert experiment.training.teacher == expected
    with pytest.raises(ConfigError, match=r"--data teacher: no task .* is --set training\.teacher=PATH"):
        load_experiment("quickstart", [], {"teacher": "x.tflite"})
