"""Integers that describe shapes, followed through the graph as Python numbers.

Before: `Concat(Slice(Shape(x), 0, 1), [-1, 384])`, three nodes on tensors.
After:  `(x.shape[0], -1, 384)`, a tuple of a dimension and two integers, and no node at all.

A value is *known on the host* when each of its elements is a number or an arithmetic expression of
dimensions. Emitters write such values as plain Python arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from converters.graph.model import Node, Value

# Longer vectors of integers are data, not shapes.
LONGEST = 64


@dataclass(frozen=True)
class Expr:
    """An integer that is known only when the model runs.

    Attributes:
        op: `dim` (a dimension of a value), `value` (a value that is a number itself), `ndim` (how many
            dimensions a value has), `len` (of a sequence), `given` (whether an optional is there), or a Python
            operator or function: `+ - * // / % min max == not and ...`
        args: For `dim` the value and the axis, for the next four the value, else the operands.
        symbol: The name of the dimension, where the source has one.
    """

    op: str
    args: tuple[Any, ...]
    symbol: str | None = None


Item: TypeAlias = "int | float | bool | Expr"


@dataclass(frozen=True)
class Host:
    """A scalar (`scalar`) or a vector of items."""

    items: tuple[Item, ...]
    scalar: bool = False

    @property
    def static(self) -> tuple[int | float | bool, ...] | None:
        """The items as numbers where all of them are known at conversion time."""
        if any(isinstance(item, Expr) for item in self.items):
            return None
        return tuple(item for item in self.items if not isinstance(item, Expr))


def host_of(value: Value, known: dict[Value, Host]) -> Host | None:
    """What is known of a value on the host."""
    if value in known:
        return known[value]
    data = value.const
    if data is None or data.ndim > 1 or data.size > LONGEST or data.dtype.kind not in "iubf":
        return None
    return Host(tuple(data.ravel().tolist()), scalar=data.ndim == 0)


def host_value(node: Node, known: dict[Value, Host]) -> Host | None:
    """What a node's only output is on the host, given what is known of its inputs."""
    rule = RULES.get(node.key)
    if rule is None or len(node.outputs) != 1:
        return None
    result = rule(node, [None if v is None else host_of(v, known) for v in node.inputs])
    return None if result is None or len(result.items) > LONGEST else result


def dim(value: Value, axis: int) -> Item:
    """A dimension of a value: a number where it is known."""
    size = value.shape[axis] if value.shape is not None else None
    if isinstance(size, int):
        return size
    return Expr("dim", (value, axis), size)


Hosts: TypeAlias = Sequence["Host | None"]
Rule: TypeAlias = Callable[[Node, Hosts], "Host | None"]


def _is_float(node: Node) -> bool:
    dtype = node.output.dtype
    return dtype is not None and dtype.kind == "f"


def _shape(node: Node, hosts: Hosts) -> Host | None:
    x = node.inputs[0]
    if x is None or x.rank is None:
        return None
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return Host(tuple(dim(x, axis) for axis in range(x.rank)[start:end]))


def _rank(node: Node, hosts: Hosts) -> Host | None:
    x = node.inputs[0]
    if x is None:
        return None
    return Host((Expr("ndim", (x,)) if x.rank is None else x.rank,), scalar=True)


def _size(node: Node, hosts: Hosts) -> Host | None:
    x = node.inputs[0]
    if x is None or x.rank is None:
        return None
    total: Item = 1
    for axis in range(x.rank):
        total = arithmetic("*", total, dim(x, axis))
    return Host((total,), scalar=True)


def _gather(node: Node, hosts: Hosts) -> Host | None:
    data, indices = hosts[0], hosts[1]
    if data is None or data.scalar or indices is None or indices.static is None:
        return None
    wanted = [int(i) for i in indices.static]
    if any(not -len(data.items) <= i < len(data.items) for i in wanted):
        return None
    return Host(tuple(data.items[i] for i in wanted), scalar=indices.scalar)


def _slice(node: Node, hosts: Hosts) -> Host | None:
    if len(hosts) < 3 or any(h is None or h.static is None for h in hosts[1:]):
        return None
    data = hosts[0]
    numbers = [h.static for h in hosts[1:] if h is not None and h.static is not None]
    if data is None or data.scalar or any(len(n) != 1 for n in numbers):
        return None
    start, end = int(numbers[0][0]), int(numbers[1][0])
    step = int(numbers[3][0]) if len(numbers) > 3 else 1
    if step < 0 and end < -len(data.items):
        return Host(data.items[start::step])
    return Host(data.items[start:end:step])


