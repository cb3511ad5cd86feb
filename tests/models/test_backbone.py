"""Any Keras net as a backbone: preprocessing in the graph, weights of its own, names that stay, and clear refusals."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from small import SMALL, UNTUNED, Quiet

import keras_faceattr as kfa
from keras_faceattr.config_files import load_experiment
from keras_faceattr.convert.export import export_recipe
from keras_faceattr.convert.recipe import load_recipe
from keras_faceattr.convert.source import read_source
from keras_faceattr.models import architecture
from keras_faceattr.models.backbone import load_weights, preprocessed
from keras_faceattr.models.network import Network, build_network
from keras_faceattr.models.profile import profile_model
from keras_faceattr.tasks import ScalarTask
from keras_faceattr.terminal.progress import FitProgress
from keras_faceattr.training.checks import check_experiment
from keras_faceattr.training.fit import fit

TASKS: Any = {"age": (ScalarTask("age", 0, 10, 1), None)}
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
FAMILIES = [name for name, value in vars(keras.applications).items() if hasattr(value, "preprocess_input")]


def own_net(classes: int = 0) -> keras.Model:
    """A net of four maps with what Keras counts: unnamed layers and operations; with a classifier for some classes."""
    pixels = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.Conv2D(8, 3, 4, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = keras.ops.relu(x + 0.5)
    x = layers.Conv2D(6, 3, 4, padding="same", name="features")(x)
    if classes:
        x = layers.Dense(classes, name="head")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, x, name="own")


def network(**options: Any) -> Network:
    return build_network("own", TASKS, size=32, seed=1, **options)


def features(net: Network, pixels: np.ndarray = PIXELS) -> np.ndarray:
    tensor = net.inference.get_layer("features").output
    return np.asarray(keras.Model(net.inference.input, tensor)(pixels))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_preprocessing_of_every_family_is_in_the_graph(family: str) -> None:
    expected = getattr(keras.applications, family).preprocess_input
    pixels = keras.Input((32, 32, 3))
    model = keras.Model(pixels, preprocessed(pixels, expected))
    np.testing.assert_allclose(np.asarray(model(PIXELS)), expected(PIXELS.copy()), atol=2e-4)
    # Stock layers, none of which is trained.
    assert not model.trainable_weights
    assert len(model.layers) <= 3


@pytest.mark.slow
def test_a_net_of_keras_keeps_its_function_and_learns_below_our_heads() -> None:
    net = build_network("keras.applications.VGG16", TASKS, size=32, seed=1)
    theirs = keras.applications.VGG16(input_shape=(32, 32, 3), include_top=False, weights=None)
    for layer in theirs.layers[1:]:
        layer.set_weights(net.inference.get_layer(layer.name).get_weights())
    x = keras.applications.vgg16.preprocess_input(PIXELS.copy())
    np.testing.assert_allclose(features(net), np.asarray(theirs(x)).mean(axis=(1, 2)), rtol=1e-3, atol=1e-5)
    assert net.inference.name == "VGG16"
    assert set(net.inference.output) == {"age", "age_distribution"}
    assert net.trainable.output["age"].shape == (None, 11)
    assert profile_model(net.inference).trainable_parameters == theirs.count_params() + 512 * 11 + 11


def test_a_net_with_its_preprocessing_inside_gets_no_second_one() -> None:
    build = architecture("keras.applications.MobileNetV3Small").net
    assert "include_preprocessing" not in inspect.signature(build).parameters
    assert {"alpha", "minimalistic", "weights"} <= set(inspect.signature(build).parameters)


def test_a_given_model_is_copied_with_its_weights_and_without_its_classifier() -> None:
    given = own_net(classes=10)
    before = [np.array(w) for w in given.get_weights()]
    net = network(model=given)
    body = keras.Model(given.input, given.get_layer("features").output)
    expected = np.asarray(body(PIXELS)).mean(axis=(1, 2))
    np.testing.assert_allclose(features(net), expected, rtol=1e-5, atol=1e-6)
    net.trainable.compile(keras.optimizers.SGD(0.1), loss={"age": "mse"}, run_eagerly=True)
    net.trainable.train_on_batch(PIXELS, {"age": np.zeros((2, 11))})
    assert np.abs(features(net) - expected).max() > 1e-6
    for old, new in zip(before, given.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert "head" not in [layer.name for layer in net.inference.layers]


def test_a_keras_file_is_a_net_with_its_weights(tmp_path: Path) -> None:
    given = own_net(classes=3)
    given.save(tmp_path / "own.keras")
    net = build_network(str(tmp_path / "own.keras"), TASKS, size=32, seed=1)
    np.testing.assert_array_equal(features(net), features(network(model=given)))


def test_names_of_layers_do_not_depend_on_what_was_built_before() -> None:
    first, second = (network(model=own_net()).inference for _ in range(2))
    assert [v.path for v in first.variables] == [v.path for v in second.variables]
    assert [op.name for op in first.operations] == [op.name for op in second.operations]


def test_the_preprocessing_of_a_given_model_is_named_by_its_family() -> None:
    given = own_net()
    x = keras.applications.vgg16.preprocess_input(PIXELS.copy())
    expected = np.asarray(given(x)).mean(axis=(1, 2))
    np.testing.assert_allclose(features(network(model=given, preprocessing="vgg16")), expected, rtol=1e-3, atol=1e-5)


def test_a_sequential_net_in_bfloat16_normalises_in_float32() -> None:
    given = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 127.5), layers.Conv2D(4, 3)])
    net = network(model=given, precision="mixed_bfloat16")
    kinds = {type(layer).__name__: layer.compute_dtype for layer in net.inference.layers}
    assert (kinds["Rescaling"], kinds["Conv2D"]) == ("float32", "bfloat16")


MODULE = """
import keras

