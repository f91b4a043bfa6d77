"""Types and shapes of every value, and the integers among them that are known on the host.

One walk over the graph. The standard's own inference (`onnx.shape_inference`) says what a node gives,
node by node; where a shape is itself computed in the graph (Reshape, Expand ...) the host values of
`converters.graph.hosts` say it, so that a rank is never lost behind shape arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from onnx import TypeProto, defs, helper, numpy_helper, shape_inference

from converters.dtypes import BY_ONNX, element_type
from converters.graph.hosts import Expr, Host, Item, host_of, host_value
from converters.graph.model import Dim, Graph, Node, Value, subgraphs

# The newest opset that the installed package knows whole; `upgrade` brings nodes into its forms.
OPSET = 21
# Larger constants are weights: no inference rule reads them.
LARGEST_DATA = 1 << 10
# Operators of other domains (and our own) whose first output is like their first input.
LIKE_FIRST_INPUT = {
    "GroupNormalization", "MeanVarianceNormalization", "Softmax@1", "LogSoftmax@1", "Hardmax@1", "Silu",
    "ScaledDotProductAttention", "GroupNormalization@18", "com.microsoft::Inverse", "PRelu@6", "Add@6",
    "Sub@6", "Mul@6", "Div@6", "Pow@6", "And@6", "Or@6", "Xor@6",
}  # fmt: skip


# The standard gives these a function body and no inference of their own.
LIKE_OPERATOR = {"GreaterOrEqual": "Greater", "LessOrEqual": "Less"}


def infer(graph: Graph, outer: dict[Value, Host] | None = None) -> dict[Value, Host]:
    """Fill in missing types and shapes, in place.

    Returns:
        Every computed value that is known on the host.
    """
    known: dict[Value, Host] = dict(outer or {})
    taken = {
        d for v in _values(graph) for d in v.shape or () if isinstance(d, str) and d.startswith("?")
    }
    fresh = (f"?{k}" for k in count() if f"?{k}" not in taken)
    for value in graph.inputs:
        _name_unknown(value, fresh)
    for node in graph.nodes:
        for inner in subgraphs(node):
            infer(inner, known)
        if any(v is not None and not _is_inferred(v) for v in node.outputs):
            _infer_node(node, known)
            for out in node.outputs:
                if out is not None:
                    _name_unknown(out, fresh)
        host = host_value(node, known)
        if host is not None:
            known[node.output] = host
    return known


def _is_inferred(value: Value) -> bool:
    return value.dtype is not None and value.shape is not None and None not in value.shape


def _values(graph: Graph) -> Iterator[Value]:
    yield from graph.inputs
    for node in graph.nodes:
        yield from (value for value in node.outputs if value is not None)


def _name_unknown(value: Value, fresh: Iterator[str]) -> None:
    """Give unknown sizes names of their own (`?7`), so that equal ones are recognised later on."""
    if value.shape is not None:
        value.shape = tuple(next(fresh) if dim is None else dim for dim in value.shape)


def _infer_node(node: Node, known: dict[Value, Host]) -> None:
    for value, (dtype, shape) in zip(node.outputs, _standard(node, known), strict=False):
        if value is not None:
            value.dtype = value.dtype or dtype
            value.shape = _merged(value.shape, shape)
    x = node.inputs[0] if node.inputs else None
    if node.key in LIKE_FIRST_INPUT and x is not None:
        node.output.dtype = node.output.dtype or x.dtype
        node.output.shape = _merged(node.output.shape, x.shape)
    branches = list(subgraphs(node)) if node.key == "If" else []
    for branch in branches[:1]:
        for value, inner in zip(node.outputs, branch.outputs, strict=True):
            if value is not None:
                same = all(
                    b.outputs[node.outputs.index(value)].rank == inner.rank for b in branches
                )
                value.dtype = value.dtype or inner.dtype
                if value.shape is None and inner.rank is not None and same:
                    value.shape = (None,) * inner.rank
    rule = SHAPES.get(node.key)
    if rule is not None:
        node.output.shape = _merged(node.output.shape, rule(node, known))


def _merged(a: tuple[Dim, ...] | None, b: tuple[Dim, ...] | None) -> tuple[Dim, ...] | None:
    """The more that two shapes of one value say together: a size, else a name, else nothing."""
    if a is None or b is None or len(a) != len(b):
        return b if a is None else a
    return tuple(
        next((d for d in (x, y) if isinstance(d, int)), x if x is not None else y)
        for x, y in zip(a, b, strict=True)
    )


Typed: TypeAlias = "tuple[np.dtype[Any] | None, tuple[Dim, ...] | None]"


def _standard(node: Node, known: dict[Value, Host]) -> list[Typed]:
    """What the standard's inference says of each output."""
    if "::" in node.key or "@" in node.key or any(True for _ in subgraphs(node)):
        return []
    try:
        key = LIKE_OPERATOR.get(node.key, node.key)
        schema = defs.get_schema(key, OPSET)
    except defs.SchemaError:
        return []
    inputs = [f"i{k}" if value is not None else "" for k, value in enumerate(node.inputs)]
    outputs = [f"o{k}" if value is not None else "" for k, value in enumerate(node.outputs)]
    types, data = {}, {}
    for name, value in zip(inputs, node.inputs, strict=True):
        if value is None:
            continue
        if value.dtype is None or value.dtype.kind == "O":
            return []
        types[name] = _type(value)
        numbers = _data(value, known)
        # Types of ml_dtypes never are shapes, and `onnx` cannot write them.
        if numbers is not None and numbers.dtype.isbuiltin == 1:
            data[name] = numpy_helper.from_array(numbers)
    attributes = {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in node.attributes.items()
    }
    try:
        found = shape_inference.infer_node_outputs(
            schema,
            helper.make_node(key, inputs, outputs, **attributes),
            types,
            data,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
    except Exception:
        return []
    return [_read(found[name]) if name in found else (None, None) for name in outputs]


def _data(value: Value, known: dict[Value, Host]) -> Any:
    if value.const is not None:
        return value.const if value.const.size <= LARGEST_DATA else None
    host = known.get(value)
    if host is None or host.static is None:
        return None
    return np.asarray(host.static[0] if host.scalar else host.static, value.dtype)


def _type(value: Value) -> TypeProto:
    shape = None
    if value.shape is not None:
        shape = [dim if isinstance(dim, int | str) else None for dim in value.shape]
    assert value.dtype is not None  # noqa: S101 - the caller has looked
    return helper.make_tensor_type_proto(element_type(value.dtype).onnx, shape)


def _read(proto: TypeProto) -> Typed:
    tensor = proto.tensor_type
    known = BY_ONNX.get(tensor.elem_type)
    dtype = known.numpy if known is not None else None
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in tensor.shape.dim
    )


