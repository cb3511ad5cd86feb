"""The TFMOT engine, seen from outside: starts the child process that quantizes and fine-tunes, and reads what it left.

TFMOT is the yardstick of the native engine. It needs `tf_keras` and tells TensorFlow to use that as its Keras, which
only a process of its own survives.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_faceattr import errors
from keras_faceattr.config import Experiment
from keras_faceattr.errors import FaceAttrError, ModelError, RunError, TrainingError
from keras_faceattr.quantization.calibrate import DEFAULT_OBSERVER
from keras_faceattr.run import Run
from keras_faceattr.storage import write_json

CHILD = "keras_faceattr.quantization.tfmot_child"
PACKAGES = ("tensorflow_model_optimization", "tf_keras")
MODEL, RUN, JOB = "folded.keras", "run", "job.json"
"""What the child finds in its folder: the net, the fine-tuning experiment with its tasks, and how to calibrate."""
TFLITE, OUTPUTS, RESULT = "model.tflite", "outputs.npz", "result.json"
"""What it leaves there."""
ENVIRONMENT = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}


@dataclass(frozen=True)
class TfmotResult:
    """What TFMOT made of a model.

    Attributes:
        tflite: bytes of the file.
        outputs: of the fake-quantized model on the test photos, by name.
        epochs: a row for each epoch, as in `history.csv`.
        versions: of the packages that took part.
    """

    tflite: bytes
    outputs: dict[str, np.ndarray]
    epochs: list[dict[str, Any]]
    versions: dict[str, str]


def fine_tune_with_tfmot(
    folded: keras.Model,
    experiment: Experiment,
    run: Run,
    calibration_photos: int,
    say: Callable[[str], None],
    *,
    observer: str = DEFAULT_OBSERVER,
) -> TfmotResult:
    """Quantizes with TFMOT's default 8-bit scheme, fine-tunes and converts; the heads stay in float.

    Args:
        folded: of `fold_batch_norm`.
        experiment: of `fine_tuning_experiment`.
        run: whose tasks the heads have; nothing is written to it.
        calibration_photos: number of training photos from which the first ranges of activations are taken.
        say: receives a line of progress now and then.
        observer: how ranges are taken; of `calibrate.OBSERVERS`.

    Raises:
        ModelError: the extra is not installed, or TFMOT has no form of a layer; it is named.
        TrainingError: the child failed or was killed.
        RunError: no room for temporary files.
    """
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        raise ModelError("engine tfmot needs the extra: pip install 'keras-faceattr[tfmot]'")
    try:
        with tempfile.TemporaryDirectory(prefix="keras-faceattr-tfmot-") as name:
            folder = Path(name)
            folded.save(folder / MODEL)
            Run(folder / RUN).write_config(experiment, run.tasks())
            write_json(folder / JOB, {"photos": calibration_photos, "observer": observer})
            _run_child(folder, say)
            with np.load(folder / OUTPUTS, allow_pickle=False) as arrays:
                outputs = dict(arrays)
            return TfmotResult((folder / TFLITE).read_bytes(), outputs, **json.loads((folder / RESULT).read_text()))
    except OSError as error:
        raise RunError(
            f"engine tfmot cannot use {tempfile.gettempdir()}: {error.strerror or error}; free space or set TMPDIR"
        ) from error


def _run_child(folder: Path, say: Callable[[str], None]) -> None:
    """Waits for the child, passing its lines on; its stderr goes to a log, of which an error's last line is shown."""
    log = folder / "log.txt"
    command, environment = [sys.executable, "-m", CHILD, str(folder)], {**os.environ, **ENVIRONMENT}
    with (
        log.open("wb") as chatter,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=chatter, encoding="utf-8", env=environment) as child,
    ):
        try:
            for line in child.stdout or ():
                say(line.rstrip())
        except BaseException:
            child.kill()
            raise
    if child.returncode < 0:
        number = -child.returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        raise TrainingError(
            f"engine tfmot: the child process was killed ({name}); SIGKILL often means too little memory"
        )
    if child.returncode:
        raise _error(log.read_text(encoding="utf-8", errors="replace"), child.returncode)


def _error(log: str, status: int) -> FaceAttrError:
    """The error that ended the child: ours as it was raised there, any other as a failure of training."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Exit|Interrupt)\b", line)]
    last = (raised or lines or [f"exit status {status}"])[-1]
    kind, _, message = last.removeprefix("keras_faceattr.errors.").partition(": ")
    if last.startswith("keras_faceattr.errors."):
        error: FaceAttrError = getattr(errors, kind)(message)
        return error
    return TrainingError(f"engine tfmot failed: {last[:300]}")
