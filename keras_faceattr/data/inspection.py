"""Contents of a data set: counts, histograms, missing labels, duplicates, bad files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.data.crop_cache import load_crops
from keras_faceattr.data.groups import group_columns, group_members
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.splits import photo_hashes
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.tasks import CategoricalTask, EmbeddingTask, IdentityTask, ScalarTask, Task, label_columns

BINS = 10
SAMPLE_SIZE = 64
SAMPLES = 48
PHOTOS_PER_PERSON = ((1, 1), (2, 4), (5, 9), (10, 49), (50, np.inf))


def inspect_manifest(manifest: Manifest, decode: bool = True) -> tuple[dict[str, Any], Manifest]:
    """Look at every row and, with `decode`, at every photo.

    Returns:
        The findings, as plain data, and the manifest of the photos that can be read.
    """
    if decode:
        _, manifest = load_crops(_as_photos(manifest), CropSpec(SAMPLE_SIZE), "none", max_bad_share=1.0)
    rows = manifest.rows
    hashes = photo_hashes(manifest)
    _, counts = np.unique(hashes[hashes != ""], return_counts=True)
    findings = {
        "notes": list(manifest.notes),
        "sources": {name: {"root": str(s.root), "licence": s.licence} for name, s in manifest.sources.items()},
        "photos": len(rows),
        "splits": {str(k): int(v) for k, v in rows["split"].fillna("none").value_counts().items()},
        "identities": int(rows["identity"].nunique()) if "identity" in rows else None,
        "groups": {
            column: {group: int(own.sum()) for group, own in group_members(groups).items()}
            for column, groups in group_columns(manifest).items()
        },
        "duplicates": {"photos_with_a_twin": int(counts[counts > 1].sum()), "sets": int((counts > 1).sum())},
        "put_aside": [
            {key: (int(value) if key == "row" else str(value)) for key, value in row.items()}
            for row in manifest.quarantine.to_dict("records")
        ],
        "tasks": {name: _describe(manifest, task) for name, task in manifest.tasks.items()},
    }
    return findings, manifest


def _describe(manifest: Manifest, task: Task) -> dict[str, Any]:
    rows = manifest.rows
    # A teacher, whose task has no column, labels every photo.
    missing = int(rows[label_columns([task], rows.columns)].isna().all(axis=1).sum()) if task.columns else 0
    described: dict[str, Any] = {"kind": task.kind, "labelled": len(rows) - missing, "missing": missing}
    if isinstance(task, ScalarTask):
        values = rows[task.name].dropna().to_numpy("float64")
        counts, edges = np.histogram(values, BINS, (task.minimum, task.maximum))
        std = f"{task.name}_std"
        described |= _bands(manifest, task) | {
            "unit": task.unit,
            "mean": float(values.mean()) if len(values) else None,
            "std": float(values.std()) if len(values) else None,
            "with_own_std": int(rows[std].notna().sum()) if std in rows else 0,
            "histogram": [
                {"from": float(a), "to": float(b), "photos": int(n)}
                for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
            ],
        }
    elif isinstance(task, CategoricalTask):
        counted = rows[task.name].value_counts()
        described["classes"] = {name: int(counted.get(name, 0)) for name in task.classes}
    elif isinstance(task, IdentityTask):
        photos = rows["identity"].value_counts()
        described |= {
            "people": len(photos),
            "photos_per_person": {
                _range(low, high): int(photos.between(low, high).sum()) for low, high in PHOTOS_PER_PERSON
            },
        }
    elif not isinstance(task, EmbeddingTask):
        described["share_of_yes"] = {
            column.removeprefix(f"{task.name}."): float(rows[column].mean()) for column in task.columns
        }
    return described


def _bands(manifest: Manifest, task: ScalarTask) -> dict[str, Any]:
    """Photos of each band, where labels are bands."""
    if not task.bands:
        return {}
    rows, (low, high) = manifest.rows, task.interval_columns
    counted = rows[[low, high]].value_counts()
    return {"bands": {f"{a:g} to {b:g}": int(counted.get((a, b), 0)) for a, b in task.bands}}


def bars_of(task: dict[str, Any]) -> tuple[str, list[tuple[str, float]]]:
    """Return the quantity counted for a task, and each label with its count or share; no labels if none is counted."""
    if "bands" in task:
        return "photos", list(task["bands"].items())
    if "histogram" in task:
        return "photos", [(f"{b['from']:g} to {b['to']:g}", b["photos"]) for b in task["histogram"]]
    for key, counted in (("classes", "photos"), ("photos_per_person", "people"), ("share_of_yes", "share of yes")):
        if key in task:
            return counted, list(task[key].items())
    return "photos", []


def _range(low: int, high: float) -> str:
    return f"{low} or more photos" if high == np.inf else f"{low} photo" if high == 1 else f"{low} to {high:g} photos"


def draw_inspection(manifest: Manifest, findings: dict[str, Any], path: Path, seed: int = 0) -> None:
    """Write a PNG: sample photos above a histogram of each task."""
    from matplotlib.figure import Figure

    from keras_faceattr.plot_text import plot_names, plot_word, use_fonts
    from keras_faceattr.storage import replacing

    tasks = findings["tasks"]
    figure = Figure(figsize=(9, 3.2 + 2.6 * len(tasks)), layout="constrained")
    grid = figure.add_gridspec(1 + len(tasks), 1, height_ratios=[1.2, *([1.0] * len(tasks))])
    top = figure.add_subplot(grid[0])
    top.imshow(_contact_sheet(manifest, seed))
    top.set_axis_off()
    top.set_title(f"{plot_word(', '.join(findings['sources']))}: {findings['photos']} photos")
    for place, (name, task) in enumerate(tasks.items(), start=1):
        axes = figure.add_subplot(grid[place])
        counted, bars = bars_of(task)
        names, note = plot_names([label for label, _ in bars])
        axes.set_xlabel(note, fontsize=8)
        axes.bar(range(len(bars)), [value for _, value in bars], color="#2a6f97")
        axes.set_xticks(range(len(bars)), names)
        axes.tick_params(axis="x", labelrotation=90 if len(bars) > 12 else 0, labelsize=6 if len(bars) > 12 else 8)
        axes.set_ylabel(counted)
        axes.set_title(f"{name}: {task['labelled']} labelled, {task['missing']} missing", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    use_fonts(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def _contact_sheet(manifest: Manifest, seed: int) -> np.ndarray:
    count = min(SAMPLES, len(manifest))
    chosen = np.sort(np.random.default_rng(seed).choice(len(manifest), count, replace=False))
    sample = manifest.select(np.isin(np.arange(len(manifest)), chosen))
    crops, _ = load_crops(_as_photos(sample), CropSpec(SAMPLE_SIZE), "memory", max_bad_share=1.0)
    columns = max(1, min(16, count))
    sheet = np.full((max(1, -(-count // columns)) * SAMPLE_SIZE, columns * SAMPLE_SIZE, 3), 255, np.uint8)
    for i in range(len(crops)):
        top, left = i // columns * SAMPLE_SIZE, i % columns * SAMPLE_SIZE
        sheet[top : top + SAMPLE_SIZE, left : left + SAMPLE_SIZE] = crops.take(np.array([i]))[0]
    return sheet


def _as_photos(manifest: Manifest) -> Manifest:
    """The same photos, also where they are crops already: all are shown as they are."""
    sources = {name: dataclasses.replace(source, crop=None) for name, source in manifest.sources.items()}
    return dataclasses.replace(manifest, sources=sources)
