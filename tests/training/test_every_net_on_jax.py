"""Each kind of net takes a training step on JAX as on TensorFlow: the same loss from the same weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from variants import QUICK_NETS

# Weights of the first backend are the second's; prints the loss before and after a step by net.
CODE = (
    f"NETS = {QUICK_NETS!r}"
    + """
import json, sys
from keras_faceattr.cli.environment import start_backend
start_backend()
from pathlib import Path
import keras, numpy as np
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.models import MODELS
from keras_faceattr.models.network import build_network
from keras_faceattr.training.loop import track

COUNT = 8

def labels(task):
    at = np.arange(COUNT)
    if task.kind == "scalar":
        values = task.minimum + (task.maximum - task.minimum) * at / COUNT
        return np.stack([values, np.full(COUNT, task.default_std)], axis=1).astype("float32")
    if task.kind in ("categorical", "identity"):
        return (at % 2)[:, None].astype("float32")
    return ((at[:, None] + np.arange(task.label_width)) % 3 == 0).astype("float32")

folder, found = Path(sys.argv[1]), {}
pixels = np.random.default_rng(0).uniform(0, 255, (COUNT, 32, 32, 3)).astype("float32")
for name in NETS:
    entry = MODELS[name]
    options = {"branch_dropout": 0.0} if name.startswith("crnet") else {}
    network = build_network(name, entry.tasks, size=32, seed=0, **options)
    losses = {task: TaskLoss(definition, method) for task, (definition, method) in entry.tasks.items()}
    track(network.trainable, losses)
    path = folder / f"{name}.npz"
    variables = {v.path: v for v in network.trainable.variables}
    if path.exists():
        stored = np.load(path)
        for key, variable in variables.items():
            variable.assign(stored[key])
    else:
        np.savez(path, **{key: np.asarray(variable) for key, variable in variables.items()})
    network.trainable.compile(keras.optimizers.SGD(1e-4), loss=losses, jit_compile=keras.backend.backend() == "jax")
    targets = {task: labels(definition) for task, (definition, _) in entry.tasks.items()}
    steps = [network.trainable.train_on_batch(pixels, targets, return_dict=True) for _ in range(2)]
    found[name] = [float(logs["loss"]) for logs in steps]
print(json.dumps(found))
"""
)


def losses_on(backend: str, folder: Path) -> dict[str, list[float]]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(folder)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_each_kind_of_net_trains_alike_on_both_backends(tmp_path: Path) -> None:
    on_tensorflow, on_jax = losses_on("tensorflow", tmp_path), losses_on("jax", tmp_path)
    assert on_tensorflow.keys() == on_jax.keys()
    for name, values in on_tensorflow.items():
        # The first is of the same weights; the second behind a step by gradients of its own.
        assert on_jax[name] == pytest.approx(values, rel=1e-2), name
