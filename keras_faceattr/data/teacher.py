"""Labels from another net: the vectors that a teacher gives the photos."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from keras_faceattr.cache import hold
from keras_faceattr.config import TeacherConfig
from keras_faceattr.data.crop_cache import Crops, crops_key, load_crops
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import DataError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.embedder import TFLiteEmbedder, tflite_embedder
from keras_faceattr.storage import cache_folder, replacing, sha256


def open_teacher(config: TeacherConfig) -> TFLiteEmbedder:
    """The teacher of a config.

    Raises:
        ArtifactError: missing or damaged.
        ModelError: it takes no picture, or gives no vector.
        ConfigError: it does not tell how it wants its pixels.
    """
    return tflite_embedder(Path(config.path), config.scale)


def teacher_vectors(config: TeacherConfig, manifest: Manifest, crops: Crops) -> np.ndarray:
    """Return the teacher's vector of each photo, computed once and kept in the cache.

    Args:
        manifest: the photos, row by row as in `crops`.
        crops: crops that the student sees; the teacher sees the same unless its config has a crop of its own.

    Returns:
        (n, dimension) float32; NaN where the teacher's crop cannot be cut.

    Raises:
        DataError: the teacher's crop can be cut from no photo.
    """
    seen = crops
    if config.crop is not None:
        seen, good = load_crops(manifest, CropSpec(**config.crop.model_dump()), "auto", max_bad_share=1.0)
        if not len(good):
            raise DataError(f"the teacher sees none of {len(manifest)} photos: {good.quarantine['reason'].iloc[-1]}")
    key = hashlib.sha256(f"{crops_key(seen.jobs, seen.spec)} {sha256(Path(config.path))} {config.scale}".encode())
    stored = cache_folder() / "teachers" / f"{key.hexdigest()[:24]}.npy"
    try:
        vectors = np.load(stored, allow_pickle=False)
        hold(stored)
    except (OSError, EOFError, ValueError):
        teacher = open_teacher(config)
        vectors = np.concatenate([teacher(chunk) for chunk in seen.chunks(np.arange(len(seen)))])
        stored.parent.mkdir(parents=True, exist_ok=True)
        with replacing(stored) as temporary, temporary.open("wb") as stream:
            np.save(stream, vectors, allow_pickle=False)
    known = dict(zip(seen.paths, vectors, strict=True))
    nothing = np.full(vectors.shape[1], np.nan, "float32")
    return np.stack([known.get(path, nothing) for path in manifest.paths()])
