"""Check whether a graph can be run at all: the native runtime trusts it, and crashes on a wrong one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from keras_faceattr.errors import ArtifactError

if TYPE_CHECKING:
    from keras_faceattr.artifact.flatbuffer import Op, Tensor, TFLiteFile

MAX_ELEMENTS = 2**30
"""Elements of all activations together; ResNet-50 on a photo of 1024 pixels has 0.46 · 10⁹."""

OPTIONAL_INPUTS = {
    "CONV_2D": {2},
    "CONV_3D": {2},
    "DEPTHWISE_CONV_2D": {2},
    "FULLY_CONNECTED": {2},
    "TRANSPOSE_CONV": {3},
    "CONV_3D_TRANSPOSE": {3},
    "RESHAPE": {1},
    "SVDF": {3},
    "LSTM": {1, 5, 9, 10, 11, 12, 16, 17, 20, 21, 22, 23},
    "UNIDIRECTIONAL_SEQUENCE_LSTM": {1, 5, 9, 10, 11, 12, 16, 17, 20, 21, 22, 23},
    "BIDIRECTIONAL_SEQUENCE_LSTM": {1, 5, 9, 10, 11, 12, 16, 17, 18, 22, 26, 27, 28, 29, 33, 34, *range(39, 48)},
    "BIDIRECTIONAL_SEQUENCE_RNN": {9, 10, 11},
}
"""Places at which an op's input may be absent (−1), or end the list; no other op has such places."""

LEAST_INPUTS = {
    "CONV_2D": 2,
    # The runtime crashes without a third one, even if that is absent.
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 2,
    "TRANSPOSE_CONV": 3,
    "PRELU": 2,
    "BATCH_MATMUL": 2,
}

LARGEST_RATIO = 2.0**30
"""Ratio of the scales of an op's tensors: it becomes a shift of 32-bit integers."""

SCALED = frozenset(
    {
        "ADD", "SUB", "MUL", "MEAN", "SUM", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED",
        "BATCH_MATMUL", "SOFTMAX", "LOGISTIC", "TANH", "PRELU", "LEAKY_RELU", "QUANTIZE", "DEQUANTIZE",
    }
)  # fmt: skip
"""Ops that compute with the scales of small integers; most others pass bytes on."""
SMALL_INTEGERS = ("uint8", "int8", "int16")

LEVELS = {"uint8": (0, 255), "int8": (-128, 127), "int16": (-(2**15), 2**15 - 1), "int32": (-(2**31), 2**31 - 1)}
"""Between which integers the zero point of a type lies."""


def fault_of(file: TFLiteFile) -> str | None:
    """Return the first fault that keeps every runtime from running a graph, or None."""
    return next(chain(_tensor_faults(file), _graph_faults(file), _signature_faults(file)), None)


def refuse_free_pictures(path: Path, file: TFLiteFile) -> None:
    """Refuses a file whose pictures have no size of their own: the shape in it, 1 × 1 pixel, is a place holder.

    Raises:
        ArtifactError: a dimension of an input behind the batch may change.
    """
    for index in file.inputs:
        tensor = file.tensors[index]
        if any(axis > 0 for axis in tensor.free_axes):
            sizes = ["?" if axis in tensor.free_axes else str(size) for axis, size in enumerate(tensor.shape)]
            fixed = ["224" if axis and axis in tensor.free_axes else str(s) for axis, s in enumerate(tensor.shape)]
            raise ArtifactError(
                f"{path}: its input {tensor.name!r} has a free size, {' × '.join(sizes)}: "
                f"convert the model again with a fixed one, such as tf.TensorSpec(({', '.join(fixed)}), tf.float32)"
            )


def _tensor_faults(file: TFLiteFile) -> Iterator[str]:
    for tensor in file.tensors:
        if not all(math.isfinite(scale) and scale > 0 for scale in tensor.scale):
            yield f"tensor {tensor.index} has a scale that is no number above 0"
        low, high = LEVELS.get(tensor.dtype, (-(2**63), 2**63 - 1))
        if not all(low <= point <= high for point in tensor.zero_point):
            yield f"tensor {tensor.index} has a zero point outside of {tensor.dtype}"
    elements = sum(tensor.elements for tensor in file.tensors if not tensor.is_constant)
    if elements > MAX_ELEMENTS:
        yield f"its activations have {float(elements):.3g} elements, the limit is {MAX_ELEMENTS:.3g}"


def _graph_faults(file: TFLiteFile) -> Iterator[str]:
    if not file.inputs or not file.outputs:
        yield f"the graph has {len(file.inputs)} inputs and {len(file.outputs)} outputs"
    for index in file.inputs:
        if file.tensors[index].is_constant:
            yield f"input {index} of the graph is a constant"
    if len(set(file.inputs)) < len(file.inputs):
        yield "the graph names an input twice"
    written = set(file.inputs)
    for op in file.ops:
        yield from _input_faults(op, file.tensors, written)
        for index in op.outputs:
            tensor = file.tensors[index]
            if index in written or tensor.is_constant or tensor.is_variable:
                yield f"op {op.index} ({op.kind}) writes tensor {index}, which has a value already"
        yield from _scale_faults(op, file.tensors)
        written.update(op.outputs)
    for index in file.outputs:
        if not _has_value(file.tensors[index], written):
            yield f"output {index} of the graph is written by no op"


def _input_faults(op: Op, tensors: tuple[Tensor, ...], written: set[int]) -> Iterator[str]:
    optional = OPTIONAL_INPUTS.get(op.kind, set())
    if len(op.inputs) < LEAST_INPUTS.get(op.kind, 0):
        yield f"op {op.index} ({op.kind}) has {len(op.inputs)} inputs instead of {LEAST_INPUTS[op.kind]}"
    for place, index in enumerate(op.inputs):
        if index < 0:
            if place not in optional:
                yield f"op {op.index} ({op.kind}) lacks its input {place}"
        elif not _has_value(tensors[index], written):
            yield f"op {op.index} ({op.kind}) reads tensor {index}, which no op before it writes"


def _scale_faults(op: Op, tensors: tuple[Tensor, ...]) -> Iterator[str]:
    small = [tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0 and tensors[i].dtype in SMALL_INTEGERS]
    scales = [scale for tensor in small for scale in tensor.scale]
    if scales and max(scales) > LARGEST_RATIO * min(scales):
        yield f"op {op.index} ({op.kind}) joins scales of {min(scales):.3g} and {max(scales):.3g}"
    bare = [tensor.index for tensor in small if not tensor.scale]
    if bare and op.kind != "CAST" and (scales or op.kind in SCALED):
        yield f"op {op.index} ({op.kind}) needs a scale of tensor {bare[0]}"


def _has_value(tensor: Tensor, written: set[int]) -> bool:
    return tensor.index in written or tensor.is_constant or tensor.is_variable or not tensor.elements


def _signature_faults(file: TFLiteFile) -> Iterator[str]:
    for what, named, known in (
        ("input", file.signature_inputs, file.inputs),
        ("output", file.signature_outputs, file.outputs),
    ):
        for name, index in named.items():
            if index not in known:
                yield f"the signature's {what} {name!r} is no {what} of the graph"
