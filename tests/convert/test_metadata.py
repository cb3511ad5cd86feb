"""TFLite Metadata: a reader written from the public schema finds them, and the model is the same bit for bit."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import hand_made
import numpy as np
import pytest

from keras_faceattr.artifact.cost import cost_of
from keras_faceattr.artifact.flatbuffer import TFLiteFile, read_tflite
from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.artifact.sidecar import InputSpec, OutputSpec
from keras_faceattr.convert.metadata import described, with_buffer

PHOTOS = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype("float32")


class Table:
    """A table of any flatbuffer, by the numbers of its fields in the schema."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place
        (back,) = struct.unpack_from("<i", data, place)
        size, _ = struct.unpack_from("<2H", data, place - back)
        self.fields = struct.unpack_from(f"<{(size - 4) // 2}H", data, place - back + 4)

    def at(self, field: int) -> int | None:
        return self.place + self.fields[field] if field < len(self.fields) and self.fields[field] else None

    def number(self, field: int, kind: str = "I") -> Any:
        place = self.at(field)
        return 0 if place is None else struct.unpack_from(f"<{kind}", self.data, place)[0]

    def target(self, field: int) -> int:
        place = self.at(field)
        assert place is not None
        return place + self.number(field)

    def table(self, field: int) -> Table:
        return Table(self.data, self.target(field))

    def raw(self, field: int) -> bytes:
        start = self.target(field)
        return self.data[start + 4 : start + 4 + struct.unpack_from("<I", self.data, start)[0]]

    def text(self, field: int) -> str:
        return self.raw(field).decode("utf-8")

    def floats(self, field: int) -> list[float]:
        start = self.target(field)
        count = struct.unpack_from("<I", self.data, start)[0]
        return list(struct.unpack_from(f"<{count}f", self.data, start + 4))

    def tables(self, field: int) -> list[Table]:
        if self.at(field) is None:
            return []
        start = self.target(field)
        entries = range(start + 4, start + 4 + 4 * struct.unpack_from("<I", self.data, start)[0], 4)
        return [Table(self.data, entry + struct.unpack_from("<I", self.data, entry)[0]) for entry in entries]


def root_of(data: bytes) -> Table:
    return Table(data, struct.unpack_from("<I", data, 0)[0])


def metadata_of(data: bytes) -> Table:
    """ModelMetadata: schema.fbs has buffers as field 4 and metadata as field 6 of Model."""
    model = root_of(data)
    notes = {note.text(0): note.number(1) for note in model.tables(6)}
    found = model.tables(4)[notes["TFLITE_METADATA"]].raw(0)
    assert found[4:8] == b"M001"
    return root_of(found)


def without_places(file: TFLiteFile) -> list[Any]:
    return [file.tensors, file.ops, file.inputs, file.outputs, file.signature_inputs, file.signature_outputs]


@pytest.fixture
def plain(tmp_path: Path) -> bytes:
    return hand_made.model(side=16)


def described_net(content: bytes) -> bytes:
    output = OutputSpec(
        task="t", meaning="probabilities", unit="", shape=(1, 2), dtype="float32", labels=("no\nnot", "ja, ё")
    )
    taken = InputSpec(name="image", shape=(1, 16, 16, 3), dtype="float32")
    return described(content, "net", "A net.", "Apache-2.0", "1.2", taken, None, {"t": output})


def test_the_model_stays_the_same_bit_for_bit_and_its_constants_stay_aligned(plain: bytes, tmp_path: Path) -> None:
    before, after = tmp_path / "before.tflite", tmp_path / "after.tflite"
    before.write_bytes(plain)
    after.write_bytes(described_net(plain))
    assert plain in after.read_bytes() and after.read_bytes().index(plain) % 16 == 0
    one, other = (read_tflite(path) for path in (before, after))
    assert without_places(one) == without_places(other)
    one_cost, other_cost = cost_of(one), cost_of(other)
    assert (one_cost.macs, one_cost.weight_bytes) == (other_cost.macs, other_cost.weight_bytes)
    np.testing.assert_array_equal(
        LiteRTModel(before, 1).predict(PHOTOS)["t"], LiteRTModel(after, 1).predict(PHOTOS)["t"]
    )


