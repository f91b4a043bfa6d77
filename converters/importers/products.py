"""Products of integers that a framework computes in floats -> the standard's operators for them, exactly the same numbers.

PyTorch has no convolution of eight-bit integers, so that programs take away the zero points and multiply as float64, in
which such sums are exact. ONNX Runtime in turn has no convolution of float64, but has ConvInteger.

Before: `Conv(Cast(x) - Cast(x_zero), Cast(w) - Cast(w_zero))`. After: `Cast(ConvInteger(x, w, x_zero, w_zero))`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from converters.importers.renaming import every_graph

INTEGER_FORMS: Mapping[str, str] = {"Conv": "ConvInteger", "MatMul": "MatMulInteger"}
CODES = (TensorProto.UINT8, TensorProto.INT8)
# As many products of two bytes fit into the 32 bits that the standard adds them up in.
MOST_PRODUCTS = (2**31 - 1) // 255**2


def use_integers(path: Path) -> None:
    """Rewrite an ONNX file that has such products; any other stays as it is."""
    model = onnx.load(path, load_external_data=False)
    made = {
        name: node
        for graph in every_graph(model.graph)
        for node in graph.node
        for name in node.output
    }
    weights = {t.name: t for graph in every_graph(model.graph) for t in graph.initializer}
    # Equal weights are one, with the others made of it.
    weights |= {
        name: weights[node.input[0]]
        for name, node in made.items()
        if node.op_type == "Identity" and node.input[0] in weights
    }
    summed: dict[str, str] = {}
    for graph in every_graph(model.graph):
        nodes: list[NodeProto] = []
        for node in graph.node:
            found = _replaced(node, made, weights)
            nodes += found or [node]
            summed |= {part.output[0]: part.input[0] for part in found if part.op_type == "Cast"}
        del graph.node[:]
        graph.node.extend(nodes)
    if not summed:
        return
    for node in (node for graph in every_graph(model.graph) for node in graph.node):
        if (
            node.op_type == "Cast"
            and node.input[0] in summed
            and _target(node) == TensorProto.INT32
        ):
            # Back to what they were.
            node.input[0] = summed[node.input[0]]
            node.op_type = "Identity"
            del node.attribute[:]
    onnx.save(model, path)


def _replaced(
    node: NodeProto, made: Mapping[str, NodeProto], weights: Mapping[str, TensorProto]
) -> list[NodeProto]:
    """The nodes in place of a product of integers; none for anything else."""
    if node.op_type not in INTEGER_FORMS:
        return []
    x, w = (_centered(name, made, weights) for name in node.input[:2])
    if x is None or w is None or w[0] not in weights:
        return []
    dims = weights[w[0]].dims
    products = math.prod(dims[1:]) if node.op_type == "Conv" else dims[-2] if len(dims) > 1 else 0
    zeros = weights.get(w[1])
    if not 0 < products <= MOST_PRODUCTS or (
        w[1] and (zeros is None or math.prod(zeros.dims) != 1)
    ):
        return []
    (name,) = node.output
    biased = len(node.input) > 2 and not _is_zero(node.input[2], weights)
    sums, product, axes = f"{name}.sums", f"{name}.product", f"{name}.axes"
    integer = helper.make_node(
        INTEGER_FORMS[node.op_type], [x[0], w[0], x[1], w[1]], [sums], name=node.name
    )
    integer.attribute.extend(node.attribute)
    integer.metadata_props.extend(node.metadata_props)
    cast = helper.make_node("Cast", [sums], [product if biased else name], to=TensorProto.DOUBLE)
    if not biased:
        return [integer, cast]
    return [
        integer,
        cast,
        helper.make_node("Constant", [], [axes], value_ints=[*range(1, len(dims) - 1)]),
        helper.make_node("Unsqueeze", [node.input[2], axes], [f"{name}.bias"]),
        helper.make_node("Add", [product, f"{name}.bias"], [name]),
    ]


def _is_zero(name: str, weights: Mapping[str, TensorProto]) -> bool:
    """Whether a bias is none, or one of zeros, which torch's exporter writes where there is none."""
    known = weights.get(name)
    if known is None or known.data_location == TensorProto.EXTERNAL:
        return not name
    return not numpy_helper.to_array(known).any()


def _centered(
    name: str, made: Mapping[str, NodeProto], weights: Mapping[str, TensorProto]
) -> tuple[str, str] | None:
    """Codes and their zero point, or none, of what is their difference in float64."""
    node = made.get(name)
    if node is None or node.op_type != "Sub":
        codes = _widened(name, made, weights)
        return None if codes is None else (codes, "")
    codes, zero = (_widened(part, made, weights) for part in node.input)
    return None if codes is None or zero is None else (codes, zero)


def _widened(
    name: str, made: Mapping[str, NodeProto], weights: Mapping[str, TensorProto]
) -> str | None:
    """The bytes that a value is in float64."""
    node = made.get(name)
    if node is None or node.op_type != "Cast" or _target(node) != TensorProto.DOUBLE:
        return None
    (codes,) = node.input
    source = made.get(codes)
    if codes in weights:
        kind = weights[codes].data_type
    else:
        kind = _target(source) if source is not None and source.op_type == "Cast" else 0
    return codes if kind in CODES else None


def _target(node: NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "to"), 0)
