"""Graph -> statements, through a framework's operator table.

A statement computes one or more values by one expression, in which a token (`_v12_`) stands for each
value that it reads. Nothing here knows how values, modules or classes are named.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from converters.emitters.table import Layer, Numbers, Operand, Refusal, Table, Use
from converters.errors import Unsupported, UnsupportedOperators
from converters.graph.contrib import refusal
from converters.graph.hosts import Expr, Host, Item, dim, host_of
from converters.graph.infer import infer
from converters.graph.model import Graph, Node, Value, subgraphs

TOKEN = re.compile(r"_v\d+_")

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

# Operators that work element by element with broadcasting: a number may stand for a constant.
ELEMENTWISE = {
    "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Equal", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Where", "Max", "Min", "Clip", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor",
    "PRelu",
}  # fmt: skip


@dataclass(eq=False)
class Statement:
    """One expression and the values that it gives.

    Attributes:
        outputs: The values in order, None for those that nothing reads.
        expression: With tokens for the values that it reads; `layer` for the module of `layer`.
        layer: The module that it calls, if it is one.
        reads: The values that its tokens stand for, once for each time they occur.
        scope: Names of the modules around it, outermost first.
        leaf: For a layer, its own name in the innermost of them; empty where the source has none.
    """

    outputs: tuple[Value | None, ...]
    expression: ast.expr
    node: Node
    reads: tuple[Value, ...]
    layer: Layer | None = None
    scope: tuple[str, ...] = ()
    leaf: str = ""


@dataclass
class Program:
    """A graph as statements of one framework.

    Attributes:
        tokens: Which value a token stands for.
    """

    graph: Graph
    statements: list[Statement]
    tokens: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Spelling:
    """What a framework calls the few things that do not belong to an operator.

    Attributes:
        tolist: Turns a tensor into Python numbers: `{}.tolist()`.
        tensor: Makes a tensor of Python numbers: `torch.tensor({items}, dtype={dtype}{device})`.
        dtypes: Element types by numpy name.
        device: The argument that puts a new tensor beside another one, where that must be said.
    """

    tolist: str
    tensor: str
    dtypes: dict[str, str]
    device: str = ""

    def beside(self, text: str) -> str:
        """The argument that puts a new tensor beside the first one that an expression reads."""
        token = TOKEN.search(text)
        return self.device.format(token.group()) if token is not None and self.device else ""

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


class _Lowering:
    def __init__(self, graph: Graph, table: Table, spelling: Spelling, framework: str) -> None:
        self.graph, self.table, self.spelling, self.framework = graph, table, spelling, framework
        self.hosts = infer(graph)
        self.uses = graph.uses()
        self.numbers = count()
        self.tokens: dict[Value, str] = {}
        self.values: dict[str, Value] = {}
        self.program = Program(graph, [])
        self.materialised: dict[Value, Value] = {}

    def run(self) -> Program:
        refused: dict[tuple[str, str], list[str]] = {}
        unsure: set[Value | None] = set()
        for value in self.graph.inputs:
            try:
                self.spelling.dtype(value.dtype)
            except Refusal as refusal:
                refused.setdefault(("input", str(refusal)), []).append(value.name)
        for node in self.graph.nodes:
            if all(v is None or v in self.hosts for v in node.outputs):
                continue
            follows = any(v is not None and v in unsure for v in node.inputs)
            try:
                self.program.statements.append(self.statement(node))
                unsure.update(node.outputs if follows else ())
            except Refusal as refusal:
                unsure.update(node.outputs)
                # What lacks a type only because an operator before it is refused is none of its own.
                if not (follows and "known" in str(refusal)):
                    refused.setdefault((node.key, str(refusal)), []).append(node.name)
        if refused:
            raise UnsupportedOperators(
                self.framework,
                [
                    Unsupported(k, names[0], len(names), why)
                    for (k, why), names in sorted(refused.items())
                ],
            )
        for position, value in enumerate(self.graph.outputs):
            if value in self.hosts:
                self.graph.outputs[position] = self.materialise(value)
        self.program.tokens = self.values
        return self.program

    def statement(self, node: Node) -> Statement:
        if node.key not in self.table:
            raise Refusal(refusal(node))
        if any(True for _ in subgraphs(node)):
            raise Refusal("a sub-graph whose condition is computed by the model")
        wanted = HOST_INPUTS.get(node.key, frozenset())
        inputs = [
            None if v is None else self.host(v, node) if k in wanted else self.operand(v, node)
            for k, v in enumerate(node.inputs)
        ]
        attributes = {k: self.attribute(v) for k, v in node.attributes.items()}
        written = self.table.write(node.key, inputs, attributes, Use(node))
        text = written.call if isinstance(written, Layer) else written
        return self.parsed(text, node, written if isinstance(written, Layer) else None)

    def parsed(self, text: str, node: Node, layer: Layer | None = None) -> Statement:
        expression = ast.parse(text, mode="eval").body
        reads = tuple(
            self.values[n.id]
            for n in ast.walk(expression)
            if isinstance(n, ast.Name) and n.id in self.values
        )
        return Statement(tuple(node.outputs), expression, node, reads, layer, node.scope)

    def attribute(self, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def token(self, value: Value) -> str:
        if value not in self.tokens:
            token = self.tokens[value] = f"_v{next(self.numbers)}_"
            self.values[token] = value
        return self.tokens[value]

    def operand(self, value: Value, node: Node) -> Operand:
        if value in self.hosts:
            value = self.materialise(value)
        users = self.uses.get(value, [])
        exclusive = value.const is not None and len(users) == 1
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
            host = _without_zeros(host, node.inputs[0])
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
        args = [self.expression(arg, node) for arg in item.args]
        if not item.op[0].isalpha():
            return (
                f"(({args[0]}) {item.op} ({args[1]}))"
                if len(args) > 1
                else f"({item.op}({args[0]}))"
            )
        return f"{item.op}({', '.join(args)})"

    def materialise(self, value: Value) -> Value:
        """A tensor made of numbers that are known on the host, for operators that want a tensor."""
        if value not in self.materialised:
            host = self.hosts[value]
            tensor = Value(value.name, value.dtype, () if host.scalar else (len(host.items),))
            node = Node("Constant", [], [tensor], {}, value.name, self.scope_of(value))
            items = [self.expression(item) for item in host.items]
            text = items[0] if host.scalar else f"[{', '.join(items)}]"
            self.program.statements.append(
                self.parsed(
                    self.spelling.tensor.format(
                        items=text,
                        dtype=self.spelling.dtype(value.dtype),
                        device=self.spelling.beside(text),
                    ),
                    node,
                )
            )
            self.materialised[value] = tensor
        return self.materialised[value]

    def scope_of(self, value: Value) -> tuple[str, ...]:
        return next((n.scope for n in self.graph.nodes if value in n.outputs), ())


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
