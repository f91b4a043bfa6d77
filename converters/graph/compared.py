"""What inputs a model is tried with, as its graph says it: numbers and texts that it compares them with, which decide
which way it goes, how many rows there are where one is looked up, and what is divided by.

Before: `If(Equal(sr, 16000))`. After: `{"sr": [16000, None]}`, where None stands for any other number.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from converters.graph.model import Graph, Value, every_graph

Number: TypeAlias = "int | float | bool"

# Operators that give their first input on as it is.
GIVING_ON = {
    "Cast", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze",
}  # fmt: skip
# Those of them that change no number, and others like them.
UNCHANGED = {
    "Cast", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
# Operators that take rows of a table; `Embedding` is that of `lift`.
LOOKING_UP = {"Embedding", "Gather"}
# Operators that say nothing of the numbers that they get, only of their sizes; those that put some together.
SIZES = {"Shape", "Size"}
TOGETHER = {*GIVING_ON, *UNCHANGED, "Concat", "Split"}
# What tells the two answers of a comparison apart, beside the number itself: one less or one more.
COMPARISONS: dict[str, tuple[int | None, ...]] = {
    "Equal": (0, None),
    "Greater": (0, 1),
    "GreaterOrEqual": (-1, 0),
    "Less": (-1, 0),
    "LessOrEqual": (0, 1),
}
MIRRORED = {
    "Equal": "Equal",
    "Greater": "Less",
    "GreaterOrEqual": "LessOrEqual",
    "Less": "Greater",
    "LessOrEqual": "GreaterOrEqual",
}
# How often a loop goes round whose number of rounds is an input.
ROUNDS = (2, 5)
# More than this say nothing about which way a model goes.
MOST = 8
MOST_WORDS = 64


def compared_values(graph: Graph) -> dict[str, list[Number | None]]:
    """The numbers that inputs of one element are compared with, by the name of the input.

    Both values of a boolean count, and for a number of rounds some small ones. None stands for any number
    that is not in the list.
    """
    source: dict[Value, Value] = {
        value: value
        for value in graph.inputs
        if value.kind == "tensor" and value.static_shape in ((), (1,)) and value.dtype is not None
    }
    found: dict[str, dict[Number | None, None]] = {
        value.name: dict.fromkeys((True, False))
        for value in source
        if value.dtype is not None and value.dtype.kind == "b"
    }
    for inner in every_graph(graph):
        for node in inner.nodes:
            first = node.inputs[0] if node.inputs else None
            if node.key in GIVING_ON and first in source and node.outputs[0] is not None:
                source[node.outputs[0]] = source[first]
            elif node.key == "Loop" and first in source:
                found.setdefault(source[first].name, {}).update(dict.fromkeys(ROUNDS))
            elif node.key in COMPARISONS:
                a, b = node.inputs[:2]
                for value, other, key in ((a, b, node.key), (b, a, MIRRORED[node.key])):
                    if value in source and other is not None and other.const is not None:
                        number = other.const.ravel()[0].item() if other.const.size == 1 else None
                        if isinstance(number, int | float):
                            steps = (s if s is None else number + s for s in COMPARISONS[key])
                            found.setdefault(source[value].name, {}).update(dict.fromkeys(steps))
    return {name: list(numbers) for name, numbers in found.items() if len(numbers) <= MOST}


def row_counts(graph: Graph) -> dict[str, int]:
    """How many rows there are in the smallest table that is looked up by an integer input, by the name of the input."""
    source: dict[Value, Value] = {
        value: value
        for value in graph.inputs
        if value.kind == "tensor" and value.dtype is not None and value.dtype.kind in "iu"
    }
    found: dict[str, int] = {}
    for inner in every_graph(graph):
        for node in inner.nodes:
            first, second = (*node.inputs, None, None)[:2]
            if node.key in UNCHANGED and first in source and node.outputs[0] is not None:
                source[node.outputs[0]] = source[first]
            elif node.key in LOOKING_UP and second in source and first is not None and first.shape:
                rows = first.shape[node.attributes.get("axis", 0)]
                if isinstance(rows, int):
                    name = source[second].name
                    found[name] = min(rows, found.get(name, rows))
    return found


def divisors(graph: Graph) -> list[str]:
    """Inputs of real numbers that are divided by, and nothing else: scales, which are never close to zero."""
    source: dict[Value, frozenset[str]] = {
        value: frozenset([value.name])
        for value in graph.inputs
        if value.kind == "tensor" and value.dtype is not None and value.dtype.kind == "f"
    }
    found: set[str] = set()
    otherwise: set[str] = set()
    for inner in every_graph(graph):
        for node in inner.nodes:
            for place, value in enumerate(node.inputs):
                names = source.get(value, frozenset()) if value is not None else frozenset()
                if node.key in TOGETHER and (place == 0 or node.key == "Concat"):
                    for made in node.outputs:
                        if made is not None:
                            source[made] = source.get(made, frozenset()) | names
                elif node.key == "Div" and place == 1:
                    found |= names
                elif node.key not in SIZES:
                    otherwise |= names
        otherwise.update(name for value in inner.outputs for name in source.get(value, ()))
    return [value.name for value in graph.inputs if value.name in found - otherwise]


def known_words(graph: Graph) -> list[str]:
    """Texts that stand in a graph, in its constants and lists of attributes: keys, stop words, categories."""
    found: dict[str, None] = {}
    for inner in every_graph(graph):
        for node in inner.nodes:
            constants = [v.const for v in node.inputs if v is not None and v.const is not None]
            tensors = [v for v in node.attributes.values() if isinstance(v, np.ndarray)]
            for array in (*constants, *tensors):
                if array.dtype.kind == "O":
                    found |= dict.fromkeys(_text(item) for item in array.ravel()[:MOST_WORDS])
            for value in node.attributes.values():
                if isinstance(value, list):
                    texts = [item for item in value if isinstance(item, str)]
                    found |= dict.fromkeys(texts[:MOST_WORDS])
    return list(found)[:MOST_WORDS]


def _text(item: object) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)
