"""What became integer in a quantized model, layer by layer, and why the rest did not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from keras_faceattr.quantization.any_model import plan_of
from keras_faceattr.quantization.graph import Node, read_graph
from keras_faceattr.quantization.layers import QUANTIZED, FakeQuantize, QuantizationPlan
from keras_faceattr.quantization.quantize import is_border

INTEGER, FLOAT = "integer", "float"


@dataclass(frozen=True)
class LayerDecision:
    """One layer of a quantized model.

    Attributes:
        layer: its name; a layer that was taken apart has several rows, `<layer>_<part>`.
        kind: class, without `Quantized`.
        decision: `integer` or `float`.
        reason: why it is float, or the pattern that skipped it; empty for an integer layer.
        macs: multiply-adds for one photo.
    """

    layer: str
    kind: str
    decision: str
    reason: str
    macs: int


@dataclass(frozen=True)
class QuantizationReport:
    """Every layer of a quantized model, and how much of its work is integer.

    Attributes:
        model: its name.
        layers: in the order of the graph.
    """

    model: str
    layers: tuple[LayerDecision, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds for one photo."""
        return sum(row.macs for row in self.layers)

    @property
    def integer_share(self) -> float:
        """Share of the multiply-adds that are integer, 0 to 1."""
        integer = sum(row.macs for row in self.layers if row.decision == INTEGER)
        return integer / self.macs if self.macs else 1.0

    @property
    def floats(self) -> dict[str, str]:
        """Reason of every layer in float, by name."""
        return {row.layer: row.reason for row in self.layers if row.decision == FLOAT}

    def __repr__(self) -> str:
        rows = [("layer", "kind", "multiply-adds", "decision")]
        for row in self.layers:
            decision = f"{row.decision}: {row.reason}" if row.reason else row.decision
            rows.append((row.layer, row.kind, f"{row.macs:,}" if row.macs else "", decision))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}" for a, b, c, d in rows]
        counts = f"{len(self.layers) - len(self.floats)} layers integer, {len(self.floats)} float"
        total = f"{self.model}: {counts}; {100 * self.integer_share:.2f} % of {self.macs:,} multiply-adds integer"
        return "\n".join([*lines, total])


def quantization_report(quantized: keras.Model) -> QuantizationReport:
    """What `quantize` decided for every layer; also of a model that was saved and loaded.

    Raises:
        ModelError: the model is not quantized.
    """
    floats = plan_of(quantized)
    rows = []
    for node in read_graph(quantized).nodes.values():
        if not node.inputs or isinstance(node.layer, (FakeQuantize, QuantizationPlan)) or is_border(node.layer):
            continue
        reason = floats.get(node.name, "")
        decision = FLOAT if node.name in floats else INTEGER
        rows.append(LayerDecision(node.name, _kind(node), decision, reason, macs_of(node)))
    return QuantizationReport(str(quantized.name), tuple(rows))


def _kind(node: Node) -> str:
    name = type(node.layer).__name__
    if isinstance(node.layer, layers.Activation):
        return f"Activation({node.layer.activation.__name__})"
    return name.removeprefix("Quantized") if type(node.layer) in QUANTIZED.values() else name


def macs_of(node: Node) -> int:
    """Multiply-adds of a layer with a kernel for one photo; 0 for any other."""
    layer: Any = node.layer
    if not any(isinstance(layer, kind) for kind in QUANTIZED):
        return 0
    kernel = math.prod(layer.kernel.shape)
    if isinstance(layer, layers.Conv2DTranspose):
        return int(math.prod(node.input_shape[1:3]) * kernel)  # type: ignore[arg-type]
    if isinstance(layer, layers.Dense):
        return int(math.prod(node.output_shape[1:-1]) * kernel)  # type: ignore[arg-type]
    return int(math.prod(node.output_shape[1:3]) * kernel)  # type: ignore[arg-type]
