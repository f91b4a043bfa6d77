"""What `Loop`, `Scan` and `SequenceMap` have in common, and the types that hold for several values.

A loop carries values from round to round, takes one item of something in each round, and collects one
item for something in each round. The three operators are told apart here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from converters.errors import UnsafeInput
from converters.graph.model import Dim, Graph, Node, Value

LOOPS = ("Loop", "Scan", "SequenceMap")
CONTROL = ("If", *LOOPS)
# What exporters write for "as often as the condition holds": more rounds than anybody waits for.
ENDLESS = 1 << 31


@dataclass(frozen=True)
class Carried:
    """A value that each round gives to the next: before the first, within, at the end, after the last."""

    initial: Value
    inner: Value
    result: Value
    output: Value | None


@dataclass(frozen=True)
class Items:
    """What each round takes one item of: a tensor along an axis, or a sequence."""

    source: Value
    inner: Value
    axis: int = 0
    backwards: bool = False


@dataclass(frozen=True)
class Collected:
    """What each round gives one item for: a tensor that is stacked along an axis, or a sequence."""

    result: Value
    output: Value | None
    axis: int = 0
    backwards: bool = False


@dataclass(frozen=True)
class Loop:
    """A loop in its parts.

    Attributes:
        trips: How many rounds at most; None where nothing limits them, or items do.
        condition: Whether there is a first round; None for yes.
        goes_on: What the body says of whether there is another round; None for yes.
        index: The number of the round, in the body.
        condition_in: The condition, in the body.
        stacked: What is collected becomes a tensor rather than a sequence.
    """

    body: Graph
    carried: tuple[Carried, ...]
    items: tuple[Items, ...] = ()
    collected: tuple[Collected, ...] = ()
    trips: Value | None = None
    condition: Value | None = None
    goes_on: Value | None = None
    index: Value | None = None
    condition_in: Value | None = None
    stacked: bool = True

    @property
    def static_trips(self) -> int | None:
        """The number of rounds, where it is known at conversion time."""
        if self.items:
            sizes = [i.source.shape[i.axis] for i in self.items if i.source.shape is not None]
            return next((size for size in sizes if isinstance(size, int)), None)
        if self.condition is not None or self.goes_on is not None or self.trips is None:
            return None
        data = self.trips.const
        return max(0, int(data.ravel()[0])) if data is not None and data.size == 1 else None


def branches_of(node: Node) -> tuple[Graph, Graph]:
    """What an If does where its condition holds, and where it does not.

    Raises:
        UnsafeInput: There are no such branches, or they do not give what the If gives.
    """
    found = [node.attributes.get(name) for name in ("then_branch", "else_branch")]
    graphs = [branch for branch in found if isinstance(branch, Graph)]
    if len(graphs) != 2 or any(len(b.outputs) != len(node.outputs) for b in graphs):
        raise UnsafeInput(f"{node.name}: the branches do not give what the If gives")
    return graphs[0], graphs[1]


def loop_of(node: Node) -> Loop:
    """A node of `LOOPS` in its parts.

    Raises:
        UnsafeInput: Its inputs, outputs and body do not fit each other.
    """
    body = node.attributes.get("body")
    if not isinstance(body, Graph):
        raise UnsafeInput(f"{node.name}: {node.key} without a body")
    if node.key == "Loop":
        return _loop(node, body)
    return _scan(node, body) if node.key == "Scan" else _map(node, body)


def _padded(node: Node, count: int) -> list[Value | None]:
    if len(node.outputs) > count:
        raise UnsafeInput(f"{node.name}: more outputs than its body gives")
    return node.outputs + [None] * (count - len(node.outputs))


def _given(node: Node, values: list[Value | None]) -> list[Value]:
    found = [value for value in values if value is not None]
    if len(found) != len(values):
        raise UnsafeInput(f"{node.name}: an input that its body needs is left out")
    return found


def _loop(node: Node, body: Graph) -> Loop:
    trips, condition = (*node.inputs, None, None)[:2]
    initial = _given(node, node.inputs[2:])
    count = len(initial)
    if len(body.inputs) != count + 2 or len(body.outputs) < count + 1:
        raise UnsafeInput(f"{node.name}: the body does not take and give what the Loop carries")
    outputs = _padded(node, len(body.outputs) - 1)
    goes_on: Value | None = body.outputs[0]
    if goes_on is not None and (_is_true(goes_on) or goes_on is body.inputs[1]):
        # A condition that no round changes is that of the first round.
        goes_on = None
    if condition is not None and _is_true(condition):
        condition = None
    if trips is not None and trips.const is not None and trips.const.size == 1:
        trips = trips if int(trips.const.ravel()[0]) < ENDLESS else None
    return Loop(
        body,
        tuple(
            Carried(*parts)
            for parts in zip(
                initial, body.inputs[2:], body.outputs[1 : count + 1], outputs, strict=False
            )
        ),
        (),
        tuple(
            Collected(*parts)
            for parts in zip(body.outputs[count + 1 :], outputs[count:], strict=True)
        ),
        trips,
        condition,
        goes_on,
        body.inputs[0],
        body.inputs[1],
    )


def _is_true(value: Value) -> bool:
    return value.const is not None and value.const.size == 1 and bool(value.const.ravel()[0])


def _scan(node: Node, body: Graph) -> Loop:
    inputs = _given(node, node.inputs)
    taken = int(node.attributes.get("num_scan_inputs", 0))
    states = len(inputs) - taken
    given = len(body.outputs) - states
    if len(body.inputs) != len(inputs) or taken < 1 or states < 0 or given < 0:
        raise UnsafeInput(f"{node.name}: the body does not take and give what the Scan does")
    outputs = _padded(node, len(body.outputs))

    def option(name: str, count: int) -> list[int]:
        found = [int(number) for number in node.attributes.get(name) or [0] * count]
        if len(found) != count:
            raise UnsafeInput(f"{node.name}: {name} has {len(found)} entries for {count}")
        return found

    axes, backwards = option("scan_input_axes", taken), option("scan_input_directions", taken)
    out_axes = option("scan_output_axes", given)
    out_backwards = option("scan_output_directions", given)
    return Loop(
        body,
        tuple(
            Carried(*parts)
            for parts in zip(
                inputs[:states], body.inputs[:states], body.outputs[:states], outputs, strict=False
            )
        ),
        tuple(
            Items(source, inner, axis, bool(back))
            for source, inner, axis, back in zip(
                inputs[states:], body.inputs[states:], axes, backwards, strict=True
            )
        ),
        tuple(
            Collected(result, output, axis, bool(back))
            for result, output, axis, back in zip(
                body.outputs[states:], outputs[states:], out_axes, out_backwards, strict=True
            )
        ),
    )


def _map(node: Node, body: Graph) -> Loop:
    sources = _given(node, node.inputs)
    if len(body.inputs) != len(sources) or not sources:
        raise UnsafeInput(f"{node.name}: the body does not take what the SequenceMap gives it")
    outputs = _padded(node, len(body.outputs))
    return Loop(
        body,
        (),
        tuple(Items(*pair) for pair in zip(sources, body.inputs, strict=True)),
        tuple(Collected(*pair) for pair in zip(body.outputs, outputs, strict=True)),
        stacked=False,
    )


# A size with this behind its name is another one in every round of a loop.
OPEN = "*"


def inner_shape(value: Value) -> tuple[Dim, ...] | None:
    """The shape of a tensor, or of the tensors that a sequence or optional holds."""
    return value.shape if value.kind in ("tensor", "index") else value.held


def set_inner_shape(value: Value, shape: tuple[Dim, ...] | None) -> None:
    """Set what `inner_shape` gives."""
    if value.kind in ("tensor", "index"):
        value.shape = shape
    else:
        value.shape, value.held = None, shape


def become(value: Value, other: Value) -> None:
    """Give a value the type of another one."""
    value.kind, value.bare, value.varies = other.kind, other.bare, other.varies
    value.dtype = value.dtype or other.dtype
    set_inner_shape(value, inner_shape(other))


def join(value: Value, other: Value, names: Iterator[str] | None = None) -> None:
    """Make the type of a value hold for another one too, in place.

    Sizes that differ become unknown, or get the next of `names`; where the ranks differ, the value
    `varies` from then on.

    Raises:
        UnsafeInput: One is a sequence, the other is not, or their element types differ.
    """
    one, two = (v.kind.removeprefix("optional").strip() for v in (value, other))
    if "sequence" in (one, two) and one != two:
        raise UnsafeInput(f"{value.name!r} is a {value.kind} here and a {other.kind} there")
    if value.dtype is not None and other.dtype is not None and value.dtype != other.dtype:
        raise UnsafeInput(f"{value.name!r} is {value.dtype} here and {other.dtype} there")
    mine, others = inner_shape(value), inner_shape(other)
    if "optional" in other.kind and "optional" not in value.kind:
        value.kind = other.kind
    value.dtype = value.dtype or other.dtype
    value.varies = value.varies or other.varies
    if value.bare or other.bare:
        shape = others if value.bare else mine
        value.bare = value.bare and other.bare
    elif mine is None or others is None or len(mine) != len(others):
        value.varies = value.varies or (mine is not None and others is not None)
        shape = None
    else:
        shape = tuple(_same(a, b, names) for a, b in zip(mine, others, strict=True))
    set_inner_shape(value, None if value.varies else shape)


def _same(a: Dim, b: Dim, names: Iterator[str] | None) -> Dim:
    if a == b or (isinstance(a, str) and a.endswith(OPEN)):
        return a
    return next(names) + OPEN if names is not None else None
