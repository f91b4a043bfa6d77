"""Source that is copied into an emitted module when it calls one of these functions.

Each is an ONNX operator that MindSpore has no one-line form for on every back end; composed of
operators that have CPU kernels, differentiable where the operator is.
"""

from __future__ import annotations

import math

import mindspore as ms
from mindspore import ops


def divide_integers(a: ms.Tensor, b: ms.Tensor) -> ms.Tensor:
    """The quotient of integers, truncated toward zero."""
    return ops.div(a, b, rounding_mode="trunc").astype(a.dtype)


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


def mean_variance_normalize(x: ms.Tensor, axes: tuple[int, ...]) -> ms.Tensor:
    """(x - mean) / (deviation + 1e-9) over axes."""
    centered = x - ops.mean(x, axes, keep_dims=True)
    return centered / (ops.sqrt(ops.mean(ops.square(centered), axes, keep_dims=True)) + 1e-9)


def pad_same(
    x: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    side: str,
    value: float = 0.0,
) -> ms.Tensor:
    """Pad so that the output has ceil(size / stride) elements; `side` gets the odd one."""
    pads = ()
    for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        small, large = total // 2, total - total // 2
        pads = ((small, large) if side == "upper" else (large, small)) + pads
    return ops.pad(x, pads, value=value)


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
    """Every window's first elements, every window's second elements ...: slices of the padded input.

    `value` fills the padding, `behind` what windows reach beyond it when sizes are rounded up.
    """
    n = len(kernel)
    sizes = x.shape[2:]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    if isinstance(pads, str):
        totals = [max((-(-z // s) - 1) * s + r - z, 0) for z, s, r in zip(sizes, stride, reach)]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        pads = tuple(small + large if pads == "upper" else large + small)
    counts, rest = [], []
    for k in range(n):
        full = sizes[k] + pads[k] + pads[k + n]
        count = (full - reach[k]) // stride[k] + 1
        if ceil_mode:
            count = -(-(full - reach[k]) // stride[k]) + 1
            # A window may not start in the padding behind the input.
            if (count - 1) * stride[k] >= sizes[k] + pads[k]:
                count -= 1
        counts.append(count)
        rest.append(max((count - 1) * stride[k] + reach[k] - full, 0))
    inner = tuple(side for k in reversed(range(n)) for side in (pads[k], pads[k + n]))
    outer = tuple(side for k in reversed(range(n)) for side in (0, rest[k]))
    if any(inner):
        x = ops.pad(x, inner, value=value)
    if any(outer):
        x = ops.pad(x, outer, value=behind)
    found = []
    for place in range(math.prod(kernel)):
        y = x
        for k in reversed(range(n)):
            begin = place % kernel[k] * dilation[k]
            place = place // kernel[k]
            end = begin + (counts[k] - 1) * stride[k] + 1
            y = y[:, :, begin : end : stride[k]] if k == 0 else y[:, :, :, begin : end : stride[k]]
        found.append(y)
    return found


def max_pool(
    x: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
) -> ms.Tensor:
    """Max pooling of [N, C, (H,) W] with any padding."""
    lowest = -3.4e38 if x.dtype == ms.float32 else -6.5e4
    parts = windows(x, kernel, stride, dilation, pads, ceil_mode, lowest, lowest)
    y = parts[0]
    for part in parts[1:]:
        y = ops.maximum(y, part)
    return y


def average_pool(
    x: ms.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    count_include_pad: bool,
) -> ms.Tensor:
    """Average pooling of [N, C, (H,) W] with any padding."""
    parts = windows(x, kernel, stride, dilation, pads, ceil_mode, 0.0, 0.0)
    padding = 1.0 if count_include_pad else 0.0
    ones = windows(
        ops.ones_like(x[:1, :1]), kernel, stride, dilation, pads, ceil_mode, padding, 0.0
    )
    return sum(parts[1:], parts[0]) / sum(ones[1:], ones[0])


def attention(
    q: ms.Tensor, k: ms.Tensor, v: ms.Tensor, scale: float, mask: ms.Tensor | None = None
) -> ms.Tensor:
    """softmax(q @ k^T * scale + mask) @ v; q, k, v are [..., length, width]."""
    scores = ops.matmul(q, k.swapaxes(-2, -1)) * scale
    if mask is not None:
        scores = scores + mask
    return ops.matmul(ops.softmax(scores, axis=-1), v)


def expand(x: ms.Tensor, shape: tuple[int, ...]) -> ms.Tensor:
    """Broadcast x and a shape against each other."""
    rank = max(x.ndim, len(shape))
    own = (1,) * (rank - x.ndim) + tuple(x.shape)
    wanted = (1,) * (rank - len(shape)) + tuple(shape)
    sizes = tuple(a if b == 1 else b for a, b in zip(own, wanted))
    if x.dtype == ms.bool_:
        return ops.broadcast_to(x.astype(ms.int32), sizes).astype(ms.bool_)
    return ops.broadcast_to(x, sizes)


def split_evenly(x: ms.Tensor, count: int, axis: int) -> tuple[ms.Tensor, ...]:
    """Parts of one size, the last one smaller where it does not divide."""
    return ops.split(x, -(-x.shape[axis] // count), axis=axis)


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


def gather(x: ms.Tensor, indices: ms.Tensor, axis: int) -> ms.Tensor:
    """Slices along an axis; negative indices count from the end."""
    return ops.gather(x, ops.where(indices < 0, indices + x.shape[axis], indices), axis)


def gather_elements(x: ms.Tensor, indices: ms.Tensor, axis: int) -> ms.Tensor:
    """Elements along an axis; negative indices count from the end."""
    return ops.gather_elements(x, axis, ops.where(indices < 0, indices + x.shape[axis], indices))


def gather_nd(x: ms.Tensor, indices: ms.Tensor) -> ms.Tensor:
    """Slices of x at the coordinates in the last axis of `indices`."""
    depth = indices.shape[-1]
    flat = ops.zeros(indices.shape[:-1], indices.dtype)
    for k in range(depth):
        place = indices[..., k]
        place = ops.where(place < 0, place + x.shape[k], place)
        flat = flat * x.shape[k] + place
    return ops.gather(x.reshape((-1,) + tuple(x.shape[depth:])), flat, 0)


def top_k(x: ms.Tensor, k: int, largest: bool) -> tuple[ms.Tensor, ms.Tensor]:
    """The k largest or smallest of the last axis, sorted; of equal ones the first."""
    values, places = ops.topk(x if largest else -x, int(k))
    return values if largest else -values, places.astype(ms.int64)


def resize(
    x: ms.Tensor,
    scales: tuple[float, ...] | None = None,
    sizes: tuple[int, ...] | None = None,
    mode: str = "nearest",
    coordinates: str = "half_pixel",
    nearest: str = "round_prefer_floor",
) -> ms.Tensor:
    """Resize axes one by one, by taking or mixing neighbours.

    Source: the operator page of Resize in the ONNX standard.
    """
    for axis in range(x.ndim):
        size = x.shape[axis]
        scale = sizes[axis] / size if sizes is not None else scales[axis]
        new = int(sizes[axis]) if sizes is not None else math.floor(size * scale)
        if new == size and scale == 1:
            continue
        low, high, part = [], [], []
        for k in range(new):
            if coordinates == "asymmetric":
                place = k / scale
            elif coordinates == "align_corners":
                place = k * (size - 1) / (scale * size - 1) if scale * size > 1 else 0.0
            elif coordinates == "tf_half_pixel_for_nn":
                place = (k + 0.5) / scale
            elif coordinates == "pytorch_half_pixel" and new == 1:
                place = 0.0
            else:
                place = (k + 0.5) / scale - 0.5
            if mode == "nearest":
                rounded = {
                    "round_prefer_floor": math.ceil(place - 0.5),
                    "round_prefer_ceil": math.floor(place + 0.5),
                    "floor": math.floor(place),
                    "ceil": math.ceil(place),
                }[nearest]
                low.append(min(max(rounded, 0), size - 1))
                continue
            low.append(min(max(math.floor(place), 0), size - 1))
            high.append(min(max(math.floor(place) + 1, 0), size - 1))
            part.append(place - math.floor(place))
        first = ops.gather(x, ms.Tensor(low, ms.int32), axis)
        if mode == "nearest":
            x = first
            continue
        second = ops.gather(x, ms.Tensor(high, ms.int32), axis)
        weight = ms.Tensor(part, x.dtype).reshape((-1,) + (1,) * (x.ndim - axis - 1))
        x = first * (1 - weight) + second * weight
    return x
