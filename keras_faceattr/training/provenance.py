"""Provenance: all that another person needs to get the same run: versions, machine, seed and hashes."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

import keras_faceattr
from keras_faceattr.backend import ONEDNN
from keras_faceattr.config import Experiment, PhotoExperiment
from keras_faceattr.data.exclusion import exclusion_hash
from keras_faceattr.data.prepare import PreparedData
from keras_faceattr.machine import processor
from keras_faceattr.storage import sha256
from keras_faceattr.training.teacher import teacher_hashes

PACKAGES = (
    "keras-faceattr",
    "keras",
    "tensorflow",
    "jax",
    "numpy",
    "pandas",
    "opencv-python-headless",
    "ai-edge-litert",
)


def provenance(experiment: PhotoExperiment, data: PreparedData) -> dict[str, Any]:
    """Versions, machine, seed and hashes: what another person needs to get the same run."""
    rows = data.manifest.rows
    return {
        **environment(experiment.seed),
        "label_hash": data.manifest.label_hash(),
        "photo_hash": data.manifest.photo_hash(),
        "split_hash": data.manifest.split_hash(),
        "photos": {str(k): int(v) for k, v in rows["split"].value_counts().items()},
        "teachers": {name: sha256(Path(task.teacher.path)) for name, task in experiment.tasks.items() if task.teacher},
        "distilled_from": teacher_hashes(experiment) if isinstance(experiment, Experiment) else {},
        "excluded": {
            source.name or source.reader: exclusion_hash(source.exclude)
            for source in experiment.data.sources
            if source.exclude
        },
        "sources": {
            name: {"citation": source.citation, "licence": source.licence}
            for name, source in data.manifest.sources.items()
        },
    }


def environment(seed: int, *packages: str) -> dict[str, Any]:
    """Command, versions and machine: what of a run's provenance does not depend on its data.

    Args:
        packages: on which the results depend besides the usual ones.
    """
    return {
        "command": " ".join(["keras-faceattr", *sys.argv[1:]]),
        "versions": {"python": platform.python_version(), **installed_versions(*packages)},
        "backend": keras.backend.backend(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor().name,
        "instruction_sets": list(processor().instruction_sets),
        # None: TensorFlow chose by the processor.
        "onednn": os.environ.get(ONEDNN),
        "seed": seed,
    }


def installed_versions(*more: str) -> dict[str, str]:
    """Versions of the packages that results depend on."""
    found = {}
    for package in (*PACKAGES, *more):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found["keras-faceattr"] = keras_faceattr.__version__
    return found
