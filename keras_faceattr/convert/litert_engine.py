"""Post-training quantization by LiteRT Quantizer, which LiteRT's makers offer in place of the converter's own."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.artifact.cost import layers_of
from keras_faceattr.artifact.flatbuffer import TFLiteFile, read_tflite
from keras_faceattr.backend import silent_native_output
from keras_faceattr.convert.conversion import INPUT, SIGNATURE, convert
from keras_faceattr.convert.native import Integer, batches, draw, float_layers
from keras_faceattr.convert.recipe import ExportRecipe
from keras_faceattr.convert.source import ExportListener, Source
from keras_faceattr.data.mixing import source_weights
from keras_faceattr.errors import ModelError
from keras_faceattr.machine import usable_cores
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.quantization.plan import make_plan
from keras_faceattr.quantization.quantize import kept_in_float

PACKAGE = "litert_quantizer"
EVERYTHING = ".*"


def litert_integer(source: Source, recipe: ExportRecipe, folder: Path, listener: ExportListener, batch: int) -> Integer:
    """Quantizes the float file; layers that the native engine would leave in float stay in float here too.

    There is no fake-quantized model of it: only float model and file are compared. The file takes and gives floats.

    Raises:
        ModelError: the extra is not installed, a layer has no int8 kernel, or LiteRT Quantizer refuses the net.
        ConfigError: a pattern of `keep_float` that matches no layer.
    """
    assert recipe.integer is not None
    if importlib.util.find_spec(PACKAGE) is None:
        raise ModelError("engine litert_quantizer needs the extra: pip install 'keras-faceattr[litert-quantizer]'")
    graph = read_graph(source.folded)
    plan = make_plan(graph, recipe.integer.heads, keep_float=kept_in_float(graph, recipe.integer.keep_float))
    reasons = float_layers(recipe, plan)
    train, photos = source.data.parts.get("train"), recipe.integer.calibration.photos
    drawn = draw(train, photos, source.experiment.seed, source_weights(source.experiment.data.sources))
    listener.say(f"{recipe.name}: quantizing with LiteRT Quantizer, calibrating on {len(drawn)} photos")
    content = convert(source.folded, batch=batch)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "float.tflite"
        path.write_bytes(content)
        file = read_tflite(path)
    skipped = _scopes(file, [layer.name for layer in source.folded.layers], plan.float_nodes)
    try:
        # It draws progress bars, whatever it is told.
        with silent_native_output(stdout=True):
            quantized = _quantized(content, recipe, skipped, _fed(np.concatenate(batches(drawn)), batch))
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"LiteRT Quantizer refuses the net ({reason}): use engine native") from None
    details = {
        "engine": PACKAGE,
        "versions": {"litert-quantizer": metadata.version("litert-quantizer")},
        "calibration_photos": len(drawn),
        "float_layers": reasons,
    }
    return Integer(quantized, None, plan.float_nodes, details, plan.float_nodes)


def _scopes(file: TFLiteFile, layers: list[str], floats: frozenset[str]) -> list[str]:
    """Regular expressions of the operations that stay in float, as the package names them: by their outputs."""
    scopes = []
    for op in file.ops:
        names = layers_of(file, op, layers)
        if names and floats.issuperset(names):
            scopes.append("^" + "".join(f"{re.escape(file.tensors[index].name)};?" for index in op.outputs) + "$")
    return scopes


def _fed(pixels: np.ndarray, batch: int) -> list[dict[str, np.ndarray]]:
    """Whole batches of pixels, by the name of the file's input; photos repeat where there are too few for one."""
    whole = np.resize(pixels, (max(len(pixels) // batch, 1), batch, *pixels.shape[1:]))
    return [{INPUT: part} for part in whole]


def _quantized(content: bytes, recipe: ExportRecipe, skipped: list[str], fed: list[dict[str, np.ndarray]]) -> bytes:
    # Of an extra, which most users do not have.
    from litert_quantizer import Quantizer
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import TFLOperationName as Operation

    assert recipe.integer is not None
    bits = 16 if recipe.integer.activations == "int16" else 8
    quantizer: Any = Quantizer(bytearray(content))
    quantizer.add_static_config(EVERYTHING, Operation.ALL_SUPPORTED, bits, 8)
    if recipe.weights == "int4":
        quantizer.add_static_config(EVERYTHING, Operation.CONV_2D, bits, 4)
    for operation in (Operation.INPUT, Operation.OUTPUT):
        quantizer.update_quantization_recipe(EVERYTHING, operation, algorithm_key=AlgorithmName.NO_QUANTIZE)
    for scope in skipped:
        quantizer.update_quantization_recipe(scope, Operation.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE)
    ranges = quantizer.calibrate({SIGNATURE: fed}, num_threads=usable_cores())
    return bytes(quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False).quantized_model)
