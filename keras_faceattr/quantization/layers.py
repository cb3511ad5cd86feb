"""Layers that compute in floats what the file will compute in integers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

Tensor = Any

BITS = 8

SMALLEST_KERNEL_SHARE = 1e-3
"""A channel's largest weight counts as at least this share of the layer's largest: the scale of a dead channel would
otherwise be so small that its bias overflows 32 bits."""

SMALLEST_KERNEL = 1e-4
"""And as at least this, where the whole layer is dead: steps of 8e-7."""

SMALLEST_WIDTH = 1e-6
"""A range narrower than this is of a dead tensor, and made 1 wide: a scale of 0 has no biases behind it."""


def kernel_limit(kernel: Tensor, per_channel: bool) -> Tensor:
    """The magnitude that the largest step of a rounded kernel stands for, 127 of 8 bits.

    Args:
        kernel: of any rank, output channels last.

    Returns:
        (channels,), or () for one of the whole kernel.
    """
    largest = ops.max(ops.abs(kernel), axis=list(range(len(kernel.shape) - 1)) if per_channel else None)
    smallest = ops.maximum(SMALLEST_KERNEL_SHARE * ops.max(largest), SMALLEST_KERNEL)
    return ops.stop_gradient(ops.maximum(largest, smallest))


def fake_quantize_kernel(kernel: Tensor, per_channel: bool = True, bits: int = BITS) -> Tensor:
    """A kernel rounded symmetrically, in the narrow range: −127 to 127 of 8 bits, −7 to 7 of 4.

    Args:
        kernel: of any rank, output channels last.
        per_channel: whether each output channel has a scale of its own.
        bits: of an integer.

    Returns:
        As `kernel`; gradients pass straight through.

    Source: Krishnamoorthi, Quantizing deep convolutional networks, section 3.1; LiteRT's quantization specification.
    """
    limit = kernel_limit(kernel, per_channel)
    axis = len(kernel.shape) - 1 if per_channel else None
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -limit, limit, num_bits=bits, narrow_range=True, axis=axis
    )


@keras.saving.register_keras_serializable("keras_faceattr")
class FakeQuantize(layers.Layer):  # type: ignore[misc]
    """Rounds activations to 8 bits in a range of the whole tensor, which always holds 0 and has a width.

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
        """Sets the range, widened as in `limits`."""
        self.minimum.assign(minimum)
        self.maximum.assign(maximum)
        low, high = self.limits()
        self.minimum.assign(low)
        self.maximum.assign(high)

    def limits(self) -> tuple[float, float]:
        """(minimum, maximum) as values are rounded: widened to hold 0, and to a width of 1 where there is none.

        Training may move the variables past 0, or together.
        """
        low, high = self._limits()
        return float(low), float(high)

    def _limits(self) -> tuple[Tensor, Tensor]:
        low, high = ops.minimum(self.minimum, 0.0), ops.maximum(self.maximum, 0.0)
        return low, ops.where(high - low < SMALLEST_WIDTH, low + 1.0, high)

    def set_rate(self, rate: float) -> None:
        """How far the range moves towards each batch's in training, 0 to 1."""
        if self.fixed is None and not self.learned:
            self.rate.assign(rate)

    def call(
        self, inputs: Tensor, others: tuple[Tensor, ...] = (), moves: bool = True, training: bool | None = None
    ) -> Tensor:
        """Rounds.

        Args:
            others: what else shares the range, so that it moves towards the extremes of all.
            moves: whether this call moves the range; of several that share it, only one does.
        """
        if moves and training and self.fixed is None and not self.learned:
            seen = (inputs, *others)
            lowest = ops.min(ops.stack([ops.min(values) for values in seen]))
            highest = ops.max(ops.stack([ops.max(values) for values in seen]))
            for limit, found in ((self.minimum, lowest), (self.maximum, highest)):
                limit.assign(limit + self.rate * (ops.stop_gradient(found) - limit))
        low, high = self._limits()
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=BITS)

    def compute_output_spec(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As the input. Keras would trace the layer, and takes a tensor times a number for a sparse one."""
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        minimum, maximum = self.fixed or (None, None)
        return {**super().get_config(), "minimum": minimum, "maximum": maximum, "learned": self.learned}


class _RoundedKernel:
    """What layers with a rounded kernel share: the kernel as it is rounded, output channels last."""

    per_channel = True
    bits = BITS

    def flat_kernel(self) -> Tensor:
        """The kernel with output channels last."""
        return self.kernel  # type: ignore[attr-defined]

    def rounded_kernel(self) -> Tensor:
        """As `flat_kernel`, rounded."""
        return fake_quantize_kernel(self.flat_kernel(), self.per_channel, self.bits)

    def kernel_scale(self) -> np.ndarray:
        """(channels,) float64 step of each output channel, or () for one step of the whole kernel."""
        return np.asarray(kernel_limit(self.flat_kernel(), self.per_channel), "float64") / ((1 << (self.bits - 1)) - 1)


@keras.saving.register_keras_serializable("keras_faceattr")
class QuantizedConv2D(_RoundedKernel, layers.Conv2D):  # type: ignore[misc]
    """Convolution with a fake-quantized kernel.

    Args:
        bits: of an integer of the kernel, 4 or 8.
    """

    def __init__(self, *args: Any, bits: int = BITS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bits = bits

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """As in `Conv2D`, with the rounded kernel."""
        return super().convolution_op(inputs, fake_quantize_kernel(kernel, bits=self.bits))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bits": self.bits}


@keras.saving.register_keras_serializable("keras_faceattr")
class QuantizedDepthwiseConv2D(_RoundedKernel, layers.DepthwiseConv2D):  # type: ignore[misc]
    """Depthwise convolution with a fake-quantized kernel."""

    def flat_kernel(self) -> Tensor:
        """(height, width, channels × multiplier)."""
        height, width, channels, multiplier = self.kernel.shape
        return ops.reshape(self.kernel, (height, width, channels * multiplier))

    def call(self, inputs: Tensor) -> Tensor:
        outputs = ops.depthwise_conv(
            inputs,
            ops.reshape(self.rounded_kernel(), self.kernel.shape),
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable("keras_faceattr")
class QuantizedDense(_RoundedKernel, layers.Dense):  # type: ignore[misc]
    """Dense layer with a fake-quantized kernel.

    It has one scale: the converter transposes the kernel, and cannot do that with a scale for each channel.
    """

    per_channel = False

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        outputs = ops.matmul(inputs, self.rounded_kernel())
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable("keras_faceattr")
class QuantizedConv2DTranspose(_RoundedKernel, layers.Conv2DTranspose):  # type: ignore[misc]
    """Transposed convolution with a fake-quantized kernel, which has one scale, as that of a dense layer."""

    per_channel = False

    def call(self, inputs: Tensor) -> Tensor:
        outputs = ops.conv_transpose(
            inputs,
            self.rounded_kernel(),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable("keras_faceattr")
class QuantizationPlan(layers.Layer):  # type: ignore[misc]
    """What `quantize` decided, kept in the model itself so that a saved one still knows it; changes no value.

    Args:
        floats: reason of every layer that stays in float, by name.
    """

    def __init__(self, floats: dict[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.floats = dict(floats)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "floats": self.floats}


QUANTIZED: dict[type, type] = {
    layers.Conv2D: QuantizedConv2D,
    layers.Conv2DTranspose: QuantizedConv2DTranspose,
    layers.DepthwiseConv2D: QuantizedDepthwiseConv2D,
    layers.Dense: QuantizedDense,
}
"""The layer that stands for each kind of layer with a kernel."""
