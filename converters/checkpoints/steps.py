"""What is done to tensors on the way from one framework to another: steps that can be undone.

    move     one tensor, under another name, its axes in another order      x [O, I] -> y [I, O]
    split    one tensor into several along an axis                          qkv -> q, k, v
    fuse     several into one                                               q, k, v -> qkv
    repeat   one under several names                                        w -> w, 0.cell.w
    unite    several that are one and the same                              w, 0.cell.w -> w
    drop     nothing is left but a note of the value, where it is short
    restore  a tensor out of such a note

Each has an inverse, so that a conversion there and back gives the same bits under the same names.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from converters.checkpoints.tensors import (
    Array,
    Decoded,
    Stored,
    Tensor,
    Viewed,
    checked_shape,
)
from converters.dtypes import BY_NAME
from converters.errors import UnsafeInput, UsageError

INVERSE = {
    "move": "move",
    "split": "fuse",
    "fuse": "split",
    "repeat": "unite",
    "unite": "repeat",
    "drop": "restore",
    "restore": "drop",
}
# Bytes of a dropped tensor that a note keeps.
LONGEST_NOTE = 1 << 10


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        op: A key of `INVERSE`.
        sources: Names before.
        targets: Names after.
        axes: The axes of one part before and after, as letters; `1` is an axis of size one, `(CD)` two in
            one. Equal ones leave the bytes alone.
        shape: Sizes of the letters of `axes`, where axes that are one must be told apart.
        axis: Along which is split or fused: of the whole tensor.
        sizes: Of the parts along it.
        note: What was dropped: type, shape and bytes.
    """

    op: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    axes: tuple[str, str] = ("", "")
    shape: tuple[int, ...] = ()
    axis: int = 0
    sizes: tuple[int, ...] = ()
    note: tuple[str, tuple[int, ...], str] | None = None

    def inverse(self) -> Step:
        """The step back."""
        return Step(
            INVERSE[self.op],
            self.targets,
            self.sources,
            (self.axes[1], self.axes[0]),
            self.shape,
            self.axis,
            self.sizes,
            self.note,
        )

    def to_json(self) -> dict[str, Any]:
        """The fields that are not at their default."""
        default = Step("", (), ())
        said = asdict(self)
        return {key: value for key, value in said.items() if value != getattr(default, key)}

    @staticmethod
    def from_json(said: Mapping[str, Any]) -> Step:
        """A step that was written down.

        Raises:
            UnsafeInput: It is none.
        """
        try:
            note = said.get("note")
            step = Step(
                said["op"],
                tuple(map(str, said.get("sources", ()))),
                tuple(map(str, said.get("targets", ()))),
                (str(said.get("axes", ("", ""))[0]), str(said.get("axes", ("", ""))[1])),
                checked_shape(said.get("shape", ()), "a step"),
                int(said.get("axis", 0)),
                checked_shape(said.get("sizes", ()), "a step"),
                note and (str(note[0]), checked_shape(note[1], "a note"), str(note[2])),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UnsafeInput(f"a step that cannot be read: {error}") from error
        if step.op not in INVERSE:
            raise UnsafeInput(f"an unknown step {step.op!r}")
        return step


def dropped(name: str, tensor: Tensor) -> Step:
    """Leave a tensor out, with a note of its value where that is short."""
    note = None
    if tensor.nbytes <= LONGEST_NOTE:
        raw = np.ascontiguousarray(tensor.array()).tobytes()
        note = (tensor.kind.name, tensor.shape, base64.b64encode(raw).decode())
    return Step("drop", (name,), (), note=note)


def apply(steps: list[Step], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Do the steps.

    Returns:
        Tensors by their new names, in the order of the steps.

    Raises:
        UsageError: A step does not fit its tensors.
        UnsafeInput: Tensors that should be one and the same differ.
    """
    made: dict[str, Tensor] = {}
    for step in steps:
        if step.op == "restore" and step.note is None:
            continue
        parts = [tensors[name] for name in step.sources]
        results = _apply(step, parts)
        made.update(zip(step.targets, results, strict=True))
    return made


def _apply(step: Step, parts: list[Tensor]) -> list[Tensor]:
    if step.op == "drop":
        return []
    if step.op == "restore":
        return [_noted(step)]
    if step.op == "repeat":
        return [parts[0]] * len(step.targets)
    if step.op == "unite":
        if not all(_same(parts[0], part) for part in parts[1:]):
            raise UnsafeInput(f"{', '.join(step.sources)} should be equal and are not")
        return [parts[0]]
    if step.op == "split":
        pieces = _split(parts[0], step)
        return [turned(piece, step.axes, step.shape, step.sources[0]) for piece in pieces]
    moved = [
        turned(part, step.axes, step.shape, name)
        for part, name in zip(parts, step.sources, strict=True)
    ]
    return moved if step.op == "move" else [_fused(moved, step)]


def _noted(step: Step) -> Tensor:
    assert step.note is not None  # noqa: S101 - the caller has looked
    kind = BY_NAME.get(step.note[0])
    raw = base64.b64decode(step.note[2])
    if kind is None or len(raw) != math.prod(step.note[1]) * kind.bytes:
        raise UnsafeInput(f"a note of {step.targets} that cannot be read")
    return Viewed(np.frombuffer(raw, kind.numpy).reshape(step.note[1]))


def _same(one: Tensor, other: Tensor) -> bool:
    if (one.kind, one.shape) != (other.kind, other.shape):
        return False
    if one.spans is not None and one.spans == other.spans:
        return True
    pairs = zip(one.blocks(), other.blocks(), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def _split(tensor: Tensor, step: Step) -> list[Tensor]:
    count = len(step.targets)
    if step.axis >= len(tensor.shape):
        raise UsageError(f"{step.sources[0]}: no axis {step.axis} in {list(tensor.shape)}")
    length = tensor.shape[step.axis]
    sizes = step.sizes or (length // count,) * count
    if sum(sizes) != length or len(sizes) != count:
        raise UsageError(
            f"{step.sources[0]} {list(tensor.shape)} cannot be split into {count} along axis"
            f" {step.axis}",
            fix="give sizes",
        )
    starts = np.cumsum([0, *sizes])
    pieces: list[Tensor] = []
    for start, size in zip(starts, sizes, strict=False):
        pieces.append(_part(tensor, step.axis, int(start), size))
    return pieces


def _part(tensor: Tensor, axis: int, start: int, size: int) -> Tensor:
    shape = (*tensor.shape[:axis], size, *tensor.shape[axis + 1 :])
    spans = tensor.spans
    if axis == 0 and spans is not None and len(spans) == 1:
        row = math.prod(tensor.shape[1:]) * tensor.kind.bytes
        return Stored(tensor.kind, shape, (spans[0].cut(start * row, size * row),))
    index = (slice(None),) * axis + (slice(start, start + size),)
    return Viewed(tensor.array()[index])


def _fused(parts: list[Tensor], step: Step) -> Tensor:
    kind, axis = parts[0].kind, step.axis
    shapes = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    if len(shapes) > 1 or any(part.kind != kind for part in parts):
        listed = ", ".join(
            f"{name} {list(part.shape)}" for name, part in zip(step.sources, parts, strict=False)
        )
        raise UsageError(f"these cannot be joined along axis {axis}: {listed}")
    total = sum(part.shape[axis] for part in parts)
    shape = (*parts[0].shape[:axis], total, *parts[0].shape[axis + 1 :])
    if axis == 0:
        spans = [span for part in parts for span in part.spans or ()]
        if all(part.spans is not None for part in parts):
            return Stored(kind, shape, tuple(spans))

        def decode() -> Iterator[Array]:
            for part in parts:
                yield from part.blocks()

        return Decoded(kind, shape, decode, step.targets[0])
    return Decoded(
        kind,
        shape,
        lambda: Viewed(np.concatenate([part.array() for part in parts], axis)).blocks(),
        step.targets[0],
    )


def turned(
    tensor: Tensor, axes: tuple[str, str], sizes: tuple[int, ...] = (), name: str = ""
) -> Tensor:
    """A tensor with its axes in another order.

    Args:
        tensor: The tensor.
        axes: Its axes before and after, as letters.
        sizes: Of the letters before, in order, where some are in one.
        name: For messages.

    Raises:
        UsageError: The tensor has other dimensions than that.
    """
    before, after = axes
    if before == after:
        return tensor
    letters = [letter for letter in before if letter.isalpha()]
    plain = sizes or tuple(
        size for size, letter in zip(tensor.shape, before, strict=False) if letter != "1"
    )
    if len(plain) != len(letters) or math.prod(plain) != tensor.size:
        raise UsageError(f"{name}: {list(tensor.shape)} does not have the axes {before}")
    size_of = dict(zip(letters, plain, strict=True))
    target = tuple(_target_shape(after, size_of))
    order = [letters.index(letter) for letter in after if letter.isalpha()]
    if order == sorted(order):
        # No byte moves.
        if isinstance(tensor, Stored):
            return Stored(tensor.kind, target, tensor.parts)
        if isinstance(tensor, Decoded):
            return Decoded(tensor.kind, target, tensor.decode, tensor.where)
        return Viewed(tensor.array().reshape(target))
    moved = tensor.array().reshape(plain).transpose(order)
    return Viewed(moved if moved.shape == target else moved.reshape(target))


def _target_shape(axes: str, size_of: Mapping[str, int]) -> Iterator[int]:
    at = 0
    while at < len(axes):
        if axes[at] == "(":
            end = axes.index(")", at)
            yield math.prod(size_of[letter] for letter in axes[at + 1 : end])
            at = end + 1
        else:
            yield 1 if axes[at] == "1" else size_of[axes[at]]
            at += 1
