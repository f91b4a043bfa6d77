"""Values of a MindIR program while it becomes a graph, and what an operator's function sees: a `Call`.

A value is a tensor (`Value`), a number that is known, one that the model computes (`Scalar`), a text, None, a tuple of
values, a graph to call (`Closure`, `Choice`), or what no tensor is made of (`Opaque`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import (
    INT64,
    INT_LIMIT,
    LARGEST_CONSTANT,
    Array,
    Graph,
    Integers,
    Step,
    Value,
)
from converters.importers.mindspore.program import Form, Forms, Opaque, Primitive

BOOL = BY_NAME["bool"]
# Tuples and lists of more are refused.
MOST_PARTS = 4096
FLOAT = BY_NAME["float32"]
# Marks of side effects: `UMONAD`, `IOMONAD` of `AttributeProto.AttributeType`.
MONADS = (23, 24)
# Element types by MindSpore's `TypeId`, which attributes have. Source: mindapi/base/type_id.h.
TYPE_IDS = {
    30: "bool",
    32: "int8",
    33: "int16",
    34: "int32",
    35: "int64",
    37: "uint8",
    38: "uint16",
    39: "uint32",
    40: "uint64",
    42: "float16",
    43: "float32",
    44: "float64",
    45: "bfloat16",
    51: "complex64",
    52: "complex128",
}


@dataclass(frozen=True)
class Scalar:
    """A number that the model computes.

    Attributes:
        name: An ONNX value with one element, of one dimension.
        kind: Its element type.
        size: The ONNX value and axis whose size it is a multiple of, plus something, where that is known.
        factor: That multiple.
        more: What is added.
    """

    name: str
    kind: ElementType
    size: tuple[str, int] | None = None
    factor: int = 1
    more: int = 0


@dataclass(frozen=True)
class Closure:
    """A graph or primitive with its first arguments."""

    called: str | Primitive
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One of two closures, which the model decides."""

    condition: str
    yes: Any
    no: Any


@dataclass(frozen=True)
class Again:
    """The next round of a loop, of the graph that is its head, with what it begins with."""

    head: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Refused:
    """No value: what should have made it was refused, which is told once."""


@dataclass(frozen=True)
class Raised:
    """No value: what comes here ends the program with an error."""


Anything: TypeAlias = Any
# What an operator's function returns: names of ONNX values are taken as what the program declares.
Result: TypeAlias = Any
# What an operator's function is, and one of its arguments: a value, a number, a string or a tuple.
Rule: TypeAlias = Callable[..., Any]
Given: TypeAlias = Any


class Making(Graph):
    """A graph in the making.

    Attributes:
        may_be_empty: Whether it has a tensor whose size depends on values: it may be empty.
    """

    may_be_empty = False


