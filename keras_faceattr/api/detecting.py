"""`export_detector`: the face detector that stands before every net, as files for a phone."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_faceattr.api.configs import Settings, as_overrides
from keras_faceattr.config import DetectorConfig
from keras_faceattr.config_files import apply_overrides, parse_section
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.faces.detector_spec import DetectorSpec
from keras_faceattr.run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class DetectorFiles:
    """The exported detector.

    Attributes:
        sidecar: `detector.json`: the nets with their hashes, and every constant of the cascade.
        contents: of the sidecar.
    """

    sidecar: Path
    contents: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """That holds the nets, the sidecar and `golden`."""
        return self.sidecar.parent


def export_detector(
    run: str | os.PathLike[str] | Run | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    photo: tuple[int, int] = (320, 240),
    windows: tuple[int, int] = (16, 4),
    set: Settings | None = None,
) -> DetectorFiles:
    """Export MTCNN's three nets with fixed shapes, and what a port needs to run them as we do.

    Args:
        run: whose crop says what is looked for; default: the usual settings.
        out: folder of the files; default: `RUN/export/detector`, or `./detector` without a run.
        photo: width and height of the photos in pixels.
        windows: batch sizes of the second and the third net.
        set: changes of the detector: `{"min_face": 40}`.

    Raises:
        ConfigError: photos or windows that make no sense, or an unknown setting.
        ArtifactError: the files find other faces than the detector here.
        RunError: `run` is no run.
    """
    from keras_faceattr.convert.detector import export_detector as write

    of = run if isinstance(run, Run) or run is None else Run(Path(run))
    crop = crop_spec(of.experiment()).to_dict() if of else {}
    settings = {key: value for key, value in crop.items() if key in DetectorConfig.model_fields}
    apply_overrides(settings, as_overrides(set))
    spec = DetectorSpec(**parse_section(DetectorConfig, settings, "detector").model_dump())
    folder = Path(out) if out is not None else of.folder / "export" / "detector" if of else Path("detector")
    width, height = photo
    path = write(folder, (height, width), spec, windows)
    return DetectorFiles(path, json.loads(path.read_text(encoding="utf-8")))
