"""Adaptive pooling along one dimension: so many cells, whatever the size; ONNX has no operator for it."""

from __future__ import annotations

import numpy as np

from converters.dtypes import ElementType
from converters.importers.graph import INT64, LARGEST_CONSTANT, Step

# Cells that are computed one by one where the sizes of windows differ.
MOST_CELLS = 64
MOST_IN_MATRIX = 1 << 18


def _bounds(call: Step, name: str, axis: int, cells: int) -> tuple[str, str, str]:
    """Where each cell of adaptive pooling begins and ends, and the size, which only the model knows."""
    size = call.dims(name, axis, axis + 1)
    count = call.vector([cells])
    starts = call.node("Div", call.node("Mul", call.vector(range(cells)), size), count)
    ends = call.node("Mul", call.vector(range(1, cells + 1)), size)
    ends = call.node("Div", call.node("Add", ends, call.vector([cells - 1])), count)
    return starts, ends, size


def adaptive_average(
    call: Step, name: str, rank: int, axis: int, size: int, cells: int, kind: ElementType
) -> str:
    """Means over cells of unequal size: a product with a matrix that has a row for each cell."""
    if cells > LARGEST_CONSTANT:
        call.refuse(f"{cells} cells")
    if 0 < size <= LARGEST_CONSTANT and size * cells <= MOST_IN_MATRIX:
        index = np.arange(cells)
        starts, ends = index * size // cells, -(-(index + 1) * size // cells)
        inside = (np.arange(size) >= starts[:, None]) & (np.arange(size) < ends[:, None])
        matrix = call.graph.constant((inside / (ends - starts)[:, None]).astype(kind.numpy))
    else:
        begin, end, length = _bounds(call, name, axis, cells)
        alone = call.node("Squeeze", length, call.vector([0]))
        zero, one = call.scalar(0, INT64), call.scalar(1, INT64)
        place = call.node("Range", zero, alone, one)
        column = call.vector([1])
        begin, end = (call.node("Unsqueeze", side, column) for side in (begin, end))
        within = call.node(
            "And", call.node("GreaterOrEqual", place, begin), call.node("Less", place, end)
        )
        count = call.node("Cast", call.node("Sub", end, begin), to=kind.onnx)
        matrix = call.node("Div", call.node("Cast", within, to=kind.onnx), count)
    order = [*range(rank)]
    order[axis], order[-1] = order[-1], order[axis]
    turned = call.node("Transpose", matrix, perm=[1, 0])
    if axis == rank - 1:
        return call.node("MatMul", name, turned)
    product = call.node("MatMul", call.node("Transpose", name, perm=order), turned)
    return call.node("Transpose", product, perm=order)


def adaptive_max(
    call: Step, name: str, rank: int, axis: int, size: int, cells: int, kind: ElementType
) -> str:
    """Maxima over cells of unequal size, one by one."""
    if cells > MOST_CELLS:
        call.refuse(f"adaptive, with {cells} cells of unequal size")
    where = call.vector([axis])
    starts, ends, _ = _bounds(call, name, axis, cells)
    parts = []
    for cell in range(cells):
        index = call.vector([cell])
        begin, end = (call.node("Gather", side, index) for side in (starts, ends))
        part = call.node("Slice", name, begin, end, where)
        parts.append(call.node("ReduceMax", part, where, keepdims=1))
    return call.node("Concat", *parts, axis=axis)
