"""Graph -> statements, through a framework's operator table.

A statement computes one or more values by one expression, in which a token (`_v12_`) stands for each
value that it reads. Nothing here knows how values, modules or classes are named.
"""

from __future__ import annotations

import ast
import re
from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeAlias

import numpy as np

from converters.emitters import text as texts
from converters.emitters.names import parameter_path
from converters.emitters.table import Layer, Numbers, Operand, Refusal, Table, Use
from converters.errors import Unsupported, UnsupportedOperators
from converters.graph.control import LOOPS, Collected, Items, Loop, branches_of, loop_of
from converters.graph.expand import refusal
from converters.graph.hosts import Expr, Host, Item, dim, host_of
from converters.graph.infer import infer
from converters.graph.model import Graph, Node, Value, every_graph, subgraphs

TOKEN = re.compile(r"_v\d+_")
# One that stands for a tensor: numbers and lists have no attributes that expressions read.
TENSOR_TOKEN = re.compile(r"(_v\d+_)\.")

# Inputs that operators need on the host as plain numbers: by position.
HOST_INPUTS: dict[str, frozenset[int]] = {
    "AffineGrid": frozenset({1}),
    "CenterCropPad": frozenset({1}),
    "Col2Im": frozenset({1, 2}),
    "ConstantOfShape": frozenset({0}),
    "CumSum": frozenset({1}),
    "DFT": frozenset({1, 2}),
    "Expand": frozenset({1}),
    "MaxUnpool": frozenset({2}),
    "NonMaxSuppression": frozenset({2, 3, 4}),
    "OneHot": frozenset({1}),
    "Pad": frozenset({1, 3}),
    "Range": frozenset({0, 1, 2}),
    "ReduceL1": frozenset({1}),
    "ReduceL2": frozenset({1}),
    "ReduceLogSum": frozenset({1}),
    "ReduceLogSumExp": frozenset({1}),
    "ReduceMax": frozenset({1}),
    "ReduceMean": frozenset({1}),
    "ReduceMin": frozenset({1}),
    "ReduceProd": frozenset({1}),
    "ReduceSum": frozenset({1}),
    "ReduceSumSquare": frozenset({1}),
    "Reshape": frozenset({1}),
    "Resize": frozenset({1, 2, 3}),
    "STFT": frozenset({1, 3}),
    "SequenceAt": frozenset({1}),
    "SequenceErase": frozenset({1}),
    "SequenceInsert": frozenset({2}),
    "SplitToSequence": frozenset({1}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Split": frozenset({1}),
    "Squeeze": frozenset({1}),
    "Tile": frozenset({1}),
    "TopK": frozenset({1}),
    "Trilu": frozenset({1}),
    "Unsqueeze": frozenset({1}),
    "BlackmanWindow": frozenset({0}),
    "HammingWindow": frozenset({0}),
    "HannWindow": frozenset({0}),
    "MelWeightMatrix": frozenset({0, 1, 2, 3, 4}),
}

# Inputs that pick one member of a tensor, for which a number on the host does.
INDICES = {("Gather", 1)}

# Operators that work element by element with broadcasting: a number may stand for a constant.
ELEMENTWISE = {
    "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Equal", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Where", "Max", "Min", "Clip", "Bounded", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor",
    "PRelu",
}  # fmt: skip


# How expressions of the host read values that are no tensors.
OF_VALUES = {"value": "{}", "ndim": "{}.ndim", "len": "len({})", "given": "({} is not None)"}


@dataclass(eq=False)
class Statement:
    """One expression and the values that it gives.

    Attributes:
        outputs: The values in order, None for those that nothing reads.
        expression: With tokens for the values that it reads; `layer` for the module of `layer`.
        layer: The module that it calls, if it is one.
        reads: The values that its tokens stand for, once for each time they occur; for control flow
            all that is read within it too and comes from outside.
        head: Those that its own expression reads.
        scope: Names of the modules around it, outermost first.
        leaf: For a layer, its own name in the innermost of them; empty where the source has none.
        home: For a layer, the innermost of them where those only hold it: those that the module which
            computes it goes through.
        choice: For an `if`, whose condition is the expression: what either branch does.
        rounds: For a loop.
        again: Whether others apply the same weights in the same way, and nothing else reads these.
        first: In a module that is called more than once, the same statement of its first call.
    """

    outputs: tuple[Value | None, ...]
    expression: ast.expr
    node: Node
    reads: tuple[Value, ...]
    layer: Layer | None = None
    scope: tuple[str, ...] = ()
    leaf: str = ""
    home: tuple[str, ...] = ()
    head: tuple[Value, ...] = ()
    choice: tuple[Program, ...] = ()
    rounds: Rounds | None = None
    again: bool = False
    first: Statement | None = None

    @property
    def direct(self) -> tuple[Value, ...]:
        """What it reads itself, before anything within it does."""
        carried = self.rounds.carried if self.rounds is not None else ()
        return (*self.head, *(c.initial for c in carried if c.initial is not None))

    def made(self) -> Iterator[Value]:
        """The values that it computes or binds itself."""
        yield from (value for value in self.outputs if value is not None)
        if self.rounds is not None:
            yield from self.rounds.items
            yield from (c.inner for c in self.rounds.carried)

    def results(self) -> list[Value]:
        """What the programs within it give."""
        if self.rounds is not None:
            carried = [c.result for c in self.rounds.carried]
            return carried + [result for result, _ in self.rounds.collected]
        return [value for block in self.choice for value in block.graph.outputs]

    @property
    def blocks(self) -> tuple[Program, ...]:
        """The programs within it."""
        return self.choice if self.rounds is None else (self.rounds.body,)

    def every(self) -> Iterator[Statement]:
        """It and the statements within it, at every depth."""
        yield self
        for block in self.blocks:
            for inner in block.statements:
                yield from inner.every()


@dataclass(frozen=True, eq=False)
class Carry:
    """A value that each round of a loop gives to the next.

    Attributes:
        initial: It before the first round; None for a condition that is not asked before.
        inner: It within a round.
        result: What a round makes of it.
        output: It after the last round, where something reads it.
    """

    initial: Value | None
    inner: Value
    result: Value
    output: Value | None


@dataclass(frozen=True, eq=False)
class Rounds:
    """A loop: `for items in <expression>:`, or `while` where the expression is the constant True.

    Attributes:
        items: The names that `for` binds.
        carried: What goes from round to round.
        collected: What each round appends, and the list that it is appended to.
        condition: The carried value that says whether there is another round.
    """

    body: Program
    items: tuple[Value, ...] = ()
    carried: tuple[Carry, ...] = ()
    collected: tuple[tuple[Value, Value], ...] = ()
    condition: Value | None = None


@dataclass
class Program:
    """A graph as statements of one framework.

    Attributes:
        statements: In order; those with programs of their own are control flow.
        tokens: Which value a token stands for, here and in the programs within.
    """

    graph: Graph
    statements: list[Statement]
    tokens: dict[str, Value] = field(default_factory=dict)

    def every_statement(self) -> Iterator[Statement]:
        """Its statements and those within them, at every depth."""
        for statement in self.statements:
            yield from statement.every()


@dataclass(frozen=True)
class Spelling:
    """What a framework calls the few things that do not belong to an operator.

    Attributes:
        tolist: Turns a tensor into Python numbers: `{}.tolist()`.
        tensor: Makes a tensor of Python numbers: `torch.tensor({items}, dtype={dtype}{device})`.
        dtypes: Element types by numpy name.
        device: The argument that puts a new tensor beside another one, where that must be said.
        stack: Makes a tensor of a list of them: `torch.stack({items}, dim={axis})`.
        stack_backwards: ... from the last one to the first.
        filled: Whether a list has any of them.
        unstack: Iterates over a tensor along an axis: `{x}.unbind({axis})`; empty where a loop must count, so that
            its framework can save it as a loop.
        empty: A tensor without elements: `torch.zeros({shape}, dtype={dtype}{device})`.
        from_numpy, to_numpy: Between tensors and arrays, for what has to do with text.
    """

    tolist: str
    tensor: str
    dtypes: dict[str, str]
    device: str = ""
    stack: str = ""
    stack_backwards: str = ""
    filled: str = "{items}"
    unstack: str = ""
    empty: str = ""
    from_numpy: str = ""
    to_numpy: str = ""

    def beside(self, text: str) -> str:
        """The argument that puts a new tensor beside the first one that an expression reads."""
        token = TENSOR_TOKEN.search(text)
        return self.device.format(token.group(1)) if token is not None and self.device else ""

    def dtype(self, dtype: np.dtype[Any] | None) -> str:
        """The framework's expression for an element type; refused where it has none."""
        name = "unknown" if dtype is None else dtype.name
        if name not in self.dtypes:
            raise Refusal(f"element type {name}")
        return self.dtypes[name]


def lower(graph: Graph, table: Table, spelling: Spelling, framework: str) -> Program:
    """Write every node of a graph through a table.

    Raises:
        UnsupportedOperators: Lists every operator that the table does not have, or refuses as used.
    """
    return _Lowering(graph, table, spelling, framework).run()


TEXT = Table.of(texts)


# What calls of one layer have in common: operator, attributes, constants and ranks by their place.
_Call: TypeAlias = tuple[object, ...]


def _called_again(graph: Graph, readers: Mapping[Value, int]) -> dict[Node, _Call]:
    """Nodes that apply the same weights as others in the same way, where nothing else reads these."""
    calls: dict[_Call, list[Node]] = {}
    for node in graph.nodes:
        constants = [v for v in node.inputs if v is not None and v.const is not None]
        if any(v.trainable and parameter_path(v) for v in constants):
            inputs = [v if v is None or v.const is not None else v.rank for v in node.inputs]
            key = (node.key, repr(sorted(node.attributes.items())), *inputs)
            calls.setdefault(key, []).append(node)
    return {
        node: key
        for key, nodes in calls.items()
        for node in nodes
        if len(nodes) > 1
        and all(
            readers[v] == len(nodes) for v in node.inputs if v is not None and v.const is not None
        )
    }


class _Lowering:
    """Lowers one graph; a sub-graph gets a lowering of its own that shares what the outer one knows."""

    def __init__(self, graph: Graph, table: Table, spelling: Spelling, framework: str) -> None:
        self.graph, self.table, self.spelling, self.framework = graph, table, spelling, framework
        self.hosts = infer(graph)
        self.readers = Counter(
            value
            for inner in every_graph(graph)
            for node in inner.nodes
            for value in node.inputs
            if value is not None
        )
        # Layers that are called more than once: the same weights in the same operator.
        self.called = _called_again(graph, self.readers)
        self.layers: dict[_Call, Layer] = {}
        self.numbers = count()
        self.tokens: dict[Value, str] = {}
        self.program = Program(graph, [])
        self.materialised: ChainMap[Value, Value] = ChainMap()
        self.refused: dict[tuple[str, str], list[str]] = {}
        self.unsure: set[Value | None] = set()

    def run(self) -> Program:
        for value in self.graph.inputs:
            try:
                if not texts.is_text(value):
                    self.spelling.dtype(value.dtype)
            except Refusal as refusal:
                self.refused.setdefault(("input", str(refusal)), []).append(value.name)
        self.write()
        if self.refused:
            raise UnsupportedOperators(
                self.framework,
                [
                    Unsupported(k, names[0], len(names), why)
                    for (k, why), names in sorted(self.refused.items())
                ],
            )
        return self.program

    def write(self) -> None:
        """Fill the program with the statements of its graph."""
        for node in self.graph.nodes:
            if all(v is None or v in self.hosts for v in node.outputs):
                continue
            follows = any(v is not None and v in self.unsure for v in node.inputs)
            try:
                if node.key == "If":
                    self.choice(node)
                elif node.key in LOOPS:
                    self.loop(node)
                elif any(texts.is_text(v) for v in (*node.inputs, *node.outputs)):
                    self.program.statements += self.on_text(node)
                else:
                    self.program.statements.append(self.statement(node))
                self.unsure.update(node.outputs if follows else ())
            except Refusal as refusal:
                self.unsure.update(node.outputs)
                # What lacks a type only because an operator before it is refused is none of its own.
                if not (follows and "known" in str(refusal)):
                    self.refused.setdefault((node.key, str(refusal)), []).append(node.name)
        for position, value in enumerate(self.graph.outputs):
            if value in self.hosts or _is_empty(value):
                self.graph.outputs[position] = self.materialise(value)

    def block(self, graph: Graph) -> Program:
        """A sub-graph as a program: what it makes for itself is not seen from outside."""
        inner = copy(self)
        inner.graph = graph
        inner.program = Program(graph, [], self.program.tokens)
        inner.materialised = self.materialised.new_child()
        inner.write()
        return inner.program

    def choice(self, node: Node) -> None:
        """Write an `If` as `if condition: ... else: ...`."""
        condition = node.inputs[0]
        if condition is None:
            raise Refusal("no condition")
        text = self.whether(condition)
        statement = self.parsed(text, node)
        statement.choice = tuple(self.block(branch) for branch in branches_of(node))
        self.add_control(statement)

    def whether(self, value: Value) -> str:
        """A value of one element as the condition of an `if`."""
        host = host_of(value, self.hosts)
        if host is not None and len(host.items) == 1:
            return self.expression(host.items[0])
        return f"bool({self.token(value)})"

    def loop(self, node: Node) -> None:
        """`for ... in ...:` or `while ...:`, and the tensors made of what it collects."""
        loop = loop_of(node)
        if loop.trips is None and not loop.items and loop.goes_on is loop.condition is None:
            raise Refusal("nothing ends it")
        body = self.block(loop.body)
        # Numbers on the host that the body gives are tensors now.
        loop = loop_of(node)
        carried = [Carry(self.tensor(c.initial), c.inner, c.result, c.output) for c in loop.carried]
        condition = None
        if loop.condition is not None or loop.goes_on is not None:
            condition = loop.condition_in
            assert condition is not None  # noqa: S101 - only a Loop has one
            first = None if loop.condition is None else self.tensor(loop.condition)
            carried.append(Carry(first, condition, loop.goes_on or condition, None))
        items, over = self.items_of(loop, body, node)
        collected = [
            (c, Value(c.output.name, c.output.dtype, kind="list") if loop.stacked else c.output)
            for c in loop.collected
            if c.output is not None
        ]
        statement = self.parsed(over, node)
        statement.rounds = Rounds(
            body,
            tuple(items),
            tuple(carried),
            tuple((c.result, into) for c, into in collected),
            condition,
        )
        finals = [c.output for c in carried if c.output is not None]
        statement.outputs = (*finals, *(into for _, into in collected))
        self.add_control(statement)
        for c, into in collected if loop.stacked else ():
            self.stack(c, into, loop, node)

    def tensor(self, value: Value) -> Value:
        """A value as something that a variable can hold."""
        value = self.materialise(value) if value in self.hosts or _is_empty(value) else value
        if value.const is not None:
            self.spelling.dtype(value.dtype)
        self.token(value)
        return value

    def items_of(self, loop: Loop, body: Program, node: Node) -> tuple[list[Value], str]:
        """The names that the loop binds, and the expression for what it iterates over."""
        if loop.items:
            sources = [(item, *self.source(item)) for item in loop.items]
            if not self.spelling.unstack and any(i.source.kind != "sequence" for i in loop.items):
                return self.counted(sources, body, node)
            found = []
            for item, text, axis in sources:
                if item.source.kind != "sequence":
                    text = self.spelling.unstack.format(x=text, axis=axis)
                found.append(f"reversed({text})" if item.backwards else text)
            over = found[0] if len(found) == 1 else f"zip({', '.join(found)})"
            return [item.inner for item in loop.items], over
        assert loop.index is not None  # noqa: S101 - a Loop has one
        counted = any(loop.index in s.reads for s in body.statements)
        if loop.trips is None:
            return ([loop.index], "itertools.count()") if counted else ([], "True")
        host = host_of(loop.trips, self.hosts)
        if host is not None and len(host.items) == 1:
            return [loop.index], f"range({self.expression(host.items[0])})"
        return [loop.index], f"range(int({self.token(loop.trips)}))"

    def source(self, item: Items) -> tuple[str, int]:
        """What a loop takes items of, and along which axis."""
        text = self.token(self.tensor(item.source))
        if item.source.kind == "sequence":
            return text, 0
        if item.source.rank is None and item.axis < 0:
            raise Refusal(f"the rank of {item.source.name!r} is not known")
        return text, item.axis % item.source.rank if item.source.rank else item.axis

    def counted(
        self, sources: Sequence[tuple[Items, str, int]], body: Program, node: Node
    ) -> tuple[list[Value], str]:
        """`for i in range(x.shape[0]):`, in which each round begins with `item = x[i]`."""
        first, text, axis = sources[0]
        size = f"len({text})" if first.source.kind == "sequence" else f"{text}.shape[{axis}]"
        backwards = all(item.backwards for item, *_ in sources)
        index = Value(f"{node.name}/i", np.dtype(np.int64), (), kind="index")
        number = self.token(index)
        taken = []
        for item, text, axis in sources:
            other = item.backwards != backwards
            place = ", ".join([":"] * axis + [f"{size} - 1 - {number}" if other else number])
            binds = Node("Item", [item.source, index], [item.inner], {}, node.name, node.scope)
            if (
                any(item.inner in s.reads for s in body.statements)
                or item.inner in body.graph.outputs
            ):
                taken.append(self.parsed(f"{text}[{place}]", binds))
        body.statements[:0] = taken
        return [index], f"range({size} - 1, -1, -1)" if backwards else f"range({size})"

    def stack(self, collected: Collected, items: Value, loop: Loop, node: Node) -> None:
        """Make a tensor of what the rounds gave; its shape says what no rounds give."""
        out, result = collected.output, collected.result
        assert out is not None  # noqa: S101 - the caller has looked
        token = self.token(items)
        axis = collected.axis
        if axis < 0:
            if result.rank is None:
                raise Refusal(f"the rank of {result.name!r} is not known")
            axis %= result.rank + 1
        form = self.spelling.stack_backwards if collected.backwards else self.spelling.stack
        text = form.format(items=token, axis=axis)
        if not loop.static_trips:
            shape = [d if isinstance(d, int) else 0 for d in result.shape or ()]
            shape.insert(axis, 0)
            tensors = [v for v in node.inputs if v and v.kind == "tensor" and v not in self.hosts]
            beside = next((self.token(v) for v in tensors if v.const is None), "")
            filled = self.spelling.filled.format(items=token)
            text = f"{text} if {filled} else {self.empty(shape, out.dtype, beside)}"
        own = Node("Stack", [items], [out], {}, node.name, node.scope)
        self.program.statements.append(self.parsed(text, own))

    def add_control(self, statement: Statement) -> None:
        """Add control flow; it reads whatever is read within it and comes from outside."""
        made = {v for s in statement.every() for v in s.made()}
        reads = [*statement.direct]
        for block in statement.blocks:
            reads += [v for s in block.statements for v in s.reads]
        results = statement.results()
        for value in results:
            self.token(value)
        statement.reads = tuple(dict.fromkeys(v for v in (*reads, *results) if v not in made))
        self.program.statements.append(statement)

    def statement(self, node: Node) -> Statement:
        if node.key not in self.table:
            raise Refusal(refusal(node))
        if any(True for _ in subgraphs(node)):
            raise Refusal("a sub-graph")
        wanted = HOST_INPUTS.get(node.key, frozenset())
        inputs = [
            None if v is None else self.host(v, node) if k in wanted else self.operand(v, node, k)
            for k, v in enumerate(node.inputs)
        ]
        attributes = {k: self.attribute(v) for k, v in node.attributes.items()}
        written = self.table.write(node.key, inputs, attributes, Use(node))
        if not isinstance(written, Layer):
            return self.parsed(written, node)
        if node in self.called:
            first = self.layers.setdefault(self.called[node], written)
            if first.constructor == written.constructor:
                written = replace(written, weights=first.weights)
        return self.parsed(written.call, node, written)

    def on_text(self, node: Node) -> list[Statement]:
        """A statement for each output of an operator on texts, which numpy computes."""
        if node.key not in TEXT:
            raise Refusal(refusal(node) or "element type string")
        wanted = HOST_INPUTS.get(node.key, frozenset())
        inputs = [
            None if v is None else self.host(v, node) if k in wanted else self.array(v, node)
            for k, v in enumerate(node.inputs)
        ]
        attributes = {k: self.attribute(v) for k, v in node.attributes.items()}
        statements = []
        for k, out in enumerate(node.outputs):
            if out is None:
                continue
            part = Node(node.key, node.inputs, [out], {}, node.name, node.scope)
            key = f"{node.key}_{k}" if k else node.key
            written = str(TEXT.write(key, inputs, attributes, Use(part)))
            if not texts.is_text(out):
                self.spelling.dtype(out.dtype)
                written = self.spelling.from_numpy.format(x=written)
            statements.append(self.parsed(written, part))
        return statements

    def array(self, value: Value, node: Node) -> Operand:
        """A value as an array of numpy."""
        if value.const is not None and texts.is_text(value):
            return Operand(value, texts.literal(value.const))
        if value in self.hosts:
            value = self.materialise(value)
        token = self.token(value)
        return Operand(
            value, token if texts.is_text(value) else self.spelling.to_numpy.format(x=token)
        )

    def parsed(self, text: str, node: Node, layer: Layer | None = None) -> Statement:
        expression = ast.parse(text, mode="eval").body
        reads = tuple(
            self.program.tokens[n.id]
            for n in ast.walk(expression)
            if isinstance(n, ast.Name) and n.id in self.program.tokens
        )
        again = node in self.called
        return Statement(
            tuple(node.outputs), expression, node, reads, layer, node.scope, head=reads, again=again
        )

    def attribute(self, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def token(self, value: Value) -> str:
        if value not in self.tokens:
            token = self.tokens[value] = f"_v{next(self.numbers)}_"
            self.program.tokens[token] = value
        return self.tokens[value]

    def operand(self, value: Value, node: Node, position: int) -> Operand:
        if value in self.hosts:
            host = self.hosts[value]
            if (node.key, position) in INDICES and host.scalar:
                return Operand(value, "", self.expression(host.items[0], node))
            value = self.materialise(value)
        elif _is_empty(value):
            value = self.materialise(value)
        exclusive = value.const is not None and (self.readers[value] == 1 or node in self.called)
        number = self.number(value, node)
        if value.const is not None and not number:
            self.spelling.dtype(value.dtype)
        return Operand(value, self.token(value), number, exclusive)

    def number(self, value: Value, node: Node) -> str:
        """The text of a constant with one element, where a number may stand for it."""
        data = value.const
        if data is None or data.size != 1 or value.trainable or node.key not in ELEMENTWISE:
            return ""
        if data.dtype.kind not in "fiub":
            return ""
        others = [v for v in node.inputs if v is not None and v is not value and v.const is None]
        ranks = [v.rank for v in others]
        if not others or (
            data.ndim > 0 and not any(r is not None and r >= data.ndim for r in ranks)
        ):
            return ""
        return literal(data.ravel()[0])

    def host(self, value: Value, node: Node) -> Numbers:
        host = host_of(value, self.hosts)
        if host is not None and node.key == "Reshape" and not node.attributes.get("allowzero", 0):
            host = _inferred(_without_zeros(host, node.inputs[0]))
        if host is None and value.const is not None:
            return Numbers(tuple(value.const.ravel().tolist()), scalar=value.const.ndim == 0)
        if host is not None:
            return Numbers(tuple(self.item(item, node) for item in host.items), scalar=host.scalar)
        text = self.spelling.tolist.format(self.token(value))
        if value.shape == ():
            return Numbers((text,), scalar=True)
        if value.shape is not None and len(value.shape) == 1 and isinstance(value.shape[0], int):
            if value.shape[0] == 1:
                return Numbers((f"{text}[0]",))
        return Numbers(None, text)

    def item(self, item: Item, node: Node) -> int | float | str:
        return self.expression(item, node) if isinstance(item, Expr) else item

    def expression(self, item: Item, node: Node | None = None) -> str:
        if not isinstance(item, Expr):
            return literal(item)
        if item.op == "dim":
            value, axis = _nearest(item, node)
            return f"{self.token(value)}.shape[{axis}]"
        if item.op in OF_VALUES:
            return OF_VALUES[item.op].format(self.token(item.args[0]))
        args = [self.expression(arg, node) for arg in item.args]
        if not item.op[0].isalpha():
            return (
                f"(({args[0]}) {item.op} ({args[1]}))"
                if len(args) > 1
                else f"({item.op}({args[0]}))"
            )
        return f"{item.op}({', '.join(args)})"

    def materialise(self, value: Value) -> Value:
        """A tensor made of numbers that are known on the host, for operators that want a tensor.

        So is a constant without elements: no checkpoint of MindSpore holds one.
        """
        if value not in self.materialised:
            host = self.hosts.get(value)
            if host is None:
                shape, text = value.shape or (), self.empty(value.shape or (), value.dtype)
            else:
                shape, text = () if host.scalar else (len(host.items),), self.numbered(host, value)
            tensor = Value(value.name, value.dtype, shape)
            node = Node("Constant", [], [tensor], {}, value.name, self.scope_of(value))
            self.program.statements.append(self.parsed(text, node))
            self.materialised[value] = tensor
        return self.materialised[value]

    def numbered(self, host: Host, value: Value) -> str:
        """The expression for a tensor of numbers on the host."""
        items = [self.expression(item) for item in host.items]
        text = items[0] if host.scalar else f"[{', '.join(items)}]"
        return self.spelling.tensor.format(
            items=text,
            dtype=self.spelling.dtype(value.dtype),
            device=self.spelling.beside(text),
        )

    def empty(self, shape: Sequence[Any], dtype: np.dtype[Any] | None, beside: str = "") -> str:
        """The expression for a tensor without elements, on the device of another one."""
        return self.spelling.empty.format(
            shape=f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})",
            dtype=self.spelling.dtype(dtype),
            device=self.spelling.device.format(beside) if beside else "",
        )

    def scope_of(self, value: Value) -> tuple[str, ...]:
        return next((n.scope for n in self.graph.nodes if value in n.outputs), ())


