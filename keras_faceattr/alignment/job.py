"""An alignment: which photos, what is done already, and the files that it leaves.

Whatever a photo became is appended to a journal, in the order of the photos, after its crops are written whole.
A killed alignment goes on behind the journal's last line; when all photos are through, it becomes the tables.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pandas as pd
import yaml

from keras_faceattr.alignment.engines import Engine
from keras_faceattr.alignment.fit_config import fit_config
from keras_faceattr.alignment.journal import Entry, check_journal, cut_off, line_of, read_journal
from keras_faceattr.alignment.tables import PLACE_COLUMNS, QUARANTINE_FILE, crop_labels, write_tables
from keras_faceattr.alignment.work import AlignedPhoto, Work
from keras_faceattr.config import DataConfig
from keras_faceattr.data.aligned_folder import CROP_FILE, MANIFEST_FILE, AlignedSet, write_aligned_set
from keras_faceattr.data.crop_cache import check_bad_share
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import DataError, RunError
from keras_faceattr.faces.nets import detector_version, net_files
from keras_faceattr.storage import locked, remove_leftovers, replacing, write_json, write_text
from keras_faceattr.tasks import label_columns

CONFIG_FILE = "fit.yaml"
JOURNAL_FILE, LOCK_FILE = "journal.jsonl", ".lock"
OURS = ("crops", MANIFEST_FILE, QUARANTINE_FILE, CONFIG_FILE, CROP_FILE, JOURNAL_FILE)
"""Names that an alignment writes into its folder."""

HIGHER = "give a higher --max-bad-share"

CHUNK = 16
"""Photos that a worker takes at a time."""


@dataclass(frozen=True)
class Finished:
    """The counts of a finished alignment.

    Attributes:
        photos: in all.
        crops: written.
        put_aside: photos without a crop, and rows that the data itself quarantined.
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
        data: section of the config that the photos come from, whose splits and weights the config that comes out takes.

    Raises:
        DataError: the folder holds crops of other photos, or that were cut otherwise or with another detector; a label
            has the name of a column that says where a face lies; or a source's name would lead out of the folder.
        RunError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        work: Work,
        carried: pd.DataFrame | None = None,
        data: DataConfig | None = None,
    ) -> None:
        for task in manifest.tasks.values():
            for column in label_columns([task], manifest.rows.columns):
                if column in PLACE_COLUMNS:
                    raise DataError(f"the label {column!r} is called as a column of the table of crops; rename it")
        self.folder, self.manifest, self.work = folder, manifest, work
        self.carried, self.data = carried, data
        self.names = crop_names(manifest)
        detector = detector_version() if work.spec.needs_face else None
        plan = {
            **asdict(work),
            "spec": work.spec.to_dict(),
            "photos": _photos_hash(manifest),
            "detector": detector,
        }
        path = folder / "plan.json"
        if path.exists():
            _check_plan(folder, _read_json(path), plan)
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
        sound = check_journal(self.journal_path, self.manifest.paths())
        return sound.done + len(sound.kept)

    def run(self, engine: Engine, progress: Callable[[int], None]) -> None:
        """Cuts what is left, and anew what has changed since it was cut.

        Args:
            progress: called with the number of photos done so far.

        Raises:
            RunError: the disk is full, the folder cannot be written, or another process fills it.
        """
        # Absolute, as a worker may stand elsewhere.
        paths = [path.absolute() for path in self.manifest.paths()]
        sound = check_journal(self.journal_path, paths)
        if sound.done == len(paths) and sound.end == self.journal_path.stat().st_size:
            return
        if self.work.spec.needs_face:
            net_files()  # Built once, before many processes would.
        with (
            locked(self.folder / LOCK_FILE, self.folder),
            self._writing(),
            self.journal_path.open("a", encoding="utf-8") as journal,
        ):
            # Again, as another process may have written until now.
            sound = check_journal(self.journal_path, paths)
            cut_off(self.journal_path, sound.end)
            for number, entry in sound.dropped.items():
                self._remove_crops(number, entry)
            for folder in {self.folder, *((self.folder / self._crop_name(i, 0)).parent for i in range(len(paths)))}:
                remove_leftovers(folder)
            left = [number for number in range(sound.done, len(paths)) if number not in sound.kept]
            chunks = ([paths[i] for i in left[start : start + CHUNK]] for start in range(0, len(left), CHUNK))
            numbers, done = iter(left), sound.done
            for results in engine(self.work, chunks):
                for result, number in zip(results, numbers, strict=False):
                    done = self._append(journal, done, number, sound.kept)
                    self._keep(number, result, journal)
                    done += 1
                progress(done)
            if self._append(journal, done, len(paths), sound.kept) > done:
                progress(len(paths))

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
        first = _first_bad(quarantine)
        for index, entry in enumerate(self._entries()):
            crops += len(entry["faces"])
            without += bool(entry["faces"]) and entry["reason"] is not None
            if not entry["faces"]:
                aside += 1
                first = first or f"{self.manifest.rows['image'].iloc[index]}: {entry['reason']}"
        check_bad_share(aside + len(quarantine), photos + len(quarantine), max_bad_share, first, HIGHER)
        if not crops:
            raise DataError(f"no photo has a crop; the first: {first}")
        labelled = self.manifest
        # Before the table: without it, crops would be taken for photos.
        write_aligned_set(
            self.folder, AlignedSet(self.work.spec, list(labelled.tasks.values()), list(labelled.sources.values()))
        )
        columns = crop_labels(labelled, self.carried, self.work.face == "all")
        write_tables(self.folder, labelled, columns, self._entries(), self._crop_name)
        self._write_config()
        return Finished(photos, crops, aside + len(quarantine), without)

    def check(self, max_bad_share: float) -> None:
        """Refuses a collection of which too many rows are bad before any photo is looked at.

        Raises:
            DataError: more than the allowed share.
        """
        bad = len(self.manifest.quarantine)
        first = _first_bad(self.manifest.quarantine)
        check_bad_share(bad, len(self.manifest) + bad, max_bad_share, first, HIGHER)

    def crops(self) -> Iterator[tuple[Path, Path, Entry]]:
        """Photo, first crop and journal entry of every photo that has one."""
        for number, (path, entry) in enumerate(zip(self.manifest.paths(), self._entries(), strict=False)):
            if entry["faces"]:
                yield path, self.folder / self._crop_name(number, 0), entry

    def _keep(self, photo: int, result: AlignedPhoto, journal: IO[str]) -> None:
        for number, face in enumerate(result.faces):
            with replacing(self.folder / self._crop_name(photo, number)) as temporary:
                temporary.write_bytes(face.content)
        faces = [{"box": face.box, "score": face.score, "points": face.points} for face in result.faces]
        entry = {"sha256": result.sha256, "stamp": result.stamp, "faces": faces, "reason": result.reason}
        with self._writing():
            journal.write(line_of(entry))
            journal.flush()

    def _append(self, journal: IO[str], done: int, until: int, kept: dict[int, Entry]) -> int:
        """Writes kept entries from `done` on, up to `until` or the first that is not kept; returns where it is then."""
        while done < until and done in kept:
            journal.write(line_of(kept[done]))
            done += 1
        journal.flush()
        return done

    def _crop_name(self, photo: int, number: int) -> str:
        # A number in every name, so that no photo is called like another's face.
        face = f".{number + 1}" if self.work.face == "all" else ""
        return f"crops/{self.names[photo]}{face}.{self.work.suffix}"

    def _remove_crops(self, photo: int, entry: Entry) -> None:
        """Those of a photo that is no longer what it was, which may have shown more faces."""
        for number in range(len(entry["faces"])):
            (self.folder / self._crop_name(photo, number)).unlink(missing_ok=True)

    def _entries(self) -> Iterator[Entry]:
        return read_journal(self.journal_path)

    def _write_config(self) -> None:
        """A config that trains on the crops, if they have labels; one that is there may have been changed by hand."""
        path = self.folder / CONFIG_FILE
        if self.manifest.tasks and not path.exists():
            config = fit_config(self.folder, self.manifest, self.work.spec, self.data)
            write_text(path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def crop_names(manifest: Manifest) -> list[str]:
    """Where each photo's crop lies below `crops`, without suffix: as the photo, unless two would be one.

    Raises:
        DataError: a source's name would lead to another folder.
    """
    several = len(manifest.sources) > 1
    for source in manifest.sources:
        if several and (source in ("", ".", "..") or set("/\\\0") & set(source)):
            raise DataError(f"source {source!r}: its crops get a folder of its name; name it without slashes")
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


def _first_bad(quarantine: pd.DataFrame) -> str:
    return f"{quarantine['image'].iloc[0]}: {quarantine['reason'].iloc[0]}" if len(quarantine) else ""


def _check_plan(folder: Path, before: Any, plan: dict[str, Any]) -> None:
    """Refuses to mix crops of two settings, two collections, or two detectors.

    Raises:
        DataError: the folder's crops are others.
    """
    if isinstance(before, dict) and {**before, "detector": plan["detector"]} == plan:
        if before.get("detector") != plan["detector"]:
            raise DataError(
                f"{folder} holds crops of detector {before.get('detector', 'unknown')}, and this is "
                f"{plan['detector']}, which may find other faces: choose another --out"
            )
    elif before != plan:
        raise DataError(f"{folder} holds crops of other photos or cut otherwise: choose another --out")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
