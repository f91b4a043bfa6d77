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
from converters.dtypes import BY_NAME, ElementType
from converters.errors import UnsafeInput, Unsupported, UnsupportedError, UnsupportedOperators
from converters.importers.graph import INT64, LARGEST_CONSTANT, Graph, Refusal, Value, needed_for
from converters.importers.mindspore.build import (
    BOOL,
    FLOAT,
    MONADS,
    Again,
    Call,
    Choice,
    Closure,
    Raised,
    Scalar,
)
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
DEEPEST = 60
DEEPEST_LOOPS = 3
MOST_CALLS = 1_000_000


class Inliner:
    """Follows the calls of a program and adds what its operators are to a graph."""

    def __init__(self, program: Program, graph: Graph, table: Mapping[str, Rule]) -> None:
        self.program = program
        self.graph = graph
        self.table = table
        self.refused: dict[tuple[str, str], list[str]] = {}
        self.known: Frame = {}
        self.loops: list[str] = []
        self.depth = 0
        self.calls = 0

    # ***** Calls *****

    def run(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What a graph returns for these arguments."""
        if name in self.loops:
            return Again(arguments)
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
        self.depth += 1
        for node in function.nodes:
            self.calls += 1
            if self.calls > MOST_CALLS:
                raise self.malformed(f"more than {MOST_CALLS} operators, calls followed")
            if node.output in frame:
                raise self.malformed(f"{node.output[:200]!r} is computed twice")
            frame[node.output] = self.node(frame, node)
        results = [self.find(frame, name) for name in function.outputs]
        self.depth -= 1
        return results[0] if len(results) == 1 else tuple(results)

    def node(self, frame: Frame, node: Node) -> Any:
        """What a node makes."""
        given = tuple(self.find(frame, name) for name in node.inputs)
        called = node.called
        if isinstance(called, Primitive):
            return self.operator(called, given, node)
        if called in self.program.primitives:
            return self.operator(self.program.primitives[called], given, node)
        if called in self.program.functions:
            return self.follow(Closure(called), given, node)
        return self.follow(self.find(frame, called), given, node)

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
            key, tensor = self.program.parameters[name]
            return self.stored(tensor, key)
        if name in self.program.functions:
            return Closure(name)
        if name in self.program.primitives:
            return Closure(self.program.primitives[name])
        raise self.malformed(f"nothing computes {name[:200]!r}")

    def constant(self, value: Constant) -> Any:
        if isinstance(value, tuple):
            return tuple(self.constant(one) for one in value)
        return self.stored(value, "constant") if isinstance(value, Stored) else value

    def stored(self, tensor: Stored, name: str) -> Value | Opaque:
        """A tensor of the file as an initialiser."""
        if tensor.kind.onnx is None:
            return Opaque()
        array = tensor.array()
        small = np.array(array) if array.size <= LARGEST_CONSTANT else None
        if small is not None and name == "constant":
            return Value(self.graph.constant(small), tensor.kind, tensor.shape, small)
        made = onnx.TensorProto(name=self.graph.fresh(name), data_type=tensor.kind.onnx)
        made.dims.extend(tensor.shape)
        made.raw_data = np.ascontiguousarray(array).tobytes()
        self.graph.initialisers[made.name] = made
        # Weights are not looked at.
        return Value(made.name, tensor.kind, tensor.shape)

    def follow(self, called: Any, given: tuple[Any, ...], node: Node) -> Any:
        """What a value returns when it is called."""
        if isinstance(called, Closure):
            arguments = (*called.arguments, *given)
            if isinstance(called.called, Primitive):
                return self.operator(called.called, arguments, node)
            return self.run(called.called, arguments)
        if isinstance(called, Choice):
            return self.choose(called, given, node)
        if isinstance(called, (Raised, Opaque)):
            return self.declared(node.form)
        raise self.malformed(f"{str(node.called)[:200]!r} is called, which is no graph")

    # ***** Operators *****

    def operator(self, primitive: Primitive, given: tuple[Any, ...], node: Node) -> Any:
        """What an operator makes; refusals are gathered."""
        special = _SPECIAL.get(primitive.type)
        if special is not None:
            return special(self, given, node)
        rule = self.table.get(primitive.type)
        reason = ""
        if rule is not None:
            call = Call(self.graph, primitive, node.form, _scope(node.scope))
            try:
                if any(isinstance(one, Again) for one in given):
                    call.refuse("something follows the next round of a loop")
                return self.result(call, rule(call, **_bound(call, rule, given)), node.form)
            except Refusal as refusal:
                reason = str(refusal)
        self.refused.setdefault((primitive.type, reason), []).append(node.scope or node.output)
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
        return Value(made, form.kind, form.dims)

    def declared(self, form: Forms) -> Any:
        """A value of this form, which nothing computes: what follows a refusal is looked at too."""
        if isinstance(form, tuple):
            return tuple(self.declared(part) for part in form)
        if isinstance(form, Opaque):
            return form
        name = self.graph.fresh("refused")
        return Scalar(name, form.kind or INT64) if form.number else Value(name, form.kind, form.dims)

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
        again = isinstance(yes, Again) and isinstance(no, Again)
        if again:
            yes, no = yes.arguments, no.arguments
        found: list[tuple[str, str, ElementType]] = []
        try:
            made = self.merged(yes, no, yes_nodes, no_nodes, found)
        except Refusal as refusal:
            self.refused.setdefault(("Switch", str(refusal)), []).append(node.scope or node.output)
            return self.declared(node.form)
        if found:
            scope = _scope(node.scope)
            names = [self.graph.fresh(f"{scope}/If") for _ in found]
            branches = {}
            for key, index, nodes in (("then_branch", 0, yes_nodes), ("else_branch", 1, no_nodes)):
                ends = [one[index] for one in found]
                branches[key] = _branch(nodes, ends, [one[2] for one in found], [])
            self.graph.node("If", [choice.condition], names, **branches)
            made = _renamed(made, dict(zip([one[0] for one in found], names, strict=True)))
        return Again(made) if again else made

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
    if len(given) == 2 and isinstance(given[0], (Opaque, Raised)):
        return inliner.declared(node.form)
    inliner.refused.setdefault(("TupleGetItem", "no item of a tuple that is known"), []).append(
        node.scope or node.output
    )
    return inliner.declared(node.form)


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
        return inliner.declared(node.form)
    call = Call(inliner.graph, Primitive("Switch"), node.form, _scope(node.scope))
    name = call.cast(condition.name, condition.kind or BOOL, BOOL)
    return Choice(name, yes, no)


def _raise(inliner: Inliner, given: tuple[Any, ...], node: Node) -> Any:
    return Raised()


def _depend(inliner: Inliner, given: tuple[Any, ...], node: Node) -> Any:
    return _load(inliner, given, node)


_SPECIAL: Mapping[str, Callable[[Inliner, tuple[Any, ...], Node], Any]] = {
    "Assert": _nothing,
    "Depend": _depend,
    "JoinedStr": _nothing,
    "Load": _load,
    "MakeList": _tuple,
    "MakeTuple": _tuple,
    "ListGetItem": _item,
    "Partial": _partial,
    "Print": _nothing,
    "RealMakeTuple": _tuple,
    "RealTupleGetItem": _item,
    "Switch": _switch,
    "TensorDump": _nothing,
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


def _scope(said: str) -> str:
    """`Default/layers-CellList/0-Dense/MatMul-op0` -> `/layers/0/MatMul`, less the operator itself."""
    parts = said.split("/")[:-1]
    names = [part.rpartition("-")[0] or part for part in parts if part]
    return "".join(f"/{name}" for name in names if name not in ("Default", "Gradients"))


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


__all__ = ["BY_NAME", "Inliner"]
