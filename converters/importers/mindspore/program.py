"""MindIR, read without MindSpore: small records, every count checked.

A `.mindir` is a protobuf `ModelProto`: a main graph, further graphs that it calls, and the primitives that nodes refer to.
Operators are `REF::` and the name of a primitive, of a graph, or of a value that is one. Values are more than tensors:
numbers, texts, tuples, graphs with some of their arguments, and marks that keep side effects in order.

Weights are in the file itself, or in `NAME_variables/data_0` beside it. Nothing here knows what an operator does.

Source: mindspore/train/mind_ir_pb2.py (schema) and mindspore/train/serialization.py (external data), MindSpore 2.10.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from converters.checkpoints.beside import beside
from converters.checkpoints.files import File, Span
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
from converters.checkpoints.tensors import Stored, checked_shape, stored
from converters.dtypes import BY_MINDIR, BY_NAME, ElementType
from converters.errors import UnsafeInput, UnsupportedError

# A program of 100,000 nodes has about three million fields.
MOST_FIELDS = 20_000_000
MOST_NODES = 500_000
# Values within values: tuples of tuples.
DEEPEST = 16
# Bytes of what a program is called in it, before it says that MindSpore made it.
LONGEST_VERSION = 32
PRODUCER = b"MindSpore"
# How blocks begin that MindSpore encrypted, of programs as of checkpoints.
ENCRYPTED = b"\xd8\x5e\x3a\x7f"

# `AttributeProto.AttributeType`
FLOATS = {1, 10, 11, 16}
INTEGERS = {2, 3, 4, 5, 6, 7, 12, 13}
TEXT, BOOL, TENSOR, TENSORS = 8, 9, 17, 19
SEQUENCES = {20, 21}
NONE, SCALAR = 25, 39
KINDS = {**BY_MINDIR, 17: BY_NAME["float64"]}


@dataclass(frozen=True)
class Opaque:
    """A value that no tensor is made of: a mark of side effects, a type, a dictionary.

    Attributes:
        what: Number of its type in `AttributeProto`; 0 for what is declared without one.
    """

    what: int = 0


@dataclass(frozen=True)
class Form:
    """What a value is declared to be: a tensor, or a number.

    Attributes:
        kind: Its element type; None where that is none of ours.
        dims: Its dimensions, -1 for any size; None where not even their number is known.
        number: Whether it is a number and no tensor.
    """

    kind: ElementType | None
    dims: tuple[int, ...] | None
    number: bool = False


Forms: TypeAlias = "Form | Opaque | tuple[Forms, ...]"
Constant: TypeAlias = "bool | int | float | str | Stored | Opaque | tuple[Constant, ...] | None"


@dataclass(frozen=True)
class Primitive:
    """An operator with its attributes.

    Attributes:
        type: What it is.
        attributes: By name.
    """

    type: str
    attributes: Mapping[str, Constant] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """A call.

    Attributes:
        called: Name of a primitive, a graph or a value; or the primitive itself, in older programs.
        inputs: Names of values, graphs and parameters.
        output: The one value that it makes.
        form: What that is declared to be.
        scope: Names of the cells around it and its own: `Default/conv-Conv2d/Conv2D-op0`.
    """

    called: str | Primitive
    inputs: tuple[str, ...]
    output: str
    form: Forms
    scope: str


@dataclass(frozen=True)
class Function:
    """A graph.

    Attributes:
        name: Its name.
        inputs: Names and forms, in order.
        nodes: In the order of their execution.
        outputs: Names of values.
    """

    name: str
    inputs: tuple[tuple[str, Forms], ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A model.

    Attributes:
        where: What it is called in errors.
        main: The graph that is the model.
        functions: All graphs by name, the main one too.
        primitives: By name.
        constants: Values that all graphs share, by name.
        parameters: Tensors by their name in the program, with the name that MindSpore gives them.
    """

    where: str
    main: Function
    functions: Mapping[str, Function]
    primitives: Mapping[str, Primitive]
    constants: Mapping[str, Constant]
    parameters: Mapping[str, tuple[str, Stored]]


