"""Smaller graphs that compute the same: each rule with its before and after.

like        CastLike a value of known type     -> Cast to it
fold        every input known                 -> the result, known
identity    Identity, Dropout, Cast to its own type, Mul by 1, Transpose to the same order ... -> gone
branch      If with a known condition         -> the branch taken
carried     what no round of a loop changes   -> read from outside
counted     a loop that counts up to a number -> so many rounds, numbered
host        Shape arithmetic on known sizes   -> the numbers, known
filled      Expand of one number              -> ConstantOfShape
dead        nodes and outputs that nothing reads -> gone
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from converters.dtypes import element_type
from converters.graph.control import CONTROL, LOOPS, branches_of, loop_of
from converters.graph.infer import forget_made_up, infer, is_whole
from converters.graph.load import MADE_UP
from converters.graph.model import (
    Array,
    Graph,
    Node,
    Value,
    constant,
    every_graph,
    node_reads,
    subgraphs,
)

# A folded result may not be larger than this or than what it is made from (elements).
LARGEST_FOLD = 1 << 16
# Folding these would hide that they differ at each run, or would turn weights into other weights.
NEVER_FOLD = {
    "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial",
    "Bernoulli", "Dropout", *CONTROL,
}  # fmt: skip
# Operators whose result can be far larger than their inputs: the size is worked out first.
GROWING: dict[str, Callable[[list[Array]], float]] = {
    "ConstantOfShape": lambda a: _count(a[0]),
    "Expand": lambda a: a[0].size * _count(a[1]),
    "Range": lambda a: abs(float(a[1]) - float(a[0])) / max(abs(float(a[2])), 1e-30),
    "Tile": lambda a: a[0].size * _count(a[1]),
    "OneHot": lambda a: a[0].size * abs(float(a[1].ravel()[0])),
    "Pad": lambda a: math.inf,
    "Resize": lambda a: math.inf,
    "MatMul": lambda a: math.inf,
    "Conv": lambda a: math.inf,
    "Gemm": lambda a: math.inf,
}


def simplify(graph: Graph) -> None:
    """Apply every rule until nothing changes, in place, in sub-graphs too."""
    before = None
    while before != (before := _size(graph)):
        taken = [_take_known_branches(inner) for inner in list(every_graph(graph))]
        if any(taken):
            # Less is known of two branches than of the one that is taken.
            forget_made_up(graph)
        for inner in list(every_graph(graph)):
            _name_types(inner)
            _fold(inner)
            _drop_identities(inner)
            for node in inner.nodes:
                if node.key == "If":
                    _narrow_choice(node)
                elif node.key in LOOPS:
                    _narrow_loop(node, inner)
                    _count_rounds(node, inner)
                elif node.key == "Concat":
                    _drop_empty_parts(node)
            _fill_expanded(inner)
        _number_known_sizes(graph)
        _drop_dead(graph)


def _size(graph: Graph) -> tuple[int, ...]:
    """What shrinks or grows as long as a rule applies."""
    nodes = [node for inner in every_graph(graph) for node in inner.nodes]
    known = sum(v.const is not None for node in nodes for v in node.inputs if v)
    # Nothing is folded before its type is known, which a walk over what is left finds out.
    typed = sum(v.dtype is not None for node in nodes for v in node.outputs if v)
    ways = [v for node in nodes if node.key in CONTROL for v in (*node.inputs, *node.outputs)]
    return len(nodes), known, typed, sum(value is not None for value in ways)


def _count(shape: Array) -> float:
    return math.prod(float(abs(int(size))) for size in shape.ravel())


def _name_types(graph: Graph) -> None:
    for node in graph.nodes:
        like = node.inputs[1] if node.key == "CastLike" else None
        if like is not None and _is_plain(like.dtype):
            assert like.dtype is not None  # noqa: S101 - what is plain is known
            node.key, node.inputs = "Cast", node.inputs[:1]
            node.attributes["to"] = element_type(like.dtype).onnx


def _fold(graph: Graph) -> None:
    graph.nodes = [node for node in graph.nodes if not _folded(node, graph.opset)]


def _folded(node: Node, opset: int) -> bool:
    # The reference implementation computes in the types that numpy has.
    if not all(v is None or _is_plain(v.dtype) for v in node.outputs):
        return False
    if node.key in NEVER_FOLD or "::" in node.key or "@" in node.key:
        return False
    if node.key == "Identity" and not _is_twin(node):
        # It goes without a copy of what it gives on.
        return False
    inputs = [None if value is None else value.const for value in node.inputs]
    if any(v is not None and v.const is None for v in node.inputs) or not any(
        data is not None for data in inputs
    ):
        return False
    arrays = [data for data in inputs if data is not None]
    if not all(_is_plain(data.dtype) for data in arrays):
        return False
    size = sum(data.size for data in arrays)
    limit = max(LARGEST_FOLD, size)
    if node.key in GROWING and not GROWING[node.key](arrays) <= LARGEST_FOLD:
        return False
    if any(v.trainable for v in node.inputs if v is not None) and node.key not in (
        "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity",
    ):  # fmt: skip
        return False
    results = evaluate(node, inputs, opset)
    if results is None or any(result.size > limit for result in results):
        return False
    for value, result in zip(node.outputs, results, strict=False):
        if value is not None:
            value.const, value.dtype, value.shape = result, result.dtype, tuple(result.shape)
            source = next((v for v in node.inputs if v is not None and v.trainable), None)
            if source is not None and result.dtype.kind in "fV":
                value.trainable = True
                if node.key != "Identity":
                    value.name = source.name
    return True


def _is_twin(node: Node) -> bool:
    """Whether this is a parameter of its own: torch's exporter writes equal ones once, and Identity for others."""
    source, out = node.inputs[0], node.output
    if source is None or not source.trainable or MADE_UP.search(out.name):
        return False
    # Beside `encoder.weight`, `assign_36` names a step of the computation.
    return "." in out.name or "." not in source.name


