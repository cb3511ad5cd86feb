"""`keras-faceattr export --detector`."""

from __future__ import annotations

import re
from pathlib import Path

from keras_faceattr.api.detecting import export_detector
from keras_faceattr.cli.options import print_json
from keras_faceattr.errors import ConfigError


def run_export_detector(
    run: Path | None, out: Path | None, photo: str, windows: str, overrides: list[str], json: bool
) -> None:
    """Writes the detector, with the settings of a run's crop or the defaults, and says what it is."""
    size, batches = _numbers(photo, "x", "--photo", "320x240"), _numbers(windows, ",", "--windows", "16,4")
    found = export_detector(run, out=out, photo=size, windows=batches, set=overrides)
    if json:
        print_json({"folder": str(found.folder), **found.contents})
        return
    for name, net in found.contents["nets"].items():
        shape = " × ".join(map(str, net["input"]))
        print(f"{name}  {net['bytes'] / 1e6:.3f} MB  {shape}  {net['macs'] / 1e6:.1f} million multiply-adds a call")
    golden = found.contents["golden"]
    print(
        f"the same faces as here in {golden['photos']} drawn photos: IoU at least {golden['smallest_iou']:.4f}, "
        f"points within {golden['largest_point_gap_px']:.3f} pixels"
    )
    print(f"\nsidecar  {found.sidecar}\ngolden   {found.folder / 'golden'}")


def _numbers(text: str, separator: str, option: str, example: str) -> tuple[int, int]:
    match = re.fullmatch(rf"([0-9]{{1,5}}){separator}([0-9]{{1,5}})", text)
    if match is None:
        raise ConfigError(f"{option} {text!r}: write two whole numbers, such as {example}")
    return int(match[1]), int(match[2])