def _concat(node: Node, hosts: Hosts) -> Host | None:
    items: list[Item] = []
    for host in hosts:
        if host is None or host.scalar:
            return None
        items.extend(host.items)
    return Host(tuple(items))


def _squeeze(node: Node, hosts: Hosts) -> Host | None:
    host = hosts[0]
    if host is None or host.scalar or len(host.items) != 1:
        return None
    return Host(host.items, scalar=True)


def _unsqueeze(node: Node, hosts: Hosts) -> Host | None:
    host = hosts[0]
    axes = hosts[1] if len(hosts) > 1 else None
    if host is None or not host.scalar or axes is None or len(axes.items) != 1:
        return None
    return Host(host.items)


def _reshape(node: Node, hosts: Hosts) -> Host | None:
    host, shape = hosts[0], hosts[1]
    if host is None or shape is None or shape.static is None or len(shape.items) > 1:
        return None
    if not shape.items and len(host.items) != 1:
        return None
    return Host(host.items, scalar=not shape.items)


def _cast(node: Node, hosts: Hosts) -> Host | None:
    host = hosts[0]
    dtype = node.output.dtype
    if host is None or dtype is None or dtype.kind not in "iufb":
        return None
    source = node.inputs[0].dtype if node.inputs[0] is not None else None
    if source is not None and source.kind == "f" and dtype.kind in "iu":
        return Host(tuple(_truncate(item) for item in host.items), host.scalar)
    if dtype.kind == "b" and host.static is None:
        whether = Expr("bool", host.items)
        return Host((whether,), host.scalar) if len(host.items) == 1 else None
    if dtype.kind == "f" and dtype not in (np.float32, np.float64):
        # Halves and smaller lose digits, which is left to folding.
        return None
    convert = {"f": float, "b": bool}.get(dtype.kind, int)
    return Host(
        tuple(item if isinstance(item, Expr) else convert(item) for item in host.items), host.scalar
    )


def _truncate(item: Item) -> Item:
    return Expr("int", (item,)) if isinstance(item, Expr) else int(item)


def _unary(name: str, function: Callable[[Any], Any]) -> Rule:
    def rule(node: Node, hosts: Hosts) -> Host | None:
        host = hosts[0]
        if host is None:
            return None
        return Host(
            tuple(Expr(name, (i,)) if isinstance(i, Expr) else function(i) for i in host.items),
            host.scalar,
        )

    return rule


def _binary(operator: str) -> Rule:
    def rule(node: Node, hosts: Hosts) -> Host | None:
        # Max and Min take any number.
        if len(hosts) != 2:
            return None
        a, b = hosts
        if a is None or b is None:
            return None
        pairs = _broadcast(a, b)
        if pairs is None:
            return None
        actual = operator
        if _is_float(node) and not all(_is_exact(operator, *pair) for pair in pairs):
            return None
        if operator == "/" and not _is_float(node):
            # The standard truncates; Python floors. They agree where nothing is negative.
            if any(not isinstance(i, Expr) and i < 0 for pair in pairs for i in pair):
                return None
            actual = "//"
        items = []
        for left, right in pairs:
            if actual in ("/", "//", "%") and not isinstance(right, Expr) and right == 0:
                return None
            items.append(arithmetic(actual, left, right))
        return Host(tuple(items), a.scalar and b.scalar)

    return rule


def _is_exact(operator: str, a: Item, b: Item) -> bool:
    """Whether Python's 64-bit arithmetic gives what the graph's 32-bit arithmetic gives.

    floor(10 * 0.7) is 7 in 32 bits and 6 in 64, so only powers of two may scale a dimension here.
    """
    numbers = [item for item in (a, b) if not isinstance(item, Expr)]
    if len(numbers) == 2:
        return True
    if operator in "*/":
        return len(numbers) == 1 and numbers[0] != 0 and math.frexp(abs(numbers[0]))[0] == 0.5
    return operator in ("min", "max") or all(number * 1024 % 1 == 0 for number in numbers)


def _broadcast(a: Host, b: Host) -> list[tuple[Item, Item]] | None:
    n = max(len(a.items), len(b.items))
    if len(a.items) not in (1, n) or len(b.items) not in (1, n):
        return None
    left = a.items * n if len(a.items) == 1 else a.items
    right = b.items * n if len(b.items) == 1 else b.items
    return list(zip(left, right, strict=True))


NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "min": min,
    "max": max,
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}
NEUTRAL = {"+": 0, "-": 0, "*": 1, "/": 1, "//": 1}


