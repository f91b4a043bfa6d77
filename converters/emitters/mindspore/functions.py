"""Source that is copied into an emitted module when it calls one of these functions.

Each is an ONNX operator that MindSpore has no one-line form for on every back end; composed of
operators that have CPU kernels, differentiable where the operator is.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Sequence

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from PIL import Image


def cast_each(
    tensors: tuple[ms.Tensor, ...], dtypes: tuple[ms.Type | None, ...]
) -> tuple[ms.Tensor, ...]:
    """Each tensor in its element type; None leaves it."""
    return tuple(x if dtype is None else x.astype(dtype) for x, dtype in zip(tensors, dtypes))


# ***** arithmetic *****


def divide_integers(a: ms.Tensor, b: ms.Tensor) -> ms.Tensor:
    """The quotient of integers, truncated toward zero; kernels divide in 64-bit floats."""
    q = ops.div(a, b, rounding_mode="trunc").astype(a.dtype)
    q = q + ops.div(a - q * b, b, rounding_mode="trunc").astype(a.dtype)
    rest = a - q * b
    beyond = ops.logical_and(rest != 0, ops.logical_xor(rest < 0, a < 0)).astype(a.dtype)
    return q - beyond * (1 - 2 * ops.logical_xor(a < 0, b < 0).astype(a.dtype))


def truncated_mod(a: ms.Tensor, b: ms.Tensor) -> ms.Tensor:
    """The remainder of integers with the sign of a, as fmod in C."""
    return a - divide_integers(a, b) * b


def floor_mod(a: ms.Tensor, b: ms.Tensor) -> ms.Tensor:
    """The remainder of integers with the sign of b."""
    rest = truncated_mod(a, b)
    other = ops.logical_and(rest != 0, ops.logical_xor(rest < 0, b < 0))
    return rest + other.astype(b.dtype) * b


def maximum(a: ms.Tensor, b: ms.Tensor) -> ms.Tensor:
    """The larger element; NaN where either is, which kernels pass over."""
    return ops.where(ops.logical_or(a != a, b != b), a + b, ops.maximum(a, b))


def minimum(a: ms.Tensor, b: ms.Tensor) -> ms.Tensor:
    """The smaller element; NaN where either is, which kernels pass over."""
    return ops.where(ops.logical_or(a != a, b != b), a + b, ops.minimum(a, b))


# ***** activations *****


def shrink(x: ms.Tensor, bias: float, lambd: float) -> ms.Tensor:
    """X + bias below -lambd, x - bias above lambd, else 0."""
    below, above = (x < -lambd).astype(x.dtype), (x > lambd).astype(x.dtype)
    return ((x + bias) * below + (x - bias) * above).astype(x.dtype)


def exact_log(x: ms.Tensor) -> ms.Tensor:
    """The logarithm to the last bit, for whole numbers to be made of it: in 32 bits the CPU's falls short."""
    return ops.log(x.astype(ms.float64)).astype(x.dtype)


def hardmax(x: ms.Tensor, axis: int) -> ms.Tensor:
    """1 at the first largest element along an axis, else 0."""
    place = axis % x.ndim
    first = ops.argmax(x, place, True)
    numbers = ops.arange(x.shape[place]).reshape((-1,) + (1,) * (x.ndim - place - 1))
    return (numbers == first).astype(x.dtype)


# ***** normalisation *****


def normalize(x: ms.Tensor, axes: tuple[int, ...], epsilon: float) -> ms.Tensor:
    """(x - mean) / sqrt(variance + epsilon) over axes."""
    centered = x - ops.mean(x, axes, keep_dims=True)
    return centered / ops.sqrt(ops.mean(ops.square(centered), axes, keep_dims=True) + epsilon)


def batch_norm(
    x: ms.Tensor,
    scale: ms.Tensor,
    bias: ms.Tensor,
    mean: ms.Tensor,
    var: ms.Tensor,
    epsilon: float,
) -> ms.Tensor:
    """Normalise [N, C, ...] by given statistics of each channel."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    y = (x - mean.reshape(shape)) / ops.sqrt(var.reshape(shape) + epsilon)
    return y * scale.reshape(shape) + bias.reshape(shape)


def batch_norm_training(
    x: ms.Tensor,
    scale: ms.Tensor,
    bias: ms.Tensor,
    mean: ms.Tensor,
    var: ms.Tensor,
    epsilon: float,
    momentum: float,
) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
    """Normalise by the batch's statistics; also gives the running ones."""
    axes = (0,) + tuple(range(2, x.ndim))
    now_mean = ops.mean(x, axes)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    now_var = ops.mean(ops.square(x - now_mean.reshape(shape)), axes)
    y = batch_norm(x, scale, bias, now_mean, now_var, epsilon)
    mean = mean * momentum + now_mean * (1 - momentum)
    return y, mean, var * momentum + now_var * (1 - momentum)


def instance_norm(x: ms.Tensor, scale: ms.Tensor, bias: ms.Tensor, epsilon: float) -> ms.Tensor:
    """Normalise each channel of each sample of [N, C, ...]."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    y = normalize(x, tuple(range(2, x.ndim)), epsilon)
    return y * scale.reshape(shape) + bias.reshape(shape)


def group_norm(
    x: ms.Tensor, groups: int, scale: ms.Tensor, bias: ms.Tensor, epsilon: float
) -> ms.Tensor:
    """Normalise groups of channels of each sample of [N, C, ...]."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    y = normalize(x.reshape(x.shape[0], groups, -1), (2,), epsilon).reshape(x.shape)
    return y * scale.reshape(shape) + bias.reshape(shape)


def layer_norm_with_statistics(
    x: ms.Tensor, scale: ms.Tensor, bias: ms.Tensor | None, axis: int, epsilon: float
) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
    """Layer normalisation from `axis` on, with the mean and the inverse deviation."""
    axes = tuple(range(axis, x.ndim))
    mean = ops.mean(x, axes, keep_dims=True)
    variance = ops.mean(ops.square(x - mean), axes, keep_dims=True)
    inverse = 1 / ops.sqrt(variance + epsilon)
    y = (x - mean) * inverse * scale
    return (y if bias is None else y + bias), mean, inverse


def mean_variance_normalize(x: ms.Tensor, axes: tuple[int, ...]) -> ms.Tensor:
    """(x - mean) / (deviation + 1e-9) over axes."""
    centered = x - ops.mean(x, axes, keep_dims=True)
    return centered / (ops.sqrt(ops.mean(ops.square(centered), axes, keep_dims=True)) + 1e-9)


def local_response_norm(
    x: ms.Tensor, size: int, alpha: float, beta: float, bias: float
) -> ms.Tensor:
    """X / (bias + alpha / size * sum of squares over `size` neighbouring channels) ** beta."""
    before = (size - 1) // 2
    sides = (0, 0) * (x.ndim - 2) + (before, size - 1 - before)
    squares = ops.pad(ops.square(x), sides)
    total = sum(squares[:, k : k + x.shape[1]] for k in range(size))
    return x / ops.pow(bias + alpha / size * total, beta)


# ***** convolution and pooling *****


def same_sides(
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    side: str,
) -> tuple[int, ...]:
    """Padding before each axis, then after each, that gives ceil(size / stride) elements."""
    totals = [
        max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        for size, k, s, d in zip(sizes, kernel, stride, dilation)
    ]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return tuple(small + large if side == "upper" else large + small)


def pad_spatial(x: ms.Tensor, pads: tuple[int, ...], value: float = 0.0) -> ms.Tensor:
    """Pad the last axes; `pads` has what comes before each of them, then what comes after."""
    n = len(pads) // 2
    if not any(pads):
        return x
    sides = ()
    for k in reversed(range(n)):
        sides += (pads[k], pads[k + n])
    return ops.pad(x, sides, value=value)


def pad_same(
    x: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    side: str,
    value: float = 0.0,
) -> ms.Tensor:
    """Pad so that the output has ceil(size / stride) elements; `side` gets the odd one."""
    return pad_spatial(x, same_sides(x.shape[2:], kernel, stride, dilation, side), value)


