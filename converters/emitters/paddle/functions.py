"""Source that is copied into an emitted module when it calls one of these functions.

Each is an ONNX operator that PaddlePaddle has no one-line form for; it works on any device and is
differentiable where the operator is.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F  # noqa: N812 - as everyone writes it
from paddle import nn
from PIL import Image


def cast_each(
    tensors: tuple[paddle.Tensor, ...], dtypes: tuple[str, ...]
) -> tuple[paddle.Tensor, ...]:
    """Each tensor in its element type; an empty one stays."""
    return tuple(x.cast(dtype) if dtype else x for x, dtype in zip(tensors, dtypes))


# ***** arithmetic *****


def divide_integers(x: paddle.Tensor, y: paddle.Tensor) -> paddle.Tensor:
    """The quotient of integers, rounded toward zero."""
    floor = x // y
    return floor + ((floor * y != x) & ((x < 0) != (y < 0))).cast(floor.dtype)


def truncated_mod(x: paddle.Tensor, y: paddle.Tensor) -> paddle.Tensor:
    """The remainder with the sign of x, as fmod in C."""
    rest = x.abs() % y.abs()
    return paddle.where(x < 0, -rest, rest)


# ***** activations *****


def shrink(x: paddle.Tensor, bias: float, lambd: float) -> paddle.Tensor:
    """X + bias below -lambd, x - bias above lambd, else 0."""
    wide = x if x.is_floating_point() else x.cast("float64")
    below, above = (x < -lambd).cast(wide.dtype), (x > lambd).cast(wide.dtype)
    return ((wide + bias) * below + (wide - bias) * above).cast(x.dtype)


def hardmax(x: paddle.Tensor, axis: int) -> paddle.Tensor:
    """1 at the first largest element along an axis, else 0."""
    first = x.argmax(axis=axis, keepdim=True)
    return paddle.put_along_axis(paddle.zeros_like(x), first, 1.0, axis)


# ***** normalisation *****


def batch_norm_training(
    x: paddle.Tensor,
    scale: paddle.Tensor,
    bias: paddle.Tensor,
    mean: paddle.Tensor,
    var: paddle.Tensor,
    epsilon: float,
    momentum: float,
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Normalise by the batch's statistics; also gives the running ones."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    now_mean, now_var = x.mean(axis=axes), x.var(axis=axes, unbiased=False)
    y = (x - now_mean.reshape(shape)) / (now_var.reshape(shape) + epsilon).sqrt()
    y = y * scale.reshape(shape) + bias.reshape(shape)
    mean = mean * momentum + now_mean * (1 - momentum)
    return y, mean, var * momentum + now_var * (1 - momentum)


def layer_norm_with_statistics(
    x: paddle.Tensor, scale: paddle.Tensor, bias: paddle.Tensor | None, axis: int, epsilon: float
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Layer normalisation from `axis` on, with the mean and the inverse deviation."""
    axes = list(range(axis, x.ndim))
    mean = x.mean(axis=axes, keepdim=True)
    inverse = 1 / (((x - mean) ** 2).mean(axis=axes, keepdim=True) + epsilon).sqrt()
    y = (x - mean) * inverse * scale
    return (y if bias is None else y + bias), mean, inverse


def mean_variance_normalize(x: paddle.Tensor, axes: list[int]) -> paddle.Tensor:
    """(x - mean) / (deviation + 1e-9) over axes."""
    mean = x.mean(axis=axes, keepdim=True)
    deviation = ((x**2).mean(axis=axes, keepdim=True) - mean**2).sqrt()
    return (x - mean) / (deviation + 1e-9)


# ***** convolution and pooling *****


