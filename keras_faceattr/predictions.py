"""Predictions over any number of photos, in order, with a few batches in memory, on as many processes as asked."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from keras_faceattr.errors import ConfigError, DataError, ResourceError
from keras_faceattr.evaluation.face import Face
from keras_faceattr.evaluation.predict import Predicted, list_inputs
from keras_faceattr.evaluation.predictions import EVALUATION_BATCH
from keras_faceattr.processes import worker_pool

if TYPE_CHECKING:
    import pandas as pd

AHEAD = 2
"""Batches that are waiting for each process, so that none is idle."""

Work = Callable[[list[Path]], Predicted]


@dataclass
class Predictions(Iterator[Face]):
    """Faces in the order of their photos, predicted while they are asked for; gone through once.

    Attributes:
        left_out: so far, why photos could not be read or show no face.
    """

    batches: Iterator[Predicted] = field(repr=False)
    left_out: list[str] = field(default_factory=list)
    _waiting: deque[Face] = field(default_factory=deque, repr=False)

    def __next__(self) -> Face:
        while not self._waiting:
            batch = next(self.batches)
            self.left_out += batch.left_out
            self._waiting.extend(batch.faces)
        return self._waiting.popleft()

    def table(self) -> pd.DataFrame:
        """All faces that are left, one row each, with the columns that `keras-faceattr predict` writes."""
        import pandas as pd

        return pd.DataFrame([face.row() for face in self])


Photos = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""A photo, a folder, a CSV with a column `image`, or paths of photos."""


def listed_photos(photos: Photos) -> tuple[Iterable[Path], list[str]]:
    """Photos that a user names, and why some cannot even be opened."""
    if isinstance(photos, str | os.PathLike):
        inputs = list_inputs(Path(photos))
        return inputs.photos, inputs.left_out
    if not isinstance(photos, Iterable):
        raise DataError(f"{type(photos).__name__} is no folder, CSV or list of photos: give paths")
    return map(_path, photos), []


def _path(photo: object) -> Path:
    if isinstance(photo, str | os.PathLike):
        return Path(photo)
    raise DataError(
        f"predict_many takes paths, not {type(photo).__name__}: give pictures in memory to predict, one by one"
    )


def in_batches(photos: Iterable[Path], work: Work, workers: int) -> Iterator[Predicted]:
    """What `work` makes of each batch, in order.

    Args:
        work: of a batch; what can be sent to another process where there are `workers`.
        workers: processes; 1 works in this one.

    Raises:
        ConfigError: fewer than one worker.
        ResourceError: a process ended, such as for want of memory.
    """
    if not isinstance(workers, int) or workers < 1:
        raise ConfigError(f"workers {workers!r} is no whole number from 1 on: give the number of processes")
    left = iter(photos)
    batches = iter(lambda: list(islice(left, EVALUATION_BATCH)), [])
    if workers == 1:
        yield from map(work, batches)
        return
    with worker_pool(workers) as pool:
        running: deque[Future[Predicted]] = deque()
        try:
            for batch in islice(batches, AHEAD * workers):
                running.append(pool.submit(work, batch))
            while running:
                done = running.popleft().result()
                for batch in islice(batches, 1):
                    running.append(pool.submit(work, batch))
                yield done
        except BrokenProcessPool:
            raise ResourceError("a process that predicts has ended: is memory left? use fewer workers") from None
        finally:
            for future in running:
                future.cancel()
