"""Numbers in and out of the backend in use, and slopes of a function there."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import ops


def f32(values) -> object:
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def gradient(function: Callable[[object], object], point: object) -> np.ndarray:
    """d function / d point, compiled, on the backend in use."""
    point = f32(point)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(point))
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, *point.shape[1:]] if point.shape else [])])
    def slope(variable):
        with tf.GradientTape() as tape:
            tape.watch(variable)
            value = function(variable)
        return tf.convert_to_tensor(tape.gradient(value, variable, unconnected_gradients="zero"))

    return slope(point).numpy()
