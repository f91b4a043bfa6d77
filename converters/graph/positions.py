"""Lookups at every position, and questions that every position answers alike -> nothing.

Exporters of attention masks compute on positions: for each row, column and key they look up whether the
key is there, and ask whether its position is at least zero. What remains of it:

    GatherND(m, [arange(n) of rows, arange(k) of columns])  m, with axes of one put in, for m of shape [n, k]
    arange(n) >= 0                                          true
    And(true, m)                                            m, where what reads it broadcasts it anyway

A *grid* is a tensor that holds at every place the place's own position along one axis.
"""

from __future__ import annotations

import numpy as np

from converters.graph.hosts import host_of
from converters.graph.infer import infer
from converters.graph.model import Dim, Graph, Node, Value, constant

# What gives for every element a result of its own, of one input that is not a number.
ELEMENTWISE = {"Add", "Cast", "Mul", "Neg", "Not", "Sub", "Where", "And", "Or"}


def drop_positions(graph: Graph) -> None:
    """Apply the rules, in place; not within sub-graphs."""
    known = infer(graph)
    axes: dict[Value, int] = {}
    true: set[Value] = set()
    producers, uses = graph.producers(), graph.uses()
    for node in list(graph.nodes):
        out, x = node.outputs[0], node.inputs[0] if node.inputs else None
        if out is None or x is None:
            continue
        if node.key == "Range":
            start, step = host_of(x, known), _host(node.inputs[2], known)
            if start is not None and start.static == (0,) and step == (1,):
                axes[out] = 0
        elif x in axes:
            _follow(node, axes, true)
        if node.key == "GatherND":
            _look_up(graph, node, axes, producers)
        elif node.key == "And":
            for fixed, other in (node.inputs, node.inputs[::-1]):
                if (
                    fixed in true
                    and other is not None
                    and _is_absorbed(fixed, other, out, graph, uses)
                ):
                    for value in _behind(out, graph, uses):
                        value.shape = None
                    graph.replace(out, other)
                    uses = graph.uses()
                    break


def _host(value: Value | None, known: object) -> tuple[object, ...] | None:
    return None if value is None or value.const is None else tuple(value.const.ravel().tolist())


def _follow(node: Node, axes: dict[Value, int], true: set[Value]) -> None:
    """A grid that is given on, or compared."""
    x, out = node.inputs[0], node.output
    other = node.inputs[1] if len(node.inputs) > 1 else None
    if x is None or x.rank is None:
        return
    if node.key == "Unsqueeze" and other is not None and other.const is not None:
        rank = x.rank + other.const.size
        added = {int(axis) % rank for axis in other.const.ravel()}
        axes[out] = [axis for axis in range(rank) if axis not in added][axes[x]]
    elif node.key == "Expand" and out.rank is not None:
        axes[out] = axes[x] + out.rank - x.rank
    elif node.key == "GreaterOrEqual" and other is not None and other.const is not None:
        if other.const.size == 1 and other.const.ravel()[0] <= 0:
            true.add(out)


def _look_up(
    graph: Graph, node: Node, axes: dict[Value, int], producers: dict[Value, Node]
) -> None:
    """Turn a GatherND at every position into an Unsqueeze."""
    x, indices = node.inputs[0], node.inputs[1]
    concat = producers.get(indices) if indices is not None else None
    if x is None or x.shape is None or concat is None or node.attributes.get("batch_dims", 0):
        return
    parts = [axes.get(part) if part is not None else None for part in concat.inputs]
    found = [axis for axis in parts if axis is not None]
    shape = indices.shape if indices is not None else None
    if concat.key != "Concat" or shape is None or len(found) != len(parts) != 0:
        return
    last = concat.attributes["axis"] in (-1, len(shape) - 1)
    # Every position of every axis, in the order of the axes, and of nothing else.
    sizes: tuple[Dim, ...] = tuple(shape[axis] for axis in found)
    rest = [size for axis, size in enumerate(shape[:-1]) if axis not in found]
    if not last or sizes != x.shape or found != sorted(set(found)) or any(s != 1 for s in rest):
        return
    if any(part is None or part.shape is None or part.shape[-1] != 1 for part in concat.inputs):
        return
    added = np.array([axis for axis in range(len(shape) - 1) if axis not in found], np.int64)
    node.key, node.attributes = "Unsqueeze", {}
    node.inputs = [x, constant(f"{node.name}.axes", added)]


def _is_absorbed(
    fixed: Value, other: Value, out: Value, graph: Graph, uses: dict[Value, list[Node]]
) -> bool:
    """Whether all that reads `out` broadcasts `other` to the same shape by itself."""
    if fixed.shape is None or other.shape is None or out.rank is None:
        return False
    wide = [
        (1,) * (out.rank - len(shape)) + shape
        for value in (fixed, other)
        if (shape := value.shape) is not None
    ]
    # The axes, counted from the end, in which only `fixed` is long.
    lost = {a - out.rank: s for a, (s, o) in enumerate(zip(*wide, strict=True)) if s not in (1, o)}
    if other.rank != out.rank or any(wide[1][axis] != 1 for axis in lost):
        return False
    return all(_absorbs(value, lost, graph, uses) for value in [out])


def _absorbs(
    value: Value, lost: dict[int, Dim], graph: Graph, uses: dict[Value, list[Node]]
) -> bool:
    if value in graph.outputs:
        return False
    for node in uses.get(value, ()):
        others = [v for v in node.inputs if v is not None and v is not value and not _is_one(v)]
        if node.key == "ScaledDotProductAttention":
            q = node.inputs[0]
            at_mask = (
                len(node.inputs) > 3 and node.inputs[3] is value and value not in node.inputs[:3]
            )
            if not at_mask or set(lost) != {-2} or q is None or q.shape is None:
                return False
            if q.shape[-2] != lost[-2]:
                return False
        elif node.key not in ELEMENTWISE:
            return False
        elif not any(_has(v, lost) for v in others):
            if others or not _absorbs(node.output, lost, graph, uses):
                return False
    return True


def _has(value: Value, lost: dict[int, Dim]) -> bool:
    shape = value.shape
    return shape is not None and all(
        -axis <= len(shape) and shape[axis] == size for axis, size in lost.items()
    )


def _is_one(value: Value) -> bool:
    return value.const is not None and value.const.size == 1


def _behind(value: Value, graph: Graph, uses: dict[Value, list[Node]]) -> list[Value]:
    """The values whose shapes follow from it."""
    found = []
    for node in uses.get(value, ()):
        others = [v for v in node.inputs if v is not None and v is not value and not _is_one(v)]
        if node.key in ELEMENTWISE and not others:
            found += [node.output, *_behind(node.output, graph, uses)]
    return found
