"""Decoding: from a task's raw outputs to what a net returns, in stock Keras layers that load without this package.

Weights of these layers are constants. Their names begin with the task's; the last one bears the output's name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import initializers, layers, ops

from keras_faceattr.tasks import ScalarTask, Task

Tensor = Any

STEEP = 1e20
"""Factor by which logits are so far apart that their softmax is 1 for the largest and 0 for the others."""


def distribution(task: ScalarTask, raw: Tensor) -> dict[str, Tensor]:
    """(batch, K) logits → expected value and distribution. Source: DLDL-v2, eq. 10."""
    probabilities = layers.Softmax(name=f"{task.name}_distribution", dtype="float32")(raw)
    middle = (task.minimum + task.maximum) / 2
    # Measured from the middle: what rounding adds to or takes from the sum of the probabilities shifts towards it.
    value = constant_dense(probabilities, (task.bins - middle)[:, None], [middle], f"{task.name}_expectation")
    return {task.name: _number(value, task.name), f"{task.name}_distribution": probabilities}


def ranking(task: ScalarTask, raw: Tensor) -> dict[str, Tensor]:
    """(batch, K − 1) logits → value of the reached bin, and the distribution whose tail sums are the probabilities.

    ŷ = l_{i*}, i* = 1 + Σ [δ > 0.5]. A probability that is larger than the one before it contradicts it: the negative
    step is set to 0, and the rest is normalised. Source: DLDL-v2, section 4.5.4, and eq. 4 to 6, inverted.
    """
    name, count = task.name, len(task.bins) - 1
    # A step function: 0 below 0, 1 from 1e-30 on.
    above = layers.Rescaling(1e30, name=f"{name}_steep", dtype="float32")(raw)
    reached = constant_dense(ops.clip(above, 0.0, 1.0), np.ones((count, 1)), [0.0], f"{name}_reached")
    step = (task.maximum - task.minimum) / count
    value = layers.Rescaling(step, offset=task.minimum, name=f"{name}_value", dtype="float32")(reached)
    tail = layers.Activation("sigmoid", name=f"{name}_tail", dtype="float32")(raw)
    # Step k is tail k − 1 minus tail k, with 1 before the first and 0 behind the last. As a product, because the
    # converter to LiteRT makes a concatenation of sigmoids integer, in steps of 1/256.
    differences = np.eye(count, count + 1, 1) - np.eye(count, count + 1)
    steps = constant_dense(tail, differences, np.eye(1, count + 1)[0], f"{name}_differences")
    steps = ops.maximum(steps, 0.0)
    shares = steps / ops.sum(steps, axis=-1, keepdims=True)
    shares = layers.Identity(name=f"{name}_distribution", dtype="float32")(shares)
    return {name: _number(value, name), f"{name}_distribution": shares}


def squashed_value(task: ScalarTask, raw: Tensor) -> dict[str, Tensor]:
    """(batch, 1) raw regression → value in the task's unit, through tanh. Source: DLDL-v2, section 4.5.4, MR."""
    half, middle = (task.maximum - task.minimum) / 2, (task.maximum + task.minimum) / 2
    squashed = layers.Activation("tanh", name=f"{task.name}_tanh", dtype="float32")(raw)
    value = constant_dense(squashed, [[half]], [middle], f"{task.name}_expectation")
    return {task.name: _number(value, task.name)}


def clipped_value(task: ScalarTask, raw: Tensor) -> dict[str, Tensor]:
    """(batch, ≥ 1) raw regression in the first column → value in the task's unit, within its range."""
    half = (task.maximum - task.minimum) / 2
    first = np.zeros((int(raw.shape[-1]), 1))
    first[0] = half
    value = constant_dense(raw, first, [task.minimum + half], f"{task.name}_value")
    # Not a ReLU, which would make a number of what is none.
    return {task.name: _number(ops.clip(value, task.minimum, task.maximum), task.name)}