def test_metadata_are_read_back_by_the_public_schema(plain: bytes) -> None:
    model = metadata_of(described_net(plain))
    assert [model.text(field) for field in (0, 1, 2, 5, 7)] == ["net", "A net.", "1.2", "Apache-2.0", "1.0.0"]
    (graph,) = model.tables(3)
    (taken,), (given,) = graph.tables(2), graph.tables(3)
    assert taken.text(0) == "image" and "16 × 16 pixels" in taken.text(1)
    content = taken.table(3)
    # ContentProperties: 2 is ImageProperties, whose colour space 1 is RGB.
    assert content.number(0, "B") == 2 and content.table(1).number(0, "B") == 1
    size = content.table(1).table(1)
    assert (size.number(0), size.number(1)) == (16, 16)
    (unit,) = taken.tables(4)
    # ProcessUnitOptions: 1 is NormalizationOptions, mean and deviation.
    assert unit.number(0, "B") == 1
    assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([0.0], [1.0])
    assert (taken.table(5).floats(0), taken.table(5).floats(1)) == ([255.0], [0.0])
    assert given.text(0) == "t" and given.text(1) == "t: probabilities."
    (labels,) = given.tables(6)
    # AssociatedFileType: 2 is TENSOR_AXIS_LABELS.
    assert labels.text(0) == "t_labels.txt" and labels.number(2, "B") == 2


def test_labels_lie_in_a_zip_behind_the_model_one_a_line(plain: bytes) -> None:
    content = described_net(plain)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["t_labels.txt"]
        assert archive.read("t_labels.txt").decode("utf-8").splitlines() == ["no not", "ja, ё"]
    assert described_net(plain) == content


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 1000])
def test_one_more_buffer_is_added_whatever_its_length_and_however_often(plain: bytes, length: int) -> None:
    data, before = bytes(range(256)) * 4, root_of(plain)
    once = with_buffer(plain, b"FIRST", data[:length])
    twice = with_buffer(once, b"SECOND", b"x")
    assert len(once) % 16 == len(plain) % 16
    root = root_of(twice)
    assert [note.text(0) for note in root.tables(6)] == ["FIRST", "SECOND"]
    buffers = root.tables(4)
    assert len(buffers) == len(before.tables(4)) + 2
    first, second = (buffers[note.number(1)].raw(0) for note in root.tables(6))
    assert (first, second) == (data[:length], b"x")
    # Description, and the converter's version of the schema.
    assert (root.text(3), root.number(0)) == ("by hand", 3)


@pytest.mark.parametrize("recipe", ["float32", "int8_qat", "int8_full"])
def test_an_exported_file_describes_its_input_and_every_output(exported: dict[str, Artifact], recipe: str) -> None:
    artifact = exported[recipe]
    data, sidecar, file = artifact.path.read_bytes(), artifact.sidecar, read_tflite(artifact.path)
    model = metadata_of(data)
    assert model.text(0) == sidecar.name and f"recipe {recipe}" in model.text(1)
    assert "Apache-2.0" in model.text(5)
    (graph,) = model.tables(3)
    named = {index: name for name, index in file.signature_outputs.items()}
    outputs = graph.tables(3)
    assert [output.text(0) for output in outputs] == [named[index] for index in file.outputs]
    labelled = {output.text(0): [entry.text(0) for entry in output.tables(6)] for output in outputs}
    with zipfile.ZipFile(artifact.path) as archive:
        for name, spec in sidecar.outputs.items():
            assert labelled[name] == ([f"{name}_labels.txt"] if spec.labels else [])
            if spec.labels:
                lines = archive.read(f"{name}_labels.txt").decode("utf-8").splitlines()
                assert lines == [f"{label:g}" if isinstance(label, float) else label for label in spec.labels]
    (unit,) = graph.tables(2)[0].tables(4)
    mean, deviation = unit.table(1).floats(0)[0], unit.table(1).floats(1)[0]
    pixels = file.tensors[file.inputs[0]]
    for grey in (0, 127, 255):
        # What tools do: normalise, then quantize where the input is integer. The file wants the pixel itself.
        value = (grey - mean) / deviation
        if pixels.scale:
            value = value / pixels.scale[0] + pixels.zero_point[0]
        assert value == pytest.approx(grey, abs=1e-3)
    assert sidecar.file.bytes == len(data) == sidecar.cost.file_bytes
