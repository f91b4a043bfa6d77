"""Source that is copied into an emitted module when it calls one of these functions.

Each is an ONNX operator that PyTorch has no one-line form for; it works on any device and is
differentiable where the operator is.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everyone writes it
from PIL import Image
from torch import nn


def pad_same(
    x: torch.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    side: str,
    value: float = 0.0,
) -> torch.Tensor:
    """Pad so that the output has ceil(size / stride) elements; `side` gets the odd one."""
    pads: list[int] = []
    for size, k, s, d in reversed(list(zip(x.shape[2:], kernel, stride, dilation))):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        small, large = total // 2, total - total // 2
        pads += [small, large] if side == "upper" else [large, small]
    return F.pad(x, pads, value=value)


def shrink(x: torch.Tensor, bias: float, lambd: float) -> torch.Tensor:
    """X + bias below -lambd, x - bias above lambd, else 0."""
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, 0)).to(x.dtype)


def hardmax(x: torch.Tensor, axis: int) -> torch.Tensor:
    """1 at the first largest element along an axis, else 0."""
    first = x.argmax(dim=axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, first, 1)


def batch_norm_training(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    var: torch.Tensor,
    epsilon: float,
    momentum: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Normalise by the batch's statistics; also gives the running ones."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    now_mean, now_var = x.mean(dim=axes), x.var(dim=axes, unbiased=False)
    y = (x - now_mean.reshape(shape)) / (now_var.reshape(shape) + epsilon).sqrt()
    y = y * scale.reshape(shape) + bias.reshape(shape)
    running = (
        mean * momentum + now_mean * (1 - momentum),
        var * momentum + now_var * (1 - momentum),
    )
    return y.to(x.dtype), *running


def layer_norm_with_statistics(
    x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None, axis: int, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Layer normalisation from `axis` on, with the mean and the inverse deviation."""
    axes = list(range(axis, x.dim()))
    mean = x.mean(dim=axes, keepdim=True)
    inverse = 1 / (x.var(dim=axes, unbiased=False, keepdim=True) + epsilon).sqrt()
    y = (x - mean) * inverse * scale
    return (y if bias is None else y + bias), mean, inverse


