"""Operators of a program, one after the other -> nodes; branches and rounds become If and Loop.

    if       {"Cond": c, bodies: (then, else)}      If with what both bodies give
    while    {"Cond": c, "X": states}               Loop: a body gives whether it goes on, then the states
    conditional_block, while of older programs      the same; what they give is what they write of the variables around
    select_input                                    one of two variables that conditional blocks have written

What a body writes of the variables around it is given out of it like a result. Source:
python/paddle/static/nn/control_flow.py of PaddlePaddle 3.3 (what `cond` and `while_loop` make).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper

from converters.dtypes import BY_NAME
from converters.errors import UnsafeInput, Unsupported, UnsupportedOperators
from converters.importers.graph import INT64, Graph, Refusal, Value, needed_for
from converters.importers.paddle.build import Call, Stacked, Tensors
from converters.importers.paddle.ops import TABLE, pairs
from converters.importers.paddle.ops.pairs import ALIKE, PARTS, by_parts, is_complex
from converters.importers.paddle.program import Body, Operator, Program
from converters.importers.paddle.ragged import Lengths, refusal

BOOL = BY_NAME["bool"]


@dataclass(frozen=True)
class Branch:
    """What a body has made: its nodes, and the values of variables behind it."""

    nodes: list[onnx.NodeProto]
    values: Mapping[str, Value]


class Operators:
    """Adds operators to a graph; what is not supported is gathered."""

    def __init__(self, graph: Graph, program: Program, lengths: Mapping[str, Lengths]) -> None:
        self.graph = graph
        self.program = program
        self.lengths = lengths
        self.declared = {name: (one.kind, one.dims) for name, one in program.variables.items()}
        self.refused: dict[tuple[str, str], list[str]] = {}
        # Variables that only one side of a choice has written.
        self.sometimes: dict[str, Branch] = {}
        # What has been known of ONNX values, those within bodies too.
        self.known: dict[str, Value] = {}
        # Operators that read a variable, and those that are at work, the innermost last.
        self.readers: dict[str, list[Operator]] = defaultdict(list)
        for operator in _every(program.operators):
            for name in {name for names in operator.inputs.values() for name in names}:
                self.readers[name].append(operator)
        self.wanted = {name for operator in program.operators for name in operator.reads()}
        self.wanted.update(variable for _, variable in program.fetches)
        self.running: list[Sequence[Operator]] = []

    def whole(self) -> dict[str, str]:
        """All operators of the program.

        Returns:
            The ONNX names that are kept for outputs, by variable.

        Raises:
            UnsupportedOperators: Lists all that is not supported.
        """
        operators = self.program.operators
        last = {name: place for place, one in enumerate(operators) for name in one.writes()}
        # The last one to write an output has its name; of rows, what pads them has it.
        kept: dict[str, str] = {}
        for name, variable in self.program.fetches:
            if variable in last and variable not in kept:
                kept[variable] = self.graph.fresh(name)
        final: dict[int, dict[str, str]] = {}
        for variable, name in kept.items():
            if variable not in self.lengths:
                final.setdefault(last[variable], {})[variable] = name
        self.run(operators, final)
        self.know(self.graph.values)
        if self.refused:
            raise UnsupportedOperators(
                "onnx",
                [
                    Unsupported(kind[:200], names[0][:200], len(names), why)
                    for (kind, why), names in self.refused.items()
                ],
            )
        return kept

    def run(self, operators: Sequence[Operator], final: Mapping[int, Mapping[str, str]]) -> None:
        """Add operators in order.

        Args:
            operators: All of the program, or of a body.
            final: Names that variables get from the operator at a place.
        """
        self.running.append(operators)
        place = 0
        while place < len(operators):
            operator = operators[place]
            names = final.get(place, {})
            place += 1
            if operator.type == "select_input":
                group = [operator]
                while place < len(operators) and _goes_with(operator, operators[place]):
                    names = {**names, **final.get(place, {})}
                    group.append(operators[place])
                    place += 1
                self.attempt(operator, partial(self.select, group, names), names)
            elif operator.bodies:
                self.attempt(operator, partial(self.control, operator, names), names)
            else:
                self.operator(operator, names)
        self.running.pop()

    def operator(self, operator: Operator, kept: Mapping[str, str]) -> None:
        """Add what an operator of the table is."""
        written = [name for names in operator.outputs.values() for name in names]
        if len(set(written)) < len(written):
            raise self.malformed(f"{operator.type[:200]!r} writes a variable twice")
        names = {name: kept.get(name) or self.graph.fresh(name) for name in written}
        rule = TABLE.get(operator.type)
        reason = refusal(operator, frozenset(self.lengths), self.program)
        if rule is not None and self.of_complex(operator):
            alike = partial(by_parts, rule=rule) if operator.type in ALIKE else None
            rule = pairs.OF_COMPLEX.get(operator.type, alike)
            reason = reason or (None if rule else "on complex numbers")
            rule = rule or TABLE[operator.type]
        if rule is None:
            self.refuse(operator, "", names)
        elif reason is not None:
            self.refuse(operator, reason, names)
        else:
            call = Call(self.graph, operator, self.declared, names, self.lengths, self.wanted)
            self.attempt(operator, partial(rule, call), names)
            self.look_for_outputs(operator, names)

    def look_for_outputs(self, operator: Operator, names: Mapping[str, str]) -> None:
        """Gather a refusal where a rule does not give an output of the program: tables know those of most uses."""
        fetched = {variable for _, variable in self.program.fetches}
        for slot, written in operator.outputs.items():
            if any(name in fetched and name not in self.graph.values for name in written):
                self.refuse(operator, f"its output {slot}", names)

    def of_complex(self, operator: Operator) -> bool:
        """Whether an operator reads or writes complex numbers."""
        written = (self.declared.get(name, (None, None))[0] for name in operator.writes())
        return any(is_complex(self.graph.values.get(name)) for name in operator.reads()) or any(
            kind is not None and kind.name in PARTS for kind in written
        )

    def attempt(
        self, operator: Operator, what: Callable[[], None], names: Mapping[str, str]
    ) -> None:
        """Do it, or gather why not."""
        try:
            what()
        except Refusal as reason:
            self.refuse(operator, str(reason), names)

    def refuse(self, operator: Operator, reason: str, names: Mapping[str, str]) -> None:
        """Gather a refusal; what follows goes on with what is declared."""
        written = [name for slot in operator.outputs.values() for name in slot]
        label = next(iter(written), "")
        self.refused.setdefault((operator.type, reason), []).append(label)
        for name in written:
            made = names.get(name) or self.graph.fresh(name)
            self.graph.values[name] = Value(made, *self.declared.get(name, (None, None)))

    # ***** Control flow *****

    def control(self, operator: Operator, names: Mapping[str, str]) -> None:
        """A choice or a loop."""
        if any(name in self.lengths for name in operator.reads()):
            raise Refusal("on sequences of different lengths (LoD)")
        if self.of_complex(replace(operator, bodies=())):
            raise Refusal("on complex numbers")
        if operator.type == "while" and len(operator.bodies) == 1:
            self.repeat(operator, operator.bodies[0], names)
        elif operator.type == "if" and len(operator.bodies) == 2:
            self.choose(operator, names)
        elif operator.type == "conditional_block" and len(operator.bodies) == 1:
            self.sometime(operator, operator.bodies[0], names)
        else:
            raise Refusal("control flow of another form")

    def choose(self, operator: Operator, names: Mapping[str, str]) -> None:
        """`if`: both bodies give the same number of values."""
        condition = self.only(operator, "Cond")
        outputs = operator.outputs.get("Out", ())
        changed = self.changed(operator.bodies)
        given = [[*body.outputs, *changed] for body in operator.bodies]
        if any(len(one) != len(outputs) + len(changed) for one in given):
            raise self.malformed("branches that give other things than their 'if'")
        after = [*outputs, *changed]
        if condition.array is not None:
            chosen = int(not condition.array.reshape(-1)[0])
            self.run(operator.bodies[chosen].operators, {})
            found = [self.value(name) for name in given[chosen]]
            self.graph.values.update(zip(after, found, strict=True))
            return
        sides = [self.branch(body) for body in operator.bodies]
        pairs = [
            [side.values[name] for name in one] for side, one in zip(sides, given, strict=True)
        ]
        self.put_if(condition, sides, pairs, after, names)

    def put_if(
        self,
        condition: Value,
        sides: Sequence[Branch],
        pairs: Sequence[Sequence[Value]],
        after: Sequence[str],
        names: Mapping[str, str],
    ) -> None:
        """An If node.

        Args:
            condition: What it looks at.
            sides: What is done where it holds, and where not.
            pairs: What either side gives.
            after: The variables that have it afterwards.
            names: Names of ONNX values, by variable.
        """
        graphs = []
        for side, ends in zip(sides, pairs, strict=True):
            with self.graph.within() as nodes:
                nodes += side.nodes
                graphs.append(self.subgraph(nodes, [], [self.copied(end) for end in ends]))
        made = [names.get(name) or self.graph.fresh(name) for name in after]
        for variable, name, yes, no in zip(after, made, *pairs, strict=True):
            if yes.kind != no.kind or isinstance(yes, Tensors) != isinstance(no, Tensors):
                raise Refusal("branches that give values of different types")
            self.graph.values[variable] = _common(replace(yes, name=name), no)
        if made:
            self.graph.node(
                "If", [condition.name], made, then_branch=graphs[0], else_branch=graphs[1]
            )

    def repeat(self, operator: Operator, body: Body, names: Mapping[str, str]) -> None:
        """`while`: what is carried is what it gives to the body, and what the body changes around itself."""
        condition = self.only(operator, "Cond" if "Cond" in operator.inputs else "Condition")
        given, outputs = operator.inputs.get("X", ()), operator.outputs.get("Out", ())
        if not body.inputs:
            # Older programs name what is read and written; the names are those within.
            given, outputs = (), ()
        lists = [name for name in self.changed([body]) if self.is_collected(name, body)]
        body, items = self.collecting(body, lists)
        changed = self.changed([body])
        inner, ends = [*body.inputs, *changed], [*body.outputs[1:], *changed]
        if not (len(given) == len(outputs) == len(body.inputs) == len(body.outputs) - 1):
            raise self.malformed("a body that takes and gives other things than its 'while'")
        first = [self.value(name) for name in (*given, *changed)]
        held = [self.placeholder(name, one) for name, one in zip(inner, first, strict=True)]
        side = self.branch(body, dict(zip(inner, held, strict=True)))
        last = [side.values[name] for name in ends]
        read = {name for one in body.operators for name in one.reads()}
        for place, (name, one, end) in enumerate(zip(inner, held, last, strict=True)):
            if name not in read and not isinstance(one, Tensors):
                # What it was before no round looks at; it may have been of any shape.
                held[place] = one = replace(one, dims=end.dims)
            if _differ(one, end):
                raise Refusal(f"{name!r}, whose type or shape changes from round to round")
        begins = self.flag(condition)
        with self.graph.within() as nodes:
            nodes += side.nodes
            goes_on = self.flag(side.values[body.outputs[0]])
            elements = [side.values[name] for name in items]
            made = [self.copied(one) for one in (goes_on, *last, *elements)]
            inputs = [
                helper.make_tensor_value_info(self.graph.fresh("round"), INT64.onnx, []),
                helper.make_tensor_value_info(self.graph.fresh("more"), TensorProto.BOOL, []),
                *map(_info, held),
            ]
            round_ = self.subgraph(nodes, inputs, made)
        after = [*outputs, *changed, *lists]
        if not after:
            raise Refusal("a loop that changes nothing")
        results = [names.get(name) or self.graph.fresh(name) for name in after]
        self.graph.node(
            "Loop", ["", begins.name, *(one.name for one in first)], results, body=round_
        )
        for variable, name, one in zip(after, results, [*held, *elements], strict=True):
            made_list = Stacked(name, one.kind, None, elements=len(one.dims or ()))
            self.graph.values[variable] = (
                made_list if variable in lists else replace(one, name=name)
            )

    def is_collected(self, name: str, body: Body) -> bool:
        """Whether a round appends to an empty list once, which is stacked then and nothing else."""
        found = self.graph.values[name]
        if not isinstance(found, Tensors) or found.count != 0 or not self.running:
            return False
        if not any(name in one.writes() for one in self.running[-1] if one.type == "create_array"):
            return False
        writers = [one for one in body.operators if name in one.writes()]
        if [one.type for one in writers] != ["write_to_array"]:
            return False
        within = {id(one) for one in body.operators}
        for reader in self.readers[name]:
            counts = reader.type == "lod_array_length"
            if reader is writers[0] or (counts and id(reader) not in within):
                continue
            if counts and all(
                one is writers[0] for out in reader.writes() for one in self.readers[out]
            ):
                continue
            stacks = reader.type == "tensor_array_to_tensor" and reader.attributes.get("use_stack")
            if not stacks or id(reader) in within:
                return False
        declared = self.declared.get(writers[0].inputs.get("X", ("",))[0], (None, None))
        return declared[0] == found.kind and declared[1] is not None

    def collecting(self, body: Body, lists: Sequence[str]) -> tuple[Body, list[str]]:
        """A body that gives what it would append to lists, and the variables that have it."""
        kept, items = [], {}
        for operator in body.operators:
            appended = [name for name in operator.writes() if name in lists]
            counted = [one for one in operator.reads() if one in lists]
            if appended:
                (x,) = operator.inputs["X"]
                item = items[appended[0]] = f"{appended[0]}/item"
                self.declared[item] = self.declared[x]
                kept.append(Operator("assign", {"X": (x,)}, {"Out": (item,)}))
            elif not counted:
                kept.append(operator)
        return replace(body, operators=tuple(kept)), [items[name] for name in lists]

    def sometime(self, operator: Operator, body: Body, names: Mapping[str, str]) -> None:
        """`conditional_block`: an If, where what it writes was there before; else `select_input` makes one."""
        if operator.attributes.get("is_scalar_condition") is not True:
            raise Refusal("is_scalar_condition = false")
        condition = self.only(operator, "Cond")
        if condition.array is not None:
            if condition.array.reshape(-1)[0]:
                self.run(body.operators, {})
            return
        before = self.changed([body])
        side = self.branch(body)
        for name in operator.outputs.get("Out", ()):
            if name in side.values and name not in before:
                self.sometimes[name] = side
        old = [self.value(name) for name in before]
        pairs = [[side.values[name] for name in before], old]
        self.put_if(condition, [side, Branch([], {})], pairs, before, names)

    def select(self, operators: Sequence[Operator], names: Mapping[str, str]) -> None:
        """`select_input`s that look at one mask, as one choice: the first variable where it is 0, else the second."""
        mask = self.only(operators[0], "Mask")
        given = [operator.inputs.get("X", ()) for operator in operators]
        after = [operator.outputs.get("Out", ()) for operator in operators]
        if any(len(one) != 2 for one in given) or any(len(one) != 1 for one in after):
            raise self.malformed("a malformed 'select_input'")
        sides, pairs = [], []
        for place in (1, 0):
            wanted = [one[place] for one in given]
            made = [self.sometimes[name] for name in wanted if name in self.sometimes]
            nodes = [node for side in _unique(made) for node in side.nodes]
            sides.append(Branch(nodes, {}))
            pairs.append(
                [
                    self.sometimes[name].values[name]
                    if name in self.sometimes
                    else self.value(name)
                    for name in wanted
                ]
            )
        if mask.array is not None:
            chosen = pairs[0] if mask.array.reshape(-1)[0] else pairs[1]
            self.graph.values.update(zip((one[0] for one in after), chosen, strict=True))
            return
        condition = mask
        if mask.type != BOOL:
            name = self.graph.fresh(f"{mask.name}/Cast")
            self.graph.node("Cast", [mask.name], [name], to=BOOL.onnx)
            condition = replace(mask, name=name, kind=BOOL)
        self.put_if(condition, sides, pairs, [one[0] for one in after], names)

    # ***** What they are made of *****

    def changed(self, bodies: Iterable[Body]) -> list[str]:
        """Variables around bodies that they write anew."""
        written = {
            name: None
            for body in bodies
            for operator in body.operators
            for name in operator.writes()
        }
        return [name for name in written if name in self.graph.values]

    def branch(self, body: Body, bound: Mapping[str, Value] | None = None) -> Branch:
        """What a body makes; variables around it stay what they are."""
        with self.restored(body), self.graph.within() as nodes:
            self.graph.values.update(bound or {})
            self.run(body.operators, {})
            wanted = [*body.outputs, *(n for one in body.operators for n in one.writes())]
            values = {n: self.graph.values[n] for n in wanted if n in self.graph.values}
            missing = [name for name in body.outputs if name not in values]
            if missing:
                raise self.malformed(f"nothing computes {missing[0][:200]!r}")
            self.know(values)
        return Branch(nodes, values)

    def know(self, values: Mapping[str, Value]) -> None:
        """Keep what is known of values."""
        self.known.update((one.name, one) for one in values.values())

    @contextmanager
    def restored(self, body: Body) -> Iterator[None]:
        """Forget what a body writes."""
        written = {*body.inputs, *(name for one in body.operators for name in one.writes())}
        before = {name: self.graph.values.get(name) for name in written}
        try:
            yield
        finally:
            for name, value in before.items():
                if value is not None:
                    self.graph.values[name] = value
                else:
                    self.graph.values.pop(name, None)

    def placeholder(self, variable: str, first: Value) -> Value:
        """What a state is called within a round, with what is declared for every round."""
        name = self.graph.fresh(variable)
        if isinstance(first, Tensors):
            return replace(first, name=name, count=None)
        kind, dims = self.declared.get(variable, (None, None))
        if kind != first.kind:
            raise Refusal(f"{variable!r}, whose type changes from round to round")
        return Value(name, kind, dims)

    def flag(self, value: Value) -> Value:
        """A condition without dimensions."""
        if value.dims == ():
            return value
        name = self.graph.fresh(f"{value.name}/Reshape")
        shape = self.graph.constant(np.zeros(0, np.int64))
        self.graph.node("Reshape", [value.name, shape], [name])
        return Value(name, value.kind, ())

    def copied(self, value: Value) -> Value:
        """A value of its own with what another has: a sub-graph gives only what it makes."""
        name = self.graph.fresh(f"{value.name}/out")
        self.graph.node("Identity", [value.name], [name])
        return replace(value, name=name)

    def subgraph(
        self,
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[onnx.ValueInfoProto],
        ends: Sequence[Value],
    ) -> onnx.GraphProto:
        """A graph within a node."""
        kept = needed_for(nodes, [end.name for end in ends])[0]
        return helper.make_graph(kept, "body", inputs, [_info(end) for end in ends])

    def only(self, operator: Operator, slot: str) -> Value:
        """The one variable of a slot."""
        names = operator.inputs.get(slot, ())
        if len(names) != 1:
            raise self.malformed(f"{operator.type!r} with {len(names)} variables for {slot}")
        return self.value(names[0])

    def value(self, name: str) -> Value:
        """What a variable is now."""
        if name not in self.graph.values:
            raise self.malformed(f"nothing computes {name[:200]!r}")
        return self.graph.values[name]

    def malformed(self, what: str) -> UnsafeInput:
        """A program that contradicts itself."""
        return UnsafeInput(f"{self.program.where}: {what}", fix="fetch the file again")


def _goes_with(first: Operator, other: Operator) -> bool:
    """Whether a `select_input` follows another that looks at the same mask."""
    return other.type == first.type and other.inputs.get("Mask") == first.inputs.get("Mask")


def _every(operators: Iterable[Operator]) -> Iterator[Operator]:
    for operator in operators:
        yield operator
        for body in operator.bodies:
            yield from _every(body.operators)


def _unique(branches: Iterable[Branch]) -> list[Branch]:
    return list({id(one): one for one in branches}.values())


def _info(value: Value) -> onnx.ValueInfoProto:
    """The declaration of a value in a sub-graph: sizes may differ from round to round."""
    if isinstance(value, Tensors):
        return helper.make_tensor_sequence_value_info(value.name, value.type.onnx, None)
    return helper.make_tensor_value_info(value.name, value.type.onnx, None)


def _common(value: Value, other: Value) -> Value:
    """What is known of a value that may be either one."""
    if isinstance(value, Tensors) and isinstance(other, Tensors):
        return replace(value, count=value.count if value.count == other.count else None)
    dims = None
    if value.dims is not None and other.dims is not None and len(value.dims) == len(other.dims):
        dims = tuple(a if a == b else -1 for a, b in zip(value.dims, other.dims, strict=True))
    return replace(value, dims=dims, array=None)


def _differ(one: Value, other: Value) -> bool:
    """Whether a value is not what is declared for it."""
    if one.kind != other.kind or isinstance(one, Tensors) != isinstance(other, Tensors):
        return True
    if one.dims is None or other.dims is None:
        return False
    return len(one.dims) != len(other.dims) or any(
        -1 != a != b != -1 for a, b in zip(one.dims, other.dims, strict=True)
    )


__all__ = ["Operators"]
