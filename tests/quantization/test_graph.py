"""The graph of a functional model: what it reads, what it refuses, and building it again."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.graph import Node, Tensor, copy_layer, read_graph, rebuild


def branched() -> keras.Model:
    image = keras.Input((8, 8, 3), name="image")
    left = layers.Conv2D(4, 1, name="left")(image)
    right = layers.Conv2D(4, 1, name="right")(image)
    total = layers.Subtract(name="difference")([right, left])
    pooled = layers.GlobalAveragePooling2D(name="pooled")(total)
    return keras.Model(image, {"map": total, "mean": pooled, "again": total}, name="net")


def test_nodes_stand_behind_those_they_need_and_name_them_in_order() -> None:
    graph = read_graph(branched())
    names = list(graph.nodes)
    assert names[0] == graph.input.name == "image"
    assert set(names) == {"image", "left", "right", "difference", "pooled"}
    for node in graph.nodes.values():
        assert all(names.index(source) < names.index(node.name) for source in node.inputs)
    assert graph.nodes["difference"].inputs == ("right", "left")
    assert graph.nodes["image"].inputs == ()
    assert graph.outputs == {"map": "difference", "mean": "pooled", "again": "difference"}


def test_consumers_are_who_takes_an_output() -> None:
    assert read_graph(branched()).consumers() == {
        "image": ["right", "left"],
        "left": ["difference"],
        "right": ["difference"],
        "difference": ["pooled"],
        "pooled": [],
    }


def test_a_layer_that_takes_one_tensor_twice_is_read() -> None:
    image = keras.Input((4, 4, 3), name="image")
    doubled = layers.Add(name="doubled")([image, image])
    graph = read_graph(keras.Model(image, {"t": doubled}))
    assert graph.nodes["doubled"].inputs == ("image", "image")
    assert graph.consumers()["image"] == ["doubled", "doubled"]


def test_layers_that_no_output_needs_are_left_out() -> None:
    image = keras.Input((4, 4, 3), name="image")
    used = layers.ReLU(name="used")(image)
    layers.ReLU(name="unused")(image)
    assert list(read_graph(keras.Model(image, {"t": used})).nodes) == ["image", "used"]


def test_a_graph_built_again_computes_the_same() -> None:
    model = branched()
    graph = read_graph(model)

    def make(node: Node, inputs: list[Tensor]) -> Tensor:
        return node.call(copy_layer(node.layer), inputs)

    pixels, tensors = rebuild(graph, make)
    again = keras.Model(pixels, {name: tensors[node] for name, node in graph.outputs.items()})
    again.set_weights(
        [w for layer in again.layers for w in model.get_layer(layer.name).get_weights()]
    )  # fmt: skip
    photo = np.random.default_rng(0).normal(0, 1, (2, 8, 8, 3)).astype("float32")
    expected, got = model(photo), again(photo)
    for name in ("map", "mean", "again"):
        np.testing.assert_array_equal(got[name], expected[name])
    assert not {id(layer) for layer in again.layers} & {id(layer) for layer in model.layers}


def refused(outputs: object, inputs: object, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        read_graph(keras.Model(inputs, outputs, name="net"))


def test_a_layer_called_twice_is_two_nodes_of_one_layer() -> None:
    image = keras.Input((4, 4, 3), name="image")
    shared = layers.Conv2D(3, 1, name="shared")
    graph = read_graph(keras.Model(image, {"t": shared(shared(image))}, name="net"))
    assert {name: node.inputs for name, node in graph.nodes.items()} == {
        "image": (), "shared": ("image",), "shared_2": ("shared",),
    }  # fmt: skip
    assert graph.nodes["shared"].layer is graph.nodes["shared_2"].layer is shared
    assert graph.outputs == {"t": "shared_2"}


def test_models_inside_a_model_are_taken_apart_and_names_that_are_taken_get_a_number() -> None:
    inner = keras.Sequential([keras.Input((4, 4, 3)), layers.ReLU(name="relu")], name="inner")
    image = keras.Input((4, 4, 3), name="image")
    outer = keras.Model(image, inner(layers.ReLU(name="relu")(image)), name="outer")
    above = keras.Input((4, 4, 3), name="above")
    graph = read_graph(keras.Model(above, layers.Flatten(name="flat")(outer(above)), name="net"))
    assert {name: node.inputs for name, node in graph.nodes.items()} == {
        "above": (), "relu": ("above",), "relu_2": ("relu",), "flat": ("relu_2",),
    }  # fmt: skip


def test_operations_of_keras_ops_keep_their_constants_when_the_graph_is_built_again() -> None:
    image = keras.Input((4, 4, 3), name="image")
    turned = keras.ops.take(layers.Rescaling(0.5, name="half")(image), [2, 0, 1], axis=-1)
    graph = read_graph(keras.Model(image, {"t": layers.Identity(name="t")(1.0 - turned * 3.0)}, name="net"))
    pixels, tensors = rebuild(graph, lambda node, inputs: node.call(copy_layer(node.layer), inputs))
    again = keras.Model(pixels, {name: tensors[node] for name, node in graph.outputs.items()})
    photo = np.random.default_rng(0).normal(0, 1, (2, 4, 4, 3)).astype("float32")
    np.testing.assert_allclose(again(photo)["t"], 1 - 1.5 * photo[..., [2, 0, 1]], rtol=1e-6)


def test_a_layer_with_several_outputs_is_named() -> None:
    image = keras.Input((4, 4), name="image")
    states = layers.LSTM(2, return_state=True, name="recurrent")(image)
    refused({"t": states[0]}, image, "'recurrent' has several outputs")


def test_outputs_without_names_are_called_as_their_nodes_and_inputs_keep_their_order() -> None:
    second, first = keras.Input((4, 4, 3), name="second"), keras.Input((4, 4, 3), name="first")
    total = layers.Add(name="total")([first, second])
    graph = read_graph(keras.Model([second, first], [layers.ReLU(name="relu")(total), total, total], name="net"))
    assert graph.inputs == ("second", "first")
    assert graph.outputs == {"relu": "relu", "total": "total", "total_2": "total"}


def test_a_subclass_without_a_graph_is_named_inside_a_model_too() -> None:
    class Own(keras.Model):
        def call(self, inputs: Tensor) -> Tensor:
            return inputs

    image = keras.Input((4, 4, 3), name="image")
    refused({"t": Own(name="own")(image)}, image, r"the inner model 'own' \(Own\) has no graph of layers")


def test_a_layer_that_another_model_uses_as_well_is_read_from_this_one() -> None:
    image = keras.Input((4, 4, 3), name="image")
    shared = layers.ReLU(name="shared")
    keras.Model(image, {"t": shared(layers.Conv2D(2, 1, name="elsewhere")(image))})
    graph = read_graph(keras.Model(image, {"t": shared(layers.Conv2D(2, 1, name="here")(image))}))
    assert graph.nodes["shared"].inputs == ("here",)
