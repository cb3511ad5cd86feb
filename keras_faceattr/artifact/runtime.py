"""Running `.tflite` files with LiteRT; TensorFlow is not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.artifact.soundness import refuse_free_pictures
from keras_faceattr.backend import silent_native_output
from keras_faceattr.errors import ArtifactError
from keras_faceattr.evaluation.predictions import Outputs
from keras_faceattr.machine import usable_cores


class LiteRTModel:
    """A `.tflite` file of ours in the runtime.

    Args:
        path: one input of pixels, and outputs named by a signature.
        threads: None for all cores.

    Raises:
        ArtifactError: damaged, no file that this package exported, or one that the runtime cannot run.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        # The native runtime trusts what it reads, and crashes on a damaged file or a wrong graph.
        file = read_tflite(path)
        refuse_free_pictures(path, file)
        if len(file.signature_inputs) != 1 or not file.signature_outputs:
            raise ArtifactError(f"{path}: no signature with one input and named outputs: export it with keras-faceattr")
        try:
            with silent_native_output():
                self.interpreter = Interpreter(model_path=str(path), num_threads=threads or usable_cores())
                self.interpreter.allocate_tensors()
            details = {entry["index"]: entry for entry in self.interpreter.get_output_details()}
            self.input = self.interpreter.get_input_details()[0]
        except (RuntimeError, ValueError) as error:
            raise _refused(path, error) from None
        self.path = path
        self.outputs = {name: details[index] for name, index in file.signature_outputs.items()}
        shape = tuple(map(int, self.input["shape"]))
        if len(shape) != 4 or 0 in shape:
            raise ArtifactError(f"{path}: its input {shape} is not (photos, height, width, channels): export it again")
        self.batch = shape[0]
        for name, entry in self.outputs.items():
            if tuple(entry["shape"][:1]) != shape[:1]:
                rows = tuple(map(int, entry["shape"]))
                raise ArtifactError(f"{path}: its output {name!r} {rows} has no row for each photo: export it again")

    def predict(self, images: np.ndarray) -> Outputs:
        """Outputs for (n, side, side, 3) pixels from 0 to 255; integers become the numbers that they stand for."""
        dtype = self.input["dtype"]
        pixels = np.clip(np.round(images), 0, 255).astype(dtype) if dtype == np.uint8 else images.astype(dtype)
        rows: list[dict[str, np.ndarray]] = []
        for start in range(0, len(pixels), self.batch):
            part = pixels[start : start + self.batch]
            missing = self.batch - len(part)
            padded = np.concatenate([part, np.zeros((missing, *part.shape[1:]), dtype)]) if missing else part
            rows.append({name: value[: len(part)] for name, value in self._invoke(padded).items()})
        return {name: np.concatenate([row[name] for row in rows]) for name in self.outputs}

    def _invoke(self, pixels: np.ndarray) -> Outputs:
        try:
            self.interpreter.set_tensor(self.input["index"], pixels)
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise _refused(self.path, error) from None
        return {name: self._number(entry) for name, entry in self.outputs.items()}

    def _number(self, entry: dict[str, Any]) -> np.ndarray:
        values = np.asarray(self.interpreter.get_tensor(entry["index"]))
        if values.dtype.kind == "f":
            return values
        scale, zero_point = entry["quantization"]
        numbers: np.ndarray = ((values.astype("float32") - zero_point) * scale).astype("float32")
        return numbers


def _refused(path: Path, error: Exception) -> ArtifactError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return ArtifactError(f"{path}: the runtime refuses it ({reason}): convert or export the model again")
