"""An alignment: which photos, what is done already, and the files that it leaves.

Whatever a photo became is appended to a journal, in the order of the photos, after its crops are written whole.
A killed alignment goes on behind the journal's last line; when all photos are through, it becomes the tables.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pandas as pd
import yaml

from keras_faceattr.align.engines import Engine
from keras_faceattr.align.work import AlignedPhoto, Work
from keras_faceattr.config import CropConfig
from keras_faceattr.data.aligned_folder import CROP_FILE, MANIFEST_FILE, POINT_COLUMNS, AlignedSet, write_aligned_set
from keras_faceattr.data.crop_cache import check_bad_share
from keras_faceattr.data.manifest import QUARANTINE_COLUMNS, Manifest
from keras_faceattr.errors import DataError, RunError
from keras_faceattr.faces.nets import net_files
from keras_faceattr.storage import locked, replacing, write_json, write_text

CONFIG_FILE = "fit.yaml"
QUARANTINE_FILE, JOURNAL_FILE, LOCK_FILE = "quarantine.csv", "journal.jsonl", ".lock"
OURS = ("crops", MANIFEST_FILE, QUARANTINE_FILE, CONFIG_FILE, CROP_FILE, JOURNAL_FILE)
"""What is written into the folder."""

CHUNK = 16
"""Photos that a worker takes at a time."""

BOX_AND_POINTS = ("left", "top", "right", "bottom", "face_score", *POINT_COLUMNS)
PLACE_COLUMNS = ("image", "source", "source_image", "source_sha256", "face", *BOX_AND_POINTS)
"""What the table says of a crop; labels of the same name give way."""


@dataclass(frozen=True)
class Finished:
    """What an alignment came to.

    Attributes:
        photos: in all.
        crops: written.
        put_aside: photos without a crop, and rows that the data itself put aside.
        cut_without_face: photos that were cut by the fallback.
    """

    photos: int
    crops: int
    put_aside: int
    cut_without_face: int


class Alignment:
    """A folder that is being filled with crops.

    Args:
        folder: where; it is made.
        manifest: the photos and their labels.
        work: what is done with each.
        carried: further columns for the table of crops, row by row as the manifest.
        split: of the config that comes out; by default the manifest's own, if it has one, or a stratified one.

    Raises:
        DataError: the folder holds crops of other photos, or that were cut otherwise; or a label has the name of a
            column that says where a face lies.
        RunError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        work: Work,
        carried: pd.DataFrame | None = None,
        split: dict[str, Any] | None = None,
    ) -> None:
        for task in manifest.tasks.values():
            for column in task.columns:
                if column in PLACE_COLUMNS:
                    raise DataError(f"the label {column!r} is called as a column of the table of crops; rename it")
        self.folder, self.manifest, self.work = folder, manifest, work
        self.carried = carried
        self.split = split or {"method": "given" if manifest.rows["split"].notna().any() else "stratified"}
        self.names = crop_names(manifest)
        plan = {**asdict(work), "spec": work.spec.to_dict(), "photos": _photos_hash(manifest)}
        path = folder / "plan.json"
        if path.exists():
            if _read_json(path) != plan:
                raise DataError(f"{folder} holds crops of other photos or cut otherwise: choose another --out")
        elif found := [name for name in OURS if (folder / name).exists()]:
            raise DataError(f"{folder} holds a {found[0]} of something else: choose another --out")
        else:
            write_json(path, plan)

    @property
    def journal_path(self) -> Path:
        return self.folder / JOURNAL_FILE

    @property
    def done(self) -> int:
        """Photos that need not be looked at again."""
        try:
            with self.journal_path.open("rb") as stream:
                return sum(line.endswith(b"\n") for line in stream)
        except FileNotFoundError:
            return 0

    def run(self, engine: Engine, progress: Callable[[int], None]) -> None:
        """Cuts what is left.

        Args:
            progress: called with the number of photos done so far.

        Raises:
            RunError: the disk is full, the folder cannot be written, or another process fills it.
        """
        if self.done == len(self.manifest):
            return
        if self.work.spec.needs_face:
            net_files()  # Built once, before many processes would.
        with self._writing():
            stream = self.journal_path.open("a", encoding="utf-8")
        with stream as journal, locked(self.folder / LOCK_FILE, self.folder):
            _mend(self.journal_path)
            done = self.done
            # Absolute, as a worker may stand elsewhere.
            paths = [path.absolute() for path in self.manifest.paths()[done:]]
            chunks = (paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))
            for results in engine(self.work, chunks):
                for result in results:
                    self._keep(done, result, journal)
                    done += 1
                progress(done)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(f"cannot write {self.folder}: {error.strerror}; free space and run it again") from error

    def finish(self, max_bad_share: float) -> Finished:
        """Turns the journal into tables; also again, as labels may have changed since.

        Raises:
            DataError: more photos than allowed have no crop.
        """
        photos, quarantine = len(self.manifest), self.manifest.quarantine
        crops = aside = without = 0
        first = ""
        for index, entry in enumerate(self._journal()):
            crops += len(entry["faces"])
            without += bool(entry["faces"]) and entry["reason"] is not None
            if not entry["faces"]:
                aside += 1
                first = first or f"{self.manifest.rows['image'].iloc[index]}: {entry['reason']}"
        check_bad_share(aside, photos, max_bad_share, first, "give a higher --max-bad-share")
        if not crops:
            raise DataError(f"no photo has a crop; the first: {first}")
        labelled = self.manifest
        # Before the table: without it, crops would be taken for photos.
        write_aligned_set(
            self.folder, AlignedSet(self.work.spec, list(labelled.tasks.values()), list(labelled.sources.values()))
        )
        self._write_tables()
        self._write_config()
        return Finished(photos, crops, aside + len(quarantine), without)

    def crops(self) -> Iterator[tuple[Path, Path, dict[str, Any]]]:
        """Photo, first crop and journal entry of every photo that has one."""
        for path, name, entry in zip(self.manifest.paths(), self.names, self._journal(), strict=False):
            if entry["faces"]:
                yield path, self.folder / self._crop_name(name, 0), entry

    def _keep(self, index: int, result: AlignedPhoto, journal: IO[str]) -> None:
        for number, face in enumerate(result.faces):
            path = self.folder / self._crop_name(self.names[index], number)
            with replacing(path) as temporary:
                temporary.write_bytes(face.content)
        faces = [{"box": face.box, "score": face.score, "points": face.points} for face in result.faces]
        entry = {"sha256": result.sha256, "faces": faces, "reason": result.reason}
        with self._writing():
            journal.write(json.dumps(entry, ensure_ascii=False) + "\n")
            journal.flush()

    def _crop_name(self, name: str, number: int) -> str:
        # A number in every name, so that no photo is called like another's face.
        face = f".{number + 1}" if self.work.face == "all" else ""
        return f"crops/{name}{face}.{self.work.suffix}"

    def _journal(self) -> Iterator[dict[str, Any]]:
        """Entries of whole lines."""
        try:
            with self.journal_path.open(encoding="utf-8") as stream:
                for line in stream:
                    if line.endswith("\n"):
                        yield json.loads(line)
        except FileNotFoundError:
            return

    def _write_tables(self) -> None:
        rows = self.manifest.rows
        labels = rows[[column for column in rows if column not in (*PLACE_COLUMNS, "row")]]
        if self.work.face == "all":
            # Faces of one photo belong into one split.
            known = labels["identity"] if "identity" in labels else pd.Series(pd.NA, labels.index, dtype="string")
            labels = labels.assign(identity=known.fillna(rows["image"]))
        if self.carried is not None:
            labels = labels.join(self.carried[[c for c in self.carried if c not in (*PLACE_COLUMNS, *labels)]])
        with (
            replacing(self.folder / MANIFEST_FILE) as table_path,
            replacing(self.folder / QUARANTINE_FILE) as aside_path,
            table_path.open("w", encoding="utf-8", newline="") as table,
            aside_path.open("w", encoding="utf-8", newline="") as aside,
        ):
            crops, bad = csv.writer(table, lineterminator="\n"), csv.writer(aside, lineterminator="\n")
            crops.writerow([*PLACE_COLUMNS, *labels])
            bad.writerow(QUARANTINE_COLUMNS)
            bad.writerows(self.manifest.quarantine[QUARANTINE_COLUMNS].itertuples(index=False))
            parts = [rows[["source", "image", "row"]], labels]
            cells = [part.itertuples(index=False, name=None) for part in parts]
            for (source, image, row), values, name, entry in zip(*cells, self.names, self._journal(), strict=True):
                if entry["reason"] is not None:
                    bad.writerow([source, image, row, entry["reason"]])
                for number, face in enumerate(entry["faces"]):
                    crop = self._crop_name(name, number)
                    place = [crop, source, image, entry["sha256"], number + 1, *_box_and_points(face)]
                    crops.writerow([*place, *(_plain(value) for value in values)])

    def _write_config(self) -> None:
        """A config that trains on the crops, if they have labels; one that is there may have been changed by hand."""
        tasks = self.manifest.tasks
        if not tasks or (self.folder / CONFIG_FILE).exists():
            return
        crop = {k: v for k, v in self.work.spec.to_dict().items() if k != "version"}
        config = {
            "name": self.folder.absolute().name,
            "data": {
                "sources": [{"reader": "csv_file", "path": str((self.folder / MANIFEST_FILE).absolute())}],
                "split": self.split,
                "crop": CropConfig(**crop).model_dump(mode="json"),
            },
            "tasks": {name: {} for name in tasks},
        }
        write_text(self.folder / CONFIG_FILE, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def crop_names(manifest: Manifest) -> list[str]:
    """Where each photo's crop lies below `crops`, without suffix: as the photo, unless two would be one."""
    several = len(manifest.sources) > 1
    pairs = zip(manifest.rows["source"], manifest.rows["image"], strict=True)
    whole = [f"{source}/{image}" if several else str(image) for source, image in pairs]
    names = [str(PurePosixPath(name).with_suffix("")) for name in whole]
    # Letters of either case are one name to some file systems.
    counts = Counter(name.lower() for name in names)
    taken = {name for name, count in counts.items() if count == 1}
    for index, name in enumerate(names):
        if counts[name.lower()] > 1:
            names[index] = whole[index]
            while names[index].lower() in taken:
                names[index] += "_"
            taken.add(names[index].lower())
    return names


def _photos_hash(manifest: Manifest) -> str:
    digest = hashlib.sha256()
    for source, image in zip(manifest.rows["source"], manifest.rows["image"], strict=True):
        digest.update(f"{source}\0{image}\n".encode())
    for name, source in manifest.sources.items():
        digest.update(f"{name}\0{source.root.absolute()}\n".encode())
    return digest.hexdigest()


def _mend(journal: Path) -> None:
    """Cuts off a line that a killed process left unfinished."""
    if not journal.exists():
        return
    content_end = 0
    with journal.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                content_end += len(line)
    os.truncate(journal, content_end)


def _box_and_points(face: dict[str, Any]) -> list[Any]:
    if face["box"] is None:
        return [""] * len(BOX_AND_POINTS)
    return [*face["box"], f"{face['score']:.6f}", *(value for point in face["points"] for value in point)]


def _plain(value: Any) -> Any:
    return "" if value is None or value is pd.NA or value != value else value


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