def _is_empty(value: Value) -> bool:
    return value.const is not None and value.const.size == 0


def _nearest(item: Expr, node: Node | None) -> tuple[Value, int]:
    """The same dimension of one of the node's own inputs where there is one: it is at hand there."""
    value, axis = item.args
    tensors = [
        v for v in (node.inputs if node is not None else ()) if v is not None and v.const is None
    ]
    if value in tensors or item.symbol is None:
        return value, axis
    for tensor in tensors:
        if tensor.shape is not None and item.symbol in tensor.shape and tensor.rank != 0:
            return tensor, tensor.shape.index(item.symbol)
    return value, axis


def _without_zeros(host: Host, x: Value | None) -> Host:
    """The target of a Reshape: a zero means that the size stays."""
    if x is None or x.shape is None or host.scalar:
        return host
    size = len(x.shape)
    return Host(
        tuple(
            dim(x, axis) if not isinstance(item, Expr) and item == 0 and axis < size else item
            for axis, item in enumerate(host.items)
        )
    )


def _inferred(host: Host) -> Host:
    """The target of a Reshape: a size that takes a division is what the others leave.

    Before: (N * (L // 256) * 64 // 256, 256). After: (-1, 256), which exporters can follow too.
    """
    sizes = [item for item in host.items if isinstance(item, Expr)]
    rest = [item for item in host.items if not isinstance(item, Expr)]
    if len(sizes) != 1 or not _divides(sizes[0]) or not all(item > 0 for item in rest):
        return host
    return Host(tuple(-1 if isinstance(item, Expr) else item for item in host.items))


def _divides(item: Item) -> bool:
    return isinstance(item, Expr) and (
        item.op == "//" or any(_divides(arg) for arg in item.args if isinstance(arg, Expr))
    )


def literal(number: Any) -> str:
    """A number as Python source: the shortest text that gives it back in its own precision."""
    if isinstance(number, np.floating | float):
        value = float(number)
        if np.isnan(value):
            return "float('nan')"
        if np.isinf(value):
            return "float('inf')" if value > 0 else "-float('inf')"
        # The shortest text of the largest number lies beyond it in 64 bits.
        largest = isinstance(number, np.floating) and abs(value) == np.finfo(number.dtype).max
        text = str(number) if isinstance(number, np.floating) and not largest else repr(value)
        return text if "e" in text or "." in text else f"{text}.0"
    return repr(number.item() if isinstance(number, np.generic) else number)
