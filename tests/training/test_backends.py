"""The same training on TensorFlow and on JAX."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small import untrained_run

from keras_faceattr.config_files import load_experiment

STEPS = 4

# `fit`'s own loop, from the same weights; prints the running mean of the loss after each step.
CODE = """
import json, sys
from keras_faceattr.cli.environment import start_backend
start_backend()
from pathlib import Path
import keras
from keras_faceattr.config_files import load_experiment
from keras_faceattr.data.prepare import prepare
from keras_faceattr.run import Run
from keras_faceattr.training.fit import network_of
from keras_faceattr.training.initialise import initialise
from keras_faceattr.training.loop import train
from keras_faceattr.training.teacher import open_teachers, teaching_of

weights, folder, *overrides = sys.argv[1:]
experiment = load_experiment("quickstart", overrides)
data = prepare(experiment, ("train", "val"))
network = network_of(experiment, data.tasks)
if Path(weights).exists():
    initialise(network.trainable, weights, {})
else:
    network.inference.save(weights)

class Listener:
    losses = []
    def on_step(self, epoch, step, steps, loss, images_per_s, wait_share):
        self.losses.append(loss)
    def on_epoch(self, row, best):
        self.row = row

listener = Listener()
teaching = teaching_of(experiment, data, open_teachers(experiment, data.tasks))
train(experiment, data, network, Run(Path(folder)), listener, teaching=teaching)
print(json.dumps({"backend": keras.backend.backend(), "losses": listener.losses, "row": listener.row}))
"""


SMALL = [
    "data.sources.0.options.count=60", "data.sources.0.options.size=40", "data.crop.size=32",
    "training.epochs=1", "training.batch_size=8", f"training.steps_per_epoch={STEPS}",
    "training.schedule.name=constant", "training.optimizer.learning_rate=1e-4",
]  # fmt: skip


def train_on(backend: str, weights: Path, folder: Path, *more: str) -> dict:
    overrides = [*SMALL, *more]
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(weights), str(folder), *overrides],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("taught", [False, True], ids=["labels", "teacher"])
def test_jax_follows_the_loss_curve_of_tensorflow(tmp_path: Path, taught: bool) -> None:
    pytest.importorskip("jax", reason="the extra [jax] is not installed")
    weights, more = tmp_path / "start.keras", []
    if taught:
        config = load_experiment("quickstart", [*SMALL, "seed=3"]).model_dump(mode="json")
        more = [f"training.teacher={untrained_run(tmp_path / 'teacher', config)}", "training.distillation.flips=true"]
    first = train_on("tensorflow", weights, tmp_path / "tensorflow", *more)
    second = train_on("jax", weights, tmp_path / "jax", *more)
    assert (first["backend"], second["backend"]) == ("tensorflow", "jax")
    assert len(first["losses"]) == STEPS
    np.testing.assert_allclose(second["losses"], first["losses"], rtol=2e-3)
    validated = [key for key in first["row"] if key.endswith("_mae")]
    assert len(validated) == 2
    for key in validated:
        assert second["row"][key] == pytest.approx(first["row"][key], rel=2e-2)
