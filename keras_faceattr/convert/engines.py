"""What makes a model integer: our own engine, the converter's own calibration, or TFMOT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keras_faceattr.convert.conversion import convert
from keras_faceattr.convert.native import Integer, batches, draw, float_layers, make_integer, start_run
from keras_faceattr.convert.recipe import ExportRecipe
from keras_faceattr.convert.source import ExportListener, Source
from keras_faceattr.data.mixing import source_weights
from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.quantization.plan import make_plan
from keras_faceattr.quantization.tfmot import fine_tune_with_tfmot

MakeInteger = Callable[[Source, ExportRecipe, Path, ExportListener, int], Integer]


def converter_integer(
    source: Source, recipe: ExportRecipe, folder: Path, listener: ExportListener, batch: int
) -> Integer:
    """Post-training quantization by the converter itself: a yardstick, which rounds the heads too.

    There is no fake-quantized model of it: only float model and file are compared.
    """
    assert recipe.integer is not None
    _check_native(recipe, "converter")
    train, photos = source.data.parts.get("train"), recipe.integer.calibration.photos
    weights = source_weights(source.experiment.data.sources)
    shown = batches(draw(train, photos, source.experiment.seed, weights))
    listener.say(f"{recipe.name}: converting with {sum(map(len, shown))} photos")
    images = [image[None] for part in shown for image in part]
    content = convert(
        source.folded, batch=batch, weights="int8", integer_input=True, integer_output=recipe.integer.heads,
        representative=images,
    )  # fmt: skip
    heads = make_plan(read_graph(source.folded)).float_nodes
    details = {"engine": "converter", "calibration_photos": len(images)}
    return Integer(content, None, heads, details)


def tfmot_integer(source: Source, recipe: ExportRecipe, folder: Path, listener: ExportListener, batch: int) -> Integer:
    """Quantization-aware training by TFMOT in a child process: the yardstick of the native engine."""
    assert recipe.integer is not None
    _check_native(recipe, "tfmot")
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
    details["float_layers"] = float_layers(plan)
    return Integer(result.tflite, result.outputs, plan.float_nodes, details, plan.float_nodes)


def _check_native(recipe: ExportRecipe, engine: str) -> None:
    """Refuses what an engine would pass over in silence."""
    if recipe.is_control:
        raise ConfigError(f"engine {engine} cannot fine-tune without rounding: use engine native")
    if recipe.integer and recipe.integer.keep_float:
        raise ConfigError(f"engine {engine} knows no integer.keep_float: use engine native")


ENGINES: dict[str, MakeInteger] = {"native": make_integer, "converter": converter_integer, "tfmot": tfmot_integer}


def engine(name: str) -> MakeInteger:
    """The engine of a name.

    Raises:
        ConfigError: unknown.
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown --engine {name!r}; {nearest(name, ENGINES)}")
    return ENGINES[name]