def same_sides(
    sizes: list[int],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    side: str,
) -> tuple[list[int], list[int]]:
    """Padding before and after each axis that gives ceil(size / stride) elements."""
    totals = [
        max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        for size, k, s, d in zip(sizes, kernel, stride, dilation)
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (small, large) if side == "upper" else (large, small)


def pad_same(
    x: paddle.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    side: str,
    value: float = 0.0,
) -> paddle.Tensor:
    """Pad so that the output has ceil(size / stride) elements; `side` gets the odd one."""
    begin, end = same_sides(x.shape[2:], kernel, stride, dilation, side)
    return F.pad(x, [0] * 4 + [n for pair in zip(begin, end) for n in pair], value=value)


def crop_or_pad(x: paddle.Tensor, sides: list[int], value: float = 0.0) -> paddle.Tensor:
    """Pad every axis before and after; cut off where a number is negative."""
    pairs = list(zip(sides[::2], sides[1::2]))
    kept = [slice(max(-b, 0), n - max(-e, 0)) for n, (b, e) in zip(x.shape, pairs)]
    return F.pad(x[tuple(kept)], [max(side, 0) for side in sides], value=value)


def windows(
    x: paddle.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    value: float,
    behind: float = 0.0,
) -> paddle.Tensor:
    """What a pooling window sees: [N, C, size of the kernel, places...].

    Args:
        pads: Before each spatial axis, then after each; or `upper` or `lower` for ceil(size / stride).
        value: Stands in the padding.
        behind: Stands where a last window reaches behind the padding.
    """
    n, sizes = len(kernel), x.shape[2:]
    if isinstance(pads, str):
        begin, end = same_sides(sizes, kernel, stride, dilation, pads)
    else:
        begin, end = list(pads[:n]), list(pads[n:])
    counts, rest = [], []
    for size, b, e, k, s, d in zip(sizes, begin, end, kernel, stride, dilation):
        reach = (k - 1) * d + 1
        room = size + b + e - reach
        count = (-(-room // s) if ceil_mode else room // s) + 1
        # A window may not start behind the input.
        count -= ceil_mode and (count - 1) * s >= size + b
        counts.append(count)
        rest += [0, max((count - 1) * s - room, 0)]
    x = F.pad(x, [0] * 4 + [side for pair in zip(begin, end) for side in pair], value=value)
    x = F.pad(x, [0] * 4 + rest, value=behind)
    parts = []
    for offset in itertools.product(*(range(k) for k in kernel)):
        taken = [
            slice(o * d, o * d + (count - 1) * s + 1, s)
            for o, d, count, s in zip(offset, dilation, counts, stride)
        ]
        parts.append(x[(slice(None), slice(None), *taken)])
    return paddle.stack(parts, axis=2)


def lowest(x: paddle.Tensor) -> float:
    """What is below every element."""
    return float("-inf") if x.is_floating_point() else paddle.iinfo(x.dtype).min


def max_pool(
    x: paddle.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
) -> paddle.Tensor:
    """Max pooling with dilation and any padding."""
    low = lowest(x)
    return windows(x, kernel, stride, dilation, pads, ceil_mode, low, low).max(axis=2)


def max_pool_with_indices(
    x: paddle.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    column_major: bool,
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Max pooling and where each maximum stands in the flattened input."""
    n, sizes, low = len(kernel), x.shape[2:], lowest(x)
    seen = windows(x, kernel, stride, dilation, pads, ceil_mode, low, low)
    places = paddle.arange(math.prod(sizes), dtype="int64")
    if column_major:
        places = places.reshape(sizes[::-1]).transpose(list(range(n))[::-1])
    places = places.reshape([1, 1, *sizes])
    places = windows(places, kernel, stride, dilation, pads, ceil_mode, 0.0).expand(seen.shape)
    first = seen.argmax(axis=2, keepdim=True)
    indices = paddle.take_along_axis(places, first, axis=2, broadcast=False).squeeze(2)
    images = paddle.arange(x.shape[0] * x.shape[1], dtype="int64") * math.prod(sizes)
    return seen.max(axis=2), indices + images.reshape([*x.shape[:2], *[1] * n])


def average_pool(
    x: paddle.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    count_include_pad: bool,
) -> paddle.Tensor:
    """Average pooling with dilation and any padding; what is behind the padding never counts."""
    sums = windows(x, kernel, stride, dilation, pads, ceil_mode, 0.0).sum(axis=2)
    ones = paddle.ones([1, 1, *x.shape[2:]], dtype=x.dtype)
    padding = float(count_include_pad)
    counts = windows(ones, kernel, stride, dilation, pads, ceil_mode, padding).sum(axis=2)
    return sums / counts


def lp_pool(
    x: paddle.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    p: int,
) -> paddle.Tensor:
    """The p-norm of each window."""
    seen = windows(x.abs() ** p, kernel, stride, dilation, pads, ceil_mode, 0.0)
    return seen.sum(axis=2) ** (1 / p)


# ***** attention *****


def attention(
    q: paddle.Tensor,
    k: paddle.Tensor,
    v: paddle.Tensor,
    scale: float,
    mask: paddle.Tensor | None = None,
) -> paddle.Tensor:
    """softmax(q @ k^T * scale + mask) @ v; q, k and v are [..., steps, width]."""
    scores = paddle.matmul(q, k, transpose_y=True) * scale
    if mask is not None:
        scores = scores + mask
    return F.softmax(scores) @ v


# ***** shape *****


def reshape(x: paddle.Tensor, shape: list[int]) -> paddle.Tensor:
    """Reshape to sizes among which a zero is a size, not one that is kept."""
    return paddle.zeros(shape, dtype=x.dtype) if 0 in shape else x.reshape(shape)


def expand(x: paddle.Tensor, shape: list[int]) -> paddle.Tensor:
    """Broadcast a tensor and a shape against each other."""
    return paddle.broadcast_tensors([x, paddle.zeros(shape, dtype=x.dtype)])[0]


def unsqueeze(x: paddle.Tensor, axes: list[int]) -> paddle.Tensor:
    """New axes of size one, at these places of the result."""
    rank = x.ndim + len(axes)
    return x.unsqueeze(sorted(axis % rank for axis in axes))


def split_evenly(x: paddle.Tensor, count: int, axis: int) -> list[paddle.Tensor]:
    """Parts of one size, the last one smaller where it does not divide."""
    size = -(-x.shape[axis] // count)
    return x.split([size] * (count - 1) + [x.shape[axis] - size * (count - 1)], axis=axis)


def depth_to_space(x: paddle.Tensor, block: int) -> paddle.Tensor:
    """[N, C, H, W] -> [N, C / block^2, H * block, W * block], blocks outermost in C."""
    n, c, h, w = x.shape
    x = x.reshape([n, block, block, c // block**2, h, w]).transpose([0, 3, 4, 1, 5, 2])
    return x.reshape([n, c // block**2, h * block, w * block])


def space_to_depth(x: paddle.Tensor, block: int) -> paddle.Tensor:
    """[N, C, H, W] -> [N, C * block^2, H / block, W / block], blocks outermost in C."""
    n, c, h, w = x.shape
    x = x.reshape([n, c, h // block, block, w // block, block]).transpose([0, 3, 5, 1, 2, 4])
    return x.reshape([n, c * block**2, h // block, w // block])


# ***** indexing *****


def from_start(indices: paddle.Tensor, size: int | paddle.Tensor) -> paddle.Tensor:
    """Indices as int64, negative ones counted from the end."""
    indices = indices.cast("int64")
    return paddle.where(indices < 0, indices + size, indices)


def gather(x: paddle.Tensor, indices: paddle.Tensor, axis: int) -> paddle.Tensor:
    """Slices along an axis. Brackets read views of other tensors wrongly; of no indices, they forget the axes before."""
    if indices.size == 0:
        shape = [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]
        return paddle.zeros(shape, dtype=x.dtype)
    return x.contiguous()[(slice(None),) * axis + (indices,)]


def gather_elements(x: paddle.Tensor, indices: paddle.Tensor, axis: int) -> paddle.Tensor:
    """Elements along an axis; negative indices count from the end."""
    indices, shape = from_start(indices, x.shape[axis]), indices.shape
    if x.ndim > 6:
        # The kernel takes six axes at most; here the others agree, and are folded.
        axis, x, indices = 1, folded(x, axis), folded(indices, axis)
    return paddle.take_along_axis(x, indices, axis, broadcast=False).reshape(shape)


def folded(x: paddle.Tensor, axis: int) -> paddle.Tensor:
    """What is before an axis as one axis, the axis, and what is behind it as one."""
    axis = axis % x.ndim
    return x.reshape([math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])])


def gather_nd(x: paddle.Tensor, indices: paddle.Tensor, batch_dims: int) -> paddle.Tensor:
    """Slices of x at the coordinates in the last axis of `indices`."""
    lead, depth = x.shape[:batch_dims], indices.shape[-1]
    shape = [*indices.shape[:-1], *x.shape[batch_dims + depth :]]
    n = math.prod(lead)
    x = x.reshape([n, *x.shape[batch_dims:]])
    sizes = paddle.to_tensor(x.shape[1 : depth + 1], dtype="int64")
    indices = from_start(indices, sizes).reshape([n, -1, depth])
    batch = paddle.arange(n, dtype="int64").reshape([n, 1, 1]).expand([n, indices.shape[1], 1])
    return paddle.gather_nd(x, paddle.concat([batch, indices], axis=-1)).reshape(shape)


def scatter_elements(
    x: paddle.Tensor, indices: paddle.Tensor, updates: paddle.Tensor, axis: int, reduce: str
) -> paddle.Tensor:
    """X with elements along an axis replaced by, or combined with, updates."""
    indices = from_start(indices, x.shape[axis])
    return paddle.put_along_axis(x, indices, updates, axis, reduce, broadcast=False)


def scatter_nd(
    x: paddle.Tensor, indices: paddle.Tensor, updates: paddle.Tensor, reduce: str
) -> paddle.Tensor:
    """X with slices at coordinates replaced by, or combined with, updates."""
    depth = indices.shape[-1]
    sizes = x.shape[:depth]
    steps = [math.prod(sizes[k + 1 :]) for k in range(depth)]
    places = from_start(indices, paddle.to_tensor(sizes, dtype="int64")).reshape([-1, depth])
    rows = (places * paddle.to_tensor(steps, dtype="int64")).sum(axis=-1, keepdim=True)
    flat = x.reshape([math.prod(sizes), -1])
    values = updates.reshape([rows.shape[0], flat.shape[1]])
    rows = rows.expand(values.shape)
    return paddle.put_along_axis(flat, rows, values, 0, reduce, broadcast=False).reshape(x.shape)


def slice_axes(
    x: paddle.Tensor,
    starts: list[int],
    ends: list[int],
    axes: list[int] | None,
    steps: list[int] | None,
) -> paddle.Tensor:
    """x[start:end:step] along axes that the model computes."""
    taken = [slice(None)] * x.ndim
    axes = axes or list(range(len(starts)))
    for axis, start, end, step in zip(axes, starts, ends, steps or [1] * len(starts)):
        # Backwards from before the first, Python takes nothing; the standard takes the first.
        taken[axis] = slice(max(start, -x.shape[axis]) if step < 0 else start, end, step)
    return x[tuple(taken)]


def compress(x: paddle.Tensor, condition: paddle.Tensor, axis: int | None) -> paddle.Tensor:
    """What stands along an axis (or in the flattened tensor) where a condition holds."""
    if axis is None:
        x, axis = x.flatten(), 0
    return paddle.index_select(x, condition.nonzero().flatten(), axis)


def one_hot(indices: paddle.Tensor, depth: int, values: paddle.Tensor, axis: int) -> paddle.Tensor:
    """values[1] at each index along a new axis, values[0] elsewhere."""
    place = axis % (indices.ndim + 1)
    indices = from_start(indices, int(depth)).unsqueeze(place)
    numbers = paddle.arange(int(depth), dtype="int64")
    hit = indices == numbers.reshape([-1] + [1] * (indices.ndim - place - 1))
    return paddle.where(hit, values[1], values[0])


def reverse_sequence(
    x: paddle.Tensor, lengths: paddle.Tensor, batch_axis: int, time_axis: int
) -> paddle.Tensor:
    """The first `lengths[b]` steps of each sequence backwards."""
    y = paddle.moveaxis(x, [batch_axis, time_axis], [0, 1])
    steps = paddle.arange(y.shape[1], dtype="int64").unsqueeze(0)
    ends = lengths.cast("int64").unsqueeze(1)
    order = paddle.where(steps < ends, ends - 1 - steps, steps)
    rows = paddle.arange(y.shape[0], dtype="int64").unsqueeze(1).expand(order.shape)
    return paddle.moveaxis(y[rows, order], [0, 1], [batch_axis, time_axis])


def unique(
    x: paddle.Tensor, axis: int | None, ordered: bool
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Unique slices with their first positions, the inverse and the counts."""
    if axis is None:
        x, axis = x.flatten(), 0
    # The kernel goes wrong along other axes than the first of a matrix.
    rows = paddle.moveaxis(x, axis, 0)
    y, inverse, counts = paddle.unique(
        rows.reshape([rows.shape[0], -1]), return_inverse=True, return_counts=True, axis=0
    )
    y = paddle.moveaxis(y.reshape([-1, *rows.shape[1:]]), 0, axis)
    places = paddle.arange(inverse.shape[0], dtype="int64")
    behind = paddle.full_like(counts, inverse.shape[0])
    first = paddle.put_along_axis(behind, inverse, places, 0, "amin")
    if not ordered:
        order = first.argsort()
        y, rank = paddle.index_select(y, order, axis), order.argsort()
        first, counts, inverse = first[order], counts[order], rank[inverse]
    return y, first, inverse, counts


def top_k(
    x: paddle.Tensor, k: int, axis: int, largest: bool
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """The k largest or smallest along an axis, sorted; of equal ones the first."""
    places = x.argsort(axis=axis, descending=largest, stable=True)
    places = paddle.slice(places, [axis % x.ndim], [0], [int(k)])
    return paddle.take_along_axis(x, places, axis, broadcast=False), places


def non_max_suppression(
    boxes: paddle.Tensor,
    scores: paddle.Tensor,
    most: int,
    overlap: float,
    least: float | None,
    centered: bool,
) -> paddle.Tensor:
    """[batch, class, box] of the boxes that are kept, best first; boxes are [N, boxes, 4]."""
    first, second = boxes.transpose([2, 0, 1]).chunk(2)  # [2, N, boxes]
    if centered:
        low, high = first - second / 2, first + second / 2
    else:
        low, high = paddle.minimum(first, second), paddle.maximum(first, second)
    if not paddle.in_dynamic_mode() and isinstance(most, int):
        return suppressed_by_operator(low, high, scores, most, overlap, least)
    left = paddle.ones_like(scores, dtype="bool")
    if least is not None:
        left = scores > least
        scores = paddle.where(left, scores, paddle.full_like(scores, -math.inf))
    # Each class by itself, the best first, as far as any class has candidates: [N, classes, candidates].
    order = scores.argsort(axis=-1, descending=True, stable=True)
    left = left.astype("int32").take_along_axis(order, -1, broadcast=False) > 0
    count = int(left.flatten(0, 1).any(axis=0).astype("int64").sum())
    left, order = left[..., :count], order[..., :count]
    places = paddle.arange(count)
    batch = paddle.arange(order.shape[0]).reshape([-1, 1, 1])
    low, high = (paddle.stack([x[batch, order] for x in side]) for side in (low, high))
    sides = high - low
    area = sides[0] * sides[1]
    kept = paddle.zeros_like(left)
    rounds = 0
    while rounds < most and bool(left.any()):
        # Keep the best that is left of each class; what it overlaps too much is left no more.
        best = paddle.where(left, places, count).min(axis=-1, keepdim=True)
        here = places == best
        kept = kept | here
        best = best.clip(max=count - 1)
        corner = best.unsqueeze(0).expand([2, -1, -1, -1])
        ends = paddle.minimum(high, high.take_along_axis(corner, -1, broadcast=False))
        begins = paddle.maximum(low, low.take_along_axis(corner, -1, broadcast=False))
        sides = (ends - begins).clip(min=0)
        shared = sides[0] * sides[1]
        whole = area + area.take_along_axis(best, -1, broadcast=False) - shared
        # Of boxes without area, this is no number.
        left = left & ~((shared / whole > overlap) | here)
        rounds += 1
    n, c, k = kept.nonzero().unbind(1)
    return paddle.stack([n, c, order[n, c, k]], axis=1)


def suppressed_by_operator(
    low: paddle.Tensor,
    high: paddle.Tensor,
    scores: paddle.Tensor,
    most: int,
    overlap: float,
    least: float | None,
) -> paddle.Tensor:
    """The same in a static program, where it is one operator that compares all pairs; corners are [2, N, boxes]."""
    classes, count = scores.shape[1:]
    sides = high - low
    area = sides[0] * sides[1]
    # Boxes without area overlap nothing; turned round, they do not to this operator either.
    fine = (area > 0) & (area < math.inf)
    low = paddle.where(fine, low, paddle.full_like(low, math.inf))
    high = paddle.where(fine, high, paddle.full_like(high, -math.inf))
    boxes = paddle.concat([low, high]).transpose([1, 2, 0]).unsqueeze(1)
    # Each class as an image of its own, so that the limit is of each class.
    boxes = boxes.expand([-1, classes, -1, -1]).reshape([-1, count, 4])
    scores = scores.reshape([-1, 1, count])
    least = -math.inf if least is None else least
    _, found, _ = paddle._C_ops.multiclass_nms3(
        boxes, scores, None, least, -1, most, overlap, True, 1.0, -1
    )
    places = found[:, 0].astype("int64")
    group = places // count
    return paddle.stack([group // classes, group % classes, places % count], axis=1)


# ***** padding and resizing *****


def sides_of(x: paddle.Tensor, pads: list[int], axes: list[int] | None) -> list[int]:
    """Padding before and after every axis, of numbers before each of some axes, then after each."""
    axes = axes or list(range(x.ndim))
    sides = [0] * 2 * x.ndim
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :]):
        place = axis % x.ndim
        sides[2 * place : 2 * place + 2] = [before, after]
    return sides


def pad_by_index(x: paddle.Tensor, sides: list[int], mode: str) -> paddle.Tensor:
    """Crop every axis where negative, then pad it by mirroring, repeating the edge, or wrapping."""
    for axis, (before, after) in enumerate(zip(sides[::2], sides[1::2])):
        if before == 0 and after == 0:
            continue
        first, size = max(-before, 0), x.shape[axis] - max(-before, 0) - max(-after, 0)
        places = paddle.arange(-max(before, 0), size + max(after, 0), dtype="int64")
        if mode == "edge":
            places = places.clip(0, size - 1)
        elif mode == "wrap":
            places = places % size
        else:
            period = paddle.full_like(places, 2 * size - 2)
            places = places % period.clip(min=1)
            places = paddle.minimum(places, period - places)
        x = paddle.index_select(x, places + first, axis)
    return x


def resize(
    x: paddle.Tensor,
    axes: list[int],
    scales: list[float] | None = None,
    sizes: list[int] | None = None,
    mode: str = "nearest",
    coordinates: str = "half_pixel",
    nearest: str = "round_prefer_floor",
    cubic_a: float = -0.75,
    exclude_outside: bool = False,
    antialias: bool = False,
    extrapolation: float = 0.0,
    policy: str = "stretch",
    roi: list[float] | None = None,
) -> paddle.Tensor:
    """Resize axes one by one, each by a matrix of interpolation weights [new size, size].

    Source: the operator page of Resize in the ONNX standard.
    """
    dtype, old = x.dtype, [x.shape[axis] for axis in axes]
    if sizes is not None:
        factors = [new / size for new, size in zip(sizes, old)]
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(old)
            sizes = [math.floor(size * factor + 0.5) for size in old]
    else:
        factors = list(scales)
        sizes = [math.floor(size * factor) for size, factor in zip(old, factors)]
    outside = None
    for k, axis in enumerate(axes):
        size, new, scale = old[k], sizes[k], factors[k]
        if new == size and scale == 1 and coordinates != "tf_crop_and_resize":
            continue
        place = source_places(size, new, scale, coordinates, roi and (roi[k], roi[k + len(axes)]))
        if coordinates == "tf_crop_and_resize":
            beyond = (place < 0) | (place > size - 1)
            beyond = beyond.reshape([-1] + [1] * (x.ndim - axis - 1))
            outside = beyond if outside is None else outside | beyond
        if mode == "nearest":
            rounded = {
                "round_prefer_floor": (place - 0.5).ceil(),
                "round_prefer_ceil": (place + 0.5).floor(),
                "floor": place.floor(),
                "ceil": place.ceil(),
            }[nearest]
            x = paddle.index_select(x, rounded.cast("int64").clip(0, size - 1), axis)
            continue
        squeeze = min(scale, 1.0) if antialias else 1.0
        weights = resize_weights(place, size, squeeze, mode, cubic_a, exclude_outside)
        wide = x if x.is_floating_point() else x.cast("float64")
        y = paddle.moveaxis(wide, axis, -1) @ weights.cast(wide.dtype).T
        x = paddle.moveaxis(y, -1, axis)
    if x.dtype != dtype:
        # Integers lose their fraction, but not what is one but for an error of rounding.
        x = (x + x.sign() * 1e-4).trunc().cast(dtype)
    return x if outside is None else paddle.where(outside, paddle.full_like(x, extrapolation), x)


def source_places(
    size: int, new: int, scale: float, coordinates: str, region: tuple[float, float] | None
) -> paddle.Tensor:
    """Where each of `new` elements stands between those of the source, float64."""
    place = paddle.arange(new, dtype="float64")
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and new > 1):
        return (place + 0.5) / scale - 0.5
    if coordinates == "half_pixel_symmetric":
        return size / 2 * (1 - new / (scale * size)) + (place + 0.5) / scale - 0.5
    if coordinates == "align_corners" and scale * size > 1:
        return place * ((size - 1) / (scale * size - 1))
    if coordinates == "asymmetric":
        return place / scale
    if coordinates == "tf_half_pixel_for_nn":
        return (place + 0.5) / scale
    if coordinates == "tf_crop_and_resize" and region is not None:
        begin, end = region
        if new == 1:
            return place + 0.5 * (begin + end) * (size - 1)
        return begin * (size - 1) + place * ((end - begin) * (size - 1) / (new - 1))
    return place * 0


def resize_weights(
    place: paddle.Tensor,
    size: int,
    squeeze: float,
    mode: str,
    cubic_a: float,
    exclude_outside: bool,
) -> paddle.Tensor:
    """How much of each source element goes into each new one, [new, size]."""
    reach = math.ceil((1 if mode == "linear" else 2) / squeeze)
    offsets = paddle.arange(-reach, reach + 2, dtype="float64")
    taken = place.floor().unsqueeze(1) + offsets
    distance = (taken - place.unsqueeze(1)).abs() * squeeze
    if mode == "linear":
        weights = (1 - distance).clip(min=0)
    else:
        a = cubic_a
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        weights = near * (distance <= 1).cast("float64")
        weights += far * ((distance > 1) & (distance < 2)).cast("float64")
    if exclude_outside:
        weights = weights * ((taken >= 0) & (taken <= size - 1)).cast("float64")
    weights = weights / weights.sum(axis=1, keepdim=True)
    taken = taken.cast("int64").clip(0, size - 1)
    matrix = paddle.zeros([place.shape[0], size], dtype="float64")
    return paddle.put_along_axis(matrix, taken, weights, 1, "add", broadcast=False)


def center_crop_pad(x: paddle.Tensor, sizes: list[int], axes: list[int]) -> paddle.Tensor:
    """Crop or pad axes to sizes, keeping the middle."""
    sides = [0] * 2 * x.ndim
    for size, axis in zip(sizes, axes):
        place, have = axis % x.ndim, x.shape[axis]
        # Half of what is added or cut off, rounded toward zero, stands before.
        before = (size - have) // 2 if size > have else -((have - size) // 2)
        sides[2 * place : 2 * place + 2] = [before, size - have - before]
    return crop_or_pad(x, sides)


def grid_sample(
    x: paddle.Tensor, grid: paddle.Tensor, mode: str, padding_mode: str, align_corners: bool
) -> paddle.Tensor:
    """Sample [N, C, sizes...] at the coordinates [N, places..., axes] from -1 to 1, last axis first.

    Source: the operator page of GridSample in the ONNX standard.
    """
    n, c, sizes = x.shape[0], x.shape[1], x.shape[2:]
    taps = []
    for axis, size in enumerate(sizes):
        place = grid[..., len(sizes) - 1 - axis].reshape([n, -1])
        place = (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2
        taps.append(nearest_tap(place) if mode == "nearest" else cubic_taps(place))
    flat, total = x.reshape([n, c, -1]), 0.0
    for chosen in itertools.product(*taps):
        index, weight = paddle.zeros([n, taps[0][0][0].shape[1]], dtype="int64"), 1.0
        for size, (place, share) in zip(sizes, chosen):
            low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
            if padding_mode == "zeros":
                share = share * ((place >= 0) & (place <= size - 1)).cast(x.dtype)
            elif padding_mode == "reflection":
                span = max(high - low, 1e-9)
                place = (place - low) % (2 * span)
                place = paddle.minimum(place, 2 * span - place) + low
            index = index * size + place.round().clip(0, size - 1).cast("int64")
            weight = weight * share
        index = index.unsqueeze(1).expand([n, c, index.shape[1]])
        values = paddle.take_along_axis(flat, index, axis=2, broadcast=False)
        total = total + values * weight.unsqueeze(1)
    return total.reshape([n, c, *grid.shape[1:-1]])


def nearest_tap(place: paddle.Tensor) -> list[tuple[paddle.Tensor, paddle.Tensor]]:
    """The element that is nearest, halves to even, with its weight."""
    return [(place.round(), paddle.ones_like(place))]


def cubic_taps(place: paddle.Tensor) -> list[tuple[paddle.Tensor, paddle.Tensor]]:
    """The four elements around a place with their cubic weights, a = -0.75."""
    a, first = -0.75, place.floor()
    taps = []
    for offset in (-1, 0, 1, 2):
        distance = (first + offset - place).abs()
        if offset in (0, 1):
            weight = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        else:
            weight = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        taps.append((first + offset, weight))
    return taps


def roi_align(
    x: paddle.Tensor,
    rois: paddle.Tensor,
    batch: paddle.Tensor,
    size: tuple[int, int],
    sampling_ratio: int,
    scale: float,
    offset: float,
    mode: str,
) -> paddle.Tensor:
    """Pool regions [x1, y1, x2, y2] of images to one size by bilinear samples.

    Source: the operator page of RoiAlign in the ONNX standard.
    """
    pooled = []
    for image, roi in zip(batch.tolist(), (rois * scale - offset).tolist()):
        taps = []
        for axis, count in enumerate(size):
            begin, end, length = roi[1 - axis], roi[3 - axis], x.shape[2 + axis]
            extent = end - begin if offset else max(end - begin, 1.0)
            samples = sampling_ratio or math.ceil(extent / count)
            step = extent / count / samples
            place = begin + (paddle.arange(count * samples, dtype="float64") + 0.5) * step
            inside = ((place >= -1) & (place <= length)).cast(x.dtype)
            place = place.clip(0, length - 1)
            low = place.floor()
            share = (place - low).cast(x.dtype)
            high = (low + 1).clip(max=length - 1)
            taps.append(
                [
                    (low.cast("int64"), (1 - share) * inside, samples),
                    (high.cast("int64"), share * inside, samples),
                ]
            )
        parts = [
            x[image][:, rows][:, :, columns] * down.unsqueeze(1) * across
            for (rows, down, _), (columns, across, _) in itertools.product(*taps)
        ]
        shape = [x.shape[1], size[0], taps[0][0][2], size[1], taps[1][0][2]]
        if mode == "avg":
            pooled.append(sum(parts).reshape(shape).mean(axis=[2, 4]))
        else:
            pooled.append(paddle.stack(parts).max(axis=0).reshape(shape).max(axis=[2, 4]))
    return paddle.stack(pooled)


def max_roi_pool(
    x: paddle.Tensor, rois: paddle.Tensor, size: tuple[int, int], scale: float
) -> paddle.Tensor:
    """Max pool regions [image, x1, y1, x2, y2] to one size.

    Source: Girshick, Fast R-CNN (2015), section 2.1.
    """
    pooled = []
    for image, *corners in rois.tolist():
        x1, y1, x2, y2 = (math.floor(corner * scale + 0.5) for corner in corners)
        bounds = []
        for begin, end, count, length in (
            (y1, y2, size[0], x.shape[2]),
            (x1, x2, size[1], x.shape[3]),
        ):
            step = max(end - begin + 1, 1) / count
            places = [
                (begin + math.floor(k * step), begin + math.ceil((k + 1) * step))
                for k in range(count)
            ]
            bounds.append([(min(max(a, 0), length), min(max(b, 0), length)) for a, b in places])
        for (top, bottom), (left, right) in itertools.product(*bounds):
            part = x[int(image), :, top:bottom, left:right]
            empty = top >= bottom or left >= right
            pooled.append(
                paddle.zeros([x.shape[1]], dtype=x.dtype) if empty else part.max(axis=[1, 2])
            )
    y = paddle.stack(pooled).reshape([rois.shape[0], *size, x.shape[1]])
    return y.transpose([0, 3, 1, 2])


def max_unpool(
    x: paddle.Tensor,
    indices: paddle.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pads: tuple[int, ...],
    shape: list[int] | None,
) -> paddle.Tensor:
    """Each element at its place in the flattened tensor that was pooled, zeros elsewhere."""
    n = len(kernel)
    sizes = [
        (size - 1) * s + k - before - after
        for size, s, k, before, after in zip(x.shape[2:], stride, kernel, pads[:n], pads[n:])
    ]
    sizes = [*x.shape[:2], *sizes]
    flat = paddle.zeros([math.prod(sizes)], dtype=x.dtype)
    flat = paddle.put_along_axis(flat, indices.flatten(), x.flatten(), 0)
    y = flat.reshape(sizes)
    if shape is None:
        return y
    return crop_or_pad(y, [side for new, old in zip(shape, sizes) for side in (0, new - old)])


def col2im(
    x: paddle.Tensor,
    image: list[int],
    block: list[int],
    dilation: list[int] | None,
    pads: list[int] | None,
    stride: list[int] | None,
) -> paddle.Tensor:
    """Sum blocks [N, C * block, places] where they overlap in an image of one to three axes."""
    n, size = len(image), math.prod(block)
    dilation, stride, pads = dilation or [1] * n, stride or [1] * n, pads or [0] * 2 * n
    counts = [
        (length + pads[k] + pads[k + n] - (block[k] - 1) * dilation[k] - 1) // stride[k] + 1
        for k, length in enumerate(image)
    ]
    lead = [x.shape[0], x.shape[1] // size]
    spread = paddle.eye(size, dtype=x.dtype).reshape([size, 1, *block])
    transposed = (F.conv1d_transpose, F.conv2d_transpose, F.conv3d_transpose)[n - 1]
    x = x.reshape([lead[0] * lead[1], size, *counts])
    y = transposed(x, spread, stride=stride, dilation=dilation)
    # The stride may leave a rest of the image, and its padding, that no block reaches.
    sides = [0] * 4
    for k, length in enumerate(image):
        sides += [-pads[k], length + pads[k] - y.shape[2 + k]]
    return crop_or_pad(y, sides).reshape([*lead, *image])


# ***** generation *****


def cosine_window(size: int, coefficients: list[float], periodic: bool) -> paddle.Tensor:
    """a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N), N being the size or one less."""
    count = size if periodic else size - 1
    angle = paddle.arange(size, dtype="float64") * (2 * math.pi / max(count, 1))
    terms = [a * (-1) ** k * (angle * k).cos() for k, a in enumerate(coefficients)]
    return sum(terms)


# ***** quantisation *****


def along(x: paddle.Tensor, values: paddle.Tensor, axis: int, block: int = 0) -> paddle.Tensor:
    """One value for all, for each place along an axis, or for each block of it, to broadcast."""
    if block:
        size = x.shape[axis]
        wide = paddle.repeat_interleave(values, block, axis)
        return paddle.slice(wide, [axis % x.ndim], [0], [size])
    if math.prod(values.shape) == 1:
        return values.reshape([])
    return values.reshape([-1] + [1] * (x.ndim - axis % x.ndim - 1))


def quantize(
    x: paddle.Tensor,
    scale: paddle.Tensor,
    zero: paddle.Tensor | None,
    axis: int,
    low: int,
    high: int,
    dtype: str,
    block: int = 0,
) -> paddle.Tensor:
    """round(x / scale) + zero point, saturated."""
    y = (x.cast("float32") / along(x, scale.cast("float32"), axis, block)).round()
    if zero is not None:
        y = y + along(x, zero.cast("float32"), axis, block)
    return y.clip(low, high).cast(dtype)


def dequantize(
    x: paddle.Tensor, scale: paddle.Tensor, zero: paddle.Tensor | None, axis: int, block: int = 0
) -> paddle.Tensor:
    """(x - zero point) * scale."""
    y = x.cast("int32")
    if zero is not None:
        y = y - along(x, zero.cast("int32"), axis, block)
    return (y.cast("float32") * along(x, scale.cast("float32"), axis, block)).cast(scale.dtype)


def dynamic_quantize(x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """uint8 with the scale and zero point that the range of x, zero included, asks for."""
    low, high = x.min().clip(max=0), x.max().clip(min=0)
    # By a number, a saved program would multiply with its reciprocal.
    scale = (high - low) / paddle.full_like(low, 255)
    scale = paddle.where(low == high, paddle.ones_like(low), scale)
    zero = (-low / scale).clip(0, 255).round()
    return ((x / scale).round() + zero).clip(0, 255).cast("uint8"), scale, zero.cast("uint8")


def shifted(x: paddle.Tensor, zero: paddle.Tensor, axis: int) -> paddle.Tensor:
    """A matrix less its zero point, or those of its rows (axis -2) or columns (-1); int32."""
    zero = zero.cast("int32")
    rows = axis == -2 and zero.ndim == 1 and zero.shape[0] > 1
    return x.cast("int32") - (zero.unsqueeze(1) if rows else zero)


def convolve_integers(
    x: paddle.Tensor,
    weight: paddle.Tensor,
    x_zero: paddle.Tensor | None,
    weight_zero: paddle.Tensor | None,
    **options: object,
) -> paddle.Tensor:
    """Convolution of integers less their zero points, exact; int32."""
    x, weight = x.cast("float64"), weight.cast("float64")
    if x_zero is not None:
        x = x - x_zero.cast("float64")
    if weight_zero is not None:
        weight = weight - along(weight, weight_zero.cast("float64"), 0)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
    return convolve(x, weight, **options).round().cast("int32")


def requantize(
    x: paddle.Tensor,
    scale: paddle.Tensor,
    other_scale: paddle.Tensor,
    new_scale: paddle.Tensor,
    zero: paddle.Tensor,
    low: int,
    high: int,
) -> paddle.Tensor:
    """A product of two quantised tensors in a new scale, saturated, in the zero point's type."""
    ratio = scale.cast("float32") * other_scale.cast("float32") / new_scale.cast("float32")
    y = (x.cast("float32") * ratio).round() + zero.cast("float32")
    return y.clip(low, high).cast(zero.dtype)


# ***** recurrent *****


def unpacked(
    result: tuple[paddle.Tensor, tuple[paddle.Tensor, paddle.Tensor]],
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """What an LSTM returns as three values: all outputs, the last hidden state and the last cell state."""
    y, (h, c) = result
    return y, h, c


def run_lstm(
    layer: nn.LSTM,
    x: paddle.Tensor,
    h: paddle.Tensor | None = None,
    c: paddle.Tensor | None = None,
    batch_first: bool = False,
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Run an LSTM; outputs are [steps, directions, batch, hidden] as in ONNX, or batch first."""
    if batch_first and h is not None:
        h, c = h.transpose([1, 0, 2]), c.transpose([1, 0, 2])
    y, (h, c) = layer(x, None if h is None else (h, c))
    y = y.reshape([*y.shape[:2], h.shape[0], layer.hidden_size])
    if batch_first:
        return y, h.transpose([1, 0, 2]), c.transpose([1, 0, 2])
    return y.transpose([0, 2, 1, 3]), h, c


def run_gru(
    layer: nn.GRU, x: paddle.Tensor, h: paddle.Tensor | None = None, batch_first: bool = False
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Run a GRU; outputs are [steps, directions, batch, hidden] as in ONNX, or batch first."""
    if batch_first and h is not None:
        h = h.transpose([1, 0, 2])
    y, h = layer(x, h)
    y = y.reshape([*y.shape[:2], h.shape[0], layer.hidden_size])
    return (y, h.transpose([1, 0, 2])) if batch_first else (y.transpose([0, 2, 1, 3]), h)


CELL_ACTIVATIONS = {"Sigmoid": F.sigmoid, "Tanh": F.tanh, "Relu": F.relu}


def recur(
    steps: list[Callable[..., tuple[paddle.Tensor, ...]]],
    x: paddle.Tensor,
    states: tuple[paddle.Tensor | None, ...],
    hidden: int,
    lengths: paddle.Tensor | None,
    direction: str,
    layout: int,
) -> tuple[paddle.Tensor, ...]:
    """Run a cell over time in each direction; gives all first states, then the last ones.

    Args:
        steps: For each direction the cell: (x [batch, inputs], states) -> states.
        x: [steps, batch, inputs], or batch first with `layout` 1.
        states: Each [directions, batch, hidden] or None for zeros.
        lengths: Steps of each sequence; behind its end the states stay and outputs are zero.
    """
    if layout:
        x = x.transpose([1, 0, 2])
        states = tuple(None if s is None else s.transpose([1, 0, 2]) for s in states)
    zeros = paddle.zeros([x.shape[1], hidden], dtype=x.dtype)
    ys, lasts = [], []
    for d, step in enumerate(steps):
        state = tuple(zeros if s is None else s[d] for s in states)
        order = list(range(x.shape[0]))
        backwards = direction == "reverse" or d == 1
        outputs = []
        for t in reversed(order) if backwards else order:
            new = step(x[t], *state)
            y = new[0]
            if lengths is not None:
                going = (lengths > t).unsqueeze(1)
                new = tuple(paddle.where(going, a, b) for a, b in zip(new, state))
                y = paddle.where(going, y, zeros)
            state = new
            outputs.append(y)
        ys.append(paddle.stack(outputs[::-1] if backwards else outputs))
        lasts.append(state)
    y = paddle.stack(ys, axis=1)
    finals = tuple(paddle.stack(list(states)) for states in zip(*lasts))
    if layout:
        return y.transpose([2, 0, 1, 3]), *(final.transpose([1, 0, 2]) for final in finals)
    return y, *finals


def limited(x: paddle.Tensor, clip: float | None) -> paddle.Tensor:
    """X within -clip and clip."""
    return x if clip is None else x.clip(-clip, clip)


def halves(b: paddle.Tensor | None, d: int, gates: int) -> tuple[paddle.Tensor | float, ...]:
    """The biases of inputs and of states of one direction; zeros where there are none."""
    return (0.0, 0.0) if b is None else tuple(b[d].split(2))


def rnn(
    x: paddle.Tensor,
    w: paddle.Tensor,
    r: paddle.Tensor,
    b: paddle.Tensor | None,
    lengths: paddle.Tensor | None,
    h: paddle.Tensor | None,
    activations: tuple[str, ...],
    direction: str,
    clip: float | None = None,
    layout: int = 0,
) -> tuple[paddle.Tensor, ...]:
    """f(x W^T + h R^T + b); gives all states and the last one. Source: the ONNX page of RNN."""

    def cell(d: int) -> Callable[..., tuple[paddle.Tensor, ...]]:
        activation = CELL_ACTIVATIONS[activations[d]]
        of_input, of_state = halves(b, d, 1)

        def step(x: paddle.Tensor, h: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
            gate = x @ w[d].T + h @ r[d].T + of_input + of_state
            return (activation(limited(gate, clip)),)

        return step

    steps = [cell(d) for d in range(w.shape[0])]
    return recur(steps, x, (h,), r.shape[2], lengths, direction, layout)


def gru(
    x: paddle.Tensor,
    w: paddle.Tensor,
    r: paddle.Tensor,
    b: paddle.Tensor | None,
    lengths: paddle.Tensor | None,
    h: paddle.Tensor | None,
    activations: tuple[str, ...],
    direction: str,
    clip: float | None = None,
    layout: int = 0,
    linear_before_reset: bool = False,
) -> tuple[paddle.Tensor, ...]:
    """GRU with gates z, r, h; gives all states and the last one. Source: the ONNX page of GRU."""

    def cell(d: int) -> Callable[..., tuple[paddle.Tensor, ...]]:
        f, g = (CELL_ACTIVATIONS[name] for name in activations[2 * d : 2 * d + 2])
        wz, wr, wh = w[d].split(3)
        rz, rr, rh = r[d].split(3)
        of_input, of_state = halves(b, d, 3)
        bz, br, bh = (0.0,) * 3 if b is None else of_input.split(3)
        sz, sr, sh = (0.0,) * 3 if b is None else of_state.split(3)

        def step(x: paddle.Tensor, h: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
            update = f(limited(x @ wz.T + h @ rz.T + bz + sz, clip))
            reset = f(limited(x @ wr.T + h @ rr.T + br + sr, clip))
            state = reset * (h @ rh.T + sh) if linear_before_reset else (reset * h) @ rh.T + sh
            new = g(limited(x @ wh.T + state + bh, clip))
            return ((1 - update) * new + update * h,)

        return step

    steps = [cell(d) for d in range(w.shape[0])]
    return recur(steps, x, (h,), r.shape[2], lengths, direction, layout)


def lstm(
    x: paddle.Tensor,
    w: paddle.Tensor,
    r: paddle.Tensor,
    b: paddle.Tensor | None,
    lengths: paddle.Tensor | None,
    h: paddle.Tensor | None,
    c: paddle.Tensor | None,
    p: paddle.Tensor | None,
    activations: tuple[str, ...],
    direction: str,
    clip: float | None = None,
    layout: int = 0,
    input_forget: bool = False,
) -> tuple[paddle.Tensor, ...]:
    """LSTM with gates i, o, f, c and peepholes i, o, f; gives all states and the last h and c.

    Source: the operator page of LSTM in the ONNX standard.
    """

    def cell(d: int) -> Callable[..., tuple[paddle.Tensor, ...]]:
        f, g, last = (CELL_ACTIVATIONS[name] for name in activations[3 * d : 3 * d + 3])
        of_input, of_state = halves(b, d, 4)
        pi, po, pf = (0.0,) * 3 if p is None else p[d].split(3)

        def step(x: paddle.Tensor, h: paddle.Tensor, c: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
            gates = x @ w[d].T + h @ r[d].T + of_input + of_state
            i, o, forget, new = gates.split(4, axis=-1)
            i = f(limited(i + pi * c, clip))
            forget = 1 - i if input_forget else f(limited(forget + pf * c, clip))
            c = forget * c + i * g(limited(new, clip))
            return f(limited(o + po * c, clip)) * last(c), c

        return step

    steps = [cell(d) for d in range(w.shape[0])]
    return recur(steps, x, (h, c), r.shape[2], lengths, direction, layout)


# ***** signal *****


def dft(
    x: paddle.Tensor, length: int | None, axis: int, inverse: bool, onesided: bool
) -> paddle.Tensor:
    """The discrete Fourier transform of [..., 1] or [..., 2] (real, imaginary); gives [..., 2]."""
    axis, dtype, x = axis % x.ndim, x.dtype, x.cast("float64")
    imaginary = x[..., 1] if x.shape[-1] == 2 else paddle.zeros_like(x[..., 0])
    numbers = paddle.complex(x[..., 0], imaginary)
    transform = paddle.fft.ifft if inverse else paddle.fft.fft
    y = paddle.as_real(transform(numbers, n=length, axis=axis)).cast(dtype)
    return paddle.slice(y, [axis], [0], [y.shape[axis] // 2 + 1]) if onesided else y


def stft(
    signal: paddle.Tensor, step: int, window: paddle.Tensor | None, frame: int, onesided: bool
) -> paddle.Tensor:
    """Transforms of windows of a signal [batch, length, 1 or 2]; gives [batch, windows, bins, 2]."""
    count = (signal.shape[1] - frame) // step + 1
    places = paddle.arange(count, dtype="int64").unsqueeze(1) * step
    frames = signal[:, places + paddle.arange(frame, dtype="int64")]
    if window is not None:
        frames = frames * window.unsqueeze(1)
    return dft(frames, None, 2, inverse=False, onesided=onesided)


def mel_weight_matrix(bins: int, length: int, rate: int, low: float, high: float) -> paddle.Tensor:
    """Triangles that turn a spectrum into `bins` of the mel scale, [length // 2 + 1, bins].

    Source: the operator page of MelWeightMatrix in the ONNX standard.
    """
    first, last = (2595 * math.log10(1 + hertz / 700) for hertz in (low, high))
    mels = [first + k * (last - first) / (bins + 2) for k in range(bins + 2)]
    edges = [int((length + 1) * 700 * (10 ** (mel / 2595) - 1) // rate) for mel in mels]
    matrix = [[0.0] * bins for _ in range(length // 2 + 1)]
    for k, (left, middle, right) in enumerate(zip(edges, edges[1:], edges[2:])):
        for row in range(left, middle + 1):
            matrix[row][k] = (row - left) / (middle - left) if middle > left else 1.0
        for row in range(middle, right):
            matrix[row][k] = (right - row) / (right - middle)
    return paddle.to_tensor(matrix, dtype="float64")


def split_to_sequence(
    x: paddle.Tensor, split: int | Sequence[int], axis: int
) -> list[paddle.Tensor]:
    """Parts of one size, the last of which may be smaller, or parts of the given sizes."""
    size = x.shape[axis]
    if isinstance(split, int):
        split = [min(split, size - k) for k in range(0, size, split)]
    return paddle.split(x, list(split), axis) if split else []


def decode_image(data: paddle.Tensor, pixel_format: str) -> paddle.Tensor:
    """The pixels of an image file, as [height, width, channels] of uint8; needs Pillow."""
    image = Image.open(io.BytesIO(data.numpy().tobytes()))
    pixels = np.asarray(image.convert("L" if pixel_format == "Grayscale" else "RGB"))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixel_format == "BGR":
        pixels = pixels[..., ::-1]
    return paddle.to_tensor(pixels)
