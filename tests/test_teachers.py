"""The scripts of docs/teachers: a net of TensorFlow.js becomes a teacher, and a teacher's vectors become labels."""

import base64
import json
import runpy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_faceattr.data.synthetic import synthetic_photo
from keras_faceattr.faces.embedder import tflite_embedder

SCRIPTS = Path(__file__).parents[1] / "docs" / "teachers"
WEIGHTS = {
    "kernel": np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype("float16"),
    "axes": np.array([1, 2], "int32"),
    "dense": np.random.default_rng(1).normal(size=(4, 8)).astype("float32"),
    "bias": np.linspace(-50, 50, 8).astype("float32"),
}


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def graph(folder: Path, **wrong: Any) -> Path:
    """A small net as TensorFlow.js keeps it: nodes in JSON, one half-size kernel among the weights."""
    convolution = {"strides": {"list": {"i": ["1", "4", "4", "1"]}}, "padding": {"s": coded("SAME")}}
    fused = {"fused_ops": {"list": {"s": [coded("BiasAdd"), coded("Relu")]}}}
    nodes = [
        {"name": "input_1", "op": "Placeholder"},
        *({"name": name, "op": "Const"} for name in WEIGHTS),
        {"name": "c", "op": "Conv2D", "input": ["input_1", "kernel"], "attr": convolution},
        {"name": "r", "op": "Relu", "input": ["c"]},
        {"name": "m", "op": "Mean", "input": ["r", "axes"]},
        {"name": "feats/Relu", "op": "_FusedMatMul", "input": ["m", "dense", "bias"], "attr": fused} | wrong,
    ]
    entries = [
        {"name": name, "shape": list(array.shape), "dtype": "float32", "quantization": {"dtype": "float16"}}
        if array.dtype == np.float16
        else {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}
        for name, array in WEIGHTS.items()
    ]
    (folder / "net.bin").write_bytes(b"".join(array.tobytes() for array in WEIGHTS.values()))
    manifest = [{"paths": ["net.bin"], "weights": entries}]
    (folder / "net.json").write_text(json.dumps({"modelTopology": {"node": nodes}, "weightsManifest": manifest}))
    return folder / "net.json"


def faceres(folder: Path, **wrong: Any) -> Path:
    runpy.run_path(str(SCRIPTS / "faceres.py"))["main"](graph(folder, **wrong), folder / "net.tflite")
    return folder / "net.tflite"


def test_a_net_of_tensorflow_js_becomes_a_teacher(tmp_path: Path) -> None:
    photo = np.random.default_rng(2).integers(0, 256, (224, 224, 3)).astype("uint8")
    centred = photo[None, ..., ::-1].astype("float32") - np.array([103.939, 116.779, 123.68], "float32")
    maps = tf.nn.relu(tf.nn.conv2d(centred, WEIGHTS["kernel"].astype("float32"), 4, "SAME")).numpy()
    expected = np.maximum(maps.mean(axis=(1, 2)) @ WEIGHTS["dense"] + WEIGHTS["bias"], 0)
    teacher = tflite_embedder(faceres(tmp_path), "minus_one_one")
    assert teacher.dimension == 8 and (expected > 0).any()
    np.testing.assert_allclose(teacher(photo[None]), expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("wrong", "words"), [({"op": "Softplus"}, "which this script does not know"), ({"name": "x"}, "no node feats/Relu")]
)
def test_another_net_is_refused(tmp_path: Path, wrong: dict[str, str], words: str) -> None:
    with pytest.raises(SystemExit, match=words):
        faceres(tmp_path, **wrong)


def test_photos_without_an_age_are_labelled_by_the_vectors_of_those_with_one(tmp_path: Path) -> None:
    teacher = faceres(tmp_path)
    photos = [synthetic_photo(5, index, 64)[0] for index in range(48)]
    for index, photo in enumerate(photos):
        assert cv2.imwrite(str(tmp_path / f"{index}.png"), photo[..., ::-1])
    vectors = tflite_embedder(teacher, "minus_one_one")(np.stack(photos))
    ages = np.round(20 + 60 * vectors[:, 7] / vectors[:, 7].max())
    known = pd.DataFrame(
        {"image": [f"{i}.png" for i in range(48)], "age": ages, "split": ["train"] * 40 + ["test"] * 8}
    )
    known.loc[24:39, "age"] = np.nan
    known.to_csv(tmp_path / "known.csv", index=False)
    overrides = [
        "data={sources: [{reader: csv_file, path: '%s'}], split: {method: given, validation: 0}, crop: {size: 64}}"
        % (tmp_path / "known.csv"),
        "tasks.age={kind: scalar, minimum: 0, maximum: 100, step: 1, unit: years, default_std: 2}",
        f"tasks.embedding.teacher={{path: '{teacher}', scale: minus_one_one}}",
    ]
    out = tmp_path / "faces.csv"
    runpy.run_path(str(SCRIPTS / "label_faces.py"))["main"](out, overrides)
    said = pd.read_csv(out)
    assert [Path(name).name for name in said["image"]] == [f"{i}.png" for i in range(24, 40)]
    assert np.abs(said["age"] - ages[24:40]).mean() < 0.8 * np.abs(ages[24:40] - ages[:24].mean()).mean()
