"""Logs for TensorBoard."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_faceattr.config import Experiment
from keras_faceattr.run import Run


class TensorBoardListener:
    """Writes each epoch's numbers to the run's `tensorboard/`."""

    def __init__(self, run: Run, experiment: Experiment) -> None:
        self.writer = tf.summary.create_file_writer(str(run.folder / "tensorboard"))

    def on_step(self, epoch: int, step: int, steps: int, loss: float, images_per_s: float, wait_share: float) -> None:
        """Nothing: an epoch is the grain of the logs."""

    def on_epoch(self, row: dict[str, Any], best: bool) -> None:
        """Writes every number of the row."""
        with self.writer.as_default(step=int(row["epoch"])):
            for key, value in row.items():
                if key != "epoch":
                    tf.summary.scalar(key, value)
        self.writer.flush()
