"""Programs in Paddle's new form (PIR): JSON, with numbered values and positional operands.

    {"base_code": {"magic": "pir", "version": 4, ...},
     "program": {"regions": [{"blocks": [{"args": [], "ops": [...]}]}]}}

An operator is {"#": "1.conv2d", "I": [{"%": 16}, ...], "O": [{"%": 17, "TT": type}], "A": [{"N": name, "AT":
value}]}; `0.` is the built-in dialect, `1.` Paddle's own; value 0 is an operand that is not given. Parameters are
{"#": "p", "A": [.., name], "O": {"%": 2, "TT": type}}. A type is {"#": "0.t_dtensor", "D": [{"#": "0.t_f32"}, dims,
layout, levels, offset]}, or {"#": "0.t_vec", "D": [types]}: `combine` makes such lists, `split` takes them apart.
`1.t_dense_tensor_array` is a list that grows when the model runs.

`if` and `while` have regions of one block each, which ends with `2.yield`. Arguments of a block have numbers below
zero, {"#": -1, "TT": type}; every loop counts them from -1 on. What `while` yields first is whether it goes on.

Here they get the names, slots and attributes of the older form. What was an attribute there and is an operand
here has a slot with `Tensor` at its end. An operator that writes into an operand gives a variable of the same name.

Source: the form of a PIR program as PaddlePaddle 3.3 writes it; paddle/phi/ops/yaml (order of operands; names of
the older form).
"""

from __future__ import annotations

import json
import math
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from converters.checkpoints.paddle_program import BY_PIR, LARGEST_PROGRAM, MOST_VALUES
from converters.checkpoints.placing import SURROGATES
from converters.checkpoints.tensors import LARGEST_RANK
from converters.dtypes import BY_NAME, ElementType
from converters.errors import UnsafeInput, UnsupportedError
from converters.importers.paddle import ops
from converters.importers.paddle.program import (
    DEEPEST,
    MOST_OPERATORS,
    Attribute,
    Body,
    Extra,
    Operator,
    Program,
    Variable,
)
from converters.importers.paddle.rows import Row

# Lists of values in lists do not occur; a list of outputs has as many elements as its type says.
MOST_IN_LIST = 100_000
MOST_OPERANDS = 4_000_000


ROWS: Mapping[str, Row] = {
    **ops.ROWS,
    "if": Row("if", ("Cond",)),
    "while": Row("while", ("Cond", "X")),
}

# Names that end so overwrite an operand, the first one; from here on it is what they compute.
IN_PLACE = "_"
OVERWRITTEN = {"assign_out_": 1, "where_": 1}
# ... except for statistics, which inference leaves as they are.
KEPT = {"batch_norm_"}

_DIALECTS = {"0": "builtin", "1": "pd_op"}


