"""Face-attribute models, from a folder of labelled photos to a phone.

    import keras_faceattr as kfa

    net = kfa.load("faces")
    for face in net.predict("group.jpg"):
        print(face.box, face["age"].value, face["smiling"].probability)

Names are looked up when they are first used: the import itself takes no TensorFlow, Keras, NumPy or OpenCV with it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_faceattr import callbacks as callbacks
    from keras_faceattr import layers as layers
    from keras_faceattr import losses as losses
    from keras_faceattr import metrics as metrics
    from keras_faceattr import models as models
    from keras_faceattr.api.aligning import Aligned as Aligned
    from keras_faceattr.api.aligning import align as align
    from keras_faceattr.api.benchmarking import Benchmark as Benchmark
    from keras_faceattr.api.benchmarking import benchmark as benchmark
    from keras_faceattr.api.comparing import Comparison as Comparison
    from keras_faceattr.api.comparing import compare as compare
    from keras_faceattr.api.exporting import Export as Export
    from keras_faceattr.api.exporting import ExportedFile as ExportedFile
    from keras_faceattr.api.exporting import export as export
    from keras_faceattr.api.fitting import fit as fit
    from keras_faceattr.api.measuring import Report as Report
    from keras_faceattr.api.measuring import evaluate as evaluate
    from keras_faceattr.api.measuring import jitter as jitter
    from keras_faceattr.api.predicting import PredictionSummary as PredictionSummary
    from keras_faceattr.api.predicting import predict as predict
    from keras_faceattr.convert.any_model import to_tflite as to_tflite
    from keras_faceattr.errors import FaceAttrError as FaceAttrError
    from keras_faceattr.evaluation.face import Face as Face
    from keras_faceattr.measured import TaskMetrics as TaskMetrics
    from keras_faceattr.net import Net as Net
    from keras_faceattr.net import load as load
    from keras_faceattr.predictions import Predictions as Predictions
    from keras_faceattr.quantization.any_model import quantize as quantize
    from keras_faceattr.quantization.report import quantization_report as quantization_report
    from keras_faceattr.run import Run as Run

__version__ = "0.1.0"

_HOMES = {
    "Aligned": "api.aligning",
    "Benchmark": "api.benchmarking",
    "Comparison": "api.comparing",
    "Export": "api.exporting",
    "ExportedFile": "api.exporting",
    "Face": "evaluation.face",
    "FaceAttrError": "errors",
    "Net": "net",
    "PredictionSummary": "api.predicting",
    "Predictions": "predictions",
    "Report": "api.measuring",
    "Run": "run",
    "TaskMetrics": "measured",
    "align": "api.aligning",
    "benchmark": "api.benchmarking",
    "compare": "api.comparing",
    "evaluate": "api.measuring",
    "export": "api.exporting",
    "fit": "api.fitting",
    "jitter": "api.measuring",
    "load": "net",
    "predict": "api.predicting",
    "quantization_report": "quantization.report",
    "quantize": "quantization.any_model",
    "to_tflite": "convert.any_model",
}
"""Module of each public name."""

_MODULES = ("callbacks", "layers", "losses", "metrics", "models")
"""Modules of objects for nets of one's own, in Keras."""

__all__ = [
    "Aligned",
    "Benchmark",
    "Comparison",
    "Export",
    "ExportedFile",
    "Face",
    "FaceAttrError",
    "Net",
    "PredictionSummary",
    "Predictions",
    "Report",
    "Run",
    "TaskMetrics",
    "__version__",
    "align",
    "benchmark",
    "callbacks",
    "compare",
    "evaluate",
    "export",
    "fit",
    "jitter",
    "layers",
    "load",
    "losses",
    "metrics",
    "models",
    "predict",
    "quantization_report",
    "quantize",
    "to_tflite",
]


if not TYPE_CHECKING:
    # Types know every name: one that is misspelt would be hidden from them.

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
