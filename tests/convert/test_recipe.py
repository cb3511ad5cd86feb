"""Export recipes: shipped ones load, and every mistake is one line that names the key and the nearest valid one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from keras_faceattr.budget.tolerance import Tolerance
from keras_faceattr.convert.engines import engine
from keras_faceattr.convert.recipe import ExportRecipe, export_recipe_names, load_recipe
from keras_faceattr.errors import ConfigError, ModelError
from keras_faceattr.metrics import metrics_of
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, age_task

# Issue 3, "Convert": recipes as data.
NAMES = {"float32", "float16", "dynamic", "int8_ptq", "int8_qat", "int8_full", "int8w_int16a", "int4_weights"}


def refused(name: str, *overrides: str) -> str:
    """The line that a mistake is answered with."""
    with pytest.raises(ConfigError) as error:
        load_recipe(name, list(overrides))
    assert "\n" not in str(error.value)
    return str(error.value)


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    return str(tmp_path / "own.yaml")


def test_all_recipes_of_the_design_are_shipped() -> None:
    assert set(export_recipe_names()) >= NAMES


@pytest.mark.parametrize("name", export_recipe_names())
def test_a_shipped_recipe_loads_is_called_like_its_file_and_survives_a_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert ExportRecipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize("name", export_recipe_names())
def test_every_shipped_recipe_is_held_to_a_tolerance_that_quantization_alone_may_use_up(name: str) -> None:
    recipe = load_recipe(name)
    assert {"mae", "pc", "accuracy"} <= set(recipe.tolerance)
    float32 = load_recipe("float32")
    for metric, tolerance in recipe.tolerance.items():
        assert tolerance.limit(1.0) >= float32.tolerance[metric].limit(1.0)


@pytest.mark.parametrize("name", export_recipe_names())
def test_every_shipped_recipe_judges_an_age_that_is_labelled_with_bands_alone(name: str) -> None:
    measured = {n for n, m in metrics_of(age_task(bands=[(0, 2), (3, 9)])).items() if not m.needs_values}
    assert measured & load_recipe(name).tolerance.keys()


def test_what_becomes_integer_is_what_the_recipe_says() -> None:
    shown = {name: load_recipe(name) for name in NAMES}
    assert [shown[n].integer for n in ("float32", "float16", "dynamic")] == [None] * 3
    heads = {n: shown[n].integer.heads for n in ("int8_ptq", "int8_qat", "int8_full")}  # type: ignore[union-attr]
    assert heads == {"int8_ptq": False, "int8_qat": False, "int8_full": True}
    assert shown["int8_ptq"].epochs == 0
    assert shown["int8_qat"].epochs == shown["int8_full"].epochs > 0


@pytest.mark.parametrize(
    ("tolerance", "float_value", "limit"),
    [
        ({"relative": 0.02}, 0.25, 0.005),
        ({"relative": 0.02}, -0.25, 0.005),
        ({"absolute": 0.002}, 0.87, 0.002),
        ({"relative": 0.0}, 3.0, 0.0),
    ],
)
def test_a_tolerance_is_a_share_of_the_float_models_metric_or_a_number_in_its_unit(
    tolerance: dict, float_value: float, limit: float
) -> None:
    assert Tolerance(**tolerance).limit(float_value) == pytest.approx(limit)


@pytest.mark.parametrize("tolerance", ["{relative: 0.1, absolute: 0.1}", "{}"])
def test_a_tolerance_of_both_kinds_or_of_none_is_refused(tmp_path: Path, tolerance: str) -> None:
    line = refused(written(tmp_path, f"name: own\nweights: float32\ntolerance: {{mae: {tolerance}}}\n"))
    assert "tolerance.mae" in line and "either relative or absolute" in line


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("wieghts=int8", ("unknown key 'wieghts'", "did you mean 'weights'?")),
        (
            "integer.calibration.foto=3",
            ("unknown key 'integer.calibration.foto'", "valid: observer, photos"),
        ),
        ("integer.fine_tuning.epoch=3", ("did you mean 'epochs'?",)),
        ("tolerance.mae.relativ=0.1", ("did you mean 'relative'?",)),
        ("weights=int3", ("weights = 'int3'", "'int4'")),
        ("weights=float32", ("integer arithmetic needs weights: int8 or int4",)),
        ("engine=convertr", ("engine = 'convertr'", "'converter'")),
        ("integer.activations=int4", ("integer.activations = 'int4'", "'int16'")),
        ("integer.keep_float=[a, '(']", ("integer.keep_float.1", "no regular expression")),
        ("integer.calibration.photos=0", ("integer.calibration.photos = 0", "greater than or equal to 1")),
        ("integer.calibration.observer=median", ("'median'", "'percentile'")),
        ("integer.fine_tuning.epochs=0", ("integer.fine_tuning.epochs = 0",)),
        ("integer.fine_tuning.learning_rate=.nan", ("learning_rate",)),
        ("tolerance.mae.relative=-0.1", ("tolerance.mae.relative = -0.1",)),
        ("weights", ("--set 'weights'", "write key.key=value")),
        ("tolerance.ma.relative=0.1", ("no metric 'ma'", "did you mean 'mae'?")),
        ("name.first=x", ("name is a value, not a section",)),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_the_key(override: str, words: tuple[str, ...]) -> None:
    line = refused("int8_qat", override)
    for word in words:
        assert word in line


def test_every_metric_of_every_kind_of_task_can_be_judged() -> None:
    tasks = [
        ScalarTask("age", 0, 10, 1), BinaryTask("smile"), CategoricalTask("race", ("a", "b")),
        MultilabelTask("attributes", ("x",)),
    ]  # fmt: skip
    tolerance = {metric: {"absolute": 0.1} for task in tasks for metric in metrics_of(task)}
    recipe = ExportRecipe.model_validate({"name": "own", "weights": "float32", "tolerance": tolerance})
    assert recipe.tolerance.keys() == tolerance.keys()


def test_set_changes_a_recipe() -> None:
    recipe = load_recipe("int8_qat", ["integer.fine_tuning.epochs=7", "integer.fine_tuning.learning_rate=1e-5"])
    assert recipe.epochs == 7
    assert recipe.integer is not None and recipe.integer.fine_tuning is not None
    assert recipe.integer.fine_tuning.learning_rate == 1e-5
    assert recipe.integer.calibration == load_recipe("int8_qat").integer.calibration  # type: ignore[union-attr]


def test_a_recipe_loads_by_path(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, "name: own\nweights: float16\n")).weights == "float16"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("weights: int8\n", "missing key 'name'"),
        ("name: ../own\nweights: int8\n", "name = '../own': no name of a folder"),
        ("name: ..\nweights: int8\n", "name = '..': no name of a folder"),
        ("[]", "mapping of keys"),
        ("a: [", "cannot be read as YAML"),
        ("!!python/object/apply:os.system [true]", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(written(tmp_path, text))


def test_an_unknown_recipe_or_engine_names_the_nearest() -> None:
    assert "no recipe 'int8_qta'" in refused("int8_qta") and "did you mean 'int8_qat'?" in refused("int8_qta")
    with pytest.raises(ConfigError, match="unknown --engine 'natve'; did you mean 'native'\\? valid: .*tfmot"):
        engine("natve")


def test_a_control_is_its_recipe_without_rounding_under_a_name_of_its_own() -> None:
    recipe = load_recipe("int8_qat")
    control = recipe.control()
    assert (recipe.is_control, control.is_control, control.name) == (False, True, "int8_qat_control")
    before, after = recipe.model_dump(), control.model_dump()
    assert before["integer"]["fine_tuning"].pop("rounding") is True
    assert after["integer"]["fine_tuning"].pop("rounding") is False
    assert {**before, "name": control.name} == after


@pytest.mark.parametrize("name", ["int8_ptq", "float32"])
def test_a_recipe_without_fine_tuning_has_no_control(name: str) -> None:
    with pytest.raises(ConfigError, match=f"recipe {name} does not fine-tune, so it has no control: use recipe int8_"):
        load_recipe(name).control()


def test_weights_of_four_bits_need_integer_arithmetic() -> None:
    assert "weights: int4 needs integer arithmetic" in refused("float32", "weights=int4")


@pytest.mark.parametrize(
    ("name", "recipe", "changes", "words"),
    [
        ("native", "int8w_int16a", [], "engine native has no integer.activations: int16; use --engine converter"),
        ("converter", "int8_qat", [], "engine converter has no integer.fine_tuning; use --engine native, tfmot"),
        ("converter", "int8_ptq", ["integer.keep_float=[x]"], "engine converter has no integer.keep_float; use"),
        ("converter", "int4_weights", ["integer.fine_tuning=null"], "engine converter has no weights: int4; use"),
        ("tfmot", "int4_weights", [], "engine tfmot has no weights: int4; use --engine native"),
        (
            "tfmot", "int8_qat", ["integer.fine_tuning.rounding=false"],
            "engine tfmot has no integer.fine_tuning.rounding: false; use --engine native",
        ),
    ],
)  # fmt: skip
def test_an_engine_refuses_what_it_would_pass_over_in_silence(
    tmp_path: Path, name: str, recipe: str, changes: list[str], words: str
) -> None:
    nothing: Any = None
    with pytest.raises(ModelError, match=f"^recipe {recipe}: {re.escape(words)}"):
        engine(name)(nothing, load_recipe(recipe, changes), tmp_path, nothing, 1)


def test_a_recipe_that_another_engine_makes_says_so() -> None:
    recipe = load_recipe("int8_ptq")
    assert (recipe.engine, recipe.by("converter").engine, recipe.by(None)) == ("native", "converter", recipe)
    # What computes in floats is made by no engine.
    assert load_recipe("float16").by("converter") == load_recipe("float16")
