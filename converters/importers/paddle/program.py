"""Programs of Paddle's inference models, read without Paddle: small records, every count checked.

    .pdmodel, __model__    a protobuf `ProgramDesc`: blocks of variables and operators
    .json                  the same in Paddle's new form (PIR); `pir.py` turns it into these records

Operators have the names, slots and attributes of the older form, so that one table serves both. Nothing here
knows what an operator does.

Source: paddle/base/proto/framework_pb2.py (schema of `ProgramDesc`, PaddlePaddle 3.3).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from converters.checkpoints.paddle_program import BY_NUMBER, DENSE_TENSOR
from converters.checkpoints.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    Field,
    expect,
    fields,
    numbers,
    signed,
    text,
)
from converters.checkpoints.tensors import LARGEST_RANK
from converters.dtypes import ElementType
from converters.errors import UnsafeInput

Attribute: TypeAlias = "bool | int | float | str | tuple[Any, ...] | ElementType | Block | Extra"
Slots: TypeAlias = Mapping[str, tuple[str, ...]]

# A program of 100,000 operators has about ten million fields, with what Python's traceback says of each.
MOST_FIELDS = 20_000_000
MOST_OPERATORS = 200_000
MOST_ARGUMENTS = 100_000
# Control flow within control flow.
DEEPEST = 16
# Elements of an attribute: a table that a program carries in itself.
MOST_ELEMENTS = 4_000_000
# What a slot has where there is no variable.
EMPTY = "@EMPTY@"


@dataclass(frozen=True)
class Block:
    """An attribute that is a block of the program: control flow.

    Attributes:
        index: Which one.
    """

    index: int


@dataclass(frozen=True)
class Extra:
    """An attribute of a form that no operator of an inference model has."""

    form: str


@dataclass(frozen=True)
class Variable:
    """A variable, as the program declares it.

    Attributes:
        name: Its name.
        kind: Its element type; None where that is none of ours.
        dims: Its dimensions, -1 for any size; None where it is no dense tensor.
        persistable: Whether it is kept from run to run: parameters are.
        levels: Levels of detail: sequences within sequences.
    """

    name: str
    kind: ElementType | None = None
    dims: tuple[int, ...] | None = None
    persistable: bool = False
    levels: int = 0


@dataclass(frozen=True)
class Body:
    """Operators within an operator: a branch, or a round of a loop.

    Attributes:
        operators: In the order of their execution; they see the variables around them, and may write these anew.
        inputs: Variables that are bound when it begins.
        outputs: Variables that it gives.
    """

    operators: tuple[Operator, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operator:
    """An operator.

    Attributes:
        type: What it is, as Paddle's older form calls it.
        inputs: Variables, by slot.
        outputs: Variables, by slot.
        attributes: By name.
        bodies: What is within it, for control flow.
    """

    type: str
    inputs: Slots = field(default_factory=dict)
    outputs: Slots = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    bodies: tuple[Body, ...] = ()

    def reads(self) -> Iterator[str]:
        """Variables that it reads, and those that what is within it reads or gives."""
        yield from (name for names in self.inputs.values() for name in names)
        for body in self.bodies:
            for operator in body.operators:
                yield from operator.reads()
            yield from body.outputs

    def writes(self) -> Iterator[str]:
        """Variables that it writes, and those that what is within it writes or binds."""
        yield from (name for names in self.outputs.values() for name in names)
        for body in self.bodies:
            yield from body.inputs
            for operator in body.operators:
                yield from operator.writes()


@dataclass(frozen=True)
class Program:
    """A program, its first block.

    Attributes:
        where: What it is called in errors.
        variables: By name.
        operators: In the order of their execution, without feeding and fetching.
        feeds: Variables that are inputs, in order.
        fetches: Name of the output and variable, in order.
    """

    where: str
    variables: Mapping[str, Variable]
    operators: tuple[Operator, ...]
    feeds: tuple[str, ...]
    fetches: tuple[tuple[str, str], ...]


def read_description(view: memoryview, where: str) -> Program:
    """Read a `ProgramDesc`: `blocks = 1`.

    Raises:
        UnsafeInput: It is malformed.
    """
    reader = _Reader(view, where)
    blocks = [reader.block(found) for found in reader.fields(None) if found.number == 1]
    if not blocks:
        raise UnsafeInput(f"{where}: not a program of Paddle", fix="fetch the file again")
    variables = _declared(blocks, where)
    operators = _linked(blocks, where)
    feeds: dict[int, str] = {}
    fetches: dict[int, str] = {}
    body: list[Operator] = []
    for operator in operators:
        if operator.type == "feed":
            _place(feeds, operator, operator.outputs.get("Out", ()), where)
        elif operator.type == "fetch":
            _place(fetches, operator, operator.inputs.get("X", ()), where)
        else:
            body.append(operator)
    ordered = [fetches[column] for column in sorted(fetches)]
    return Program(
        where,
        variables,
        tuple(body),
        tuple(feeds[column] for column in sorted(feeds)),
        tuple((name, name) for name in ordered),
    )


def _declared(
    blocks: Sequence[tuple[dict[str, Variable], list[Operator]]], where: str
) -> dict[str, Variable]:
    """The variables of all blocks: a name is given once."""
    found: dict[str, Variable] = {}
    for variables, _ in blocks:
        for name, variable in variables.items():
            if found.setdefault(name, variable) != variable:
                raise UnsafeInput(f"{where}: {name[:200]!r} is declared in two ways")
    return found


# Control flow -> what is another round's condition, for loops.
_CONTROL = {"conditional_block": "", "while": "Condition"}


def _linked(
    blocks: Sequence[tuple[dict[str, Variable], list[Operator]]], where: str
) -> list[Operator]:
    """The operators of the first block, control flow with what is within it."""
    left = iter(range(MOST_OPERATORS))

    def operators(index: int, depth: int) -> Iterator[Operator]:
        if depth > DEEPEST:
            raise UnsafeInput(f"{where}: control flow more than {DEEPEST} deep")
        for operator in blocks[index][1]:
            if next(left, None) is None:
                raise UnsafeInput(f"{where}: more than {MOST_OPERATORS} operators")
            block = operator.attributes.get("sub_block")
            if operator.type not in _CONTROL or not isinstance(block, Block):
                yield operator
                continue
            if not 0 < block.index < len(blocks):
                raise UnsafeInput(f"{where}: {operator.type!r} without a block")
            goes_on = operator.inputs.get(_CONTROL[operator.type], ())
            body = Body(tuple(operators(block.index, depth + 1)), (), goes_on)
            yield replace(operator, bodies=(body,))

    return list(operators(0, 0))


def _place(columns: dict[int, str], operator: Operator, names: tuple[str, ...], where: str) -> None:
    column = operator.attributes.get("col", 0)
    if len(names) != 1 or not isinstance(column, int) or column < 0 or column in columns:
        raise UnsafeInput(f"{where}: a malformed {operator.type!r}, column {column!r}")
    if names[0] in columns.values() and operator.type == "feed":
        raise UnsafeInput(f"{where}: {names[0][:200]!r} is fed twice")
    columns[column] = names[0]


@dataclass(frozen=True)
class _Reader:
    """A view of a program with what its messages may cost."""

    view: memoryview
    where: str
    budget: Iterator[int] = field(default_factory=lambda: iter(range(MOST_FIELDS)))

    def fields(self, outer: Field | None) -> Iterator[Field]:
        """The fields of a message, or of the whole program."""
        if outer is None:
            return fields(self.view, self.where, budget=self.budget)
        expect(outer, BYTES, self.where)
        return fields(self.view, self.where, outer.start, outer.end, self.budget)

    def text(self, found: Field) -> str:
        return text(self.view, found, self.where)

    def number(self, found: Field, bits: int = 64) -> int:
        return signed(expect(found, VARINT, self.where).value, bits)

    def flag(self, found: Field) -> bool:
        return expect(found, VARINT, self.where).value != 0

    def real(self, found: Field) -> float:
        """A float or a double, by its width."""
        form = {FIXED32: "<f", FIXED64: "<d"}.get(found.wire)
        if form is None:
            raise UnsafeInput(f"{self.where}: field {found.number} is not a float")
        (value,) = struct.unpack(form, self.view[found.start : found.end])
        return float(value)

    def reals(self, found: Field, width: int) -> list[float]:
        """Elements of a repeated float or double field: several if they are packed, else one."""
        if found.wire != BYTES:
            return [self.real(found)]
        if found.value % width:
            raise UnsafeInput(f"{self.where}: field {found.number} is not a list of floats")
        form = f"<{found.value // width}{'f' if width == 4 else 'd'}"
        return list(struct.unpack(form, self.view[found.start : found.end]))

    def block(self, outer: Field) -> tuple[dict[str, Variable], list[Operator]]:
        """A `BlockDesc`: `vars = 3; ops = 4`."""
        variables: dict[str, Variable] = {}
        operators: list[Operator] = []
        for found in self.fields(outer):
            if found.number == 3:
                variable = self.variable(found)
                if variables.setdefault(variable.name, variable) != variable:
                    raise UnsafeInput(f"{self.where}: {variable.name[:200]!r} is declared twice")
            elif found.number == 4:
                operators.append(self.operator(found))
                if len(operators) > MOST_OPERATORS:
                    raise UnsafeInput(f"{self.where}: more than {MOST_OPERATORS} operators")
        return variables, operators

    def variable(self, outer: Field) -> Variable:
        """A `VarDesc`: `name = 1; VarType type = 2; persistable = 3`."""
        name, persistable = "", False
        kind: ElementType | None = None
        dims: tuple[int, ...] | None = None
        levels = 0
        for found in self.fields(outer):
            if found.number == 1:
                name = self.text(found)
            elif found.number == 2:
                kind, dims, levels = self.type(found)
            elif found.number == 3:
                persistable = self.flag(found)
        if not name:
            raise UnsafeInput(f"{self.where}: a variable without a name")
        return Variable(name, kind, dims, persistable, levels)

    def type(self, outer: Field) -> tuple[ElementType | None, tuple[int, ...] | None, int]:
        """A `VarType`: `Type type = 1; DenseTensorDesc dense_tensor = 3`; of that `tensor = 1; level = 2`."""
        form, levels = None, 0
        kind: ElementType | None = None
        dims: tuple[int, ...] = ()
        for found in self.fields(outer):
            if found.number == 1:
                form = self.number(found)
            elif found.number == 3:
                for inner in self.fields(found):
                    if inner.number == 1:
                        kind, dims = self.tensor(inner)
                    elif inner.number == 2:
                        levels = self.number(inner, 32)
        return (kind, dims, levels) if form == DENSE_TENSOR else (None, None, levels)

    def tensor(self, outer: Field) -> tuple[ElementType | None, tuple[int, ...]]:
        """A `TensorDesc`: `data_type = 1; dims = 2`."""
        kind: ElementType | None = None
        dims: list[int] = []
        for found in self.fields(outer):
            if found.number == 1:
                kind = BY_NUMBER.get(self.number(found))
            elif found.number == 2:
                self.extend(dims, map(signed, numbers(self.view, found, self.where)), LARGEST_RANK)
        # Products of unknown sizes are negative too.
        return kind, tuple(max(size, -1) for size in dims)

    def operator(self, outer: Field) -> Operator:
        """An `OpDesc`: `inputs = 1; outputs = 2; type = 3; attrs = 4`."""
        kind = ""
        inputs: dict[str, tuple[str, ...]] = {}
        outputs: dict[str, tuple[str, ...]] = {}
        attributes: dict[str, Attribute] = {}
        for found in self.fields(outer):
            if found.number == 1:
                self.slot(found, inputs)
            elif found.number == 2:
                self.slot(found, outputs)
            elif found.number == 3:
                kind = self.text(found)
            elif found.number == 4:
                self.attribute(found, attributes)
        if not kind:
            raise UnsafeInput(f"{self.where}: an operator without a type")
        return Operator(kind, inputs, outputs, attributes)

    def slot(self, outer: Field, slots: dict[str, tuple[str, ...]]) -> None:
        """An `OpDesc.Var`: `parameter = 1; arguments = 2`."""
        name, arguments = "", []
        for found in self.fields(outer):
            if found.number == 1:
                name = self.text(found)
            elif found.number == 2:
                argument = self.text(found)
                if argument != EMPTY:
                    arguments.append(argument)
        if name in slots or len(arguments) > MOST_ARGUMENTS:
            raise UnsafeInput(f"{self.where}: the slot {name[:200]!r} of an operator is malformed")
        slots[name] = tuple(arguments)

    def attribute(self, outer: Field, attributes: dict[str, Attribute]) -> None:
        """An `OpDesc.Attr`: `name = 1; AttrType type = 2`, and the value in the field of its type."""
        name, form = "", -1
        values: dict[int, list[Any]] = {}
        for found in self.fields(outer):
            if found.number == 1:
                name = self.text(found)
            elif found.number == 2:
                form = self.number(found)
            elif found.number in _DECODERS:
                decoded = _DECODERS[found.number](self, found)
                self.extend(values.setdefault(found.number, []), decoded, MOST_ELEMENTS)
        if not name or name in attributes:
            raise UnsafeInput(f"{self.where}: an attribute {name[:200]!r} is malformed")
        if form not in _FORMS:
            attributes[name] = Extra(f"type {form}")
            return
        number, default = _FORMS[form]
        said = values.get(number, [])
        attributes[name] = tuple(said) if default is None else (said[-1] if said else default)

    def scalar(self, outer: Field) -> bool | int | float:
        """A `Scalar`: `type = 1; b = 2; i = 3; r = 4`."""
        values: dict[int, bool | int | float] = {}
        form = -1
        for found in self.fields(outer):
            if found.number == 1:
                form = self.number(found)
            elif found.number == 2:
                values[1] = self.flag(found)
            elif found.number == 3:
                values[2] = self.number(found)
            elif found.number == 4:
                values[3] = self.real(found)
        if form not in (1, 2, 3):
            raise UnsafeInput(f"{self.where}: a scalar of type {form}")
        return values.get(form, 0)

    def extend(self, values: list[Any], more: Any, most: int) -> None:
        """Take elements, up to a number of them."""
        for value in more:
            if len(values) >= most:
                raise UnsafeInput(f"{self.where}: a list of more than {most} elements")
            values.append(value)


def _ints(bits: int) -> Callable[[_Reader, Field], Any]:
    return lambda reader, found: (
        signed(value, bits) for value in numbers(reader.view, found, reader.where)
    )


# Field of `OpDesc.Attr` -> its elements.
_DECODERS: Mapping[int, Callable[[_Reader, Field], Any]] = {
    3: lambda reader, found: [reader.number(found, 32)],
    4: lambda reader, found: [reader.real(found)],
    5: lambda reader, found: [reader.text(found)],
    6: _ints(32),
    7: lambda reader, found: reader.reals(found, 4),
    8: lambda reader, found: [reader.text(found)],
    10: lambda reader, found: [reader.flag(found)],
    11: lambda reader, found: (value != 0 for value in numbers(reader.view, found, reader.where)),
    12: lambda reader, found: [Block(reader.number(found, 32))],
    13: lambda reader, found: [reader.number(found)],
    15: _ints(64),
    16: lambda reader, found: reader.reals(found, 8),
    19: lambda reader, found: [reader.real(found)],
    20: lambda reader, found: [reader.scalar(found)],
    21: lambda reader, found: [reader.scalar(found)],
}

# `AttrType` -> the field of its value, and what it is where the field is absent; None for lists.
_FORMS: Mapping[int, tuple[int, Any]] = {
    0: (3, 0),
    1: (4, 0.0),
    2: (5, ""),
    3: (6, None),
    4: (7, None),
    5: (8, None),
    6: (10, False),
    7: (11, None),
    8: (12, Block(0)),
    9: (13, 0),
    11: (15, None),
    12: (16, None),
    15: (19, 0.0),
    16: (20, 0),
    17: (21, None),
}
