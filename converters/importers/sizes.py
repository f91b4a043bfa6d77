"""Which open sizes of inputs are one size: those that meet in an operator.

A program says that a size is open, not that two are equal. Here every input has names of its own for open sizes; those
that are added to each other, say, get one name. Sizes that never meet, as the lengths of two sentences of a translator,
stay apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from converters.graph.load import load
from converters.graph.model import Graph, Node, Value, every_graph
from converters.graph.simplify import simplify

Dim = int | str | None
# Operators whose inputs are broadcast to one shape.
BROADCAST = {
    "Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
}  # fmt: skip
RECURRENT = {"GRU", "LSTM", "RNN"}


def join_sizes(path: Path) -> None:
    """Give open sizes of inputs that have to be equal one name, in an ONNX file, which is written anew."""
    model = onnx.load(path, load_external_data=False)
    while len(names := _names(model)) > 1:
        graph = load(path, native=lambda key: True)
        simplify(graph)
        new = _joined(graph, names)
        if not new:
            return
        for value in model.graph.input:
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in new:
                    dim.dim_param = new[dim.dim_param]
        # More shapes are known with fewer names.
        onnx.save(model, path)


def _names(model: onnx.ModelProto) -> list[str]:
    """Open sizes, in their order, where more than one input has them: those of one input are its own affair."""
    found = [
        [dim.dim_param for dim in value.type.tensor_type.shape.dim if dim.dim_param]
        for value in model.graph.input
    ]
    several = sum(map(bool, found)) > 1
    return [*dict.fromkeys(name for names in found for name in names)] if several else []


def _joined(graph: Graph, names: Sequence[str]) -> dict[str, str]:
    """The name that each of these gets, where it is another."""
    first = {name: name for name in names}
    for inner in every_graph(graph):
        for node in inner.nodes:
            for met in _meeting(node):
                one, *others = sorted({first[d] for d in met if d in first}, key=names.index) or [
                    ""
                ]
                for name, present in first.items():
                    if present in others:
                        first[name] = one
    return {name: one for name, one in first.items() if name != one}


def _meeting(node: Node) -> Iterator[set[str]]:
    """Sizes that an operator wants to be equal."""
    shapes = [_shape(value) for value in node.inputs]
    if node.key in BROADCAST:
        yield from _aligned(shapes)
    elif node.key == "Concat":
        axis = node.attributes["axis"]
        yield from _aligned([[*s[:axis], *([None] * bool(s)), *s[axis:][1:]] for s in shapes])
    elif node.key == "MatMul" and all(len(shape) > 1 for shape in shapes):
        yield _open([shapes[0][-1], shapes[1][-2]])
        yield from _aligned([shape[:-2] for shape in shapes])
    elif node.key in RECURRENT:
        # The batch of the steps and of the first states.
        yield _open([shape[1] for shape in (shapes[0], *shapes[5:7]) if len(shape) > 1])


def _aligned(shapes: Sequence[Sequence[Dim]]) -> Iterator[set[str]]:
    """Sizes in the same place, counted from the last."""
    for place in range(1, 1 + max(map(len, shapes), default=0)):
        yield _open([shape[-place] for shape in shapes if len(shape) >= place])


def _open(dims: Sequence[Dim]) -> set[str]:
    return {dim for dim in dims if isinstance(dim, str)}


def _shape(value: Value | None) -> list[Dim]:
    return [] if value is None or value.shape is None else [*value.shape]
