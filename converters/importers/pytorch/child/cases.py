"""Which sizes a module takes, found by running it, and its own numbers at them.

An axis may vary if the module runs with other sizes of it. Axes of one size that stand at the same place of
several inputs vary together (`input_ids`, `attention_mask`); where that does not run, all axes of that size
do, and else each alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from .sources import LARGEST, Axes, Refused, Source, not_taken

Rule = Callable[[int], int]
# What is tried instead of a size; the first is no multiple of anything.
OTHERS: tuple[Rule, ...] = (
    lambda n: n + 3,
    lambda n: 2 * n,
    lambda n: 4 * n,
    lambda n: n // 2,
    lambda n: n // 4,
)
BATCHES: tuple[Rule, ...] = (lambda n: n + 2, lambda n: 2 * n, lambda n: n // 2)
# One other size may be taken by chance: where a window ends the same.
ENOUGH = 2
# Exporters take a size of one for a constant.
SMALLEST = 2
# By rank of the input and axis.
NAMES = {(4, 2): "height", (4, 3): "width", (5, 2): "depth", (5, 3): "height", (5, 4): "width"}
MOST_ELEMENTS = 1 << 28


@dataclass
class References:
    """What a module takes and gives.

    Attributes:
        inputs: Names of inputs in order.
        outputs: Names of outputs in order.
        classes: Axes that may vary, one row for those that vary together: name and axes; batch first.
        cases: Pairs of .npz files. The first has the inputs that were given, the second another batch, the
            last other sizes of everything that may vary.
        constants: Arguments that are numbers.
        findings: What a user should know.
        precisions: Element types of parameters and outputs.
    """

    inputs: list[str]
    outputs: list[str]
    classes: list[tuple[str, Axes]]
    cases: list[list[str]]
    constants: dict[str, Any]
    findings: list[str]
    precisions: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> References:
        """From plain data."""
        classes = [(name, [(i, a) for i, a in axes]) for name, axes in data["classes"]]
        return cls(**{**data, "classes": classes})

    def varying(self, dynamic: str) -> list[tuple[str, Axes]]:
        """The classes that are to be dynamic: `all`, or the `batch` alone."""
        return self.classes if dynamic == "all" else self.classes[:1]

    def example(self, dynamic: str) -> list[torch.Tensor]:
        """Inputs for an export, in order: of sizes that an exporter does not take for constants."""
        with np.load(self.cases[-1 if dynamic == "all" else 1][0]) as file:
            return [torch.from_numpy(file[name]) for name in self.inputs]


@dataclass(frozen=True)
class Varying:
    """Axes that vary together, and another size of them that the module takes."""

    name: str
    axes: Axes
    size: int


def references(source: Source, folder: str) -> References:
    """Run a module at several sizes and save what it was given and gave."""
    given = list(source.inputs.values())
    first = _first(source, given)
    found = _varying(source, given)
    cases = [_save(folder, 0, source, given, first)]
    # The batch alone, then all; where nothing varies, other values of the same sizes.
    for chosen in (found[:1], found) if len(found) > 1 else (found,):
        # Of other signs first: a branch that a tracer did not see shows in the numbers.
        sign = -1.0 if len(cases) == 1 and _is_finite(source, given, chosen, first) else 1.0
        inputs = _resized(given, chosen, sign)
        cases.append(_save(folder, len(cases), source, inputs, source.run(inputs)))
    tensors = [*source.module.parameters(), *source.module.buffers(), *first.values()]
    kinds = {str(t.dtype).removeprefix("torch.") for t in tensors if t.is_floating_point()}
    return References(
        list(source.inputs),
        list(first),
        [(one.name, one.axes) for one in found],
        cases,
        source.constants,
        source.findings,
        sorted(kinds),
    )


def _first(source: Source, given: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The first run, which must work, have outputs and be repeatable."""
    try:
        first, again = source.run(given), source.run(given)
    except Exception as error:
        raise not_taken(source.inputs, error) from error
    if not first:
        raise Refused("UnsupportedError", "the module returns no tensors")
    for name, value in first.items():
        if value.shape != again[name].shape or not torch.equal(
            torch.nan_to_num(value), torch.nan_to_num(again[name])
        ):
            raise Refused(
                "UnsupportedError",
                f"output {name} of the module differs from run to run",
                "take out what is random",
            )
    return first


def _varying(source: Source, given: Sequence[torch.Tensor]) -> list[Varying]:
    """What may vary, and another size for it: each alone, and all of it at once."""
    found: list[Varying] = []
    for axes, low, high in _candidates(source, given):
        if any(set(axes) & set(other.axes) for other in found):
            continue
        name = _called(axes, given, [other.name for other in found])
        offered = _sizes(axes, given, low, high, {other.size for other in found})
        wanted = ENOUGH if source.symbols is None else 1
        tried = (Varying(name, axes, size) for size in offered)
        accepted = list(islice((one for one in tried if _runs(source, given, [one])), wanted))
        if len(accepted) == wanted:
            together = (one for one in accepted if _runs(source, given, [*found, one]))
            found += list(islice(together, 1))
    # The batch first: it is what is kept when not everything can be kept.
    return sorted(found, key=lambda one: min(axis for _, axis in one.axes))