def arithmetic(operator: str, a: Item, b: Item) -> Item:
    """`a operator b`, computed where both are numbers and shortened where one is neutral."""
    if not isinstance(a, Expr) and not isinstance(b, Expr):
        result: Item = NUMBERS[operator](a, b)
        return result
    if operator in NEUTRAL and not isinstance(b, Expr) and b == NEUTRAL[operator]:
        return a
    if operator in "+*" and not isinstance(a, Expr) and a == NEUTRAL[operator]:
        return b
    return Expr(operator, (a, b))


def _compare(operator: str) -> Rule:
    def rule(node: Node, hosts: Hosts) -> Host | None:
        # Max and Min take any number.
        if len(hosts) != 2:
            return None
        a, b = hosts
        if a is None or b is None:
            return None
        pairs = _broadcast(a, b)
        if pairs is None:
            return None
        items: list[Item] = []
        for left, right in pairs:
            number = next((i for i in (left, right) if not isinstance(i, Expr)), None)
            if not isinstance(left, Expr) and not isinstance(right, Expr):
                items.append(bool(NUMBERS[operator](left, right)))
            elif operator == "==" and number is not None and number < 0:
                # A size is never negative: the `shape == -1` of torch's expand.
                items.append(False)
            elif len(pairs) == 1:
                # A question that may decide an If.
                items.append(Expr(operator, (left, right)))
            else:
                return None
        return Host(tuple(items), a.scalar and b.scalar)

    return rule


def _not(node: Node, hosts: Hosts) -> Host | None:
    host = hosts[0]
    if host is None:
        return None
    return Host(tuple(_opposite(item) for item in host.items), host.scalar)


def _opposite(item: Item) -> Item:
    if not isinstance(item, Expr):
        return not item
    return Expr("!=", item.args) if item.op == "==" else Expr("not", (item,))


def _has_element(node: Node, hosts: Hosts) -> Host | None:
    x = node.inputs[0] if node.inputs else None
    if x is None or x.bare:
        return Host((False,), scalar=True)
    return Host((Expr("given", (x,)) if "optional" in x.kind else True,), scalar=True)


def _length(node: Node, hosts: Hosts) -> Host | None:
    x = node.inputs[0]
    return None if x is None else Host((0 if x.bare else Expr("len", (x,)),), scalar=True)


def _where(node: Node, hosts: Hosts) -> Host | None:
    condition, a, b = hosts[0], hosts[1], hosts[2]
    if condition is None or condition.static is None or a is None or b is None:
        return None
    n = max(len(h.items) for h in (condition, a, b))
    if any(len(h.items) not in (1, n) for h in (condition, a, b)):
        return None
    rows = [h.items * n if len(h.items) == 1 else h.items for h in (condition, a, b)]
    items = tuple(x if c else y for c, x, y in zip(*rows, strict=True))
    return Host(items, condition.scalar and a.scalar and b.scalar)


def _constant_of_shape(node: Node, hosts: Hosts) -> Host | None:
    shape = hosts[0]
    if shape is None or shape.static is None or len(shape.items) != 1:
        return None
    count = int(shape.static[0])
    if not 0 <= count <= LONGEST:
        return None
    fill = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    if fill.dtype.kind not in "iufb":
        return None
    return Host((fill.ravel()[0].item(),) * count)


def _product(node: Node, hosts: Hosts) -> Host | None:
    host = hosts[0]
    if host is None or host.scalar:
        return None
    total: Item = 1
    for item in host.items:
        total = arithmetic("*", total, item)
    return Host((total,), scalar=not node.attributes.get("keepdims", 1))


def _range(node: Node, hosts: Hosts) -> Host | None:
    if any(h is None or h.static is None for h in hosts):
        return None
    start, stop, step = (h.static[0] for h in hosts if h is not None and h.static is not None)
    if step == 0 or not 0 <= math.ceil((stop - start) / step) <= LONGEST:
        return None
    return Host(tuple((np.arange(start, stop, step)).tolist()))


def _identity(node: Node, hosts: Hosts) -> Host | None:
    return hosts[0]


RULES: dict[str, Rule] = {
    "Add": _binary("+"),
    "Cast": _cast,
    "Ceil": _unary("math.ceil", math.ceil),
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _binary("/"),
    "Equal": _compare("=="),
    "Floor": _unary("math.floor", math.floor),
    "Gather": _gather,
    "Greater": _compare(">"),
    "Identity": _identity,
    "Less": _compare("<"),
    "Max": _binary("max"),
    "Min": _binary("min"),
    "Mod": _binary("%"),
    "Mul": _binary("*"),
    "Neg": _unary("-", lambda a: -a),
    "Not": _not,
    "OptionalHasElement": _has_element,
    "Range": _range,
    "Rank": _rank,
    "ReduceProd": _product,
    "Reshape": _reshape,
    "SequenceLength": _length,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _binary("-"),
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
