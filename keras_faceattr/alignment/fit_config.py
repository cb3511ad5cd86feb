"""The config that trains on the crops of an alignment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_faceattr.config import CropConfig, DataConfig, SplitConfig
from keras_faceattr.data.aligned_folder import MANIFEST_FILE
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.faces.crop_spec import CropSpec


def fit_config(folder: Path, manifest: Manifest, spec: CropSpec, data: DataConfig | None) -> dict[str, Any]:
    """Plain data of a config with the labels, splits and weights that the photos had.

    Args:
        folder: of the crops.
        manifest: the photos.
        data: the section of a config that the photos come from; by default there is one source, split as it says
            itself or, where it says nothing, drawn.
    """
    table = {"reader": "csv_file", "path": str((folder / MANIFEST_FILE).absolute())}
    sources: list[dict[str, Any]] = []
    for number, name in enumerate(manifest.sources):
        config = data.sources[number] if data else None
        several = {"name": name, "options": {"source": name}} if len(manifest.sources) > 1 else {}
        split = {"split": config.split.model_dump()} if config and config.split else {}
        weight = {"weight": config.weight} if config and config.weight else {}
        sources.append({**table, **several, **split, **weight})
    given = manifest.rows["split"].notna().any()
    split_config = data.split if data else SplitConfig(method="given" if given else "stratified")
    crop = {key: value for key, value in spec.to_dict().items() if key != "version"}
    return {
        "name": folder.absolute().name,
        "data": {
            "sources": sources,
            "split": split_config.model_dump(),
            "crop": CropConfig(**crop).model_dump(mode="json"),
        },
        "tasks": {name: {} for name in manifest.tasks},
    }