def _is_plain(dtype: np.dtype[Any] | None) -> bool:
    """Whether numpy itself computes in an element type; ml_dtypes calls one of its own a float too."""
    return dtype is not None and dtype.kind in "fiub" and dtype.isbuiltin == 1


def evaluate(node: Node, inputs: list[Array | None], opset: int) -> list[Array] | None:
    """Run one node in the standard's reference implementation; None where that cannot."""
    names = [f"i{k}" if data is not None else "" for k, data in enumerate(inputs)]
    outputs = [f"o{k}" if value is not None else "" for k, value in enumerate(node.outputs)]
    try:
        proto = helper.make_node(
            node.key, names, outputs, **{k: _attribute(v) for k, v in node.attributes.items()}
        )
        feeds = {n: data for n, data in zip(names, inputs, strict=True) if data is not None}
        graph = helper.make_graph(
            [proto],
            "fold",
            [
                helper.make_tensor_value_info(
                    n, helper.np_dtype_to_tensor_dtype(data.dtype), data.shape
                )
                for n, data in feeds.items()
            ],
            [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in outputs if n],
        )
        # `upgrade` has brought the node into the newest form.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
        results = ReferenceEvaluator(model).run(None, feeds)
    except Exception:
        return None
    if not all(isinstance(result, np.ndarray | np.generic) for result in results):
        return None
    arrays = iter(np.asarray(result) for result in results)
    return [next(arrays) if name else np.zeros(0) for name in outputs]


def _attribute(value: Any) -> Any:
    return numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value


def _drop_identities(graph: Graph) -> None:
    kept = []
    for node in graph.nodes:
        source = _same_as(node)
        if source is None or (source.dtype != node.output.dtype and node.output.dtype is not None):
            kept.append(node)
            continue
        if source.shape is None:
            source.shape = node.output.shape
        graph.replace(node.output, source)
    graph.nodes = kept


def _same_as(node: Node) -> Value | None:
    """The input that a node's only used output is equal to, if it is."""
    x = node.inputs[0] if node.inputs else None
    if x is None or any(value is not None for value in node.outputs[1:]):
        return None
    if node.key == "Identity":
        return x
    if node.key == "Dropout" and not _is_true(node.inputs[2:3]):
        return x
    # numpy takes None for float64, also in comparisons.
    if node.key == "Cast" and None not in (kinds := [_kind(x), _kind(node.output)]):
        return x if kinds[0] == kinds[1] else None
    if node.key == "Transpose" and x.rank is not None:
        order = node.attributes.get("perm") or list(reversed(range(x.rank)))
        return x if order == list(range(x.rank)) else None
    if node.key in ("Concat", "Sum", "Max", "Min", "Mean") and len(node.inputs) == 1:
        return x
    if node.key == "Slice" and is_whole(node):
        return x
    if node.key in NEUTRAL:
        return _neutral(node)
    return None


