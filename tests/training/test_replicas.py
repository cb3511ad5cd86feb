"""Two replicas learn what one device learns: Keras scales the loss, means are those of the whole batch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import json, sys
import numpy as np, tensorflow as tf, keras
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_faceattr.config import DistillationConfig
from keras_faceattr.data.targets import label_counts, photo_weights
from keras_faceattr.methods import method_of
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.models.heads import raw_outputs
from keras_faceattr.tasks import BinaryTask, IdentityTask, MultilabelTask, age_task
from keras_faceattr.training.loop import track

KINDS = {
    "age": (age_task(), None),
    "taught": (BinaryTask("taught"), None),
    "smile": (BinaryTask("smile"), None),
    "worn": (MultilabelTask("worn", ("hat", "scarf", "tie")), "obrl"),
    "person": (IdentityTask("person", 4, 3), "center"),
}
rng = np.random.default_rng(0)
labels = {
    "age": np.stack([rng.uniform(0, 100, 8), np.full(8, 2.0)], 1),
    "smile": rng.integers(0, 2, (8, 1)),
    "worn": rng.integers(0, 2, (8, 3)),
    "person": rng.integers(0, 3, (8, 1)),
}
labels = {name: values.astype("float32") for name, values in labels.items()}
# The first half holds one label of age, the second three.
labels["age"][[0, 1, 2, 5], 0] = np.nan
labels["smile"][0] = np.nan
# A label, an answer of a teacher, both, or neither.
told = np.where(np.arange(8)[:, None] % 3, rng.normal(size=(8, 1)), np.nan)
labels["taught"] = np.concatenate([np.where(np.arange(8)[:, None] < 3, np.nan, labels["smile"]), told], 1)
labels["taught"] = labels["taught"].astype("float32")
features = rng.normal(size=(8, 6)).astype("float32")

def train(names, learned):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    tasks = {name: KINDS[name] for name in names}
    model = keras.Model(inputs, {n: raw_outputs(inputs, t, method_of(t, m).head) for n, (t, m) in tasks.items()})
    losses = {n: TaskLoss(t, m, learned_weight=learned, distillation=DistillationConfig() if n == "taught" else None)
              for n, (t, m) in tasks.items()}
    track(model, losses)
    model.compile(keras.optimizers.SGD(0.1), loss=losses, jit_compile=False)
    weights = {n: photo_weights(label_counts(t, labels[n])) for n, (t, _) in tasks.items()}
    batch = (features, {n: labels[n] for n in tasks}, weights)
    batches = tf.data.Dataset.from_tensors(batch).repeat(2)
    logs = model.fit(batches, verbose=0, shuffle=False).history
    return [np.asarray(v) for v in model.trainable_variables], [v[0] for _, v in sorted(logs.items())]

# One for all cases: another one would number its exchanges as this one does, and TensorFlow mix them up.
both = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def compare(names, weights):
    one, of_one = train(names, weights == "learned")
    with both.scope():
        two, of_two = train(names, weights == "learned")
    apart = max(float(np.abs(a - b).max()) for a, b in zip(one, two))
    moved = max(float(np.abs(a).max()) for a in one)
    return {"apart": apart, "moved": moved, "of_one": of_one, "of_two": of_two}

print(json.dumps([compare(names.split(","), weights) for names, weights in json.loads(sys.argv[1])]))
"""

CASES = [
    ("age,smile", "fixed", 1e-6),
    ("age,smile", "learned", 1e-6),
    ("taught,smile", "fixed", 1e-6),
    # What these remember is the mean of what each replica sees of the batch.
    ("worn", "fixed", 2e-3),
    ("person", "fixed", 2e-3),
]


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], dict[str, Any]]:
    """Weights and means of each case, from one process: only a fresh one can divide its CPU in two devices."""
    cases = [case[:2] for case in CASES]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(cases)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(cases, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("tasks", "weights", "tolerance"), CASES)
def test_two_replicas_learn_what_one_device_learns(
    found: dict[tuple[str, str], dict[str, Any]], tasks: str, weights: str, tolerance: float
) -> None:
    case = found[tasks, weights]
    assert case["moved"] > 0.1
    assert case["apart"] <= tolerance
    assert case["of_two"] == pytest.approx(case["of_one"], rel=max(tolerance, 1e-5))
