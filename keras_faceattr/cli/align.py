"""`keras-faceattr align`."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_faceattr.align.engines import ENGINES, engine_of
from keras_faceattr.align.job import CONFIG_FILE, Alignment, Finished
from keras_faceattr.align.sheet import write_sheet
from keras_faceattr.align.tables import QUARANTINE_FILE
from keras_faceattr.align.work import ENCODINGS, Work
from keras_faceattr.cli.bar import new_bar
from keras_faceattr.cli.console import plain_console
from keras_faceattr.cli.options import print_json
from keras_faceattr.cli.sources import Named, read_named
from keras_faceattr.config import CropConfig
from keras_faceattr.config_files import apply_overrides, parse_section
from keras_faceattr.data.aligned_folder import MANIFEST_FILE
from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.faces.crop_spec import CHOICES, FACE_METHODS, CropSpec
from keras_faceattr.machine import usable_cores

LINE_EVERY_S = 30.0
"""Without a terminal, the work says how far it is this often."""


@dataclass(frozen=True)
class AlignOptions:
    """Options of the command; None leaves a setting to the config or its default."""

    source: str
    out: Path
    crop: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    photo_root: Path | None = None
    suffix: str = "png"
    workers: int | None = None
    engine: str = "local"
    address: str | None = None
    max_bad_share: float = 0.5
    preview: bool = False
    json: bool = False


def run_align(options: AlignOptions) -> None:
    """Cuts the faces of a collection, and says where they lie and what comes next."""
    for name, value, valid in (("format", options.suffix, ENCODINGS), ("engine", options.engine, ENGINES)):
        if value not in valid:
            raise ConfigError(f"unknown --{name} {value!r}; {nearest(value, valid)}")
    named = read_named(options.source, options.data, [], plain_folder=True, photo_root=options.photo_root)
    _check_apart(options.out, named)
    work = _work(options, named)
    engine = engine_of(options.engine, options.workers or usable_cores(), options.address)
    data = named.experiment.data if named.experiment else None
    alignment = Alignment(options.out, named.manifest, work, named.table, data)
    alignment.check(options.max_bad_share)
    total, already = len(named.manifest), alignment.done
    with _Bar(total, already) as bar:
        try:
            alignment.run(engine, bar.show)
        except KeyboardInterrupt:
            bar.say(f"stopped after {alignment.done} of {total} photos; the same command goes on")
            raise
    finished = alignment.finish(options.max_bad_share)
    sheet = options.out / "preview.png" if options.preview else None
    if sheet:
        write_sheet(alignment, sheet)
    if options.json:
        print_json({**asdict(finished), "already_done": already, "out": str(options.out), **bar.rate()})
        return
    _print(options, finished, already, sheet)


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
            raise ConfigError(f"--out {out} lies inside the photos' folder {source.root}: choose one beside it")


def _work(options: AlignOptions, named: Named) -> Work:
    base = named.experiment.data.crop.model_dump(mode="json") if named.experiment else {}
    if base.get("method") not in FACE_METHODS:
        base["method"] = FACE_METHODS[0]
    crop = {**base, **{key: value for key, value in options.crop.items() if value is not None}}
    apply_overrides(crop, options.overrides)
    face = crop.get("face", CHOICES[0])
    if face not in CHOICES:
        raise ConfigError(f"unknown --face {face!r}; {nearest(str(face), CHOICES)}")
    # A model that is trained on all faces is given one at a time.
    crop["face"] = face if face != "all" else CHOICES[0]
    return Work(CropSpec(**parse_section(CropConfig, crop, "align").model_dump()), face, options.suffix)


def _print(options: AlignOptions, finished: Finished, already: int, sheet: Path | None) -> None:
    line = f"{finished.crops} crops of {finished.photos} photos"
    if already:
        line += f" ({already} photos were done before)"
    if finished.cut_without_face:
        line += f", {finished.cut_without_face} cut without a face"
    print(f"{line}, {finished.put_aside} quarantined")
    print(f"\ncrops    {options.out / 'crops'}\ntable    {options.out / MANIFEST_FILE}")
    if finished.put_aside or finished.cut_without_face:
        print(f"aside    {options.out / QUARANTINE_FILE}")
    if sheet:
        print(f"preview  {sheet}")
    config = options.out / CONFIG_FILE
    if config.exists():
        print(f"next     keras-faceattr fit {shlex.quote(str(config))}")
    else:
        print(f"next     keras-faceattr predict RUN|FILE.tflite {shlex.quote(str(options.out / MANIFEST_FILE))}")


class _Bar:
    """Progress in photos, and photos per second: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, total: int, already: int) -> None:
        self.total, self.first, self.done = total, already, already
        self.start = self.last = time.monotonic()
        self.console = plain_console(stderr=True)
        self.bar = new_bar(self.console)
        self.task = self.bar.add_task("aligning", total=total, completed=already, note="")

    def __enter__(self) -> _Bar:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, done: int) -> None:
        self.done = done
        note = f"{self.rate()['images_per_s']:.0f} images/s"
        self.bar.update(self.task, completed=done, note=note)
        if not self.console.is_terminal and (time.monotonic() - self.last > LINE_EVERY_S or done == self.total):
            self.say(f"{done}/{self.total} photos · {note}")

    def say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)
        self.last = time.monotonic()
        sys.stderr.flush()

    def rate(self) -> dict[str, float]:
        """Images per second of this call."""
        return {"images_per_s": (self.done - self.first) / max(1e-9, time.monotonic() - self.start)}