def mean_variance_normalize(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """(x - mean) / (deviation + 1e-9) over axes."""
    mean = x.mean(dim=axes, keepdim=True)
    deviation = ((x * x).mean(dim=axes, keepdim=True) - mean * mean).sqrt()
    return (x - mean) / (deviation + 1e-9)


def pool_padding(
    sizes: Sequence[int],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
) -> tuple[list[int], list[int]]:
    """What `F.pad` adds around an input, and then behind it, so that windows fit without remainder.

    Args:
        pads: Before each spatial axis, then after each; or `upper` or `lower` for ceil(size / stride).
    """
    n = len(kernel)
    if isinstance(pads, str):
        totals = [
            max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            for size, k, s, d in zip(sizes, kernel, stride, dilation)
        ]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        pads = tuple(small + large if pads == "upper" else large + small)
    around: list[int] = []
    behind: list[int] = []
    for k in reversed(range(n)):
        reach = (kernel[k] - 1) * dilation[k] + 1
        room = sizes[k] + pads[k] + pads[n + k] - reach
        count = (-(-room // stride[k]) if ceil_mode else room // stride[k]) + 1
        # A window may not start in the padding behind the input.
        if ceil_mode and (count - 1) * stride[k] >= sizes[k] + pads[k]:
            count -= 1
        around += [pads[k], pads[n + k]]
        behind += [0, max((count - 1) * stride[k] - room, 0)]
    return around, behind


def pool_sums(
    x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> torch.Tensor:
    """The sum of each window, as a convolution with ones."""
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(kernel) - 1]
    window = torch.ones(1, 1, *kernel, dtype=x.dtype, device=x.device)
    flat = x.reshape(-1, 1, *x.shape[2:])
    sums = convolve(flat, window, stride=stride, dilation=dilation)
    return sums.reshape(*x.shape[:2], *sums.shape[2:])


def average_pool(
    x: torch.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    count_include_pad: bool,
) -> torch.Tensor:
    """Average pooling with any padding; what is behind the padding never counts."""
    around, behind = pool_padding(x.shape[2:], kernel, stride, dilation, pads, ceil_mode)
    counted = F.pad(torch.ones_like(x[:1, :1]), around, value=1.0 if count_include_pad else 0.0)
    sums = pool_sums(F.pad(F.pad(x, around), behind), kernel, stride, dilation)
    return sums / pool_sums(F.pad(counted, behind), kernel, stride, dilation)


def lp_pool(
    x: torch.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    p: int,
) -> torch.Tensor:
    """The p-norm of each window."""
    around, behind = pool_padding(x.shape[2:], kernel, stride, dilation, pads, ceil_mode)
    powers = F.pad(F.pad(x.abs() ** p, around), behind)
    return pool_sums(powers, kernel, stride, dilation) ** (1 / p)


def max_pool(
    x: torch.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
) -> torch.Tensor:
    """Max pooling with any padding."""
    around, behind = pool_padding(x.shape[2:], kernel, stride, dilation, pads, ceil_mode)
    wide = x if x.dtype.is_floating_point else x.double()
    padded = F.pad(F.pad(wide, around, value=lowest(x.dtype)), behind, value=lowest(x.dtype))
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel) - 1]
    return pool(padded, kernel, stride, dilation=dilation).to(x.dtype)


def max_pool_with_indices(
    x: torch.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[int, ...] | str,
    ceil_mode: bool,
    column_major: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Max pooling and where each maximum stands in the flattened input [N, C, spatial...]."""
    n, sizes = len(kernel), x.shape[2:]
    around, behind = pool_padding(sizes, kernel, stride, dilation, pads, ceil_mode)
    padded = F.pad(F.pad(x.double(), around, value=-math.inf), behind, value=-math.inf)
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    y, inner = pool(padded, kernel, stride, dilation=dilation, return_indices=True)
    places = []
    for k in reversed(range(n)):
        places.insert(0, inner % padded.shape[2 + k] - around[2 * (n - 1 - k)])
        inner = inner // padded.shape[2 + k]
    images = torch.arange(x.shape[0] * x.shape[1], device=x.device)
    where = images.reshape(*x.shape[:2], *[1] * n) * math.prod(sizes)
    for k in range(n):
        where = where + places[k] * math.prod(sizes[:k] if column_major else sizes[k + 1 :])
    return y.to(x.dtype), where


def max_roi_pool(
    x: torch.Tensor, rois: torch.Tensor, size: tuple[int, int], scale: float
) -> torch.Tensor:
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
            if top >= bottom or left >= right:
                pooled.append(x.new_zeros(x.shape[1]))
            else:
                pooled.append(x[int(image), :, top:bottom, left:right].amax((1, 2)))
    y = torch.stack(pooled).reshape(rois.shape[0], *size, x.shape[1])
    return y.permute(0, 3, 1, 2)


def max_unpool(
    x: torch.Tensor,
    indices: torch.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    shape: Sequence[int] | None = None,
) -> torch.Tensor:
    """Put maxima back where they stood in a flattened tensor of zeros, then grow it to `shape`."""
    n = len(kernel)
    pads = pads or (0,) * (2 * n)
    spatial = (
        (size - 1) * step - before - after + reach
        for size, step, before, after, reach in zip(x.shape[2:], stride, pads[:n], pads[n:], kernel)
    )
    sizes = [*x.shape[:2], *spatial]
    y = x.new_zeros(math.prod(sizes)).scatter(0, indices.flatten(), x.flatten()).reshape(sizes)
    if shape is None:
        return y
    return F.pad(y, [pad for k in reversed(range(n + 2)) for pad in (0, shape[k] - sizes[k])])


def deform_conv(
    x: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor,
    bias: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    offset_groups: int = 1,
) -> torch.Tensor:
    """Convolution that reads its input at moved places, zeros outside.

    Args:
        x: [N, C, H, W].
        weight: [out, C / groups, kh, kw].
        offset: [N, offset_groups * kh * kw * 2, out height, out width]; pairs of y and x.
        mask: [N, offset_groups * kh * kw, out height, out width].

    Source: Dai et al., Deformable Convolutional Networks, 2017; the page of DeformConv in ONNX.
    """
    n, c, h, w = x.shape
    kh, kw = weight.shape[2:]
    oh, ow = offset.shape[2:]
    device = x.device
    rows = torch.arange(oh, device=device).reshape(1, 1, oh, 1) * stride[0] - padding[0]
    columns = torch.arange(ow, device=device).reshape(1, 1, 1, ow) * stride[1] - padding[1]
    rows = rows + torch.arange(kh, device=device).reshape(kh, 1, 1, 1) * dilation[0]
    columns = columns + torch.arange(kw, device=device).reshape(1, kw, 1, 1) * dilation[1]
    moved = offset.reshape(n * offset_groups, kh, kw, 2, oh, ow)
    # Places from -1 at the middle of the first pixel to 1 at the middle of the last one.
    y = (moved[:, :, :, 0] + rows) * (2 / max(h - 1, 1)) - 1
    z = (moved[:, :, :, 1] + columns) * (2 / max(w - 1, 1)) - 1
    grid = torch.stack((z, y), -1).reshape(n * offset_groups, kh * kw * oh, ow, 2).to(x.dtype)
    source = x.reshape(n * offset_groups, c // offset_groups, h, w)
    read = F.grid_sample(source, grid, align_corners=True)
    read = read.reshape(n, offset_groups, c // offset_groups, kh * kw, oh, ow)
    if mask is not None:
        read = read * mask.reshape(n, offset_groups, 1, kh * kw, oh, ow)
    read = read.reshape(n, groups, c // groups * kh * kw, oh * ow)
    kernels = weight.reshape(groups, -1, c // groups * kh * kw)
    result = (kernels @ read).reshape(n, -1, oh, ow)
    return result if bias is None else result + bias.reshape(-1, 1, 1)


def reduce_prod(x: torch.Tensor, axes: tuple[int, ...], keepdim: bool) -> torch.Tensor:
    """The product over several axes."""
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(dim=axis, keepdim=keepdim)
    return x


def reduce_amax(x: torch.Tensor, axes: Sequence[int], keepdim: bool) -> torch.Tensor:
    """The largest element over axes; the lowest number of its type where there is none."""
    if x.numel() == 0:
        return x.new_full(x.sum(dim=tuple(axes), keepdim=keepdim).shape, lowest(x.dtype))
    return x.amax(dim=tuple(axes), keepdim=keepdim)


def reduce_amin(x: torch.Tensor, axes: Sequence[int], keepdim: bool) -> torch.Tensor:
    """The smallest element over axes; the highest number of its type where there is none."""
    if x.dtype == torch.bool:
        return ~reduce_amax(~x, axes, keepdim)
    if x.dtype.is_floating_point:
        return -reduce_amax(-x, axes, keepdim)
    # -x - 1 turns the order of whole numbers around without overflow.
    return ~reduce_amax(~x, axes, keepdim)


def lowest(dtype: torch.dtype) -> float | int:
    """The least number of an element type."""
    if dtype == torch.bool:
        return 0
    return -math.inf if dtype.is_floating_point else torch.iinfo(dtype).min


def reshape(x: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """Reshape to sizes that the model computes; a zero keeps the size."""
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)])


def unsqueeze(x: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
    """New axes of size 1, at places in the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def split_evenly(x: torch.Tensor, count: int, axis: int) -> tuple[torch.Tensor, ...]:
    """Parts of one size, the last one smaller where it does not divide."""
    return x.split(-(-x.shape[axis] // count), dim=axis)


def depth_to_space(x: torch.Tensor, block: int) -> torch.Tensor:
    """[N, C, H, W] -> [N, C / block^2, H * block, W * block], blocks outermost in C."""
    n, c, h, w = x.shape
    x = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // block**2, h * block, w * block)


def space_to_depth(x: torch.Tensor, block: int) -> torch.Tensor:
    """[N, C, H, W] -> [N, C * block^2, H / block, W / block], blocks outermost in C."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * block**2, h // block, w // block)


def gather_elements(x: torch.Tensor, indices: torch.Tensor, axis: int) -> torch.Tensor:
    """Elements along an axis; negative indices count from the end."""
    indices = indices.long()
    return x.gather(axis, torch.where(indices < 0, indices + x.shape[axis], indices))


def gather_nd(x: torch.Tensor, indices: torch.Tensor, batch_dims: int) -> torch.Tensor:
    """Slices of x at the coordinates in the last axis of `indices`."""
    lead = x.shape[:batch_dims]
    x = x.reshape(-1, *x.shape[batch_dims:])
    indices = indices.long().reshape(x.shape[0], *indices.shape[batch_dims:])
    batch = torch.arange(x.shape[0], device=x.device)
    batch = batch.reshape(-1, *[1] * (indices.dim() - 2)).expand(indices.shape[:-1])
    y = x[(batch, *indices.unbind(-1))]
    return y.reshape(*lead, *y.shape[1:])


REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def scatter_elements(
    x: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, axis: int, reduction: str
) -> torch.Tensor:
    """X with elements along an axis replaced by, or combined with, updates."""
    indices = indices.long()
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    if reduction == "none":
        return x.scatter(axis, indices, updates)
    return x.scatter_reduce(axis, indices, updates, REDUCTIONS[reduction])


def scatter_nd(
    x: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, reduction: str
) -> torch.Tensor:
    """X with slices at coordinates replaced by, or combined with, updates."""
    depth = indices.shape[-1]
    sizes = torch.tensor(x.shape[:depth], device=x.device)
    where = torch.where(indices < 0, indices + sizes, indices).reshape(-1, depth)
    steps = [math.prod(x.shape[k + 1 : depth]) for k in range(depth)]
    rows = (where * torch.tensor(steps, device=x.device)).sum(-1)
    flat = x.reshape(math.prod(x.shape[:depth]), math.prod(x.shape[depth:]))
    values = updates.reshape(rows.shape[0], flat.shape[1])
    rows = rows.unsqueeze(-1).expand_as(values)
    if reduction == "none":
        return flat.scatter(0, rows, values).reshape(x.shape)
    return flat.scatter_reduce(0, rows, values, REDUCTIONS[reduction]).reshape(x.shape)


def slice_axes(
    x: torch.Tensor,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> torch.Tensor:
    """x[start:end:step] along each of the axes."""
    for k, (start, end) in enumerate(zip(starts, ends)):
        axis = k if axes is None else axes[k] % x.dim()
        step = 1 if steps is None else steps[k]
        if step < 0:
            x = slice_backwards(x, axis, start, end, step)
        else:
            x = x[(slice(None),) * axis + (slice(start, end, step),)]
    return x


def slice_backwards(x: torch.Tensor, axis: int, start: int, end: int, step: int) -> torch.Tensor:
    """x[start:end:step] along an axis, for a negative step."""
    size = x.shape[axis]
    wanted = range(size)[slice(max(start, -size), None if end < -size else end, step)]
    return x.index_select(axis, torch.tensor(list(wanted), dtype=torch.int64, device=x.device))


def compress(x: torch.Tensor, condition: torch.Tensor, axis: int | None) -> torch.Tensor:
    """What stands along an axis (or in the flattened tensor) where a condition holds."""
    if axis is None:
        x, axis = x.flatten(), 0
    return x.index_select(axis, condition.nonzero().flatten())


def one_hot(indices: torch.Tensor, depth: int, values: torch.Tensor, axis: int) -> torch.Tensor:
    """values[1] at each index along a new axis, values[0] elsewhere."""
    off, on = values[0], values[1]
    indices = indices.long() % int(depth)
    numbers = torch.arange(int(depth), device=indices.device)
    place = axis % (indices.dim() + 1)
    hit = indices.unsqueeze(place) == numbers.reshape(-1, *[1] * (indices.dim() - place))
    return torch.where(hit, on, off)


def reverse_sequence(
    x: torch.Tensor, lengths: torch.Tensor, batch_axis: int, time_axis: int
) -> torch.Tensor:
    """The first `lengths[b]` steps of each sequence backwards."""
    y = x.movedim((batch_axis, time_axis), (0, 1))
    steps = torch.arange(y.shape[1], device=x.device).unsqueeze(0)
    ends = lengths.reshape(-1, 1)
    order = torch.where(steps < ends, ends - 1 - steps, steps)
    rows = torch.arange(y.shape[0], device=x.device).unsqueeze(1)
    return y[rows, order].movedim((0, 1), (batch_axis, time_axis))


def unique(
    x: torch.Tensor, axis: int | None, ordered: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unique slices with their first positions, the inverse and the counts."""
    if axis is None:
        x, axis = x.flatten(), 0
    y, inverse, counts = x.unique(sorted=True, return_inverse=True, return_counts=True, dim=axis)
    positions = torch.arange(inverse.shape[0], device=x.device)
    first = torch.full_like(counts, inverse.shape[0]).scatter_reduce(0, inverse, positions, "amin")
    if not ordered:
        order = first.argsort()
        rank = order.argsort()
        y, first, counts, inverse = (
            y.index_select(axis, order),
            first[order],
            counts[order],
            rank[inverse],
        )
    return y, first, inverse, counts


def top_k(x: torch.Tensor, k: int, axis: int, largest: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest or smallest along an axis, sorted; of equal ones the first."""
    values, places = x.sort(dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, k), places.narrow(axis, 0, k)


def pad_axes(
    x: torch.Tensor,
    pads: Sequence[int],
    mode: str = "constant",
    value: float = 0.0,
    axes: Sequence[int] | None = None,
) -> torch.Tensor:
    """Pad (or crop, where negative); `pads` has what comes before each axis, then what comes after."""
    chosen = range(x.dim()) if axes is None else [axis % x.dim() for axis in axes]
    sides = [(0, 0)] * x.dim()
    for axis, before, after in zip(chosen, pads, pads[len(chosen) :]):
        sides[axis] = (before, after)
    if mode != "constant":
        for axis, (before, after) in enumerate(sides):
            if before != 0 or after != 0:
                x = pad_by_index(x, axis, before, after, mode)
        return x
    return F.pad(x, [side for pair in reversed(sides) for side in pair], value=value)


def pad_by_index(x: torch.Tensor, dim: int, before: int, after: int, mode: str) -> torch.Tensor:
    """Pad (or crop, where negative) an axis by mirroring, repeating the edge, or wrapping."""
    size = x.shape[dim]
    places = torch.arange(-before, size + after, device=x.device)
    if mode == "edge":
        places = places.clamp(0, size - 1)
    elif mode == "wrap":
        places = places % size
    else:
        places = places % max(2 * size - 2, 1)
        places = torch.where(places < size, places, 2 * size - 2 - places)
    return x.index_select(dim, places)


def resize(
    x: torch.Tensor,
    axes: tuple[int, ...],
    scales: tuple[float, ...] | None = None,
    sizes: tuple[int, ...] | None = None,
    mode: str = "nearest",
    coordinates: str = "half_pixel",
    nearest: str = "round_prefer_floor",
    cubic_a: float = -0.75,
    exclude_outside: bool = False,
    extrapolation: float = 0.0,
    antialias: bool = False,
    policy: str = "stretch",
    roi: tuple[float, ...] | None = None,
) -> torch.Tensor:
    """Resize axes one by one, each by a matrix of interpolation weights [new size, size].

    Source: the operator page of Resize in the ONNX standard.
    """
    old = [x.shape[axis] for axis in axes]
    if sizes is not None:
        factors = [new / size for new, size in zip(sizes, old)]
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(old)
            sizes = tuple(math.floor(size * factor + 0.5) for size in old)
        new_sizes = list(sizes)
    else:
        factors = list(scales or ())
        new_sizes = [math.floor(size * factor) for size, factor in zip(old, factors)]
    dtype = x.dtype
    outside = None
    for k, axis in enumerate(axes):
        size, new, scale = old[k], new_sizes[k], factors[k]
        if new == size and scale == 1 and coordinates != "tf_crop_and_resize":
            continue
        place = torch.arange(new, dtype=torch.float64, device=x.device)
        if coordinates == "half_pixel":
            place = (place + 0.5) / scale - 0.5
        elif coordinates == "half_pixel_symmetric":
            place = size / 2 * (1 - new / (scale * size)) + (place + 0.5) / scale - 0.5
        elif coordinates == "pytorch_half_pixel":
            place = (place + 0.5) / scale - 0.5 if new > 1 else place * 0
        elif coordinates == "align_corners":
            place = place * ((size - 1) / (scale * size - 1)) if scale * size > 1 else place * 0
        elif coordinates == "asymmetric":
            place = place / scale
        elif coordinates == "tf_half_pixel_for_nn":
            place = (place + 0.5) / scale
        else:
            begin, end = roi[k], roi[k + len(axes)]
            step = (end - begin) * (size - 1) / (new - 1) if new > 1 else 0.0
            start = begin * (size - 1) if new > 1 else 0.5 * (begin + end) * (size - 1)
            place = start + place * step
            beyond = (place < 0) | (place > size - 1)
            beyond = beyond.reshape(-1, *[1] * (x.dim() - axis - 1))
            outside = beyond if outside is None else outside | beyond
        if mode == "nearest":
            if nearest == "round_prefer_floor":
                taken = (place - 0.5).ceil()
            elif nearest == "round_prefer_ceil":
                taken = (place + 0.5).floor()
            else:
                taken = place.floor() if nearest == "floor" else place.ceil()
            x = x.index_select(axis, taken.long().clamp(0, size - 1))
            continue
        # Against aliasing the filter is as wide as the pixels of the smaller result.
        shrink = min(scale, 1.0) if antialias else 1.0
        reach = math.ceil((1 if mode == "linear" else 2) / shrink)
        first = (place - reach).floor()
        offsets = torch.arange(2 * reach + 2, dtype=torch.float64, device=x.device)
        taken = first.unsqueeze(1) + offsets
        distance = (taken - place.unsqueeze(1)).abs() * shrink
        if mode == "linear":
            weights = (1 - distance).clamp(min=0)
        else:
            a = cubic_a
            near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
            far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
            weights = torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
        if exclude_outside:
            weights = torch.where((taken < 0) | (taken > size - 1), 0.0, weights)
        weights = weights / weights.sum(1, keepdim=True)
        matrix = torch.zeros(new, size, dtype=torch.float64, device=x.device)
        matrix = matrix.scatter_add(1, taken.long().clamp(0, size - 1), weights)
        mixed = (x.movedim(axis, -1).to(torch.float64) @ matrix.T).movedim(-1, axis)
        x = mixed.to(dtype) if dtype.is_floating_point else mixed
    if x.dtype != dtype:
        # Integers lose their fraction, but not what is one but for an error of rounding.
        x = (x + x.sign() * 1e-4).to(dtype)
    return x if outside is None else torch.where(outside, extrapolation, x).to(x.dtype)


def center_crop_pad(x: torch.Tensor, sizes: tuple[int, ...], axes: tuple[int, ...]) -> torch.Tensor:
    """Crop or pad axes to sizes, keeping the middle."""
    for size, axis in zip(sizes, axes):
        have = x.shape[axis]
        if have > size:
            x = x.narrow(axis, (have - size) // 2, size)
        elif have < size:
            before = (size - have) // 2
            pads = [0, 0] * (x.dim() - 1 - axis % x.dim()) + [before, size - have - before]
            x = F.pad(x, pads)
    return x


def roi_align(
    x: torch.Tensor,
    rois: torch.Tensor,
    batch: torch.Tensor,
    size: tuple[int, int],
    ratio: int = 0,
    scale: float = 1.0,
    half_pixel: bool = True,
    mode: str = "avg",
) -> torch.Tensor:
    """Pool regions [x1, y1, x2, y2] of images to one size, from samples between the pixels.

    Args:
        x: [N, C, H, W].
        rois: [R, 4]; `batch` says of which image each of them is.
        ratio: Samples for each bin and axis; as many as there are pixels where it is 0.

    Source: He et al., Mask R-CNN, 2017; the page of RoiAlign in the ONNX standard.
    """
    found = []
    for roi, image in zip(rois * scale - (0.5 if half_pixel else 0.0), batch.tolist()):
        weights, counts = [], []
        for axis in (0, 1):
            start, length = roi[1 - axis], roi[3 - axis] - roi[1 - axis]
            length = length if half_pixel else length.clamp(min=1.0)
            count = ratio or max(math.ceil(length.item() / size[axis]), 1)
            places = torch.arange(size[axis] * count, device=x.device) + 0.5
            places = start + places * length / (size[axis] * count)
            weights.append(sample_weights(places.to(x.dtype), x.shape[2 + axis]))
            counts.append(count)
        rows, columns = weights
        # [C, bins, samples, bins, samples]
        shape = (x.shape[1], size[0], counts[0], size[1], counts[1])
        if mode == "avg":
            samples = rows.sum(1) @ x[image] @ columns.sum(1).T
            found.append(samples.reshape(shape).mean((2, 4)))
        else:
            # The largest of the weighted neighbours, as the standard's reference has it.
            pairs = itertools.product(rows.unbind(1), columns.unbind(1))
            samples = torch.stack([row @ x[image] @ column.T for row, column in pairs]).amax(0)
            found.append(samples.reshape(shape).amax((2, 4)))
    return torch.stack(found) if found else x.new_zeros(0, x.shape[1], *size)


def sample_weights(places: torch.Tensor, size: int) -> torch.Tensor:
    """Weights [places, 2, size] of the two pixels around each place; none beyond one pixel outside."""
    inside = (places >= -1) & (places <= size)
    places = places.clamp(0, size - 1)
    low = places.floor()
    after = places - low
    pixels = torch.stack((low, (low + 1).clamp(max=size - 1)), 1).long()
    weights = torch.stack((1 - after, after), 1) * inside.unsqueeze(1)
    zeros = weights.new_zeros(*weights.shape, size)
    return zeros.scatter(2, pixels.unsqueeze(2), weights.unsqueeze(2))


def col2im(
    x: torch.Tensor,
    image: Sequence[int],
    block: Sequence[int],
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> torch.Tensor:
    """Sum sliding blocks [N, C * block, L] back into images [N, C, *image]."""
    n = len(block)
    dilations, strides = dilations or (1,) * n, strides or (1,) * n
    pads = pads or (0,) * (2 * n)
    padded = [size + before + after for size, before, after in zip(image, pads[:n], pads[n:])]
    # For each element of the blocks, its place in the flattened padded image.
    places = torch.zeros((1,) * (2 * n), dtype=torch.int64, device=x.device)
    for k in range(n):
        count = (padded[k] - dilations[k] * (block[k] - 1) - 1) // strides[k] + 1
        inner = torch.arange(block[k], device=x.device) * dilations[k]
        outer = torch.arange(count, device=x.device) * strides[k]
        shape = [1] * (2 * n)
        shape[k], shape[n + k] = block[k], count
        places = places * padded[k] + (inner.unsqueeze(1) + outer).reshape(shape)
    blocks = x.reshape(x.shape[0], -1, places.numel())
    y = torch.zeros(*blocks.shape[:2], math.prod(padded), dtype=x.dtype, device=x.device)
    y = y.index_add(2, places.flatten(), blocks).reshape(*blocks.shape[:2], *padded)
    return F.pad(y, [-pads[side + k] for k in reversed(range(n)) for side in (0, n)])


def along(x: torch.Tensor, values: torch.Tensor, axis: int, block: int = 0) -> torch.Tensor:
    """One value for all, for each place along an axis, or for each block of it: to broadcast."""
    if block:
        return values.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    if values.numel() == 1 or values.dim() > 1:
        return values
    return values.reshape(-1, *[1] * (x.dim() - axis % x.dim() - 1))


def quantize(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    axis: int,
    low: int,
    high: int,
    dtype: torch.dtype,
    block: int = 0,
) -> torch.Tensor:
    """round(x / scale) + zero point, saturated."""
    y = (x / along(x, scale, axis, block)).round()
    if zero is not None:
        y = y + along(x, zero, axis, block).to(y.dtype)
    return y.clamp(low, high).to(torch.int32).to(dtype)


def dequantize(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    axis: int,
    block: int = 0,
) -> torch.Tensor:
    """(x - zero point) * scale."""
    y = x.to(torch.int32)
    if zero is not None:
        y = y - along(x, zero, axis, block).to(torch.int32)
    return y.to(scale.dtype) * along(x, scale, axis, block)


def dynamic_quantize(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """uint8 with the scale and zero point that the range of x, zero included, asks for."""
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = torch.where(low == high, torch.ones_like(low), (high - low) / 255)
    zero = (-low / scale).clamp(0, 255).round()
    return ((x / scale).round() + zero).clamp(0, 255).to(torch.uint8), scale, zero.to(torch.uint8)


def centered(x: torch.Tensor, zero: torch.Tensor | None, axis: int) -> torch.Tensor:
    """X - zero point, as floats in which sums of products of such integers are exact."""
    return x.double() if zero is None else x.double() - along(x, zero, axis).double()


def requantize(
    y: torch.Tensor,
    factor: torch.Tensor,
    scale: torch.Tensor,
    zero: torch.Tensor,
    axis: int,
    low: int,
    high: int,
) -> torch.Tensor:
    """Sums of integers that stand for y * factor, quantised with a scale and a zero point."""
    y = y * along(y, factor, axis) / along(y, scale, axis)
    y = y.round() + along(y, zero, axis)
    return y.clamp(low, high).to(zero.dtype)


def unpacked(
    result: tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What an LSTM returns as three values: all outputs, the last hidden state and the last cell state."""
    y, (h, c) = result
    return y, h, c


def rnn(
    layer: nn.RNN | nn.GRU, x: torch.Tensor, h: torch.Tensor | None = None, backwards: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a recurrent layer; outputs are [steps, directions, batch, hidden] as in ONNX.

    With `layer.batch_first` they are [batch, steps, directions, hidden], states with the batch first.
    """
    if layer.batch_first and h is not None:
        h = h.transpose(0, 1).contiguous()
    steps = 1 if layer.batch_first else 0
    y, h = layer(x.flip(steps) if backwards else x, h)
    y = y.reshape(*y.shape[:2], -1, layer.hidden_size)
    y = y.flip(steps) if backwards else y
    return (y, h.transpose(0, 1)) if layer.batch_first else (y.transpose(1, 2), h)


def lstm(
    layer: nn.LSTM,
    x: torch.Tensor,
    h: torch.Tensor | None = None,
    c: torch.Tensor | None = None,
    backwards: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run an LSTM; outputs are [steps, directions, batch, hidden] as in ONNX.

    With `layer.batch_first` they are [batch, steps, directions, hidden], states with the batch first.
    """
    if h is None and c is not None:
        h = torch.zeros_like(c)
    if c is None and h is not None:
        c = torch.zeros_like(h)
    if layer.batch_first and h is not None:
        h, c = h.transpose(0, 1).contiguous(), c.transpose(0, 1).contiguous()
    steps = 1 if layer.batch_first else 0
    y, (h, c) = layer(x.flip(steps) if backwards else x, None if h is None else (h, c))
    y = y.reshape(*y.shape[:2], -1, layer.hidden_size)
    y = y.flip(steps) if backwards else y
    if layer.batch_first:
        return y, h.transpose(0, 1), c.transpose(0, 1)
    return y.transpose(1, 2), h, c


ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": F.softsign,
    "softplus": F.softplus,
    "hardsigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "leakyrelu": F.leaky_relu,
    "elu": F.elu,
}


def activated(name: str, x: torch.Tensor, clip: float | None) -> torch.Tensor:
    """An activation of what is first limited to [-clip, clip]."""
    return ACTIVATIONS[name](x if clip is None else x.clamp(-clip, clip))


def run_cell(
    cell: Callable[..., tuple[torch.Tensor, ...]],
    x: torch.Tensor,
    states: Sequence[torch.Tensor | None],
    shape: tuple[int, int],
    lengths: torch.Tensor | None,
    direction: str,
    batch_first: bool,
) -> tuple[torch.Tensor, ...]:
    """Run a cell over the steps of each sequence, in one direction or both.

    Args:
        cell: (direction, input, *states) -> states; the first one is the output.
        x: [steps, batch, width], or [batch, steps, width].
        states: [directions, batch, hidden], or the batch first; zeros where absent.
        shape: Directions and hidden size.
        lengths: [batch]; behind its length a sequence gives zeros and its states stay.

    Returns:
        [steps, directions, batch, hidden] (or [batch, steps, directions, hidden]), and last states.
    """
    if batch_first:
        x = x.transpose(0, 1)
        states = [None if state is None else state.transpose(0, 1) for state in states]
    zeros = x.new_zeros(shape[0], x.shape[1], shape[1])
    outputs, last = [], []
    for k, backwards in enumerate((direction == "reverse", True)[: shape[0]]):
        now = [zeros[k] if state is None else state[k] for state in states]
        found = []
        for step in reversed(range(x.shape[0])) if backwards else range(x.shape[0]):
            new = cell(k, x[step], *now)
            output = new[0]
            if lengths is not None:
                runs = (step < lengths).unsqueeze(1)
                output = torch.where(runs, output, 0)
                new = [torch.where(runs, after, before) for after, before in zip(new, now)]
            found.append(output)
            now = list(new)
        outputs.append(torch.stack(found[::-1] if backwards else found))
        last.append(now)
    y = torch.stack(outputs, 1)
    ends = [torch.stack(state) for state in zip(*last)]
    if batch_first:
        return y.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in ends)
    return y, *ends


def rnn_by_steps(
    x: torch.Tensor,
    w: torch.Tensor,
    r: torch.Tensor,
    b: torch.Tensor | None = None,
    lengths: torch.Tensor | None = None,
    h: torch.Tensor | None = None,
    direction: str = "forward",
    batch_first: bool = False,
    clip: float | None = None,
    activations: tuple[str, ...] = ("tanh", "tanh"),
) -> tuple[torch.Tensor, ...]:
    """A simple recurrence, as on the page of RNN in the ONNX standard; shapes as in `run_cell`."""
    b = w.new_zeros(w.shape[0], 2 * w.shape[1]) if b is None else b

    def cell(k: int, now: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs, hidden = b[k].chunk(2)
        return (activated(activations[k], now @ w[k].T + h @ r[k].T + inputs + hidden, clip),)

    shape = (r.shape[0], r.shape[2])
    return run_cell(cell, x, (h,), shape, lengths, direction, batch_first)


def gru_by_steps(
    x: torch.Tensor,
    w: torch.Tensor,
    r: torch.Tensor,
    b: torch.Tensor | None = None,
    lengths: torch.Tensor | None = None,
    h: torch.Tensor | None = None,
    direction: str = "forward",
    batch_first: bool = False,
    clip: float | None = None,
    activations: tuple[str, ...] = ("sigmoid", "tanh") * 2,
    linear_before_reset: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Gated recurrence, as on the page of GRU in the ONNX standard; shapes as in `run_cell`."""
    b = w.new_zeros(w.shape[0], 2 * w.shape[1]) if b is None else b

    def cell(k: int, now: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
        gate, new = activations[2 * k : 2 * k + 2]
        inputs, hidden = b[k].chunk(2)
        from_x, bias = (now @ w[k].T + inputs).chunk(3, -1), hidden.chunk(3)
        to_z, to_r, to_h = r[k].chunk(3)
        update = activated(gate, from_x[0] + h @ to_z.T + bias[0], clip)
        reset = activated(gate, from_x[1] + h @ to_r.T + bias[1], clip)
        if linear_before_reset:
            past = reset * (h @ to_h.T + bias[2])
        else:
            past = (reset * h) @ to_h.T + bias[2]
        return ((1 - update) * activated(new, from_x[2] + past, clip) + update * h,)

    shape = (r.shape[0], r.shape[2])
    return run_cell(cell, x, (h,), shape, lengths, direction, batch_first)


def lstm_by_steps(
    x: torch.Tensor,
    w: torch.Tensor,
    r: torch.Tensor,
    b: torch.Tensor | None = None,
    lengths: torch.Tensor | None = None,
    h: torch.Tensor | None = None,
    c: torch.Tensor | None = None,
    direction: str = "forward",
    batch_first: bool = False,
    clip: float | None = None,
    peepholes: torch.Tensor | None = None,
    activations: tuple[str, ...] = ("sigmoid", "tanh", "tanh") * 2,
    input_forget: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Long short-term memory, as on the page of LSTM in the ONNX standard; shapes as in `run_cell`."""
    b = w.new_zeros(w.shape[0], 2 * w.shape[1]) if b is None else b
    p = w.new_zeros(r.shape[0], 3 * r.shape[2]) if peepholes is None else peepholes

    def cell(
        k: int, now: torch.Tensor, h: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        gate, new, out = activations[3 * k : 3 * k + 3]
        inputs, hidden = b[k].chunk(2)
        i, o, f, g = (now @ w[k].T + h @ r[k].T + inputs + hidden).chunk(4, -1)
        to_i, to_o, to_f = p[k].chunk(3)
        i = activated(gate, i + to_i * c, clip)
        f = 1 - i if input_forget else activated(gate, f + to_f * c, clip)
        c = f * c + i * activated(new, g, clip)
        return activated(gate, o + to_o * c, clip) * activated(out, c, None), c

    shape = (r.shape[0], r.shape[2])
    return run_cell(cell, x, (h, c), shape, lengths, direction, batch_first)


def dft(
    x: torch.Tensor,
    axis: int,
    length: int | None = None,
    inverse: bool = False,
    onesided: bool = False,
) -> torch.Tensor:
    """Discrete Fourier transform of [..., 1] (real) or [..., 2] (complex) along an axis."""
    axis = axis % x.dim()
    z = x[..., 0] if x.shape[-1] == 1 else torch.complex(x[..., 0], x[..., 1])
    y = torch.fft.ifft(z, length, axis) if inverse else torch.fft.fft(z, length, axis)
    if onesided:
        y = y.narrow(axis, 0, y.shape[axis] // 2 + 1)
    return torch.view_as_real(y)


def stft(
    x: torch.Tensor,
    step: int,
    window: torch.Tensor | None = None,
    length: int | None = None,
    onesided: bool = True,
) -> torch.Tensor:
    """Fourier transforms of the frames of signals [N, samples, 1 or 2]: [N, frames, bins, 2]."""
    if length is None:
        length = x.shape[1] if window is None else window.shape[0]
    # [N, frames, length, 1 or 2]
    frames = x.unfold(1, length, step).transpose(2, 3)
    if window is not None:
        frames = frames * window.unsqueeze(1)
    return dft(frames, 2, onesided=onesided)


def mel_weight_matrix(
    bins: int, length: int, rate: int, lowest: float, highest: float
) -> torch.Tensor:
    """Triangular filters [length // 2 + 1, bins], evenly spaced on the mel scale.

    Args:
        length: Samples of the Fourier transform.
        rate: Samples in a second.
        lowest, highest: The range of the filters in hertz.

    Source: the page of MelWeightMatrix in the ONNX standard.
    """
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (lowest, highest))
    mels = [low + k * (high - low) / (bins + 2) for k in range(bins + 2)]
    edges = [int((length + 1) * 700 * (10 ** (mel / 2595) - 1) // rate) for mel in mels]
    matrix = torch.zeros(length // 2 + 1, bins)
    for k, (first, middle, last) in enumerate(zip(edges, edges[1:], edges[2:])):
        if first == middle:
            matrix[middle, k] = 1
        else:
            matrix[first : middle + 1, k] = torch.linspace(0, 1, middle - first + 1)
        if last > middle:
            matrix[middle:last, k] = torch.linspace(1, 0, last - middle + 1)[:-1]
    return matrix


# Flipping the highest bit puts unsigned integers of 64 bits into the order of signed ones.
HIGHEST_BIT = -(2**63)


def uint64_maximum(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The larger of unsigned integers of 64 bits, in which PyTorch does not compute."""
    a, b = torch.broadcast_tensors(x.view(torch.int64), y.view(torch.int64))
    return torch.where((a ^ HIGHEST_BIT) < (b ^ HIGHEST_BIT), b, a).view(torch.uint64)


def uint64_minimum(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The smaller of unsigned integers of 64 bits, in which PyTorch does not compute."""
    a, b = torch.broadcast_tensors(x.view(torch.int64), y.view(torch.int64))
    return torch.where((a ^ HIGHEST_BIT) < (b ^ HIGHEST_BIT), a, b).view(torch.uint64)


def remainder_uint64(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """X modulo y of unsigned integers of 64 bits: half of x is divided, what then remains may still hold y once."""
    a, b = torch.broadcast_tensors(x.view(torch.int64), y.view(torch.int64))
    half = (a >> 1) & ~HIGHEST_BIT
    quotient = torch.where(b > 0, half // torch.where(b > 0, b, 1), 0) << 1
    rest = a - quotient * b
    left = torch.where((rest ^ HIGHEST_BIT) >= (b ^ HIGHEST_BIT), rest - b, rest)
    return left.view(torch.uint64)


def masked_dropout(
    x: torch.Tensor, ratio: float, training: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Dropout, and which elements it left."""
    kept = F.dropout(torch.ones_like(x), ratio, training)
    return x * kept, kept != 0


def decode_image(data: torch.Tensor, pixel_format: str) -> torch.Tensor:
    """The pixels of an image file, as [height, width, channels] of uint8; needs Pillow."""
    image = Image.open(io.BytesIO(data.cpu().numpy().tobytes()))
    pixels = np.asarray(image.convert("L" if pixel_format == "Grayscale" else "RGB"))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixel_format == "BGR":
        pixels = pixels[..., ::-1]
    return torch.from_numpy(pixels.copy()).to(data.device)