ShapeRule: TypeAlias = Callable[[Node, dict[Value, Host]], "tuple[Dim, ...] | None"]


def _size(item: Item) -> Dim:
    if isinstance(item, Expr):
        return item.symbol
    return int(item) if item >= 0 else None


def _described(node: Node, position: int, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    """The shape that an input holds; its length alone where no more is known."""
    value = node.inputs[position] if len(node.inputs) > position else None
    if value is None:
        return None
    host = host_of(value, known)
    if host is not None:
        return tuple(_size(item) for item in host.items)
    if value.shape is not None and len(value.shape) == 1 and isinstance(value.shape[0], int):
        return (None,) * value.shape[0]
    return None


def _reshape(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    target, x = _described(node, 1, known), node.inputs[0]
    if target is None or x is None or node.attributes.get("allowzero", 0):
        return target
    source = x.shape or ()
    return tuple(
        (source[axis] if axis < len(source) else None) if size == 0 else size
        for axis, size in enumerate(target)
    )


def _expand(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    target, x = _described(node, 1, known), node.inputs[0]
    if target is None or x is None or x.shape is None:
        return None
    rank = max(len(target), len(x.shape))
    wide = (1,) * (rank - len(target)) + target
    own = (1,) * (rank - len(x.shape)) + x.shape
    return tuple(b if a == 1 else a for a, b in zip(wide, own, strict=True))


def _like_first(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    x = node.inputs[0]
    return None if x is None or x.shape is None else (None,) * len(x.shape)


SHAPES: dict[str, ShapeRule] = {
    "ConstantOfShape": lambda node, known: _described(node, 0, known),
    "Expand": _expand,
    "Pad": _like_first,
    "Range": lambda node, known: (None,),
    "Reshape": _reshape,
    "Resize": _like_first,
    "Slice": _like_first,
    "Tile": _like_first,
}
