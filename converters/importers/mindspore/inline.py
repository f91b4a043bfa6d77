"""Graphs that call each other -> one graph: calls are followed, choices become If, loops become Loop.

MindSpore has no statements for control flow. `Switch` makes one of two graphs of a condition, which is called then; what
comes behind an `if` is a graph of its own, and a loop is a graph that its own body calls at its end.

    y = Switch(condition, Partial(A, x), Partial(B, x))()    a condition that is known: A(x); else If
    H(x): Switch(more(x), Partial(Body, x), Partial(After, x))(), and Body ends with H(y): Loop, then After

What a program only raises an error for is left out: the other side of the choice is taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper

from converters.checkpoints.tensors import Stored
from converters.dtypes import ElementType
from converters.errors import UnsafeInput, Unsupported, UnsupportedError, UnsupportedOperators
from converters.importers.graph import INT64, LARGEST_CONSTANT, Refusal, Value, needed_for
from converters.importers.mindspore.build import (
    BOOL,
    FLOAT,
    MONADS,
    Again,
    Call,
    Choice,
    Closure,
    Making,
    Raised,
    Refused,
    Scalar,
)
from converters.importers.mindspore.in_place import IN_PLACE
from converters.importers.mindspore.program import (
    Constant,
    Form,
    Forms,
    Node,
    Opaque,
    Primitive,
    Program,
)

Rule: TypeAlias = Callable[..., Any]
Frame: TypeAlias = dict[str, Any]

# Calls within calls: each statement of control flow is one.
DEEPEST = 48
DEEPEST_LOOPS = 3
# What is given to operators, all in all, calls followed: a small program could ask for very much.
MOST_ARGUMENTS = 500_000
DEEPEST_TUPLE = 64


class Inliner:
    """Follows the calls of a program and adds what its operators are to a graph."""

    def __init__(self, program: Program, graph: Making, table: Mapping[str, Rule]) -> None:
        self.program = program
        self.graph = graph
        self.table = table
        # Nothing else gets the name of a parameter.
        self.keys = {name: graph.fresh(key) for name, (key, _) in program.parameters.items()}
        self.refused: dict[tuple[str, str], list[str]] = {}
        self.known: Frame = {}
        self.loops: list[str] = []
        self.heads: dict[tuple[str, ...], bool] = {}
        self.names: dict[str, set[str]] = {}
        self.depth = 0
        self.spent = 0

    # ***** Calls *****

    def run(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What a graph returns for these arguments."""
        if name in self.loops:
            return Again(name, arguments)
        if self.recursive(name):
            return self.loop(name, arguments)
        return self.results(name, arguments)

    def results(self, name: str, arguments: tuple[Any, ...], head: bool = False) -> Any:
        """What a graph returns; of the head of a loop its choice, which is not followed."""
        function = self.program.functions[name]
        if len(arguments) != len(function.inputs):
            raise self.malformed(
                f"{len(arguments)} arguments for {name[:200]!r}, which has {len(function.inputs)}"
            )
        if self.depth >= DEEPEST:
            raise UnsupportedError(
                f"{self.program.where}: graphs that call graphs, more than {DEEPEST} deep",
                fix="export the model without loops that depend on its inputs",
            )
        frame: Frame = {
            key: value for (key, _), value in zip(function.inputs, arguments, strict=True)
        }
        given = set(frame)
        same: dict[str, set[str]] = {}
        self.depth += 1
        for node in function.nodes:
            if node.output in frame:
                raise self.malformed(f"{node.output[:200]!r} is computed twice")
            frame[node.output] = self.node(frame, node, head)
            kind = self.kind(node)
            if kind in IN_PLACE:
                changed = same.setdefault(node.inputs[0], {node.inputs[0]})
                changed.add(node.output)
                same[node.output] = changed
                if not changed <= frame.keys() - given:
                    self.refuse(kind, "it changes what is given from outside", node)
                frame.update(dict.fromkeys(changed, frame[node.output]))
        results = [self.find(frame, name) for name in function.outputs]
        self.depth -= 1
        return results[0] if len(results) == 1 else tuple(results)

    def node(self, frame: Frame, node: Node, head: bool) -> Any:
        """What a node makes."""
        given = tuple(self.find(frame, name) for name in node.inputs)
        self.spend(given)
        called = node.called
        if isinstance(called, Primitive):
            return self.operator(called, given, node)
        if called in self.program.primitives:
            return self.operator(self.program.primitives[called], given, node)
        if called in self.program.functions:
            return self.follow(Closure(called), given, node)
        found = self.find(frame, called)
        if head and isinstance(found, Choice) and not given:
            return found
        return self.follow(found, given, node)

    def kind(self, node: Node) -> str:
        """The operator of a node; nothing where it calls something else."""
        called = node.called
        primitive = called if isinstance(called, Primitive) else self.program.primitives.get(called)
        return "" if primitive is None else primitive.type

    def spend(self, given: tuple[Any, ...]) -> None:
        """Count what is given to an operator."""
        self.spent += 1
        for place, _ in _leaves(given):
            self.spent += 1
            if self.spent > MOST_ARGUMENTS:
                raise self.malformed(f"more than {MOST_ARGUMENTS} arguments, calls followed")
            if len(place) > DEEPEST_TUPLE:
                raise self.malformed("tuples within tuples, too deep")

    def find(self, frame: Frame, name: str) -> Any:
        """A value by its name."""
        if name in frame:
            return frame[name]
        if name not in self.known:
            self.known[name] = self.shared(name)
        return self.known[name]

    def shared(self, name: str) -> Any:
        """A value that all graphs have: a constant, a parameter, a graph, a primitive."""
        if name in self.program.constants:
            return self.constant(self.program.constants[name])
        if name in self.program.parameters:
            return self.parameter(self.program.parameters[name][1], self.keys[name])
        if name in self.program.functions:
            return Closure(name)
        if name in self.program.primitives:
            return Closure(self.program.primitives[name])
        raise self.malformed(f"nothing computes {name[:200]!r}")

    def constant(self, value: Constant) -> Any:
        """A constant of the program."""
        if isinstance(value, tuple):
            return tuple(self.constant(one) for one in value)
        if not isinstance(value, Stored):
            return value
        array = value.array()
        if value.kind.onnx is None or array.size > LARGEST_CONSTANT:
            return self.parameter(value, self.graph.fresh("constant"))
        small = np.array(array)
        return Value(self.graph.constant(small), value.kind, value.shape, small)

    def parameter(self, tensor: Stored, name: str) -> Value | Opaque:
        """A tensor of the file as an initialiser, which is not looked at."""
        if tensor.kind.onnx is None:
            return Opaque()
        made = onnx.TensorProto(name=name, data_type=tensor.kind.onnx)
        made.dims.extend(tensor.shape)
        made.raw_data = np.ascontiguousarray(tensor.array()).tobytes()
        self.graph.initialisers[name] = made
        self.graph.values[name] = Value(name, tensor.kind, tensor.shape)
        return self.graph.values[name]

    def follow(self, called: Any, given: tuple[Any, ...], node: Node) -> Any:
        """What a value returns when it is called."""
        if isinstance(called, Closure):
            arguments = (*called.arguments, *given)
            if isinstance(called.called, Primitive):
                return self.operator(called.called, arguments, node)
            return self.run(called.called, arguments)
        if isinstance(called, Choice):
            return self.choose(called, given, node)
        if isinstance(called, Raised):
            return called
        if isinstance(called, Refused):
            return self.declared(node.form)
        raise self.malformed(f"{str(node.called)[:200]!r} is called, which is no graph")

    # ***** Operators *****

    def operator(self, primitive: Primitive, given: tuple[Any, ...], node: Node) -> Any:
        """What an operator makes; refusals are gathered."""
        if _holds(given, Raised):
            return Raised()
        if _holds(given, Refused):
            return self.declared(node.form)
        special = _SPECIAL.get(primitive.type)
        if special is not None:
            return special(self, given, node)
        rule = self.table.get(IN_PLACE.get(primitive.type, primitive.type))
        reason = ""
        if rule is not None:
            call = Call(self.graph, primitive, node.form, _scope(node.scope))
            try:
                if _holds(given, Again):
                    call.refuse("something follows the next round of a loop")
                return self.result(call, rule(call, **_bound(call, rule, given)), node.form)
            except Refusal as refusal:
                reason = str(refusal)
        return self.refuse(primitive.type, reason, node)

    def refuse(self, kind: str, reason: str, node: Node) -> Any:
        """Gather a refusal; what follows goes on with what is declared."""
        self.refused.setdefault((kind, reason), []).append(node.scope or node.output)
        return self.declared(node.form)

    def result(self, call: Call, made: Any, form: Forms) -> Any:
        """A result with its names of ONNX values taken as what is declared."""
        if isinstance(made, list):
            parts = form if isinstance(form, tuple) else ()
            if len(made) > len(parts):
                call.malformed(f"{len(parts)} results are declared, there are {len(made)}")
            missing = [Opaque()] * (len(parts) - len(made))
            return (
                *(self.result(call, one, part) for one, part in zip(made, parts, strict=False)),
                *missing,
            )
        if not isinstance(made, str):
            return made
        if not isinstance(form, Form) or form.kind is None or form.kind.onnx is None:
            call.refuse("a result of an element type that ONNX does not have")
        if form.number:
            return Scalar(made, form.kind)
        self.graph.values[made] = Value(made, form.kind, form.dims)
        return self.graph.values[made]

    def declared(self, form: Forms) -> Any:
        """A value of this form, which nothing computes: what follows a refusal is looked at too."""
        if isinstance(form, tuple):
            return tuple(self.declared(part) for part in form)
        if isinstance(form, Opaque):
            return form if form.what in MONADS else Refused()
        if form.dims is None:
            return Refused()
        name = self.graph.fresh("refused")
        return (
            Scalar(name, form.kind or INT64) if form.number else Value(name, form.kind, form.dims)
        )

    # ***** Control flow *****

    def choose(self, choice: Choice, given: tuple[Any, ...], node: Node) -> Any:
        """An If node with what both sides return; or the loop that this is the head of."""
        sides = []
        for side in (choice.yes, choice.no):
            with self.inside() as nodes:
                made = self.follow(side, given, node)
            sides.append((made, nodes))
        (yes, yes_nodes), (no, no_nodes) = sides
        for made, other, nodes in ((yes, no, no_nodes), (no, yes, yes_nodes)):
            if isinstance(made, Raised):
                self.graph.nodes += nodes
                return other
        if isinstance(yes, Refused) or isinstance(no, Refused):
            return self.declared(node.form)
        head = ""
        if isinstance(yes, Again) and isinstance(no, Again) and yes.head == no.head:
            head, yes, no = yes.head, yes.arguments, no.arguments
        found: list[tuple[str, str, ElementType]] = []
        try:
            made = self.merged(yes, no, yes_nodes, no_nodes, found)
        except Refusal as refusal:
            return self.refuse("Switch", str(refusal), node)
        if found:
            scope = _scope(node.scope)
            names = [self.graph.fresh(f"{scope}/If") for _ in found]
            branches = {}
            for key, index, nodes in (("then_branch", 0, yes_nodes), ("else_branch", 1, no_nodes)):
                ends = [(one[0], one[1])[index] for one in found]
                branches[key] = _branch(nodes, ends, [one[2] for one in found], [])
            self.graph.node("If", [choice.condition], names, **branches)
            made = _renamed(made, dict(zip([one[0] for one in found], names, strict=True)))
        return Again(head, made) if head else made

    # ***** Loops *****

    def recursive(self, name: str) -> bool:
        """Whether a graph is called by what it calls: the head of a loop, within those that are open."""
        key = (name, *self.loops)
        if key not in self.heads:
            seen: set[str] = set(self.loops)
            open_ = [*self.called(name)]
            while open_ and name not in seen:
                one = open_.pop()
                if one not in seen:
                    seen.add(one)
                    open_ += self.called(one)
            self.heads[key] = name in seen
        return self.heads[key]

    def called(self, name: str) -> set[str]:
        """The graphs that a graph names."""
        if name not in self.names:
            functions = self.program.functions
            said = {
                one
                for node in functions[name].nodes
                for one in (node.called, *node.inputs, *functions[name].outputs)
                if isinstance(one, str)
            }
            self.names[name] = {one for one in said if one in functions}
        return self.names[name]

    def loop(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """A Loop node, then what comes behind it."""
        if len(self.loops) >= DEEPEST_LOOPS:
            raise UnsupportedError(f"{self.program.where}: loops within loops within loops")
        forms = [form for _, form in self.program.functions[name].inputs]
        if len(forms) != len(arguments):
            raise self.malformed(f"{len(arguments)} arguments for {name[:200]!r}")
        where = Node(name, (), name, Opaque(), f"{name}/")
        try:
            states = self.changing(name, arguments, forms)
            begin = [self.as_state(arguments, place) for place in states]
            first = self.head(name, _with(arguments, states, [one for one, _ in begin]))
            inner = [
                self.placeholder(one, forms, place)
                for (one, _), place in zip(begin, states, strict=True)
            ]
            with self.inside() as nodes:
                following = self.round(name, _with(arguments, states, inner))
                ends = [self.as_state(following.arguments, place) for place in states]
                again = self.head(name, _with(arguments, states, [one for one, _ in ends]))
                outputs = [self.copied(again.condition)]
                outputs += [self.copied(one.name) for _, one in ends]
        except Refusal as refusal:
            self.refuse("Loop", str(refusal), where)
            return Refused()
        kinds = [one.type for _, one in begin]
        if kinds != [one.type for _, one in ends]:
            self.refuse("Loop", "a state that changes its element type", where)
            return Refused()
        inputs = [
            helper.make_tensor_value_info(self.graph.fresh("round"), INT64.onnx, []),
            helper.make_tensor_value_info(self.graph.fresh("more"), BOOL.onnx, []),
            *(_declared(one) for one in inner),
        ]
        body = _branch(nodes, outputs, [BOOL, *kinds], inputs)
        scope = _scope(next((n.scope for n in self.program.functions[name].nodes if n.scope), ""))
        final = [self.graph.fresh(f"{scope}/Loop") for _ in states]
        given = ["", first.condition, *(one.name for _, one in begin)]
        self.graph.node("Loop", given, final, body=body)
        last = [replace(one, name=end) for one, end in zip(inner, final, strict=True)]
        behind = self.head(name, _with(arguments, states, last))
        return self.follow(behind.no, (), where)

    def changing(
        self, name: str, arguments: tuple[Any, ...], forms: list[Forms]
    ) -> list[tuple[int, ...]]:
        """The arguments that a round of a loop changes, as places in tuples within tuples."""
        places = [place for place, one in _leaves(arguments) if self.as_onnx(one) is not None]
        refused = {key: [*names] for key, names in self.refused.items()}
        with self.inside():
            begin = [self.as_state(arguments, place)[0] for place in places]
            held = [
                self.placeholder(one, forms, place)
                for one, place in zip(begin, places, strict=True)
            ]
            made = self.round(name, _with(arguments, places, held)).arguments
            changed = [
                place
                for place, one in zip(places, held, strict=True)
                if getattr(_at(made, place), "name", None) != one.name
            ]
        self.refused = refused
        return changed

    def round(self, name: str, arguments: tuple[Any, ...]) -> Again:
        """What the next round of a loop begins with."""
        choice = self.head(name, arguments)
        self.loops.append(name)
        made = self.follow(choice.yes, (), Node(name, (), name, Opaque(), ""))
        self.loops.pop()
        if not isinstance(made, Again) or made.head != name:
            raise Refusal("a loop that is left within a round")
        return made

    def head(self, name: str, arguments: tuple[Any, ...]) -> Choice:
        """The choice that the head of a loop ends with: another round, or what comes behind it."""
        made = self.results(name, arguments, head=True)
        if not isinstance(made, Choice):
            raise Refusal("a graph that calls itself, and is no loop")
        return made

    def as_state(self, arguments: Any, place: tuple[int, ...]) -> tuple[Value | Scalar, Value]:
        """An argument as what a loop keeps, and its ONNX value."""
        one = _at(arguments, place)
        found = self.as_onnx(one)
        if found is None:
            raise Refusal("a state that is no tensor")
        if isinstance(one, Value):
            return replace(one, array=None), found
        return Scalar(found.name, found.type), found

    def placeholder(
        self, one: Value | Scalar, forms: list[Forms], place: tuple[int, ...]
    ) -> Value | Scalar:
        """What a state is called within a round; its dimensions are those that the head declares."""
        name = self.graph.fresh("/state")
        if isinstance(one, Scalar):
            return Scalar(name, one.kind)
        form: Any = tuple(forms)
        for index in place:
            form = form[index] if isinstance(form, tuple) and index < len(form) else None
        return Value(name, one.kind, form.dims if isinstance(form, Form) else None)

    def copied(self, name: str) -> str:
        """A value of its own with what another has."""
        made = self.graph.fresh("/next")
        self.graph.node("Identity", [name], [made])
        return made

    # ***** Nodes *****

    def merged(
        self,
        yes: Any,
        no: Any,
        yes_nodes: list[onnx.NodeProto],
        no_nodes: list[onnx.NodeProto],
        found: list[tuple[str, str, ElementType]],
    ) -> Any:
        """One value for what two sides make; what differs goes to `found`, by a new name of the first side."""
        if isinstance(yes, (Opaque, Closure)) or yes is None:
            if type(yes) is not type(no) or (yes != no and not isinstance(yes, Opaque)):
                raise Refusal("sides that return different things")
            return yes
        if isinstance(yes, tuple):
            if not isinstance(no, tuple) or len(yes) != len(no):
                raise Refusal("sides that return tuples of different lengths")
            return tuple(
                self.merged(one, other, yes_nodes, no_nodes, found)
                for one, other in zip(yes, no, strict=True)
            )
        if yes == no and type(yes) is type(no):
            return yes
        if isinstance(yes, str) or isinstance(no, str):
            raise Refusal("sides that return different things")
        first, second = self.as_onnx(yes), self.as_onnx(no)
        if first is None or second is None or first.kind != second.kind:
            raise Refusal("sides that return different things")
        number = not isinstance(yes, Value)
        if number == isinstance(no, Value):
            raise Refusal("one side returns a number, the other a tensor")
        names = []
        for value, nodes in ((first, yes_nodes), (second, no_nodes)):
            name = self.graph.fresh("/branch")
            nodes.append(helper.make_node("Identity", [value.name], [name], name))
            names.append(name)
        found.append((names[0], names[1], first.type))
        if number:
            return Scalar(names[0], first.type)
        return Value(names[0], first.kind, _common(first.dims, second.dims))

    def as_onnx(self, value: Any) -> Value | None:
        """A tensor or a number as an ONNX value; numbers have one dimension."""
        if isinstance(value, Value):
            return value
        if isinstance(value, Scalar):
            return Value(value.name, value.kind, (1,))
        if isinstance(value, (bool, int, float)):
            kind = BOOL if isinstance(value, bool) else INT64 if isinstance(value, int) else FLOAT
            return Value(self.graph.constant(np.array([value], kind.numpy)), kind, (1,))
        return None

    @contextmanager
    def inside(self) -> Iterator[list[onnx.NodeProto]]:
        """Nodes that are made meanwhile go into a list of their own."""
        outer, self.graph.nodes = self.graph.nodes, []
        try:
            yield self.graph.nodes
        finally:
            self.graph.nodes = outer

    def malformed(self, what: str) -> UnsafeInput:
        """A program that contradicts itself."""
        return UnsafeInput(f"{self.program.where}: {what}", fix="fetch the file again")

    def report(self) -> None:
        """Refuse all that was gathered, at once."""
        if self.refused:
            raise UnsupportedOperators(
                "onnx",
                [
                    Unsupported(kind[:200], names[0][:200], len(names), why)
                    for (kind, why), names in self.refused.items()
                ],
            )


# ***** What is no operator, but the structure of the program *****


def _load(inliner: Inliner, given: tuple[Any, ...], node: Node) -> Any:
    """The first argument; what else there is keeps side effects in order."""
    if not given:
        raise inliner.malformed("an operator without arguments")
    return given[0]


def _nothing(inliner: Inliner, given: tuple[Any, ...], node: Node) -> Any:
    return Opaque(MONADS[0])


def _tuple(inliner: Inliner, given: tuple[Any, ...], node: Node) -> Any:
    return tuple(one for one in given)


def _item(inliner: Inliner, given: tuple[Any, ...], node: Node) -> Any:
    if len(given) == 2 and isinstance(given[0], tuple) and isinstance(given[1], int):
        count = len(given[0])
        if -count <= given[1] < count:
            return given[0][given[1]]
    if len(given) == 2 and isinstance(given[0], Value) and isinstance(given[1], int):
        # A size of a tensor of any rank.
        call = Call(inliner.graph, Primitive("TupleGetItem"), node.form, _scope(node.scope))
        return Scalar(call.node("Gather", given[0].name, call.vector([given[1]])), INT64)
    return inliner.refuse("TupleGetItem", "no item of a tuple that is known", node)


def _partial(inliner: Inliner, given: tuple[Any, ...], node: Node) -> Any:
    if not given or not isinstance(given[0], Closure):
        raise inliner.malformed("a partial call of what is no graph")
    return Closure(given[0].called, (*given[0].arguments, *given[1:]))


def _switch(inliner: Inliner, given: tuple[Any, ...], node: Node) -> Any:
    if len(given) != 3:
        raise inliner.malformed(f"a choice of {len(given)} things")
    condition, yes, no = given
    if isinstance(condition, Value) and condition.array is not None and condition.array.size == 1:
        condition = bool(condition.array.reshape(-1)[0])
    if isinstance(condition, (bool, int, float)):
        return yes if condition else no
    if not isinstance(condition, (Value, Scalar)):
        return inliner.refuse("Switch", "a condition that is no number", node)
    call = Call(inliner.graph, Primitive("Switch"), node.form, _scope(node.scope))
    return Choice(call.name(condition, BOOL), yes, no)


def _raise(inliner: Inliner, given: tuple[Any, ...], node: Node) -> Any:
    return Raised()


_SPECIAL: Mapping[str, Callable[[Inliner, tuple[Any, ...], Node], Any]] = {
    "Assert": _nothing,
    "Depend": _load,
    "JoinedStr": _nothing,
    "Load": _load,
    "MakeList": _tuple,
    "make_list": _tuple,
    "MakeTuple": _tuple,
    "ListGetItem": _item,
    "Partial": _partial,
    "Print": _nothing,
    "RealMakeTuple": _tuple,
    "RealTupleGetItem": _item,
    "Switch": _switch,
    "TensorDump": _nothing,
    "TensorMove": _load,
    "TupleGetItem": _item,
    "UpdateState": _nothing,
    "raise": _raise,
    "return": _load,
}


def _bound(call: Call, rule: Rule, given: tuple[Any, ...]) -> dict[str, Any]:
    """Arguments of an operator's function: inputs in order, then attributes by their name."""
    plain = [one for one in given if not (isinstance(one, Opaque) and one.what in MONADS)]
    names = [*inspect.signature(rule).parameters.values()][1:]
    # What `partial` has fixed is behind the inputs.
    wanted = [one for one in names if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    if len(plain) > len(wanted):
        call.refuse(f"{len(plain)} inputs, {len(wanted)} are known")
    bound = {one.name: value for one, value in zip(wanted, plain, strict=False)}
    for one in wanted[len(plain) :]:
        if one.name in call.primitive.attributes:
            value = call.primitive.attributes[one.name]
            if isinstance(value, Stored):
                call.refuse(f"{one.name} is a tensor")
            bound[one.name] = value
        elif one.default is inspect.Parameter.empty:
            call.malformed(f"it lacks {one.name!r}")
    return bound


def _leaves(value: Any, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    """What is in tuples within tuples, with its place; not beyond a depth that none has."""
    if isinstance(value, tuple) and len(place) <= DEEPEST_TUPLE:
        for index, part in enumerate(value):
            yield from _leaves(part, (*place, index))
    else:
        yield place, value


def _at(value: Any, place: tuple[int, ...]) -> Any:
    """What is at a place; None where it is not."""
    for index in place:
        value = value[index] if isinstance(value, tuple) and index < len(value) else None
    return value


def _with(
    arguments: tuple[Any, ...], places: list[tuple[int, ...]], values: list[Any]
) -> tuple[Any, ...]:
    """The same arguments, with other values at some places."""
    made = dict(zip(places, values, strict=True))

    def replaced(value: Any, place: tuple[int, ...]) -> Any:
        if isinstance(value, tuple):
            return tuple(replaced(part, (*place, index)) for index, part in enumerate(value))
        return made.get(place, value)

    return tuple(replaced(one, (index,)) for index, one in enumerate(arguments))


def _holds(value: Any, kind: type) -> bool:
    return any(isinstance(one, kind) for _, one in _leaves(value))


def cells(scope: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The cells around an operator, outermost first, with their classes.

    Args:
        scope: `Default/layers-CellList/0-Dense/MatMul-op0`.
    """
    path: tuple[str, ...] = ()
    for part in scope.split("/")[:-1]:
        name, _, kind = part.rpartition("-")
        if part and (name or kind) not in ("Default", "Gradients"):
            path = (*path, name or kind)
            yield path, kind


def _scope(said: str) -> str:
    """`Default/layers-CellList/0-Dense/MatMul-op0` -> `/layers/0`."""
    return "".join(f"/{path[-1]}" for path, _ in cells(said))


def _branch(
    nodes: list[onnx.NodeProto],
    ends: list[str],
    kinds: list[ElementType],
    inputs: list[onnx.ValueInfoProto],
) -> onnx.GraphProto:
    outputs = [
        helper.make_tensor_value_info(name, kind.onnx, None)
        for name, kind in zip(ends, kinds, strict=True)
    ]
    return helper.make_graph(needed_for(nodes, ends)[0], "branch", inputs, outputs)


def _declared(value: Value | Scalar) -> onnx.ValueInfoProto:
    """An input of a graph within a node."""
    dims = value.dims if isinstance(value, Value) else (1,)
    shape = None if dims is None else [size if size >= 0 else None for size in dims]
    kind = value.type if isinstance(value, Value) else value.kind
    return helper.make_tensor_value_info(value.name, kind.onnx, shape)


def _renamed(made: Any, names: Mapping[str, str]) -> Any:
    """The same with other ONNX values."""
    if isinstance(made, tuple):
        return tuple(_renamed(one, names) for one in made)
    if isinstance(made, (Value, Scalar)) and made.name in names:
        return replace(made, name=names[made.name])
    return made


def _common(
    first: tuple[int, ...] | None, second: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Dimensions of one of two tensors: what both agree about."""
    if first is None or second is None or len(first) != len(second):
        return None
    return tuple(a if a == b else -1 for a, b in zip(first, second, strict=True))


__all__ = ["Inliner", "cells"]
