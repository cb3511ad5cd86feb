"""Features of named layers of a Keras model: a run of ours, or anybody's `.keras` file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_faceattr.errors import ConfigError, ModelError, nearest
from keras_faceattr.faces.embedder import Embedder, checked_crops
from keras_faceattr.models.loading import load_model

BATCH = 32
"""Photos that a Keras model sees at once."""


def feature_model(model: Any, layer_names: Sequence[str], grid: int | None = None) -> Any:
    """A Keras model of the flattened and concatenated outputs of some layers.

    Maps of low and high layers side by side are the features of TransFBP.

    Args:
        model: model of one image input; only its own layers are looked at, not those inside a nested model.
        layer_names: in the order in which their outputs are concatenated.
        grid: maps are averaged to grid × grid first, in windows that overlap where their side is no multiple of it;
            None leaves them whole. Outputs that are no maps stay as they are.

    Returns:
        `keras.Model`, the model's input → (batch, d).

    Raises:
        ConfigError: no layer, an unknown one, or a grid that is larger than a map or below 1.
        ModelError: a model without exactly one image input, or a layer without one output of known size.

    Source: TransFBP, fig. 1.
    """
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[-1] != 3:
        shapes = [tuple(tensor.shape) for tensor in inputs]
        raise ModelError(f"model {model.name!r} must have one input of RGB images, not {shapes or 'an unknown one'}")
    names = [layer.name for layer in model.layers]
    if not layer_names:
        raise ConfigError(f"name one layer or more of model {model.name!r}, such as {names[-1]}")
    if grid is not None and grid < 1:
        raise ConfigError(f"grid {grid} is below 1")
    parts = []
    for name in layer_names:
        if name not in names:
            raise ConfigError(f"model {model.name!r} has no layer {name!r}; {nearest(name, names)}")
        try:
            output = model.get_layer(name).output
        except (AttributeError, ValueError):
            output = None
        shape = tuple(getattr(output, "shape", (None,)))
        if len(shape) < 2 or None in shape[1:]:
            raise ModelError(f"layer {name!r} of model {model.name!r} has no single output of a fixed size")
        if grid and len(shape) == 4:
            if grid > min(shape[1:3]):
                raise ConfigError(f"grid {grid} is larger than the {shape[1]} × {shape[2]} map of layer {name!r}")
            steps = tuple(side // grid for side in shape[1:3])
            window = tuple(side - (grid - 1) * step for side, step in zip(shape[1:3], steps, strict=True))
            output = keras.layers.AveragePooling2D(window, steps)(output)
        parts.append(keras.layers.Flatten()(output))
    features = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    return keras.Model(inputs[0], features, name=f"{model.name}_features")


def keras_embedder(model: Any, layer_names: Sequence[str], grid: int | None = None) -> Embedder:
    """Features of named layers of a Keras model that takes pixels from 0 to 255; see `feature_model`.

    The embedder raises ModelError for crops of another size than the model's.
    """
    features = feature_model(model, layer_names, grid)
    height, width = features.inputs[0].shape[1:3]
    dtype = str(features.inputs[0].dtype)

    def embed(crops: np.ndarray) -> np.ndarray:
        crops = checked_crops(crops)
        if any(side not in (None, given) for side, given in zip((height, width), crops.shape[1:3], strict=True)):
            raise ModelError(
                f"model {model.name!r} takes crops of {width} × {height} pixels, not {crops.shape[2]} × "
                f"{crops.shape[1]}: set the crop's size to the model's"
            )
        batches = (crops[start : start + BATCH] for start in range(0, len(crops), BATCH))
        rows = [np.asarray(features.predict_on_batch(batch.astype(dtype)), np.float32) for batch in batches]
        return np.concatenate([np.zeros((0, features.output_shape[-1]), np.float32), *rows])

    return embed


def keras_file_embedder(path: Path, layer_names: Sequence[str], grid: int | None = None) -> Embedder:
    """Return `keras_embedder` of a `.keras` file that carries no code.

    Raises:
        ModelError: missing, damaged, or not safe to load.
    """
    return keras_embedder(load_model(path), layer_names, grid)
