"""Shapes: tensors reordered, cut, joined and repeated."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from converters.dtypes import BY_NAME
from converters.importers.graph import INT64, INT_LIMIT, LARGEST_CONSTANT, LARGEST_RANK, Value
from converters.importers.mindspore.build import BOOL, MOST_PARTS, Call, Given, Rule, Scalar

INT32 = BY_NAME["int32"]
FLOAT = BY_NAME["float32"]


def _reshape(call: Call, x: Given, shape: Given) -> Given:
    x = call.tensor(x)
    wanted = call.integers(shape, "shape")
    if not isinstance(wanted, str):
        if len(wanted) > LARGEST_RANK:
            call.malformed(f"a shape of {len(wanted)} dimensions")
        if x.array is not None and min(wanted, default=1) >= -1:
            if -1 in wanted or math.prod(wanted) == x.array.size:
                try:
                    return call.known(x.array.reshape(wanted))
                except ValueError:
                    call.malformed(f"shape {wanted} for {x.array.size} elements")
        if 0 in wanted:
            return call.node("Reshape", x.name, call.vector(wanted), allowzero=1)
    return call.node("Reshape", x.name, call.as_vector(wanted))


def _view_as(call: Call, x: Given, other: Given) -> str:
    return call.node("Reshape", call.name(x), call.dims(call.name(other)))


def _flatten(call: Call, input_x: Given) -> str:
    x = call.tensor(input_x)
    if x.rank == 2:
        return call.node("Identity", x.name)
    return call.node("Flatten", x.name, axis=1 if x.rank > 1 else 0)


def _flatten_ext(call: Call, x: Given, start_dim: Given = 0, end_dim: Given = -1) -> str:
    x = call.tensor(x)
    first = call.axis(call.whole(start_dim, "start_dim"), x.rank)
    last = call.axis(call.whole(end_dim, "end_dim"), x.rank)
    if last < first:
        call.malformed(f"start_dim = {first}, end_dim = {last}")
    parts = [call.dims(x.name, 0, first)] if first else []
    parts.append(call.vector([-1]))
    parts += [call.dims(x.name, last + 1)] if last + 1 < x.rank else []
    shape = parts[0] if len(parts) == 1 else call.node("Concat", *parts, axis=0)
    return call.node("Reshape", x.name, shape)


def _transpose(call: Call, x: Given, dims: Given) -> str:
    x = call.tensor(x)
    order = [call.axis(one, x.rank) for one in call.ints(dims, "dims")]
    if sorted(order) != [*range(x.rank)]:
        call.malformed(f"dims = {order[:20]} for {x.rank} dimensions")
    return call.node("Transpose", x.name, perm=order)


def _swap(call: Call, x: Given, dim0: Given, dim1: Given) -> str:
    x = call.tensor(x)
    first, second = (call.axis(call.whole(one, "dim"), x.rank) for one in (dim0, dim1))
    order = [*range(x.rank)]
    order[first], order[second] = order[second], order[first]
    return call.node("Transpose", x.name, perm=order)


def _transpose_ext(call: Call, x: Given) -> str:
    x = call.tensor(x)
    return call.node("Transpose", x.name, perm=[*range(x.rank)][::-1])


def _expand_dims(call: Call, input_x: Given, axis: Given) -> Given:
    x = call.tensor(input_x)
    along = call.along(call.whole(axis, "axis"), x, 1)
    if x.array is not None:
        return call.known(np.expand_dims(x.array, along))
    return call.node("Unsqueeze", x.name, call.vector([along]))


def _squeeze(call: Call, x: Given, axis: Given = ()) -> Given:
    x = call.tensor(x)
    said = [] if axis is None else call.ints(axis, "axis")
    if said:
        axes = [call.along(one, x) for one in said]
    elif min(x.shape, default=0) < 0:
        call.refuse("no axis, for sizes that are not known")
    else:
        axes = [place for place, size in enumerate(x.shape) if size == 1]
    if x.array is not None and all(x.array.shape[one] == 1 for one in axes):
        return call.known(np.squeeze(x.array, tuple(axes)))
    return (
        call.node("Squeeze", x.name, call.vector(axes)) if axes else call.node("Identity", x.name)
    )


def _concat(call: Call, tensors: Given, axis: Given = 0) -> Given:
    kind = call.out_kind()
    values = [call.tensor(one, kind) for one in call.items(tensors)]
    if not values:
        call.malformed("nothing to join")
    along = call.along(call.whole(axis, "axis"), values[0])
    arrays = [one.array for one in values if one.array is not None]
    if len(arrays) == len(values) and sum(one.size for one in arrays) <= LARGEST_CONSTANT:
        try:
            return call.known(np.concatenate(arrays, along))
        except ValueError:
            call.malformed("tensors that cannot be joined")
    return call.node("Concat", *(one.name for one in values), axis=along)


def _stack(call: Call, tensors: Given, axis: Given = 0) -> str:
    kind = call.out_kind()
    values = [call.tensor(one, kind) for one in call.items(tensors)]
    if not values:
        call.malformed("nothing to join")
    along = call.axis(call.whole(axis, "axis"), values[0].rank + 1)
    where = call.vector([along])
    parts = [call.node("Unsqueeze", one.name, where) for one in values]
    return call.node("Concat", *parts, axis=along)


def _stack_ext(call: Call, tensors: Given, dim: Given = 0) -> str:
    return _stack(call, tensors, dim)


def _unstack(call: Call, x: Given, axis: Given = 0) -> list[str]:
    x = call.tensor(x)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    count = x.size(along)
    if count is None or count > MOST_PARTS:
        call.refuse("a size that is not known" if count is None else f"{count} parts")
    return [
        call.node("Gather", x.name, call.scalar(place, INT64), axis=along) for place in range(count)
    ]


def _unstack_ext(call: Call, x: Given, dim: Given = 0) -> list[str]:
    return _unstack(call, x, dim)


def _split(call: Call, input_x: Given, axis: Given = 0, output_num: Given = 1) -> list[str]:
    x = call.tensor(input_x)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    count = call.whole(output_num, "output_num")
    if not 1 <= count <= MOST_PARTS:
        call.malformed(f"output_num = {count}")
    if count == 1:
        return [call.node("Identity", x.name)]
    return call.nodes("Split", x.name, outputs=count, axis=along, num_outputs=count)


def _split_sizes(call: Call, x: Given, split_size: Given, dim: Given = 0) -> list[str]:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    sizes = call.ints(split_size, "split_size")
    if not 1 <= len(sizes) <= MOST_PARTS or min(sizes) < 0:
        call.malformed(f"split_size = {sizes[:20]}")
    return call.nodes("Split", x.name, call.vector(sizes), outputs=len(sizes), axis=along)


def _split_tensor(call: Call, x: Given, split_size: Given, dim: Given = 0) -> list[str]:
    """Parts of one size, but for the last."""
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    total, size = x.size(along), call.whole(split_size, "split_size")
    if total is None:
        call.refuse("a size that is not known")
    if size < 1 or total / size > MOST_PARTS:
        call.malformed(f"split_size = {size}")
    sizes = [min(size, total - begin) for begin in range(0, total, size)]
    return _split_sizes(call, x, tuple(sizes), along)


def _chunk(call: Call, x: Given, chunks: Given, dim: Given = 0) -> list[str]:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    total, count = x.size(along), call.whole(chunks, "chunks")
    if total is None:
        call.refuse("a size that is not known")
    if not 1 <= count <= MOST_PARTS:
        call.malformed(f"chunks = {count}")
    return _split_tensor(call, x, max(-(-total // count), 1), along)


def _tile(call: Call, x: Given, dims: Given) -> str:
    x = call.tensor(x)
    times = call.integers(dims, "dims")
    if isinstance(times, str):
        call.refuse("dims are computed as a tensor")
    if len(times) > LARGEST_RANK or min(times, default=0) < 0:
        call.malformed(f"dims = {times[:20]}")
    name = x.name
    if len(times) > x.rank:
        name = call.node("Unsqueeze", name, call.vector(range(len(times) - x.rank)))
    times = [1] * (x.rank - len(times)) + times
    return call.node("Tile", name, call.vector(times))


def _tile_any(call: Call, x: Given, dims: Given) -> str:
    """Times that are known, or numbers that the model computes, one for each dimension."""
    if isinstance(dims, tuple) and any(isinstance(one, Scalar) for one in dims):
        if len(dims) != call.tensor(x).rank:
            call.refuse("dims are computed, for another number of dimensions")
        return call.node("Tile", call.name(x), call.as_vector(call.integers(dims, "dims")))
    return _tile(call, x, dims)


def _repeat(
    call: Call, x: Given, repeats: Given, dim: Given = None, output_size: Given = None
) -> str:
    """Each element so many times, one behind the other."""
    x = call.tensor(x)
    count = call.whole(repeats, "repeats")
    if not 0 < count <= MOST_PARTS:
        call.refuse(f"repeats = {count}")
    if dim is None:
        x = Value(call.node("Reshape", x.name, call.vector([-1])), x.kind, (-1,))
        dim = 0
    along = call.axis(call.whole(dim, "dim"), x.rank)
    wide = call.node("Unsqueeze", x.name, call.vector([along + 1]))
    times = [1] * (x.rank + 1)
    times[along + 1] = count
    wide = call.node("Tile", wide, call.vector(times))
    parts = [call.dims(x.name, 0, along)] if along else []
    parts.append(call.vector([-1]))
    parts += [call.dims(x.name, along + 1)] if along + 1 < x.rank else []
    shape = parts[0] if len(parts) == 1 else call.node("Concat", *parts, axis=0)
    return call.node("Reshape", wide, shape)


def _broadcast(call: Call, x: Given, shape: Given) -> str:
    x = call.tensor(x)
    # A size of one, broadcast, is the size that is there: what -1 means.
    parts = shape if isinstance(shape, tuple) else (shape,)
    wanted = call.integers(tuple(1 if one == -1 else one for one in parts), "shape")
    if isinstance(wanted, str):
        kept = call.node("Abs", wanted) if isinstance(shape, Value) else wanted
        return call.node("Expand", x.name, kept)
    wanted = [1 if one == -1 else one for one in wanted]
    if len(wanted) > LARGEST_RANK or min(wanted, default=0) < 0:
        call.malformed(f"shape = {wanted[:20]}")
    return call.node("Expand", x.name, call.vector(wanted))


def _expand_as(call: Call, x: Given, other: Given) -> str:
    return call.node("Expand", call.name(x), call.dims(call.name(other)))


def _flip(call: Call, x: Given, axis: Given) -> str:
    x = call.tensor(x)
    axes = [call.axis(one, x.rank) for one in call.ints(axis, "axis")]
    if not axes:
        return call.node("Identity", x.name)
    ends = ([-1] * len(axes), [-INT_LIMIT] * len(axes), axes, [-1] * len(axes))
    return call.node("Slice", x.name, *map(call.vector, ends))


def _roll(call: Call, x: Given, shifts: Given, dims: Given = None) -> str:
    x = call.tensor(x)
    moves = call.ints(shifts, "shifts")
    axes = [] if dims is None else [call.axis(one, x.rank) for one in call.ints(dims, "dims")]
    if not axes or len(axes) != len(moves):
        call.refuse(f"{len(moves)} shifts for {len(axes)} dims")
    name = x.name
    for move, axis in zip(moves, axes, strict=True):
        where = call.vector([axis])
        size = x.size(axis)
        if size is None:
            call.refuse("a size that is not known")
        cut = -(move % size) if size else 0
        if not cut:
            continue
        tail = call.node("Slice", name, call.vector([cut]), call.vector([INT_LIMIT]), where)
        head = call.node("Slice", name, call.vector([0]), call.vector([cut]), where)
        name = call.node("Concat", tail, head, axis=axis)
    return call.node("Identity", name) if name == x.name else name


def _triangle(upper: int) -> Rule:
    def rule(call: Call, x: Given, diagonal: Given = 0) -> str:
        x = call.tensor(x)
        k = call.scalar(call.whole(diagonal, "diagonal"), INT64)
        if x.type == BOOL:
            made = call.node("Trilu", call.name(x, INT32), k, upper=upper)
            return call.node("Cast", made, to=BOOL.onnx)
        return call.node("Trilu", x.name, k, upper=upper)

    return rule


def _mesh(call: Call, inputs: Given, indexing: Given = 1) -> list[str]:
    """By numbers of Indexing, ops/include/op_enum.h: 0 is ij, 1 is xy."""
    call.only("indexing", indexing, 0, 1, "ij", "xy")
    values = [call.tensor(one) for one in call.items(inputs)]
    if not 1 <= len(values) <= LARGEST_RANK or any(one.rank != 1 for one in values):
        call.refuse("what is no vector")
    places = [*range(len(values))]
    if indexing in (1, "xy") and len(values) > 1:
        places[:2] = [1, 0]
    wide = []
    for place, value in zip(places, values, strict=True):
        shape = [1] * len(values)
        shape[place] = -1
        wide.append(call.node("Reshape", value.name, call.vector(shape)))
    order = sorted(range(len(values)), key=lambda one: places[one])
    full = [call.dims(values[one].name) for one in order]
    shape_name = full[0] if len(full) == 1 else call.node("Concat", *full, axis=0)
    return [call.node("Expand", one, shape_name) for one in wide]


def _diag(call: Call, x: Given) -> str:
    x = call.tensor(x)
    if x.rank != 1:
        call.refuse(f"{x.rank} dimensions")
    size = call.dims(x.name)
    square = call.node("Concat", size, size, axis=0)
    eye = call.node("EyeLike", call.node("ConstantOfShape", square), dtype=FLOAT.onnx)
    eye = call.node("Cast", eye, to=BOOL.onnx)
    return call.node("Where", eye, x.name, call.scalar(0, x.type))


def _narrow(call: Call, x: Given, dim: Given, start: Given, length: Given) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    begin, count = call.whole(start, "start"), call.whole(length, "length")
    size = x.size(along)
    if begin < 0 and size is None:
        call.refuse(f"start = {begin}")
    begin += size if begin < 0 and size is not None else 0
    ends = ([begin], [begin + count], [along])
    return call.node("Slice", x.name, *map(call.vector, ends))


def _slice(call: Call, x: Given, begin: Given, size: Given) -> str:
    """So much from here on; -1 is all that there is."""
    x = call.tensor(x)
    starts, sizes = call.integers(begin, "begin"), call.integers(size, "size")
    axes = call.vector(range(x.rank))
    if isinstance(starts, str) or isinstance(sizes, str):
        first, count = call.as_vector(starts), call.as_vector(sizes)
        return call.node("Slice", x.name, first, call.node("Add", first, count), axes)
    if len(starts) != x.rank or len(sizes) != x.rank or min(starts, default=0) < 0:
        call.malformed(f"begin = {starts[:20]}, size = {sizes[:20]}")
    ends = [INT_LIMIT if n == -1 else b + n for b, n in zip(starts, sizes, strict=True)]
    return call.node("Slice", x.name, call.vector(starts), call.vector(ends), axes)


def _slice_ext(call: Call, x: Given, dim: Given, start: Given, end: Given, step: Given = 1) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    names = [call.row(one, what) for one, what in ((start, "start"), (end, "end"))]
    return call.node(
        "Slice", x.name, *names, call.vector([along]), call.vector([call.whole(step, "step")])
    )


def _strided_slice(
    call: Call,
    input_x: Given,
    begin: Given,
    end: Given,
    strides: Given,
    begin_mask: Given = 0,
    end_mask: Given = 0,
    ellipsis_mask: Given = 0,
    new_axis_mask: Given = 0,
    shrink_axis_mask: Given = 0,
) -> str:
    """A slice of each dimension, with masks whose bits count the slices."""
    x = call.tensor(input_x)
    # Kernels of MindSpore do not agree with its documentation here.
    call.only("ellipsis_mask", ellipsis_mask, 0)
    call.only("new_axis_mask", new_axis_mask, 0)
    steps = call.ints(strides, "strides")
    if x.dims is not None and len(steps) > x.rank:
        call.malformed(f"{len(steps)} slices of {x.rank} dimensions")
    firsts, lasts = _numbers(call, begin, len(steps)), _numbers(call, end, len(steps))
    no_begin, no_end, shrink = (
        [bool(call.whole(mask, "a mask") >> axis & 1) for axis in range(len(steps))]
        for mask in (begin_mask, end_mask, shrink_axis_mask)
    )
    slices: list[tuple[int, Given, Given, int]] = []
    for axis, (first, last, step) in enumerate(zip(firsts, lasts, steps, strict=True)):
        if step == 0 or (shrink[axis] and step < 0):
            call.malformed(f"a stride of {step}")
        if shrink[axis]:
            # One element, whatever the end says.
            slices.append((axis, first, _behind(call, first), 1))
            continue
        low, high = (0, INT_LIMIT) if step > 0 else (INT_LIMIT, -INT_LIMIT)
        first = low if no_begin[axis] else first
        last = high if no_end[axis] else last
        if (first, last, step) != (0, INT_LIMIT, 1):
            slices.append((axis, first, last, step))
    name = x.name
    if slices:
        axes, starts, ends, jumps = zip(*slices, strict=True)
        bounds = [call.as_vector(call.integers(one, "a slice")) for one in (starts, ends)]
        name = call.node("Slice", name, *bounds, call.vector(axes), call.vector(jumps))
    dropped = [axis for axis, drop in enumerate(shrink) if drop]
    if dropped:
        name = call.node("Squeeze", name, call.vector(dropped))
    return name if name != x.name else call.node("Identity", name)


def _numbers(call: Call, given: Given, count: int) -> list[Given]:
    """One by one: those that are known, and those that the model computes."""
    if isinstance(given, Value) and given.array is None:
        name = call.cast(given.name, given.type, INT64)
        parts = [
            Scalar(call.node("Slice", name, call.vector([at]), call.vector([at + 1])), INT64)
            for at in range(count)
        ]
        return [*parts]
    said = [*given] if isinstance(given, tuple) else [*call.ints(given, "a slice")]
    if len(said) != count:
        call.malformed(f"{len(said)} ends of {count} slices")
    return [one if isinstance(one, Scalar) else call.whole(one, "a slice") for one in said]


def _behind(call: Call, first: int | Scalar) -> int | Scalar:
    """The end of a slice of one element: behind the last one there is none."""
    if isinstance(first, int):
        return INT_LIMIT if first == -1 else first + 1
    name = call.cast(first.name, first.kind, INT64)
    following = call.node("Add", name, call.vector([1]))
    last = call.node("Equal", following, call.vector([0]))
    return Scalar(call.node("Where", last, call.vector([INT_LIMIT]), following), INT64)


TABLE: Mapping[str, Rule] = {
    "BroadcastTo": _broadcast,
    "BroadcastToView": _broadcast,
    "Chunk": _chunk,
    "ChunkView": _chunk,
    "Concat": _concat,
    "Diag": _diag,
    "DynamicBroadcastTo": _broadcast,
    "ExpandAs": _expand_as,
    "ExpandDims": _expand_dims,
    "ExpandDimsView": _expand_dims,
    "Flatten": _flatten,
    "FlattenExt": _flatten_ext,
    "Meshgrid": _mesh,
    "Narrow": _narrow,
    "NarrowView": _narrow,
    "RepeatInterleaveInt": _repeat,
    "Reshape": _reshape,
    "ReverseV2": _flip,
    "Roll": _roll,
    "Slice": _slice,
    "SliceExt": _slice_ext,
    "SliceExtView": _slice_ext,
    "Split": _split,
    "SplitTensor": _split_tensor,
    "SplitTensorView": _split_tensor,
    "SplitWithSize": _split_sizes,
    "SplitWithSizeView": _split_sizes,
    "SplitV": lambda call, x, size_splits, split_dim=0: _split_sizes(
        call, x, size_splits, split_dim
    ),
    "Squeeze": _squeeze,
    "Stack": _stack,
    "StackExt": _stack_ext,
    "StridedSlice": _strided_slice,
    "TExt": _transpose_ext,
    "Tile": _tile_any,
    "Transpose": _transpose,
    "TransposeExtView": _swap,
    "TransposeView": _transpose,
    "Tril": _triangle(0),
    "TrilExt": _triangle(0),
    "Triu": _triangle(1),
    "Unstack": _unstack,
    "UnstackExtView": _unstack_ext,
    "View": _reshape,
    "ViewAs": _view_as,
}
