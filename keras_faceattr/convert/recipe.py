"""Export recipes: how a model is quantized and converted, as data."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from keras_faceattr.budget.tolerance import Tolerances
from keras_faceattr.config import Epochs, MaybeEpochs, Rate, Section
from keras_faceattr.config_files import load_section, names_in
from keras_faceattr.errors import ConfigError
from keras_faceattr.quantization.calibrate import DEFAULT_OBSERVER
from keras_faceattr.run import safe_name

RECIPE_FOLDER = Path(str(resources.files("keras_faceattr.shipped"))) / "recipes"

ORDER = (
    "float32", "float16", "dynamic", "int8w_int16a", "int8_ptq", "int8_ptq_litert", "int8_qat", "int8_full",
    "int4_weights",
)  # fmt: skip


def _folder_name(name: str) -> str:
    """A recipe's name is also that of a folder, which must not lie elsewhere."""
    if name != safe_name(name) or not name.strip("."):
        raise ValueError("no name of a folder: use letters, digits, '_', '.' and '-'")
    return name


class CalibrationConfig(Section):
    """From which training photos the ranges of activations are taken, and how."""

    photos: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    observer: Literal["minmax", "moving", "percentile", "least_squares"] = DEFAULT_OBSERVER


class FineTuningConfig(Section):
    """Training with the rounding in the loop, on the run's own data and losses.

    Attributes:
        frozen_epochs: at the end, in which the ranges no longer move.
        range_rate: how far the ranges move towards those of each batch; 0 keeps them as calibrated.
        learned_ranges: by gradient instead.
        augmented: with the run's augmentation; else photos are at most mirrored. See `fine_tuning_experiment`.
        rounding: in the loop. Without it the folded net trains in float and is quantized after the last epoch: the
            control, which has had the same epochs.
    """

    epochs: Epochs = 3
    learning_rate: Rate = 1e-4
    frozen_epochs: MaybeEpochs = 1
    range_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    learned_ranges: bool = False
    augmented: bool = False
    rounding: bool = True


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return text


class IntegerConfig(Section):
    """Integer arithmetic: of the body, and with `heads` of everything.

    Attributes:
        activations: type of what flows between layers.
        keep_float: regular expressions; a layer whose name contains a match stays in float.
    """

    heads: bool = False
    activations: Literal["int8", "int16"] = "int8"
    keep_float: tuple[Annotated[str, AfterValidator(_pattern)], ...] = ()
    calibration: CalibrationConfig = CalibrationConfig()
    fine_tuning: FineTuningConfig | None = None


class ExportRecipe(Section):
    """One way to quantize and convert.

    Attributes:
        name: also of the folder and the files that it leads to.
        weights: as they are stored; `int4` stands for the kernels of convolutions, all others are int8.
        engine: what makes it integer, of `convert.engines`.
        integer: integer arithmetic; None for floats.
        tolerance: by metric.
    """

    name: Annotated[str, AfterValidator(_folder_name)]
    weights: Literal["float32", "float16", "int8", "int4"]
    engine: Literal["native", "converter", "litert_quantizer", "tfmot"] = "native"
    integer: IntegerConfig | None = None
    tolerance: Tolerances = Field(default={})

    @property
    def epochs(self) -> int:
        """Of fine-tuning."""
        tuning = self.integer.fine_tuning if self.integer else None
        return tuning.epochs if tuning else 0

    @property
    def is_control(self) -> bool:
        """Whether it fine-tunes without rounding."""
        tuning = self.integer.fine_tuning if self.integer else None
        return tuning is not None and not tuning.rounding

    def by(self, engine: str | None) -> ExportRecipe:
        """The same recipe with another engine; a recipe for floats needs none, and None means its own."""
        return self.model_copy(update={"engine": engine}) if self.integer and engine else self

    def control(self) -> ExportRecipe:
        """The same recipe with fine-tuning in float, for comparison.

        Raises:
            ConfigError: it has no fine-tuning.
        """
        if not self.epochs or self.integer is None or self.integer.fine_tuning is None:
            raise ConfigError(f"recipe {self.name} does not fine-tune, so it has no control: use recipe int8_qat")
        tuning = self.integer.fine_tuning.model_copy(update={"rounding": False})
        integer = self.integer.model_copy(update={"fine_tuning": tuning})
        return self.model_copy(update={"name": f"{self.name}_control", "integer": integer})

    @model_validator(mode="after")
    def _consistent(self) -> ExportRecipe:
        if self.integer and self.weights not in ("int8", "int4"):
            raise ValueError("integer arithmetic needs weights: int8 or int4")
        if self.weights == "int4" and not self.integer:
            raise ValueError("weights: int4 needs integer arithmetic: add the key integer")
        return self


def load_recipe(name: str, overrides: list[str] | None = None) -> ExportRecipe:
    """The recipe of a name or a path, with `key.key=value` changes.

    Raises:
        ConfigError: unknown, or a wrong key or value.
    """
    return load_section(ExportRecipe, RECIPE_FOLDER, name, "recipe", overrides)


def export_recipe_names() -> list[str]:
    """Names of the shipped recipes, from the one closest to the trained model to the one farthest from it."""
    return sorted(names_in(RECIPE_FOLDER), key=lambda name: (*ORDER, name).index(name))
