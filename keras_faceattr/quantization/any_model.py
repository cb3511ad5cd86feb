"""Quantization-aware training of any functional or Sequential Keras model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from keras_faceattr.errors import ConfigError, DataError, ModelError
from keras_faceattr.quantization.calibrate import DEFAULT_OBSERVER, OBSERVERS, observe, set_ranges
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.quantization.graph import Graph, read_graph
from keras_faceattr.quantization.layers import FakeQuantize, QuantizationPlan
from keras_faceattr.quantization.plan import make_plan
from keras_faceattr.quantization.quantize import PIXELS, insert, kept_in_float

BATCH = 8
"""Photos of which all activations are held at once."""

NO_PHOTOS = "no photos to calibrate with: give about 100 of those that the model is to see"

_CALIBRATION: WeakKeyDictionary[keras.Model, list[np.ndarray]] = WeakKeyDictionary()
"""Photos that a model was calibrated with, as long as it lives."""


def quantize(
    model: keras.Model,
    calibration: Any,
    *,
    strict: bool = False,
    keep_float: Sequence[str] = (),
    observer: str = DEFAULT_OBSERVER,
) -> keras.Model:
    """A copy of a model that computes in floats what an int8 `.tflite` file will compute in integers.

    Batch norms are folded, kernels and activations rounded in the forward pass, and gradients pass straight through:
    compile and fit the result as any Keras model. Ranges stay as calibrated while it trains.

    Args:
        model: functional or Sequential, with any inputs and outputs. It stays as it is.
        calibration: what the model takes, about 100 of them: an array, or a list or a dictionary of arrays where it
            has several inputs. Pixels from 0 to 255 make the input of the file uint8.
        strict: refuse the model unless every layer becomes integer, its outputs included; `keep_float` is exempt.
        keep_float: regular expressions; a layer whose name contains a match stays in float.
        observer: how ranges are taken from the activations: minmax, moving, percentile or least_squares.

    Returns:
        The quantized model, with inputs and outputs as the model has them. It can be saved and loaded.

    Raises:
        ModelError: no Keras model, or one that is quantized already; no graph, sides that are not fixed, a Lambda or a
            custom layer, a batch norm along another axis than the channels, weights that are not finite, an output that
            is an input or given twice, or with `strict` a layer without an integer kernel; it is named.
        DataError: no photos, photos that do not fit, or that are not numbers.
        ConfigError: a pattern that no layer's name matches, or an unknown observer.
    """
    if observer not in OBSERVERS:
        raise ConfigError(f"unknown observer {observer!r}; valid: {', '.join(sorted(OBSERVERS))}")
    check_model(model)
    folded = fold_batch_norm(model)
    arrays = calibration_arrays(model, calibration)
    graph = read_graph(folded)
    _check_types(graph)
    _check_outputs(graph)
    plan = make_plan(graph, all_integer=strict, strict=strict, keep_float=kept_in_float(graph, keep_float))
    limits = {name: _limits(values) for name, values in zip(graph.inputs, arrays, strict=True)}
    inserted = insert(graph, plan, limits, record=True)
    flat = [inserted.tensors[node] for node in _flat_outputs(model, graph)]
    inputs = inserted.inputs if isinstance(inserted.inputs, list) else [inserted.inputs]
    quantized = keras.Model(
        keras.tree.pack_sequence_as(_struct(model, "input"), inputs),
        keras.tree.pack_sequence_as(_struct(model, "output"), flat),
        name=graph.name,
    )
    if points := plan.points():
        ranges = {layer.name: layer for layer in quantized.layers if isinstance(layer, FakeQuantize)}
        set_ranges(ranges, observe(folded, points, _batches(arrays)), observer)
    _CALIBRATION[quantized] = arrays
    return quantized


def check_model(model: Any) -> None:
    """Refuses what is no float model of Keras.

    Raises:
        ModelError: it is not, it is quantized already, or a weight is not finite; it is named.
    """
    if not isinstance(model, keras.Model):
        opened = ": open it with kfa.load_model first" if isinstance(model, (str, os.PathLike)) else ""
        raise ModelError(f"an object of the type {type(model).__name__} is no keras.Model{opened or ': give one'}")
    if any(isinstance(layer, QuantizationPlan) for layer in model.layers):
        raise ModelError(f"model {model.name!r} is quantized already: fit it, or write its file with to_tflite")
    for weight in model.weights:
        values = np.asarray(weight)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelError(
                f"weight {weight.path!r} is not finite: load the weights of an epoch before the loss became NaN"
            )


def photos_of(quantized: keras.Model, photos: Any = None) -> list[np.ndarray]:
    """Arrays of the model's inputs: those given, or those that it was calibrated with.

    Raises:
        DataError: neither; or they do not fit.
    """
    if photos is not None:
        return calibration_arrays(quantized, photos)
    if quantized not in _CALIBRATION:
        raise DataError(
            f"model {quantized.name!r} was loaded, and its calibration photos are not kept in the file: give photos"
        )
    return _CALIBRATION[quantized]


def calibration_arrays(model: keras.Model, photos: Any) -> list[np.ndarray]:
    """What a model takes as one float32 array for each of its inputs.

    Raises:
        DataError: none, of another shape than the model's inputs, not numbers, or not finite.
    """
    if photos is None:
        raise DataError(NO_PHOTOS)
    inputs = {tensor._keras_history.operation.name: tuple(tensor.shape) for tensor in model.inputs}
    if isinstance(photos, dict):
        if set(photos) != set(inputs):
            raise DataError(f"photos are given for {', '.join(map(str, photos))}, the inputs are {', '.join(inputs)}")
        photos = [photos[name] for name in inputs]
    elif len(inputs) == 1:
        photos = [photos]
    if not isinstance(photos, (list, tuple)) or len(photos) != len(inputs):
        raise DataError(f"the model has {len(inputs)} inputs: give a list of {len(inputs)} arrays of photos")
    arrays = [_array(values, name, shape) for values, (name, shape) in zip(photos, inputs.items(), strict=True)]
    if len({len(values) for values in arrays}) > 1:
        raise DataError(f"the inputs have {', '.join(str(len(v)) for v in arrays)} photos: give as many of each")
    return arrays


def _array(values: Any, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    try:
        array = np.asarray(values, "float32")
    except (TypeError, ValueError):
        raise DataError(f"photos for input {name!r} are no array of numbers: give one of shape {shape}") from None
    if array.size == 0:
        raise DataError(NO_PHOTOS)
    fits = len(array.shape) == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if not fits:
        raise DataError(
            f"photos for input {name!r} have the shape {array.shape}, and the model takes {shape}: "
            f"{_fitted(array, shape)}"
        )
    if not np.isfinite(array).all():
        raise DataError(f"photos for input {name!r} hold numbers that are not finite: leave those out")
    return array


def _fitted(array: np.ndarray, shape: tuple[int | None, ...]) -> str:
    """How an array gets the shape that a model takes."""
    if len(array.shape) == len(shape) - 1:
        return "give a batch, photo[None] for a single one"
    if len(array.shape) == len(shape) == 4 and array.shape[-1] != shape[-1]:
        return "give them the model's channels"
    return "resize them, or build the model for theirs" if len(array.shape) == len(shape) else "give that shape"


def _check_types(graph: Graph) -> None:
    for node in graph.nodes.values():
        if node.output.dtype != "float32":
            what = f"layer {node.name!r}" if node.inputs else f"input {node.name!r}"
            raise ModelError(
                f"{what} has the type {node.output.dtype}: build the model in float32, without mixed precision"
            )


def _check_outputs(graph: Graph) -> None:
    found: dict[str, str] = {}
    for name, node in graph.outputs.items():
        if node in graph.inputs:
            raise ModelError(f"output {name!r} is an input as it is: leave it out of the model's outputs")
        if (other := found.setdefault(node, name)) != name:
            raise ModelError(f"outputs {other!r} and {name!r} are one tensor, and a file holds it once: leave one out")


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Smallest and largest value of an input; of pixels, all grey levels.

    The limits of any other are moved apart until 0 is one of the 256 steps. Grey levels that were scaled to −1…1 would
    otherwise all lie half way between two steps, where model and file round to either side.
    """
    low, high = float(values.min()), float(values.max())
    if values.ndim == 4 and values.shape[-1] in (1, 3) and low >= 0 and 1 < high <= PIXELS[1]:
        return PIXELS
    if not low < 0 < high:
        return low, high
    below = min(max(round(255 * -low / (high - low)), 1), 254)
    step = max(-low / below, high / (255 - below))
    return -below * step, (255 - below) * step


