"""What quantization keeps to for every registered net and every kind of head.

An integer file and its fake-quantized Keras model differ in one thing alone: Keras sums in float32, the file exactly.
A sum that lies within float32's error of the middle between two integers may fall to either side, by one step. Checked
here operation by operation, from the file's own inputs, this concerns less than `TIES` of the values. Over the
thirteen layers of a net with random weights such single steps spread and grow (to 3 steps of an output), so that a
whole net of that depth is held to this: its file is as near to the float model as the fake-quantized one is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from variants import bodies

from keras_faceattr.artifact.cost import float_ops, layers_of
from keras_faceattr.artifact.flatbuffer import Tensor, TFLiteFile, read_tflite
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.convert.conversion import convert
from keras_faceattr.errors import ModelError
from keras_faceattr.methods import METHODS, method_of
from keras_faceattr.models import MODELS, Architecture, Tasks, architecture, shared
from keras_faceattr.models.heads import HEADS
from keras_faceattr.models.layers import conv_block, normalise
from keras_faceattr.models.network import build_network
from keras_faceattr.quantization.biases import round_biases
from keras_faceattr.quantization.calibrate import calibrate
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.quantization.graph import Graph, read_graph
from keras_faceattr.quantization.quantize import QuantizedNetwork, quantize_network
from keras_faceattr.tasks import BinaryTask, CategoricalTask, IdentityTask, MultilabelTask, ScalarTask, Task, age_task

SIZE = 32
TIES = 1e-4
"""Measured: 7e-6 of the values of a layer."""

TASKS: list[Task] = [
    age_task(),
    BinaryTask("smile"),
    CategoricalTask("expression", ("calm", "glad", "sad")),
    MultilabelTask("attributes", ("Bald", "Bangs", "Eyeglasses", "Male", "Young")),
    IdentityTask("person", 8, 2),
]


def cases() -> dict[str, tuple[Task, str | None]]:
    """A task and a method for every head: a head that no method uses would be missing."""
    found: dict[str, tuple[Task, str | None]] = {}
    for task in TASKS:
        for name, method in METHODS.items():
            if task.kind in method.kinds:
                found.setdefault(method.head, (task, name))
    return found


CASES = cases()
FLOAT_HEADS = {
    "ranking": (r"clip(_\d+)?", "Clip"),
    "linear": (r"clip(_\d+)?", "Clip"),
    "class_and_value": (r"clip(_\d+)?|age_classes_alone", "Clip|Cropping1D"),
    "vector": ("person", "UnitNormalization"),
    "projection": ("person|person_direction", "UnitNormalization"),
}
"""Heads without an integer form, and the layer that has none, with its type."""

INTEGER_HEADS = [head for head in CASES if head not in FLOAT_HEADS]


def case_tasks(head: str) -> Tasks:
    task, method = CASES[head]
    return {task.name: (task, method)}


def photos(count: int, seed: int) -> np.ndarray:
    """Coloured patches and grain, so that photos differ in the large too."""
    random = np.random.default_rng(seed)
    patches = random.uniform(0, 255, (count, 4, 4, 3)).repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)
    return np.clip(np.round(patches + random.normal(0, 25, patches.shape)), 0, 255).astype("float32")


PIXELS = photos(12, 9)

NARROW: dict[str, dict[str, Any]] = {
    "thin_att_net": {"width": 0.375},
    "faces_net_half": {"width": 0.375, "channels": 192},
    "hmtnet": {"top": ((256, 6), (256, 1))},
    "crnet": {"width": 0.5},
    "resnet18": {"width": 0.5},
    "attribute_net": {"group_channels": 48, "group_units": 64},
}
"""Options of nets that are tested with fewer channels, but the same layers.

