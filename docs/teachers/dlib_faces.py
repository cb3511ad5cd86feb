"""Makes a teacher that knows faces: a `.tflite` file of dlib's face recognition net, which its author put under CC0.

    pip download face_recognition_models==0.3.0 --no-deps
    tar xzf face_recognition_models-0.3.0.tar.gz
    cd face_recognition_models-0.3.0/face_recognition_models/models
    python docs/teachers/dlib_faces.py dlib_face_recognition_resnet_model_v1.dat dlib.tflite

The package's README says that the models were created by Davis King and are in the public domain or under CC0 1.0
Universal, and its LICENSE is the text of CC0. The photos that the net itself was trained on are research sets. The file
takes an aligned face of 150 × 150 pixels (dlib's, a quarter wider than the face), RGB from 0 to 255 (`scale: raw`), and
gives 128 numbers; two photos show one person where these are closer than 0.6. One core computes a face in 8 ms with
AVX-512, where dlib 20.0 takes 91. The numbers are those of dlib to 1e-6.
"""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from keras import Input, Model, layers, ops

SIDE, DIMENSION = 150, 128
MEAN_RGB, SCALE = (122.782, 117.001, 104.298), 256.0
STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, residual blocks, and whether the first of these halves the sides."""


class Tensors:
    """The tensors of a dlib file, in the order of the layers.

    A whole number is written as the count of its bytes and these, the lowest first; a tensor as its version (2), its
    four sizes and its floats. Looking for the sizes that come next needs nothing of what stands between tensors.
    """

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def next(self, *sizes: int) -> np.ndarray:
        """The next tensor of these sizes, flat."""
        head = b"".join(map(_written, (2, *sizes)))
        found = self.content.find(head, self.place)
        if found < 0:
            raise SystemExit(
                f"no tensor of {sizes} where the net has one: is this the file of the face recognition net?"
            )
        count, start = math.prod(sizes), found + len(head)
        self.place = start + 4 * count
        return np.frombuffer(self.content, "<f4", count, start)


def _written(number: int) -> bytes:
    data = number.to_bytes((number.bit_length() + 7) // 8, "little")
    return bytes([len(data)]) + data


def convolution(x: Any, tensors: Tensors, channels: int, side: int, stride: int) -> Any:
    """A convolution and the affine layer behind it. dlib pads where the stride is 1 alone."""
    taken = x.shape[-1]
    values = tensors.next(channels * taken * side * side + channels, 1, 1, 1)
    kernel, bias = np.split(values, [-channels])
    layer = layers.Conv2D(channels, side, stride, padding="same" if stride == 1 else "valid")
    y = layer(x)
    layer.set_weights([kernel.reshape(channels, taken, side, side).transpose(2, 3, 1, 0), bias])
    factor, offset = np.split(tensors.next(2 * channels, 1, 1, 1), 2)
    return scaled(y, factor, offset)


def scaled(x: Any, factor: np.ndarray, offset: np.ndarray) -> Any:
    """Each channel times a factor, plus an offset."""
    layer = layers.DepthwiseConv2D(1)
    y = layer(x)
    layer.set_weights([factor.reshape(1, 1, -1, 1), offset])
    return y


def block(x: Any, tensors: Tensors, channels: int, halves: bool) -> Any:
    """A residual block; of two maps of different sizes the smaller one is filled up with zeros."""
    y = layers.ReLU()(convolution(x, tensors, channels, 3, 2 if halves else 1))
    y = convolution(y, tensors, channels, 3, 1)
    kept = layers.AveragePooling2D(2)(x) if halves else x
    sizes = [max(pair) for pair in zip(y.shape[1:], kept.shape[1:], strict=True)]
    return layers.ReLU()(filled(y, sizes) + filled(kept, sizes))


def filled(x: Any, sizes: list[int]) -> Any:
    """A map with zeros behind its rows, columns and channels."""
    missing = [(0, size - own) for size, own in zip(sizes, x.shape[1:], strict=True)]
    return ops.pad(x, [(0, 0), *missing]) if any(behind for _, behind in missing) else x


def face_net(tensors: Tensors) -> Model:
    """The net from pixels to 128 numbers. Source: dlib, examples/dnn_face_recognition_ex.cpp."""
    pixels = Input((SIDE, SIDE, 3))
    x = scaled(pixels, np.full(3, 1 / SCALE, "float32"), -np.array(MEAN_RGB, "float32") / SCALE)
    x = layers.ReLU()(convolution(x, tensors, 32, 7, 2))
    x = layers.MaxPooling2D(3, 2)(x)
    for channels, count, halves in STAGES:
        for number in range(count):
            x = block(x, tensors, channels, halves and number == 0)
    x = layers.GlobalAveragePooling2D()(x)
    last = layers.Dense(DIMENSION, use_bias=False)
    vector = last(x)
    last.set_weights([tensors.next(int(x.shape[-1]), DIMENSION, 1, 1).reshape(-1, DIMENSION)])
    return Model(pixels, vector)


def main(source: str, target: str) -> None:
    """Reads the `.dat` file and writes the `.tflite` file."""
    net = face_net(Tensors(Path(source).read_bytes()))
    content = tf.lite.TFLiteConverter.from_keras_model(net).convert()
    Path(target).write_bytes(content)
    print(f"{target}: {len(content) / 1e6:.1f} MB, {net.count_params():,} parameters")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
