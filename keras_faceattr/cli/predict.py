"""`keras-faceattr predict`."""

from __future__ import annotations

import json as json_module
from pathlib import Path

from keras_faceattr.api.predicting import prepare
from keras_faceattr.evaluation.face import Limits
from keras_faceattr.evaluation.table_writer import open_table
from keras_faceattr.terminal.console import say


def run_predict(
    path: Path,
    photos: Path,
    others: list[Path],
    named: list[str],
    out: Path | None,
    tta: str,
    face: str,
    min_face: int | None,
    limits: Limits,
    json: bool,
) -> None:
    """Write one row per photo or face; photos that cannot be read or show no face are named on stderr and left out.

    Without `named` tasks all are answered but the sensitive ones, which are named on stderr.

    A table that was being written when an earlier call was killed is finished from where that call was.
    """
    work = prepare(path, photos, others, named, tta, face, min_face, limits=limits)
    if not out:
        say(str(work.write(open_table(None, "json" if json else "text"), say)))
        return
    summary = work.write_to(out, say)
    print(json_module.dumps(summary.to_json()) if json else f"{summary}: {out}")
