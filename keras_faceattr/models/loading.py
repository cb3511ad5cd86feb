"""Loading `.keras` files that may come from anywhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras

import keras_faceattr.models.layers
import keras_faceattr.quantization.layers  # noqa: F401  both register our layers for loading
from keras_faceattr.errors import ModelError


def load_model(path: Path) -> keras.Model:
    """Loads a `.keras` file, refusing any that carries code.

    Raises:
        ModelError: missing, no Keras model, or one with code or unknown layers in it.
    """
    if not path.is_file():
        raise ModelError(f"no model file {path}")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is no .keras file, or it is damaged")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types here; each means that the file cannot be trusted or read.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path} cannot be loaded safely: {reason[:300]}") from None
