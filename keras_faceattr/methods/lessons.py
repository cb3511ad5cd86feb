"""Lessons: the outputs of a teacher that a task learns from, as numbers, and the loss. A new way is a new row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_faceattr.losses import distillation
from keras_faceattr.tasks import Task

Tensor = Any

LEAST, LEAST_ANSWER = 1e-30, 1e-7
"""Below this a probability of a distribution, or of yes or no, counts as this: float32 knows no smaller ones."""


@dataclass(frozen=True)
class Lesson:
    """A row of the table.

    Attributes:
        output: what the teacher's output is called, behind the task's name.
        width: how many numbers a batch carries of it.
        encode: (n, width) float64 mean of what the teachers say → what a batch carries.
        loss: (what the batch carries, raw outputs, temperature) → (batch,) or (batch, attributes); None for the
            method's own loss, with the teacher's value as the label.
    """

    output: str
    width: Callable[[Any], int]
    encode: Callable[[np.ndarray], np.ndarray]
    loss: Callable[[Tensor, Tensor, float], Tensor] | None = None


def _log_probabilities(shares: np.ndarray) -> np.ndarray:
    """Integer outputs do not sum to 1."""
    shares = np.maximum(shares, 0.0)
    return np.asarray(np.log(np.maximum(shares / np.maximum(shares.sum(axis=-1, keepdims=True), LEAST), LEAST)))


def _log_odds(chances: np.ndarray) -> np.ndarray:
    chances = np.clip(chances, LEAST_ANSWER, 1 - LEAST_ANSWER)
    return np.asarray(np.log(chances / (1 - chances)))


def _members(targets: Tensor, raw: Tensor, temperature: float) -> Tensor:
    """Mean over the members of an ensemble, of which there is one in most nets."""
    count = targets.shape[-1]
    members = [raw[:, i : i + count] for i in range(0, raw.shape[-1], count)]
    losses = [distillation.softened_divergence(targets, member, temperature) for member in members]
    return sum(losses[1:], losses[0]) / len(losses)


LESSONS: dict[str, Lesson] = {
    "distribution": Lesson("_distribution", lambda task: len(task.bins), _log_probabilities, _members),
    "classes": Lesson("", lambda task: len(task.classes), _log_probabilities, _members),
    "answers": Lesson("", lambda task: task.label_width, _log_odds, distillation.softened_yes_no_divergence),
    "value": Lesson("", lambda task: 1, lambda values: values),
}


def lesson_width(lesson: str, task: Task) -> int:
    """Numbers per photo in a batch."""
    return LESSONS[lesson].width(task)