def windows(
    x: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    value: float,
    behind: float,
) -> list[ms.Tensor]:
    """Every window's first elements, every window's second elements ...: cut out of the padded input, axis by axis.

    Args:
        pads: Before each spatial axis, then after each; or `upper` or `lower` for ceil(size / stride).
        value: Stands in the padding.
        behind: Stands where a last window reaches behind the padding.
    """
    n, sizes = len(kernel), x.shape[2:]
    if isinstance(pads, str):
        pads = same_sides(sizes, kernel, stride, dilation, pads)
    counts, offsets, rest = [], [], []
    for k in range(n):
        size = sizes[k] + pads[k] + pads[k + n]
        room = size - (kernel[k] - 1) * dilation[k] - 1
        count = (-(-room // stride[k]) if ceil_mode else room // stride[k]) + 1
        # A window may not start behind the input.
        if ceil_mode and (count - 1) * stride[k] >= sizes[k] + pads[k]:
            count -= 1
        counts.append(count)
        # Of a window that is larger than the input, most elements are behind it in every place.
        offsets.append(range(0, min(kernel[k] * dilation[k], size), dilation[k]))
        rest.append(max(offsets[k][-1] + (count - 1) * stride[k] + 1 - size, 0))
    x = pad_spatial(pad_spatial(x, pads, value), (0,) * n + tuple(rest), behind)
    parts = [x]
    for k in range(n):
        cut = []
        for part in parts:
            for first in offsets[k]:
                last = first + (counts[k] - 1) * stride[k]
                cut.append(ops.gather(part, ops.arange(first, last + 1, stride[k]), k + 2))
        parts = cut
    return parts


LOWEST = {
    ms.int8: -(2**7),
    ms.int16: -(2**15),
    ms.int32: -(2**31),
    ms.int64: -(2**63),
    ms.uint8: 0,
    ms.uint16: 0,
    ms.uint32: 0,
    ms.uint64: 0,
}


def max_pool(
    x: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
) -> ms.Tensor:
    """Max pooling of [N, C, ...] with any padding."""
    low = LOWEST.get(x.dtype, -math.inf)
    y, *parts = windows(x, kernel, stride, dilation, pads, ceil_mode, low, low)
    for part in parts:
        y = ops.maximum(y, part)
    return y


def max_pool_with_indices(
    x: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    column_major: bool,
) -> tuple[ms.Tensor, ms.Tensor]:
    """Max pooling and where each maximum stands in the flattened input."""
    n, sizes, low = len(kernel), x.shape[2:], LOWEST.get(x.dtype, -math.inf)
    places = ops.arange(math.prod(sizes))
    if column_major:
        places = places.reshape(sizes[::-1]).transpose(tuple(reversed(range(n))))
    places = places.reshape((1, 1, *sizes))
    y, *parts = windows(x, kernel, stride, dilation, pads, ceil_mode, low, low)
    first, *others = windows(places, kernel, stride, dilation, pads, ceil_mode, 0, 0)
    indices = ops.broadcast_to(first, y.shape)
    for part, place in zip(parts, others):
        indices = ops.where(part > y, place, indices)
        y = ops.maximum(y, part)
    images = ops.arange(x.shape[0] * x.shape[1]) * math.prod(sizes)
    return y, indices + images.reshape(tuple(x.shape[:2]) + (1,) * n)


def average_pool(
    x: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    count_include_pad: bool,
) -> ms.Tensor:
    """Average pooling of [N, C, ...] with any padding; what is behind the padding never counts."""
    sums = sum(windows(x, kernel, stride, dilation, pads, ceil_mode, 0.0, 0.0))
    padding = 1.0 if count_include_pad else 0.0
    ones = ops.ones_like(x[:1, :1])
    return sums / sum(windows(ones, kernel, stride, dilation, pads, ceil_mode, padding, 0.0))


def lp_pool(
    x: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    p: int,
) -> ms.Tensor:
    """The p-norm of each window."""
    powers = ops.pow(ops.abs(x), p)
    return ops.pow(sum(windows(powers, kernel, stride, dilation, pads, ceil_mode, 0.0, 0.0)), 1 / p)


def convolve(
    x: ms.Tensor,
    weight: ms.Tensor,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    group: int,
) -> ms.Tensor:
    """Convolution as a product of matrices, for element types that have no kernel."""
    parts = windows(x, weight.shape[2:], stride, dilation, pads, False, 0, 0)
    n, sizes, out = x.shape[0], parts[0].shape[2:], weight.shape[0]
    rows = x.shape[1] // group * len(parts)
    columns = ops.stack(parts, 2).reshape(n, group, rows, -1)
    y = ops.matmul(weight.reshape(1, group, out // group, -1), columns)
    return y.reshape((n, out) + tuple(sizes))


def conv_transpose(
    x: ms.Tensor,
    weight: ms.Tensor,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    sides: tuple[tuple[int, int], ...],
    group: int,
) -> ms.Tensor:
    """Transposed convolution: each input element adds a kernel to the output.

    Args:
        x: [N, C, ...].
        weight: [C, M / group, kernel...].
        sides: What is added before and after each spatial axis of the output, or cut off if negative.
    """
    n, kernel = x.shape[0], weight.shape[2:]
    columns = weight.reshape(1, group, x.shape[1] // group, -1).swapaxes(2, 3)
    columns = ops.matmul(columns, x.reshape(n, group, x.shape[1] // group, -1))
    columns = columns.reshape(n, -1, math.prod(x.shape[2:]))
    sizes = [
        (count - 1) * s + (k - 1) * d + 1
        for count, s, k, d in zip(x.shape[2:], stride, kernel, dilation)
    ]
    y = col2im(columns, tuple(sizes), tuple(kernel), dilation, None, stride)
    return crop_or_pad(y, [(0, 0), (0, 0), *sides])


def deform_conv(
    x: ms.Tensor,
    weight: ms.Tensor,
    offset: ms.Tensor,
    mask: ms.Tensor | None,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    begin: tuple[int, ...],
    group: int,
    offset_group: int,
) -> ms.Tensor:
    """Convolution whose kernel elements are moved by offsets and sampled between elements.

    Source: the operator page of DeformConv in the ONNX standard.

    Args:
        x: [N, C, ...].
        weight: [M, C / group, kernel...].
        offset: [N, offset groups * kernel elements * axes, ...]; moves along the first axis first.
        mask: [N, offset groups * kernel elements, ...], a factor for each sample.
    """
    n, c, kernel, sizes, out = (
        x.shape[0],
        x.shape[1],
        weight.shape[2:],
        x.shape[2:],
        offset.shape[2:],
    )
    axes, count = len(kernel), math.prod(kernel)
    offset = offset.reshape(n, offset_group, count, axes, -1)
    taps = []
    for k in range(axes):
        inner, outer = [1] * axes, [1] * axes
        inner[k], outer[k] = kernel[k], out[k]
        inner_places = (ops.arange(kernel[k]) * dilation[k]).reshape(tuple(inner))
        outer_places = (ops.arange(out[k]) * stride[k] - begin[k]).reshape(tuple(outer))
        places = ops.broadcast_to(inner_places, tuple(kernel)).reshape(-1, 1)
        places = places + ops.broadcast_to(outer_places, tuple(out)).reshape(-1)
        place = places.astype(x.dtype) + offset[:, :, :, k]
        taps.append([within(p, share, sizes[k]) for p, share in sample_taps(place, "linear")])
    rows = x.reshape(n * offset_group, c // offset_group, -1).swapaxes(1, 2)
    first = ops.arange(n * offset_group).reshape(n, offset_group, 1, 1)
    y = mixed(rows.reshape(-1, c // offset_group), first, sizes, taps)
    if mask is not None:
        y = y * mask.reshape(n, offset_group, count, -1, 1)
    columns = y.transpose(0, 1, 4, 2, 3).reshape(n, group, -1, math.prod(out))
    y = ops.matmul(weight.reshape(1, group, weight.shape[0] // group, -1), columns)
    return y.reshape((n, weight.shape[0]) + tuple(out))


# ***** matrices *****


def einsum(equation: str, *operands: ms.Tensor) -> ms.Tensor:
    """Products of tensors, summed over the letters that the result lacks.

    Source: the operator page of Einsum in the ONNX standard.
    """
    left, _, right = equation.partition("->")
    terms = left.split(",")
    named = [term.replace("...", "") for term in terms]
    extra = max(
        (x.ndim - len(name) for x, name in zip(operands, named) if "..." in terms[0]), default=0
    )
    extra = max(
        [extra] + [x.ndim - len(n) for x, n, t in zip(operands, named, terms) if "..." in t]
    )
    spare = "0123456789"[:extra]
    terms = [
        term.replace("...", spare[extra - (x.ndim - len(name)) :])
        for x, name, term in zip(operands, named, terms)
    ]
    letters = "".join(terms)
    if "->" in equation:
        right = right.replace("...", spare)
    else:
        right = spare + "".join(
            c for c in sorted(set(letters)) if letters.count(c) == 1 and c.isalpha()
        )
    order = right + "".join(sorted(set(letters) - set(right)))
    y = None
    for x, term in zip(operands, terms):
        x, term = diagonals(x, term)
        kept = [letter for letter in order if letter in term]
        x = x.transpose(tuple(term.index(letter) for letter in kept)) if x.ndim > 1 else x
        sizes = dict(zip(kept, x.shape))
        x = x.reshape(tuple(sizes.get(letter, 1) for letter in order))
        y = x if y is None else y * x
    summed = tuple(range(len(right), len(order)))
    return y.sum(summed, dtype=y.dtype) if summed else y


def diagonals(x: ms.Tensor, term: str) -> tuple[ms.Tensor, str]:
    """The diagonal over axes of one letter, as the last axis, until no letter stands twice."""
    for letter in sorted(set(term)):
        while term.count(letter) > 1:
            a, b = term.index(letter), term.rindex(letter)
            rest = [k for k in range(x.ndim) if k not in (a, b)]
            size = x.shape[a]
            x = x.transpose((*rest, a, b)).reshape(tuple(x.shape[k] for k in rest) + (-1,))
            x = x[..., :: size + 1]
            term = "".join(term[k] for k in rest) + letter
    return x, term


# ***** attention *****


def attention(
    q: ms.Tensor, k: ms.Tensor, v: ms.Tensor, scale: float, mask: ms.Tensor | None = None
) -> ms.Tensor:
    """softmax(q @ k^T * scale + mask) @ v; q, k, v are [..., length, width]."""
    scores = ops.matmul(q, k.swapaxes(-2, -1)) * scale
    if mask is not None:
        scores = scores + mask
    return ops.matmul(ops.softmax(scores, axis=-1), v)


# ***** reduction *****


def reduce_max(x: ms.Tensor, axes: int | tuple[int, ...], keepdims: bool = False) -> ms.Tensor:
    """The largest element along axes; NaN where there is one, which kernels pass over."""
    lost = ops.amax((x != x).astype(ms.float32), axes, keepdims=keepdims) > 0
    y = ops.amax(x, axes, keepdims=keepdims)
    return ops.where(lost, ops.full_like(y, float("nan")), y)


def reduce_min(x: ms.Tensor, axes: int | tuple[int, ...], keepdims: bool = False) -> ms.Tensor:
    """The smallest element along axes; NaN where there is one, which kernels pass over."""
    return -reduce_max(-x, axes, keepdims)


def reduce_empty(x: ms.Tensor, axes: tuple[int, ...], keepdims: bool, value: float) -> ms.Tensor:
    """What a reduction of a tensor without elements gives; no axes mean all of them."""
    return ops.full_like(x.sum(axes, keepdims=keepdims), value, dtype=x.dtype)


# ***** shape *****


def reshape(x: ms.Tensor, shape: tuple[int, ...]) -> ms.Tensor:
    """Reshape to sizes that the model computes; a zero keeps the size."""
    return x.reshape(tuple(x.shape[k] if size == 0 else size for k, size in enumerate(shape)))


def unsqueeze(x: ms.Tensor, axes: tuple[int, ...]) -> ms.Tensor:
    """New axes of size 1, at these places of the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.expand_dims(axis)
    return x


def expand(x: ms.Tensor, shape: tuple[int, ...]) -> ms.Tensor:
    """Broadcast x and a shape against each other."""
    rank = max(x.ndim, len(shape))
    own = (1,) * (rank - x.ndim) + tuple(x.shape)
    wanted = (1,) * (rank - len(shape)) + tuple(shape)
    return ops.broadcast_to(x, tuple(a if b == 1 else b for a, b in zip(own, wanted)))


def split_evenly(x: ms.Tensor, count: int, axis: int) -> tuple[ms.Tensor, ...]:
    """Parts of one size, the last one smaller where it does not divide."""
    size = -(-x.shape[axis] // count)
    rest = x.shape[axis] - size * (count - 1)
    return ops.split(x, [size] * (count - 1) + [rest], axis=axis)


def split_sizes(x: ms.Tensor, sizes: tuple[int, ...], axis: int) -> tuple[ms.Tensor, ...]:
    """Parts of given sizes, which may be zero."""
    place, begin, parts = axis % x.ndim, 0, []
    for size in sizes:
        parts.append(x[(slice(None),) * place + (slice(begin, begin + size),)])
        begin += size
    return tuple(parts)


def depth_to_space(x: ms.Tensor, block: int, mode: str) -> ms.Tensor:
    """[N, C, H, W] -> [N, C / block^2, H * block, W * block]; blocks outermost in C for DCR."""
    n, c, h, w = x.shape
    deep = c // block**2
    if mode == "DCR":
        x = x.reshape(n, block, block, deep, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        x = x.reshape(n, deep, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, deep, h * block, w * block)


def space_to_depth(x: ms.Tensor, block: int) -> ms.Tensor:
    """[N, C, H, W] -> [N, C * block^2, H / block, W / block], blocks outermost in C."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * block**2, h // block, w // block)


# ***** indexing *****


def from_start(indices: ms.Tensor, size: int) -> ms.Tensor:
    """Indices as int64, negative ones counted from the end."""
    indices = indices.astype(ms.int64)
    return ops.where(indices < 0, indices + size, indices)


def gather(x: ms.Tensor, indices: ms.Tensor, axis: int) -> ms.Tensor:
    """Slices along an axis; negative indices count from the end."""
    return ops.gather(x, from_start(indices, x.shape[axis]), axis)


def gather_elements(x: ms.Tensor, indices: ms.Tensor, axis: int) -> ms.Tensor:
    """Elements along an axis; negative indices count from the end."""
    return ops.gather_elements(x, axis, from_start(indices, x.shape[axis]))


def gather_nd(x: ms.Tensor, indices: ms.Tensor, batch_dims: int) -> ms.Tensor:
    """Slices of x at the coordinates in the last axis of `indices`."""
    depth, n = indices.shape[-1], math.prod(x.shape[:batch_dims])
    tail = tuple(x.shape[batch_dims + depth :])
    places = indices.reshape(n, -1, depth)
    flat = ops.arange(n).reshape(n, 1) if batch_dims else 0
    for k in range(depth):
        size = x.shape[batch_dims + k]
        flat = flat * size + from_start(places[..., k], size)
    y = ops.gather(x.reshape((-1,) + tail), flat.reshape(-1), 0)
    return y.reshape(tuple(indices.shape[:-1]) + tail)


SCATTER = {
    "none": ops.tensor_scatter_update,
    "add": ops.tensor_scatter_add,
    "mul": ops.tensor_scatter_mul,
    "max": ops.tensor_scatter_max,
    "min": ops.tensor_scatter_min,
}


def scatter_elements(
    x: ms.Tensor, indices: ms.Tensor, updates: ms.Tensor, axis: int, reduction: str
) -> ms.Tensor:
    """X with elements along an axis replaced by, or combined with, updates."""
    axis, flat = axis % x.ndim, 0
    for k, size in enumerate(x.shape):
        if k == axis:
            place = from_start(indices, size)
        else:
            place = ops.arange(indices.shape[k]).reshape((-1,) + (1,) * (x.ndim - 1 - k))
        flat = flat * size + place
    y = SCATTER[reduction](x.reshape(-1), flat.reshape(-1, 1), updates.reshape(-1))
    return y.reshape(x.shape)


def scatter_nd(x: ms.Tensor, indices: ms.Tensor, updates: ms.Tensor, reduction: str) -> ms.Tensor:
    """X with slices at coordinates replaced by, or combined with, updates."""
    depth, rows = indices.shape[-1], 0
    places = indices.reshape(-1, depth)
    for k in range(depth):
        rows = rows * x.shape[k] + from_start(places[:, k], x.shape[k])
    flat = x.reshape(math.prod(x.shape[:depth]), -1)
    values = updates.reshape(places.shape[0], flat.shape[1])
    return SCATTER[reduction](flat, rows.reshape(-1, 1), values).reshape(x.shape)


def slice_axes(
    x: ms.Tensor,
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    axes: tuple[int, ...] | None,
    steps: tuple[int, ...] | None,
) -> ms.Tensor:
    """x[start:end:step] along each of the axes."""
    for k, (start, end) in enumerate(zip(starts, ends)):
        axis = (k if axes is None else axes[k]) % x.ndim
        step = 1 if steps is None else steps[k]
        if step < 0:
            x = slice_backwards(x, axis, start, end, step)
        else:
            begin, stop, _ = slice(start, end).indices(x.shape[axis])
            x = x[(slice(None),) * axis + (slice(begin, max(begin, stop)),)]
            x = every(x, axis, step)
    return x


def every(x: ms.Tensor, axis: int, step: int) -> ms.Tensor:
    """x[::step] along an axis; MindSpore's own slice with steps has no gradient on the CPU (2.10.0)."""
    if step == 1:
        return x
    return ops.gather(x, ops.arange(0, x.shape[axis], step), axis)


def slice_backwards(x: ms.Tensor, axis: int, start: int, end: int, step: int) -> ms.Tensor:
    """x[start:end:step] along an axis, for a negative step."""
    size = x.shape[axis]
    # Python takes nothing where it starts before the first; the standard takes the first.
    wanted = list(range(size))[slice(max(start, -size), None if end < -size else end, step)]
    if not wanted:
        return x[(slice(None),) * axis + (slice(0, 0),)]
    return ops.gather(x, ms.Tensor(wanted, ms.int64), axis)


def compress(x: ms.Tensor, condition: ms.Tensor, axis: int | None) -> ms.Tensor:
    """What stands along an axis (or in the flattened tensor) where a condition holds."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    return ops.gather(x, ops.nonzero(condition).reshape(-1), axis)


def one_hot(indices: ms.Tensor, depth: int, values: ms.Tensor, axis: int) -> ms.Tensor:
    """values[1] at each index along a new axis, values[0] elsewhere."""
    place = axis % (indices.ndim + 1)
    indices = from_start(indices, int(depth)).expand_dims(place)
    numbers = ops.arange(int(depth)).reshape((-1,) + (1,) * (indices.ndim - place - 1))
    return ops.where(indices == numbers, values[1], values[0])


def reverse_sequence(
    x: ms.Tensor, lengths: ms.Tensor, batch_axis: int, time_axis: int
) -> ms.Tensor:
    """The first `lengths[b]` steps of each sequence backwards."""
    y = ops.movedim(x, (batch_axis, time_axis), (0, 1))
    n, count = y.shape[:2]
    steps, ends = ops.arange(count), lengths.astype(ms.int64).reshape(-1, 1)
    order = ops.where(steps < ends, ends - 1 - steps, steps) + ops.arange(n).reshape(-1, 1) * count
    taken = ops.gather(y.reshape((-1,) + tuple(y.shape[2:])), order.reshape(-1), 0)
    return ops.movedim(taken.reshape(y.shape), (0, 1), (batch_axis, time_axis))


def unique(
    x: ms.Tensor, axis: int | None, ordered: bool
) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor, ms.Tensor]:
    """Unique slices with their first positions, the inverse and the counts."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    n, axis = x.shape[axis], axis % x.ndim
    rows = ops.movedim(x, axis, 0).reshape(n, -1)
    # The rank of each slice among all of them, one column after the other.
    inverse = ops.zeros((n,), ms.int64)
    for k in range(rows.shape[1]):
        inverse = ranks(inverse * n + ranks(rows[:, k]))
    count = int(inverse.max()) + 1
    places = inverse.reshape(-1, 1)
    first = ops.tensor_scatter_min(ops.full((count,), n, dtype=ms.int64), places, ops.arange(n))
    counts = ops.zeros((count,), ms.int64)
    counts = ops.tensor_scatter_add(counts, places, ops.ones((n,), ms.int64))
    if not ordered:
        order = ops.argsort(first)
        inverse = ops.argsort(order)[inverse].astype(ms.int64)
        first, counts = first[order], counts[order]
    return ops.gather(x, first, axis), first, inverse, counts


def ranks(x: ms.Tensor) -> ms.Tensor:
    """The rank of each element of a vector among the unique ones."""
    values, inverse = ops.unique(x)
    return ops.argsort(ops.argsort(values))[inverse].astype(ms.int64)


def top_k(x: ms.Tensor, k: int, axis: int, largest: bool) -> tuple[ms.Tensor, ms.Tensor]:
    """The k largest or smallest along an axis, sorted; of equal ones the first."""
    if x.shape[axis] == 0:
        return x, x.astype(ms.int64)
    x = x.swapaxes(axis, -1)
    size = x.shape[-1]
    # -x - 1 turns the order of whole numbers around without overflow.
    turned = ops.invert if x.dtype in LOWEST else ops.neg
    values, places = ops.topk(x if largest else turned(x), size)
    values, places = values if largest else turned(values), places.astype(ms.int64)
    # The kernel leaves equal elements in any order: number the groups of them, sort within each.
    before = ops.concat((values[..., :1], values), axis=-1)[..., :size]
    group = ops.cumsum((values != before).astype(ms.int64), -1)
    places = -ops.topk(-(group * size + places), size)[0] - group * size
    return values[..., :k].swapaxes(axis, -1), places[..., :k].swapaxes(axis, -1)


def non_max_suppression(
    boxes: ms.Tensor,
    scores: ms.Tensor,
    most: int,
    overlap: float,
    least: float | None,
    centered: bool,
) -> ms.Tensor:
    """[batch, class, box] of the boxes that are kept, best first; boxes are [N, boxes, 4].

    What is decided box by box is decided on the host.
    """
    first, second = np.split(np.moveaxis(boxes.asnumpy(), 2, 0), 2)  # [2, N, boxes]
    if centered:
        low, high = first - second / 2, first + second / 2
    else:
        low, high = np.minimum(first, second), np.maximum(first, second)
    area = (high - low).prod(0)
    kept = []
    for (n, c), row in zip(
        np.ndindex(scores.shape[:2]), scores.asnumpy().reshape(-1, scores.shape[2])
    ):
        order = (-row).argsort(kind="stable")
        if least is not None:
            order = order[row[order] > least]
        chosen = 0
        while order.size > 0 and chosen < most:
            best, order = order[0], order[1:]
            kept.append((n, c, best))
            chosen += 1
            sides = np.minimum(high[:, n, best, None], high[:, n, order])
            sides = sides - np.maximum(low[:, n, best, None], low[:, n, order])
            shared = sides.clip(min=0).prod(0)
            # Of boxes without area, this is no number.
            with np.errstate(all="ignore"):
                share = shared / (area[n, best] + area[n, order] - shared)
            order = order[~(share > overlap)]
    return ms.Tensor(np.array(kept, np.int64).reshape(-1, 3))


# ***** padding and resizing *****


def sides_of(
    x: ms.Tensor, pads: tuple[int, ...], axes: tuple[int, ...] | None
) -> list[tuple[int, int]]:
    """Padding before and after every axis, of numbers before each of some axes, then after each."""
    chosen = list(range(x.ndim) if axes is None else axes)
    sides = [(0, 0)] * x.ndim
    for axis, before, after in zip(chosen, pads[: len(chosen)], pads[len(chosen) :]):
        sides[axis % x.ndim] = (before, after)
    return sides


def crop_or_pad(x: ms.Tensor, sides: list[tuple[int, int]], value: float = 0.0) -> ms.Tensor:
    """Pad every axis before and after; cut off where a number is negative."""
    if any(side < 0 for pair in sides for side in pair):
        kept = [slice(max(-b, 0), n - max(-e, 0)) for n, (b, e) in zip(x.shape, sides)]
        x = x[tuple(kept)]
    flat = tuple(max(side, 0) for pair in reversed(sides) for side in pair)
    return ops.pad(x, flat, value=value) if any(flat) else x


def mirror(x: ms.Tensor, axis: int, before: int, after: int) -> ms.Tensor:
    """Pad an axis by mirroring it at its ends, by less than its size."""
    size, rest, parts = x.shape[axis], (slice(None),) * axis, (x,)
    if before:
        parts = (ops.flip(x[(*rest, slice(1, before + 1))], (axis,)), *parts)
    if after:
        parts = (*parts, ops.flip(x[(*rest, slice(size - 1 - after, size - 1))], (axis,)))
    return ops.concat(parts, axis)


def pad_by_index(x: ms.Tensor, sides: list[tuple[int, int]], mode: str) -> ms.Tensor:
    """Pad (or crop, where negative) every axis by mirroring, repeating the edge, or wrapping."""
    for axis, (before, after) in enumerate(sides):
        if before == 0 and after == 0:
            continue
        size = x.shape[axis]
        places = ops.arange(-before, size + after)
        if mode == "edge":
            places = ops.minimum(ops.maximum(places, 0), size - 1)
        elif mode == "wrap":
            places = places % size
        else:
            period = ops.maximum(ops.full((1,), 2 * size - 2, dtype=ms.int64), 1)
            places = places % period
            places = ops.minimum(places, 2 * size - 2 - places)
        x = ops.gather(x, places, axis)
    return x


def resize(
    x: ms.Tensor,
    axes: tuple[int, ...],
    scales: tuple[float, ...] | None = None,
    sizes: tuple[int, ...] | None = None,
    mode: str = "nearest",
    coordinates: str = "half_pixel",
    nearest: str = "round_prefer_floor",
    cubic_a: float = -0.75,
    exclude_outside: bool = False,
    antialias: bool = False,
    extrapolation: float = 0.0,
    policy: str = "stretch",
    roi: tuple[float, ...] | None = None,
) -> ms.Tensor:
    """Resize axes one by one, by taking or mixing neighbours.

    Source: the operator page of Resize in the ONNX standard.
    """
    dtype, old = x.dtype, [x.shape[axis] for axis in axes]
    if sizes is not None:
        factors = [new / size for new, size in zip(sizes, old)]
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(old)
            sizes = tuple(math.floor(size * factor + 0.5) for size in old)
    else:
        factors = list(scales)
        sizes = tuple(math.floor(size * factor) for size, factor in zip(old, factors))
    outside = None
    for k, axis in enumerate(axes):
        size, new, scale = old[k], int(sizes[k]), factors[k]
        if new == size and scale == 1 and coordinates != "tf_crop_and_resize":
            continue
        region = (roi[k], roi[k + len(axes)]) if roi else None
        places = [source_place(n, size, new, scale, coordinates, region) for n in range(new)]
        shape = (-1,) + (1,) * (x.ndim - axis - 1)
        if coordinates == "tf_crop_and_resize":
            beyond = ms.Tensor([not 0 <= place <= size - 1 for place in places]).reshape(shape)
            outside = beyond if outside is None else ops.logical_or(outside, beyond)
        if mode == "nearest":
            rounded = [nearest_place(place, nearest) for place in places]
            rounded = [min(max(place, 0), size - 1) for place in rounded]
            x = ops.gather(x, ms.Tensor(rounded, ms.int64), axis)
            continue
        if x.dtype in LOWEST:
            x = x.astype(ms.float32)
        squeeze = min(scale, 1.0) if antialias else 1.0
        taps = [
            resize_taps(place, size, squeeze, mode, cubic_a, exclude_outside) for place in places
        ]
        y = 0.0
        for tap in zip(*taps):
            taken = ms.Tensor([place for place, _ in tap], ms.int64)
            weights = ms.Tensor([weight for _, weight in tap], x.dtype).reshape(shape)
            y = y + ops.gather(x, taken, axis) * weights
        x = y
    if x.dtype != dtype:
        # Integers lose their fraction, but not what is one but for an error of rounding.
        x = ops.trunc(x + ops.sign(x) * 1e-4).astype(dtype)
    return x if outside is None else ops.where(outside, ms.Tensor(extrapolation, dtype), x)


def source_place(
    n: int,
    size: int,
    new: int,
    scale: float,
    coordinates: str,
    region: tuple[float, float] | None,
) -> float:
    """Where the n-th of `new` elements stands between those of the source."""
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and new > 1):
        return (n + 0.5) / scale - 0.5
    if coordinates == "half_pixel_symmetric":
        return size / 2 * (1 - new / (scale * size)) + (n + 0.5) / scale - 0.5
    if coordinates == "align_corners" and scale * size > 1:
        return n * (size - 1) / (scale * size - 1)
    if coordinates == "asymmetric":
        return n / scale
    if coordinates == "tf_half_pixel_for_nn":
        return (n + 0.5) / scale
    if coordinates == "tf_crop_and_resize" and region is not None:
        begin, end = region
        if new == 1:
            return 0.5 * (begin + end) * (size - 1)
        return begin * (size - 1) + n * (end - begin) * (size - 1) / (new - 1)
    return 0.0


def nearest_place(place: float, rounding: str) -> int:
    """The element to take for a place between elements."""
    if rounding == "round_prefer_floor":
        return math.ceil(place - 0.5)
    if rounding == "round_prefer_ceil":
        return math.floor(place + 0.5)
    return math.floor(place) if rounding == "floor" else math.ceil(place)


def resize_taps(
    place: float, size: int, squeeze: float, mode: str, cubic_a: float, exclude_outside: bool
) -> list[tuple[int, float]]:
    """Which source elements go into a new one, each with its weight."""
    reach, first = math.ceil((1 if mode == "linear" else 2) / squeeze), math.floor(place)
    taken = range(first - reach + 1, first + reach + 1)
    kernel = linear_weight if mode == "linear" else cubic_weight
    weights = [kernel(abs(k - place) * squeeze, cubic_a) for k in taken]
    if exclude_outside:
        weights = [weight if 0 <= k < size else 0.0 for k, weight in zip(taken, weights)]
    total = sum(weights)
    return [(min(max(k, 0), size - 1), weight / total) for k, weight in zip(taken, weights)]


def linear_weight(distance: float, _: float) -> float:
    """The weight of a neighbour at a distance."""
    return max(1 - distance, 0.0)


def cubic_weight(distance: float, a: float) -> float:
    """The weight of a neighbour at a distance. Source: Keys, Cubic Convolution (1981)."""
    if distance <= 1:
        return ((a + 2) * distance - (a + 3)) * distance**2 + 1
    if distance < 2:
        return ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return 0.0


def center_crop_pad(x: ms.Tensor, sizes: tuple[int, ...], axes: tuple[int, ...]) -> ms.Tensor:
    """Crop or pad axes to sizes, keeping the middle."""
    sides = [(0, 0)] * x.ndim
    for size, axis in zip(sizes, axes):
        place, have = axis % x.ndim, x.shape[axis]
        # Half of what is added or cut off, rounded toward zero, stands before.
        before = (size - have) // 2 if size > have else -((have - size) // 2)
        sides[place] = (before, size - have - before)
    return crop_or_pad(x, sides)


def grid_sample(
    x: ms.Tensor, grid: ms.Tensor, mode: str, padding_mode: str, align_corners: bool
) -> ms.Tensor:
    """Sample [N, C, sizes...] at the coordinates [N, places..., axes] from -1 to 1, last axis first.

    Source: the operator page of GridSample in the ONNX standard.
    """
    n, c, sizes = x.shape[0], x.shape[1], x.shape[2:]
    taps = []
    for axis, size in enumerate(sizes):
        place = grid[..., len(sizes) - 1 - axis].reshape(n, -1)
        place = (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2
        taps.append(
            [(ops.round(place), ops.ones_like(place))]
            if mode == "nearest"
            else sample_taps(place, mode)
        )
    for k, size in enumerate(sizes):
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        if padding_mode == "zeros":
            taps[k] = [within(place, share, size) for place, share in taps[k]]
        elif padding_mode == "reflection":
            taps[k] = [(reflected(place, low, high), share) for place, share in taps[k]]
    flat = x.reshape(n, c, -1).swapaxes(1, 2).reshape(-1, c)
    y = mixed(flat, ops.arange(n).reshape(n, 1), sizes, taps)
    return y.swapaxes(1, 2).reshape((n, c) + tuple(grid.shape[1:-1]))


def mixed(
    rows: ms.Tensor,
    first: ms.Tensor,
    sizes: tuple[int, ...],
    taps: list[list[tuple[ms.Tensor, ms.Tensor]]],
) -> ms.Tensor:
    """Rows [images * places, C] at places of images, mixed by weights: [..., C].

    Args:
        first: The number of the image, to broadcast against places.
        sizes: Of the axes of an image.
        taps: For each axis the places to take, and the weight of each.
    """
    total = 0.0
    for chosen in itertools.product(*taps):
        index, weight = first, 1.0
        for size, (place, share) in zip(sizes, chosen):
            place = ops.clamp(ops.round(place), 0.0, size - 1.0)
            index = index * size + place.astype(ms.int64)
            weight = weight * share
        values = ops.gather(rows, index.reshape(-1), 0).reshape(tuple(index.shape) + (-1,))
        total = total + values * weight.expand_dims(-1)
    return total


def within(place: ms.Tensor, share: ms.Tensor, size: int) -> tuple[ms.Tensor, ms.Tensor]:
    """A place with its weight, which is zero outside."""
    inside = ops.logical_and(place >= 0, place <= size - 1)
    return place, share * inside.astype(share.dtype)


def reflected(place: ms.Tensor, low: float, high: float) -> ms.Tensor:
    """A place mirrored at both ends until it is between them."""
    span = max(high - low, 1e-9)
    place = place - low
    place = place - ops.floor(place / (2 * span)) * (2 * span)
    return ops.minimum(place, 2 * span - place) + low


def sample_taps(place: ms.Tensor, mode: str) -> list[tuple[ms.Tensor, ms.Tensor]]:
    """The elements around a place with their linear, or cubic (a = -0.75), weights."""
    a, first = -0.75, ops.floor(place)
    if mode == "linear":
        return [(first, first + 1 - place), (first + 1, place - first)]
    taps = []
    for offset in (-1, 0, 1, 2):
        distance = ops.abs(first + offset - place)
        if offset in (0, 1):
            weight = ((a + 2) * distance - (a + 3)) * ops.square(distance) + 1
        else:
            weight = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        taps.append((first + offset, weight))
    return taps


def affine_grid(theta: ms.Tensor, size: tuple[int, ...], align_corners: bool) -> ms.Tensor:
    """Coordinates [N, places..., axes] of an affine map [N, axes, axes + 1], for grid_sample."""
    n, axes = size[0], len(size) - 2
    parts = []
    for k, count in enumerate(reversed(size[2:])):
        numbers = ops.arange(count).astype(theta.dtype)
        if align_corners:
            places = numbers * (2 / max(count - 1, 1)) - 1
        else:
            places = (numbers * 2 + 1) / count - 1
        shape = [1] * axes
        shape[axes - 1 - k] = count
        parts.append(ops.broadcast_to(places.reshape(tuple(shape)), tuple(size[2:])))
    parts.append(ops.ones(tuple(size[2:]), theta.dtype))
    base = ops.stack(parts, -1).reshape(1, -1, axes + 1)
    y = ops.matmul(base, theta.swapaxes(1, 2))
    return y.reshape((n,) + tuple(size[2:]) + (axes,))


def roi_align(
    x: ms.Tensor,
    rois: ms.Tensor,
    batch: ms.Tensor,
    size: tuple[int, int],
    sampling_ratio: int,
    scale: float,
    offset: float,
    mode: str,
) -> ms.Tensor:
    """Pool regions [x1, y1, x2, y2] of images to one size by bilinear samples.

    Source: the operator page of RoiAlign in the ONNX standard.
    """
    pooled = []
    regions = (rois * scale - offset).asnumpy().tolist()
    for image, roi in zip(batch.asnumpy().tolist(), regions):
        taps, samples = [], []
        for axis, count in enumerate(size):
            begin, end, length = roi[1 - axis], roi[3 - axis], x.shape[2 + axis]
            extent = end - begin if offset else max(end - begin, 1.0)
            samples.append(sampling_ratio or math.ceil(extent / count))
            step = extent / count / samples[-1]
            places = [begin + (k + 0.5) * step for k in range(count * samples[-1])]
            inside = [float(-1 <= place <= length) for place in places]
            places = [min(max(place, 0.0), length - 1.0) for place in places]
            low = [math.floor(place) for place in places]
            high = [min(place + 1, length - 1) for place in low]
            share = [place - first for place, first in zip(places, low)]
            shape = (-1, 1) if axis == 0 else (-1,)
            near = [(1 - part) * shown for part, shown in zip(share, inside)]
            far = [part * shown for part, shown in zip(share, inside)]
            taps.append(
                [
                    (ms.Tensor(taken, ms.int64), ms.Tensor(weight, x.dtype).reshape(shape))
                    for taken, weight in ((low, near), (high, far))
                ]
            )
        parts = [
            ops.gather(ops.gather(x[image], rows, 1), columns, 2) * down * across
            for (rows, down), (columns, across) in itertools.product(*taps)
        ]
        shape = (x.shape[1], size[0], samples[0], size[1], samples[1])
        if mode == "avg":
            pooled.append(ops.mean(sum(parts).reshape(shape), (2, 4)))
        else:
            largest = ops.maximum(ops.maximum(parts[0], parts[1]), ops.maximum(parts[2], parts[3]))
            pooled.append(ops.amax(largest.reshape(shape), (2, 4)))
    return ops.stack(pooled)


def max_roi_pool(x: ms.Tensor, rois: ms.Tensor, size: tuple[int, int], scale: float) -> ms.Tensor:
    """Max pool regions [image, x1, y1, x2, y2] to one size.

    Source: Girshick, Fast R-CNN (2015), section 2.1.
    """
    pooled = []
    for image, *corners in rois.asnumpy().tolist():
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
            if top >= bottom or left >= right:
                pooled.append(ops.zeros((x.shape[1],), x.dtype))
            else:
                pooled.append(ops.amax(x[int(image), :, top:bottom, left:right], (1, 2)))
    y = ops.stack(pooled).reshape(rois.shape[0], size[0], size[1], x.shape[1])
    return y.transpose(0, 3, 1, 2)


def max_unpool(
    x: ms.Tensor,
    indices: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pads: tuple[int, ...],
    shape: tuple[int, ...] | None,
) -> ms.Tensor:
    """Each element at its place in the flattened tensor that was pooled, zeros elsewhere."""
    n = len(kernel)
    sizes = [
        (size - 1) * s + k - before - after
        for size, s, k, before, after in zip(x.shape[2:], stride, kernel, pads[:n], pads[n:])
    ]
    sizes = [*x.shape[:2], *sizes]
    flat = ops.zeros((math.prod(sizes),), x.dtype)
    flat = ops.tensor_scatter_update(flat, indices.reshape(-1, 1), x.reshape(-1))
    y = flat.reshape(tuple(sizes))
    if shape is None:
        return y
    return crop_or_pad(y, [(0, new - old) for new, old in zip(shape, sizes)])


def col2im(
    x: ms.Tensor,
    image: tuple[int, ...],
    block: tuple[int, ...],
    dilations: tuple[int, ...] | None,
    pads: tuple[int, ...] | None,
    strides: tuple[int, ...] | None,
) -> ms.Tensor:
    """Sum blocks [N, C * block, places] where they overlap in images [N, C, *image]."""
    n = len(block)
    dilations, strides = dilations or (1,) * n, strides or (1,) * n
    pads = pads or (0,) * (2 * n)
    padded = [size + pads[k] + pads[k + n] for k, size in enumerate(image)]
    # For each element of the blocks, its place in the flattened padded image.
    places = ops.zeros((1,) * (2 * n), ms.int64)
    for k in range(n):
        count = (padded[k] - dilations[k] * (block[k] - 1) - 1) // strides[k] + 1
        inner = ops.arange(block[k]) * dilations[k]
        outer = ops.arange(count) * strides[k]
        shape = [1] * (2 * n)
        shape[k], shape[n + k] = block[k], count
        places = places * padded[k] + (inner.expand_dims(1) + outer).reshape(tuple(shape))
    places = places.reshape(-1, 1)
    rows = x.reshape(-1, places.shape[0]).swapaxes(0, 1)
    y = ops.zeros((math.prod(padded), rows.shape[1]), x.dtype)
    y = ops.tensor_scatter_add(y, places, rows).swapaxes(0, 1)
    y = y.reshape((x.shape[0], -1) + tuple(padded))
    sides = [(-pads[k], -pads[k + n]) for k in range(n)]
    return crop_or_pad(y, [(0, 0), (0, 0), *sides])


# ***** generation *****


def cosine_window(size: int, coefficients: tuple[float, ...], periodic: bool) -> ms.Tensor:
    """a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N), N being the size or one less."""
    count = max(size if periodic else size - 1, 1)
    values = [
        sum(
            a * (-1) ** k * math.cos(2 * math.pi * k * n / count)
            for k, a in enumerate(coefficients)
        )
        for n in range(size)
    ]
    return ms.Tensor(values, ms.float64)


# ***** quantisation *****


def along(x: ms.Tensor, values: ms.Tensor, axis: int, block: int = 0) -> ms.Tensor:
    """One value for all, for each place along an axis, or for each block of it, to broadcast."""
    if values.size == 1:
        return values.reshape(())
    place = axis % x.ndim
    if block:
        wide = ops.repeat_interleave(values, block, place)
        return wide[(slice(None),) * place + (slice(0, x.shape[place]),)]
    return values.reshape((-1,) + (1,) * (x.ndim - place - 1))


def quantize(
    x: ms.Tensor,
    scale: ms.Tensor,
    zero: ms.Tensor | None,
    axis: int,
    low: int,
    high: int,
    dtype: ms.Type,
    block: int = 0,
) -> ms.Tensor:
    """round(x / scale) + zero point, saturated."""
    y = ops.round(x.astype(ms.float32) / along(x, scale.astype(ms.float32), axis, block))
    if zero is not None:
        y = y + along(x, zero.astype(ms.float32), axis, block)
    return ops.clamp(y, float(low), float(high)).astype(ms.int32).astype(dtype)


def dequantize(
    x: ms.Tensor, scale: ms.Tensor, zero: ms.Tensor | None, axis: int, block: int = 0
) -> ms.Tensor:
    """(x - zero point) * scale."""
    y = x.astype(ms.int32)
    if zero is not None:
        y = y - along(x, zero.astype(ms.int32), axis, block)
    y = y.astype(ms.float32) * along(x, scale.astype(ms.float32), axis, block)
    return y.astype(scale.dtype)


def dynamic_quantize(x: ms.Tensor) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
    """uint8 with the scale and zero point that the range of x, zero included, asks for."""
    low, high = -ops.relu(-ops.amin(x)), ops.relu(ops.amax(x))
    scale = ops.where(low == high, ops.ones_like(low), (high - low) / 255)
    zero = ops.round(ops.clamp(-low / scale, 0.0, 255.0))
    y = ops.clamp(ops.round(x / scale) + zero, 0.0, 255.0)
    return y.astype(ms.int32).astype(ms.uint8), scale, zero.astype(ms.int32).astype(ms.uint8)


def shifted(x: ms.Tensor, zero: ms.Tensor | None, axis: int) -> ms.Tensor:
    """A matrix less its zero point, or those of its rows (axis -2) or columns (-1); int32."""
    x = x.astype(ms.int32)
    if zero is None:
        return x
    zero = zero.astype(ms.int32)
    rows = axis == -2 and zero.ndim == 1 and zero.shape[0] > 1
    return x - (zero.expand_dims(1) if rows else zero)


def convolve_integers(
    x: ms.Tensor,
    weight: ms.Tensor,
    x_zero: ms.Tensor | None,
    weight_zero: ms.Tensor | None,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    group: int,
) -> ms.Tensor:
    """Convolution of integers less their zero points, exact; int32."""
    x, weight = x.astype(ms.int32), weight.astype(ms.int32)
    if x_zero is not None:
        x = x - x_zero.astype(ms.int32)
    if weight_zero is not None:
        weight = weight - along(weight, weight_zero.astype(ms.int32), 0)
    return convolve(x, weight, stride, dilation, pads, group)


def requantize(
    x: ms.Tensor,
    scale: ms.Tensor,
    other_scale: ms.Tensor,
    new_scale: ms.Tensor,
    zero: ms.Tensor,
    low: int,
    high: int,
) -> ms.Tensor:
    """A product of two quantised tensors in a new scale, saturated, in the zero point's type."""
    ratio = scale.astype(ms.float32) * other_scale.astype(ms.float32) / new_scale.astype(ms.float32)
    y = ops.round(x.astype(ms.float32) * ratio) + zero.astype(ms.float32)
    return ops.clamp(y, float(low), float(high)).astype(ms.int32).astype(zero.dtype)


# ***** recurrent *****


def unpacked(
    result: tuple[ms.Tensor, tuple[ms.Tensor, ms.Tensor]],
) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
    """What an LSTM returns as three values: all outputs, the last hidden state and the last cell state."""
    y, (h, c) = result
    return y, h, c


def run_lstm(
    layer: nn.LSTM,
    x: ms.Tensor,
    h: ms.Tensor | None = None,
    c: ms.Tensor | None = None,
    batch_first: bool = False,
) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
    """Run an LSTM; outputs are [steps, directions, batch, hidden] as in ONNX, or batch first."""
    if batch_first and h is not None:
        h, c = h.swapaxes(0, 1), c.swapaxes(0, 1)
    y, (h, c) = layer(x, None if h is None else (h, c))
    y = y.reshape(tuple(y.shape[:2]) + (h.shape[0], h.shape[2]))
    if batch_first:
        return y, h.swapaxes(0, 1), c.swapaxes(0, 1)
    return y.swapaxes(1, 2), h, c


def run_gru(
    layer: nn.GRU, x: ms.Tensor, h: ms.Tensor | None = None, batch_first: bool = False
) -> tuple[ms.Tensor, ms.Tensor]:
    """Run a GRU; outputs are [steps, directions, batch, hidden] as in ONNX, or batch first."""
    if batch_first and h is not None:
        h = h.swapaxes(0, 1)
    y, h = layer(x, h)
    y = y.reshape(tuple(y.shape[:2]) + (h.shape[0], h.shape[2]))
    return (y, h.swapaxes(0, 1)) if batch_first else (y.swapaxes(1, 2), h)


CELL_ACTIVATIONS = {"Sigmoid": ops.sigmoid, "Tanh": ops.tanh, "Relu": ops.relu}


def recur(
    steps: list[Callable[..., tuple[ms.Tensor, ...]]],
    x: ms.Tensor,
    states: tuple[ms.Tensor | None, ...],
    hidden: int,
    lengths: ms.Tensor | None,
    direction: str,
    layout: int,
) -> tuple[ms.Tensor, ...]:
    """Run a cell over time in each direction; gives all first states, then the last ones.

    Args:
        steps: For each direction the cell: (x [batch, inputs], states) -> states.
        x: [steps, batch, inputs], or batch first with `layout` 1.
        states: Each [directions, batch, hidden] or None for zeros.
        lengths: Steps of each sequence; behind its end the states stay and outputs are zero.
    """
    if layout:
        x = x.swapaxes(0, 1)
        states = tuple(None if s is None else s.swapaxes(0, 1) for s in states)
    zeros = ops.zeros((x.shape[1], hidden), x.dtype)
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
                going = (lengths > t).expand_dims(1)
                new = tuple(ops.where(going, a, b) for a, b in zip(new, state))
                y = ops.where(going, y, zeros)
            state = new
            outputs.append(y)
        ys.append(ops.stack(outputs[::-1] if backwards else outputs))
        lasts.append(state)
    y = ops.stack(ys, 1)
    finals = tuple(ops.stack(list(states)) for states in zip(*lasts))
    if layout:
        return y.transpose(2, 0, 1, 3), *(final.swapaxes(0, 1) for final in finals)
    return y, *finals


def limited(x: ms.Tensor, clip: float | None) -> ms.Tensor:
    """X within -clip and clip."""
    return x if clip is None else ops.clamp(x, -clip, clip)


def parts_of(x: ms.Tensor | None, count: int) -> tuple[ms.Tensor | float, ...]:
    """Equal parts of the first axis; zeros where there is no tensor."""
    if x is None:
        return (0.0,) * count
    size = x.shape[0] // count
    return tuple(x[k * size : (k + 1) * size] for k in range(count))


def affine(x: ms.Tensor, weight: ms.Tensor, bias: ms.Tensor | float) -> ms.Tensor:
    """X @ weight^T + bias."""
    return ops.matmul(x, weight.swapaxes(0, 1)) + bias


def rnn(
    x: ms.Tensor,
    w: ms.Tensor,
    r: ms.Tensor,
    b: ms.Tensor | None,
    lengths: ms.Tensor | None,
    h: ms.Tensor | None,
    activations: tuple[str, ...],
    direction: str,
    clip: float | None = None,
    layout: int = 0,
) -> tuple[ms.Tensor, ...]:
    """f(x W^T + h R^T + b); gives all states and the last one. Source: the ONNX page of RNN."""

    def cell(d: int) -> Callable[..., tuple[ms.Tensor, ...]]:
        activation = CELL_ACTIVATIONS[activations[d]]
        of_input, of_state = parts_of(None if b is None else b[d], 2)

        def step(x: ms.Tensor, h: ms.Tensor) -> tuple[ms.Tensor, ...]:
            gate = affine(x, w[d], of_input) + affine(h, r[d], of_state)
            return (activation(limited(gate, clip)),)

        return step

    steps = [cell(d) for d in range(w.shape[0])]
    return recur(steps, x, (h,), r.shape[2], lengths, direction, layout)


def gru(
    x: ms.Tensor,
    w: ms.Tensor,
    r: ms.Tensor,
    b: ms.Tensor | None,
    lengths: ms.Tensor | None,
    h: ms.Tensor | None,
    activations: tuple[str, ...],
    direction: str,
    clip: float | None = None,
    layout: int = 0,
    linear_before_reset: bool = False,
) -> tuple[ms.Tensor, ...]:
    """GRU with gates z, r, h; gives all states and the last one. Source: the ONNX page of GRU."""

    def cell(d: int) -> Callable[..., tuple[ms.Tensor, ...]]:
        f, g = (CELL_ACTIVATIONS[name] for name in activations[2 * d : 2 * d + 2])
        wz, wr, wh = parts_of(w[d], 3)
        rz, rr, rh = parts_of(r[d], 3)
        bz, br, bh, sz, sr, sh = parts_of(None if b is None else b[d], 6)

        def step(x: ms.Tensor, h: ms.Tensor) -> tuple[ms.Tensor, ...]:
            update = f(limited(affine(x, wz, bz) + affine(h, rz, sz), clip))
            reset = f(limited(affine(x, wr, br) + affine(h, rr, sr), clip))
            if linear_before_reset:
                state = reset * affine(h, rh, sh)
            else:
                state = affine(reset * h, rh, sh)
            new = g(limited(affine(x, wh, bh) + state, clip))
            return ((1 - update) * new + update * h,)

        return step

    steps = [cell(d) for d in range(w.shape[0])]
    return recur(steps, x, (h,), r.shape[2], lengths, direction, layout)


def lstm(
    x: ms.Tensor,
    w: ms.Tensor,
    r: ms.Tensor,
    b: ms.Tensor | None,
    lengths: ms.Tensor | None,
    h: ms.Tensor | None,
    c: ms.Tensor | None,
    p: ms.Tensor | None,
    activations: tuple[str, ...],
    direction: str,
    clip: float | None = None,
    layout: int = 0,
    input_forget: bool = False,
) -> tuple[ms.Tensor, ...]:
    """LSTM with gates i, o, f, c and peepholes i, o, f; gives all states and the last h and c.

    Source: the operator page of LSTM in the ONNX standard.
    """

    def cell(d: int) -> Callable[..., tuple[ms.Tensor, ...]]:
        f, g, last = (CELL_ACTIVATIONS[name] for name in activations[3 * d : 3 * d + 3])
        of_input, of_state = parts_of(None if b is None else b[d], 2)
        pi, po, pf = parts_of(None if p is None else p[d], 3)
        size = r.shape[2]

        def step(x: ms.Tensor, h: ms.Tensor, c: ms.Tensor) -> tuple[ms.Tensor, ...]:
            gates = affine(x, w[d], of_input) + affine(h, r[d], of_state)
            i, o, forget, new = (gates[:, k * size : (k + 1) * size] for k in range(4))
            i = f(limited(i + pi * c, clip))
            forget = 1 - i if input_forget else f(limited(forget + pf * c, clip))
            c = forget * c + i * g(limited(new, clip))
            return f(limited(o + po * c, clip)) * last(c), c

        return step

    steps = [cell(d) for d in range(w.shape[0])]
    return recur(steps, x, (h, c), r.shape[2], lengths, direction, layout)


# ***** signal *****


def dft(x: ms.Tensor, length: int | None, axis: int, inverse: bool, onesided: bool) -> ms.Tensor:
    """The discrete Fourier transform of [..., 1] or [..., 2] (real, imaginary); gives [..., 2].

    A product with the matrix of cosines and sines, which every back end has.
    """
    axis, dtype = axis % x.ndim, x.dtype
    size = x.shape[axis] if length is None else length
    x = ops.movedim(x, axis, -2)
    if size > x.shape[-2]:
        x = ops.pad(x, (0, 0, 0, size - x.shape[-2]))
    real = x[..., :size, 0]
    angles = [2 * math.pi * k / size for k in range(size)]
    places = ops.arange(size)
    places = (places.expand_dims(1) * places) % size
    cosines = ops.gather(ms.Tensor([math.cos(angle) for angle in angles], dtype), places, 0)
    sines = ops.gather(ms.Tensor([math.sin(angle) for angle in angles], dtype), places, 0)
    sign = 1 if inverse else -1
    y_real, y_imaginary = ops.matmul(real, cosines), ops.matmul(real, sines) * sign
    if x.shape[-1] == 2:
        imaginary = x[..., :size, 1]
        y_real = y_real - ops.matmul(imaginary, sines) * sign
        y_imaginary = y_imaginary + ops.matmul(imaginary, cosines)
    y = ops.stack((y_real, y_imaginary), -1)
    y = y / size if inverse else y
    y = y[..., : size // 2 + 1, :] if onesided else y
    return ops.movedim(y, -2, axis)


def stft(
    signal: ms.Tensor, step: int, window: ms.Tensor | None, frame: int, onesided: bool
) -> ms.Tensor:
    """Transforms of windows of a signal [batch, length, 1 or 2]; gives [batch, windows, bins, 2]."""
    count = (signal.shape[1] - frame) // step + 1
    places = ops.arange(count).expand_dims(1) * step + ops.arange(frame)
    frames = ops.gather(signal, places, 1)
    if window is not None:
        frames = frames * window.expand_dims(1)
    return dft(frames, None, 2, inverse=False, onesided=onesided)


def mel_weight_matrix(bins: int, length: int, rate: int, low: float, high: float) -> ms.Tensor:
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
    return ms.Tensor(matrix, ms.float64)


def split_to_sequence(x: ms.Tensor, split: int | Sequence[int], axis: int) -> list[ms.Tensor]:
    """Parts of one size, the last of which may be smaller, or parts of the given sizes."""
    size = x.shape[axis]
    if isinstance(split, int):
        split = [min(split, size - k) for k in range(0, size, split)]
    return list(ops.split(x, list(split), axis)) if split else []


def decode_image(data: ms.Tensor, pixel_format: str) -> ms.Tensor:
    """The pixels of an image file, as [height, width, channels] of uint8; needs Pillow."""
    image = Image.open(io.BytesIO(data.asnumpy().tobytes()))
    pixels = np.asarray(image.convert("L" if pixel_format == "Grayscale" else "RGB"))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixel_format == "BGR":
        pixels = pixels[..., ::-1]
    return ms.Tensor(pixels.copy())
