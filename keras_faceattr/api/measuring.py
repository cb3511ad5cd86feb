"""`evaluate` and `jitter`: what a run or an exported file is worth on labelled photos."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from keras_faceattr.api.configs import Paths, as_paths
from keras_faceattr.api.openable import Openable, opened, path_of
from keras_faceattr.api.outputs import check_out
from keras_faceattr.data.crop_cache import Progress
from keras_faceattr.data.elsewhere import Elsewhere, read_elsewhere
from keras_faceattr.data.manifest import SPLITS, Manifest
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.evaluation.jitter import measure_jitter
from keras_faceattr.evaluation.predictions import TTA, write_predictions
from keras_faceattr.evaluation.protocol import measure
from keras_faceattr.measured import TaskMetrics, metrics_of
from keras_faceattr.net import Net, checked, load
from keras_faceattr.terminal.console import line_progress, say_if
from keras_faceattr.training.start import check_unseen


@dataclass(frozen=True, repr=False)
class Report:
    """What was measured on which photos.

    Attributes:
        net: the run or file.
        results: everything, as the command line's JSON has it.
        predictions: the CSV to which the predictions were written; None without one.
    """

    net: Path
    results: dict[str, Any] = field(repr=False)
    predictions: Path | None = None

    @cached_property
    def metrics(self) -> dict[str, TaskMetrics]:
        """The metrics of each task: `report.metrics["age"]["mae"]`."""
        return metrics_of(self.results["tasks"])

    @property
    def photos(self) -> int:
        """Photos of the split, labelled or not."""
        return int(self.results["photos"])

    @property
    def split(self) -> str:
        """The photos that were measured on: train, val or test."""
        return str(self.results["split"])

    @property
    def tta(self) -> str:
        """Test-time augmentation: `none` or `flip`."""
        return str(self.results["tta"])

    def __repr__(self) -> str:
        head = f"Report {self.net}: {self.photos} photos of the split {self.split}, test-time augmentation: {self.tta}"
        return "\n".join([head, *(f"  {metrics!r}" for metrics in self.metrics.values())])

    def _repr_html_(self) -> str:
        tables = "".join(metrics._repr_html_() for metrics in self.metrics.values())
        return f"<p>{self.photos} photos of the split {self.split}, test-time augmentation: {self.tta}</p>{tables}"


def evaluate(
    net: Openable,
    *,
    data: Paths | None = None,
    split: str = "test",
    tta: str | None = None,
    out: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> Report:
    """Measure a run or an exported file on a split of its data, with 95 % intervals, overall and by group.

    Args:
        net: its path or name, or what `fit`, `export` or `load` gave.
        data: where the data lies now, by source or reader; or a data set that the net was not trained on, by reader.
        split: `train`, `val` or `test`.
        tta: `none`, or `flip` to average with the mirrored photo; that of the run's config by default.
        out: CSV to which predictions are also written, one row per photo.
        verbose: says on stderr what must be known about the data.

    Raises:
        ConfigError: data of no source and no reader, an unknown augmentation, or an output that would replace data.
        DataError: an unknown split, one without photos, or photos that the net was trained on.
        RunError: no finished run.
        ArtifactError: a damaged file.
    """
    asked = _asked(net, data, split, tta, verbose)
    path = Path(out) if out is not None else None
    if path and path.suffix.lower() != ".csv":
        raise ConfigError(f"--out {path}: unknown kind {path.suffix!r}; valid: .csv")
    if path:
        check_out(path, [], asked.net.experiment)
    elsewhere = asked.elsewhere()
    found = asked.net
    measured = measure(
        found.predictor,
        found.experiment,
        found.tasks,
        split,
        tta,
        check=asked.check,
        elsewhere=elsewhere,
        intervals=found.intervals,
    )
    if path:
        write_predictions(path, measured.data.manifest, measured.data.tasks, measured.outputs)
    return Report(asked.path, measured.results, path)


def jitter(
    net: Openable,
    *,
    data: Paths | None = None,
    split: str = "test",
    tta: str | None = None,
    verbose: bool = True,
) -> dict[str, Any]:
    """Measure how shifted, scaled and rotated crops change predictions and metrics.

    Args:
        net, data, split, tta: as for `evaluate`.
        verbose: shows progress on stderr.

    Returns:
        `rows`: for the undisturbed crop and each disturbance its `title`, `kind` and `amount`, and by task its
        `metrics` and how predictions `moved`.

    Raises:
        FaceAttrError: as of `evaluate`.
    """
    asked = _asked(net, data, split, tta, verbose)
    progress: Progress | None = line_progress("predicting") if verbose else None
    elsewhere = asked.elsewhere()
    found = asked.net
    return measure_jitter(
        found.predictor, found.experiment, found.tasks, split, tta, progress, check=asked.check, elsewhere=elsewhere
    )


@dataclass(frozen=True)
class _Asked:
    """A net and the photos that it is measured on."""

    net: Net
    path: Path
    split: str
    say: Callable[[str], None]

    def elsewhere(self) -> Elsewhere | None:
        """Other data sets than those that the net was trained on, where such are meant."""
        if not self.net.elsewhere:
            return None
        found = read_elsewhere(self.net.experiment, self.net.tasks, self.split)
        for line in found.notes:
            self.say(line)
        return found

    def check(self, manifest: Manifest) -> None:
        """Refuses photos that the net was trained on."""
        for line in check_unseen(self.path, manifest, self.split):
            self.say(line)


def _asked(net: Openable, data: Paths | None, split: str, tta: str | None, verbose: bool) -> _Asked:
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}; {nearest(split, SPLITS)}")
    if tta is not None:
        checked("tta", tta, TTA)
    path = path_of(net)
    found = (None if data else opened(net)) or load(path, as_paths(data))
    return _Asked(found, path, split, say_if(verbose))