def _kind(value: Value) -> str | None:
    return None if value.dtype is None else value.dtype.name


def _is_true(values: list[Value | None]) -> bool:
    return any(value is not None and (value.const is None or bool(value.const)) for value in values)


NEUTRAL = {"Mul": 1, "Div": 1, "Add": 0, "Sub": 0, "Pow": 1, "And": True, "Or": False}


def _neutral(node: Node) -> Value | None:
    """`x * 1`, `x + 0` ...: x, where the constant does not broadcast x to another shape."""
    a, b = node.inputs[:2]
    pairs = [(a, b)] if node.key in ("Div", "Sub", "Pow") else [(a, b), (b, a)]
    for x, other in pairs:
        if x is None or other is None or other.const is None or other.trainable:
            continue
        if x.const is None and other.const.size and _keeps_shape(x, other.const.shape):
            if np.all(other.const == NEUTRAL[node.key]) and _kind(x) == _kind(other):
                return x
    return None


def _keeps_shape(x: Value, shape: tuple[int, ...]) -> bool:
    """Whether a value broadcast against a shape is of its own shape still."""
    if not shape:
        return True
    if x.shape is None or len(shape) > len(x.shape):
        return False
    behind = x.shape[len(x.shape) - len(shape) :]
    return all(size in (1, own) for size, own in zip(shape, behind, strict=True))


def _take_known_branches(graph: Graph) -> bool:
    """Write known branches where their If was; whether there were any."""
    nodes: list[Node] = []
    taken = False
    for node in graph.nodes:
        condition = node.inputs[0] if node.key == "If" else None
        if condition is None or condition.const is None or condition.const.size != 1:
            nodes.append(node)
            continue
        taken = True
        branch = branches_of(node)[0 if bool(condition.const.ravel()[0]) else 1]
        nodes.extend(branch.nodes)
        for outer, inner in zip(node.outputs, branch.outputs, strict=True):
            if outer is not None:
                nodes.append(Node("Identity", [inner], [outer], {}, node.name, node.scope))
    graph.nodes = nodes
    return taken


def _fill_expanded(graph: Graph) -> None:
    for node in graph.nodes:
        x, shape = (*node.inputs[:2], None, None)[:2]
        if node.key != "Expand" or x is None or x.const is None or x.trainable or shape is None:
            continue
        length = shape.shape[0] if shape.rank == 1 and shape.shape is not None else None
        # A shape whose length is not known is no shorter than that of a number alone.
        longest = x.const.ndim == 0 or (isinstance(length, int) and length >= x.const.ndim)
        if x.const.size == 1 and longest:
            node.key, node.inputs = "ConstantOfShape", [shape]
            node.attributes = {"value": x.const.reshape(1)}


def _number_known_sizes(graph: Graph) -> None:
    for value, host in infer(graph).items():
        numbers = host.static
        if numbers is not None and value.const is None and value.dtype is not None:
            data = np.asarray(numbers[0] if host.scalar else numbers, value.dtype)
            value.const, value.shape = data, tuple(data.shape)


def _drop_dead(graph: Graph) -> None:
    alive = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        known = all(v is None or v.const is not None for v in node.outputs)
        if known or not any(value in alive for value in node.outputs):
            continue
        if node.key in CONTROL:
            node.outputs = [value if value in alive else None for value in node.outputs]
            for inner in subgraphs(node):
                _drop_dead(inner)
        alive.update(node_reads(node))
        kept.append(node)
    graph.nodes = kept[::-1]
    used = set(graph.outputs) | {v for node in graph.nodes for v in node_reads(node)}
    for node in graph.nodes:
        if node.key in CONTROL:
            continue
        node.outputs = [
            value if k == 0 or value in used else None for k, value in enumerate(node.outputs)
        ]
        # The parts of a Split are as many as its outputs, read or not.
        while len(node.outputs) > 1 and node.outputs[-1] is None and node.key != "Split":
            node.outputs.pop()


def _drop_empty_parts(node: Node) -> None:
    """Take away the parts of a Concat without elements, which ONNX Runtime takes whatever their other sizes are."""
    axis = node.attributes["axis"]
    kept = [x for x in node.inputs if x is None or x.const is None or x.const.shape[axis]]
    node.inputs = kept or node.inputs


