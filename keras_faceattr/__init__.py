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
    from keras_faceattr.api.describing import FileInfo as FileInfo
    from keras_faceattr.api.describing import file_info as file_info
    from keras_faceattr.api.describing import info as info
    from keras_faceattr.api.describing import inspect_data as inspect_data
    from keras_faceattr.api.detecting import DetectorFiles as DetectorFiles
    from keras_faceattr.api.detecting import export_detector as export_detector
    from keras_faceattr.api.exporting import Export as Export
    from keras_faceattr.api.exporting import ExportedFile as ExportedFile
    from keras_faceattr.api.exporting import export as export
    from keras_faceattr.api.fitting import fit as fit
    from keras_faceattr.api.listing import CleanedCache as CleanedCache
    from keras_faceattr.api.listing import ShippedFile as ShippedFile
    from keras_faceattr.api.listing import cache_entries as cache_entries
    from keras_faceattr.api.listing import clean_cache as clean_cache
    from keras_faceattr.api.listing import readers as readers
    from keras_faceattr.api.listing import shipped_nets as shipped_nets
    from keras_faceattr.api.measuring import Report as Report
    from keras_faceattr.api.measuring import evaluate as evaluate
    from keras_faceattr.api.measuring import jitter as jitter
    from keras_faceattr.api.predicting import PredictionSummary as PredictionSummary
    from keras_faceattr.api.predicting import predict as predict
    from keras_faceattr.config_files import config_names as config_names
    from keras_faceattr.convert.any_model import to_tflite as to_tflite
    from keras_faceattr.demo.bundle import build_demo as build_demo
    from keras_faceattr.errors import FaceAttrError as FaceAttrError
    from keras_faceattr.evaluation.face import Face as Face
    from keras_faceattr.measured import TaskMetrics as TaskMetrics
    from keras_faceattr.models.loading import load_model as load_model
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
    "CleanedCache": "api.listing",
    "Comparison": "api.comparing",
    "DetectorFiles": "api.detecting",
    "Export": "api.exporting",
    "ExportedFile": "api.exporting",
    "Face": "evaluation.face",
    "FaceAttrError": "errors",
    "FileInfo": "api.describing",
    "Net": "net",
    "PredictionSummary": "api.predicting",
    "Predictions": "predictions",
    "Report": "api.measuring",
    "Run": "run",
    "ShippedFile": "api.listing",
    "TaskMetrics": "measured",
    "align": "api.aligning",
    "benchmark": "api.benchmarking",
    "build_demo": "demo.bundle",
    "cache_entries": "api.listing",
    "clean_cache": "api.listing",
    "compare": "api.comparing",
    "config_names": "config_files",
    "evaluate": "api.measuring",
    "export": "api.exporting",
    "export_detector": "api.detecting",
    "file_info": "api.describing",
    "fit": "api.fitting",
    "info": "api.describing",
    "inspect_data": "api.describing",
    "jitter": "api.measuring",
    "load": "net",
    "load_model": "models.loading",
    "predict": "api.predicting",
    "quantization_report": "quantization.report",
    "quantize": "quantization.any_model",
    "readers": "api.listing",
    "shipped_nets": "api.listing",
    "to_tflite": "convert.any_model",
}
"""Module of each public name."""

_MODULES = ("callbacks", "layers", "losses", "metrics", "models")
"""Modules of objects for nets of one's own, in Keras."""

__all__ = [
    "Aligned",
    "Benchmark",
    "CleanedCache",
    "Comparison",
    "DetectorFiles",
    "Export",
    "ExportedFile",
    "Face",
    "FaceAttrError",
    "FileInfo",
    "Net",
    "PredictionSummary",
    "Predictions",
    "Report",
    "Run",
    "ShippedFile",
    "TaskMetrics",
    "__version__",
    "align",
    "benchmark",
    "build_demo",
    "cache_entries",
    "callbacks",
    "clean_cache",
    "compare",
    "config_names",
    "evaluate",
    "export",
    "export_detector",
    "file_info",
    "fit",
    "info",
    "inspect_data",
    "jitter",
    "layers",
    "load",
    "load_model",
    "losses",
    "metrics",
    "models",
    "predict",
    "quantization_report",
    "quantize",
    "readers",
    "shipped_nets",
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
