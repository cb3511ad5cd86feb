"""What makes a model integer: our own engine, the converter's own calibration, LiteRT Quantizer, or TFMOT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_faceattr.convert.conversion import convert
from keras_faceattr.convert.litert_engine import litert_integer
from keras_faceattr.convert.native import Integer, batches, draw, float_layers, make_integer, start_run
from keras_faceattr.convert.recipe import ExportRecipe
from keras_faceattr.convert.source import ExportListener, Source
from keras_faceattr.data.mixing import source_weights
from keras_faceattr.errors import ConfigError, ModelError, nearest
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.quantization.plan import make_plan
from keras_faceattr.quantization.tfmot import fine_tune_with_tfmot

FINE_TUNING, CONTROL = "integer.fine_tuning", "integer.fine_tuning.rounding: false"
KEEP_FLOAT, INT4, INT16 = "integer.keep_float", "weights: int4", "integer.activations: int16"

MakeInteger = Callable[[Source, ExportRecipe, Path, ExportListener, int], Integer]


def converter_integer(
    source: Source, recipe: ExportRecipe, folder: Path, listener: ExportListener, batch: int
) -> Integer:
    """Post-training quantization by the converter itself, which rounds the heads too.

    There is no fake-quantized model of it: only float model and file are compared. A file with int16 activations takes
    and gives floats: a pixel has 256 levels, and an output of 65,536 needs no scale of its own.
    """
    assert recipe.integer is not None
    train, photos = source.data.parts.get("train"), recipe.integer.calibration.photos
    weights = source_weights(source.experiment.data.sources)
    shown = batches(draw(train, photos, source.experiment.seed, weights))
    listener.say(f"{recipe.name}: converting with {sum(map(len, shown))} photos")
    wide = recipe.integer.activations == "int16"
    images = [image[None] for part in shown for image in part]
    content = convert(
        source.folded, batch=batch, weights="int8", activations=recipe.integer.activations,
        integer_input=not wide, integer_output=recipe.integer.heads and not wide, representative=images,
    )  # fmt: skip
    heads = make_plan(read_graph(source.folded)).float_nodes
    details = {"engine": "converter", "calibration_photos": len(images)}
    return Integer(content, None, heads, details)


def tfmot_integer(source: Source, recipe: ExportRecipe, folder: Path, listener: ExportListener, batch: int) -> Integer:
    """Quantization-aware training by TFMOT in a child process: the yardstick of the native engine."""
    assert recipe.integer is not None
    tuning = recipe.integer.fine_tuning
    if recipe.integer.heads or tuning is None or batch != 1:
        raise ConfigError("engine tfmot makes batch 1 with heads in float and fine-tuning alone: use recipe int8_qat")
    if source.experiment.training.loss_weights == "learned" or any(t.kind == "identity" for t in source.tasks.values()):
        raise ConfigError("engine tfmot knows nothing of what losses have learned: use engine native")
    run, calibration = start_run(folder, source, recipe), recipe.integer.calibration
    result = fine_tune_with_tfmot(
        source.folded, run.experiment(), run, calibration.photos, listener.say, observer=calibration.observer
    )
    plan = make_plan(read_graph(source.folded))
    details = {"engine": "tfmot", "versions": result.versions, "epochs": result.epochs}
    details["float_layers"] = float_layers(recipe, plan)
    return Integer(result.tflite, result.outputs, plan.float_nodes, details, plan.float_nodes)


@dataclass(frozen=True)
class Engine:
    """What makes a model integer.

    Attributes:
        knows: keys of a recipe that it heeds, of `_asked`.
    """

    make: MakeInteger
    knows: frozenset[str]


ENGINES: dict[str, Engine] = {
    "native": Engine(make_integer, frozenset({FINE_TUNING, CONTROL, KEEP_FLOAT, INT4})),
    "converter": Engine(converter_integer, frozenset({INT16})),
    "litert_quantizer": Engine(litert_integer, frozenset({KEEP_FLOAT, INT4, INT16})),
    "tfmot": Engine(tfmot_integer, frozenset({FINE_TUNING})),
}


def engine(name: str) -> MakeInteger:
    """The engine of a name; it raises a `ModelError` for a recipe with a key that it does not know.

    Raises:
        ConfigError: unknown.
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown --engine {name!r}; {nearest(name, ENGINES)}")

    def make(source: Source, recipe: ExportRecipe, folder: Path, listener: ExportListener, batch: int) -> Integer:
        for key in _asked(recipe):
            if key in ENGINES[name].knows:
                continue
            able = ", ".join(other for other, entry in ENGINES.items() if key in entry.knows)
            raise ModelError(f"recipe {recipe.name}: engine {name} has no {key}; use --engine {able}")
        return ENGINES[name].make(source, recipe, folder, listener, batch)

    return make


def _asked(recipe: ExportRecipe) -> list[str]:
    """Keys of a recipe that not every engine knows."""
    assert recipe.integer is not None
    asked = {
        FINE_TUNING: recipe.integer.fine_tuning is not None,
        CONTROL: recipe.is_control,
        KEEP_FLOAT: bool(recipe.integer.keep_float),
        INT4: recipe.weights == "int4",
        INT16: recipe.integer.activations == "int16",
    }
    return [key for key, wanted in asked.items() if wanted]