def class_and_value(task: ScalarTask, raw: Tensor) -> dict[str, Tensor]:
    """(batch, 1 + classes) value and logits → value, and probabilities of the classes. Source: CRNet."""
    name, width = f"{task.name}_classes", int(raw.shape[-1])
    logits = layers.Reshape((width, 1), name=f"{name}_column", dtype="float32")(raw)
    logits = layers.Cropping1D((1, 0), name=f"{name}_alone", dtype="float32")(logits)
    logits = layers.Reshape((width - 1,), name=f"{name}_logits", dtype="float32")(logits)
    return clipped_value(task, raw) | {name: layers.Softmax(name=name, dtype="float32")(logits)}


def softmax(task: Task, raw: Tensor) -> dict[str, Tensor]:
    """(batch, classes) logits → probabilities that sum to 1."""
    return {task.name: layers.Softmax(name=task.name, dtype="float32")(raw)}


def sigmoid(task: Task, raw: Tensor) -> dict[str, Tensor]:
    """(batch, n) logits → a probability each."""
    return {task.name: layers.Activation("sigmoid", name=task.name, dtype="float32")(raw)}


def unit_vector(task: Task, raw: Tensor) -> dict[str, Tensor]:
    """(batch, d) → the same directions with length 1; a vector of zeros stays one."""
    return {task.name: layers.UnitNormalization(name=task.name, dtype="float32")(raw)}


def soft_vote(task: Task, raw: Tensor, members: int) -> dict[str, Tensor]:
    """(batch, members × classes) logits → the mean of the members' probabilities."""
    return {task.name: _mean_probabilities(task.name, raw, members)}


def majority_vote(task: Task, raw: Tensor, members: int) -> dict[str, Tensor]:
    """(batch, members × classes) logits → the class that most members find likeliest.

    An output is (votes + mean probability) / (members + 1): it sums to 1, and as a mean probability is at most 1, it
    decides nothing but ties, as long as every member has one likeliest class. A member that finds two classes likeliest
    shares its vote. Source: TreeCNN, figure 1; the rule for ties is ours.
    """
    name = task.name
    # Not `argmax`, which becomes operations that phones do not have; and of logits, because what follows a softmax the
    # converter rounds.
    steep = layers.Rescaling(STEEP, name=f"{name}_steep", dtype="float32")(raw)
    votes = _mean_probabilities(f"{name}_votes", steep, members)
    mean = _mean_probabilities(f"{name}_mean", raw, members)
    votes = layers.Rescaling(members / (members + 1), name=f"{name}_votes_share", dtype="float32")(votes)
    mean = layers.Rescaling(1 / (members + 1), name=f"{name}_mean_share", dtype="float32")(mean)
    return {name: layers.Add(name=name, dtype="float32")([votes, mean])}


VOTES = {"majority": majority_vote, "soft": soft_vote}
"""How an ensemble decides on a class."""


def reordered(raw: Tensor, order: list[int], name: str) -> Tensor:
    """(batch, n) values in another order: output i is input `order[i]`."""
    return layers.Identity(name=name, dtype="float32")(ops.take(raw, order, axis=-1))


def constant_dense(x: Tensor, kernel: Any, bias: Any, name: str) -> Tensor:
    """X · kernel + bias of constants, which travel with the net as weights that are not trained."""
    kernel, bias = np.asarray(kernel, "float32"), np.asarray(bias, "float32")
    return layers.Dense(
        kernel.shape[1],
        kernel_initializer=initializers.Constant(kernel.tolist()),
        bias_initializer=initializers.Constant(bias.tolist()),
        trainable=False,
        name=name,
        dtype="float32",
    )(x)


def _number(value: Tensor, name: str) -> Tensor:
    """(batch, 1) → (batch,)."""
    return layers.Reshape((), name=name, dtype="float32")(value)


def _mean_probabilities(name: str, raw: Tensor, members: int) -> Tensor:
    """(batch, classes) mean over the members of the softmax of their logits."""
    classes = int(raw.shape[-1]) // members
    logits = layers.Reshape((members, classes), name=f"{name}_members", dtype="float32")(raw)
    probabilities = layers.Softmax(name=f"{name}_softmax", dtype="float32")(logits)
    return layers.GlobalAveragePooling1D(name=name, dtype="float32")(probabilities)
