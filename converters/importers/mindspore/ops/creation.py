"""What begins a graph: filled tensors, ranges, random numbers, sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from converters.dtypes import ElementType
from converters.importers.graph import INT64, LARGEST_CONSTANT, LARGEST_RANK, Value
from converters.importers.mindspore.build import Call, Given, Rule, Scalar


def _shape(call: Call, x: Given) -> Given:
    """The sizes one by one: those that are known as numbers; a vector where it is not known how many there are."""
    x = call.tensor(x)
    if x.dims is None:
        return Value(call.dims(x.name), INT64, (-1,))
    return tuple(
        size if size >= 0 else Scalar(call.dims(x.name, axis, axis + 1), INT64, (x.name, axis))
        for axis, size in enumerate(x.shape)
    )


def _tensor_shape(call: Call, input_x: Given) -> Given:
    x = call.tensor(input_x)
    if min(x.shape, default=0) >= 0:
        return call.known(np.array(x.shape, np.int64))
    return call.dims(x.name)


def _rank(call: Call, x: Given) -> Given:
    x = call.tensor(x)
    if x.dims is not None:
        return x.rank
    return Scalar(
        call.node("Reshape", call.node("Size", call.dims(x.name)), call.vector([1])), INT64
    )


def _size(call: Call, x: Given) -> Given:
    x = call.tensor(x)
    if x.dims is not None and min(x.shape, default=0) >= 0:
        return math.prod(x.shape)
    return Scalar(call.node("Reshape", call.node("Size", x.name), call.vector([1])), INT64)


def full(call: Call, shape: Given, number: Given, kind: ElementType) -> str:
    """A tensor of one number."""
    wanted = call.integers(shape, "shape")
    if not isinstance(wanted, str) and (len(wanted) > LARGEST_RANK or min(wanted, default=0) < 0):
        call.malformed(f"shape = {wanted[:20]}")
    alone = call.tensor(number, kind)
    name = alone.name
    if alone.rank:
        name = call.node("Reshape", name, call.vector([]))
    return call.node("Expand", name, call.as_vector(wanted))


def _filled(number: float) -> Rule:
    def rule(call: Call, shape: Given, dtype: Given = None) -> str:
        return full(call, shape, number, call.out_kind())

    return rule


def _fill(call: Call, shape: Given, value: Given, dtype: Given = None) -> str:
    return full(call, shape, value, call.out_kind())


def _fill_old(call: Call, dtype: Given, shape: Given, value: Given) -> str:
    return full(call, shape, value, call.out_kind())


def _filled_like(number: float) -> Rule:
    def rule(call: Call, x: Given, dtype: Given = None) -> str:
        kind = call.out_kind()
        shape = call.dims(call.name(x))
        return call.node("Expand", call.scalar(number, kind), shape)

    return rule


def _full_like(call: Call, x: Given, fill_value: Given, dtype: Given = None) -> str:
    kind = call.out_kind()
    return call.node("Expand", call.name(fill_value, kind), call.dims(call.name(x)))


def _eye(call: Call, n: Given, m: Given, dtype: Given = None) -> Given:
    rows, columns = call.whole(n, "n"), call.whole(m, "m")
    if not (rows > 0 and columns > 0 and rows * columns <= 1 << 20):
        call.refuse(f"a matrix of {rows} by {columns}")
    return call.known(np.eye(rows, columns).astype(call.out_kind().numpy))


def _range(
    call: Call, start: Given, end: Given, step: Given, maxlen: Given = None, dtype: Given = None
) -> Given:
    kind = call.out_kind()
    ends = [call.tensor(one, kind) for one in (start, end, step)]
    arrays = [one.array for one in ends if one.array is not None]
    if len(arrays) == 3:
        first, last, jump = (one.reshape(-1)[0].item() for one in arrays)
        if jump == 0 or not all(math.isfinite(one) for one in (first, last, jump)):
            call.malformed(f"a range from {first} to {last} by {jump}")
        if (last - first) / jump <= 1 << 20:
            return call.known(np.arange(first, last, jump).astype(kind.numpy))
    names = [call.node("Squeeze", one.name) if one.rank else one.name for one in ends]
    return call.node("Range", *names)


def _linspace(call: Call, start: Given, stop: Given, num: Given, dtype: Given = None) -> Given:
    first, last = call.real(start, "start"), call.real(stop, "stop")
    count = call.whole(num, "num")
    if not 1 <= count <= LARGEST_CONSTANT:
        call.refuse(f"{count} numbers")
    return call.known(np.linspace(first, last, count).astype(call.out_kind().numpy))


TABLE: Mapping[str, Rule] = {
    "Arange": _range,
    "Eye": _eye,
    "Fill": _fill_old,
    "FillScalar": _fill,
    "FillTensor": _fill,
    "FillV2": _fill,
    "FullLike": _full_like,
    "LinSpace": _linspace,
    "LinSpaceExt": _linspace,
    "Ones": _filled(1),
    "OnesLike": _filled_like(1),
    "OnesLikeExt": _filled_like(1),
    "Range": _range,
    "Rank": _rank,
    "Shape": _shape,
    "Size": _size,
    "TensorShape": _tensor_shape,
    "Zeros": _filled(0),
    "ZerosLike": _filled_like(0),
    "ZerosLikeExt": _filled_like(0),
}
