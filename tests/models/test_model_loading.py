"""Loading `.keras` files that may come from anywhere: what cannot be loaded is one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import keras
import pytest
from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.models.loading import load_model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Expectation", r"was written by an older keras-faceattr, with a layer 'Expectation': train it again$"),
        ("Mystery", r"cannot be loaded safely: it holds an unknown layer 'Mystery'; import the module"),
    ],
)
def test_a_layer_that_nobody_knows_is_named_in_one_line(tmp_path: Path, name: str, message: str) -> None:
    kind = type(name, (layers.ReLU,), {})
    with keras.saving.custom_object_scope({name: kind}):
        inputs = keras.Input((3,))
        keras.Model(inputs, kind(name="own")(inputs)).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=message) as error:
        load_model(tmp_path / "model.keras")
    assert "\n" not in str(error.value)


def test_a_file_that_carries_code_is_refused_with_what_to_do(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(
        ModelError, match="carries code in a Lambda, which is never run: build the model with keras.ops"
    ):
        load_model(str(tmp_path / "model.keras"))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(ModelError, match=r"model.keras is no .keras file, or it is damaged"):
        load_model(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="no model file"):
        load_model(tmp_path / "other.keras")


def test_a_file_without_its_weights_is_one_line_and_no_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path, empty = tmp_path / "model.keras", io.BytesIO()
    keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.Dense(2)]).save(path)
    h5py.File(empty, "w").close()
    with zipfile.ZipFile(path) as whole:
        files = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w") as damaged:
        for name, content in (files | {"model.weights.h5": empty.getvalue()}).items():
            damaged.writestr(name, content)
    recwarn.clear()
    with pytest.raises(ModelError, match=r"model\.keras cannot be loaded safely: ") as error:
        load_model(path)
    assert "\n" not in str(error.value) and not recwarn.list
