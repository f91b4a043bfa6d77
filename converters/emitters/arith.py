"""Arithmetic of windows and axes that is the same in every framework, done once.

Formulas are those of the operator pages of the standard (Conv, ConvTranspose, AveragePool, MaxPool).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.emitters.table import Numbers, Operand, Refusal
from converters.graph.model import Dim

# Ends of slices from here on mean the end of the axis.
LARGEST_END = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Window:
    """A sliding window over the spatial axes, with every default filled in.

    Attributes:
        kernel, strides, dilations: For each spatial axis.
        begin, end: Padding before and after each spatial axis; zero where `same` is set.
        same: `upper` or `lower` where the padding depends on sizes that only the running model knows:
            the output has ceil(size / stride) elements, the odd padding goes to the end or the start.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    same: str = ""

    @property
    def symmetric(self) -> bool:
        """Whether both sides of every axis are padded alike, by sizes known now."""
        return self.begin == self.end and not self.same

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any(self.begin) or any(self.end) or bool(self.same)


def window(
    shape: tuple[Dim, ...] | None,
    kernel: tuple[int, ...],
    *,
    auto_pad: str = "NOTSET",
    strides: tuple[int, ...] | None = None,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
) -> Window:
    """Resolve the attributes of a convolution or a pooling.

    Args:
        shape: The shape of its input, [N, C, spatial...], where known.
        kernel: The kernel's spatial sizes.
        auto_pad, strides, dilations, pads: As in the standard.
    """
    n = len(kernel)
    strides, dilations = strides or (1,) * n, dilations or (1,) * n
    zero = (0,) * n
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        side = auto_pad.removeprefix("SAME_").lower()
        sizes = shape[2:] if shape is not None else (None,) * n
        totals = [
            same_total(size, k, s, d)
            for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)
        ]
        if any(total is None for total in totals):
            return Window(kernel, strides, dilations, zero, zero, side)
        small = tuple((total or 0) // 2 for total in totals)
        large = tuple((total or 0) - half for total, half in zip(totals, small, strict=True))
        begin, end = (small, large) if side == "upper" else (large, small)
        return Window(kernel, strides, dilations, begin, end)
    if auto_pad == "VALID" or pads is None:
        return Window(kernel, strides, dilations, zero, zero)
    if any(pad < 0 for pad in pads):
        raise Refusal(f"pads={pads}")
    return Window(kernel, strides, dilations, tuple(pads[:n]), tuple(pads[n:]))


def pool_window(
    shape: tuple[Dim, ...] | None,
    kernel: tuple[int, ...],
    *,
    auto_pad: str = "NOTSET",
    strides: tuple[int, ...] | None = None,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
) -> Window:
    """The attributes of a pooling, see `window`; refused where the standard and ONNX Runtime differ.

    With `auto_pad` SAME, ONNX Runtime pads as if there were no dilation, and cuts off what a stride
    above the kernel leaves over.
    """
    found = window(
        shape, kernel, auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        sizes = shape[2:] if shape is not None else (None,) * len(kernel)
        for size, k, s, d in zip(sizes, kernel, found.strides, found.dilations, strict=True):
            if k > 1 and d > 1:
                raise Refusal(f"attribute auto_pad={auto_pad!r} with dilations={dilations}")
            left = (size - 1) % s + 1 - k if isinstance(size, int) else s - k
            if left > 1:
                raise Refusal(f"attribute auto_pad={auto_pad!r} with strides above the kernel")
    return found


def same_total(size: Dim, kernel: int, stride: int, dilation: int) -> int | None:
    """Padding that gives ceil(size / stride) outputs; None where the size must be known and is not."""
    reach = (kernel - 1) * dilation + 1
    if stride == 1:
        return reach - 1
    if not isinstance(size, int):
        return None
    return max((-(-size // stride) - 1) * stride + reach - size, 0)


def one(numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    """Equal numbers as one, as people write kernel sizes: (3, 3) -> 3."""
    return numbers[0] if len(set(numbers)) == 1 else numbers


def arguments(**given: object) -> str:
    """Keyword arguments that are not at the default given with them: `stride=(2, 1)` -> `, stride=2`.

    Each is a pair of value and default; those that are equal are left out.
    """
    pairs = {name: pair for name, pair in given.items() if isinstance(pair, tuple)}
    return "".join(f", {k}={value!r}" for k, (value, default) in pairs.items() if value != default)


def axes_of(axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Axes counted from the start, in order."""
    return tuple(sorted(axis % rank for axis in axes))


def reduced_axes(axes: Numbers | None, noop: int) -> tuple[int, ...] | None:
    """The axes that a reduction works on: None for all of them, an empty tuple for none."""
    found = None if axes is None else axes.known("axes")
    if found:
        return tuple(int(axis) for axis in found)
    return () if noop else None


@dataclass(frozen=True)
class Slices:
    """What a Slice takes from each axis.

    Attributes:
        text: Between brackets: `:, 1:3`; empty where everything is taken.
        backwards: Axis, start, end and step where brackets cannot say them, for a negative step.
        strided: Axis and step of what the brackets cut out, where they cannot say the step.
    """

    text: str
    backwards: tuple[tuple[int, object, object, int], ...]
    strided: tuple[tuple[int, int], ...]


def slices(
    rank: int | None, starts: Numbers, ends: Numbers, axes: Numbers | None, steps: Numbers | None,
    *, with_steps: bool = True,
) -> Slices:  # fmt: skip
    """The inputs of a Slice as a Python subscript.

    Args:
        with_steps: Whether brackets can say steps above one in the framework.
    """
    if starts.items is None or ends.items is None:
        raise Refusal("starts or ends whose count is not known")
    count = len(starts.items)
    chosen = axes.known("axes") if axes is not None else tuple(range(count))
    strides = steps.known("steps") if steps is not None else (1,) * count
    if rank is None and any(axis < 0 for axis in chosen):
        raise Refusal("negative axes of a tensor of unknown rank")
    parts: dict[int, str] = {}
    backwards, strided = [], []
    for axis, start, end, step in zip(chosen, starts.items, ends.items, strides, strict=True):
        where = int(axis) % rank if rank else int(axis)
        if step < 0:
            backwards.append((where, start, end, int(step)))
            continue
        first = "" if start == 0 else str(start)
        last = "" if isinstance(end, int) and end >= LARGEST_END else str(end)
        parts[where] = f"{first}:{last}" + (f":{step}" if step != 1 and with_steps else "")
        if step != 1 and not with_steps:
            strided.append((where, int(step)))
    parts = {where: part for where, part in parts.items() if part != ":"}
    text = ", ".join(parts.get(k, ":") for k in range(max(parts) + 1)) if parts else ""
    return Slices(text, tuple(backwards), tuple(strided))


def pads_by_axis(
    rank: int, pads: Numbers, axes: Numbers | None
) -> list[tuple[int | float | str, int | float | str]]:
    """The padding before and after each axis of a tensor."""
    if pads.items is None:
        raise Refusal("pads whose count is not known")
    chosen = [int(a) % rank for a in axes.known("axes")] if axes is not None else list(range(rank))
    sides: list[tuple[int | float | str, int | float | str]] = [(0, 0)] * rank
    for k, axis in enumerate(chosen):
        sides[axis] = (pads.items[k], pads.items[k + len(chosen)])
    return sides


def nested(function: str, xs: Sequence[object]) -> str:
    """A function of two arguments over several: `f(f(a, b), c)`."""
    text = str(xs[0])
    for x in xs[1:]:
        text = f"{function}({text}, {x})"
    return text


def kept_axes(x: Operand, shape: Numbers) -> int:
    """How many leading axes a Reshape leaves as they are.

    Args:
        x: What is reshaped.
        shape: Its target, on which zeros are already worked out.
    """
    own = x.shape or ()
    pairs = zip(own, shape.items or (), strict=False)
    changed = (
        axis
        for axis, (size, item) in enumerate(pairs)
        if item != f"{x}.shape[{axis}]" and not (isinstance(size, int) and item == size > 0)
    )
    return next(changed, min(len(own), len(shape.items or ())))


def merged_from(x: Operand, shape: Numbers) -> int | None:
    """The axis from which on a Reshape makes one axis of all others; None where it does something else."""
    kept, items = kept_axes(x, shape), shape.items or ()
    if x.shape is None or len(items) != kept + 1 or len(x.shape) <= kept + 1:
        return None
    rest = x.shape[kept:]
    whole = all(isinstance(size, int) for size in rest)
    product = math.prod(size for size in rest if isinstance(size, int))
    return kept if items[kept] == -1 or (whole and items[kept] == product) else None


def split_last(x: Operand, shape: Numbers, out: tuple[Dim, ...] | None) -> tuple[int, ...] | None:
    """The sizes that a Reshape splits the last axis into; None where it does something else."""
    kept, items = kept_axes(x, shape), shape.items or ()
    if x.shape is None or kept == 0 or len(x.shape) != kept + 1 or len(items) < kept + 2:
        return None
    known = (*(out or ()), *[None] * len(items))
    sizes = [known[k] if items[k] == -1 else items[k] for k in range(kept, len(items))]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    return tuple(int(size) for size in sizes if isinstance(size, int))


def size_of(x: Operand, axis: int) -> int | str:
    """A size of a tensor, as text where only the running model knows it."""
    size = (x.shape or ())[axis]
    return size if isinstance(size, int) else f"{x}.shape[{axis}]"


def broadcast_sizes(x: Operand, shape: Numbers) -> list[int | float | str] | None:
    """The sizes of a tensor broadcast against a shape; None where some are not known here."""
    if shape.items is None or x.shape is None:
        return None
    new = len(shape.items) - len(x.shape)
    wanted = [1] * -new + list(shape.items)
    sizes = [_broadcast(x, axis - max(new, 0), size) for axis, size in enumerate(wanted)]
    known = [size for size in sizes if size is not None]
    return known if len(known) == len(sizes) else None


def _broadcast(x: Operand, axis: int, wanted: int | float | str) -> int | float | str | None:
    have = size_of(x, axis) if axis >= 0 else 1
    if have == 1 or (isinstance(wanted, int) and wanted > 1):
        return wanted
    # The other size must be one or the same.
    return have if isinstance(have, int) or wanted in (1, have) else None