What is tested of a layer does not depend on its channels, the converter's time does. The longest sums are those of
`full_att_net`, which is tested as it is.
"""


def shallow(pixels: Any) -> Any:
    """Two convolutions: too few for a single step to grow."""
    x = layers.MaxPooling2D(4, name="pool")(conv_block(normalise(pixels), 8, "first"))
    return layers.GlobalAveragePooling2D(name="features")(conv_block(x, 16, "second"))


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "shallow_net", Architecture(shared(shallow), {}, {"age": (age_task(), None)}))
        for name, options in NARROW.items():
            patch.setitem(MODELS, name, replace(MODELS[name], options={**MODELS[name].options, **options}))
        yield


def net(name: str, tasks: Tasks) -> keras.Model:
    """Batch norms and biases as after training."""
    model = build_network(name, tasks, size=SIZE, seed=0).inference
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape
            gamma, beta = random.uniform(0.5, 1.5, count), random.normal(0, 0.3, count)
            layer.set_weights([gamma, beta, random.normal(0, 0.3, count), random.uniform(0.5, 2, count)])
        elif isinstance(layer, layers.Dense) and layer.trainable and layer.use_bias:
            layer.bias.assign(random.normal(0, 0.3, layer.bias.shape))
    return model


@dataclass(frozen=True)
class Case:
    """A net as it was built, folded, fake-quantized and as a file."""

    model: keras.Model
    folded: keras.Model
    quantized: QuantizedNetwork
    path: Path
    file: TFLiteFile

    def fake(self) -> dict[str, np.ndarray]:
        values = self.quantized.network.inference(PIXELS, training=False)
        return {name: np.asarray(value) for name, value in values.items()}


def make(model: keras.Model, tasks: Tasks, folder: Path, all_integer: bool) -> Case:
    folded = fold_batch_norm(model)
    quantized = quantize_network(folded, tasks, all_integer=all_integer)
    calibrate(quantized, folded, [photos(8, 1), photos(8, 2)], "minmax")
    round_biases(quantized.network.inference)
    path = folder / "net.tflite"
    path.write_bytes(convert(quantized.body, weights="int8", integer_input=True, integer_output=all_integer))
    return Case(model, folded, quantized, path, read_tflite(path))


@pytest.fixture(scope="module", params=bodies())
def deep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Each registered net, in integers from end to end where its heads have an integer form."""
    tasks = architecture(request.param).tasks
    integer = not any(method_of(task, method).head in FLOAT_HEADS for task, method in tasks.values())
    integer = integer and not request.param.startswith("tree_cnn")
    return make(net(request.param, tasks), tasks, tmp_path_factory.mktemp("deep"), integer)


