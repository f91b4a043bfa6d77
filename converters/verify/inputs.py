"""A signature -> inputs: seeded, deterministic, at two or more sizes for every dynamic dimension."""

from __future__ import annotations

import itertools
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from converters.dtypes import element_type
from converters.errors import UnsafeInput, UsageError

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
Sizes: TypeAlias = Mapping[str, Sequence[int]]
Bounds: TypeAlias = Mapping[str, tuple[float, float]]
# Lowest and highest value of integers that a model is known to take.
Ranges: TypeAlias = Mapping[str, tuple[int, int]]
# Numbers for inputs of one element; None for any.
Values: TypeAlias = Mapping[str, Sequence[float | bool | None]]

BATCH = re.compile(r"n|b|bs|batch.*", re.IGNORECASE)
# Sizes that are tried for a dimension that nothing is known of; the second is no multiple of anything.
BATCH_SIZES = (1, 3)
IMAGE_SIZES = (64, 109)
OTHER_SIZES = (16, 7)
# Dimensions of other names get other sizes, so that swapped axes cannot look right.
STEP_BETWEEN_NAMES = 2

# More cases than this are not worth their time.
MOST_WAYS = 8
# More than this in one input is no size to try a model at.
MOST_ELEMENTS = 1 << 31

MASK = re.compile("mask", re.IGNORECASE)
# `x_lengths` says how many steps of each sequence in `x` [N, T, ...] count.
LENGTHS = "_lengths"
# Texts beside those that the model itself knows: of one word, two, none, a number, in other letters.
WORDS = ("alpha", "Beta", "gamma delta", "", "12", "a.b@c.com", "\u00fc\u4e2d")
# What is only divided by, as the scale of an image: numbers close to zero would make errors of rounding large.
SCALES = (0.5, 2.0)
# Integers below this are tokens of most vocabularies.
HIGHEST_INTEGER = 100
# ... and below this, members of the smallest set that can be told apart.
LOWEST_HIGHEST = 2
# How often inputs are drawn anew whose outputs are not all numbers, as where a row of tokens is all padding, and how
# far apart the seeds are.
DRAWS = 8
BETWEEN_DRAWS = 1009
# What a model may ask of its sizes: that they are a multiple of something, or large. Sizes are rounded up
# to the first number, and multiplied by the second.
ROUNDING = ((1, 1), (8, 1), (32, 1))
SCALING = ((32, 4), (32, 16), (32, 32))
LARGEST = {IMAGE_SIZES: 512, OTHER_SIZES: 4096}


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature.

    Attributes:
        name: Its name.
        dtype: Name of its element type, as numpy and ml_dtypes have it.
        shape: Sizes, names of dynamic dimensions, None where a dimension has no name; None as a whole
            where not even the rank is known.
        kind: `tensor`; `sequence` of tensors of that shape; `optional`, which may be left out; or
            `optional sequence`.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None
    kind: str = "tensor"

    def dimensions(self) -> tuple[int | str, ...]:
        """The shape with a name for every dynamic dimension.

        Raises:
            UsageError: The rank is not known.
        """
        if self.shape is None:
            raise UsageError(
                f"input {self.name!r} has no known shape, so no inputs can be generated",
                fix="give test vectors",
            )
        named = (f"{self.name}.{axis}" for axis in range(len(self.shape)))
        return tuple(n if d is None else d for d, n in zip(self.shape, named, strict=True))


