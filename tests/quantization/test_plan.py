"""What becomes integer, where it is rounded, and which tensors share a range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.models.heads import HEADS, raw_outputs
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.quantization.plan import Plan, make_plan
from keras_faceattr.tasks import BinaryTask, CategoricalTask, ScalarTask, Task

KerasTensor = Any

AGE = ScalarTask("age", 0.0, 4.0, 1.0)


def plan_of(body: Callable[[KerasTensor], KerasTensor], all_integer: bool = True, **heads: Task) -> Plan:
    """Plan of a body behind the pixels; a task's head reads its output."""
    image = keras.Input((8, 8, 3), name="image")
    x = body(layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image))
    outputs = {} if heads else {"t": x}
    for head, task in heads.items():
        outputs |= HEADS[head].decode(task, raw_outputs(x, task, head))
    return make_plan(read_graph(keras.Model(image, outputs, name="net")), all_integer)


def conv(x: KerasTensor, name: str) -> KerasTensor:
    return layers.Conv2D(4, 3, padding="same", name=name)(x)


def vector(x: KerasTensor) -> KerasTensor:
    return layers.GlobalAveragePooling2D(name="features")(layers.ReLU(name="relu")(conv(x, "conv")))


def test_nothing_is_rounded_between_a_layer_and_the_relu_fused_with_it() -> None:
    plan = plan_of(lambda x: layers.ReLU(name="relu")(conv(x, "conv")))
    assert set(plan.ranges) == {"relu"}


@pytest.mark.parametrize(
    "relu", [layers.LeakyReLU(0.1, name="relu"), layers.ReLU(negative_slope=0.1, name="relu")], ids=["leaky", "slope"]
)
def test_other_activations_are_operations_of_their_own(relu: layers.Layer) -> None:
    assert set(plan_of(lambda x: relu(conv(x, "conv"))).ranges) == {"conv", "relu"}


def test_a_layer_that_others_read_too_is_rounded_before_its_relu() -> None:
    def body(x: KerasTensor) -> KerasTensor:
        x = conv(x, "conv")
        return layers.Add(name="add")([layers.ReLU(name="relu")(x), x])

    assert set(plan_of(body).ranges) == {"conv", "relu", "add"}


def test_a_pooling_keeps_the_range_and_adds_no_rounding() -> None:
    plan = plan_of(lambda x: layers.MaxPooling2D(name="pool")(layers.ReLU(name="relu")(conv(x, "conv"))))
    assert set(plan.ranges) == {"relu"}


def test_all_parts_of_a_concatenation_share_a_range_through_pools_and_other_concatenations() -> None:
    def body(x: KerasTensor) -> KerasTensor:
        inner = layers.Concatenate(name="inner")([conv(x, "one"), layers.ReLU(name="relu")(conv(x, "two"))])
        pooled = layers.MaxPooling2D(name="pool")(inner)
        outer = layers.Concatenate(name="outer")([pooled, layers.AveragePooling2D(2, name="mean")(conv(x, "three"))])
        return layers.Add(name="sum")([conv(outer, "four"), conv(outer, "five")])

    plan = plan_of(body)
    assert set(plan.ranges) == {"one", "relu", "inner", "three", "mean", "outer", "four", "five", "sum"}
    joined = {plan.ranges[node] for node in ("one", "relu", "inner", "three", "mean", "outer")}
    assert len(joined) == 1
    alone = {plan.ranges[node] for node in ("four", "five", "sum")}
    assert len(alone) == 3
    assert not joined & alone
    assert sorted(plan.points()[joined.pop()]) == ["inner", "mean", "one", "outer", "relu", "three"]


def test_a_factor_has_a_range_of_its_own() -> None:
    plan = plan_of(lambda x: layers.Rescaling(0.5, name="half")(conv(x, "conv")))
    assert plan.ranges == {"conv": "conv_range", "half": "half_range"}


@pytest.mark.parametrize(
    ("activation", "limits"), [("sigmoid", (0, 255 / 256)), ("tanh", (-1, 127 / 128)), ("softmax", (0, 255 / 256))]
)
def test_ranges_that_the_specification_fixes(activation: str, limits: tuple[float, float]) -> None:
    plan = plan_of(lambda x: layers.MaxPooling2D(name="pool")(layers.Activation(activation, name="act")(conv(x, "c"))))
    assert plan.fixed == {plan.ranges["act"]: limits}


def test_the_head_stays_in_float_from_the_pooling_on() -> None:
    plan = plan_of(vector, False, distribution=AGE, binary=BinaryTask("smile"))
    assert plan.float_nodes == {
        "features",
        "age_raw",
        "age_distribution",
        "age_expectation",
        "age",
        "smile_raw",
        "smile",
    }
    assert set(plan.ranges) == {"relu"}


def test_a_dropout_before_the_heads_belongs_to_them() -> None:
    task = CategoricalTask("c", ("a", "b"))
    plan = plan_of(lambda x: layers.Dropout(0.5, name="dropout")(vector(x)), False, categorical=task)
    assert {"dropout", "features"} <= plan.float_nodes


def test_a_gate_inside_the_body_is_not_a_head() -> None:
    def body(x: KerasTensor) -> KerasTensor:
        x = conv(x, "conv")
        gate = layers.Activation("sigmoid", name="gate")(layers.Conv2D(4, 1, name="excite")(x))
        return layers.GlobalAveragePooling2D(name="features")(layers.Multiply(name="gated")([x, gate]))

    plan = plan_of(body, False, binary=BinaryTask("smile"))
    assert plan.float_nodes == {"features", "smile_raw", "smile"}
    assert {"conv", "gate", "gated", "excite"} <= set(plan.ranges)


def test_features_that_the_body_also_reads_stay_integer() -> None:
    def body(x: KerasTensor) -> KerasTensor:
        x = vector(x)
        hidden = layers.Dense(4, activation="relu", name="hidden")(x)
        return layers.Add(name="sum")([hidden, x])

    plan = plan_of(body, False, binary=BinaryTask("smile"))
    assert plan.float_nodes == {"smile_raw", "smile"}
    assert {"features", "hidden", "sum"} <= set(plan.ranges)


def test_all_integer_leaves_nothing_in_float() -> None:
    plan = plan_of(vector, True, distribution=AGE)
    assert not plan.float_nodes
    assert {"features", "age_raw", "age_distribution", "age_expectation"} <= set(plan.ranges)


def test_a_ranking_head_has_no_integer_form_and_is_named() -> None:
    with pytest.raises(ModelError, match=r"'clip(_\d+)?' \(Clip\) has no int8 kernel; keep the heads in float"):
        plan_of(vector, True, ranking=AGE)
    assert {"age", "age_distribution"} <= plan_of(vector, False, ranking=AGE).float_nodes


def test_an_average_pooling_of_the_pixels_is_planned() -> None:
    plan = plan_of(lambda x: conv(layers.AveragePooling2D(2, name="small")(x), "conv"))
    assert set(plan.ranges) == {"small", "conv"}