@pytest.fixture(scope="module", params=CASES)
def floating(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Each head in floats, behind an integer body."""
    tasks = case_tasks(request.param)
    return make(net("shallow_net", tasks), tasks, tmp_path_factory.mktemp("floating"), False)


def check_fold(case: Case, tasks: list[Task]) -> None:
    assert not [layer for layer in case.folded.layers if isinstance(layer, layers.BatchNormalization)]
    before, after = case.model(PIXELS, training=False), case.folded(PIXELS, training=False)
    assert before.keys() == after.keys()
    scales = {task.name: task.maximum - task.minimum for task in tasks if isinstance(task, ScalarTask)}
    for name in before:
        np.testing.assert_allclose(after[name], before[name], rtol=0, atol=1e-5 * scales.get(name, 1.0))


def test_every_method_and_every_head_is_covered() -> None:
    assert set(CASES) == set(HEADS)


def test_a_registered_net_folds_to_the_same_function(deep: Case) -> None:
    check_fold(deep, [task for task, _ in architecture(deep.model.name).tasks.values()])


def test_every_head_folds_to_the_same_function(floating: Case) -> None:
    check_fold(floating, TASKS)


def test_every_operation_of_a_registered_net_computes_what_keras_foretells(deep: Case) -> None:
    assert deep.quantized.plan.float_nodes or not float_ops(deep.file)
    apart = steps_by_operation(deep)
    assert set(apart) == set(deep.quantized.plan.ranges)
    for node, steps in apart.items():
        assert steps.max() <= 1, node
        assert (steps > 0).sum() <= max(4, TIES * steps.size), node


def test_a_registered_nets_file_is_as_near_to_the_float_model_as_the_fake_quantized_one(deep: Case) -> None:
    """The file is another rounding of the same net, as good as the one that was trained and measured."""
    runtime, fake, exact = LiteRTModel(deep.path), deep.fake(), deep.folded(PIXELS, training=False)
    got = runtime.predict(PIXELS)
    for name, entry in runtime.outputs.items():
        of_file, of_fake = (np.sqrt(np.mean((form[name] - np.asarray(exact[name])) ** 2)) for form in (got, fake))
        assert of_file <= 1.6 * of_fake + 0.5 * entry["quantization"][0], name


@pytest.mark.parametrize("head", INTEGER_HEADS)
def test_integer_outputs_of_every_head_are_those_of_keras_within_a_step(head: str, tmp_path: Path) -> None:
    tasks = case_tasks(head)
    case = make(net("shallow_net", tasks), tasks, tmp_path, True)
    runtime = LiteRTModel(case.path)
    assert not float_ops(case.file)
    assert {case.file.tensors[i].dtype for i in (*case.file.inputs, *case.file.outputs)} == {"uint8"}
    got, fake = runtime.predict(PIXELS), case.fake()
    for name, entry in runtime.outputs.items():
        scale = entry["quantization"][0]
        steps = np.abs(np.round(got[name] / scale) - np.round(fake[name] / scale))
        assert steps.max() <= 1, name
        assert (steps > 0).mean() <= 0.05, name
        assert len(np.unique(np.round(fake[name] / scale))) > 5, f"{name} stands still"


@pytest.mark.parametrize("head", FLOAT_HEADS)
def test_a_head_without_integer_form_is_refused_in_a_line_that_names_the_layer(head: str) -> None:
    tasks, (layer, kind) = case_tasks(head), FLOAT_HEADS[head]
    folded = fold_batch_norm(net("shallow_net", tasks))
    with pytest.raises(
        ModelError,
        match=rf"^layer '({layer})' \(({kind})\) (has no int8 kernel|is not supported yet); keep the heads in float",
    ):
        quantize_network(folded, tasks, all_integer=True)


def test_every_convolution_before_a_float_head_computes_on_int8(floating: Case) -> None:
    body = [op for op in floating.file.ops if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    assert len(body) == 2
    for op in body:
        kinds = [floating.file.tensors[i].dtype for i in (*op.inputs[:2], *op.outputs)]
        assert kinds == ["int8"] * 3
    known = [layer.name for layer in floating.folded.layers]
    head = {name for op in float_ops(floating.file) for name in layers_of(floating.file, op, known)}
    # All of it: an average that the converter made integer would round the features to the steps of their map.
    assert {"features", *(name for name in known if name.endswith("_raw"))} <= head
    assert head <= floating.quantized.plan.float_nodes


def test_a_float_head_differs_by_no_more_than_a_step_of_the_last_integers(floating: Case) -> None:
    """The map before the head may be a step apart in one place; what that does to an output is worked out."""
    quantized, got, fake = floating.quantized, LiteRTModel(floating.path).predict(PIXELS), floating.fake()
    (last,) = {node for node in quantized.plan.ranges if node.startswith("second")}
    low, high = quantized.ranges()[quantized.plan.ranges[last]].limits()
    head = keras.Model(quantized.tensors[last], quantized.network.inference.output)
    integers = np.asarray(keras.Model(quantized.network.inference.input, quantized.tensors[last])(PIXELS))
    rounding = 2e-6 * max(float(np.abs(value).max()) for value in fake.values())
    tolerance = dict.fromkeys(fake, rounding)
    for channel in range(integers.shape[-1]):
        moved = integers.copy()
        moved[:, 0, 0, channel] += (high - low) / 255
        for name, value in head(moved).items():
            tolerance[name] = max(tolerance[name], float(np.abs(np.asarray(value) - fake[name]).max()))
    for name in fake:
        np.testing.assert_allclose(got[name], fake[name], rtol=0, atol=2 * tolerance[name])
        assert tolerance[name] < np.ptp(fake[name]) / 2, f"{name} stands still"


def steps_by_operation(case: Case) -> dict[str, np.ndarray]:
    """For every rounded layer, the steps between the file's integers and Keras' from the file's own inputs."""
    graph = read_graph(case.folded)
    tensors = rounded_tensors(case)
    values = run_keeping(case.path, {node: tensor.index for node, tensor in tensors.items()})
    numbers = {n: ((v - t.zero_point[0]) * np.float32(t.scale[0])) for n, v, t in zip_nodes(values, tensors)}
    numbers[graph.input.name] = PIXELS
    apart = {}
    for node, tensor in tensors.items():
        if isinstance(graph.nodes[node].layer, layers.Concatenate):
            # Its inputs share one rounding layer, behind which Keras cannot start a model.
            joined = [local_values(case, graph, source, tensors, numbers) for source in graph.nodes[node].inputs]
            local = np.concatenate(joined, axis=-1)
        else:
            local = local_values(case, graph, node, tensors, numbers, itself=False)
        integers = np.round(local / tensor.scale[0]) + tensor.zero_point[0]
        apart[node] = np.abs(integers.reshape(values[node].shape) - values[node])
    return apart


def local_values(
    case: Case,
    graph: Graph,
    node: str,
    tensors: dict[str, Tensor],
    numbers: dict[str, np.ndarray],
    itself: bool = True,
) -> np.ndarray:
    """What Keras computes for a node from the file's own numbers at the nearest rounded nodes before it.

    Args:
        itself: whether a rounded node stands for itself.
    """
    inference, quantized = case.quantized.network.inference, case.quantized.tensors
    if itself and node in tensors:
        return numbers[node].reshape(-1, *quantized[node].shape[1:])
    sources = rounded_sources(graph, node, set(tensors))
    symbols = [inference.input if s == graph.input.name else quantized[s] for s in sources]
    feeds = [numbers[s].reshape(-1, *symbol.shape[1:]) for s, symbol in zip(sources, symbols, strict=True)]
    return np.asarray(keras.Model(symbols, quantized[node])(feeds, training=False))


def zip_nodes(values: dict[str, np.ndarray], tensors: dict[str, Tensor]) -> Iterator[tuple[str, np.ndarray, Tensor]]:
    return ((node, values[node].astype("float32"), tensor) for node, tensor in tensors.items())


def rounded_tensors(case: Case) -> dict[str, Tensor]:
    """The file's int8 tensor of every layer whose output is rounded."""
    known = [layer.name for layer in case.quantized.network.inference.layers]
    found = {}
    for op in case.file.ops:
        if op.kind == "GATHER":
            continue  # It takes values of the layer before it in another order.
        tensor = case.file.tensors[op.outputs[0]]
        for name in layers_of(case.file, op, known):
            if name in case.quantized.plan.ranges and tensor.dtype == "int8":
                found[name] = tensor
    return found


def rounded_sources(graph: Graph, node: str, rounded: set[str]) -> list[str]:
    """The nearest rounded nodes before one, or the pixels."""
    found, waiting = [], list(graph.nodes[node].inputs)
    while waiting:
        source = waiting.pop()
        if source in rounded or source == graph.input.name:
            found.append(source)
        else:
            waiting += graph.nodes[source].inputs
    return list(dict.fromkeys(found))


def run_keeping(path: Path, wanted: dict[str, int]) -> dict[str, np.ndarray]:
    """The file's integers inside, photo by photo."""
    interpreter = Interpreter(model_path=str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    rows: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for photo in PIXELS:
        interpreter.set_tensor(entry, photo[None].astype("uint8"))
        interpreter.invoke()
        for name, index in wanted.items():
            rows[name].append(interpreter.get_tensor(index))
    return {name: np.concatenate(parts).astype("int32") for name, parts in rows.items()}