@dataclass(frozen=True)
class Case:
    """Inputs for one run.

    Attributes:
        inputs: Arrays by name.
        seed: What they were generated from; None where they were given.
        dims: Sizes by name of dynamic dimension.
        specs: The signature that they were generated from.
        fixed: Names of dimensions whose sizes the caller chose.
        bounds: Lowest and highest value, the latter excluded, by input name.
        ranges: Lowest and highest value of integers, by input name, where such are known to be taken.
        highest: Bound of integers of which nothing is known.
        values: Numbers for inputs of one element, by name.
        words: Texts that the model knows.
    """

    inputs: Arrays
    seed: int | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    specs: tuple[TensorSpec, ...] = ()
    fixed: frozenset[str] = frozenset()
    bounds: Bounds = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    highest: int = HIGHEST_INTEGER
    values: Mapping[str, float | bool] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    def made_again(self, **changes: Any) -> Case:
        """The same case from another seed, with other sizes or other bounds."""
        case = replace(self, **changes)
        return replace(case, inputs=_arrays(case))

    def drawn_again(self) -> Iterator[Case]:
        """Other generated values in the same shapes, for a model that gives NaN or infinities for these."""
        if self.seed is not None and self.inputs:
            for draw in range(1, DRAWS + 1):
                yield self.made_again(seed=self.seed + draw * BETWEEN_DRAWS)

    def alternatives(self, accepted: Case | None = None) -> Iterator[Case]:
        """Other generated inputs, for a model that refuses these: other sizes and smaller integers.

        Sizes that the caller chose and given inputs stay; a batch becomes one at the end, and numbers
        that the model compares its inputs with are given up last.

        Args:
            accepted: A case that the model took. Where rounded sizes do not help, some of its sizes are
                kept: one, then all but one.
        """
        if self.seed is None:
            return
        rounded = [{n: self._other(n, *rule) for n in self.dims} for rule in ROUNDING]
        scaled = [{n: self._other(n, *rule) for n in self.dims} for rule in SCALING]
        single = [{n: self._other(n, *ROUNDING[-1], batch=1) for n in self.dims}]
        batches = [size for n, size in self.dims.items() if _is_batch(n, self.specs)]
        # An axis that nothing is known of may be the batch after all.
        joined = [
            {**dims, n: batches[0]}
            for dims in (dict(self.dims), *rounded, *scaled)
            for n in self.dims
            if batches and n not in self.fixed and not _is_batch(n, self.specs)
        ]
        kept: list[dict[str, int]] = []
        if accepted is not None:
            kept += [{**self.dims, name: size} for name, size in accepted.dims.items()]
            kept += [{**accepted.dims, name: size} for name, size in self.dims.items()]
            kept = [dims for dims in kept if dims != accepted.dims]
        seen = [(dict(self.dims), self.highest, self.values)]
        for values in (self.values, {}):
            for dims in (dict(self.dims), *rounded, *kept, *scaled, *joined, *single):
                for highest in (HIGHEST_INTEGER, LOWEST_HIGHEST):
                    if (dims, highest, values) not in seen:
                        seen.append((dims, highest, values))
                        ranges = self.ranges if highest == self.highest else {}
                        yield self.made_again(
                            dims=dims, highest=highest, values=values, ranges=ranges
                        )

    def _other(self, name: str, multiple: int, factor: int, batch: int = 0) -> int:
        size = self.dims[name]
        if name in self.fixed:
            return size
        if _is_batch(name, self.specs):
            return batch or size
        # Dimensions of different names may have to be equal after all.
        kind = _kind(name, self.specs)
        plain = min(d for n, d in self.dims.items() if _kind(n, self.specs) == kind)
        return min(-(-plain // multiple) * multiple * factor, max(plain, LARGEST[kind]))


def generate_cases(
    specs: Sequence[TensorSpec],
    *,
    sizes: Sizes | None = None,
    bounds: Bounds | None = None,
    ranges: Ranges | None = None,
    values: Values | None = None,
    words: Sequence[str] = (),
    seed: int = 0,
) -> list[Case]:
    """Make inputs for a signature: two cases or more, so that every dynamic dimension has two sizes.

    Where a model compares an input of one element with numbers, there is a case for each of them.

    Floats are normal, 8-bit integers of any value, other integers from 0 to 99, masks 0 and 1, `x_lengths` from 1 to
    the number of steps in `x`, texts among those that the model knows and some more.

    Args:
        specs: The inputs; equal names of dimensions are equal sizes.
        sizes: Sizes to use by name of dimension, for models that accept some only.
        bounds: Lowest and highest value, the latter excluded, by input name.
        ranges: Lowest and highest value of integers that are neither masks nor lengths, where such are known to be
            taken, by input name.
        values: Numbers that inputs of one element are compared with, by input name.
        words: Texts that the model knows, for inputs of text.
        seed: The first case's; each further case has the next one.

    Raises:
        UsageError: A shape that is not known, or a hint for a name that does not exist.
    """
    specs, sizes, bounds = tuple(specs), dict(sizes or {}), dict(bounds or {})
    _refuse_unknown("dimension", sizes, _dynamic(specs))
    _refuse_unknown("input", bounds, [spec.name for spec in specs])
    for name, chosen in sizes.items():
        if not chosen or min(chosen) < 1:
            raise UsageError(f"sizes of dimension {name!r} must be positive, not {list(chosen)}")
    choices = {name: sizes.get(name) or _usual(name, specs) for name in _dynamic(specs)}
    ways = _ways({n: v for n, v in (values or {}).items() if n not in bounds})
    count = max([2, len(ways), *map(len, choices.values())])
    empty = Case({}, seed, {}, specs, frozenset(sizes), bounds, ranges or {}, words=tuple(words))
    return [
        empty.made_again(
            seed=seed + index,
            dims={name: found[index % len(found)] for name, found in choices.items()},
            values=ways[index % len(ways)],
        )
        for index in range(count)
    ]


def _ways(values: Values) -> list[dict[str, float | bool]]:
    """Which numbers the inputs have in each case: all combinations, as long as these are few."""
    combined = list(itertools.product(*values.values()))
    if len(combined) > MOST_WAYS:
        # Each number once or more, in an order of its own for each input.
        longest = max(map(len, values.values()))
        columns = [
            [found[(k * (place + 1)) % len(found)] for k in range(longest)]
            for place, found in enumerate(values.values())
        ]
        combined = list(zip(*columns, strict=True))
    return [
        {name: number for name, number in zip(values, way, strict=True) if number is not None}
        for way in combined
    ]


def read_case(path: Path) -> Case:
    """Inputs that somebody gives, from an .npz file with one array for each input.

    Raises:
        UsageError: There is no such file.
        UnsafeInput: It is no .npz file, or holds something else than plain arrays.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise UnsafeInput(f"{path}: a single array, not an .npz file")
        with loaded as file:
            return Case({name: file[name] for name in file.files})
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnsafeInput(f"{path}: not an .npz file of plain arrays: {error}") from error


def _refuse_unknown(kind: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := [name for name in given if name not in known]:
        raise UsageError(
            f"no {kind} is called {unknown[0]!r}", fix=f"it has: {', '.join(known) or 'none'}"
        )


def _dynamic(specs: Sequence[TensorSpec]) -> list[str]:
    """Names of dynamic dimensions in the order of their first use."""
    names = (d for spec in specs for d in spec.dimensions() if isinstance(d, str))
    return list(dict.fromkeys(names))


def _is_batch(name: str, specs: Sequence[TensorSpec]) -> bool:
    if BATCH.fullmatch(name):
        return True
    axes = [s.dimensions().index(name) for s in specs if name in s.dimensions()]
    ranks = [len(s.dimensions()) for s in specs if name in s.dimensions()]
    # The only axis of a vector is its length.
    return max(axes) == 0 and min(ranks) > 1


def _kind(name: str, specs: Sequence[TensorSpec]) -> tuple[int, int]:
    """The sizes that are usual for a dimension, by where it is used."""
    if _is_batch(name, specs):
        return BATCH_SIZES
    image = any(
        name in spec.dimensions()[2:] and len(spec.dimensions()) == 4 and _is_real(spec)
        for spec in specs
    )
    return IMAGE_SIZES if image else OTHER_SIZES


def _is_real(spec: TensorSpec) -> bool:
    return spec.dtype == "uint8" or "float" in spec.dtype


def _usual(name: str, specs: Sequence[TensorSpec]) -> tuple[int, ...]:
    kind = _kind(name, specs)
    if kind is BATCH_SIZES:
        return kind
    alike = [other for other in _dynamic(specs) if _kind(other, specs) is kind]
    return tuple(size + STEP_BETWEEN_NAMES * alike.index(name) for size in kind)


def _arrays(case: Case) -> Arrays:
    random = np.random.default_rng(case.seed)
    arrays: Arrays = {}
    for spec in case.specs:
        shape = tuple(case.dims[d] if isinstance(d, str) else d for d in spec.dimensions())
        if math.prod(shape) > MOST_ELEMENTS:
            raise UsageError(
                f"input {spec.name} {list(shape)} is too large to be made up",
                fix="say smaller sizes with --size, or give --inputs in.npz",
            )
        if "optional" in spec.kind and (case.seed or 0) % 2:
            continue
        if "sequence" not in spec.kind:
            arrays[spec.name] = _array(random, spec, shape, case)
            continue
        # Sequences of different lengths, as infer.py names what is in them.
        for position in range(2 + (case.seed or 0) % 2):
            arrays[f"{spec.name}[{position}]"] = _array(random, spec, shape, case)
    return arrays


def _array(
    random: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...], case: Case
) -> npt.NDArray[Any]:
    if spec.dtype == "string":
        words = (*case.words, *WORDS)
        return np.asarray(np.asarray(words, str)[random.integers(0, len(words), shape)])
    dtype = element_type(spec.dtype).numpy
    bounds = case.bounds.get(spec.name)
    if spec.name in case.values:
        return np.full(shape, case.values[spec.name]).astype(dtype)
    if dtype.kind == "b":
        return np.asarray(random.integers(0, 2, shape)).astype(dtype)
    if dtype.kind not in "iu" and dtype.name not in ("int4", "uint4"):
        return _floats(random, shape, dtype, bounds)
    if bounds is None and MASK.search(spec.name):
        mask = np.asarray(random.integers(0, 2, shape))
        # A row that masks everything out has no answer.
        np.atleast_1d(mask)[..., :1] = 1
        return mask.astype(dtype)
    steps = _steps(spec, case)
    if bounds is None and steps:
        return np.asarray(random.integers(1, steps + 1, shape)).astype(dtype)
    if bounds is None and spec.name in case.ranges:
        known = case.ranges[spec.name]
        return np.asarray(random.integers(*known, shape, endpoint=True)).astype(dtype)
    low, high = bounds or _integer_bounds(dtype, case.highest)
    return np.asarray(random.integers(int(low), int(high), shape)).astype(dtype)


def _steps(spec: TensorSpec, case: Case) -> int:
    """How long sequences are at most, for an input that has their lengths; 0 for all others."""
    for other in case.specs if len(spec.dimensions()) == 1 else ():
        if spec.name == f"{other.name}{LENGTHS}" and len(other.dimensions()) > 1:
            size = other.dimensions()[1]
            return case.dims[size] if isinstance(size, str) else size
    return 0


def _integer_bounds(dtype: np.dtype[Any], highest: int) -> tuple[int, int]:
    if dtype.kind in "iu" and dtype.itemsize == 1:
        info = np.iinfo(dtype)
        return int(info.min), int(info.max) + 1
    return (0, highest) if dtype.kind in "iu" else (0, 8)


def _floats(
    random: np.random.Generator,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    bounds: tuple[float, float] | None,
) -> npt.NDArray[Any]:
    if bounds is not None:
        return np.asarray(random.uniform(*bounds, shape)).astype(dtype)
    # A scalar would come as a Python float.
    values = np.asarray(random.standard_normal(shape))
    if dtype.kind == "c":
        values = np.asarray(values + 1j * random.standard_normal(shape))
    return np.asarray(values, dtype)
