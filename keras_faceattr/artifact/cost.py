"""Cost and contents of the graph of a `.tflite` file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from keras_faceattr.artifact.flatbuffer import FLOATS, Op, Tensor, TFLiteFile
from keras_faceattr.errors import ArtifactError

WEIGHT_INPUTS = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
    "PRELU": (1,),
}
"""Places of the kernel and the bias among an op's inputs: int32 is a bias there and an argument elsewhere."""
OPS_WITH_ARGUMENTS = frozenset({"PADV2", "FILL", "ONE_HOT", "RANGE"})
"""Ops whose constants are arguments, although they may be floats."""
VARIABLE_OPS = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"})


@dataclass(frozen=True)
class Cost:
    """Cost of one run of a file, with the batch size that the file has.

    Attributes:
        parameters: elements of all weights: kernels, biases, and constants of other ops such as MUL and ADD, but not
            shapes, axes and paddings. Each tensor counts once; the converter merges equal ones.
        macs: multiply-accumulates of convolutions, fully connected layers and matrix products.
        weight_bytes: all constant data, each buffer once.
        peak_activation_bytes: largest sum of the activations that are alive at one op, in the file's order. A runtime
            that never writes an op's output over its input needs at least as much; its arena adds alignment, gaps and
            scratch memory. Weights that the runtime unpacks once at load (DEQUANTIZE of a constant) are left out, as
            are strings and resources.
    """

    parameters: int
    macs: int
    file_bytes: int
    weight_bytes: int
    peak_activation_bytes: int


def cost_of(file: TFLiteFile) -> Cost:
    """Cost by the graph of a file.

    Raises:
        ArtifactError: the weights are variables instead of constants, or a kernel's shape is not known.
    """
    if any(op.kind in VARIABLE_OPS for op in file.ops):
        raise ArtifactError(
            "the file holds its weights as variables, so that its cost is not known; "
            "convert a SavedModel that model.export() wrote"
        )
    computing = [op for op in file.ops if file.unpacked_constants.keys().isdisjoint(op.outputs)]
    return Cost(
        parameters=sum(file.tensors[index].elements for index in _weights(file, computing)),
        macs=sum(_macs(file, op) for op in computing),
        file_bytes=file.file_bytes,
        weight_bytes=sum({tensor.buffer: tensor.constant_bytes for tensor in file.tensors}.values()),
        peak_activation_bytes=_peak_activation_bytes(file, computing),
    )


def _weights(file: TFLiteFile, ops: list[Op]) -> set[int]:
    found = set()
    for op in ops:
        for place, index in enumerate(op.inputs):
            stored = file.unpacked_constants.get(index, index)
            if stored < 0 or not file.tensors[stored].is_constant or op.kind in OPS_WITH_ARGUMENTS:
                continue
            if place in WEIGHT_INPUTS.get(op.kind, ()) or _is_data(file.tensors[stored]):
                found.add(stored)
    return found


def _is_data(tensor: Tensor) -> bool:
    return tensor.dtype in FLOATS or (bool(tensor.scale) and tensor.dtype not in ("int32", "int64"))


def _macs(file: TFLiteFile, op: Op) -> int:
    def shape(indices: tuple[int, ...], place: int, rank: int) -> tuple[int, ...]:
        """Last `rank` dimensions of one of the op's tensors."""
        dimensions = file.tensors[indices[place]].shape if place < len(indices) and indices[place] >= 0 else ()
        if len(dimensions) < rank:
            raise ArtifactError(f"op {op.index} ({op.kind}) has a tensor of unknown shape; export the model again")
        return dimensions[-rank:]

    results = file.tensors[op.outputs[0]].elements if op.outputs else 0
    match op.kind:
        case "CONV_2D":  # kernel (outputs, height, width, inputs of a group)
            return results * math.prod(shape(op.inputs, 1, 4)[1:])
        case "DEPTHWISE_CONV_2D":  # kernel (1, height, width, outputs)
            return results * math.prod(shape(op.inputs, 1, 4)[1:3])
        case "FULLY_CONNECTED":  # kernel (outputs, inputs)
            return results * shape(op.inputs, 1, 2)[1]
        case "TRANSPOSE_CONV":  # kernel (outputs, height, width, inputs), used once for each value of the third input
            return math.prod(shape(op.inputs, 1, 4)[:3]) * math.prod(shape(op.inputs, 2, 4))
        case "BATCH_MATMUL":  # Either of the last two dimensions may be summed; the other one is the output's rows.
            rows = shape(op.outputs, 0, 2)[0]
            return results * math.prod(shape(op.inputs, 0, 2)) // rows if rows else 0
        case _:
            return 0


