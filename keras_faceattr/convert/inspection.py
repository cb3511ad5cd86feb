"""Refusing a file that would not run on a phone, or computes in floats where it should not."""

from __future__ import annotations

from collections.abc import Collection

from keras_faceattr.artifact.cost import custom_ops, float_ops, layers_of
from keras_faceattr.artifact.flatbuffer import Op, TFLiteFile
from keras_faceattr.errors import ArtifactError

MOVING = ("QUANTIZE", "DEQUANTIZE", "RESHAPE")
"""Operations that change no value, or are the border between integers and floats."""


def check_operations(
    file: TFLiteFile,
    layers: Collection[str],
    float_layers: Collection[str] | None,
    exact_layers: Collection[str] = (),
) -> None:
    """Looks at every operation of a converted file.

    Args:
        layers: names of the model's layers.
        float_layers: those that an integer file may compute in floats; None where floats are meant.
        exact_layers: those that it must compute in floats.

    Raises:
        ArtifactError: custom or Flex operations, a dynamic batch, unintended floats or integers; with the layers they
            come from.
    """
    _refuse(file, custom_ops(file), layers, "no builtin operations of LiteRT")
    dynamic = [tensor.name for tensor in file.tensors if tensor.is_dynamic]
    if dynamic:
        raise ArtifactError(f"the file has shapes that are not fixed: {', '.join(dynamic[:5])}")
    if float_layers is not None:
        found = [op for op in float_ops(file) if not _allowed(layers_of(file, op, layers), float_layers)]
        _refuse(file, found, layers, "floats inside the integer graph")
    if exact_layers:
        floats = {op.index for op in float_ops(file)}
        found = [
            op
            for op in file.ops
            if op.index not in floats and op.kind not in MOVING and _allowed(layers_of(file, op, layers), exact_layers)
        ]
        _refuse(file, found, layers, "integers inside layers that are to stay in float")


def _allowed(names: list[str], float_layers: Collection[str]) -> bool:
    return bool(names) and all(name in float_layers for name in names)


def _refuse(file: TFLiteFile, ops: list[Op], layers: Collection[str], what: str) -> None:
    if not ops:
        return
    named = [f"{op.kind} ({', '.join(layers_of(file, op, layers)) or 'layer not known'})" for op in ops]
    raise ArtifactError(f"{what}: {', '.join(named[:8])}{' …' if len(named) > 8 else ''}")