class Call(Step):
    """One operator of the program, for the function that turns it into nodes."""

    graph: Making

    def __init__(self, graph: Making, primitive: Primitive, form: Forms, scope: str) -> None:
        """Prepare a call.

        Args:
            graph: What nodes are added to.
            primitive: The operator.
            form: What its result is declared to be.
            scope: The cell that it belongs to, `/encoder/layers/0`, or nothing.
        """
        super().__init__(graph)
        self.primitive = primitive
        self.form = form
        self.scope = scope

    @property
    def hint(self) -> str:
        """The cell that it belongs to."""
        return self.scope

    def malformed(self, what: str) -> NoReturn:
        """End because the program contradicts itself."""
        super().malformed(f"{self.primitive.type}: {what}")

    # ***** What is declared *****

    def declared(self, index: int | None = None) -> Form:
        """The form of the result, or of one of several."""
        form = self.form
        if index is not None:
            form = form[index] if isinstance(form, tuple) and index < len(form) else Opaque()
        if not isinstance(form, Form):
            self.refuse("it does not say what its result is")
        return form

    def out_kind(self, index: int | None = None) -> ElementType:
        """The element type of the result."""
        kind = self.declared(index).kind
        if kind is None or kind.onnx is None:
            self.refuse("a result of an element type that ONNX does not have")
        return kind

    # ***** What is given *****

    def tensor(self, given: Anything, kind: ElementType | None = None) -> Value:
        """A value as a tensor, of an element type that is wanted."""
        if isinstance(given, Value):
            if kind is None or given.type == kind:
                return given
            name = self.node("Cast", given.name, to=kind.onnx)
            array = None if given.array is None else given.array.astype(kind.numpy)
            return Value(name, kind, given.dims, array)
        if isinstance(given, Scalar):
            name = self.node("Squeeze", given.name, self.vector([0]))
            wanted = kind or given.kind
            return Value(self.cast(name, given.kind, wanted), wanted, ())
        if not isinstance(given, (bool, int, float)):
            self.refuse(f"{_said(given)} where there should be a tensor")
        wanted = kind or (BOOL if isinstance(given, bool) else _kind_of(given))
        return self.known(np.array(given).astype(wanted.numpy))

    def name(self, given: Anything, kind: ElementType | None = None) -> str:
        """The ONNX value of a tensor."""
        return self.tensor(given, kind).name

    def known(self, array: Array) -> Value:
        """A tensor that is known now."""
        kind = BY_NAME.get(array.dtype.name)
        small = array if array.size <= LARGEST_CONSTANT else None
        return Value(self.graph.constant(array), kind, array.shape, small)

    def whole(self, given: Anything, what: str) -> int:
        """An integer that is known."""
        if isinstance(given, Value) and given.array is not None and given.array.size == 1:
            given = given.array.reshape(-1)[0].item()
        if isinstance(given, (Scalar, Value)):
            self.refuse(f"{what} is computed when the model runs")
        if isinstance(given, float) and given.is_integer():
            given = int(given)
        if not isinstance(given, int):
            self.malformed(f"{what} is {_said(given)}")
        return min(max(int(given), -INT_LIMIT), INT_LIMIT)

    def real(self, given: Anything, what: str) -> float:
        """A number that is known."""
        if isinstance(given, Value) and given.array is not None and given.array.size == 1:
            given = given.array.reshape(-1)[0].item()
        if isinstance(given, (Scalar, Value)):
            self.refuse(f"{what} is computed when the model runs")
        if not isinstance(given, (bool, int, float)):
            self.malformed(f"{what} is {_said(given)}")
        return float(given)

    def ints(self, given: Anything, what: str) -> list[int]:
        """Integers that are known; a lone one is a list too."""
        found = self.integers(given, what)
        if isinstance(found, str):
            self.refuse(f"{what} is computed when the model runs")
        return found

    def integers(self, given: Anything, what: str) -> Integers:
        """Integers: known, or the name of a one-dimensional int64 value."""
        if isinstance(given, Value):
            if given.array is not None and given.array.dtype.kind in "iu":
                return [int(one) for one in given.array.reshape(-1)]
            name = self.cast(given.name, given.type, INT64)
            return name if given.rank == 1 else self.node("Reshape", name, self.vector([-1]))
        parts = given if isinstance(given, tuple) else (given,)
        if all(isinstance(one, int) for one in parts):
            return [min(max(int(one), -INT_LIMIT), INT_LIMIT) for one in parts]
        if any(isinstance(one, Opaque) for one in parts):
            self.refuse(f"{what} is {_said(given)}")
        if not any(isinstance(one, (Scalar, Value)) for one in parts):
            self.malformed(f"{what} is {_said(given)}")
        names = [self.row(one, what) for one in parts]
        return names[0] if len(names) == 1 else self.node("Concat", *names, axis=0)

    def row(self, given: Anything, what: str) -> str:
        """A number as a one-dimensional int64 value with one element."""
        if isinstance(given, Scalar):
            return self.cast(given.name, given.kind, INT64)
        if isinstance(given, Value):
            return self.node("Reshape", self.cast(given.name, given.type, INT64), self.vector([1]))
        return self.vector([self.whole(given, what)])

    def as_vector(self, numbers: Integers) -> str:
        """Integers as a one-dimensional int64 value."""
        return numbers if isinstance(numbers, str) else self.vector(numbers)

    def text(self, given: Anything, what: str) -> str:
        """A text."""
        if not isinstance(given, str):
            self.malformed(f"{what} is {_said(given)}")
        return given

    def kind(self, given: Anything) -> ElementType:
        """An element type by its number."""
        name = TYPE_IDS.get(given) if isinstance(given, int) else None
        found = BY_NAME[name] if name else None
        if found is None or found.onnx is None:
            self.refuse(f"element type {_said(given)}")
        return found

    def items(self, given: Anything) -> tuple[Any, ...]:
        """A tuple of values."""
        if not isinstance(given, tuple):
            self.refuse(f"{_said(given)} where there should be a tuple")
        return given

    def only(self, what: str, given: Anything, *allowed: Anything) -> None:
        """Refuse what has any other value than these."""
        if not any(given == one and type(given) is type(one) for one in allowed):
            self.refuse(f"{what} = {_said(given)}")

    def axes(self, given: Anything, rank: int) -> list[int]:
        """Axes that count from the front; none are all."""
        said = [] if given is None else self.ints(given, "axis")
        return [self.axis(one, rank) for one in said] or [*range(rank)]

    def along(self, axis: int, x: Value, more: int = 0) -> int:
        """An axis, which counts from the front where the rank is known: what branches of different ranks give has any.

        Args:
            axis: As it was said.
            x: The tensor.
            more: How many dimensions the result has more.
        """
        return axis if x.dims is None else self.axis(axis, x.rank + more)

    # ***** What is made *****

    def value(self, name: str, index: int | None = None) -> Value:
        """An ONNX value as what the program declares."""
        form = self.declared(index)
        return Value(name, form.kind, form.dims)

    def of_rank(self, name: str, dims: tuple[int, ...], index: int | None = None) -> Value:
        """... or with these dimensions, where the program does not know how many it has."""
        form = self.declared(index)
        return Value(name, form.kind, dims if form.dims is None else form.dims)

    def number(self, name: str, kind: ElementType) -> Scalar:
        """A one-dimensional ONNX value with one element as a number."""
        return Scalar(name, kind)

    def filled(self, shape: Sequence[int], number: float, kind: ElementType) -> str:
        """A constant of a known shape."""
        if any(size < 0 for size in shape) or math.prod(shape) > 1 << 20:
            self.refuse(f"a parameter of the shape {list(shape)} is missing")
        return self.graph.constant(np.full(shape, number, kind.numpy))


def _kind_of(number: float) -> ElementType:
    return INT64 if isinstance(number, int) else FLOAT


def _said(given: Anything) -> str:
    if isinstance(given, (Value, Scalar)):
        return "a computed value"
    if isinstance(given, (Closure, Choice)):
        return "a graph"
    if isinstance(given, Raised):
        return "an error"
    if isinstance(given, Opaque):
        return f"a value of type {given.what}"
    return repr(given)[:100]
