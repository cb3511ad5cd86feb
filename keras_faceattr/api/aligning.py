"""`align`: the faces of a collection, cut once for all later trainings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_faceattr.alignment.engines import ENGINES, engine_of
from keras_faceattr.alignment.job import CONFIG_FILE, Alignment
from keras_faceattr.alignment.sheet import write_sheet
from keras_faceattr.alignment.tables import QUARANTINE_FILE
from keras_faceattr.alignment.work import ENCODINGS, Work
from keras_faceattr.api.configs import Paths, Settings, as_overrides, as_paths
from keras_faceattr.api.named import Named, read_named
from keras_faceattr.config import CropConfig
from keras_faceattr.config_files import apply_overrides, parse_section
from keras_faceattr.data.aligned_folder import MANIFEST_FILE
from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.faces.crop_spec import CHOICES, FACE_METHODS, CropSpec
from keras_faceattr.machine import usable_cores
from keras_faceattr.terminal.photo_progress import PhotoProgress


@dataclass(frozen=True)
class Aligned:
    """A finished alignment.

    Attributes:
        folder: that holds `crops/` and the tables.
        photos: in all.
        crops: written.
        put_aside: photos without a crop, and rows that the data itself quarantined.
        cut_without_face: photos that were cut by the fallback.
        already_done: photos that an earlier call had done.
        images_per_s: photos per second of this call.
        preview: a picture of faces, points and crops; None without one.
    """

    folder: Path
    photos: int
    crops: int
    put_aside: int
    cut_without_face: int
    already_done: int
    images_per_s: float
    preview: Path | None = None

    @property
    def manifest(self) -> Path:
        """Table of the crops with their labels; `predict` takes it."""
        return self.folder / MANIFEST_FILE

    @property
    def quarantine(self) -> Path:
        """Table of the photos without a crop, each with its reason."""
        return self.folder / QUARANTINE_FILE

    @property
    def config(self) -> Path | None:
        """Config that trains on the crops; None where the photos have no labels."""
        path = self.folder / CONFIG_FILE
        return path if path.exists() else None


def align(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    size: int | None = None,
    method: str | None = None,
    margin: float | None = None,
    face: str | None = None,
    fallback: str | None = None,
    set: Settings | None = None,
    data: Paths | None = None,
    photo_root: str | os.PathLike[str] | None = None,
    encoding: str = "png",
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    max_bad_share: float = 0.5,
    preview: bool = False,
    verbose: bool = True,
) -> Aligned:
    """Detect, align and crop faces once, for all later trainings; after a stop the same call continues.

    Args:
        source: folder of photos, CSV, `READER=PATH`, or a config by name or path.
        out: folder for crops and tables.
        size: side of a crop in pixels; default: 224.
        method: `five_points`, `face_box`, `centre_square` or `whole_photo`; default: `five_points`.
        margin: on each side, as a share of the face; default: 0.2.
        face: `largest`, `central` or `all`; default: `largest`.
        fallback: crop of photos without a face, `centre_square` or `whole_photo`; by default they are skipped.
        set: changes of other keys of the crop: `{"min_face": 40}`.
        data: where the sources of a config lie.
        photo_root: folder below which the photos of a CSV lie; default: the CSV's folder.
        encoding: `png` (lossless) or `jpg` (a fifth of the size).
        workers: processes; default: one per core.
        engine: where the work runs, `local` or `ray`.
        address: of the Ray cluster, `ray://HOST:10001`; default: this machine.
        max_bad_share: largest allowed share of bad rows and photos without a crop.
        preview: also draws a picture of faces, points and crops.
        verbose: shows progress on stderr.

    Raises:
        ConfigError: an unknown option, or a source or an output that does not fit.
        DataError: data that cannot be used, or too many bad rows.
        RunError: the folder cannot be written.
    """
    for name, value, valid in (("format", encoding, ENCODINGS), ("engine", engine, ENGINES)):
        if value not in valid:
            raise ConfigError(f"unknown --{name} {value!r}; {nearest(value, valid)}")
    folder = Path(out)
    root = Path(photo_root) if photo_root is not None else None
    named = read_named(os.fspath(source), as_paths(data), [], plain_folder=True, photo_root=root)
    _check_apart(folder, named)
    crop = {"size": size, "method": method, "margin": margin, "face": face, "fallback": fallback}
    work = _work(named, crop, as_overrides(set), encoding)
    runner = engine_of(engine, workers or usable_cores(), address)
    section = named.experiment.data if named.experiment else None
    alignment = Alignment(folder, named.manifest, work, named.table, section)
    alignment.check(max_bad_share)
    total, already = len(named.manifest), alignment.done
    with PhotoProgress("aligning", total, already, quiet=not verbose) as bar:
        try:
            alignment.run(runner, bar.show)
        except KeyboardInterrupt:
            bar.say(f"stopped after {alignment.done} of {total} photos; the same command goes on")
            raise
    found = alignment.finish(max_bad_share)
    sheet = folder / "preview.png" if preview else None
    if sheet:
        write_sheet(alignment, sheet)
    return Aligned(
        folder, found.photos, found.crops, found.put_aside, found.cut_without_face, already, bar.images_per_s, sheet
    )


def _check_apart(out: Path, named: Named) -> None:
    """Refuse an output folder among the photos, where crops would be read as photos the next time.

    Raises:
        ConfigError: `out` lies among the photos, or these are crops already.
    """
    for source in named.manifest.sources.values():
        root, folder = source.root.absolute(), out.absolute()
        if source.crop is not None:
            raise ConfigError(f"{root} holds crops already: align the photos that they come from")
        if folder == root or (named.table is None and folder.is_relative_to(root)):
            raise ConfigError(f"--out {out} lies inside the photos' folder {source.root}: choose one next to it")


def _work(named: Named, settings: dict[str, Any], overrides: list[str], encoding: str) -> Work:
    base = named.experiment.data.crop.model_dump(mode="json") if named.experiment else {}
    if base.get("method") not in FACE_METHODS:
        base["method"] = FACE_METHODS[0]
    crop = {**base, **{key: value for key, value in settings.items() if value is not None}}
    apply_overrides(crop, overrides)
    face = crop.get("face", CHOICES[0])
    if face not in CHOICES:
        raise ConfigError(f"unknown --face {face!r}; {nearest(str(face), CHOICES)}")
    # A model that is trained on all faces is given one at a time.
    crop["face"] = face if face != "all" else CHOICES[0]
    return Work(CropSpec(**parse_section(CropConfig, crop, "align").model_dump()), face, encoding)
