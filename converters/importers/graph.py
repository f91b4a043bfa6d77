"""An ONNX graph in the making: what the importers of frameworks' own programs share.

A `Graph` has nodes and initialisers. A `Step` is one operator of a program that becomes nodes: each importer says what
its operators look like in a class of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from converters.dtypes import BY_NAME, ElementType
from converters.errors import UnsafeInput

Array: TypeAlias = npt.NDArray[Any]

OPSET = 20
IR_VERSION = 9
INT64 = BY_NAME["int64"]

# Of constants that are computed here: shapes, axes, sizes. Larger ones are left to the graph.
LARGEST_CONSTANT = 4096
LARGEST_RANK = 32
# What a program may have made of it, beside its parameters.
MOST_BYTES = 512 << 20
NODE_BYTES = 512
INT_LIMIT = 1 << 62

# Names of dynamic dimensions: those of images by their meaning, others by their place.
BATCH = "N"
IMAGE = {3: ("N", "C", "L"), 4: ("N", "C", "H", "W"), 5: ("N", "C", "D", "H", "W")}


class Refusal(Exception):
    """An operator that is known, used in a way that is not: the attribute and its value."""


@dataclass(frozen=True)
class Value:
    """What a variable is in ONNX.

    Attributes:
        name: The ONNX value.
        kind: Its element type, as declared.
        dims: Its dimensions as declared, -1 for any size.
        array: Its elements, where they are known and few.
    """

    name: str
    kind: ElementType | None
    dims: tuple[int, ...] | None
    array: Array | None = field(default=None, compare=False)

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions, -1 for any size."""
        if self.dims is None:
            raise Refusal(f"{self.name!r} is no dense tensor")
        return self.dims

    @property
    def type(self) -> ElementType:
        """Its element type, which ONNX has too."""
        if self.kind is None or self.kind.onnx is None:
            raise Refusal(f"{self.name!r} has an element type that ONNX does not have")
        return self.kind

    def size(self, axis: int) -> int | None:
        """A dimension; None where any size is possible."""
        size = self.shape[axis]
        return None if size < 0 else size


# A list of integers: known, or the name of a one-dimensional int64 value.
Integers: TypeAlias = "list[int] | str"


class Graph:
    """Nodes, initialisers, and the present value of each variable."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: dict[str, onnx.TensorProto] = {}
        self.values: dict[str, Value] = {}
        self._taken: dict[str, int] = {}
        self._size = 0
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def fresh(self, wanted: str) -> str:
        """A name that nothing has yet: the one wanted, or it with a number."""
        name = wanted
        while name in self._taken:
            self._taken[wanted] += 1
            name = f"{wanted}__{self._taken[wanted]}"
        self._taken[name] = 0
        return name

    def spend(self, size: int) -> None:
        """Count what is made here: a small program could ask for very much.

        Raises:
            UnsafeInput: It is too much.
        """
        self._size += size
        if self._size > MOST_BYTES:
            raise UnsafeInput(f"{self.where}: constants and nodes of more than {MOST_BYTES} bytes")

    def constant(self, array: Array, hint: str = "constant") -> str:
        """An initialiser with these elements; equal ones are shared."""
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            self.spend(array.nbytes + NODE_BYTES)
            name = self.fresh(hint)
            self.initialisers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
            # It makes a vector of what has no dimensions.
            del self.initialisers[name].dims[:]
            self.initialisers[name].dims.extend(array.shape)
            self._constants[key] = name
        return self._constants[key]

    def node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Add a node; its name is that of its first output."""
        self.spend(NODE_BYTES)
        self.nodes.append(helper.make_node(kind, inputs, outputs, outputs[0], **attributes))

    @contextmanager
    def within(self) -> Iterator[list[onnx.NodeProto]]:
        """Collect the nodes that are added meanwhile: those of a sub-graph."""
        outer, self.nodes = self.nodes, []
        try:
            yield self.nodes
        finally:
            self.nodes = outer

    def pruned(self, wanted: Sequence[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Nodes and initialisers that the wanted values are computed from."""
        kept, needed = needed_for(self.nodes, wanted)
        tensors = [tensor for name, tensor in self.initialisers.items() if name in needed]
        return kept, tensors


class Step:
    """One operator of a program, for the function that turns it into nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @property
    def hint(self) -> str:
        """What names of values begin with."""
        raise NotImplementedError

    def refuse(self, reason: str) -> NoReturn:
        """End with a reason why this use of the operator is not supported."""
        raise Refusal(reason)

    def malformed(self, what: str) -> NoReturn:
        """End because the program contradicts itself."""
        raise UnsafeInput(f"{self.graph.where}: {self.hint!r}: {what}")

    def axis(self, axis: int, rank: int) -> int:
        """An axis that counts from the front."""
        if not -rank <= axis < max(rank, 1):
            self.malformed(f"axis {axis} of a tensor of {rank} dimensions")
        return axis + rank if axis < 0 else axis

    def vector(self, numbers: Sequence[int]) -> str:
        """A constant: one-dimensional, int64."""
        return self.graph.constant(np.array(numbers, np.int64).reshape(-1))

    def scalar(self, number: float, kind: ElementType) -> str:
        """A constant without dimensions; integers are cut off as C++ does."""
        if not np.issubdtype(kind.numpy, np.inexact) and kind.numpy.kind in "iu":
            if not math.isfinite(number):
                self.refuse(f"{number} for {kind.name}")
            limits = np.iinfo(kind.numpy)
            number = min(max(int(number), int(limits.min)), int(limits.max))
        return self.graph.constant(np.array(number).astype(kind.numpy))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; returns its name."""
        (name,) = self.nodes(kind, *inputs, outputs=1, **attributes)
        return name

    def nodes(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs; returns their names."""
        names = [self.graph.fresh(f"{self.hint}/{kind}") for _ in range(outputs)]
        self.graph.node(kind, inputs, names, **attributes)
        return names

    def dims(self, name: str, start: int = 0, end: int | None = None) -> str:
        """Dimensions of an ONNX value, from one axis to another."""
        more = {} if end is None else {"end": end}
        return self.node("Shape", name, start=start, **more)

    def cast(self, name: str, kind: ElementType, to: ElementType) -> str:
        """An ONNX value in another element type."""
        return name if kind == to else self.node("Cast", name, to=to.onnx)


def symbols(dims: tuple[int, ...], number: int) -> list[int | str]:
    """Dimensions with names for those of any size.

    The first dimension is the batch, of all inputs; the others are of the input with that number alone, until
    `sizes.py` finds that they have to be equal.
    """
    known = IMAGE.get(len(dims), (BATCH, *(f"D{axis}" for axis in range(1, len(dims)))))
    suffix = f"_{number}" if number else ""
    return [
        size if size >= 0 else (BATCH if axis == 0 else known[axis] + suffix)
        for axis, size in enumerate(dims)
    ]


def graphs_of(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs within a node: branches, the body of a loop."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def needed_for(
    nodes: Sequence[onnx.NodeProto], wanted: Sequence[str]
) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that the wanted values are computed from, and all values that are read on the way."""
    needed = set(wanted)
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            for inner in graphs_of(node):
                needed.update(needed_for(inner.node, [one.name for one in inner.output])[1])
            kept.append(node)
    return kept[::-1], needed


def names_read(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Names of what is read, by nodes within nodes too."""
    for node in nodes:
        yield from node.input
        for inner in graphs_of(node):
            yield from names_read(inner.node)
            # What a branch returns may be made outside of it.
            yield from (one.name for one in inner.output)
