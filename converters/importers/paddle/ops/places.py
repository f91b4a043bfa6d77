"""Counting: the small graphs that detection and indexing share."""

from __future__ import annotations

from converters.importers.graph import INT64, Step


def size(call: Step, name: str, axis: int) -> str:
    """A dimension, as a number."""
    return call.node("Squeeze", call.dims(name, axis, axis + 1), call.vector([0]))


def upto(call: Step, end: str) -> str:
    """0, 1, 2 ... up to a number, which is excluded."""
    return call.node("Range", call.scalar(0, INT64), end, call.scalar(1, INT64))


def repeated(call: Step, counts: str) -> str:
    """0 as often as the first count says, then 1 as often as the second one says ...; counts are [N], int64."""
    ends = call.node("CumSum", counts, call.scalar(0, INT64))
    total = call.node("ReduceSum", counts, call.vector([0]), keepdims=0)
    each = call.node("Unsqueeze", upto(call, total), call.vector([1]))
    behind = call.node("Cast", call.node("GreaterOrEqual", each, ends), to=INT64.onnx)
    return call.node("ReduceSum", behind, call.vector([1]), keepdims=0)


def ascending(call: Step, numbers: str) -> str:
    """[K] numbers in order, the smallest first."""
    return call.nodes("TopK", numbers, call.dims(numbers), outputs=2, axis=0, largest=0)[0]