def is_mindir(head: bytes) -> bool:
    """Whether bytes begin as a `.mindir` does: `ir_version` as a text, then `producer_name` MindSpore.

    Args:
        head: The first 64 bytes or more.
    """
    if head[:1] != b"\x0a" or len(head) < 2 or head[1] > LONGEST_VERSION:
        return False
    behind = 2 + head[1]
    named = head[behind : behind + 2 + len(PRODUCER)]
    return named == bytes([2 << 3 | BYTES, len(PRODUCER)]) + PRODUCER


def read_program(path: Path) -> Program:
    """Read a `.mindir`.

    Raises:
        UsageError: There is no such file.
        UnsafeInput: It is malformed, or its weights are not where it says.
        UnsupportedError: It is encrypted, or has tensors of a kind that cannot be read: compressed, or of texts.
    """
    file = File(path)
    view = file.bytes(0, file.size)
    head = bytes(view[:64])
    if head.startswith(ENCRYPTED):
        raise UnsupportedError(
            f"{path.name}: it is encrypted", fix="export the model without enc_key"
        )
    if not is_mindir(head):
        raise UnsafeInput(f"{path.name}: no .mindir", fix="fetch the file again")
    return _Reader(file, view, path.name).program()


@dataclass
class _Reader:
    """A view of a program with what its messages may cost."""

    file: File
    view: memoryview
    where: str
    budget: Iterator[int] = field(default_factory=lambda: iter(range(MOST_FIELDS)))
    nodes: int = 0
    constants: dict[str, Constant] = field(default_factory=dict)
    parameters: dict[str, tuple[str, Stored]] = field(default_factory=dict)
    data: dict[str, File] = field(default_factory=dict)

    def program(self) -> Program:
        graphs: list[tuple[bool, Field]] = []
        primitives: dict[str, Primitive] = {}
        for found in fields(self.view, self.where, budget=self.budget):
            if found.number in (7, 8):
                graphs.append((found.number == 7, expect(found, BYTES, self.where)))
            elif found.number == 10 and not self.number(found):
                raise UnsupportedError(
                    f"{self.where}: its numbers are big endian",
                    fix="export the model on another machine",
                )
            elif found.number == 12:
                name, primitive = self.primitive(found)
                primitives[name] = primitive
        functions: dict[str, Function] = {}
        main: Function | None = None
        for first, found in graphs:
            function = self.function(found)
            if function.name in functions:
                raise self.malformed(f"two graphs are called {function.name[:200]!r}")
            functions[function.name] = function
            main = function if first else main
        if main is None:
            raise self.malformed("it has no graph")
        return Program(self.where, main, functions, primitives, self.constants, self.parameters)

    # ***** Messages *****

    def malformed(self, what: str) -> UnsafeInput:
        return UnsafeInput(f"{self.where}: {what}", fix="fetch the file again")

    def inner(self, outer: Field) -> Iterator[Field]:
        expect(outer, BYTES, self.where)
        return fields(self.view, self.where, outer.start, outer.end, self.budget)

    def text(self, found: Field) -> str:
        return text(self.view, found, self.where)

    def number(self, found: Field) -> int:
        return signed(expect(found, VARINT, self.where).value)

    def integers(self, found: Field) -> Iterator[int]:
        for number in numbers(self.view, found, self.where):
            if next(self.budget, None) is None:
                raise self.malformed("too many numbers")
            yield signed(number)

    def reals(self, found: Field, single: bool) -> Iterator[float]:
        width, form = (4, "<f") if single else (8, "<d")
        if found.wire == BYTES:
            if found.value % width:
                raise self.malformed(f"{found.value} bytes of packed numbers")
        else:
            expect(found, FIXED32 if single else FIXED64, self.where)
        for begin in range(found.start, found.end, width):
            if next(self.budget, None) is None:
                raise self.malformed("too many numbers")
            yield struct.unpack_from(form, self.view, begin)[0]

    # ***** Graphs *****

    def primitive(self, outer: Field) -> tuple[str, Primitive]:
        name = kind = ""
        attributes: dict[str, Constant] = {}
        for found in self.inner(outer):
            if found.number == 1:
                name = self.text(found)
            elif found.number == 2:
                kind = self.text(found)
            elif found.number == 3:
                key, value = self.attribute(found)
                attributes[key] = value
        return name, Primitive(kind, attributes)

    def function(self, outer: Field) -> Function:
        name = ""
        inputs: list[tuple[str, Forms]] = []
        nodes: list[Node] = []
        outputs: list[str] = []
        for found in self.inner(outer):
            if found.number == 1:
                node = self.node(found)
                if node is not None:
                    nodes.append(node)
            elif found.number == 2:
                name = self.text(found)
            elif found.number == 3:
                self.parameter(found)
            elif found.number == 5:
                inputs.append(self.declared(found))
            elif found.number == 6:
                outputs.append(self.declared(found)[0])
            elif found.number == 10:
                raise UnsupportedError(f"{self.where}: it has a parameter that is a map")
        return Function(name, tuple(inputs), tuple(nodes), tuple(outputs))

    def node(self, outer: Field) -> Node | None:
        """A node; None for a constant, which all graphs share."""
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise self.malformed(f"more than {MOST_NODES} nodes")
        inputs: list[str] = []
        outputs: list[str] = []
        kind = scope = ""
        form: Forms = Opaque()
        attributes: dict[str, Constant] = {}
        held: list[Field] = []
        for found in self.inner(outer):
            if found.number == 1:
                inputs.append(self.text(found))
            elif found.number == 2:
                outputs.append(self.text(found))
            elif found.number == 4:
                kind = self.text(found)
            elif found.number == 5:
                held.append(found)
            elif found.number == 7:
                scope = self.text(found)
        if not outputs:
            raise self.malformed(f"a node {kind[:200]!r} without output")
        for found in held:
            name = self.name_of(found)
            if name == "shape":
                form = self.form(found, 0)
            else:
                attributes[name] = self.constant(found, 0)
        if kind == "Constant":
            value = attributes.get("value", Opaque())
            if self.constants.setdefault(outputs[0], value) != value:
                raise self.malformed(f"two constants are called {outputs[0][:200]!r}")
            return None
        direct = not kind.startswith("REF::")
        called = Primitive(kind, attributes) if direct else kind.removeprefix("REF::")
        return Node(called, tuple(inputs), outputs[0], form, scope)

    def parameter(self, outer: Field) -> None:
        name, key, tensor = self.tensor(outer)
        if tensor is None:
            raise self.malformed(f"{name[:200]!r} has no elements")
        self.parameters[name] = (key or name.rpartition(":")[2] or name, tensor)

    def declared(self, outer: Field) -> tuple[str, Forms]:
        """An input or output."""
        name = ""
        form: Forms = Opaque()
        for found in self.inner(outer):
            if found.number == 1:
                name = self.text(found)
            elif found.number == 2:
                form = self.tensor_form(found, False)
            elif found.number == 5:
                form = self.form(found, 0)
        return name, form

    # ***** Values *****

    def name_of(self, outer: Field) -> str:
        for found in self.inner(outer):
            if found.number == 1:
                return self.text(found)
        return ""

    def attribute(self, outer: Field) -> tuple[str, Constant]:
        return self.name_of(outer), self.constant(outer, 0)

    def constant(self, outer: Field, depth: int) -> Constant:
        """A value of an attribute: its type says which of its fields."""
        if depth > DEEPEST:
            raise self.malformed("values within values, too deep")
        kind = 0
        found_numbers: list[int] = []
        found_reals: list[float] = []
        found_texts: list[Field] = []
        tensors: list[Field] = []
        values: list[Constant] = []
        for found in self.inner(outer):
            if found.number == 16:
                kind = self.number(found)
            elif found.number in (3, 10):
                found_numbers += self.integers(found)
            elif found.number in (2, 8):
                found_reals += self.reals(found, True)
            elif found.number in (4, 9):
                found_reals += self.reals(found, False)
            elif found.number in (5, 11):
                found_texts.append(found)
            elif found.number in (6, 12):
                tensors.append(found)
            elif found.number == 17:
                values.append(self.constant(found, depth + 1))
        if kind == BOOL:
            return bool(next(iter(found_numbers), 0))
        if kind in INTEGERS:
            return next(iter(found_numbers), 0)
        if kind in FLOATS:
            return next(iter(found_reals), 0.0)
        if kind == TEXT:
            return self.text(found_texts[0]) if found_texts else ""
        if kind in SEQUENCES:
            return tuple(values)
        if kind == NONE:
            return None
        if kind in (TENSOR, TENSORS) and tensors:
            tensor = self.tensor(tensors[0])[2]
            return Opaque(kind) if tensor is None else tensor
        return Opaque(kind)

    def form(self, outer: Field, depth: int) -> Forms:
        """What a value is declared to be."""
        if depth > DEEPEST:
            raise self.malformed("values within values, too deep")
        kind = 0
        tensors: list[Field] = []
        values: list[Field] = []
        loose = False
        for found in self.inner(outer):
            if found.number == 16:
                kind = self.number(found)
            elif found.number in (6, 12):
                tensors.append(found)
            elif found.number == 17:
                values.append(found)
            elif found.number == 18:
                loose = any(one.number == 1 and one.value for one in self.inner(found))
        if kind in SEQUENCES and not loose:
            return tuple(self.form(found, depth + 1) for found in values)
        if kind in (TENSOR, TENSORS, SCALAR) and len(tensors) == 1:
            return self.tensor_form(tensors[0], kind == SCALAR)
        return Opaque(kind)

    def tensor_form(self, outer: Field, number: bool) -> Form:
        kind = 0
        dims: list[int] = []
        for found in self.inner(outer):
            if found.number == 1:
                dims += self.integers(found)
            elif found.number == 2:
                kind = self.number(found)
        if number:
            return Form(KINDS.get(kind), (), True)
        if any(size < -1 for size in dims) or len(dims) > 32:
            return Form(KINDS.get(kind), None)
        return Form(KINDS.get(kind), tuple(dims))

    def tensor(self, outer: Field) -> tuple[str, str, Stored | None]:
        """A tensor with its names: in the program, and what MindSpore calls the parameter."""
        name = key = ""
        kind = 0
        dims: list[int] = []
        content: Span | None = None
        other = False
        for found in self.inner(outer):
            if found.number == 1:
                dims += self.integers(found)
            elif found.number == 2:
                kind = self.number(found)
            elif found.number == 7:
                name = self.text(found)
            elif found.number == 9:
                expect(found, BYTES, self.where)
                content = Span(self.file, found.start, found.value)
            elif found.number == 12:
                content = self.external(found, name)
            elif found.number == 13:
                key = self.text(found)
            elif found.number == 16:
                other = bool(self.number(found))
            elif found.number in (3, 4, 5, 6, 10, 11):
                other = True
        where = f"{self.where}: {name[:200]!r}"
        if other:
            raise UnsupportedError(
                f"{where} is compressed, or stored as single numbers or texts",
                fix="export the model again, uncompressed",
            )
        if kind not in KINDS:
            raise UnsupportedError(f"{where} has element type {kind}, which is unknown here")
        shape = checked_shape(dims, where)
        if content is None:
            if 0 not in shape:
                return name, key, None
            content = Span(self.file, 0, 0)
        return name, key, stored(KINDS[kind], shape, (content,), where)

    def external(self, outer: Field, name: str) -> Span:
        """Bytes of a file beside this one: `location`, `offset`, `length`."""
        location = ""
        offset = length = 0
        for found in self.inner(outer):
            if found.number == 1:
                location = self.text(found)
            elif found.number == 2:
                offset = self.number(found)
            elif found.number == 3:
                length = self.number(found)
        if location not in self.data:
            if len(self.data) > 4096:
                raise self.malformed("weights in more than 4096 files")
            path = beside(self.file.path.parent, location, f"{self.where}: {name[:200]!r}")
            self.data[location] = File(path)
        if offset < 0 or length < 0:
            raise self.malformed(f"{name[:200]!r} has {length} bytes at {offset}")
        return Span(self.data[location], offset, length)


__all__ = [
    "Form",
    "Function",
    "Node",
    "Opaque",
    "Primitive",
    "Program",
    "is_mindir",
    "read_program",
]
