"""`keras-faceattr export --detector`."""

from __future__ import annotations

import json as json_module
import re
from pathlib import Path

from keras_faceattr.cli.options import print_json
from keras_faceattr.config import DetectorConfig
from keras_faceattr.config_files import apply_overrides, parse_section
from keras_faceattr.convert.detector import export_detector
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.errors import ConfigError
from keras_faceattr.faces.detector_spec import DetectorSpec
from keras_faceattr.run import Run


def run_export_detector(
    run: Path | None, out: Path | None, photo: str, windows: str, overrides: list[str], json: bool
) -> None:
    """Writes the detector, with the settings of a run's crop or the defaults, and says what it is."""
    crop = crop_spec(Run(run).experiment()).to_dict() if run else {}
    settings = {key: value for key, value in crop.items() if key in DetectorConfig.model_fields}
    apply_overrides(settings, overrides)
    spec = DetectorSpec(**parse_section(DetectorConfig, settings, "detector").model_dump())
    width, height = _numbers(photo, "x", "--photo", "320x240")
    folder = out or (run / "export" / "detector" if run else Path("detector"))
    path = export_detector(folder, (height, width), spec, _numbers(windows, ",", "--windows", "16,4"))
    sidecar = json_module.loads(path.read_text(encoding="utf-8"))
    if json:
        print_json({"folder": str(folder), **sidecar})
        return
    for name, net in sidecar["nets"].items():
        shape = " × ".join(map(str, net["input"]))
        print(f"{name}  {net['bytes'] / 1e6:.3f} MB  {shape}  {net['macs'] / 1e6:.1f} million multiply-adds a call")
    golden = sidecar["golden"]
    print(
        f"the same faces as here in {golden['photos']} drawn photos: IoU at least {golden['smallest_iou']:.4f}, "
        f"points within {golden['largest_point_gap_px']:.3f} pixels"
    )
    print(f"\nsidecar  {path}\ngolden   {folder / 'golden'}")


def _numbers(text: str, separator: str, option: str, example: str) -> tuple[int, int]:
    match = re.fullmatch(rf"([0-9]{{1,5}}){separator}([0-9]{{1,5}})", text)
    if match is None:
        raise ConfigError(f"{option} {text!r}: write two whole numbers, such as {example}")
    return int(match[1]), int(match[2])
