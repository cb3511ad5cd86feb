"""Loading `.keras` files that may come from anywhere."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from pathlib import Path

import keras

import keras_faceattr.quantization.layers  # noqa: F401  registers its layers for loading
from keras_faceattr.errors import ModelError

LAYERS_OF_BEFORE = (
    "Expectation", "RankingValue", "RankingDistribution", "Unproject", "LinearValue", "ClassProbabilities", "Reorder",
    "SoftVote", "MajorityVote", "UnitVector",
)  # fmt: skip
"""Layers of our own that heads had once; they are stock layers of Keras now."""


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Loads a `.keras` file, also one of a model that `quantize` made, and refuses any that carries code.

    `keras.models.load_model` opens the same files; of a quantized model once a name of this package that is written in
    Keras, such as `kfa.quantize`, has been used.

    Args:
        path: of the file.

    Returns:
        The model, with its weights. Compile it before `fit`: losses and optimizers are not loaded.

    Raises:
        ModelError: missing, no Keras model, or one with code or unknown layers in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"no model file {path}")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is no .keras file, or it is damaged")
    try:
        # A file whose weights are gone makes Keras warn of every layer before it says so.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types here; each means that the file cannot be trusted or read.
        text = str(error).strip()
        if "`Lambda`" in text:
            raise ModelError(
                f"{path} carries code in a Lambda, which is never run: build the model with keras.ops instead, and "
                "save it again"
            ) from None
        if unknown := re.search(r"Could not locate class '(\w+)'", text):
            if unknown[1] in LAYERS_OF_BEFORE:
                raise ModelError(
                    f"{path} was written by an older keras-faceattr, with a layer {unknown[1]!r}: train it again"
                ) from None
            text = f"it holds an unknown layer {unknown[1]!r}; import the module that registers it first"
        reason = text.splitlines()[0] if text else type(error).__name__
        raise ModelError(f"{path} cannot be loaded safely: {reason[:300]}") from None