def read_pir(raw: bytes, where: str) -> Program:
    """Read a PIR program.

    Raises:
        UnsafeInput: It is malformed.
        UnsupportedError: It is larger than any program.
    """
    if len(raw) > LARGEST_PROGRAM:
        raise UnsupportedError(
            f"{where}: a program of {len(raw)} bytes; at most {LARGEST_PROGRAM} are read",
            fix="save the model as .pdmodel",
        )
    if sum(map(raw.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise UnsafeInput(f"{where}: more than {MOST_VALUES} values in the program")
    try:
        said = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise UnsafeInput(f"{where}: malformed JSON", fix="fetch the file again") from error
    match said:
        case {"program": {"regions": [{"blocks": [{"ops": [*operators]}, *_]}, *_]}}:
            pass
        case _:
            raise UnsafeInput(f"{where}: not a program of Paddle", fix="fetch the file again")
    return _Reader(where, operators).program()


class _Reader:
    """Values by number while operators are read, in order."""

    def __init__(self, where: str, operators: list[Any]) -> None:
        self.where = where
        self.said = operators
        self.variables: dict[str, Variable] = {}
        self.values: MutableMapping[int, tuple[str, ...]] = {}
        # Those of the body that is read.
        self.own: MutableMapping[int, tuple[str, ...]] = {}
        self.operators: list[Operator] = []
        self.count = 0
        self.depth = 0
        self.feeds: list[str] = []
        self.fetches: dict[int, tuple[str, str]] = {}
        self.left = MOST_OPERANDS
        self.reserved = {name for said in operators for name in _own_names(said)}

    def program(self) -> Program:
        """The whole program."""
        self.block(self.said)
        ordered = [self.fetches[column] for column in sorted(self.fetches)]
        return Program(
            self.where, self.variables, tuple(self.operators), tuple(self.feeds), tuple(ordered)
        )

    def block(self, operators: list[Any]) -> None:
        """All operators of a block, in order."""
        self.count += len(operators)
        if self.count > MOST_OPERATORS:
            self.malformed(f"more than {MOST_OPERATORS} operators")
        for said in operators:
            match said:
                case {"#": "p"} if self.depth:
                    self.malformed("a parameter within control flow")
                case {"#": "p", "A": [_, _, _, str(name), *_], "O": {"%": int(number), **rest}}:
                    match said:
                        # What is not kept is not saved: state of dropout, for one.
                        case {"OA": [0 | False, *_]}:
                            self.values[number] = ()
                        case _:
                            self.parameter(name, number, rest.get("TT"))
                case {"#": str(name), "I": [*operands], "O": [*results]}:
                    self.operator(said, name, operands, results)
                case _:
                    self.malformed("an operator that is none")

    def bodies(self, said: Mapping[str, Any]) -> Iterator[Body]:
        """What is within an operator: the one block of each of its regions."""
        regions = said.get("regions", [])
        for region in regions if isinstance(regions, list) else [None]:
            match region:
                case {"blocks": [{"args": [*arguments], "ops": [*operators]}]}:
                    yield self.body(arguments, operators)
                case _:
                    self.malformed("a region that is none")

    def body(self, arguments: list[Any], operators: list[Any]) -> Body:
        """A block within an operator; nothing outside of it sees its values."""
        if self.depth >= DEEPEST:
            raise UnsupportedError(
                f"{self.where}: control flow more than {DEEPEST} deep",
                fix="save the model with fewer `if` and `while` in each other",
            )
        values, own, around = self.values, self.own, self.operators
        self.own = {}
        self.values, self.operators = ChainMap(self.own, values), []
        self.depth += 1
        inputs = tuple(name for argument in arguments for name in self.argument(argument))
        match operators:
            case [*rest, {"#": "2.yield", "I": [*given]}]:
                self.block(rest)
                outputs = tuple(name for operand in given for name in self.names(operand))
                made = Body(tuple(self.operators), inputs, outputs)
            case _:
                raise UnsafeInput(f"{self.where}: a block that yields nothing")
        self.depth -= 1
        self.values, self.own, self.operators = values, own, around
        return made

    def argument(self, said: Any) -> tuple[str, ...]:
        """The variable that a block binds when it begins."""
        match said:
            case {"#": int(number), "TT": form} if number < 0:
                name = self.fresh(f"argument_{len(self.variables)}")
                self.variables[name] = self.variable(name, form, persistable=False)
                # A loop in a loop has numbers of its own.
                self.values[number] = (name,)
                return self.values[number]
        raise UnsafeInput(f"{self.where}: a block with a malformed argument")

    def malformed(self, what: str) -> None:
        """End because the program is malformed."""
        raise UnsafeInput(f"{self.where}: {what}", fix="fetch the file again")

    def parameter(self, name: str, number: int, said: Any) -> None:
        """A parameter."""
        if not name or SURROGATES.search(name):
            self.malformed(f"{name!r} cannot name a tensor")
        self.declare(number, name, said, persistable=True)

    def declare(self, number: int, name: str, said: Any, *, persistable: bool = False) -> None:
        """A value with its type; a list of values gets names for its elements."""
        if number in self.values or number <= 0:
            self.malformed(f"value {number} is defined twice, or cannot be")
        if isinstance(said, dict) and str(said.get("#")).endswith(".t_vec"):
            types = said.get("D")
            if not isinstance(types, list) or len(types) > MOST_IN_LIST:
                self.malformed(f"value {number} is a list without types")
                return
            names = tuple(f"{name}.{index}" for index in range(len(types)))
        else:
            types, names = [said], (name,)
        for one, form in zip(names, types, strict=True):
            if one in self.variables:
                self.malformed(f"{one[:200]!r} names two values")
            self.variables[one] = self.variable(one, form, persistable)
        self.values[number] = names

    def variable(self, name: str, said: Any, persistable: bool) -> Variable:
        """A variable of a type."""
        match said:
            case {"#": str(form), "D": [{"#": str(kind)}, [*dims], *more]} if form.endswith(
                ".t_dtensor"
            ):
                if len(dims) > LARGEST_RANK or not all(
                    isinstance(size, int) and abs(size) < 1 << 62 for size in dims
                ):
                    self.malformed(f"{name[:200]!r} has the dimensions {str(dims)[:200]}")
                levels = len(more[1]) if len(more) > 1 and isinstance(more[1], list) else 0
                element = BY_PIR.get(kind.rpartition(".")[2])
                # Products of unknown sizes are negative too.
                known = tuple(max(size, -1) for size in dims)
                return Variable(name, element, known, persistable, levels)
            case {"#": "1.t_dense_tensor_array", "D": [{"#": str(kind)}, *_]}:
                return Variable(name, BY_PIR.get(kind.rpartition(".")[2]), None, persistable)
        return Variable(name, None, None, persistable)

    def names(self, said: Any) -> tuple[str, ...]:
        """The variables of an operand; none for value 0."""
        match said:
            case {"%": 0}:
                return ()
            case {"%": int(number)} if number in self.values:
                # Lists of lists could grow without end.
                self.left -= 1 + len(self.values[number])
                if self.left < 0:
                    self.malformed(f"more than {MOST_OPERANDS} operands")
                return self.values[number]
        raise UnsafeInput(f"{self.where}: an operand {str(said)[:100]} that nothing computes")

    def operator(
        self, said: Mapping[str, Any], name: str, operands: list[Any], results: list[Any]
    ) -> None:
        """An operator of a dialect."""
        dialect, _, kind = name.partition(".")
        inputs = [self.names(operand) for operand in operands]
        numbers = []
        for result in results:
            match result:
                case {"%": int(number)} if number > 0:
                    numbers.append((number, result.get("TT")))
                case {"%": 0}:
                    numbers.append((0, None))
                case _:
                    self.malformed(f"{name[:200]!r} has a malformed result")
        attributes = dict(self.attributes(said.get("A", []), name))
        if dialect == "0" and self.builtin(kind, inputs, numbers, attributes):
            return
        if dialect == "1" and kind in ("data", "feed", "fetch") and self.depth:
            self.malformed(f"{kind!r} within control flow")
        if dialect == "1" and kind in ("data", "feed"):
            self.feed(kind, numbers, attributes)
            return
        if dialect == "1" and kind == "fetch":
            self.fetch(inputs, attributes)
            return
        if len(kind) > 200 or SURROGATES.search(kind):
            self.malformed("an operator whose name is none")
        row = None
        if dialect == "1":
            row = ROWS.get(kind) or ROWS.get(kind.removesuffix(IN_PLACE))
        into = OVERWRITTEN.get(kind, 0) if kind.endswith(IN_PLACE) and kind not in KEPT else None
        around = (
            bool(numbers and row) and into is not None and self.around(operands[into : into + 1])
        )
        if around:
            self.alias(numbers[0][0], inputs[into or 0])
        for number, form in numbers[around:]:
            if number:
                self.declare(number, self.fresh(f"{kind.strip('_')}_{number}"), form)
        written = [self.values.get(number, ()) for number, _ in numbers]
        bodies = tuple(self.bodies(said))
        if row is None:
            label = f"{_DIALECTS.get(dialect, dialect[:20])}.{kind}"
            flat = tuple(one for names in written for one in names)
            self.operators.append(Operator(label, {}, {"Out": flat}, attributes))
            return
        if bodies and kind == "while":
            # One condition, and as many states as there are.
            inputs = [*inputs[:1], tuple(name for names in inputs[1:] for name in names)]
        if bodies:
            written = [tuple(name for names in written for name in names)]
        if len(inputs) > len(row.inputs):
            self.malformed(f"{name!r} has {len(inputs)} operands; it has {len(row.inputs)} at most")
        if into is not None and not around:
            self.overwritten(operands, into, written)
        self.operators.append(
            Operator(
                row.type,
                dict(zip(row.inputs, inputs, strict=False)),
                dict(zip(row.outputs, written, strict=False)),
                {row.renamed.get(key, key): value for key, value in attributes.items()},
                bodies,
            )
        )

    def around(self, operand: list[Any]) -> bool:
        """Whether an operand is a variable around the body that is read: it is written anew under its name."""
        match operand:
            case [{"%": int(number)}] if self.depth and number:
                return number not in self.own and len(self.values.get(number, ())) == 1
        return False

    def overwritten(self, operands: list[Any], place: int, written: list[tuple[str, ...]]) -> None:
        """An operand that is, from now on, what an operator computes."""
        match operands[place : place + 1], written[:1]:
            case [{"%": int(number)}], [(_, *_) as names] if number:
                self.values[number] = tuple(names)

    def builtin(
        self,
        kind: str,
        inputs: list[tuple[str, ...]],
        numbers: list[tuple[int, Any]],
        attributes: Mapping[str, Attribute],
    ) -> bool:
        """Lists of values, made and taken apart: only other names for what is there."""
        if kind == "combine" and len(numbers) == 1:
            self.alias(numbers[0][0], tuple(name for names in inputs for name in names))
            return True
        if kind == "split" and len(inputs) == 1 and len(inputs[0]) == len(numbers):
            for (number, _), name in zip(numbers, inputs[0], strict=True):
                if number:
                    self.alias(number, (name,))
            return True
        index = attributes.get("index")
        if kind == "slice" and len(inputs) == len(numbers) == 1 and isinstance(index, int):
            if not 0 <= index < len(inputs[0]):
                self.malformed(f"element {index} of a list of {len(inputs[0])}")
            self.alias(numbers[0][0], (inputs[0][index],))
            return True
        return False

    def alias(self, number: int, names: tuple[str, ...]) -> None:
        """A value that is another by name."""
        if number in self.values or number <= 0 or len(names) > MOST_IN_LIST:
            self.malformed(f"value {number} is defined twice, or cannot be")
        self.values[number] = names

    def feed(
        self, kind: str, numbers: list[tuple[int, Any]], attributes: Mapping[str, Attribute]
    ) -> None:
        """An input."""
        name = attributes.get("name")
        if not isinstance(name, str) or not name or SURROGATES.search(name) or len(numbers) != 1:
            self.malformed(f"a malformed {kind!r}")
            return
        self.declare(numbers[0][0], name, numbers[0][1])
        self.feeds.append(name)

    def fetch(self, inputs: list[tuple[str, ...]], attributes: Mapping[str, Attribute]) -> None:
        """An output: its name, and the variable that it is."""
        name, column = attributes.get("name"), attributes.get("col", 0)
        if (
            not isinstance(name, str)
            or not name
            or SURROGATES.search(name)
            or not isinstance(column, int)
            or column in self.fetches
            or len(inputs) != 1
            or len(inputs[0]) != 1
        ):
            self.malformed("a malformed 'fetch'")
            return
        self.fetches[column] = (name, inputs[0][0])

    def fresh(self, wanted: str) -> str:
        """A name that no parameter, input or output has."""
        while wanted in self.reserved or wanted in self.variables:
            wanted += "_"
        return wanted

    def attributes(self, said: Any, operator: str) -> Iterator[tuple[str, Attribute]]:
        """Attributes by name."""
        for attribute in said if isinstance(said, list) else [None]:
            match attribute:
                case {"N": str(name), "AT": {"#": str(form)} as value}:
                    yield name, self.attribute(form, value)
                case _:
                    self.malformed(f"{operator[:200]!r} has a malformed attribute")

    def attribute(self, form: str, value: Mapping[str, Any]) -> Attribute:
        """The value of an attribute by its form."""
        form, said = form.rpartition(".")[2], value.get("D")
        match form, said:
            case "a_bool", bool():
                return said
            case "a_i32" | "a_i64" | "a_index", int() if not isinstance(said, bool):
                return _bounded(said)
            case "a_f32" | "a_f64" | "a_f16" | "a_bf16", float() | int():
                return float(said) if abs(said) < 1e308 or isinstance(said, float) else math.inf
            case "a_f32" | "a_f64", None if isinstance(value.get("VD"), str):
                return _special(value["VD"])
            case "a_str", str():
                return said
            case "a_intarray", list():
                if all(isinstance(one, int) for one in said):
                    return tuple(_bounded(one) for one in said)
            case "a_array", list():
                return tuple(self.element(one) for one in said)
            case "a_dtype", str():
                return BY_NAME.get(said.lower(), Extra(said[:50]))
            case "a_scalar", bool() | float():
                return said
            case "a_scalar", int():
                return _bounded(said)
        return Extra(form[:50])

    def element(self, said: Any) -> Attribute:
        """An element of a list."""
        match said:
            case {"#": str(form)} if not form.endswith("a_array"):
                return self.attribute(form, said)
        return Extra("list")


def _bounded(number: int) -> int:
    return min(max(number, -(1 << 63)), (1 << 63) - 1)


def _special(said: str) -> float | Extra:
    known = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
    return known.get(said.lower(), Extra(said[:50]))


def _own_names(said: Any) -> Iterator[str]:
    """Names that a program gives itself: of parameters, inputs and outputs."""
    match said:
        case {"#": "p", "A": [_, _, _, str(name), *_]}:
            yield name
        case {"#": "1.data" | "1.feed" | "1.fetch", "A": [*attributes]}:
            for attribute in attributes:
                match attribute:
                    case {"N": "name", "AT": {"D": str(name)}}:
                        yield name


__all__ = ["ROWS", "ElementType", "Row", "read_pir"]
