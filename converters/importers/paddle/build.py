"""What an operator's function sees of a program: a `Call`, its inputs, attributes and outputs, each checked where it is
asked for.

A `Graph` knows which ONNX value a variable has at the moment: programs may write a variable twice, ONNX may not.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeAlias

import numpy as np

from converters.checkpoints.paddle_program import BY_NUMBER
from converters.dtypes import BY_NAME, ElementType
from converters.errors import UnsafeInput, UnsupportedError
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
from converters.importers.paddle.program import Extra, Operator, Slots
from converters.importers.paddle.ragged import Lengths


@dataclass(frozen=True)
class Tensors(Value):
    """A list of tensors, which grows when the model runs: a sequence in ONNX, `kind` that of each.

    Attributes:
        count: How many there are, where that is known.
    """

    count: int | None = None


@dataclass(frozen=True)
class Stacked(Tensors):
    """A list that a loop has made, an element in each round: one tensor in ONNX, with its rounds first.

    Attributes:
        elements: How many dimensions each has.
    """

    elements: int = 0


@dataclass(frozen=True)
class Length(Value):
    """How many tensors a list has.

    Attributes:
        of: The list, as it is then.
    """

    of: str = ""


@dataclass(frozen=True)
class Counting(Value):
    """Numbers at the same distance, as loops count.

    Attributes:
        start: The first one, without dimensions.
        step: How far the next one is, where that is known.
    """

    start: str = ""
    step: int | None = None


class Call(Step):
    """One operator of the program, for the function that turns it into nodes."""

    def __init__(
        self,
        graph: Graph,
        operator: Operator,
        declared: Mapping[str, tuple[ElementType | None, tuple[int, ...] | None]],
        names: Mapping[str, str],
        lengths: Mapping[str, Lengths],
        wanted: Container[str],
    ) -> None:
        """Prepare a call.

        Args:
            graph: What nodes are added to.
            operator: The operator.
            declared: Element type and dimensions of variables, as the program says.
            names: ONNX names for the variables that this operator writes.
            lengths: Of variables that are rows of sequences.
            wanted: Variables that something reads.
        """
        super().__init__(graph)
        self.operator = operator
        self._declared = declared
        self._names = names
        self._lengths = lengths
        self._wanted = wanted

    def of_parts(self, operator: Operator, parts: Mapping[str, ElementType]) -> Call:
        """The call for one part of complex numbers: it declares the part's type, and names of its own."""
        declared = {}
        for name in operator.writes():
            kind, dims = self._declared.get(name, (None, None))
            declared[name] = (parts.get(kind.name, kind) if kind else None, dims)
        names = {name: self.graph.fresh(name) for name in operator.writes()}
        return Call(self.graph, operator, declared, names, self._lengths, self._wanted)

    def is_declared(self, variable: str, kinds: Container[str]) -> bool:
        """Whether a variable is declared to be of one of these types."""
        kind, _ = self._declared.get(variable, (None, None))
        return kind is not None and kind.name in kinds

    @property
    def hint(self) -> str:
        """The first variable that it writes."""
        return next(iter(self._names.values()), self.operator.type)

    def malformed(self, what: str) -> NoReturn:
        """End because the program contradicts itself."""
        raise UnsafeInput(f"{self.graph.where}: {self.operator.type!r}: {what}")

    # ***** Inputs *****

    def values(self, slot: str) -> list[Value]:
        """All variables of a slot."""
        found = []
        for name in _of(self.operator.inputs, slot):
            if name not in self.graph.values:
                self.malformed(f"{slot} is {name[:200]!r}, which nothing computes")
            found.append(self.graph.values[name])
        return found

    def maybe(self, slot: str) -> Value | None:
        """The variable of a slot, if there is one."""
        found = self.values(slot)
        if len(found) > 1:
            self.malformed(f"{slot} has {len(found)} variables")
        return found[0] if found else None

    def value(self, slot: str = "X") -> Value:
        """The one variable of a slot."""
        found = self.maybe(slot)
        if found is None:
            self.malformed(f"nothing is given for {slot}")
        return found

    def has(self, slot: str) -> bool:
        """Whether a slot has any variable."""
        return bool(_of(self.operator.inputs, slot))

    def lengths(self, slot: str) -> Lengths:
        """The sequences that the variable of a slot is made of; refused where it is no such."""
        found = self._lengths.get(next(iter(_of(self.operator.inputs, slot)), ""))
        if found is None:
            self.refuse(f"{slot} without levels of detail (LoD)")
        return found

    # ***** Attributes *****

    def _attribute(self, name: str, kinds: tuple[type, ...], default: Any) -> Any:
        said = self.operator.attributes.get(name, default)
        if said is None:
            self.malformed(f"it lacks the attribute {name!r}")
        if isinstance(said, Extra):
            self.refuse(f"{name} is {said.form}")
        if not isinstance(said, kinds) or (isinstance(said, bool) and bool not in kinds):
            self.malformed(f"attribute {name!r} is {str(said)[:100]}")
        return said

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer; without a default it must be there."""
        said: int = self._attribute(name, (int,), default)
        if not -INT_LIMIT < said < INT_LIMIT:
            # Paddle says "to the end" with the largest numbers.
            said = INT_LIMIT if said > 0 else -INT_LIMIT
        return said

    def positive(self, name: str, default: int | None = None) -> int:
        """An integer of at least 1; without a default it must be there."""
        said = self.integer(name, default)
        if said < 1:
            self.malformed(f"{name} = {said}")
        return said

    def real(self, name: str, default: float | None = None) -> float:
        """A number; without a default it must be there."""
        return float(self._attribute(name, (int, float), default))

    def flag(self, name: str, default: bool = False) -> bool:
        """A flag; older programs have numbers for some."""
        return bool(self._attribute(name, (bool, int), default))

    def text(self, name: str, default: str | None = None) -> str:
        """A text; without a default it must be there."""
        said: str = self._attribute(name, (str,), default)
        return said

    def numbers(self, name: str) -> list[Any]:
        """A list of numbers; empty where it is not there."""
        said = self._attribute(name, (tuple,), ())
        if not all(isinstance(one, (bool, int, float)) for one in said):
            self.malformed(f"attribute {name!r} is not a list of numbers")
        return [*said]

    def ints(self, name: str) -> list[int]:
        """A list of integers, empty where it is not there; a lone one is a list too."""
        if isinstance(self.operator.attributes.get(name), int):
            return [self.integer(name)]
        said = self.numbers(name)
        if not all(isinstance(one, int) for one in said):
            self.malformed(f"attribute {name!r} is not a list of integers")
        return [min(max(int(one), -INT_LIMIT), INT_LIMIT) for one in said]

    def kind(self, name: str) -> ElementType | None:
        """An element type; None where none is said."""
        said = self.operator.attributes.get(name)
        if isinstance(said, ElementType):
            found = said
        elif isinstance(said, int) and not isinstance(said, bool) and said >= 0:
            if said not in BY_NUMBER:
                self.refuse(f"{name} = {said}")
            found = BY_NUMBER[said]
        else:
            return None
        if found.onnx is None:
            self.refuse(f"{name} = {found.name}")
        return found

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse an attribute that has any other value than these; the first is the default."""
        said = self.operator.attributes.get(name, allowed[0])
        if said not in allowed:
            self.refuse(f"{name} = {str(said)[:100]}")

    # ***** Integers that may be attributes or tensors *****

    def known(self, name: str, *slots: str) -> list[int]:
        """Integers of the first slot that is given, else of an attribute.

        They must be known: refused where they are computed when the model runs.
        """
        found = self.integers(name, *slots)
        if isinstance(found, str):
            given = next(slot for slot in slots if self.has(slot))
            self.refuse(f"{given} is computed when the model runs")
        return found

    def integers(self, name: str, *slots: str) -> Integers:
        """Integers of the first slot that is given, else of an attribute."""
        for slot in slots:
            given = self.values(slot)
            if not given:
                continue
            if all(value.array is not None for value in given):
                return [one for value in given for one in self.whole(value, slot)]
            parts = [self.flat(value) for value in given]
            return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)
        return self.ints(name)

    def length(self, *slots: str) -> int:
        """How many integers the first slot has that is given."""
        for slot in slots:
            given = self.values(slot)
            if given:
                sizes = [1 if value.rank == 0 else value.size(0) for value in given]
                if None in sizes:
                    self.refuse(f"{slot} has any number of elements")
                return sum(size for size in sizes if size is not None)
        return 0

    def lone(self, value: Value, kind: ElementType) -> str:
        """A value of one element without dimensions, in an element type."""
        if value.array is not None and value.array.size == 1:
            return self.graph.constant(value.array.reshape(()).astype(kind.numpy))
        alone = (
            value.name if value.dims == () else self.node("Reshape", value.name, self.vector([]))
        )
        return self.cast(alone, value.type, kind)

    def number(self, name: str, slot: str, default: int | None = None) -> int:
        """One integer of a slot, else of an attribute; it must be known."""
        if not self.has(slot):
            return self.integer(name, default)
        found = self.known(name, slot)
        if len(found) != 1:
            self.malformed(f"{slot} has {len(found)} elements, not one")
        return found[0]

    def whole(self, value: Value, slot: str) -> list[int]:
        """Elements of a known value, which must be whole numbers."""
        array = value.array
        if array is None:
            self.refuse(f"{slot} is computed when the model runs")
        flat = np.asarray(array, np.float64 if array.dtype.kind == "f" else np.int64).reshape(-1)
        if flat.dtype.kind == "f" and not (
            np.isfinite(flat).all() and (np.abs(flat) < INT_LIMIT).all()
        ):
            self.malformed(f"{slot} is not made of integers")
        return [min(max(int(one), -INT_LIMIT), INT_LIMIT) for one in flat.tolist()]

    def flat(self, value: Value) -> str:
        """A value as a one-dimensional int64 value."""
        if value.array is not None:
            return self.vector(self.whole(value, value.name))
        name = value.name
        if value.type != INT64:
            name = self.node("Cast", name, to=INT64.onnx)
        # Older programs declare [1] for what has no dimensions today.
        plain = value.rank == 1 and value.shape != (1,)
        return name if plain else self.node("Reshape", name, self.vector([-1]))

    def as_vector(self, numbers: Integers) -> str:
        """Integers as a one-dimensional int64 value."""
        return numbers if isinstance(numbers, str) else self.vector(numbers)

    # ***** Constants and nodes *****

    # ***** Outputs *****

    def outputs(self, slot: str) -> list[str]:
        """Variables that a slot writes."""
        return [name for name in _of(self.operator.outputs, slot) if name in self._names]

    def wants(self, slot: str) -> bool:
        """Whether something reads an output."""
        return any(name in self._wanted for name in self.outputs(slot))

    def declared(self, slot: str) -> tuple[int, ...] | None:
        """The dimensions that the program declares for an output."""
        names = _of(self.operator.outputs, slot)
        return self._declared.get(names[0], (None, None))[1] if names else None

    def out_kind(self, slot: str) -> ElementType | None:
        """The element type that the program declares for an output."""
        names = _of(self.operator.outputs, slot)
        return self._declared.get(names[0], (None, None))[0] if names else None

    def put(self, slot: str, kind: str, *inputs: str, **attributes: Any) -> None:
        """Add the node that computes the one variable of an output."""
        self.puts([slot], kind, *inputs, **attributes)

    def puts(self, slots: Sequence[str], kind: str, *inputs: str, **attributes: Any) -> None:
        """Add the node that computes the one variable of each of these outputs."""
        names: list[str] = []
        for slot in slots:
            variables = self.outputs(slot)
            if len(variables) > 1:
                self.malformed(f"{slot} writes {len(variables)} variables")
            if variables:
                names.append(self._bind(variables[0]))
            else:
                names.append(self.graph.fresh(f"{self.operator.type}/{slot}"))
        self.graph.node(kind, inputs, names, **attributes)

    def put_all(self, slot: str, kind: str, *inputs: str, **attributes: Any) -> None:
        """Add the node that computes all variables of an output."""
        names = [self._bind(variable) for variable in self.outputs(slot)]
        self.graph.node(kind, inputs, names, **attributes)

    def put_at(self, slot: str, index: int, kind: str, *inputs: str, **attributes: Any) -> None:
        """Add the node that computes one of the variables of an output."""
        self.graph.node(kind, inputs, [self._bind(self.outputs(slot)[index])], **attributes)

    def redeclare(self, slot: str, dims: tuple[int, ...]) -> None:
        """Say the dimensions of an output that was put, where the program's declaration is outdated."""
        for variable in self.outputs(slot):
            self.graph.values[variable] = replace(self.graph.values[variable], dims=dims)

    def retype(self, slot: str, kind: ElementType) -> None:
        """Say the element type of an output that was put, where the program's declaration is wrong."""
        for variable in self.outputs(slot):
            self.graph.values[variable] = replace(self.graph.values[variable], kind=kind)

    def put_list(self, slot: str, count: int | None, kind: str, *inputs: str, **more: Any) -> None:
        """Add the node that computes a list of tensors.

        Args:
            slot: The output.
            count: How many there are, where that is known.
            kind: The node, with its inputs and attributes.
            inputs: Its inputs.
            more: Its attributes.
        """
        self.put(slot, kind, *inputs, **more)
        for variable in self.outputs(slot):
            made = self.graph.values[variable]
            self.graph.values[variable] = Tensors(made.name, made.kind, None, count=count)

    def before(self, slot: str) -> Value | None:
        """What the variable of an output was until now."""
        return self.graph.values.get(next(iter(self.outputs(slot)), ""))

    def list_of(self, slot: str) -> Tensors:
        """The list of a slot."""
        found = self.value(slot)
        if not isinstance(found, Tensors):
            self.malformed(f"{slot} is no list of tensors")
        return found

    def know(self, slot: str, array: Array) -> None:
        """Say the elements of an output that was put; a parameter is not lost for it."""
        for variable in self.outputs(slot):
            known = replace(self.graph.values[variable], dims=array.shape, array=array)
            self.graph.values[variable] = known

    def put_constant(self, slot: str, array: Array) -> None:
        """The variable of an output is known now."""
        variables = self.outputs(slot)
        if len(variables) != 1:
            self.malformed(f"{slot} writes {len(variables)} variables")
        kind = BY_NAME.get(array.dtype.name)
        name = self.graph.constant(array)
        small = array if array.size <= LARGEST_CONSTANT else None
        self.graph.values[variables[0]] = Value(name, kind, array.shape, small)

    def put_variable(self, variable: str, kind: str, *inputs: str, **attributes: Any) -> None:
        """Add the node that computes a variable."""
        self.graph.node(kind, inputs, [self._bind(variable)], **attributes)

    def _bind(self, variable: str) -> str:
        kind, dims = self._declared.get(variable, (None, None))
        self.graph.values[variable] = Value(self._names[variable], kind, dims)
        return self._names[variable]


def _of(slots: Slots, slot: str) -> tuple[str, ...]:
    """The variables of a slot; operators that came late have slots in small letters."""
    return slots[slot] if slot in slots else slots.get(slot.lower(), ())


def unsupported_type(where: str, name: str) -> UnsupportedError:
    """An input, output or parameter of an element type that ONNX does not have."""
    return UnsupportedError(
        f"{where}: {name[:200]!r} has an element type that ONNX does not have",
        fix="save the model in float32",
    )


def complex_type(where: str, name: str) -> UnsupportedError:
    """An input, output or parameter of complex numbers."""
    return UnsupportedError(
        f"{where}: {name[:200]!r} is complex",
        fix="let the model take and give pairs of real numbers: paddle.as_complex, paddle.as_real",
    )


# What an operator of the table is.
Rule: TypeAlias = Callable[[Call], None]
