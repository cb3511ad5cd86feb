"""Layers that compute in floats what the file will compute in integers."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

Tensor = Any

BITS = 8

SMALLEST_KERNEL_SHARE = 1e-3
"""A channel's largest weight counts as at least this share of the layer's largest: the scale of a dead channel would
otherwise be so small that its bias overflows 32 bits."""


def fake_quantize_kernel(kernel: Tensor, axis: int = -1) -> Tensor:
    """A kernel rounded to 8 bits: per output channel, symmetric, narrow range (−127 to 127).

    Args:
        kernel: of any rank.
        axis: of the output channels.

    Returns:
        As `kernel`; gradients pass straight through.

    Source: Krishnamoorthi, Quantizing deep convolutional networks, section 3.1; LiteRT's quantization specification.
    """
    axis = axis % len(kernel.shape)
    largest = ops.max(ops.abs(kernel), axis=[i for i in range(len(kernel.shape)) if i != axis])
    limit = ops.stop_gradient(ops.maximum(largest, SMALLEST_KERNEL_SHARE * ops.max(largest) + 1e-12))
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -limit, limit, num_bits=BITS, narrow_range=True, axis=axis
    )


@keras.saving.register_keras_serializable("keras_faceattr")
class FakeQuantize(layers.Layer):  # type: ignore[misc]
    """Rounds activations to 8 bits in a range of the whole tensor, which always holds 0.

    The range is a moving average of the minima and maxima of batches in training, or learned by gradient, or fixed.

    Args:
        minimum: of a fixed range; None for one that moves.
        maximum: as `minimum`.
        learned: whether gradients move the range, instead of averages.
    """

    def __init__(
        self, minimum: float | None = None, maximum: float | None = None, learned: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.fixed = None if minimum is None or maximum is None else (float(minimum), float(maximum))
        self.learned = learned and self.fixed is None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the range, and the rate at which it follows the batches: 0 freezes it."""
        low, high = self.fixed or (-1.0, 1.0)
        for name, value in (("minimum", low), ("maximum", high)):
            start = keras.initializers.Constant(value)
            setattr(self, name, self.add_weight(shape=(), initializer=start, trainable=self.learned, name=name))
        if self.fixed is None:
            self.rate = self.add_weight(shape=(), initializer="zeros", trainable=False, name="rate")

    def set_range(self, minimum: float, maximum: float) -> None:
        """Sets the range, widened to hold 0."""
        self.minimum.assign(min(float(minimum), 0.0))
        self.maximum.assign(max(float(maximum), 0.0))

    def limits(self) -> tuple[float, float]:
        """(minimum, maximum)."""
        return float(self.minimum), float(self.maximum)

    def set_rate(self, rate: float) -> None:
        """How far the range moves towards each batch's in training, 0 to 1."""
        if self.fixed is None and not self.learned:
            self.rate.assign(rate)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if training and self.fixed is None and not self.learned:
            for limit, found in ((self.minimum, ops.min(inputs)), (self.maximum, ops.max(inputs))):
                limit.assign(limit + self.rate * (ops.stop_gradient(found) - limit))
        low, high = ops.minimum(self.minimum, 0.0), ops.maximum(self.maximum, 0.0)
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=BITS)

    def get_config(self) -> dict[str, Any]:
        minimum, maximum = self.fixed or (None, None)
        return {**super().get_config(), "minimum": minimum, "maximum": maximum, "learned": self.learned}


@keras.saving.register_keras_serializable("keras_faceattr")
class QuantizedConv2D(layers.Conv2D):  # type: ignore[misc]
    """Convolution with a fake-quantized kernel."""

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """As in `Conv2D`, with the rounded kernel."""
        return super().convolution_op(inputs, fake_quantize_kernel(kernel))


@keras.saving.register_keras_serializable("keras_faceattr")
class QuantizedDepthwiseConv2D(layers.DepthwiseConv2D):  # type: ignore[misc]
    """Depthwise convolution with a fake-quantized kernel."""

    def call(self, inputs: Tensor) -> Tensor:
        height, width, channels, multiplier = self.kernel.shape
        flat = ops.reshape(self.kernel, (height, width, channels * multiplier))
        kernel = ops.reshape(fake_quantize_kernel(flat), self.kernel.shape)
        outputs = ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable("keras_faceattr")
class QuantizedDense(layers.Dense):  # type: ignore[misc]
    """Dense layer with a fake-quantized kernel.

    It is a 1×1 convolution to the converter, which cannot transpose a kernel with a scale for each channel.
    """

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        channels, units = self.kernel.shape
        kernel = fake_quantize_kernel(ops.reshape(self.kernel, (1, 1, channels, units)))
        outputs = ops.conv(ops.reshape(inputs, (-1, 1, 1, channels)), kernel, padding="valid")
        outputs = ops.reshape(outputs + self.bias if self.use_bias else outputs, (-1, units))
        return self.activation(outputs)


QUANTIZED: dict[type, type] = {
    layers.Conv2D: QuantizedConv2D,
    layers.DepthwiseConv2D: QuantizedDepthwiseConv2D,
    layers.Dense: QuantizedDense,
}
"""The layer that stands for each kind of layer with a kernel."""