def _flat_outputs(model: keras.Model, graph: Graph) -> list[str]:
    """Nodes of the model's outputs in the order in which Keras flattens them."""
    struct = _struct(model, "output")
    names = sorted(graph.outputs) if isinstance(struct, dict) and set(struct) == set(graph.outputs) else graph.outputs
    return [graph.outputs[name] for name in names]


def _struct(model: keras.Model, side: str) -> Any:
    """The inputs or outputs as the model was given them; a `Sequential` that was never called has but the flat ones."""
    flat = getattr(model, f"{side}s")
    struct = getattr(model, side, None)
    return struct if struct is not None else flat if len(flat) > 1 else flat[0]


def _batches(arrays: list[np.ndarray]) -> list[Any]:
    starts = range(0, len(arrays[0]), BATCH)
    if len(arrays) == 1:
        return [arrays[0][start : start + BATCH] for start in starts]
    return [[values[start : start + BATCH] for values in arrays] for start in starts]


def plan_of(quantized: keras.Model) -> dict[str, str]:
    """Reason of every layer that `quantize` left in float, by its name.

    Raises:
        ModelError: the model did not come from `quantize`.
    """
    found = [layer for layer in getattr(quantized, "layers", []) if isinstance(layer, QuantizationPlan)]
    if not found:
        name = getattr(quantized, "name", quantized)
        raise ModelError(f"model {name!r} is not quantized: call quantize(model, photos) first")
    return dict(found[0].floats)