def _candidates(source: Source, given: Sequence[torch.Tensor]) -> Iterator[tuple[Axes, int, int]]:
    """Axes that may vary together, and the sizes between which they may."""
    if source.symbols is not None:
        for axes, (low, high) in zip(source.symbols, source.ranges, strict=True):
            yield axes, low, high
        return
    every = [(i, a) for i, t in enumerate(given) for a in range(t.dim()) if t.shape[a] > 0]
    every.sort(key=lambda place: place[1])
    by_place: dict[tuple[int, int], Axes] = {}
    by_size: dict[int, Axes] = {}
    for i, a in every:
        by_place.setdefault((a, given[i].shape[a]), []).append((i, a))
        by_size.setdefault(given[i].shape[a], []).append((i, a))
    seen: list[Axes] = []
    for axes in (*by_place.values(), *by_size.values(), *([place] for place in every)):
        if axes not in seen:
            seen.append(axes)
            yield axes, 1, LARGEST


def _sizes(
    axes: Axes, given: Sequence[torch.Tensor], low: int, high: int, taken: set[int]
) -> Iterator[int]:
    index, axis = axes[0]
    current = given[index].shape[axis]
    first, *others = BATCHES if axis == 0 else OTHERS
    fresh = first(current)
    # Two classes of one size could be mistaken for one.
    while fresh in taken:
        fresh += 1
    for size in (fresh, *(rule(current) for rule in others)):
        if max(low, SMALLEST) <= size <= high and size != current:
            yield size


def _runs(source: Source, given: Sequence[torch.Tensor], chosen: Sequence[Varying]) -> bool:
    tensors = _resized(given, chosen)
    if any(tensor.numel() > MOST_ELEMENTS for tensor in tensors):
        return False
    try:
        outputs = source.run(tensors)
    except Exception:
        return False
    sizes = {name: tensor.shape for name, tensor in zip(source.inputs, tensors, strict=True)}
    # What one call leaves, the next one must take.
    circular = all(sizes[name] == outputs[out].shape for name, out in source.kept.items())
    return circular and all(value.numel() > 0 for value in outputs.values())


def _is_finite(
    source: Source,
    given: Sequence[torch.Tensor],
    chosen: Sequence[Varying],
    first: Mapping[str, torch.Tensor],
) -> bool:
    """Whether inputs of other signs give numbers where the given ones did."""
    if not all(bool(value.isfinite().all()) for value in first.values()):
        return False
    try:
        outputs = source.run(_resized(given, chosen, -1.0))
    except Exception:
        return False
    return all(bool(value.isfinite().all()) for value in outputs.values())


def _resized(
    given: Sequence[torch.Tensor], chosen: Sequence[Varying], sign: float = 1.0
) -> list[torch.Tensor]:
    """Tensors of other sizes, made of the values that were given: those are known to be good."""
    random = torch.Generator().manual_seed(0)
    result = list(given)
    for one in chosen:
        for i, a in one.axes:
            picked = torch.randint(0, result[i].shape[a], (one.size,), generator=random)
            # A mask that hides everything has no answer.
            picked[0] = 0
            result[i] = result[i].index_select(a, picked)
    return [_varied(tensor, sign, random) for tensor in result]


def _varied(tensor: torch.Tensor, sign: float, random: torch.Generator) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    noise = torch.rand(tensor.shape, generator=random) + 0.5
    return (tensor * noise * sign).to(tensor.dtype)


def _called(axes: Axes, given: Sequence[torch.Tensor], taken: Sequence[str]) -> str:
    index, axis = axes[0]
    rank = given[index].dim()
    plain = "batch" if axis == 0 and rank > 1 else NAMES.get((rank, axis), "length")
    names = [plain, *(f"{plain}_{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _save(
    folder: str,
    index: int,
    source: Source,
    inputs: Sequence[torch.Tensor],
    outputs: Mapping[str, torch.Tensor],
) -> list[str]:
    paths = [os.path.join(folder, f"case{index}.{part}.npz") for part in ("inputs", "outputs")]
    np.savez(paths[0], **{n: _array(t) for n, t in zip(source.inputs, inputs, strict=True)})
    np.savez(paths[1], **{name: _array(tensor) for name, tensor in outputs.items()})
    return paths


def _array(tensor: torch.Tensor) -> Any:
    # bfloat16 has no place in an .npz file; float32 holds it exactly.
    plain = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return plain.detach().contiguous().cpu().numpy()
