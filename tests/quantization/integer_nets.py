"""Nets in which nothing degenerates, photos, and the integer file beside the fake-quantized model it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_faceattr.artifact.flatbuffer import TFLiteFile, read_tflite
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.convert.conversion import convert
from keras_faceattr.quantization.biases import round_biases
from keras_faceattr.quantization.calibrate import calibrate
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.quantization.quantize import QuantizedNetwork, quantize_network

SIDE = 32


def draw_photos(count: int, seed: int) -> np.ndarray:
    """(count, 32, 32, 3) whole grey levels: coloured patches and grain, so that photos differ in the large too."""
    random = np.random.default_rng(seed)
    patches = random.uniform(0, 255, (count, 4, 4, 3)).repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)
    return np.clip(np.round(patches + random.normal(0, 25, patches.shape)), 0, 255).astype("float32")


def randomise(model: keras.Model, seed: int = 0) -> keras.Model:
    """Gives batch norms, biases and slopes values as after training; kernels stay as they were drawn."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            count = layer.moving_mean.shape
            layer.moving_mean.assign(random.normal(0, 0.3, count))
            layer.moving_variance.assign(random.uniform(0.5, 2, count))
            if layer.scale:
                layer.gamma.assign(random.uniform(0.5, 1.5, count))
            if layer.center:
                layer.beta.assign(random.normal(0, 0.3, count))
        elif isinstance(layer, keras.layers.PReLU):
            layer.alpha.assign(random.uniform(0.05, 0.4, layer.alpha.shape))
        elif layer.trainable and getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.normal(0, 0.3, layer.bias.shape))
    return model


@dataclass(frozen=True)
class Exported:
    """A net in its three forms.

    Attributes:
        folded: without batch norms.
        quantized: calibrated, its biases rounded.
        runtime: of the integer file.
        file: the same, to read.
    """

    folded: keras.Model
    quantized: QuantizedNetwork
    runtime: LiteRTModel
    file: TFLiteFile

    def steps_apart(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """By output: how many steps of its integers the file and the fake-quantized model lie apart."""
        got, fake = self.runtime.predict(pixels), self.quantized.network.inference(pixels, training=False)
        found = {}
        for name, entry in self.runtime.outputs.items():
            scale = entry["quantization"][0]
            found[name] = np.abs(np.round(got[name] / scale) - np.round(np.asarray(fake[name]) / scale))
        return found


def export(model: keras.Model, folder: Path) -> Exported:
    """Folds, quantizes with integer heads, calibrates and converts a model whose one task is `t`."""
    folded = fold_batch_norm(model)
    quantized = quantize_network(folded, ["t"], all_integer=True)
    calibrate(quantized, folded, [draw_photos(8, 1), draw_photos(8, 2)], "minmax")
    round_biases(quantized.network.inference)
    path = folder / "net.tflite"
    path.write_bytes(convert(quantized.body, weights="int8", integer_input=True, integer_output=True))
    return Exported(folded, quantized, LiteRTModel(path), read_tflite(path))