def _narrow_choice(node: Node) -> None:
    """Take away the outputs of an If that nothing reads."""
    kept = [k for k, value in enumerate(node.outputs) if value is not None]
    node.outputs = [node.outputs[k] for k in kept]
    for branch in subgraphs(node):
        branch.outputs = [branch.outputs[k] for k in kept]


def _count_rounds(node: Node, graph: Graph) -> None:
    """Say how many rounds there are where a loop counts them itself.

    Before: Loop("", 0 < n, 0) with a body (_, c, i) -> (i + 1 < n, i + 1).
    After:  Loop(n, "") with a body (i, c) -> (true).
    """
    loop = loop_of(node)
    body, goes_on, first = loop.body, loop.goes_on, loop.condition
    if node.key != "Loop" or loop.trips is not None or goes_on is None or first is None:
        return
    makers = body.producers()
    less, before = makers.get(goes_on), graph.producers().get(first)
    if less is None or before is None or less.key != "Less" or before.key != "Less":
        return
    (counted, most), (zero, same) = less.inputs, before.inputs
    if most is None or most is not same or most in makers or most in body.inputs:
        return
    if most.dtype != np.int64 or not _is_number(zero, 0):
        return
    read = {value for other in graph.nodes for value in node_reads(other)} | {*graph.outputs}
    for k, carried in enumerate(loop.carried):
        if carried.initial.shape != () or not _is_number(carried.initial, 0):
            continue
        if carried.output is not None and carried.output in read:
            continue
        steps = [makers.get(value) for value in (carried.result, counted) if value is not None]
        if len(steps) < 2 or not all(_is_next(step, carried.inner) for step in steps):
            continue
        index = body.inputs[0]
        place = 2 + k
        inner = body.inputs[place]
        del node.inputs[place], body.inputs[place], node.outputs[k], body.outputs[place - 1]
        body.replace(inner, index)
        true = constant(f"{node.name}/true", np.array(True))
        node.inputs[:2], body.outputs[0] = [most, None], true
        return


def _is_number(value: Value | None, number: int) -> bool:
    """Whether a value is this one number."""
    data = None if value is None else value.const
    return data is not None and data.size == 1 and data.ravel()[0] == number


def _is_next(node: Node | None, value: Value) -> bool:
    """Whether a node adds one to a value, and changes nothing else of it."""
    if node is None or node.key != "Add":
        return False
    return any(
        one is value and _is_number(other, 1) and other is not None and not other.shape
        for one, other in (node.inputs, node.inputs[::-1])
    )


def _narrow_loop(node: Node, graph: Graph) -> None:
    """Take away what a loop collects for nobody, and carries without a change: that is read from outside.

    Before: Loop(n, true, x, w) with a body (i, c, x, w) -> (c, MatMul(x, w), w).
    After:  Loop(n, true, x) with a body (i, c, x) -> (c, MatMul(x, w)).
    """
    loop = loop_of(node)
    body = loop.body
    unread = {k for k, collected in enumerate(loop.collected) if collected.output is None}
    same = set()
    for k, carried in enumerate(loop.carried):
        if carried.result is carried.inner:
            same.add(k)
            body.replace(carried.inner, carried.initial)
            if carried.output is not None:
                graph.replace(carried.output, carried.initial)
    for k, items in enumerate(loop.items):
        if node.key == "SequenceMap" and items.source.kind == "tensor":
            same.add(k)
            body.replace(items.inner, items.source)
    first_in, first_out = (2, 1) if node.key == "Loop" else (0, 0)
    count = len(loop.carried)
    ins = {first_in + k for k in same}
    outs = {count + k for k in unread} | (same if node.key != "SequenceMap" else set())
    node.inputs = [v for k, v in enumerate(node.inputs) if k not in ins]
    body.inputs = [v for k, v in enumerate(body.inputs) if k not in ins]
    node.outputs = [v for k, v in enumerate(node.outputs) if k not in outs]
    body.outputs = [v for k, v in enumerate(body.outputs) if k - first_out not in outs]
    for name in ("scan_output_axes", "scan_output_directions"):
        if node.attributes.get(name):
            numbers = node.attributes[name]
            node.attributes[name] = [n for k, n in enumerate(numbers) if k not in unread]
