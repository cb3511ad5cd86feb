"""Graph of a `.tflite` file, from its bytes: read without a runtime, from anybody's file."""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from keras_faceattr.artifact.soundness import fault_of
from keras_faceattr.errors import ArtifactError

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
MAX_RANK = 32
MAX_CONTENT = 5_000_000
"""Numbers and characters read from one file. A hostile file may point at the same bytes again and again."""
TABLE_CONTENT = 100
"""Share of a tensor or an op in that sum, by the time it takes to read."""


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


KINDS = _names(schema.BuiltinOperator)
OPTIONS = _names(schema.BuiltinOptions)
ACTIVATIONS = _names(schema.ActivationFunctionType)
DTYPES = {value: name.lower() for value, name in _names(schema.TensorType).items()}
FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})
BITS = {name: int(digits[0]) for name in DTYPES.values() if (digits := re.findall(r"\d+", name))} | {"bool": 8}
"""Bits of one element; strings, resources and variants have no fixed size."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of the graph; a dimension that may change stands as 1 in `shape`."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    quantized_dimension: int
    constant_bytes: int
    buffer: int
    """The same number for tensors that share their constant data."""
    is_dynamic: bool
    is_variable: bool = False
    """True if it keeps its value from run to run, and may be read before it is written."""
    free_axes: tuple[int, ...] = ()
    """Dimensions that may change."""

    @property
    def is_constant(self) -> bool:
        return self.constant_bytes > 0

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def value_bytes(self) -> int:
        """Bytes of its elements; 0 where an element has no fixed size."""
        return (self.elements * BITS.get(self.dtype, 0) + 7) // 8


@dataclass(frozen=True)
class Op:
    """One operation; the input -1 is an optional one that is absent."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    fused_activation: str
    is_custom: bool


