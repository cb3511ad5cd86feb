"""`keras-faceattr align`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from keras_faceattr.api.aligning import Aligned, align
from keras_faceattr.cli.options import data_paths, print_json


def run_align(source: str, out: Path, data: list[str], json: bool, **options: Any) -> None:
    """Cut the faces of a collection, and say where they lie and what comes next; options as of `api.align`."""
    found = align(source, out, data=data_paths(data), **options)
    if not json:
        _print(found)
        return
    counts = ("photos", "crops", "put_aside", "cut_without_face", "already_done")
    print_json({**{name: getattr(found, name) for name in counts}, "out": str(out), "images_per_s": found.images_per_s})


def _print(found: Aligned) -> None:
    line = f"{found.crops} crops of {found.photos} photos"
    if found.already_done:
        line += f" ({found.already_done} photos were done before)"
    if found.cut_without_face:
        line += f", {found.cut_without_face} cut without a face"
    print(f"{line}, {found.put_aside} quarantined")
    print(f"\ncrops    {found.folder / 'crops'}\ntable    {found.manifest}")
    if found.put_aside or found.cut_without_face:
        print(f"aside    {found.quarantine}")
    if found.preview:
        print(f"preview  {found.preview}")
    if found.config:
        print(f"next     keras-faceattr fit {shlex.quote(str(found.config))}")
    else:
        print(f"next     keras-faceattr predict RUN|FILE.tflite {shlex.quote(str(found.manifest))}")
