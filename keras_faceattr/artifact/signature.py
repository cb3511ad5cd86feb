"""Running a `.tflite` file with any number of inputs, by the names of its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.artifact.soundness import refuse_free_pictures
from keras_faceattr.backend import silent_native_output
from keras_faceattr.machine import usable_cores


class FileRunner:
    """A `.tflite` file in the runtime.

    Args:
        path: of a file with a signature, for one photo at a time.
        threads: default: all cores.

    Raises:
        ArtifactError: damaged, or its inputs have no fixed size.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        refuse_free_pictures(path, read_tflite(path))
        with silent_native_output():
            self.interpreter = Interpreter(model_path=str(path), num_threads=threads or usable_cores())
            self.runner = self.interpreter.get_signature_runner()
        self.inputs: dict[str, Any] = self.runner.get_input_details()
        self.outputs: dict[str, Any] = self.runner.get_output_details()

    def predict(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name, photo by photo; an integer input takes the integers that stand for its values."""
        rows: list[dict[str, np.ndarray]] = []
        for index in range(len(next(iter(values.values())))):
            given = {name: _as(array[index : index + 1], self.inputs[name]["dtype"]) for name, array in values.items()}
            found = self.runner(**given)
            rows.append({name: _number(found[name], self.outputs[name]) for name in found})
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _as(values: np.ndarray, dtype: Any) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(values), limits.min, limits.max).astype(dtype)


def _number(values: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    if values.dtype.kind == "f":
        return np.array(values)
    scale, zero_point = entry["quantization"]
    numbers: np.ndarray = ((values.astype("float32") - zero_point) * scale).astype("float32")
    return numbers
