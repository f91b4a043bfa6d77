"""Operators of PyTorch's own kind, copied like `functions.py`: a program that is saved keeps each of them as one.

What is decided box by box, no program of torch.export can follow. Importers load this file for programs that were
saved with these operators, so that it imports nothing but torch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


def operator(
    name: str, shape: Callable[..., torch.Tensor]
) -> Callable[..., Callable[..., torch.Tensor]]:
    """A function as an operator of torch's; modules that were emitted apart have one together."""

    def shared(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        space, own = name.split("::")
        if not hasattr(getattr(torch.ops, space), own):
            torch.library.custom_op(name, function, mutates_args=()).register_fake(shape)
        return getattr(getattr(torch.ops, space), own)

    return shared


def non_max_suppression_shape(
    boxes: torch.Tensor, scores: torch.Tensor, *rest: object
) -> torch.Tensor:
    """As many rows as there turn out to be."""
    rows = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((rows, 3), dtype=torch.int64)


@operator("polyzoo::non_max_suppression", non_max_suppression_shape)
def non_max_suppression(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    most: int,
    overlap: float,
    least: float | None,
    centered: bool,
) -> torch.Tensor:
    """[batch, class, box] of the boxes that are kept, best first; boxes are [N, boxes, 4].

    Programs of torch.export keep it as one operator, and need this module where they are loaded.
    """
    first, second = boxes.permute(2, 0, 1).chunk(2)  # [2, N, boxes]
    if centered:
        low, high = first - second / 2, first + second / 2
    else:
        low, high = first.minimum(second), first.maximum(second)
    left = torch.ones_like(scores, dtype=torch.bool)
    if least is not None:
        left = scores > least
        scores = scores.where(left, float("-inf"))
    # Each class by itself, the best first, as far as any class has candidates: [N, classes, candidates].
    order = scores.argsort(dim=-1, descending=True, stable=True)
    left = left.gather(-1, order)
    left = left[..., : int(left.flatten(0, 1).any(0).sum())]
    order = order[..., : left.shape[-1]]
    batch = torch.arange(order.shape[0], device=order.device).reshape(-1, 1, 1)
    low, high = low[:, batch, order], high[:, batch, order]
    width, height = high - low
    area = width * height
    kept = torch.zeros_like(left)
    for _ in range(most):
        if not left.any():
            break
        # Keep the best that is left of each class; what it overlaps too much is left no more.
        best = left.to(torch.uint8).argmax(-1, keepdim=True)
        kept = kept.scatter(-1, best, kept.gather(-1, best) | left.gather(-1, best))
        corner = best.expand(2, -1, -1, -1)
        sides = high.minimum(high.gather(-1, corner)) - low.maximum(low.gather(-1, corner))
        width, height = sides.clamp(min=0)
        shared = width * height
        # Of boxes without area, this is no number.
        left = left & ~(shared / (area + area.gather(-1, best) - shared) > overlap)
        left = left.scatter(-1, best, False)
    n, c, k = kept.nonzero(as_tuple=True)
    return torch.stack((n, c, order[n, c, k]), dim=1)