def _peak_activation_bytes(file: TFLiteFile, ops: list[Op]) -> int:
    last_step = max(len(ops) - 1, 0)
    born = dict.fromkeys(file.inputs, 0)
    dies = dict(born)
    for step, op in enumerate(ops):
        for index in op.outputs:
            born.setdefault(index, step)
        dies |= dict.fromkeys([*op.inputs, *op.outputs], step)
    dies |= dict.fromkeys(file.outputs, last_step)
    for state in dies.keys() - born.keys():
        born[state], dies[state] = 0, last_step
    change = [0] * (last_step + 2)
    for index in born.keys() - file.unpacked_constants.keys() - {-1}:
        if not file.tensors[index].is_constant:
            change[born[index]] += file.tensors[index].value_bytes
            change[dies[index] + 1] -= file.tensors[index].value_bytes
    return max(accumulate(change))


def layers_of(file: TFLiteFile, op: Op, known: Collection[str]) -> list[str]:
    """Names of the Keras layers that an op comes from, in the order of the op's tensor names.

    The converter fuses layers and joins their paths: `net_1/relu_1/Relu;net_1/conv_1/convolution`. The last part of a
    path is TensorFlow's own. Keras appends `_1` to a layer's scope, so that `relu_1` is the layer of that name, or
    else the layer `relu`. An op whose outputs name no known layer (the graph's outputs are renamed) goes by its
    weights, then by its other inputs.

    Args:
        known: names of the model's layers.
    """
    outputs = [file.tensors[index] for index in op.outputs]
    inputs = [file.tensors[index] for index in op.inputs if index >= 0]
    weights = [tensor for tensor in inputs if tensor.is_constant or tensor.index in file.unpacked_constants]
    for tensors in (outputs, weights, inputs):
        paths = [path.split("/") for tensor in tensors for path in tensor.name.split(";")]
        scopes = [scope for path in paths for scope in path[:-1] or path]
        if found := [name for scope in scopes if (name := _layer_named(scope, known))]:
            return list(dict.fromkeys(found))
    return []


def _layer_named(scope: str, known: Collection[str]) -> str | None:
    if scope in known:
        return scope
    stem, _, digits = scope.rpartition("_")
    return stem if digits.isdecimal() and stem in known else None


def float_ops(file: TFLiteFile) -> list[Op]:
    """Ops that compute on floats: all but QUANTIZE and DEQUANTIZE that take or give a float activation."""

    def is_float(op: Op) -> bool:
        inputs = [file.tensors[index] for index in op.inputs if index >= 0]
        values = [tensor for tensor in inputs if not tensor.is_constant] + [file.tensors[i] for i in op.outputs]
        return any(tensor.dtype in FLOATS for tensor in values)

    return [op for op in file.ops if op.kind not in ("QUANTIZE", "DEQUANTIZE") and is_float(op)]


def integer_share(file: TFLiteFile) -> float:
    """Share of the multiply-accumulates that ops on integers do; 1 where there are none to do."""
    floats = {op.index for op in float_ops(file)}
    computing = [op for op in file.ops if file.unpacked_constants.keys().isdisjoint(op.outputs)]
    macs = {op.index: _macs(file, op) for op in computing}
    total = sum(macs.values())
    return 1 - sum(macs[index] for index in floats & macs.keys()) / total if total else 1.0


def custom_ops(file: TFLiteFile) -> list[Op]:
    """Flex and other custom ops, which no runtime on a phone brings along."""
    return [op for op in file.ops if op.is_custom]


def op_table(file: TFLiteFile) -> list[dict[str, Any]]:
    """One row of plain data for each op; an absent input has the type None."""
    rows = []
    for op in file.ops:
        outputs = [file.tensors[index] for index in op.outputs]
        rows.append(
            {
                "index": op.index,
                "kind": op.kind,
                "input_types": [file.tensors[index].dtype if index >= 0 else None for index in op.inputs],
                "output_types": [tensor.dtype for tensor in outputs],
                "output_shape": list(outputs[0].shape) if outputs else None,
                "output_name": outputs[0].name if outputs else None,
            }
        )
    return rows


def type_counts(file: TFLiteFile) -> dict[str, int]:
    """Number of tensors of each type, the commonest first."""
    return dict(Counter(tensor.dtype for tensor in file.tensors).most_common())


def op_counts(file: TFLiteFile) -> dict[str, int]:
    """Number of ops of each kind, the commonest first."""
    return dict(Counter(op.kind for op in file.ops).most_common())
