"""TFLite Metadata: what a file says of itself to Android Studio, code generators and the task library.

Source: metadata_schema.fbs of tflite-support, schema version 1.0.0. The metadata are a flatbuffer of their own in the
file's buffer `TFLITE_METADATA`; label files lie in a zip behind the model, which runtimes pass over.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers

from keras_faceattr.artifact.sidecar import InputSpec, OutputSpec

NAME = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER_VERSION = "1.0.0"
ALIGNMENT = 16
"""Of constants in a file; whatever stands before them has a multiple of this length."""

AXIS_LABELS, RGB, FEATURE, IMAGE, NORMALIZATION = 2, 1, 1, 2, 1
"""Numbers of enumerations and unions in the schema."""

OLDEST = (1980, 1, 1, 0, 0, 0)
"""Time of the label files, so that the same model gives the same bytes."""

Pixels = tuple[float, int] | None
"""Scale and zero point of an integer input; None for floats."""


class Fields(tuple[Any, ...]):
    """A table: its fields in the order of the schema. A union takes two, its type and its table; None is absent.

    A field is text, an integer of some bytes (`Small`, `Unsigned`), a list of floats, a table or a list of tables.
    """


class Small(int):
    """An integer of one byte."""


class Unsigned(int):
    """An integer of four bytes."""


def described(
    content: bytes,
    name: str,
    description: str,
    licence: str,
    version: str,
    taken: InputSpec,
    quantized: Pixels,
    given: Mapping[str, OutputSpec],
    files: Mapping[str, bytes] | None = None,
) -> bytes:
    """The same model with metadata and label files; no byte of it changes.

    Args:
        version: of the package.
        quantized: of the input.
        given: outputs in the order of the graph.
        files: further ones for the zip behind the model, by name.
    """
    labels = {f"{output}_labels.txt": _lines(spec.labels) for output, spec in given.items() if spec.labels}
    more = dict(files or {})
    outputs = [_output(output, spec) for output, spec in given.items()]
    graph = Fields((name, description, [_input(taken, quantized)], outputs))
    further = [Fields((file, "What was measured of this file, as in its sidecar.")) for file in more]
    model = Fields((name, description, version, [graph], None, licence, further or None, PARSER_VERSION))
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, model), IDENTIFIER)
    whole = with_buffer(content, NAME, bytes(builder.Output()))
    return _with_files(whole, {**labels, **more}) if labels or more else whole


def _input(taken: InputSpec, quantized: Pixels) -> Fields:
    """Raw pixels. Tools normalise and then quantize: together that gives an integer input the pixel itself."""
    scale, zero_point = quantized or (1.0, 0)
    normalization = Fields(([float(zero_point)], [1 / scale]))
    height, width = taken.shape[1:3]
    image = Fields((Small(RGB), Fields((Unsigned(width), Unsigned(height)))))
    return Fields(
        (
            taken.name,
            f"Upright RGB face crop of {width} × {height} pixels, 0 to 255, cut as the sidecar's crop says.",
            None,
            Fields((Small(IMAGE), image)),
            [Fields((Small(NORMALIZATION), normalization))],
            Fields(([float(taken.maximum)], [float(taken.minimum)])),
        )
    )


def _output(name: str, spec: OutputSpec) -> Fields:
    unit = f" in {spec.unit}" if spec.unit else ""
    labels = [Fields((f"{name}_labels.txt", "One label a line.", Small(AXIS_LABELS)))] if spec.labels else None
    told = f"{spec.task}: {spec.meaning.replace('_', ' ')}{unit}."
    return Fields((name, told, None, Fields((Small(FEATURE), Fields(()))), None, None, labels))


def _lines(labels: Sequence[str | float]) -> bytes:
    texts = (f"{label:g}" if isinstance(label, float) else " ".join(str(label).split()) for label in labels)
    return "".join(f"{text}\n" for text in texts).encode("utf-8")


def _write(builder: Any, fields: Fields) -> int:
    """Offset of a table, behind everything that it refers to."""
    offsets = [None if isinstance(value, int) else _place(builder, value) for value in fields]
    builder.StartObject(len(fields))
    for slot, (value, offset) in enumerate(zip(fields, offsets, strict=True)):
        if isinstance(value, Small):
            builder.PrependUint8Slot(slot, value, 0)
        elif isinstance(value, Unsigned):
            builder.PrependUint32Slot(slot, value, 0)
        elif offset is not None:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _place(builder: Any, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Fields):
        return _write(builder, value)
    tables = [_write(builder, item) for item in value] if isinstance(value[0], Fields) else []
    builder.StartVector(4, len(value), 4)
    for item in reversed(tables or value):
        if tables:
            builder.PrependUOffsetTRelative(item)
        else:
            builder.PrependFloat32(item)
    return int(builder.EndVector())


def _with_files(content: bytes, files: dict[str, bytes]) -> bytes:
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, OLDEST), data)
    return whole.getvalue()


BUFFERS, NOTES = 4, 6
"""Places of the buffers and the metadata among the fields of the schema's `Model`."""


