"""Which sizes a model takes, found by running it, and its own numbers at them. Of no framework.

An axis may vary if the module runs with other sizes of it. Axes of one size that stand at the same place of
several inputs vary together (`input_ids`, `attention_mask`); where that does not run, all axes of that size
do, and else each alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from .classes import Refused, not_taken

Array = Any
Axes = list[tuple[int, int]]
LARGEST = 1 << 31
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
class Called:
    """A model and how it is called: arrays in by name and in order, and arrays out.

    Types that numpy lacks are float32 in arrays, which holds them exactly.

    Attributes:
        inputs: Examples.
        run: Arrays in order -> named outputs.
        types: Element types of floats among parameters and outputs; complete after the first run.
        constants: Arguments that are numbers, by name.
        findings: What a user should know.
        symbols: Input axes that vary together, one row for each symbol, where the source says so itself.
        ranges: Smallest and largest size, one for each row of `symbols`.
        kept: Inputs that come back as outputs, for the next call: the output's name by input name.
    """

    inputs: dict[str, Array]
    run: Callable[[Sequence[Array]], dict[str, Array]]
    types: set[str]
    constants: dict[str, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    symbols: list[Axes] | None = None
    ranges: list[tuple[int, int]] = field(default_factory=list)
    kept: Mapping[str, str] = field(default_factory=dict)


@dataclass
class References:
    """What a module takes and gives.

    Attributes:
        inputs: Names of inputs in order.
        outputs: Names of outputs in order.
        classes: Axes that may vary, one row for those that vary together: name and axes; batch first.
        cases: Pairs of .npz files. The first has the inputs that were given, the second another batch, the
            last other sizes of everything that may vary; between them all but the batch has one more size.
        same: Two pairs of the sizes that were given.
        constants: Arguments that are numbers.
        findings: What a user should know.
        precisions: Element types of parameters and outputs.
    """

    inputs: list[str]
    outputs: list[str]
    classes: list[tuple[str, Axes]]
    cases: list[list[str]]
    same: list[list[str]]
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
        """The classes that are to be dynamic: `all`, the `batch` alone, or `none`."""
        return {"all": self.classes, "batch": self.classes[:1]}.get(dynamic, [])

    def example(self, dynamic: str) -> list[Array]:
        """Inputs for an export, in order: of sizes that an exporter does not take for constants."""
        cases = {"all": self.cases[-1], "batch": self.cases[1]}.get(dynamic, self.cases[0])
        with np.load(cases[0]) as file:
            return [file[name] for name in self.inputs]

    def open_shapes(self, dynamic: str) -> list[list[int | None]]:
        """Shapes of inputs in order; None is any size."""
        free = {place for _, axes in self.varying(dynamic) for place in axes}
        return [
            [None if (index, axis) in free else size for axis, size in enumerate(array.shape)]
            for index, array in enumerate(self.example("none"))
        ]


@dataclass(frozen=True)
class Varying:
    """Axes that vary together, another size of them that the module takes, and one more, if it was looked for."""

    name: str
    axes: Axes
    size: int
    more: int = 0


def references(source: Called, folder: str) -> References:
    """Run a model at several sizes and save what it was given and gave."""
    given = list(source.inputs.values())
    first = _first(source, given)
    found = _varying(source, given)
    cases = [_save(folder, 0, source, given, first)]
    # The batch alone, then all; the same sizes again, for routes that know no others.
    for chosen in (found[:1], found) if len(found) > 1 else (found,):
        # Of other signs first: a branch that a tracer did not see shows in the numbers.
        sign = -1.0 if len(cases) == 1 and _is_finite(source, given, chosen, first) else 1.0
        inputs = _resized(given, chosen, sign)
        cases.append(_save(folder, len(cases), source, inputs, source.run(inputs)))
    # A number of steps that follows from a size by rounding is the same for two sizes that are close.
    steps = [one for one in found if one.more and any(axis for _, axis in one.axes)]
    more = [replace(one, size=one.more) for one in steps]
    if more and _runs(source, given, more):
        inputs = _resized(given, more)
        cases.insert(-1, _save(folder, len(cases), source, inputs, source.run(inputs)))
    again = cases[1]
    if found:
        inputs = _resized(given, [], -1.0 if _is_finite(source, given, [], first) else 1.0)
        again = _save(folder, len(cases), source, inputs, source.run(inputs))
    return References(
        list(source.inputs),
        list(first),
        [(one.name, one.axes) for one in found],
        cases,
        [cases[0], again],
        source.constants,
        source.findings,
        sorted(source.types),
    )


def _first(source: Called, given: Sequence[Array]) -> dict[str, Array]:
    """The first run, which must work, have outputs and be repeatable."""
    try:
        first, again = source.run(given), source.run(given)
    except Exception as error:
        raise not_taken(source.inputs, error, source.findings) from error
    if not first:
        raise Refused("UnsupportedError", "the module returns no tensors")
    for name, value in first.items():
        exact = value.dtype.kind not in "fc"
        if value.shape != again[name].shape or not np.array_equal(
            value, again[name], equal_nan=not exact
        ):
            raise Refused(
                "UnsupportedError",
                f"output {name} of the module differs from run to run",
                "take out what is random",
            )
    return first


def _varying(source: Called, given: Sequence[Array]) -> list[Varying]:
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
            for one in islice(together, 1):
                others = [other.size for other in accepted if other is not one]
                found.append(replace(one, more=max(others, default=0)))
    # The batch first: it is what is kept when not everything can be kept.
    return sorted(found, key=lambda one: min(axis for _, axis in one.axes))


def _candidates(source: Called, given: Sequence[Array]) -> Iterator[tuple[Axes, int, int]]:
    """Axes that may vary together, and the sizes between which they may."""
    if source.symbols is not None:
        for axes, (low, high) in zip(source.symbols, source.ranges, strict=True):
            yield axes, low, high
        return
    every = [(i, a) for i, t in enumerate(given) for a in range(t.ndim) if t.shape[a] > 0]
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
    axes: Axes, given: Sequence[Array], low: int, high: int, taken: set[int]
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


def _runs(source: Called, given: Sequence[Array], chosen: Sequence[Varying]) -> bool:
    tensors = _resized(given, chosen)
    if any(tensor.size > MOST_ELEMENTS for tensor in tensors):
        return False
    try:
        outputs = source.run(tensors)
    except Exception:
        return False
    sizes = {name: tensor.shape for name, tensor in zip(source.inputs, tensors, strict=True)}
    # What one call leaves, the next one must take.
    circular = all(sizes[name] == outputs[out].shape for name, out in source.kept.items())
    return circular and all(value.size > 0 for value in outputs.values())


def _is_finite(
    source: Called,
    given: Sequence[Array],
    chosen: Sequence[Varying],
    first: Mapping[str, Array],
) -> bool:
    """Whether inputs of other signs give numbers where the given ones did."""
    if not all(bool(np.isfinite(value).all()) for value in first.values()):
        return False
    try:
        outputs = source.run(_resized(given, chosen, -1.0))
    except Exception:
        return False
    return all(bool(np.isfinite(value).all()) for value in outputs.values())


def _resized(given: Sequence[Array], chosen: Sequence[Varying], sign: float = 1.0) -> list[Array]:
    """Tensors of other sizes, made of the values that were given: those are known to be good."""
    random = np.random.default_rng(0)
    result = list(given)
    for one in chosen:
        for i, a in one.axes:
            picked = random.integers(0, result[i].shape[a], one.size)
            # A mask that hides everything has no answer.
            picked[0] = 0
            result[i] = np.take(result[i], picked, a)
    return [_varied(tensor, sign, random) for tensor in result]


def _varied(tensor: Array, sign: float, random: np.random.Generator) -> Array:
    if tensor.dtype.kind != "f":
        return tensor
    noise = random.random(tensor.shape) + 0.5
    # A scalar would come as one of numpy's numbers.
    return np.asarray(tensor * noise * sign, tensor.dtype)


def _called(axes: Axes, given: Sequence[Array], taken: Sequence[str]) -> str:
    index, axis = axes[0]
    rank = given[index].ndim
    plain = "batch" if axis == 0 and rank > 1 else NAMES.get((rank, axis), "length")
    names = [plain, *(f"{plain}_{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _save(
    folder: str,
    index: int,
    source: Called,
    inputs: Sequence[Array],
    outputs: Mapping[str, Array],
) -> list[str]:
    paths = [os.path.join(folder, f"case{index}.{part}.npz") for part in ("inputs", "outputs")]
    np.savez(paths[0], **dict(zip(source.inputs, inputs, strict=True)))
    np.savez(paths[1], **outputs)
    return paths
