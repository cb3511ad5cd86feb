"""Any Keras net as a backbone: its last feature map, with its own preprocessing in the graph, for heads of our own.

Four ways to name one: `keras.applications.NAME`; `module:function`, which is imported, and so runs its code; a
`.keras` file, from which no code is run; or a `keras.Model` that the caller has.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_faceattr.errors import ModelError, nearest, shown
from keras_faceattr.models.layers import normalise

Tensor = Any

APPLICATIONS = "keras.applications."
FILE = ".keras"

FIXED = (
    "input_tensor", "input_shape", "include_top", "include_preprocessing", "weights", "pooling", "classes",
    "classifier_activation", "name", "preprocessing",
)  # fmt: skip
"""Arguments of the functions that build nets which no config sets; `weights` is read by this module."""

POOLINGS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)

TAKEN = ("image", "normalise", "preprocess", "features", "dropout")
"""Names of layers that stand around the backbone."""


def is_backbone(name: str) -> bool:
    """Whether a name is that of an application of Keras, of a function in a module or of a `.keras` file."""
    return name.startswith(APPLICATIONS) or ":" in name or name.endswith(FILE)


def named_backbone(name: str) -> Callable[..., Tensor]:
    """The function from pixels to features that a name stands for.

    Args:
        name: `keras.applications.NAME`, or `module:function` of a module in the working folder or on PYTHONPATH, whose
            code is run. The function is called with `input_shape=(side, side, 3)` and the options, and returns a
            `keras.Model` of RGB pixels from 0 to 255. A path that ends in `.keras` stands for the model in that file,
            with its weights.

    Returns:
        A function of pixels (batch, side, side, 3) from 0 to 255 and of options; its signature names them.

    Raises:
        ModelError: there is no such application, module, function or file.
    """
    if name.endswith(FILE):
        from keras_faceattr.models.loading import load_model

        return given_backbone(load_model(Path(name).expanduser()))
    build = _application(name) if name.startswith(APPLICATIONS) else _imported(name)
    of_keras = name.startswith(APPLICATIONS)
    family = sys.modules[build.__module__] if of_keras else None

    def backbone(pixels: Tensor, weights: str | None = None, **options: Any) -> Tensor:
        preprocess = family.preprocess_input if family else _preprocessing(options.pop("preprocessing", None))
        fixed = {"include_top": False, "weights": None} if of_keras else {}
        try:
            model = build(input_shape=tuple(pixels.shape[1:]), **fixed, **options)
        except ModelError:
            raise
        except Exception as error:  # Whatever the function of somebody else raises.
            raise ModelError(f"{name}: {_first_line(error)}") from error
        if not isinstance(model, keras.Model):
            raise ModelError(f"{name}: returned {type(model).__name__}, not a keras.Model")
        if weights is not None:
            load_weights(model, weights)
        return features_of(model, pixels, preprocess)

    free = [parameter for key, parameter in inspect.signature(build).parameters.items() if key not in FIXED]
    options = [p.replace(kind=p.KEYWORD_ONLY) for p in free if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    own = ["pixels", "weights"] if of_keras else ["pixels", "weights", "preprocessing"]
    first = [inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD) for key in own]
    backbone.__signature__ = inspect.Signature([*first, *options])  # type: ignore[attr-defined]
    return backbone


def given_backbone(model: keras.Model) -> Callable[..., Tensor]:
    """The function from pixels to features of a model that the caller has; the model stays as it is, weights too."""

    def backbone(pixels: Tensor, preprocessing: str | None = None) -> Tensor:
        return features_of(model, pixels, _preprocessing(preprocessing))

    return backbone


def features_of(model: keras.Model, pixels: Tensor, preprocess: Callable[[Any], Any] | None = None) -> Tensor:
    """The global average of a model's last feature map, by layers and weights of its own.

    Args:
        model: functional or Sequential, of one input (batch, side, side, 3), that ends in a map, or in a global pooling
            or Flatten and what follows, such as a classifier, which is left out.
        pixels: (batch, side, side, 3) from 0 to 255.
        preprocess: what the model wants its pixels to go through, affine in each pixel; None: nothing.

    Returns:
        (batch, channels). Layers keep their names; those that Keras has counted are called the same in every process.

    Raises:
        ModelError: a model of another input, without a map, or of layers that only its own code can load.
    """
    last = _last_map(model, tuple(pixels.shape[1:]))
    body = keras.Model(model.inputs[0], last)
    names = _stable_names(body)
    prepared = preprocessed(pixels, preprocess) if preprocess else pixels
    copies: dict[str, Any] = {}

    def copy(layer: Any) -> Any:
        config = {**layer.get_config(), "name": names[layer.name]}
        if not isinstance(layer, layers.Layer):
            return type(layer).from_config(config)
        # Without a policy of its own the copy has that of the net; in bfloat16 the scale of the pixels would change.
        config["dtype"] = None
        if isinstance(layer, layers.Rescaling | layers.Normalization):
            config["dtype"] = "float32"
        copies[layer.name] = type(layer).from_config(config)
        return copies[layer.name]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(lambda x: prepared if x is pixels else x, (args, kwargs))
        return layer(*args, **kwargs)

    copied = keras.models.clone_model(body, input_tensors=pixels, clone_function=copy, call_function=call)
    for name, layer in copies.items():
        layer.set_weights(body.get_layer(name).get_weights())
    return layers.GlobalAveragePooling2D(name="features")(copied.outputs[0])


def preprocessed(pixels: Tensor, preprocess: Callable[[Any], Any]) -> Tensor:
    """Express a preprocessing function as layers that an integer file can hold.

    Pixels are brought to [−1, 1] first, which costs an integer file nothing. Where the function does more, a 1×1
    convolution with constants follows: it swaps, shifts and scales channels.

    Args:
        preprocess: affine in the three channels of each pixel; it is found by what it makes of four colours.
    """
    colours = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype("float32").reshape(1, 4, 1, 3)
    black, *pure = np.asarray(preprocess(colours.copy()), "float64").reshape(4, 3)
    matrix = (np.stack(pure) - black) / 255
    if np.allclose(matrix, np.eye(3)) and np.allclose(black, 0):
        return pixels
    x = normalise(pixels)
    if np.allclose(matrix, np.eye(3) / 127.5, rtol=1e-5) and np.allclose(black, -1):
        return x
    # Of x = p / 127.5 − 1: the function's M · p + b is 127.5 · M · x + (127.5 · M · 1 + b).
    kernel, bias = 127.5 * matrix, 127.5 * matrix.sum(axis=0) + black
    return layers.Conv2D(
        3,
        1,
        kernel_initializer=keras.initializers.Constant(kernel.reshape(1, 1, 3, 3).tolist()),
        bias_initializer=keras.initializers.Constant(bias.tolist()),
        trainable=False,
        name="preprocess",
        dtype="float32",
    )(x)


def load_weights(model: keras.Model, path: str) -> None:
    """Set a net's weights, without its classifier, from a file of the user's.

    Args:
        path: `.weights.h5` or `.h5` of the net without its classifier (`…_notop.h5`), or a `.keras` file of the net
            with or without it.

    Raises:
        ModelError: no such file, or one of another net.
    """
    file = Path(path).expanduser()
    if path == "imagenet":
        raise ModelError("model.weights: nothing is downloaded: fetch the file of the weights and give its path")
    if not file.is_file():
        raise ModelError(f"model.weights: no file {path}")
    if file.suffix == ".keras":
        _copy_weights(model, file)
        return
    try:
        with warnings.catch_warnings():
            # Keras warns of layers of which a file knows nothing, and leaves them random.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(file)
    except Exception as error:  # Keras and h5py raise many types here.
        raise ModelError(
            f"model.weights: {path} does not fit {model.name} without its classifier: {_first_line(error)}"
        ) from None


def _copy_weights(model: keras.Model, file: Path) -> None:
    from keras_faceattr.models.loading import load_model

    stored = load_model(file)
    stable = _stable_names(stored)
    given = {stable.get(layer.name, layer.name): layer for layer in stored.layers}
    names = _stable_names(model)
    for layer in model.layers:
        name = names.get(layer.name, layer.name)
        own = [tuple(w.shape) for w in layer.weights]
        found = [tuple(w.shape) for w in given[name].weights] if name in given else []
        if own != found:
            raise ModelError(f"model.weights: {file} does not fit {model.name}: layer {layer.name!r} is another")
        layer.set_weights(given[name].get_weights() if own else [])


def _application(name: str) -> Callable[..., Any]:
    wanted = name.removeprefix(APPLICATIONS)
    known = [key for key, value in vars(keras.applications).items() if inspect.isfunction(value)]
    if wanted not in known:
        raise ModelError(f"keras.applications has no net {wanted!r}; {nearest(wanted, known)}")
    build: Callable[..., Any] = getattr(keras.applications, wanted)
    return build


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, function = name.partition(":")
    if not re.fullmatch(r"\w+(\.\w+)*", module_name) or not function.isidentifier():
        raise ModelError(f"model {shown(name)} is no module:function, such as my_module:build")
    with _working_folder_on_path():
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # Whatever the module's own code raises.
            if isinstance(error, ModuleNotFoundError) and module_name.startswith(str(error.name)):
                raise ModelError(f"no module {module_name!r} in the working folder or on PYTHONPATH") from None
            raise ModelError(f"{module_name} cannot be imported: {_first_line(error)}") from error
    build = getattr(module, function, None)
    if not callable(build):
        functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise ModelError(f"{module_name} has no function {function!r}; {nearest(function, functions)}")
    found: Callable[..., Any] = build
    return found


@contextmanager
def _working_folder_on_path() -> Iterator[None]:
    """A command that is installed does not look for modules in the working folder."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _preprocessing(family: str | None) -> Callable[[Any], Any] | None:
    if family is None:
        return None
    families = {
        key: value.preprocess_input
        for key, value in vars(keras.applications).items()
        if inspect.ismodule(value) and hasattr(value, "preprocess_input")
    }
    if family not in families:
        raise ModelError(f"model.preprocessing: keras.applications has no {shown(family)}; {nearest(family, families)}")
    preprocess: Callable[[Any], Any] = families[family]
    return preprocess


