"""Products of integers that a framework computes in wider types -> the operators of ONNX, which are exact too.

Frameworks convolve floats alone, so that source which needs exact integers takes doubles, of which ONNX Runtime has no
convolution; and weights of eight bits stay what they are.

    before: Cast(Round(Conv(Cast(x) - Cast(zero), Cast(w) - Cast(zeros)))), to double and then to int32
    after : ConvInteger(x, w, zero, zeros)
    before: MatMul(Cast(x) - Cast(zero), Cast(w) - Cast(zeros)), to int32
    after : MatMulInteger(x, w, zero, zeros)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from converters.importers.graph import Graph, Value

BYTES = ("uint8", "int8")


@dataclass(frozen=True)
class Shifted:
    """Integers of eight bits less their zero point, in a wider type.

    Attributes:
        name: The integers.
        zero: The zero point; empty for 0.
        sizes: The shape in which it is subtracted.
    """

    name: str
    zero: str = ""
    sizes: tuple[int, ...] = ()


def exact_products(graph: Graph, values: Mapping[str, Value]) -> None:
    """Rewrite the nodes of a graph.

    Args:
        graph: What is rewritten.
        values: What is known of its values, by name.
    """
    graph.nodes = _Rewriting(graph, values).nodes(graph.nodes)


class _Rewriting:
    """Which node makes a value, those of sub-graphs too."""

    def __init__(self, graph: Graph, values: Mapping[str, Value]) -> None:
        self.graph = graph
        self.values = values
        self.makers = {name: node for node in _every(graph.nodes) for name in node.output}

    def nodes(self, nodes: Iterable[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """Nodes with operators of integers in the place of the last node that makes the same."""
        with self.graph.within() as made:
            for node in nodes:
                for attribute in node.attribute:
                    if attribute.type == AttributeProto.GRAPH:
                        inner = self.nodes([*attribute.g.node])
                        del attribute.g.node[:]
                        attribute.g.node.extend(inner)
                if not (self.matmul(node) or self.conv(node)):
                    made.append(node)
        return made

    def matmul(self, node: onnx.NodeProto) -> bool:
        """Add the product of matrices that a node is; False where it is none of integers."""
        return node.op_type == "MatMul" and self.product(
            "MatMulInteger", node, node.output[0], TensorProto.INT32
        )

    def conv(self, node: onnx.NodeProto) -> bool:
        """Add the convolution that a cast gives; False where it is none of integers."""
        if not _casts(node, TensorProto.INT32):
            return False
        rounded = self.makers.get(node.input[0])
        conv = self.makers.get(rounded.input[0]) if rounded and rounded.op_type == "Round" else None
        if conv is None or conv.op_type != "Conv" or len(conv.input) != 2:
            return False
        return self.product("ConvInteger", conv, node.output[0], TensorProto.DOUBLE)

    def product(self, kind: str, node: onnx.NodeProto, name: str, wide: int) -> bool:
        """Add the operator of integers that gives a value."""
        x, weight = (self.shifted(one, wide) for one in node.input)
        if x is None or weight is None or (weight.zero and not x.zero):
            return False
        # Zero points of columns are those of a vector; of filters, those of [-1, 1, 1, 1].
        if len(x.sizes) or weight.sizes[1:] != (1,) * len(weight.sizes[1:]):
            return False
        if kind == "ConvInteger" and len(weight.sizes) == 1:
            return False
        zeros = [self.flat(one) for one in (x, weight) if one.zero]
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        self.graph.node(kind, [x.name, weight.name, *zeros], [name], **attributes)
        return True

    def shifted(self, name: str, wide: int) -> Shifted | None:
        """What a wider value is of integers."""
        node = self.makers.get(name)
        if node is None or node.op_type != "Sub":
            plain = self.narrow(name, wide)
            return None if plain is None else Shifted(plain)
        found, zero, sizes = self.narrow(node.input[0], wide), node.input[1], None
        shaped = self.makers.get(zero)
        if shaped is not None and shaped.op_type == "Reshape":
            zero, shape = shaped.input[0], self.graph.initialisers.get(shaped.input[1])
            sizes = None if shape is None else tuple(numpy_helper.to_array(shape).tolist())
        root = self.narrow(zero, wide)
        if found is None or root is None or self.values[found].kind != self.values[root].kind:
            return None
        sizes = self.values[root].dims if sizes is None else sizes
        return None if sizes is None else Shifted(found, root, sizes)

    def flat(self, shifted: Shifted) -> str:
        """A zero point for all, or a vector of them."""
        if self.values[shifted.zero].dims == shifted.sizes:
            return shifted.zero
        made = self.graph.fresh(f"{shifted.zero}/zero")
        shape = self.graph.constant(np.array(shifted.sizes[:1], np.int64))
        self.graph.node("Reshape", [shifted.zero, shape], [made])
        return made

    def narrow(self, name: str, wide: int) -> str | None:
        """The integers of eight bits that a wider value is."""
        node = self.makers.get(name)
        if node is None or not _casts(node, wide):
            return None
        known = self.values.get(node.input[0])
        return node.input[0] if known and known.kind and known.kind.name in BYTES else None


def _casts(node: onnx.NodeProto, to: int) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == to for a in node.attribute)


def _every(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _every(attribute.g.node)
