"""Shapes: tensors reordered, cut, joined and repeated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from converters.importers.graph import INT64, INT_LIMIT, LARGEST_CONSTANT, LARGEST_RANK, Value
from converters.importers.paddle.build import Call, Counting, Rule
from converters.importers.paddle.rows import Row, row, same


def _reshape(call: Call) -> None:
    shape = call.integers("shape", "ShapeTensor", "Shape")
    if not isinstance(shape, str) and (
        len(shape) > LARGEST_RANK or shape.count(-1) > 1 or min(shape, default=0) < -1
    ):
        call.malformed(f"shape = {shape[:40]}")
    call.put("Out", "Reshape", call.value().name, call.as_vector(shape))


def _flatten_range(call: Call) -> None:
    x = call.value()
    if x.rank == 0:
        call.put("Out", "Reshape", x.name, call.vector([-1]))
        return
    start = call.axis(call.integer("start_axis", 1), x.rank)
    stop = call.axis(call.integer("stop_axis", -1), x.rank)
    if start > stop:
        call.malformed(f"start_axis {start} behind stop_axis {stop}")
    behind = x.shape[stop + 1 :]
    if all(size > 0 for size in behind):
        # Dimensions before are taken over.
        call.put("Out", "Reshape", x.name, call.vector([0] * start + [-1, *behind]))
        return
    parts = [call.dims(x.name, 0, start)] if start else []
    parts += [call.vector([-1]), call.dims(x.name, stop + 1)]
    call.put("Out", "Reshape", x.name, call.node("Concat", *parts, axis=0))


def _flatten(call: Call) -> None:
    x = call.value()
    call.put("Out", "Flatten", x.name, axis=call.axis(call.integer("axis", 1), x.rank + 1))


def _squeeze(call: Call) -> None:
    """Dimensions that are not 1 stay, even where they are named."""
    x = call.value()
    said = call.known("axes", "AxesTensor", "AxesTensorList")
    axes = sorted({call.axis(axis, x.rank) for axis in said}) or [*range(x.rank)]
    out = call.declared("Out")
    if any(x.size(axis) is None for axis in axes) and not (
        said and out is not None and len(out) == x.rank - len(axes)
    ):
        call.refuse(f"axes = {said}, of a tensor of the shape {list(x.shape)}")
    chosen = [axis for axis in axes if x.size(axis) in (1, None)]
    if chosen:
        call.put("Out", "Squeeze", x.name, call.vector(chosen))
    else:
        call.put("Out", "Identity", x.name)


def _unsqueeze(call: Call) -> None:
    """Dimensions are put in one after the other."""
    x = call.value()
    order: list[int | None] = [*range(x.rank)]
    said = call.known("axes", "AxesTensor", "AxesTensorList")
    if len(said) + x.rank > LARGEST_RANK:
        call.malformed(f"{len(said)} axes")
    for axis in said:
        order.insert(call.axis(axis, len(order) + 1), None)
    if x.array is not None:
        call.put_constant("Out", x.array.reshape([1 if d is None else x.shape[d] for d in order]))
        return
    axes = [place for place, dimension in enumerate(order) if dimension is None]
    call.put("Out", "Unsqueeze", x.name, call.vector(axes))


def _transpose(call: Call) -> None:
    x = call.value()
    order = [call.axis(axis, x.rank) for axis in call.ints("axis")]
    if sorted(order) != [*range(x.rank)]:
        call.malformed(f"axis = {order[:40]} of a tensor of {x.rank} dimensions")
    call.put("Out", "Transpose", x.name, perm=order)


def _concat(call: Call) -> None:
    values = call.values("X")
    if not values:
        call.malformed("nothing to join")
    axis = call.axis(call.number("axis", "AxisTensor", 0), max(value.rank for value in values))
    arrays = [value.array for value in values if value.array is not None]
    if len(arrays) == len(values) and sum(array.size for array in arrays) <= LARGEST_CONSTANT:
        if len({array.dtype for array in arrays}) == 1 and all(array.ndim == 1 for array in arrays):
            call.put_constant("Out", np.concatenate(arrays))
            return
    call.put("Out", "Concat", *(value.name for value in values), axis=axis)


def _split(call: Call) -> None:
    x = call.value()
    axis = call.axis(call.number("axis", "AxisTensor", 0), x.rank)
    outputs = call.outputs("Out")
    sizes = call.integers("sections", "SectionsTensorList")
    number = call.integer("num", 0)
    if isinstance(sizes, str):
        call.put_all("Out", "Split", x.name, sizes, axis=axis)
        return
    if sizes:
        if len(sizes) != len(outputs) or sizes.count(-1) > 1:
            call.malformed(f"sections = {sizes[:40]} for {len(outputs)} outputs")
        if -1 in sizes:
            whole = x.size(axis)
            if whole is None:
                call.put_all("Out", "Split", x.name, _with_rest(call, x, axis, sizes), axis=axis)
                return
            sizes[sizes.index(-1)] = whole - sum(sizes) - 1
        if min(sizes) < 0:
            call.malformed(f"sections = {sizes[:40]}")
        call.put_all("Out", "Split", x.name, call.vector(sizes), axis=axis)
        return
    if number != len(outputs) or number < 1:
        call.malformed(f"num = {number} for {len(outputs)} outputs")
    call.put_all("Out", "Split", x.name, axis=axis, num_outputs=number)


def _with_rest(call: Call, x: Value, axis: int, sizes: list[int]) -> str:
    """Sizes of parts, where -1 is what the others leave of a dimension."""
    place = sizes.index(-1)
    others = call.vector([sum(sizes) + 1])
    rest = call.node("Sub", call.dims(x.name, axis, axis + 1), others)
    parts = [call.vector(sizes[:place]), rest, call.vector(sizes[place + 1 :])]
    return call.node("Concat", *parts, axis=0)


def _stack(call: Call) -> None:
    values = call.values("X")
    if not values:
        call.malformed("nothing to stack")
    axis = call.axis(call.integer("axis", 0), values[0].rank + 1)
    arrays = [value.array for value in values if value.array is not None]
    if len(arrays) == len(values) and sum(array.size for array in arrays) <= LARGEST_CONSTANT:
        if len({(array.dtype, array.shape) for array in arrays}) == 1:
            call.put_constant("Y", np.stack(arrays, axis))
            return
    place = call.vector([axis])
    if len(values) == 1:
        call.put("Y", "Unsqueeze", values[0].name, place)
        return
    parts = [call.node("Unsqueeze", value.name, place) for value in values]
    call.put("Y", "Concat", *parts, axis=axis)


def _unstack(call: Call, slot: str) -> None:
    x = call.value()
    axis = call.axis(call.integer("axis", 0), x.rank)
    count = len(call.outputs(slot))
    if count < 1 or x.size(axis) not in (count, None):
        call.malformed(f"{count} outputs for a tensor of the shape {list(x.shape)}")
    parts = call.nodes("Split", x.name, outputs=count, axis=axis, num_outputs=count)
    for index, part in enumerate(parts):
        call.put_at(slot, index, "Squeeze", part, call.vector([axis]))


def _sliced(call: Call, x: Value, *inputs: str) -> None:
    """Put a slice, without the dimensions that are dropped."""
    dropped = sorted({call.axis(axis, x.rank) for axis in call.ints("decrease_axis")})
    if not dropped:
        call.put("Out", "Slice", x.name, *inputs)
    else:
        call.put("Out", "Squeeze", call.node("Slice", x.name, *inputs), call.vector(dropped))
        if len(dropped) == x.rank:
            call.redeclare("Out", ())


def _slice(call: Call) -> None:
    x = call.value("Input")
    axes = [call.axis(axis, x.rank) for axis in call.ints("axes")]
    starts = call.integers("starts", "StartsTensor", "StartsTensorList")
    ends = call.integers("ends", "EndsTensor", "EndsTensorList")
    if len(set(axes)) != len(axes):
        call.malformed(f"axes = {axes[:40]}")
    for numbers in (starts, ends):
        if not isinstance(numbers, str) and len(numbers) != len(axes):
            call.malformed(f"{len(numbers)} positions for {len(axes)} axes")
    if not isinstance(starts, str) and not isinstance(ends, str):
        dropped = call.ints("decrease_axis")
        ends = [
            INT_LIMIT if axis in dropped and start == -1 and end == 0 else end
            for axis, start, end in zip(axes, starts, ends, strict=True)
        ]
        if x.array is not None and x.rank == 1 and len(axes) == 1:
            part = x.array[starts[0] : ends[0]]
            if dropped and part.size == 1:
                part = part.reshape([])
            if not dropped or part.ndim == 0:
                call.put_constant("Out", part)
                return
    elif len(axes) == 1 and axes == call.ints("decrease_axis"):
        places = [
            value for slot in ("StartsTensor", "StartsTensorList") for value in call.values(slot)
        ]
        if len(places) == 1:
            _picked(call, x, call.lone(places[0], INT64), axes[0])
            return
    _sliced(call, x, call.as_vector(starts), call.as_vector(ends), call.vector(axes))


def _picked(call: Call, x: Value, place: str, axis: int) -> None:
    """One place along a dimension, which goes."""
    if isinstance(x, Counting) and x.step is not None:
        far = place if x.step == 1 else call.node("Mul", place, call.scalar(x.step, INT64))
        call.put("Out", "Add", x.start, far)
        call.redeclare("Out", ())
        return
    call.put("Out", "Gather", x.name, place, axis=axis)
    if x.rank == 1:
        call.redeclare("Out", ())


def _strided_slice(call: Call) -> None:
    x = call.value("Input")
    axes = [call.axis(axis, x.rank) for axis in call.ints("axes")]
    starts, ends, strides = (
        call.integers(f"{name}s", f"{name.title()}sTensor", f"{name.title()}sTensorList")
        for name in ("start", "end", "stride")
    )
    for numbers in (starts, ends, strides):
        if not isinstance(numbers, str) and len(numbers) != len(axes):
            call.malformed(f"{len(numbers)} positions for {len(axes)} axes")
    if isinstance(strides, str) or 0 in strides:
        call.refuse("strides that are zero or not known")
    inputs = (call.as_vector(starts), call.as_vector(ends), call.vector(axes), call.vector(strides))
    _sliced(call, x, *inputs)


def _expand(call: Call) -> None:
    shape = call.integers("shape", "Shape", "expand_shapes_tensor")
    if isinstance(shape, str):
        one = call.vector([1])
        kept = call.node("Equal", shape, call.vector([-1]))
        call.put("Out", "Expand", call.value().name, call.node("Where", kept, one, shape))
        return
    if min(shape, default=0) < -1 or len(shape) > LARGEST_RANK:
        call.malformed(f"shape = {shape[:40]}")
    sizes = [1 if size == -1 else size for size in shape]
    call.put("Out", "Expand", call.value().name, call.vector(sizes))


def _expand_as(call: Call) -> None:
    x = call.value()
    other = call.maybe("Y") or call.maybe("target_tensor")
    if other is not None:
        call.put("Out", "Expand", x.name, call.dims(other.name))
        return
    shape = call.ints("target_shape")
    if not shape or len(shape) > LARGEST_RANK or min(shape) < 0:
        call.malformed(f"target_shape = {shape[:40]}")
    call.put("Out", "Expand", x.name, call.vector(shape))


def _tile(call: Call, attribute: str, *slots: str) -> None:
    x = call.value()
    repeats = call.integers(attribute, *slots)
    count = call.length(*slots) if isinstance(repeats, str) else len(repeats)
    if count > LARGEST_RANK or (not isinstance(repeats, str) and min(repeats, default=1) < 1):
        call.malformed(f"{attribute} = {repeats[:40]}")
    name, extra = x.name, count - x.rank
    if extra > 0:
        name = call.node("Unsqueeze", name, call.vector(range(extra)))
    if isinstance(repeats, str):
        ones = call.vector([1] * -extra)
        factors = call.node("Concat", ones, repeats, axis=0) if extra < 0 else repeats
        call.put("Out", "Tile", name, factors)
        return
    known = [1] * -extra + repeats
    call.put("Out", "Tile", name, call.vector(known))
    # What Paddle 3 declares for the operator before version 2 is not what it computes.
    sizes = (1,) * extra + x.shape
    made = (-1 if size < 0 else size * factor for size, factor in zip(sizes, known, strict=True))
    call.redeclare("Out", tuple(made))


def _flip(call: Call) -> None:
    x = call.value()
    axes = sorted({call.axis(axis, x.rank) for axis in call.ints("axis")})
    count = len(axes)
    if not axes:
        call.put("Out", "Identity", x.name)
        return
    inputs = [[-1] * count, [-INT_LIMIT] * count, axes, [-1] * count]
    call.put("Out", "Slice", x.name, *map(call.vector, inputs))


def _roll(call: Call) -> None:
    x = call.value()
    shifts, axes = call.integers("shifts", "ShiftsTensor"), call.ints("axis")
    count = call.length("ShiftsTensor") if isinstance(shifts, str) else len(shifts)
    name = x.name
    places = [call.axis(axis, x.rank) for axis in axes] or [0]
    if not axes:
        name = call.node("Reshape", name, call.vector([-1]))
    if count != len(places):
        call.malformed(f"{count} shifts for {len(places)} axes")
    for index, axis in enumerate(places):
        where = call.vector([axis])
        if isinstance(shifts, str):
            shift = call.node("Neg", call.node("Gather", shifts, call.vector([index]), axis=0))
        else:
            shift = call.vector([-shifts[index]])
        cut = call.node("Mod", shift, call.dims(name, axis, axis + 1))
        behind = call.node("Slice", name, cut, call.vector([INT_LIMIT]), where)
        before = call.node("Slice", name, call.vector([0]), cut, where)
        name = call.node("Concat", behind, before, axis=axis)
    if axes:
        call.put("Out", "Identity", name)
    else:
        call.put("Out", "Reshape", name, call.dims(x.name))


def _triangle(call: Call, upper: bool | None = None) -> None:
    if upper is None:
        upper = not call.flag("lower", True)
    diagonal = call.scalar(call.integer("diagonal", 0), INT64)
    call.put("Out", "Trilu", call.value().name, diagonal, upper=int(upper))


def _mesh(call: Call) -> None:
    values = call.values("X")
    count = len(values)
    if not 0 < count <= LARGEST_RANK or len(call.outputs("Out")) != count:
        call.malformed(f"{count} inputs and {len(call.outputs('Out'))} outputs")
    flat = [call.node("Reshape", value.name, call.vector([-1])) for value in values]
    sizes = call.node("Concat", *map(call.dims, flat), axis=0)
    for index, name in enumerate(flat):
        shape = [1] * count
        shape[index] = -1
        column = call.node("Reshape", name, call.vector(shape))
        call.put_at("Out", index, "Expand", column, sizes)


TABLE: Mapping[str, Rule] = {
    "concat": _concat,
    "expand": lambda call: _tile(call, "expand_times", "ExpandTimes", "expand_times_tensor"),
    "expand_as_v2": _expand_as,
    "expand_v2": _expand,
    "flatten": _flatten,
    "flatten2": _flatten,
    "flatten_contiguous_range": _flatten_range,
    "flip": _flip,
    "meshgrid": _mesh,
    "reshape": _reshape,
    "reshape2": _reshape,
    "roll": _roll,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "squeeze2": _squeeze,
    "stack": _stack,
    "strided_slice": _strided_slice,
    "tile": lambda call: _tile(call, "repeat_times", "RepeatTimes", "repeat_times_tensor"),
    "transpose": _transpose,
    "transpose2": _transpose,
    "tril": partial(_triangle, upper=False),
    "tril_triu": _triangle,
    "triu": partial(_triangle, upper=True),
    "unbind": partial(_unstack, slot="Out"),
    "unsqueeze": _unsqueeze,
    "unsqueeze2": _unsqueeze,
    "unstack": partial(_unstack, slot="Y"),
}

ROWS: Mapping[str, Row] = {
    **same("flip", "unbind"),
    "concat": row("concat", "X AxisTensor"),
    "expand": row("expand_v2", "X Shape"),
    "expand_as": row("expand_as_v2", "X Y"),
    "flatten": row("flatten_contiguous_range", stop_axis="stop_axis"),
    "meshgrid": row("meshgrid"),
    "reshape": row("reshape2", "X Shape"),
    "roll": row("roll", "X ShiftsTensor"),
    "slice": row("slice", "Input StartsTensor EndsTensor"),
    "split": row("split", "X SectionsTensorList AxisTensor"),
    "split_with_num": row("split", "X AxisTensor"),
    "squeeze": row("squeeze2", "X AxesTensor"),
    "stack": row("stack", "X", "Y"),
    "strided_slice": row("strided_slice", "Input StartsTensor EndsTensor StridesTensor"),
    "tile": row("tile", "X RepeatTimes"),
    "transpose": row("transpose2", perm="axis"),
    "tril": row("tril"),
    "triu": row("triu"),
    "unsqueeze": row("unsqueeze2", "X AxesTensor"),
    "unstack": row("unstack", "X", "Y"),
}
