"""A small view of a graph: values, nodes, and who uses what.

Values are objects and are compared by identity; names are only labels. A node's optional inputs and
outputs that are absent are None, so positions always follow the ONNX schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
# Operators whose results are codes of few bits, or products of such.
ROUNDING = (
    "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QuantizeLinear",
    "com.microsoft::DynamicQuantizeLSTM", "com.microsoft::DynamicQuantizeMatMul",
)  # fmt: skip
# A dimension: its size, the name of a size that is not known, or None where nothing is known.
Dim: TypeAlias = "int | str | None"


@dataclass(eq=False)
class Value:
    """A tensor in the graph, a sequence of tensors, or one of them that may be absent (an optional).

    Attributes:
        name: Its name in the source.
        dtype: Element type, also of the tensors in a sequence; None where inference could not tell.
        shape: Dimensions, None where not even the rank is known, and for all but tensors.
        const: Its data where it is known at conversion time (a weight or a constant), else None.
        trainable: It is a parameter of the model rather than a constant of its code.
        kind: `tensor`, `sequence`, `optional`, `optional sequence`; `index` for the number of a round of
            a loop, which is a number on the host.
        held: Shape of the tensors in a sequence or optional: what they share; None where they share
            nothing, or nothing is known.
        bare: A sequence or optional that is known to hold nothing.
        said_rank: The rank that the file states, where its shapes are not believed.
        varies: Its rank is another one from round to round of a loop, or from branch to branch.
        parts: Names of the parameters that a constant was put together from, in their order.
    """

    name: str
    dtype: np.dtype[Any] | None = None
    shape: tuple[Dim, ...] | None = None
    const: Array | None = None
    trainable: bool = False
    kind: str = "tensor"
    held: tuple[Dim, ...] | None = None
    bare: bool = False
    said_rank: int | None = None
    varies: bool = False
    parts: tuple[str, ...] = ()

    @property
    def rank(self) -> int | None:
        """Number of dimensions, None where it is not known."""
        return None if self.shape is None else len(self.shape)

    @property
    def static_shape(self) -> tuple[int, ...] | None:
        """The shape where every dimension is a known size, else None."""
        if self.shape is None or not all(isinstance(dim, int) for dim in self.shape):
            return None
        return tuple(dim for dim in self.shape if isinstance(dim, int))

    def __repr__(self) -> str:
        return f"<{self.name}: {self.dtype}{list(self.shape) if self.shape is not None else '?'}>"


def constant(name: str, data: Array, *, trainable: bool = False) -> Value:
    """A value whose data is known."""
    return Value(name, data.dtype, tuple(data.shape), data, trainable)


@dataclass(eq=False)
class Node:
    """One use of an operator.

    Attributes:
        key: `Op` for the standard's operators and for those that `lift` makes, else `domain::Op`.
        attributes: By name; tensors as arrays, sub-graphs as `Graph`.
        name: The node's name in the source, or one made from its first output.
        scope: Names of the modules around it, outermost first, where the source tells.
    """

    key: str
    inputs: list[Value | None]
    outputs: list[Value | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    scope: tuple[str, ...] = ()

    @property
    def output(self) -> Value:
        """The first output that is there."""
        return next(value for value in self.outputs if value is not None)

    def __repr__(self) -> str:
        return f"<{self.key} {self.inputs} -> {self.outputs}>"


@dataclass(eq=False)
class Graph:
    """Nodes in an order in which they can be computed, and the values that enter and leave.

    Attributes:
        opset: Version of the standard operators in the source.
        output_names: What the source calls the outputs; an output may be an input or a constant too.
        metadata: The source's own key-value pairs (a character set, labels ...).
    """

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    opset: int
    metadata: dict[str, str] = field(default_factory=dict)
    output_names: list[str] = field(default_factory=list)

    def producers(self) -> dict[Value, Node]:
        """Which node computes a value."""
        return {out: node for node in self.nodes for out in node.outputs if out is not None}

    def uses(self) -> dict[Value, list[Node]]:
        """Which nodes read a value, once for each time they do; sub-graphs count as their node."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node_reads(node):
                found.setdefault(value, []).append(node)
        return found

    def replace(self, old: Value, new: Value) -> None:
        """Make every reader of `old`, sub-graphs and the graph's outputs included, read `new`."""
        for node in self.nodes:
            node.inputs = [new if value is old else value for value in node.inputs]
            for graph in subgraphs(node):
                graph.replace(old, new)
        self.outputs = [new if value is old else value for value in self.outputs]


def subgraphs(node: Node) -> Iterator[Graph]:
    """The bodies of a control-flow node."""
    for attribute in node.attributes.values():
        if isinstance(attribute, Graph):
            yield attribute


def every_graph(graph: Graph) -> Iterator[Graph]:
    """A graph and the sub-graphs in it, at every depth."""
    yield graph
    for node in graph.nodes:
        for inner in subgraphs(node):
            yield from every_graph(inner)


def is_quantised(graph: Graph) -> bool:
    """Whether anything that is computed is rounded to few bits on its way."""
    return any(
        (node.key in ROUNDING or node.key.startswith("com.microsoft::Q"))
        and any(value is not None and value.const is None for value in node.inputs[:1])
        for each in every_graph(graph)
        for node in each.nodes
    )


def node_reads(node: Node) -> Iterator[Value]:
    """Every value that a node reads, those that its sub-graphs capture included."""
    for value in node.inputs:
        if value is not None:
            yield value
    for graph in subgraphs(node):
        own = set(graph.inputs) | {o for n in graph.nodes for o in n.outputs if o is not None}
        for inner in graph.nodes:
            yield from (value for value in node_reads(inner) if value not in own)
        yield from (value for value in graph.outputs if value not in own)
