"""The converter's own recipes, to make files that no recipe of ours has touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf


def converter_of(model: keras.Model, recipe: str, photos: Callable[[], Iterable[Any]]) -> Any:
    """TensorFlow's converter for `float`, `float16`, or `int8` with a uint8 input, whose ranges `photos` set."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if recipe != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if recipe == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if recipe == "int8":
        converter.representative_dataset = photos
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    return converter
