"""Types and shapes of every value, and the integers among them that are known on the host.

One walk over the graph. The standard's own inference (`onnx.shape_inference`) says what a node gives,
node by node; where a shape is itself computed in the graph (Reshape, Expand ...) the host values of
`converters.graph.hosts` say it, so that a rank is never lost behind shape arithmetic.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto, TypeProto, defs, helper, numpy_helper, shape_inference

from converters.dtypes import BY_ONNX, element_type
from converters.errors import UnsafeInput
from converters.graph.control import (
    LOOPS,
    OPEN,
    Collected,
    Items,
    Loop,
    become,
    branches_of,
    inner_shape,
    join,
    loop_of,
    set_inner_shape,
)
from converters.graph.hosts import Expr, Host, Item, host_of, host_value
from converters.graph.model import Dim, Graph, Node, Value, every_graph, subgraphs

# The newest opset that the installed package knows whole; `upgrade` brings nodes into its forms.
OPSET = 21
# Larger constants are weights: no inference rule reads them.
LARGEST_DATA = 1 << 10
# Operators of other domains (and our own) whose first output is like their first input.
LIKE_FIRST_INPUT = {
    "GroupNormalization", "MeanVarianceNormalization", "RoundedLog", "Bounded", "Softmax@1", "LogSoftmax@1", "Hardmax@1",
    "Silu", "ScaledDotProductAttention", "GroupNormalization@18", "com.microsoft::Inverse", "PRelu@6", "Add@6",
    "Sub@6", "Mul@6", "Div@6", "Pow@6", "And@6", "Or@6", "Xor@6",
}  # fmt: skip


# The standard gives these a function body and no inference of their own.
LIKE_OPERATOR = {"GreaterOrEqual": "Greater", "LessOrEqual": "Less"}


def infer(graph: Graph) -> dict[Value, Host]:
    """Fill in missing types and shapes, in place, in sub-graphs too.

    Returns:
        Every computed value that is known on the host.

    Raises:
        UnsafeInput: A body does not fit its node, or gives other types than the node around it asks for.
    """
    values = [v for inner in every_graph(graph) for v in _values(inner)]
    taken = {dim.rstrip(OPEN) for v in values for dim in _dims(v) if isinstance(dim, str)}
    walk = _Walk(f"?{k}" for k in count() if f"?{k}" not in taken)
    walk.graph(graph, set())
    return walk.known


class _Walk:
    """One walk over a graph and its sub-graphs.

    `visible` are the names of sizes that mean something where a graph stands.
    """

    def __init__(self, fresh: Iterator[str]) -> None:
        self.fresh = fresh
        self.known: dict[Value, Host] = {}

    def graph(self, graph: Graph, visible: set[Dim]) -> None:
        for value in graph.inputs:
            self.name_unknown(value)
            visible.update(_dims(value))
        for node in graph.nodes:
            if node.key == "If":
                self.choice(node, visible)
            elif node.key in LOOPS:
                self.loop(node, visible)
            else:
                self.node(node)
            for out in node.outputs:
                if out is not None:
                    self.name_unknown(out)
                    visible.update(_dims(out))

    def node(self, node: Node) -> None:
        if node.key in BOXES:
            BOXES[node.key](node)
        elif node.inputs and node.inputs[0] is not None and node.inputs[0].kind in BOXED:
            become(node.output, node.inputs[0])
        elif any(v is not None and not _is_inferred(v) for v in node.outputs):
            _infer_node(node, self.known)
            # What a file states holds where nothing before it has a rank that varies.
            settled = all(v is None or v.rank is not None for v in node.inputs)
            for out in node.outputs:
                if out is not None:
                    if out.shape is None and out.said_rank is not None and settled:
                        out.shape = (None,) * out.said_rank
                    self.name_unknown(out)
        host = host_value(node, self.known)
        if host is not None:
            self.known[node.output] = host

    def name_unknown(self, value: Value) -> None:
        """Give unknown sizes names of their own (`?7`), so that equal ones are recognised later on."""
        if value.shape is not None:
            value.shape = tuple(next(self.fresh) if dim is None else dim for dim in value.shape)

    def choice(self, node: Node, visible: set[Dim]) -> None:
        """An output has the type that holds in both branches."""
        branches = branches_of(node)
        for branch in branches:
            self.graph(branch, set(visible))
        for out, one, two in zip(
            node.outputs, branches[0].outputs, branches[1].outputs, strict=True
        ):
            if out is not None:
                found = Value(out.name)
                become(found, one)
                join(found, two)
                self.settle(out, found, visible)

    def loop(self, node: Node, visible: set[Dim]) -> None:
        """What is carried has a type that holds in every round.

        That of the first round is tried; what the body gives back may then ask for a wider one. Types are
        only ever widened, also from one walk to the next, so that this comes to an end.
        """
        loop = loop_of(node)
        for carried in loop.carried:
            known = inner_shape(carried.inner) is not None or carried.inner.bare
            if known or carried.inner.varies:
                join(carried.inner, carried.initial, self.fresh)
            else:
                become(carried.inner, carried.initial)
        for items in loop.items:
            _take_item(items)
        if loop.index is not None:
            loop.index.kind, loop.index.dtype, loop.index.shape = "index", np.dtype(np.int64), ()
            self.known[loop.index] = Host((Expr("value", (loop.index,)),), scalar=True)
        if loop.condition_in is not None:
            loop.condition_in.dtype = np.dtype(bool)
        while True:
            self.graph(loop.body, set(visible))
            types = [_type_of(carried.inner) for carried in loop.carried]
            for carried in loop.carried:
                join(carried.inner, carried.result, self.fresh)
            if types == [_type_of(carried.inner) for carried in loop.carried]:
                break
            _forget(loop.body, self.known)
        for carried in loop.carried:
            if carried.output is not None:
                self.settle(carried.output, carried.inner, visible)
        for collected in loop.collected:
            if collected.output is not None:
                found = Value("", collected.result.dtype)
                _collect(found, collected, loop)
                self.settle(collected.output, found, visible)

    def settle(self, out: Value, found: Value, visible: set[Dim]) -> None:
        """Give an output what was found of it, but for sizes that only mean something further in."""
        shape = inner_shape(found)
        if shape is not None:
            shape = tuple(d if isinstance(d, int) or d in visible else None for d in shape)
        out.dtype, out.kind, out.bare, out.varies = (
            out.dtype or found.dtype,
            found.kind,
            found.bare,
            found.varies,
        )
        set_inner_shape(out, _merged(inner_shape(out), shape))


def _type_of(value: Value) -> tuple[object, ...]:
    return value.kind, value.shape, value.held, value.bare, value.varies


def _forget(body: Graph, known: dict[Value, Host]) -> None:
    """Forget what was inferred in a body, to infer it again from wider types of its inputs."""
    for graph in every_graph(body):
        for value in (v for node in graph.nodes for v in node.outputs if v is not None):
            if value.const is None:
                value.shape = value.held = None
            known.pop(value, None)


def _take_item(items: Items) -> None:
    source, inner = items.source, items.inner
    if source.kind == "sequence":
        inner.dtype, inner.shape = inner.dtype or source.dtype, inner.shape or source.held
    elif source.shape is not None and inner.shape is None:
        if not -len(source.shape) <= items.axis < len(source.shape):
            raise UnsafeInput(f"{source.name!r} has no axis {items.axis}")
        axis = items.axis % len(source.shape)
        inner.shape = source.shape[:axis] + source.shape[axis + 1 :]
        inner.dtype = inner.dtype or source.dtype


def _collect(found: Value, collected: Collected, loop: Loop) -> None:
    """The type of what every round gives an item for."""
    result = collected.result
    if not loop.stacked:
        found.kind, found.held = "sequence", result.shape
    elif result.shape is not None:
        axis = collected.axis % (len(result.shape) + 1)
        rounds: Dim = loop.static_trips
        if rounds is None and loop.items:
            first = loop.items[0]
            rounds = first.source.shape[first.axis] if first.source.shape is not None else None
        found.shape = (*result.shape[:axis], rounds, *result.shape[axis:])


def _is_inferred(value: Value) -> bool:
    return value.dtype is not None and value.shape is not None and None not in value.shape


def _values(graph: Graph) -> Iterator[Value]:
    yield from graph.inputs
    for node in graph.nodes:
        yield from (value for value in node.outputs if value is not None)


def _dims(value: Value) -> tuple[Dim, ...]:
    return inner_shape(value) or ()


def _infer_node(node: Node, known: dict[Value, Host]) -> None:
    for value, (dtype, shape) in zip(node.outputs, _standard(node, known), strict=False):
        if value is not None:
            value.dtype = value.dtype or dtype
            value.shape = _merged(value.shape, shape)
    x = node.inputs[0] if node.inputs else None
    if node.key in LIKE_FIRST_INPUT and x is not None:
        node.output.dtype = node.output.dtype or x.dtype
        node.output.shape = _merged(node.output.shape, x.shape)
    rule = SHAPES.get(node.key)
    if rule is not None:
        node.output.shape = _merged(node.output.shape, rule(node, known))


def _merged(a: tuple[Dim, ...] | None, b: tuple[Dim, ...] | None) -> tuple[Dim, ...] | None:
    """The more that two shapes of one value say together, what is said and what is inferred.

    A size, else a name that comes from an input by inference, else the name that is said.
    """
    if a is None or b is None or len(a) != len(b):
        return b if a is None else a
    return tuple(_more(x, y) for x, y in zip(a, b, strict=True))


def _more(said: Dim, inferred: Dim) -> Dim:
    size = next((dim for dim in (said, inferred) if isinstance(dim, int)), None)
    if size is not None:
        return size
    if said is None or (inferred is not None and not str(inferred).startswith("?")):
        return inferred
    return said


Typed: TypeAlias = "tuple[np.dtype[Any] | None, tuple[Dim, ...] | None]"


def forget_made_up(graph: Graph) -> None:
    """Forget sizes that have a name of inference's own, in place, to infer them again now that more is known."""
    for inner in every_graph(graph):
        for value in (v for node in inner.nodes for v in node.outputs if v is not None):
            shape = tuple(None if str(dim).startswith("?") else dim for dim in _dims(value))
            if shape != _dims(value):
                set_inner_shape(value, shape)


