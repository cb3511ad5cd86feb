"""YAML as people write it: the one reader of every YAML file, with limits on what a file may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1_000_000
MOST_VALUES = 50_000
"""Keys and values of a file, counted again wherever an alias repeats them."""

MOST_DEPTH = 40
MOST_DIGITS = 40
"""Characters of a number."""

NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain data.

    Raises:
        OSError: it cannot be read.
        ValueError: not UTF-8, not YAML, or beyond a limit of `parse_yaml`.
    """
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    return parse_yaml(content.decode("utf-8"))


def parse_yaml(text: str) -> Any:
    """Read YAML as plain data; every error is a ValueError of one line.

    Raises:
        ValueError: not YAML, a key that stands twice in a mapping, an alias that holds itself, or a text that is
            larger, deeper or with its aliases longer than a config can be.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES:,} bytes, the most that a YAML file may have")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _extent(node, {})
        return loader.construct_document(node)
    except (yaml.YAMLError, OverflowError, RecursionError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML drops the first in silence, and what is too deep or too long."""

    depth = values = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        self.depth += 1
        self.values += 1
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        if self.depth > MOST_DEPTH:
            raise ValueError(f"line {line} is nested more than {MOST_DEPTH} levels deep")
        if self.values > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values")
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.ScalarNode) and node.tag in NUMBERS and len(node.value) > MOST_DIGITS:
            raise ValueError(f"the number in line {line} has {len(node.value):,} digits, more than {MOST_DIGITS}")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ValueError(f"the key {key.value!r} stands a second time in line {key.start_mark.line + 1}")
                seen.add(key.value)
        return node


def _extent(node: yaml.Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node holds and how deep, once its aliases are written out; takes no longer for the aliases."""
    if id(node) in known:
        if not known[id(node)][0]:
            raise ValueError(f"what line {node.start_mark.line + 1} begins holds itself by an alias")
        return known[id(node)]
    known[id(node)] = (0, 0)
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    extents = [_extent(part, known) for part in inner]
    values, depth = 1 + sum(v for v, _ in extents), 1 + max((d for _, d in extents), default=0)
    if values > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values, those that aliases repeat counted each time")
    if depth > MOST_DEPTH:
        raise ValueError(f"what line {node.start_mark.line + 1} begins is more than {MOST_DEPTH} levels deep")
    known[id(node)] = (values, depth)
    return values, depth
