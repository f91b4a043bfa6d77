"""Elements by their place: read, written, counted, sorted.

Where a part of a tensor is written (`x[:, 1:5:2] = y`), the positions of all elements are cut in the same way, and
what is there is written by position: that holds for all slices.

Source: paddle/phi/kernels/cpu/{set_value,index_put,scatter,put_along_axis}_kernel.cc, impl/{crop,sequence_mask,
searchsorted}_kernel_impl.h of PaddlePaddle 3.3; the numbers of its kernels (tests/importers).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import (
    INT64,
    INT_LIMIT,
    LARGEST_CONSTANT,
    LARGEST_RANK,
    Integers,
    Value,
)
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.ops.places import repeated, size, upto
from converters.importers.paddle.rows import Row, row

BOOL = BY_NAME["bool"]
FLOAT = BY_NAME["float32"]
INT32 = BY_NAME["int32"]


def _flat(call: Call, name: str) -> str:
    return call.node("Reshape", name, call.vector([-1]))


# ***** Taken by place *****


def _gather(call: Call) -> None:
    x, index = call.value(), call.value("Index")
    axis = call.axis(call.number("axis", "Axis", 0), x.rank)
    name = index.name
    if index.rank > 1:
        name = call.node("Reshape", name, call.vector([-1]))
    call.put("Out", "Gather", x.name, name, axis=axis)


def _index_select(call: Call) -> None:
    x = call.value()
    axis = call.axis(call.integer("dim", 0), x.rank)
    call.put("Out", "Gather", x.name, call.value("Index").name, axis=axis)


def _gather_nd(call: Call) -> None:
    index = call.value("Index")
    name = call.cast(index.name, index.type, INT64)
    call.put("Out", "GatherND", call.value().name, name)


def _index_sample(call: Call) -> None:
    call.put("Out", "GatherElements", call.value().name, call.value("Index").name, axis=1)


def _take_along(call: Call) -> None:
    x = call.value("Input")
    axis = call.axis(call.integer("Axis", 0), x.rank)
    call.put("Result", "GatherElements", x.name, call.value("Index").name, axis=axis)


def _scatter_nd_add(call: Call) -> None:
    index = call.value("Index")
    name = call.cast(index.name, index.type, INT64)
    updates = call.value("Updates").name
    call.put("Out", "ScatterND", call.value().name, name, updates, reduction="add")


def _lookup(call: Call, squeezed: bool) -> None:
    """Rows of a table; the row of `padding_idx` is zero, whatever the table says."""
    ids, table = call.value("Ids"), call.value("W")
    # Without servers, nothing is fetched from them.
    call.only("epmap", ())
    index = ids.name
    if squeezed:
        index = call.node("Squeeze", index, call.vector([-1]))
    padding = call.integer("padding_idx", -1)
    if padding == -1:
        call.put("Out", "Gather", table.name, index, axis=0)
        return
    rows = call.node("Gather", table.name, index, axis=0)
    padded = call.node("Equal", index, call.scalar(padding, ids.type))
    padded = call.node("Unsqueeze", padded, call.vector([-1]))
    call.put("Out", "Where", padded, call.scalar(0, table.type), rows)


def _one_hot(call: Call, attribute: str, slot: str, squeezed: bool) -> None:
    x = call.value()
    given = call.maybe(slot)
    if given is not None and given.array is None:
        depth = call.lone(given, INT64)
    else:
        number = call.number(attribute, slot)
        if number < 1:
            call.malformed(f"depth = {number}")
        depth = call.scalar(number, INT64)
    to = call.kind("dtype") or FLOAT
    values = call.graph.constant(np.array([0, 1]).astype(to.numpy))
    index = call.node("Squeeze", x.name, call.vector([-1])) if squeezed else x.name
    call.put("Out", "OneHot", index, depth, values, axis=-1)


def _nonzero(call: Call) -> None:
    found = call.node("NonZero", call.value("Condition").name)
    call.put("Out", "Transpose", found, perm=[1, 0])


# ***** Written by place *****

_VALUES = ("values", "fp32_values", "fp64_values", "int32_values", "int64_values", "bool_values")


def _written(call: Call, kind: ElementType) -> tuple[str, int]:
    """What is written, and how many dimensions it has."""
    given = call.maybe("ValueTensor")
    if given is not None:
        return call.cast(given.name, given.type, kind), given.rank
    numbers = next((said for name in _VALUES if (said := call.numbers(name))), [])
    shape = call.ints("shape")
    if min(shape, default=0) < 0 or math.prod(shape) != len(numbers) or len(shape) > LARGEST_RANK:
        call.malformed(f"{len(numbers)} values for the shape {shape[:40]}")
    array = np.array(numbers).astype(kind.numpy).reshape(shape)
    return call.graph.constant(array), len(shape)


def _set_value(call: Call) -> None:
    """A slice is written: `x[starts:ends:steps] = value`, along some axes."""
    x = call.value("Input")
    axes = [call.axis(axis, x.rank) for axis in call.ints("axes")]
    positions: list[Integers] = [
        call.integers(f"{name}s", f"{name.title()}sTensor", f"{name.title()}sTensorList")
        for name in ("start", "end", "step")
    ]
    for numbers in positions:
        if not isinstance(numbers, str) and len(numbers) != len(axes):
            call.malformed(f"{len(numbers)} positions for {len(axes)} axes")
    starts, ends, steps = positions
    if isinstance(steps, str) or 0 in steps or len(set(axes)) != len(axes):
        call.refuse("steps that are zero or not known, or an axis twice")
    dropped = {call.axis(axis, x.rank) for axis in call.ints("decrease_axes")}
    if not isinstance(starts, str) and not isinstance(ends, str):
        # x[-1]: up to the end.
        ends = [
            INT_LIMIT if axis in dropped and start == -1 and end == 0 else end
            for axis, start, end in zip(axes, starts, ends, strict=True)
        ]
    places = call.node("Reshape", upto(call, call.node("Size", x.name)), call.dims(x.name))
    inputs = (call.as_vector(starts), call.as_vector(ends), call.vector(axes), call.vector(steps))
    if axes:
        places = call.node("Slice", places, *inputs)
    if dropped:
        places = call.node("Squeeze", places, call.vector(sorted(dropped)))
    rank = x.rank - len(dropped)
    added = _added(call, x.rank, dropped)
    if added:
        places = call.node("Unsqueeze", places, call.vector(added))
        rank += len(added)
    value, own = _written(call, x.type)
    if own > rank:
        # Ones in front of what is written.
        value = call.node("Squeeze", value, call.vector(range(own - rank)))
    value = call.node("Expand", value, call.dims(places))
    made = call.node(
        "ScatterElements", _flat(call, x.name), _flat(call, places), _flat(call, value), axis=0
    )
    call.put("Out", "Reshape", made, call.dims(x.name))


def _added(call: Call, rank: int, dropped: set[int]) -> list[int]:
    """Where `None` stands in an index: dimensions of what is written that the tensor does not have."""
    wanted = sorted(call.ints("none_axes"))
    if len(wanted) > LARGEST_RANK:
        call.malformed(f"none_axes = {wanted[:40]}")
    places, place = [], 0
    for axis in range(rank + 1):
        while wanted and (wanted[0] <= axis or axis == rank):
            places.append(place)
            place += 1
            wanted.pop(0)
        place += axis not in dropped
    return places


def _index_parts(call: Call, x: Value, indices: Sequence[Value]) -> list[str]:
    """Indices of the first dimensions, one for each; a mask is where it is true."""
    parts: list[str] = []
    for index in indices:
        if index.type != BOOL:
            parts.append(call.cast(index.name, index.type, INT64))
            continue
        rows = call.node("NonZero", index.name)
        if index.rank < 1:
            call.refuse("a mask without dimensions")
        found = call.nodes("Split", rows, outputs=index.rank, axis=0, num_outputs=index.rank)
        parts += [call.node("Squeeze", one, call.vector([0])) for one in found]
    if not 1 <= len(parts) <= x.rank:
        call.malformed(f"{len(parts)} indices for {x.rank} dimensions")
    return parts


def _index_put(call: Call) -> None:
    """`x[i, j] = value`, or added to."""
    x, value, indices = call.value("X"), call.value("Value"), call.values("Indices")
    add = call.flag("accumulate")
    alone = all(axis == 1 for axis in value.shape)
    if alone and not add and len(indices) == 1 and indices[0].kind == BOOL:
        mask = indices[0].name
        behind = x.rank - indices[0].rank
        if behind:
            mask = call.node("Unsqueeze", mask, call.vector(range(x.rank - behind, x.rank)))
        number = call.node("Reshape", value.name, call.vector([]))
        call.put("Out", "Where", mask, call.cast(number, value.type, x.type), x.name)
        return
    parts = _index_parts(call, x, indices)
    if len(parts) > 1:
        common = parts[0]
        for part in parts[1:]:
            common = call.node("Add", common, part)
        parts = [call.node("Expand", part, call.dims(common)) for part in parts]
    last = call.vector([-1])
    index = call.node("Concat", *(call.node("Unsqueeze", part, last) for part in parts), axis=-1)
    shape = call.dims(parts[0])
    if len(parts) < x.rank:
        shape = call.node("Concat", shape, call.dims(x.name, len(parts)), axis=0)
    updates = call.node("Expand", call.cast(value.name, value.type, x.type), shape)
    call.put("Out", "ScatterND", x.name, index, updates, reduction="add" if add else "none")


def _index_add(call: Call) -> None:
    x, value, index = call.value("X"), call.value("AddValue"), call.value("Index")
    axis = call.axis(call.integer("axis", 0), x.rank)
    column = call.node(
        "Reshape", index.name, call.vector([-1 if k == axis else 1 for k in range(x.rank)])
    )
    places = call.node("Expand", column, call.dims(value.name))
    call.put("Out", "ScatterElements", x.name, places, value.name, axis=axis, reduction="add")


_REDUCTIONS = {
    "assign": "none",
    "add": "add",
    "mul": "mul",
    "multiply": "mul",
    "amin": "min",
    "amax": "max",
}


def _put_along(call: Call) -> None:
    x, index, value = call.value("Input"), call.value("Index"), call.value("Value")
    axis = call.axis(call.integer("Axis", 0), x.rank)
    form = call.text("Reduce", "assign")
    if form not in _REDUCTIONS:
        call.refuse(f"reduce = {form[:50]}")
    if form != "assign" and not call.flag("Include_self", True):
        call.refuse("include_self = false")
    updates = call.cast(value.name, value.type, x.type)
    if value.shape != index.shape:
        updates = call.node("Expand", updates, call.dims(index.name))
    more = {"axis": axis, "reduction": _REDUCTIONS[form]}
    call.put("Result", "ScatterElements", x.name, index.name, updates, **more)


def _scatter(call: Call) -> None:
    """Rows are replaced; or they are made of nothing but what is added for them."""
    x, index, updates = call.value(), call.value("Ids"), call.value("Updates")
    rows = call.cast(index.name, index.type, INT64)
    rows = call.node("Reshape", rows, call.vector([-1, 1]))
    if call.flag("overwrite", True):
        call.put("Out", "ScatterND", x.name, rows, updates.name)
        return
    nothing = call.node("Expand", call.scalar(0, x.type), call.dims(updates.name))
    cleared = call.node("ScatterND", x.name, rows, nothing)
    call.put("Out", "ScatterND", cleared, rows, updates.name, reduction="add")


# ***** Read by place *****


def _masked_select(call: Call) -> None:
    x, mask = call.value(), call.value("Mask")
    name, kept = x.name, mask.name
    if x.shape != mask.shape:
        kept = call.node("Expand", kept, call.dims(name))
        name = call.node("Expand", name, call.dims(kept))
    call.put("Y", "Compress", _flat(call, name), _flat(call, kept), axis=0)


def _repeat(call: Call) -> None:
    """Each row, several times."""
    x, counts = call.value(), call.maybe("RepeatsTensor")
    axis = call.axis(call.integer("dim", 0), x.rank)
    if counts is not None:
        index = repeated(call, call.cast(counts.name, counts.type, INT64))
        call.put("Out", "Gather", x.name, index, axis=axis)
        return
    times = call.integer("Repeats", 1)
    if times < 1:
        call.malformed(f"repeats = {times}")
    wide = call.node("Unsqueeze", x.name, call.vector([axis + 1]))
    factors = [times if place == axis + 1 else 1 for place in range(x.rank + 1)]
    wide = call.node("Expand", wide, call.vector(factors))
    shape = [0] * axis + [-1]
    if axis + 1 == x.rank:
        call.put("Out", "Reshape", wide, call.vector(shape))
    else:
        full = call.node("Concat", call.dims(x.name, 0, axis), call.vector([-1]), axis=0)
        full = full if axis else call.vector([-1])
        full = call.node("Concat", full, call.dims(x.name, axis + 1), axis=0)
        call.put("Out", "Reshape", wide, full)


def _multiplex(call: Call) -> None:
    """Each row of one of several tensors."""
    values, index = call.values("X"), call.value("Ids")
    if not values:
        call.malformed("nothing to choose from")
    stacked = [call.node("Unsqueeze", value.name, call.vector([0])) for value in values]
    which = _flat(call, call.cast(index.name, index.type, INT64))
    columns = [which, upto(call, size(call, which, 0))]
    last = call.vector([1])
    pairs = call.node("Concat", *(call.node("Unsqueeze", one, last) for one in columns), axis=1)
    call.put("Out", "GatherND", call.node("Concat", *stacked, axis=0), pairs)


def _crop(call: Call) -> None:
    x = call.value()
    offsets = call.integers("offsets", "Offsets", "OffsetsTensor")
    shape = call.integers("shape", "Shape", "ShapeTensor")
    if not isinstance(offsets, str) and not isinstance(shape, str):
        if not len(offsets) == len(shape) == x.rank or min(offsets, default=0) < 0:
            call.malformed(f"offsets = {offsets[:40]}, shape = {shape[:40]}")
        pairs = zip(offsets, shape, strict=True)
        ends: Integers = [INT_LIMIT if length == -1 else start + length for start, length in pairs]
    else:
        long, begin = call.as_vector(shape), call.as_vector(offsets)
        rest = call.node("Equal", long, call.vector([-1]))
        ends = call.node("Where", rest, call.vector([INT_LIMIT]), call.node("Add", begin, long))
    axes = call.vector(range(x.rank))
    call.put("Out", "Slice", x.name, call.as_vector(offsets), call.as_vector(ends), axes)


# ***** Diagonals *****


def _on_diagonal(call: Call, rows: str, columns: str, offset: int) -> str:
    """Which elements [R, C] are so many places right of the diagonal."""
    row_places = call.node("Unsqueeze", upto(call, rows), call.vector([1]))
    moved = call.node("Add", row_places, call.scalar(offset, INT64))
    return call.node("Equal", moved, upto(call, columns))


def _embedded(call: Call, x: Value, offset: int, outside: str) -> str:
    """[..., n] -> [..., m, m] with the numbers on a diagonal."""
    far = abs(offset)
    sides = [0] * x.rank + [0] * (x.rank - 1) + [far]
    wide = call.node("Pad", x.name, call.vector(sides)) if far else x.name
    length = size(call, wide, x.rank - 1)
    placed = call.node("Unsqueeze", wide, call.vector([-1 if offset >= 0 else -2]))
    there = _on_diagonal(call, length, length, offset)
    return call.node("Where", there, placed, outside)


def _diagonal_of(call: Call, x: Value, offset: int, first: int, second: int) -> str:
    """The numbers on a diagonal, as the last dimension."""
    others = [axis for axis in range(x.rank) if axis not in (first, second)]
    turned = call.node("Transpose", x.name, perm=[*others, first, second])
    rows, columns = (size(call, turned, axis) for axis in (x.rank - 2, x.rank - 1))
    down, right = call.scalar(max(-offset, 0), INT64), call.scalar(max(offset, 0), INT64)
    count = call.node("Min", call.node("Sub", rows, down), call.node("Sub", columns, right))
    each = upto(call, call.node("Max", count, call.scalar(0, INT64)))
    index = call.node("Mul", call.node("Add", each, down), columns)
    index = call.node("Add", index, call.node("Add", each, right))
    shape = call.vector([0] * len(others) + [-1])
    return call.node("Gather", call.node("Reshape", turned, shape), index, axis=len(others))


def _diag(call: Call) -> None:
    """A matrix with a vector on its diagonal, or the diagonal of a matrix."""
    x, offset = call.value(), call.integer("offset", 0)
    if x.rank == 1:
        outside = call.scalar(call.real("padding_value", 0.0), x.type)
        call.put("Out", "Identity", _embedded(call, x, offset, outside))
    elif x.rank == 2:
        call.put("Out", "Identity", _diagonal_of(call, x, offset, 0, 1))
    else:
        call.malformed(f"{x.rank} dimensions")


def _diag_embed(call: Call) -> None:
    x = call.value("Input")
    if x.rank < 1:
        call.malformed("no dimensions")
    first, second = (
        call.axis(call.integer(name, default), x.rank + 1)
        for name, default in (("dim1", -2), ("dim2", -1))
    )
    if first == second:
        call.malformed(f"dim1 = dim2 = {first}")
    made = _embedded(call, x, call.integer("offset", 0), call.scalar(0, x.type))
    order: list[int] = []
    others = iter(range(x.rank - 1))
    for axis in range(x.rank + 1):
        here = {first: x.rank - 1, second: x.rank}
        order.append(here[axis] if axis in here else next(others))
    call.put("Out", "Transpose", made, perm=order)


def _two_axes(call: Call, x: Value) -> tuple[int, int]:
    first, second = (
        call.axis(call.integer(name, default), x.rank)
        for name, default in (("axis1", 0), ("axis2", 1))
    )
    if first == second:
        call.malformed(f"axis1 = axis2 = {first}")
    return first, second


def _diagonal(call: Call) -> None:
    x = call.value("Input")
    made = _diagonal_of(call, x, call.integer("offset", 0), *_two_axes(call, x))
    call.put("Out", "Identity", made)


def _trace(call: Call) -> None:
    x = call.value("Input")
    made = _diagonal_of(call, x, call.integer("offset", 0), *_two_axes(call, x))
    call.put("Out", "ReduceSum", made, call.vector([-1]), keepdims=0)


def _fill_diagonal(call: Call) -> None:
    x = call.value()
    if x.rank != 2 or call.flag("wrap"):
        call.refuse(f"{x.rank} dimensions, or wrap = true")
    rows, columns = (size(call, x.name, axis) for axis in (0, 1))
    there = _on_diagonal(call, rows, columns, call.integer("offset", 0))
    call.put("Out", "Where", there, call.scalar(call.real("value", 0.0), x.type), x.name)


def _eye(call: Call) -> None:
    rows, columns = call.number("num_rows", "Rows"), call.number("num_columns", "Columns", -1)
    columns = rows if columns < 0 else columns
    kind = call.kind("dtype") or BY_NAME["float32"]
    if rows < 0:
        call.malformed(f"num_rows = {rows}")
    if rows * columns <= LARGEST_CONSTANT:
        call.put_constant("Out", np.eye(rows, columns).astype(kind.numpy))
        return
    ends = [call.scalar(number, INT64) for number in (rows, columns)]
    call.put("Out", "Cast", _on_diagonal(call, ends[0], ends[1], 0), to=kind.onnx)


def _triangle_indices(call: Call, lower: bool) -> None:
    names = ("rows", "cols") if lower else ("row", "col")
    rows, columns = (call.integer(name) for name in names)
    kind = call.kind("dtype") or INT64
    if min(rows, columns) < 0 or rows * columns > LARGEST_CONSTANT:
        call.refuse(f"a matrix of {rows} by {columns}")
    made = np.tril_indices if lower else np.triu_indices
    call.put_constant(
        "Out", np.stack(made(rows, call.integer("offset", 0), columns)).astype(kind.numpy)
    )


# ***** Counted and sorted *****


def _sequence_mask(call: Call) -> None:
    """[...] lengths -> [..., T], true before the end of each."""
    x = call.value()
    lengths = call.cast(x.name, x.type, INT64)
    given = call.maybe("MaxLenTensor")
    computed = given is not None and given.array is None
    longest = -1 if computed else call.number("maxlen", "MaxLenTensor", -1)
    if given is not None and computed:
        end = call.cast(call.node("Reshape", given.name, call.vector([])), given.type, INT64)
    elif longest < 0:
        end = call.node("ReduceMax", lengths, keepdims=0)
    else:
        end = call.scalar(longest, INT64)
    inside = call.node("Less", upto(call, end), call.node("Unsqueeze", lengths, call.vector([-1])))
    kind = call.kind("out_dtype") or INT64
    call.put("Y", "Cast", inside, to=kind.onnx)


def _search_sorted(call: Call) -> None:
    """How many of the sorted numbers are below each value, or not above it."""
    table, values = call.value("SortedSequence"), call.value("Values")
    if table.rank < 1:
        call.malformed("no dimensions")
    each = call.node("Unsqueeze", values.name, call.vector([-1]))
    rows = table.name if table.rank == 1 else call.node("Unsqueeze", table.name, call.vector([-2]))
    rows = call.cast(rows, table.type, values.type)
    below = call.node("LessOrEqual" if call.flag("right") else "Less", rows, each)
    numbers = call.node("Cast", below, to=INT64.onnx)
    count = call.node("ReduceSum", numbers, call.vector([-1]), keepdims=0)
    kind = INT32 if call.flag("out_int32") else INT64
    call.put("Out", "Cast", count, to=kind.onnx)


def _kth_value(call: Call) -> None:
    x, number = call.value(), call.integer("k", 1)
    axis = call.axis(call.integer("axis", -1), x.rank)
    if number < 1:
        call.malformed(f"k = {number}")
    found = call.nodes("TopK", x.name, call.vector([number]), outputs=2, axis=axis, largest=0)
    ends = ([number - 1], [number], [axis])
    for slot, name in zip(("Out", "Indices"), found, strict=True):
        one = call.node("Slice", name, *map(call.vector, ends))
        if call.flag("keepdim"):
            call.put(slot, "Identity", one)
        else:
            call.put(slot, "Squeeze", one, call.vector([axis]))


def _middle(call: Call, x: Value, blind: bool) -> str:
    """[..., n] -> [..., 1]: the number in the middle, or the mean of both, or the lower one.

    Args:
        call: The operator.
        x: Its input, whose last axis is looked along.
        blind: Whether what is no number is left out; else it is the result.
    """
    mode = call.text("mode", "avg")
    if mode not in ("avg", "min") or x.type.numpy.kind != "f":
        call.refuse(f"mode = {mode[:50]} of {x.type.name}")
    last = x.rank - 1
    none = call.node("IsNaN", x.name)
    # Behind all that count.
    kept = call.node("Where", none, call.scalar(math.inf, x.type), x.name)
    ordered = call.nodes("TopK", kept, call.dims(x.name, last), outputs=2, axis=last, largest=0)[0]
    there = call.node("Cast", call.node("Not", none), to=INT64.onnx)
    axis = call.vector([last])
    count = call.node("ReduceSum", there, axis, keepdims=1)
    two = call.scalar(2, INT64)
    before = call.node("Sub", count, call.scalar(1, INT64))
    places = [call.node("Max", call.node("Div", before, two), call.scalar(0, INT64))]
    if mode == "avg":
        high = call.node("Min", call.node("Div", count, two), before)
        places.append(call.node("Max", high, places[0]))
    numbers = [call.node("GatherElements", ordered, place, axis=last) for place in places]
    made = numbers[0]
    if mode == "avg":
        made = call.node("Div", call.node("Add", *numbers), call.scalar(2, x.type))
    if blind:
        bad = call.node("Equal", count, call.scalar(0, INT64))
    else:
        missing = call.node("ReduceMax", call.node("Cast", none, to=INT32.onnx), axis, keepdims=1)
        bad = call.node("Cast", missing, to=BOOL.onnx)
    return call.node("Where", bad, call.scalar(math.nan, x.type), made)


def _median(call: Call, blind: bool = False) -> None:
    """The number in the middle, along some axes or all of them."""
    x = call.value()
    axes = sorted({call.axis(axis, x.rank) for axis in call.known("axis", "AxisTensor")})
    axes = axes or [*range(x.rank)]
    others = [axis for axis in range(x.rank) if axis not in axes]
    turned = call.node("Transpose", x.name, perm=[*others, *axes])
    flat = call.node("Reshape", turned, call.vector([0] * len(others) + [-1]))
    last = len(others)
    made = _middle(call, replace(x, name=flat, dims=(-1,) * (last + 1), array=None), blind)
    made = call.node("Squeeze", made, call.vector([last]))
    if call.flag("keepdim", True):
        call.put("Out", "Unsqueeze", made, call.vector(axes))
    else:
        call.put("Out", "Identity", made)


def _mode(call: Call) -> None:
    """The most frequent number, the least one where several are, and where it is last.

    Among more than 16 numbers Paddle names any of the equal ones: its sort is not stable.
    """
    x = call.value()
    axis = call.axis(call.integer("axis", -1), x.rank)
    order = [one for one in range(x.rank) if one != axis] + [axis]
    rows = call.node("Transpose", x.name, perm=order)
    last = call.vector([-1])
    pairs = [call.node("Unsqueeze", rows, call.vector([place])) for place in (-1, -2)]
    same = call.node("Cast", call.node("Equal", *pairs), to=INT64.onnx)
    counts = call.node("ReduceSum", same, last, keepdims=0)
    often = call.node("Equal", counts, call.node("ReduceMax", counts, last, keepdims=1))
    limit = math.inf if x.type.numpy.kind == "f" else int(np.iinfo(x.type.numpy).max)
    kept = call.node("Where", often, rows, call.scalar(limit, x.type))
    least = call.node("ReduceMin", kept, last, keepdims=1)
    places = call.node("Cast", call.node("Equal", rows, least), to=INT64.onnx)
    where = call.node("ArgMax", places, axis=x.rank - 1, keepdims=1, select_last_index=1)
    for slot, made in (("Out", least), ("Indices", where)):
        plain = call.node("Squeeze", made, last)
        if call.flag("keepdim"):
            call.put(slot, "Unsqueeze", plain, call.vector([axis]))
        else:
            call.put(slot, "Identity", plain)


def _unique(call: Call) -> None:
    x = call.value()
    axes = call.ints("axis")
    more = {"axis": call.axis(axes[0], x.rank)} if axes else {}
    ordered = int(call.flag("is_sorted"))
    if len(axes) > 1 or (not ordered and axes):
        call.refuse(f"axis = {axes[:20]}, is_sorted = {bool(ordered)}")
    found = call.nodes("Unique", x.name, outputs=4, sorted=ordered, **more)
    kind = call.kind("dtype") or INT64
    call.put("Out", "Identity", found[0])
    call.retype("Out", x.type)
    for slot, name in zip(("Indices", "Index", "Counts"), found[1:], strict=True):
        _put_index(call, slot, name, kind)


def _put_index(call: Call, slot: str, name: str, kind: ElementType) -> None:
    """Put what few programs ask for; what they declare of it is not always true."""
    if call.outputs(slot):
        call.put(slot, "Cast", name, to=kind.onnx)
        call.retype(slot, kind)


def _unique_consecutive(call: Call) -> None:
    """What is not equal to what stands before it."""
    x = call.value()
    if call.ints("axis"):
        call.refuse(f"axis = {call.ints('axis')[:20]}")
    flat = _flat(call, x.name)
    tail = call.node("Slice", flat, *map(call.vector, ([1], [INT_LIMIT], [0])))
    head = call.node("Slice", flat, *map(call.vector, ([0], [-1], [0])))
    first = call.graph.constant(np.array([True]))
    new = call.node("Concat", first, call.node("Not", call.node("Equal", tail, head)), axis=0)
    call.put("Out", "Compress", flat, new, axis=0)
    call.retype("Out", x.type)
    kind = call.kind("dtype") or INT64
    if call.outputs("Index"):
        rank = call.node("CumSum", call.node("Cast", new, to=INT64.onnx), call.scalar(0, INT64))
        _put_index(call, "Index", call.node("Sub", rank, call.vector([1])), kind)
    if call.outputs("Counts"):
        begins = call.node("Squeeze", call.node("NonZero", new), call.vector([0]))
        after = call.node("Slice", begins, *map(call.vector, ([1], [INT_LIMIT], [0])))
        ends = call.node("Concat", after, call.dims(flat), axis=0)
        _put_index(call, "Counts", call.node("Sub", ends, begins), kind)


def _bin_count(call: Call) -> None:
    x, weights = call.value(), call.maybe("Weights")
    index = call.cast(x.name, x.type, INT64)
    length = call.node("Add", call.node("ReduceMax", index, keepdims=0), call.scalar(1, INT64))
    least = call.number("minlength", "MinLength", 0)
    length = call.node("Max", length, call.scalar(least, INT64))
    kind = INT64 if weights is None else weights.type
    shape = call.node("Unsqueeze", length, call.vector([0]))
    nothing = call.node("Expand", call.scalar(0, kind), shape)
    ones = call.node("Expand", call.scalar(1, kind), call.dims(index))
    made = weights.name if weights is not None else ones
    call.put("Out", "ScatterElements", nothing, index, made, axis=0, reduction="add")


def _is_empty(call: Call) -> None:
    call.put("Out", "Equal", call.node("Size", call.value().name), call.scalar(0, INT64))


TABLE: Mapping[str, Rule] = {
    "gather": _gather,
    "gather_nd": _gather_nd,
    "index_sample": _index_sample,
    "index_select": _index_select,
    "lookup_table": partial(_lookup, squeezed=True),
    "lookup_table_v2": partial(_lookup, squeezed=False),
    "one_hot": partial(_one_hot, attribute="depth", slot="depth_tensor", squeezed=True),
    "one_hot_v2": partial(_one_hot, attribute="depth", slot="depth_tensor", squeezed=False),
    "scatter_nd_add": _scatter_nd_add,
    "take_along_axis": _take_along,
    "where_index": _nonzero,
    "bincount": _bin_count,
    "crop_tensor": _crop,
    "diag_embed": _diag_embed,
    "diag_v2": _diag,
    "diagonal": _diagonal,
    "eye": _eye,
    "fill_diagonal": _fill_diagonal,
    "index_add": _index_add,
    "index_put": _index_put,
    "is_empty": _is_empty,
    "kthvalue": _kth_value,
    "masked_select": _masked_select,
    "median": _median,
    "mode": _mode,
    "multiplex": _multiplex,
    "nanmedian": partial(_median, blind=True),
    "put_along_axis": _put_along,
    "repeat_interleave": _repeat,
    "scatter": _scatter,
    "searchsorted": _search_sorted,
    "sequence_mask": _sequence_mask,
    "set_value": _set_value,
    "trace": _trace,
    "tril_indices": partial(_triangle_indices, lower=True),
    "triu_indices": partial(_triangle_indices, lower=False),
    "unique": _unique,
    "unique_consecutive": _unique_consecutive,
}

_SLICES = "StartsTensor EndsTensor StepsTensor"
_PUT = {"axis": "Axis", "reduce": "Reduce", "include_self": "Include_self"}
ROWS: Mapping[str, Row] = {
    "embedding": row("lookup_table_v2", "Ids W"),
    "gather": row("gather", "X Index Axis"),
    "gather_nd": row("gather_nd", "X Index"),
    "index_select": row("index_select", "X Index", axis="dim"),
    "nonzero": row("where_index", "Condition"),
    "one_hot": row("one_hot_v2", "X depth_tensor"),
    "scatter_nd_add": row("scatter_nd_add", "X Index Updates"),
    "take_along_axis": row("take_along_axis", "Input Index", "Result", axis="Axis"),
    "bincount": row("bincount", "X Weights MinLength"),
    "crop": row("crop_tensor", "X Shape Offsets"),
    "diag": row("diag_v2"),
    "diag_embed": row("diag_embed", "Input"),
    "diagonal": row("diagonal", "Input"),
    "eye": row("eye", "Rows Columns"),
    "fill_diagonal": row("fill_diagonal"),
    "index_add": row("index_add", "X Index AddValue"),
    "index_put": row("index_put", "X Indices Value"),
    "index_sample": row("index_sample", "X Index"),
    "is_empty": row("is_empty"),
    "kthvalue": row("kthvalue", "X", "Out Indices"),
    "masked_select": row("masked_select", "X Mask", "Y"),
    "median": row("median", "X", "Out Medians"),
    "mode": row("mode", "X", "Out Indices"),
    "multiplex": row("multiplex", "X Ids"),
    "nanmedian": row("nanmedian", "X", "Out Medians"),
    "put_along_axis": row("put_along_axis", "Input Index Value", "Result", **_PUT),
    "repeat_interleave": row("repeat_interleave", repeats="Repeats", axis="dim"),
    "repeat_interleave_with_tensor_index": row("repeat_interleave", "X RepeatsTensor", axis="dim"),
    "scatter": row("scatter", "X Ids Updates"),
    "searchsorted": row("searchsorted", "SortedSequence Values"),
    "sequence_mask": row("sequence_mask", "X MaxLenTensor", "Y"),
    "set_value": row("set_value", f"Input {_SLICES}"),
    "set_value_with_tensor": row("set_value", f"Input ValueTensor {_SLICES}"),
    "trace": row("trace", "Input"),
    "tril_indices": row("tril_indices", ""),
    "triu_indices": row("triu_indices", ""),
    "unique": row("unique", "X", "Out Indices Index Counts"),
    "unique_consecutive": row("unique_consecutive", "X", "Out Index Counts"),
}