@dataclass(frozen=True)
class TFLiteFile:
    """The graph of a file in the order in which it runs; tensors are named by their index."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signature_inputs: dict[str, int]
    signature_outputs: dict[str, int]
    description: str
    file_bytes: int

    @cached_property
    def unpacked_constants(self) -> dict[int, int]:
        """Outputs of the DEQUANTIZE ops of constants (float16 and weight-only recipes) → the packed constants."""
        pairs = [
            (op.outputs[0], op.inputs[0]) for op in self.ops if op.kind == "DEQUANTIZE" and op.inputs and op.outputs
        ]
        return {unpacked: stored for unpacked, stored in pairs if stored >= 0 and self.tensors[stored].is_constant}


def read_tflite(path: Path) -> TFLiteFile:
    """The graph of a `.tflite` file; weights are checked to be there, but not loaded.

    Raises:
        ArtifactError: no such file, not a TFLite file, damaged, with more than one subgraph (control flow), or with a
            graph that no runtime can run.
    """
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            raise ArtifactError(f"{path}: {found}; give the path of a .tflite file")
        if not path.stat().st_size:
            raise ArtifactError(f"{path}: the file is empty; export the model again")
        with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[4:8] != IDENTIFIER:
                raise ArtifactError(f"{path}: not a TFLite file; give a .tflite file made by an export")
            file = _Reader(data).file()
        if fault := fault_of(file):
            raise _UnusableError(_wrong(fault))
        return file
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror or error}") from error
    except _UnusableError as error:
        raise ArtifactError(f"{path}: {error}") from error
    except (struct.error, ValueError, TypeError, IndexError, OverflowError) as error:
        raise ArtifactError(f"{path}: {_damaged('it points outside itself')}") from error


class _UnusableError(Exception):
    """Why a file is not taken, without its path."""


def _damaged(what: str) -> str:
    return f"the file is damaged or truncated ({what}); copy it or export the model again"


def _wrong(what: str) -> str:
    return f"its graph cannot be run ({what}); convert or export the model again"


class _Reader:
    """Walks from a flatbuffer's root to everything that is kept, and trusts no offset, length or index.

    The generated classes raise where a number or a vector of numbers lies outside the data.
    """

    def __init__(self, data: mmap.mmap):
        self.data = data
        self.model: Any = self.checked(schema.Model.GetRootAs(data))
        self.content_left = MAX_CONTENT
        self.first_buffer_at: dict[tuple[int, int], int] = {}

    def file(self) -> TFLiteFile:
        if self.model.Version() != SCHEMA_VERSION:
            raise _UnusableError(_damaged(f"schema version {self.model.Version()} instead of {SCHEMA_VERSION}"))
        if self.model.ExternalBuffersLength():
            raise _UnusableError("its weights lie in other files; export the model into one file")
        if not self.model.SubgraphsLength():
            raise _UnusableError(_damaged("it has no graph"))
        if self.model.SubgraphsLength() > 1:
            raise _UnusableError(
                f"{self.model.SubgraphsLength()} subgraphs instead of 1: control flow is not supported; "
                "export a model without loops and conditions"
            )
        graph = self.checked(self.model.Subgraphs(0))
        tensors = tuple(self.tensor(i, table) for i, table in enumerate(self.tables(graph, "Tensors")))
        kinds = [self.kind(code) for code in self.tables(self.model, "OperatorCodes")]
        ops = tuple(self.op(i, table, kinds, len(tensors)) for i, table in enumerate(self.tables(graph, "Operators")))
        signatures = self.tables(self.model, "SignatureDefs")
        signature = signatures[0] if signatures else None
        for other in signatures:
            if other.SubgraphIndex() >= self.model.SubgraphsLength():
                raise _UnusableError(_damaged("a signature names a graph that does not exist"))
            for field in ("Inputs", "Outputs"):
                self.named(other, field, len(tensors))
        for note in self.tables(self.model, "Metadata"):
            self.buffer(note.Buffer(), "a note")
        return TFLiteFile(
            tensors=tensors,
            ops=ops,
            inputs=_in_range(self.numbers(graph, "Inputs"), len(tensors), "the graph's inputs"),
            outputs=_in_range(self.numbers(graph, "Outputs"), len(tensors), "the graph's outputs"),
            signature_inputs=self.named(signature, "Inputs", len(tensors)),
            signature_outputs=self.named(signature, "Outputs", len(tensors)),
            description=self.text(self.model.Description()),
            file_bytes=len(self.data),
        )

    def tensor(self, index: int, table: Any) -> Tensor:
        what = f"tensor {index}"
        shape = self.numbers(table, "Shape")
        if len(shape) > MAX_RANK or any(size < 0 for size in shape):
            raise _UnusableError(_damaged(f"{what} has an impossible shape"))
        quantization = self.checked(table.Quantization())
        scale = self.numbers(quantization, "Scale") if quantization else ()
        zero_point = self.numbers(quantization, "ZeroPoint") if quantization else ()
        if len(scale) != len(zero_point):
            raise _UnusableError(_damaged(f"{what} has {len(scale)} scales and {len(zero_point)} zero points"))
        buffer, constant_bytes = self.buffer(table.Buffer(), what)
        free = tuple(axis for axis, size in enumerate(self.numbers(table, "ShapeSignature")) if size < 0)
        tensor = Tensor(
            index=index,
            name=self.text(table.Name()),
            shape=shape,
            dtype=_known(DTYPES, table.Type(), f"type of {what}"),
            scale=scale,
            zero_point=zero_point,
            quantized_dimension=quantization.QuantizedDimension() if quantization else 0,
            constant_bytes=constant_bytes,
            buffer=buffer,
            is_dynamic=bool(free),
            free_axes=free,
            is_variable=table.IsVariable(),
        )
        has_own_layout = tensor.dtype not in BITS or table.Sparsity() is not None
        if constant_bytes and not has_own_layout and constant_bytes != tensor.value_bytes:
            raise _UnusableError(_damaged(f"{what} has {constant_bytes} bytes instead of {tensor.value_bytes}"))
        return tensor

    def buffer(self, index: int, what: str) -> tuple[int, int]:
        """First buffer with the same data, and the bytes of that data."""
        if index >= self.model.BuffersLength():
            raise _UnusableError(_damaged(f"{what} names buffer {index} of {self.model.BuffersLength()}"))
        buffer = self.checked(self.model.Buffers(index))
        if inside := buffer.DataLength():
            buffer.DataAsNumpy()  # A view: it raises where the data reach beyond the end.
            return index, inside
        # Data behind the flatbuffer; the offset 1 is a place holder of the format.
        offset, size = buffer.Offset(), buffer.Size()
        if offset <= 1 or not size:
            return index, 0
        if offset + size > len(self.data):
            raise _UnusableError(_damaged(f"the weights of {what} reach beyond the end"))
        return self.first_buffer_at.setdefault((offset, size), index), size

    def kind(self, code: Any) -> tuple[str, bool]:
        """Name of an op, and whether it is a custom one."""
        # Codes up to 127 stand in the old field, later ones in the new field.
        kind = _known(KINDS, max(code.DeprecatedBuiltinCode(), code.BuiltinCode()), "operator")
        return (self.text(code.CustomCode()) or kind, True) if kind == "CUSTOM" else (kind, False)

    def op(self, index: int, table: Any, kinds: list[tuple[str, bool]], tensors: int) -> Op:
        if table.OpcodeIndex() >= len(kinds):
            raise _UnusableError(_damaged(f"op {index} is of an undeclared kind"))
        kind, is_custom = kinds[table.OpcodeIndex()]
        return Op(
            index=index,
            kind=kind,
            inputs=_in_range(self.numbers(table, "Inputs"), tensors, f"inputs of op {index}", lowest=-1),
            outputs=_in_range(self.numbers(table, "Outputs"), tensors, f"outputs of op {index}"),
            fused_activation=self.fused_activation(index, table),
            is_custom=is_custom,
        )

    def fused_activation(self, index: int, table: Any) -> str:
        union = table.BuiltinOptions()
        options_name = _known(OPTIONS, table.BuiltinOptionsType(), f"options of op {index}")
        if union is None or options_name == "NONE":
            return ""
        options = getattr(schema, options_name)()
        options.Init(union.Bytes, union.Pos)
        self.checked(options)
        if not hasattr(options, "FusedActivationFunction"):
            return ""
        name = _known(ACTIVATIONS, options.FusedActivationFunction(), f"activation of op {index}")
        return "" if name == "NONE" else name

    def named(self, signature: Any, field: str, tensors: int) -> dict[str, int]:
        maps = self.tables(signature, field) if signature else []
        indices = _in_range((entry.TensorIndex() for entry in maps), tensors, "the signature")
        return {self.text(entry.Name()): index for entry, index in zip(maps, indices, strict=True)}

    def numbers(self, table: Any, field: str) -> tuple[Any, ...]:
        count = self.count(table, field, 1)
        return tuple(getattr(table, f"{field}AsNumpy")().tolist()) if count else ()

    def tables(self, table: Any, field: str) -> list[Any]:
        return [self.checked(getattr(table, field)(i)) for i in range(self.count(table, field, TABLE_CONTENT))]

    def checked(self, table: Any) -> Any:
        """The table itself, whose list of fields lies inside the data: Python reads negative places from the end."""
        if table is not None:
            place = table._tab.Pos - struct.unpack_from("<i", self.data, table._tab.Pos)[0]
            if not 0 <= place < len(self.data):
                raise _UnusableError(_damaged("it points outside itself"))
        return table

    def text(self, raw: bytes | None) -> str:
        self.spend(len(raw or b""))
        return (raw or b"").decode("utf-8", errors="replace")

    def count(self, table: Any, field: str, content: int) -> int:
        count = int(getattr(table, f"{field}Length")())
        self.spend(count * content)
        return count

    def spend(self, content: int) -> None:
        self.content_left -= content
        if self.content_left < 0:
            raise _UnusableError(_damaged("its lists and names are too long"))


def _known(names: dict[int, str], value: int, what: str) -> str:
    if value not in names:
        raise _UnusableError(f"unknown {what}: number {value}; update ai-edge-litert or export the model again")
    return names[value]


def _in_range(indices: Iterable[int], count: int, what: str, lowest: int = 0) -> tuple[int, ...]:
    checked = tuple(indices)
    if any(not lowest <= index < count for index in checked):
        raise _UnusableError(_damaged(f"{what} name tensors that do not exist"))
    return checked
