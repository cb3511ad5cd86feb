"""A plain Keras training, quantized: `python docs/quantize/trained.py MobileNetV3Small 8 2e-3`.

Trains a net of `keras.applications` (or `Sequential`) with ten classes at 96² on 1,200 drawn faces to tell female from
male, and prints the accuracy on 500 others: of the float model, and of the int8 files with and without
quantization-aware training, each as it runs in LiteRT.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_faceattr as kfa
from keras_faceattr.data.synthetic import synthetic_photo

TRAIN, TEST, SIDE, SEED = 1200, 500, 96, 5


def faces() -> tuple[np.ndarray, np.ndarray]:
    """(n, 96, 96, 3) drawn faces from 0 to 255, and (n,) 0 or 1."""
    drawn = [synthetic_photo(SEED, number, SIDE) for number in range(TRAIN + TEST)]
    return np.stack([face[0] for face in drawn]).astype("float32"), np.array(
        [face[1]["gender"] == "male" for face in drawn], int
    )


def sequential() -> keras.Model:
    """Four blocks of a convolution, a batch norm, a ReLU and a pooling."""
    body = [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 127.5, -1)]
    for channels in (16, 32, 64, 64):
        body += [layers.Conv2D(channels, 3, padding="same", use_bias=False), layers.BatchNormalization()]
        body += [layers.ReLU(), layers.MaxPooling2D()]
    return keras.Sequential([*body, layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")])


def accuracy_of_file(path: Path, photos: np.ndarray, classes: np.ndarray) -> float:
    """Share of photos that the file gets right."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    right = []
    for photo, label in zip(photos, classes, strict=True):
        interpreter.set_tensor(taken["index"], photo[None].astype(taken["dtype"]))
        interpreter.invoke()
        right.append(interpreter.get_tensor(given["index"])[0].argmax() == label)
    return float(np.mean(right))


def main(name: str, epochs: int, rate: float) -> None:
    """Trains, quantizes, and prints."""
    keras.utils.set_random_seed(0)
    photos, classes = faces()
    train, test = (photos[:TRAIN], classes[:TRAIN]), (photos[TRAIN:], classes[TRAIN:])
    build = getattr(keras.applications, name, None)
    model = build(weights=None, input_shape=(SIDE, SIDE, 3), classes=10) if build else sequential()
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # These few steps do not reach the end of an average over a thousand.
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    cosine = keras.callbacks.LearningRateScheduler(lambda e, _: float(rate * (1 + np.cos(np.pi * e / epochs)) / 2))
    model.fit(*train, epochs=epochs, batch_size=32, verbose=2, callbacks=[cosine])
    print("float", np.mean(model.predict(test[0], verbose=0).argmax(-1) == test[1]))
    quantized = kfa.quantize(model, calibration=train[0][:100])
    for step in ("ptq", "qat"):
        if step == "qat":
            quantized.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
            quantized.fit(*train, epochs=2, batch_size=32, verbose=2)
        path = Path(f"{name}_{step}.tflite")
        print(kfa.to_tflite(quantized, path, test[0]))
        print(step, "file", accuracy_of_file(path, *test))
    print(kfa.quantization_report(quantized))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