def with_buffer(content: bytes, name: bytes, data: bytes) -> bytes:
    """The same model with one more buffer and an entry in its metadata that names it.

    A new root with longer lists is put in front of the old flatbuffer, which moves by a multiple of `ALIGNMENT` and
    stays as it is: offsets are relative, and point forward. Packing it anew in Python would lose the alignment of
    constants.
    """
    root = _number(content, 0)
    table = root - struct.unpack_from("<i", content, root)[0]
    places = struct.unpack_from(f"<{(struct.unpack_from('<H', content, table)[0] - 4) // 2}H", content, table + 4)
    slots = max(len(places), NOTES + 1)
    old = {slot: root + place for slot, place in enumerate(places) if place}
    lists = {slot: _targets(content, old.get(slot)) for slot in (BUFFERS, NOTES)}

    at_table = _up(8 + 4 + 2 * slots, 4)
    at = {BUFFERS: at_table + 4 + 4 * slots}
    at[NOTES] = at[BUFFERS] + 4 + 4 * (len(lists[BUFFERS]) + 1)
    at_note = at[NOTES] + 4 + 4 * (len(lists[NOTES]) + 1) + 8
    at_name = at_note + 12
    at_buffer = _up(at_name + 4 + len(name) + 1, 4) + 8
    at_data = _up(at_buffer + 8 + 4, ALIGNMENT) - 4
    shift = _up(at_data + 4 + len(data), ALIGNMENT)

    front = bytearray(shift)

    def put(place: int, kind: str, *values: int) -> None:
        struct.pack_into(f"<{kind}", front, place, *values)

    def point(place: int, target: int) -> None:
        put(place, "I", target - place)

    point(0, at_table)
    front[4:8] = content[4:8]
    present = [4 + 4 * slot if slot in old or slot in at else 0 for slot in range(slots)]
    put(8, f"{2 + slots}H", 4 + 2 * slots, 4 + 4 * slots, *present)
    put(at_table, "i", at_table - 8)
    for slot, place in old.items():
        if slot == 0:
            put(at_table + 4, "I", _number(content, place))
        elif slot not in at:
            point(at_table + 4 + 4 * slot, shift + place + _number(content, place))
    for slot, new in ((BUFFERS, at_buffer), (NOTES, at_note)):
        point(at_table + 4 + 4 * slot, at[slot])
        put(at[slot], "I", len(lists[slot]) + 1)
        for number, target in enumerate([*(shift + target for target in lists[slot]), new]):
            point(at[slot] + 4 + 4 * number, target)
    # A note: its name, and the number of its buffer.
    put(at_note - 8, "4H", 8, 12, 4, 8)
    put(at_note, "i", 8)
    point(at_note + 4, at_name)
    put(at_note + 8, "I", len(lists[BUFFERS]))
    put(at_name, "I", len(name))
    front[at_name + 4 : at_name + 4 + len(name)] = name
    # A buffer: its bytes.
    put(at_buffer - 8, "3H", 6, 8, 4)
    put(at_buffer, "i", 8)
    point(at_buffer + 4, at_data)
    put(at_data, "I", len(data))
    front[at_data + 4 : at_data + 4 + len(data)] = data
    return bytes(front) + content


def _targets(content: bytes, place: int | None) -> list[int]:
    """Where the tables of a list lie."""
    if place is None:
        return []
    start = place + _number(content, place)
    entries = range(start + 4, start + 4 + 4 * _number(content, start), 4)
    return [entry + _number(content, entry) for entry in entries]


def _number(content: bytes, place: int) -> int:
    return int(struct.unpack_from("<I", content, place)[0])


def _up(place: int, multiple: int) -> int:
    return -(-place // multiple) * multiple