def _last_map(model: keras.Model, shape: tuple[int, ...]) -> Tensor:
    if not getattr(model, "inputs", None):
        raise ModelError(f"model {model.name!r} is not built: give it a keras.Input, or call it once")
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        raise ModelError(f"model {model.name!r} must have one input of RGB images (batch, side, side, 3)")
    own = tuple(model.inputs[0].shape[1:])
    if any(given is not None and given != wanted for given, wanted in zip(own, shape, strict=True)):
        raise ModelError(
            f"model {model.name!r} takes {own[0]} × {own[1]} × {own[2]} pixels, and crops are "
            f"{shape[0]} × {shape[1]} × {shape[2]}: set data.crop.size to its side"
        )
    for layer in model.layers:
        if not type(layer).__module__.startswith("keras.") or isinstance(layer, layers.Lambda):
            raise ModelError(
                f"layer {layer.name!r} ({type(layer).__name__}) is no layer of Keras that a file can hold without "
                "code: build the net of stock layers and operations of keras.ops"
            )
    if len(model.outputs) == 1 and len(model.outputs[0].shape) == 4:
        return model.outputs[0]
    for layer in reversed(keras.Model(model.inputs, model.outputs).layers):
        # A flat map of one pixel is a classifier's that is written as convolutions.
        if isinstance(layer, POOLINGS) or (isinstance(layer, layers.Flatten) and layer.input.shape[1] != 1):
            return layer.input
    raise ModelError(
        f"model {model.name!r} has no last feature map: let it end in a map (batch, height, width, channels), or in a "
        "global pooling or Flatten and what follows"
    )


def _stable_names(model: keras.Model) -> dict[str, str]:
    """A name for each layer: its own, unless Keras has made it by counting, which another process counts otherwise."""
    names: dict[str, str] = {}
    for number, layer in enumerate(keras.Model(model.inputs, model.outputs).operations):
        kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
        if re.fullmatch(rf"{re.escape(kind)}(_\d+)?", layer.name):
            names[layer.name] = f"layer{number}_{kind}"
        else:
            names[layer.name] = f"{layer.name}_of_net" if layer.name in TAKEN else layer.name
    return names


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
