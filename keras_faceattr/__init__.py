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
    from keras_faceattr.errors import FaceAttrError as FaceAttrError
    from keras_faceattr.evaluation.face import Face as Face
    from keras_faceattr.net import Net as Net
    from keras_faceattr.net import load as load
    from keras_faceattr.predictions import Predictions as Predictions

__version__ = "0.1.0"

_HOMES = {
    "Face": "evaluation.face",
    "FaceAttrError": "errors",
    "Net": "net",
    "Predictions": "predictions",
    "load": "net",
}
"""Module of each public name."""

__all__ = ["Face", "FaceAttrError", "Net", "Predictions", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