def build(input_shape, channels=4):
    pixels = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    x = keras.layers.Conv2D(channels, 3, 4, padding="same", use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(pixels, x)

def broken(input_shape):
    raise KeyError("the user's own")

def nothing(input_shape):
    return 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working folder."""
    (tmp_path / "own_backbone.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_backbone", raising=False)
    return "own_backbone"


def test_a_function_of_a_module_in_the_working_folder_is_a_net(module: str) -> None:
    before = list(sys.path)
    assert architecture(f"{module}:build").free_options() == ["weights", "preprocessing", "channels"]
    net = build_network(f"{module}:build", TASKS, size=32, channels=6)
    assert features(net).shape == (2, 6)
    assert sys.path == before


def test_weights_come_from_a_file_of_the_user(module: str) -> None:
    given = build_network(f"{module}:build", TASKS, size=32, seed=1)
    source = sys.modules[module].build((32, 32, 3))
    for suffix in (".weights.h5", ".keras"):
        path = f"file{suffix}"
        source.save_weights(path) if suffix == ".weights.h5" else source.save(path)
        net = build_network(f"{module}:build", TASKS, size=32, seed=1, weights=path)
        expected = np.asarray(source(PIXELS)).mean(axis=(1, 2))
        np.testing.assert_allclose(features(net), expected, rtol=1e-5, atol=1e-6)
        assert np.abs(features(given) - expected).max() > 1e-3


class Own(layers.Layer):  # type: ignore[misc]
    """A layer that only this file can load."""

    def call(self, x: Any) -> Any:
        return x


def ending_in(layer: Any, side: int = 32) -> keras.Model:
    pixels = keras.Input((side, side, 3))
    return keras.Model(pixels, layer(pixels), name="own")


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "application": (lambda: architecture("keras.applications.MobileNetV3Smal"), "did you mean 'MobileNetV3Small'"),
    "application without its prefix": (lambda: architecture("VGG16"), "did you mean keras.applications.VGG16"),
    "module": (lambda: architecture("no_such_module:build"), "no module 'no_such_module' in the working folder"),
    "no function": (lambda: architecture("own_backbone:buld"), "no function 'buld'; did you mean 'build'"),
    "no name": (lambda: architecture("own backbone:build"), "is no module:function, such as my_module:build"),
    "an error of its own": (lambda: build_network("own_backbone:broken", TASKS, size=32), "KeyError: .*the user's own"),
    "no model": (lambda: build_network("own_backbone:nothing", TASKS, size=32), "returned int, not a keras.Model"),
    "option": (lambda: build_network("own_backbone:build", TASKS, size=32, chanels=3), "did you mean 'channels'"),
    "family": (lambda: network(model=own_net(), preprocessing="vgg"), "did you mean 'vgg1[69]'"),
    "own layer": (lambda: network(model=ending_in(Own(name="mine"))), r"layer 'mine' \(Own\) is no layer of Keras"),
    "Lambda": (lambda: network(model=ending_in(layers.Lambda(lambda x: x, name="f"))), r"layer 'f' \(Lambda\)"),
    "side": (lambda: network(model=ending_in(layers.ReLU(), 48)), "takes 48 × 48 × 3 pixels, and crops are 32 × 32"),
    "no map": (lambda: network(model=keras.Sequential([keras.Input((4,)), layers.Dense(2)])), "one input of RGB"),
    "not built": (lambda: network(model=keras.Sequential([layers.ReLU()])), "is not built"),
    "no file": (lambda: load_weights(own_net(), "none.weights.h5"), "no file none.weights.h5"),
    "imagenet": (lambda: load_weights(own_net(), "imagenet"), "nothing is downloaded"),
    "no Keras file": (lambda: architecture("none.keras"), "no model file none.keras"),
    "no Keras model": (lambda: kfa.fit(model="ResNet50"), "model: needs a keras.Model, not str"),  # type: ignore[arg-type]
    "a model of another side": (lambda: kfa.fit(model=own_net()), "takes 32 × 32 × 3 pixels, and crops are 64 × 64"),
    "a model for a table": (lambda: kfa.fit("mtb_dnn", model=own_net()), "model= is for a new run of a net that takes"),
    "too small": (
        lambda: build_network("keras.applications.InceptionV3", TASKS, size=32),
        "keras.applications.InceptionV3: ValueError: Input size must be at least 75x75",
    ),
}


@pytest.mark.parametrize(("call", "message"), [pytest.param(*row, id=name) for name, row in WRONG.items()])
def test_what_cannot_be_a_backbone_is_refused_in_one_line(call: Callable[[], Any], message: str, module: str) -> None:
    with pytest.raises(kfa.FaceAttrError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    other = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(4, 3)])
    other.save_weights(tmp_path / "other.weights.h5")
    other.save(tmp_path / "other.keras")
    for name in ("other.weights.h5", "other.keras"):
        with pytest.raises(kfa.FaceAttrError, match="does not fit own"):
            load_weights(own_net(), str(tmp_path / name))


@pytest.mark.slow
def test_a_net_of_ones_own_is_trained_stored_resumed_and_exported(module: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    build_network(f"{module}:build", TASKS, size=32)
    sys.modules[module].build((32, 32, 3)).save_weights("start.weights.h5")
    own = [f"model.name={module}:build", "model.weights=start.weights.h5", "tasks.gender=null", "training.epochs=1"]
    experiment = load_experiment("quickstart", [*SMALL[1::2], *own])
    with FitProgress() as progress:
        run = fit(experiment, tmp_path / "runs", progress)
        Path("start.weights.h5").unlink()
        # The weights were needed once.
        assert fit(run.experiment(), tmp_path / "runs", progress, resume=run).folder == run.folder
    assert all(type(layer).__module__.startswith("keras.") for layer in keras.saving.load_model(run.model_path).layers)
    source = read_source(run, [], {}, Quiet())
    artifact = export_recipe(source, load_recipe("int8_full", UNTUNED), tmp_path / "file", Quiet())
    assert artifact.path.is_file()


@pytest.mark.slow
def test_a_model_at_hand_is_fitted_and_stays_as_it_is(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    given = own_net(classes=3)
    before = given.get_weights()
    # The option is of the config's net, which the model replaces.
    small = [*SMALL[1::2], "training.epochs=1", "tasks.gender=null", "model.pooling=max"]
    run = kfa.fit(set=small, runs=tmp_path / "runs", model=given, verbose=False)
    for weight, now in zip(before, given.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, now)
    kept = run.experiment().model
    assert kept.file and Path(kept.file).is_file() and kept.title == Path(kept.file).name
    assert kfa.fit(resume=run, verbose=False).folder == run.folder
    assert kept.title in run.model_card_path.read_text() and str(tmp_path) not in run.model_card_path.read_text()
    Path(kept.file).write_text("gone")
    with pytest.raises(kfa.FaceAttrError, match="is no .keras file, or it is damaged"):
        kfa.fit(resume=run, verbose=False)


def test_a_start_that_is_not_there_is_refused_before_photos_are_read(module: str) -> None:
    named = [f"model.name={module}:build", "model.weights=none.h5"]
    with pytest.raises(kfa.FaceAttrError, match="model.weights: no file none.h5; nothing is downloaded"):
        check_experiment(load_experiment("quickstart", named))
    check_experiment(load_experiment("quickstart", named), fresh=False)
    with pytest.raises(kfa.FaceAttrError, match="model.weights: needs the path of a file, not 3"):
        check_experiment(load_experiment("quickstart", [named[0], "model.weights=3"]))
    with pytest.raises(kfa.FaceAttrError, match="model.name=keras.applications.VGG16: the net has no option 'alpha'"):
        check_experiment(load_experiment("quickstart", ["model.name=keras.applications.VGG16", "model.alpha=1"]))
