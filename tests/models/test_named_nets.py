"""Registered nets as functions that build a plain `keras.Model`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import keras_faceattr as kfa
from keras_faceattr.models import MODELS
from keras_faceattr.tasks import BinaryTask, ScalarTask

SIDE = (32, 32, 3)


def test_every_registered_net_is_a_function_of_its_name() -> None:
    for name in MODELS:
        build: Any = getattr(kfa.models, name)
        assert build.__name__ == name and name in kfa.models.__all__
        assert "Returns:" in build.__doc__ and "input_shape" in build.__doc__


def test_a_net_of_one_task_gives_logits_and_is_decoded_to_values() -> None:
    model = kfa.models.tiny_att_net(SIDE, seed=1)
    assert isinstance(model, keras.Model)
    assert model.output_shape == (None, 41)
    photos = np.random.default_rng(0).integers(0, 256, (2, *SIDE), dtype=np.uint8)
    raw = np.asarray(model(photos)).astype("float64")
    shares = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    answers = kfa.models.decoded(model)(photos)
    np.testing.assert_allclose(answers["attractiveness_distribution"], shares, rtol=1e-4)
    np.testing.assert_allclose(answers["attractiveness"], shares @ np.linspace(1, 5, 41), rtol=1e-5)
    again = kfa.models.tiny_att_net(SIDE, seed=1)
    np.testing.assert_array_equal(np.asarray(again(photos)), np.asarray(model(photos)))


def test_the_size_of_a_head_comes_from_the_arguments() -> None:
    assert kfa.models.tiny_age_net(SIDE, minimum=10, maximum=20, step=0.5).output_shape == (None, 21)
    tasks = [BinaryTask("smile"), ScalarTask("age", 0, 10, 1)]
    model = kfa.models.tiny_age_net(SIDE, tasks=tasks, methods={"age": "ranking"})
    assert {name: tensor.shape for name, tensor in model.output.items()} == {"smile": (None, 1), "age": (None, 10)}
    decoded = kfa.models.decoded(model, tasks, {"age": "ranking"})
    assert set(decoded.output) == {"smile", "age", "age_distribution"}


def test_features_come_without_heads() -> None:
    assert kfa.models.tiny_att_net(SIDE, include_top=False, pooling="average").output_shape == (None, 128)


@pytest.mark.slow
def test_a_net_that_votes_is_decoded_by_its_votes() -> None:
    model = kfa.models.tree_cnn_mobile((64, 64, 3))
    answers = kfa.models.decoded(model)(np.full((1, 64, 64, 3), 128, "uint8"))
    assert answers["expression"].shape == (1, 7)
    assert float(np.asarray(answers["expression"]).sum()) == pytest.approx(1.0, abs=1e-5)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "not square": (lambda: kfa.models.tiny_att_net((32, 48, 3)), r"input_shape \(32, 48, 3\) is not \(side, side, 3\)"),
    "option": (lambda: kfa.models.tiny_att_net(SIDE, poling="max"), "did you mean 'pooling'"),
    "range of several": (
        lambda: kfa.models.all_in_one(SIDE, minimum=1),
        "has 2 scalar tasks; give tasks instead",
    ),
    "method of no task": (lambda: kfa.models.tiny_att_net(SIDE, methods={"agee": "er"}), "names no task of the net"),
    "side": (lambda: kfa.models.tiny_att_net((16, 16, 3)), "at least 32 pixels"),
    "no head": (
        lambda: kfa.models.decoded(kfa.models.tiny_att_net(SIDE), [ScalarTask("age", 0, 10, 1)]),
        "has 0 raw outputs for the task 'age', which needs 11",
    ),
    "dropout without heads": (
        lambda: kfa.models.tiny_att_net(SIDE, include_top=False, dropout=0.1),
        "include_top=False leaves them out",
    ),
}


@pytest.mark.parametrize(("call", "message"), [pytest.param(*row, id=name) for name, row in WRONG.items()])
def test_what_cannot_be_built_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(kfa.FaceAttrError, match=message):
        call()