def is_refused(node: Node, known: dict[Value, Host]) -> bool:
    """Whether the standard's inference says that an operator cannot take its inputs, as far as their types are known."""
    try:
        _ask_standard(node, known)
    except shape_inference.InferenceError:
        return True
    except Exception:
        return False
    return False


def _standard(node: Node, known: dict[Value, Host]) -> list[Typed]:
    """What the standard's inference says of each output; nothing where it refuses."""
    try:
        return _ask_standard(node, known)
    except Exception:
        return []


def _ask_standard(node: Node, known: dict[Value, Host]) -> list[Typed]:
    """The standard's inference of one node.

    Raises:
        Exception: It refuses, or the node cannot be written for it.
    """
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
        if value.dtype is None:
            return []
        types[name] = _type(value)
        numbers = _data(value, known)
        # Types of ml_dtypes never are shapes, and `onnx` cannot write them.
        if numbers is not None and numbers.dtype.isbuiltin == 1 and numbers.dtype.kind != "O":
            data[name] = numpy_helper.from_array(numbers)
    attributes = {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in node.attributes.items()
    }
    found = shape_inference.infer_node_outputs(
        schema,
        helper.make_node(key, inputs, outputs, **attributes),
        types,
        data,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
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
    text = value.dtype.kind == "O"
    number = TensorProto.STRING if text else element_type(value.dtype).onnx
    return helper.make_tensor_type_proto(number, shape)


def _read(proto: TypeProto) -> Typed:
    tensor = proto.tensor_type
    known = BY_ONNX.get(tensor.elem_type)
    dtype = known.numpy if known is not None else None
    if tensor.elem_type == TensorProto.STRING:
        dtype = np.dtype(object)
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
    if target is None or x is None:
        return target
    source = () if node.attributes.get("allowzero", 0) else x.shape or ()
    shape = tuple(
        (source[axis] if axis < len(source) else None) if size == 0 and source else size
        for axis, size in enumerate(target)
    )
    host = known.get(value) if (value := node.inputs[1]) is not None else None
    items = host.items if host is not None else ()
    if value is not None and value.const is not None:
        items = tuple(value.const.ravel().tolist())
    free = [axis for axis, item in enumerate(items) if not isinstance(item, Expr) and item == -1]
    if x.shape is None or len(free) != 1 or len(items) != len(shape):
        return shape
    rest = _quotient(x.shape, [size for axis, size in enumerate(shape) if axis != free[0]])
    return tuple(rest if axis == free[0] else size for axis, size in enumerate(shape))


def _quotient(source: Sequence[Dim], others: Sequence[Dim]) -> Dim:
    """The size that, times the others, gives as many elements as the source has; None if unknown."""
    if None in source or None in others:
        return None
    names = Counter(dim for dim in source if isinstance(dim, str))
    names.subtract(dim for dim in others if isinstance(dim, str))
    whole = math.prod(dim for dim in source if isinstance(dim, int))
    part = math.prod(dim for dim in others if isinstance(dim, int))
    left = [name for name, count in names.items() if count]
    if part == 0 or whole % part or any(names[name] != 1 for name in left):
        return None
    if not left:
        return whole // part
    return left[0] if len(left) == 1 and whole == part else None


def _expand(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    target, x = _described(node, 1, known), node.inputs[0]
    if target is None or x is None or x.shape is None:
        return None
    rank = max(len(target), len(x.shape))
    wide = (1,) * (rank - len(target)) + target
    own = (1,) * (rank - len(x.shape)) + x.shape
    return tuple(b if a == 1 else a for a, b in zip(wide, own, strict=True))


def _slice(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    """Axes that are not cut keep their size; the standard knows none where an end is computed."""
    x, axes = node.inputs[0], node.inputs[3] if len(node.inputs) > 3 else None
    if x is None or x.shape is None:
        return None
    host = host_of(axes, known) if axes is not None else None
    if host is None or host.static is None:
        return (None,) * len(x.shape)
    if is_whole(node):
        return x.shape
    cut = {int(axis) % len(x.shape) for axis in host.static}
    left = _leading(node, known) if len(cut) == 1 else None
    return tuple(left if axis in cut else size for axis, size in enumerate(x.shape))


def is_whole(node: Node) -> bool:
    """Whether a Slice is `x[0:infinity]`, along any axes."""
    bounds = [None if v is None else v.const for v in (*node.inputs[1:], None, None)]
    start, end, step = bounds[0], bounds[1], bounds[3]
    if start is None or end is None or (len(node.inputs) > 4 and step is None):
        return False
    return (
        not np.any(start)
        and bool(np.all(end >= np.iinfo(np.int32).max))
        and (step is None or bool(np.all(step == 1)))
    )


def _leading(node: Node, known: dict[Value, Host]) -> Dim:
    """The name of what `x[:n]` leaves of an axis of a known size: `n`, but no more than there is."""
    x, axes = node.inputs[0], node.inputs[3]
    start, end, step = (
        None if value is None else host_of(value, known)
        for value in (*node.inputs[1:3], (*node.inputs, None)[4])
    )
    if x is None or x.shape is None or axes is None or start is None or end is None:
        return None
    if start.static != (0,) or (step is not None and step.static != (1,)):
        return None
    axis = host_of(axes, known)
    size = x.shape[int(axis.static[0])] if axis is not None and axis.static else None
    count = end.items[0]
    if not isinstance(count, Expr) or count.op != "dim" or not isinstance(size, int):
        return None
    return None if count.symbol is None else f"?{count.symbol}{AT_MOST}{size}"


AT_MOST = " <= "


def _broadcast(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    """Sizes where the standard sees two names: `n` and `n, but at most 512` only go together as `n`."""
    shapes = [value.shape for value in node.inputs if value is not None]
    ranked = [shape for shape in shapes if shape is not None]
    if len(ranked) != len(shapes) or not ranked:
        return None
    rank = max(map(len, ranked))
    wide = [(1,) * (rank - len(shape)) + shape for shape in ranked]
    return tuple(_together(set(dims) - {1}) for dims in zip(*wide, strict=True))


def _together(dims: set[Dim]) -> Dim:
    named = [dim for dim in dims if isinstance(dim, str) and AT_MOST not in dim]
    if len(named) != 1 or not all(
        dim == named[0] or (isinstance(dim, str) and dim.startswith(f"?{named[0]}{AT_MOST}"))
        for dim in dims
    ):
        return None
    return named[0]


def _range(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    """`Range(0, n, 1)` has as many elements as the dimension that n is."""
    start, end, step = (None if v is None else host_of(v, known) for v in node.inputs)
    if start is None or end is None or step is None:
        return (None,)
    count = end.items[0]
    if start.static != (0,) or step.static != (1,) or not isinstance(count, Expr):
        return (None,)
    return (count.symbol if count.op == "dim" else None,)


def _like_first(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    x = node.inputs[0]
    return None if x is None or x.shape is None else (None,) * len(x.shape)


def _like_weight(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    """A convolution has the rank of its weight."""
    w = node.inputs[1]
    return None if w is None or w.rank is None else (None,) * w.rank


def _recurrent(node: Node, known: dict[Value, Host]) -> tuple[Dim, ...] | None:
    """A recurrent operator gives all steps in four dimensions and the last one in three."""
    for out in node.outputs[1:]:
        if out is not None:
            out.shape = _merged(out.shape, (None,) * 3)
    return (None,) * 4 if node.outputs[0] is not None else (None,) * 3


SHAPES: dict[str, ShapeRule] = {
    "ConstantOfShape": lambda node, known: _described(node, 0, known),
    "Conv": _like_weight,
    "Expand": _expand,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "Pad": _like_first,
    "RNN": _recurrent,
    "Range": _range,
    "Reshape": _reshape,
    "Resize": _like_first,
    "Slice": _slice,
    "Tile": _like_first,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "And", "Or", "Where", "Max", "Min"), _broadcast),
}

# ***** sequences and optionals *****

BOXED = ("sequence", "optional", "optional sequence")


def _sequence_empty(node: Node) -> None:
    out, dtype = node.output, BY_ONNX.get(node.attributes.get("dtype", TensorProto.FLOAT))
    out.kind, out.bare, out.dtype = "sequence", True, dtype.numpy if dtype is not None else None


def _sequence_of(node: Node, tensors: Sequence[Value | None], out: Value) -> None:
    """Make `out` a sequence that holds these too; it may hold others already."""
    for tensor in tensors:
        if tensor is not None:
            join(out, Value(tensor.name, tensor.dtype, kind="sequence", held=tensor.shape))


def _sequence_construct(node: Node) -> None:
    found = Value("", kind="sequence", bare=True)
    _sequence_of(node, node.inputs, found)
    become(node.output, found)


def _sequence_insert(node: Node) -> None:
    found = Value("")
    _become_first(node, found)
    _sequence_of(node, node.inputs[1:2], found)
    become(node.output, found)


def _become_first(node: Node, out: Value | None = None) -> None:
    if node.inputs[0] is not None:
        become(node.output if out is None else out, node.inputs[0])


def _sequence_at(node: Node) -> None:
    sequence, out = node.inputs[0], node.output
    if sequence is not None:
        out.dtype = out.dtype or sequence.dtype
        out.shape = _merged(out.shape, sequence.held)


def _split_to_sequence(node: Node) -> None:
    x, out = node.inputs[0], node.output
    if x is None:
        return
    out.kind, out.dtype = "sequence", x.dtype
    if x.shape is None:
        return
    axis = node.attributes.get("axis", 0) % max(len(x.shape), 1)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        sizes = node.inputs[1].const
        same = sizes is not None and sizes.ndim == 1 and len(set(sizes.tolist())) == 1
        out.held = (*before, int(sizes[0]) if same and sizes is not None else None, *after)
    else:
        out.held = (*before, *((1,) if node.attributes.get("keepdims", 1) else ()), *after)


def _concat_from_sequence(node: Node) -> None:
    sequence, out = node.inputs[0], node.output
    if sequence is None:
        return
    out.dtype = out.dtype or sequence.dtype
    if sequence.held is None:
        return
    axis, rank = node.attributes.get("axis", 0), len(sequence.held)
    if node.attributes.get("new_axis", 0):
        axis %= rank + 1
        shape = (*sequence.held[:axis], None, *sequence.held[axis:])
    else:
        axis %= max(rank, 1)
        shape = (*sequence.held[:axis], None, *sequence.held[axis + 1 :])
    out.shape = _merged(out.shape, shape)


def _optional(node: Node) -> None:
    x, out = node.inputs[0] if node.inputs else node.attributes.get("type"), node.output
    if x is None:
        raise UnsafeInput(f"{node.name}: an Optional of nothing that says no type")
    become(out, x)
    out.held, out.shape = inner_shape(x), None
    out.kind = "optional sequence" if "sequence" in x.kind else "optional"
    out.bare = not node.inputs


def _optional_get(node: Node) -> None:
    x, out = node.inputs[0], node.output
    if x is None:
        raise UnsafeInput(f"{node.name}: OptionalGetElement of nothing")
    out.kind = "sequence" if "sequence" in x.kind else "tensor"
    out.dtype = out.dtype or x.dtype
    set_inner_shape(out, _merged(inner_shape(out), inner_shape(x)))


def _scalar(dtype: type[Any]) -> Callable[[Node], None]:
    def rule(node: Node) -> None:
        node.output.dtype, node.output.shape = np.dtype(dtype), ()

    return rule


BOXES: dict[str, Callable[[Node], None]] = {
    "ConcatFromSequence": _concat_from_sequence,
    "Optional": _optional,
    "OptionalGetElement": _optional_get,
    "OptionalHasElement": _scalar(np.bool_),
    "SequenceAt": _sequence_at,
    "SequenceConstruct": _sequence_construct,
    "SequenceEmpty": _sequence_empty,
    "SequenceErase": _become_first,
    "SequenceInsert": _sequence_insert,
    "SequenceLength": _scalar(np.int64),
    "SplitToSequence": _split_to_sequence,
}
