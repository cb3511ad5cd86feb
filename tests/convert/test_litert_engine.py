"""LiteRT Quantizer quantizes what the native engine would, with the same layers in float, and says if it is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from small import Quiet

from keras_faceattr.artifact.cost import integer_share
from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.convert import litert_engine
from keras_faceattr.convert.engines import engine
from keras_faceattr.convert.inspection import check_operations
from keras_faceattr.convert.recipe import load_recipe
from keras_faceattr.convert.source import Source
from keras_faceattr.errors import ModelError
from keras_faceattr.evaluation.predictions import predict_split

missing = importlib.util.find_spec(litert_engine.PACKAGE) is None
needs_extra = pytest.mark.skipif(missing, reason="the extra is not installed: pip install '.[litert-quantizer]'")


@needs_extra
@pytest.mark.parametrize(
    ("changes", "batch", "convolution"),
    [
        ([], 1, ["int8", "int8", "int32", "int8"]),
        pytest.param(["integer.activations=int16"], 3, ["int16", "int8", "int64", "int16"], marks=pytest.mark.slow),
        pytest.param(["weights=int4"], 1, ["int8", "int4", "int32", "int8"], marks=pytest.mark.slow),
        pytest.param(["integer.keep_float=[^conv$]"], 1, ["float32"] * 4, marks=pytest.mark.slow),
    ],
)
def test_the_body_is_integer_as_asked_and_the_heads_stay_in_float(
    tiny: Source, tmp_path: Path, changes: list[str], batch: int, convolution: list[str]
) -> None:
    recipe = load_recipe("int8_ptq_litert", ["integer.calibration.photos=16", *changes])
    integer = engine(recipe.engine)(tiny, recipe, tmp_path, Quiet(), batch)
    assert integer.details["engine"] == "litert_quantizer" and integer.details["calibration_photos"] == 16
    assert integer.outputs is None and {"gender_raw", "attractiveness_raw"} <= integer.details["float_layers"].keys()
    path = tmp_path / "file.tflite"
    path.write_bytes(integer.content)
    file = read_tflite(path)
    check_operations(file, [layer.name for layer in tiny.folded.layers], integer.float_layers, integer.exact_layers)
    op, _ = [op for op in file.ops if op.kind == "CONV_2D"]
    assert [file.tensors[index].dtype for index in (*op.inputs, *op.outputs)] == convolution
    # Both give 7 × 7 × 4 values, of 3 × 3 × 3 and of 4 products.
    first, last = 7 * 7 * 4 * 27, 7 * 7 * 4 * 4
    heads = sum(file.tensors[op.inputs[1]].elements for op in file.ops if "FULLY" in op.kind)
    assert integer_share(file) == pytest.approx(
        (last if convolution[0] == "float32" else first + last) / (first + last + heads)
    )
    runtime = LiteRTModel(path)
    assert runtime.batch == batch and runtime.input["dtype"] == np.float32
    said = predict_split(runtime.predict, tiny.held_out)
    assert said.keys() == tiny.outputs.keys()
    # Four bits tell the photos apart, but not as the float model does.
    share = 0.8 if "int4" in convolution else 0.2
    for name, values in tiny.outputs.items():
        assert np.abs(said[name] - values).mean() < share * values.std(axis=0).mean(), name


def test_a_missing_extra_is_named_before_any_work(
    tiny: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'keras-faceattr\[litert-quantizer\]'"):
        engine("litert_quantizer")(tiny, load_recipe("int8_ptq_litert"), tmp_path, Quiet(), 1)
