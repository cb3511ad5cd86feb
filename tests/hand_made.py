"""A `.tflite` file made by hand, without TensorFlow: a photo of 4 × 4 pixels, a convolution, a mean, a sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

PHOTO, KERNEL, BIAS, MAP, AXES, MEANS, SHIFT, OUTPUT = range(8)
"""Tensors by index: (1, 4, 4, 3) → (1, 3, 3, 2) → (1, 2)."""
CONV, MEAN, ADD = range(3)
"""Ops by index."""
WEIGHTS = np.arange(24, dtype="<f4").reshape(2, 2, 2, 3) / 24


def file_of(model: Any) -> bytes:
    """The bytes of an unpacked model."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def model(
    change: Callable[[Any], object] = lambda model: None, side: int = 4, batch: int = 1, description: str = "by hand"
) -> bytes:
    """The file after a change to its unpacked model.

    Args:
        side: of the photo in pixels.
        batch: photos of one invocation.
    """
    made = schema.ModelT()
    made.version, made.description = 3, description
    kinds = schema.BuiltinOperator
    made.operatorCodes = [_code(kind) for kind in (kinds.CONV_2D, kinds.MEAN, kinds.ADD)]
    made.buffers, graph = [schema.BufferT()], schema.SubGraphT()
    constants = {
        KERNEL: WEIGHTS, BIAS: np.array([1, -1], "<f4"), AXES: np.array([1, 2], "<i4"), SHIFT: np.array([10, 20], "<f4")
    }  # fmt: skip
    shapes = [
        (batch, side, side, 3), (2, 2, 2, 3), (2,), (batch, side - 1, side - 1, 2), (2,), (batch, 2), (2,), (batch, 2)
    ]  # fmt: skip
    graph.tensors = []
    for index, shape in enumerate(shapes):
        tensor = schema.TensorT()
        tensor.shape, tensor.name = list(shape), f"t{index}"
        tensor.type = schema.TensorType.INT32 if index == AXES else schema.TensorType.FLOAT32
        if index in constants:
            tensor.buffer = len(made.buffers)
            made.buffers.append(schema.BufferT())
            made.buffers[-1].data = np.frombuffer(constants[index].tobytes(), np.uint8)
        graph.tensors.append(tensor)
    graph.operators = [
        _op(CONV, [PHOTO, KERNEL, BIAS], [MAP], _strides(schema.Conv2DOptionsT()), schema.BuiltinOptions.Conv2DOptions),
        _op(MEAN, [MAP, AXES], [MEANS], schema.ReducerOptionsT(), schema.BuiltinOptions.ReducerOptions),
        _op(ADD, [MEANS, SHIFT], [OUTPUT], schema.AddOptionsT(), schema.BuiltinOptions.AddOptions),
    ]
    graph.inputs, graph.outputs = [PHOTO], [OUTPUT]
    made.subgraphs, made.metadata = [graph], []
    signature = schema.SignatureDefT()
    signature.signatureKey = "serving_default"
    signature.inputs, signature.outputs = [_named("image", PHOTO)], [_named("t", OUTPUT)]
    made.signatureDefs = [signature]
    change(made)
    return file_of(made)


def sidecar(path: Path, recipe: str = "float32", **crop: Any) -> dict[str, Any]:
    """A sidecar that is true of a written file, whose two numbers are said to be probabilities of no and yes."""
    from keras_faceattr.artifact.cost import cost_of, op_counts
    from keras_faceattr.artifact.flatbuffer import read_tflite
    from keras_faceattr.config_files import load_experiment
    from keras_faceattr.faces.crop_spec import CropSpec
    from keras_faceattr.storage import sha256

    file = read_tflite(path)
    batch, side = file.tensors[PHOTO].shape[:2]
    experiment = load_experiment("quickstart", [], {}).model_dump(mode="json")
    cut = CropSpec(size=side, **crop).to_dict()
    experiment["data"]["crop"] = {key: value for key, value in cut.items() if key != "version"}
    experiment["tasks"] = {"t": {"kind": "categorical", "classes": ["no", "yes"]}}
    hashes = {"label_hash": "0", "split_hash": "0"}
    return {
        "name": path.stem, "recipe": recipe, "status": "passed", "model": "by_hand",
        "gates": [{"name": "finite outputs", "limit": "on every photo", "measured": "on every photo", "met": True}],
        "file": {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)},
        "input": {"name": "image", "shape": [batch, side, side, 3], "dtype": "float32"},
        "outputs": {
            "t": {
                "task": "t", "meaning": "probabilities", "unit": "", "shape": [batch, 2], "dtype": "float32",
                "labels": ["no", "yes"],
            }
        },
        "tasks": {"t": {"kind": "categorical", "name": "t", "classes": ["no", "yes"]}}, "crop": cut,
        "quantization": {"recipe": {"name": recipe, "weights": "float32", "tolerance": {}}},
        "metrics": {}, "protocol": {"split": "test", "photos": 1, "tta": "none", "seed": 0, "split_hash": "0"},
        "parity": {"photos": 1, "metrics": {"float": {}, "file": {}}, "differences": {}, "drop": {}, "groups": {}},
        "cost": asdict(cost_of(file)), "operations": op_counts(file), "licences": {"code": "Apache-2.0", "data": {}},
        "training": {"photos": {"train": 1}, "sources": {}, **hashes}, "notices": [], "versions": {},
        "experiment": experiment,
    }  # fmt: skip


def expected(photo: np.ndarray) -> np.ndarray:
    """(2,) that the file gives a (4, 4, 3) photo."""
    windows = np.lib.stride_tricks.sliding_window_view(photo.astype("float64"), (2, 2), axis=(0, 1))
    maps = np.einsum("ijchw,ohwc->ijo", windows, WEIGHTS.astype("float64")) + np.array([1, -1])
    return np.asarray(maps.mean(axis=(0, 1)) + np.array([10, 20]))


def _code(kind: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), 1
    return code


def _op(code: int, inputs: list[int], outputs: list[int], options: Any, kind: int) -> Any:
    op = schema.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = code, inputs, outputs
    op.builtinOptions, op.builtinOptionsType = options, kind
    return op


def _strides(options: Any) -> Any:
    options.strideW = options.strideH = 1
    options.padding = schema.Padding.VALID
    return options


def _named(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
