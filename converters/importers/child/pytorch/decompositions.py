"""Operators that torch's exporter has no ONNX form for, in terms of those it has.

Before: `sort(x, stable=True)`. After: `topk(x, x.shape[dim])`. One function for each, as PyTorch itself would
write it; a program that has none of these operators stays as it is. Shapes may vary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

aten = torch.ops.aten


def sort_stable(
    x: Tensor, *, stable: bool | None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    """A sort: that of ONNX keeps the order of equals."""
    values, places = torch.sort(x, dim, descending)
    return values, places


def median(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower one of two in the middle."""
    values, indices = torch.sort(x, dim)
    middle = (x.shape[dim] - 1) // 2
    found = values.narrow(dim, middle, 1), indices.narrow(dim, middle, 1)
    return found if keepdim else (found[0].squeeze(dim), found[1].squeeze(dim))


def adaptive_max_pool(x: Tensor, size: list[int]) -> tuple[Tensor, Tensor]:
    """The largest of each window and its place in the plane; sizes may vary only where there is one window."""
    if list(size) == [1, 1]:
        values, places = x.flatten(-2).max(-1, keepdim=True)
        return values.unsqueeze(-1), places.unsqueeze(-1)
    width = x.shape[-1]
    rows, columns = (_windows(int(n), m) for n, m in zip(x.shape[-2:], size, strict=True))
    found: list[tuple[Tensor, Tensor]] = []
    for top, bottom in rows:
        for left, right in columns:
            values, places = x[..., top:bottom, left:right].flatten(-2).max(-1)
            row = torch.div(places, right - left, rounding_mode="floor")
            found.append((values, (top + row) * width + left + places - row * (right - left)))
    values, places = (
        torch.stack(part, -1).unflatten(-1, size) for part in zip(*found, strict=True)
    )
    return values, places


def adaptive_max_pool_of_lines(x: Tensor, size: list[int]) -> tuple[Tensor, Tensor]:
    """The same along one axis."""
    values, places = adaptive_max_pool(x.unsqueeze(-2), [1, *size])
    return values.squeeze(-2), places.squeeze(-2)


def _windows(size: int, count: int) -> list[tuple[int, int]]:
    return [(k * size // count, -(-(k + 1) * size // count)) for k in range(count)]


def cdist(a: Tensor, b: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """Distances of all rows of one from all rows of the other."""
    return torch.linalg.vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, -1)


def searchsorted(
    borders: Tensor,
    x: Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """How many borders lie before each number."""
    if sorter is not None:
        borders = torch.take_along_dim(borders, sorter, -1)
    borders = borders if borders.dim() == 1 else borders.unsqueeze(-2)
    number = x.unsqueeze(-1)
    before = borders <= number if right or side == "right" else borders < number
    return before.sum(-1, dtype=torch.int32 if out_int32 else torch.int64)


def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements that a mask shows, in order."""
    x, mask = torch.broadcast_tensors(x, mask)
    return x.flatten().index_select(0, mask.flatten().nonzero().squeeze(1))


def hypot(a: Tensor, b: Tensor) -> Tensor:
    """The length of the diagonal."""
    return (a * a + b * b).sqrt()


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention without an axis of heads, as of `nn.MultiheadAttention`, which has batch and heads in one.

    Raises:
        NotImplementedError: Heads that share keys, of which there are none here.
    """
    if enable_gqa:
        raise NotImplementedError("heads that share keys, without an axis of heads")
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ value


def average_pool(
    x: Tensor,
    kernel: list[int],
    stride: list[int] | None = None,
    padding: int | list[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    axes: int,
) -> Tensor:
    """Sums of windows over a number that is given; the exporter has those over their size."""
    if divisor_override is None or ceil_mode:
        return NotImplemented
    size = math.prod(kernel) if len(kernel) == axes else kernel[0] ** axes
    pool = nn.functional.avg_pool2d if axes == 2 else nn.functional.avg_pool3d
    return pool(x, kernel, stride or None, padding) * (size / divisor_override)


def random_slope(x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, *rest: Any) -> Tensor:
    """RReLU as inference has it: the slope in the middle."""
    return nn.functional.leaky_relu(x, (lower + upper) / 2)


FORMS: Mapping[Any, Callable[..., Any]] = {
    aten.avg_pool2d.default: partial(average_pool, axes=2),
    aten.avg_pool3d.default: partial(average_pool, axes=3),
    aten.rrelu.default: random_slope,
    aten.sort.stable: sort_stable,
    aten.median.dim: median,
    aten.adaptive_max_pool1d.default: adaptive_max_pool_of_lines,
    aten.adaptive_max_pool2d.default: adaptive_max_pool,
    aten._cdist_forward.default: cdist,
    aten.cdist.default: cdist,
    aten.searchsorted.Tensor: searchsorted,
    aten.masked_select.default: masked_select,
    aten.hypot.default: hypot,
    aten.scaled_dot_product_attention.default: attention,
}


def decomposed(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """A program without the operators of `FORMS`."""
    if not any(node.target in FORMS and not _known(node) for node in program.graph.nodes):
        return program
    return program.run_decompositions(dict(FORMS))


def _known(node: torch.fx.Node) -> bool:
    """Whether the exporter has this form of an operator of `FORMS`: attention with an axis of heads, usual averages."""
    if node.target == aten.scaled_dot_product_attention.default:
        return all(value.meta["val"].dim() == 4 for value in node.args[:3])
    averages = node.target in (aten.avg_pool2d.default, aten.avg_pool3d.default)
    return averages and (len(node.args) < 7 or node.args[6] is None)
