"""Loops that count and gather what each round gives, as ONNX has them.

MindSpore has `while` alone: a number that each round adds one to, and tensors that each round joins a row to.

    before: Loop("", Less(0, n), 0, empty) of (k, rows) -> (Less(k + 1, n), k + 1, Concat(rows, Unsqueeze(y, 0)))
    after : Loop(n, "") of () -> (true, y), which gathers y
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from converters.importers.graph import Graph, graphs_of, names_read, needed_for

# What the body of a Loop has before its states, and gives before them.
FIRST_IN, FIRST_OUT = 2, 1
INTEGERS = (TensorProto.INT32, TensorProto.INT64)


def with_rounds(
    graph: Graph, nodes: Sequence[onnx.NodeProto], wanted: Sequence[str]
) -> list[onnx.NodeProto]:
    """The same nodes, with such loops; those of graphs within nodes too.

    Args:
        graph: Has the constants, and names for what is new.
        nodes: Of one graph, in the order of their execution; loops are changed.
        wanted: What the graph gives.
    """
    made = {output: node for node in nodes for output in node.output}
    reads = Counter([*names_read(nodes), *wanted])
    kept: list[onnx.NodeProto] = []
    for node in nodes:
        for inner in graphs_of(node):
            ends = [one.name for one in inner.output]
            own = with_rounds(graph, [*inner.node], ends)
            del inner.node[:]
            inner.node.extend(own)
        kept.append(node)
        if node.op_type == "Loop":
            loop = _Loop(graph, node, made)
            loop.gather(kept)
            loop.count(reads)
            loop.tidy()
    return kept


class _Loop:
    """A Loop, and what is around it."""

    def __init__(
        self, graph: Graph, node: onnx.NodeProto, outside: Mapping[str, onnx.NodeProto]
    ) -> None:
        self.graph = graph
        self.node = node
        self.outside = outside
        (self.body,) = graphs_of(node)
        self.made = {output: one for one in self.body.node for output in one.output}

    @property
    def states(self) -> range:
        """The places of what it carries."""
        return range(len(self.node.input) - FIRST_IN)

    def end(self, name: str) -> str:
        """What a result of the body is a copy of."""
        node = self.made.get(name)
        return node.input[0] if node is not None and node.op_type == "Identity" else name

    def number(self, name: str) -> int | None:
        """A constant with one element."""
        found = self.graph.initialisers.get(name)
        if found is None or found.data_type not in INTEGERS:
            return None
        array = numpy_helper.to_array(found)
        return int(array.reshape(-1)[0]) if array.size == 1 else None

    def drop(self, state: int) -> None:
        """Carry something no more."""
        del self.node.input[FIRST_IN + state]
        del self.body.input[FIRST_IN + state]
        del self.body.output[FIRST_OUT + state]
        del self.node.output[state]

    def made_of(self, kind: str, name: str, hint: str, *more: str) -> onnx.NodeProto:
        """A node with one result."""
        result = self.graph.fresh(hint)
        return helper.make_node(kind, [name, *more], [result], result)

    # ***** What rounds give *****

    def gather(self, kept: list[onnx.NodeProto]) -> None:
        """Collect what rounds join to a state that begins without rows; nodes behind the loop go to `kept`."""
        reads = Counter(names_read(self.body.node))
        for state in reversed(self.states):
            name = self.body.input[FIRST_IN + state].name
            joined = self.made.get(self.end(self.body.output[FIRST_OUT + state].name))
            if joined is None or joined.op_type != "Concat" or reads[name] != 1:
                continue
            if reads[joined.output[0]] != 1 or [*joined.input].count(name) != 1:
                continue
            place = [*joined.input].index(name)
            row = self.made.get(joined.input[1 - place]) if len(joined.input) == 2 else None
            first = (
                row is not None and row.op_type == "Unsqueeze" and self.number(row.input[1]) == 0
            )
            if row is None or not first or _axis(joined) != 0 or not self.is_empty(state):
                continue
            result, kind = self.node.output[state], self.body.output[FIRST_OUT + state].type
            self.drop(state)
            gathered = result if place == 0 else self.graph.fresh("/gathered")
            self.node.output.append(gathered)
            end = self.made_of("Identity", row.input[0], "/round")
            self.body.node.append(end)
            self.body.output.append(
                helper.make_tensor_value_info(end.output[0], kind.tensor_type.elem_type, None)
            )
            if place:
                # Each round joined its row before the others.
                last, step = (self.graph.constant(np.array([one])) for one in (-1, -1))
                none = self.graph.constant(np.array([-(1 << 62)]))
                axis = self.graph.constant(np.array([0]))
                given = [gathered, last, none, axis, step]
                kept.append(helper.make_node("Slice", given, [result], result))

    def is_empty(self, state: int) -> bool:
        """Whether a state begins as a tensor without rows."""
        node = self.outside.get(self.node.input[FIRST_IN + state])
        shape = node.input[1] if node is not None and node.op_type == "Expand" else ""
        known = self.graph.initialisers.get(shape)
        if node is None or known is None:
            return False
        sizes = numpy_helper.to_array(known)
        return sizes.ndim == 1 and sizes.size > 0 and not sizes[0]

    # ***** How many rounds there are *****

    def count(self, reads: Mapping[str, int]) -> None:
        """Say how many rounds there are, where a state counts them and nothing else ends them."""
        asked = self.outside.get(self.node.input[1])
        again = self.made.get(self.end(self.body.output[0].name))
        if self.node.input[0] or asked is None or again is None:
            return
        if asked.op_type != "Less" or again.op_type != "Less":
            return
        for state in self.states:
            following = self.end(self.body.output[FIRST_OUT + state].name)
            if (
                self.node.input[FIRST_IN + state] == asked.input[0]
                and self.number(asked.input[0]) == 0
                and again.input[0] == following
                and self.adds_one(following, self.body.input[FIRST_IN + state].name)
                and self.is_same(again.input[1], asked.input[1])
            ):
                self.limit(state, asked.input[1], reads)
                return

    def adds_one(self, name: str, to: str) -> bool:
        """Whether a value is another one and one."""
        node = self.made.get(name)
        if node is None or node.op_type != "Add" or to not in node.input:
            return False
        return self.number(node.input[1 if node.input[0] == to else 0]) == 1

    def is_same(self, inside: str, outside: str) -> bool:
        """Whether a value within is computed as one outside is, of the same values."""
        if inside == outside:
            return True
        mine, other = self.made.get(inside), self.outside.get(outside)
        return (
            mine is not None
            and other is not None
            and mine.op_type == other.op_type
            and not [*graphs_of(mine)]
            and sorted(map(str, mine.attribute)) == sorted(map(str, other.attribute))
            and len(mine.input) == len(other.input)
            and all(map(self.is_same, mine.input, other.input))
        )

    def limit(self, state: int, rounds: str, reads: Mapping[str, int]) -> None:
        """Count by the number of the round."""
        counter = self.body.input[FIRST_IN + state]
        kind = counter.type.tensor_type
        if not kind.HasField("shape") or kind.elem_type != TensorProto.INT64:
            return
        number, more = (one.name for one in self.body.input[:FIRST_IN])
        shaped = self.made_of("Identity", number, "/number")
        if kind.shape.dim:
            shape = self.graph.constant(np.ones(len(kind.shape.dim), np.int64))
            shaped = self.made_of("Reshape", number, "/number", shape)
        keep = self.made_of("Identity", more, "/more")
        _rename(self.body.node, counter.name, shaped.output[0])
        nodes = [shaped, *self.body.node, keep]
        del self.body.node[:]
        self.body.node.extend(nodes)
        self.body.output[0].name = keep.output[0]
        self.node.input[0], self.node.input[1] = rounds, ""
        if reads[self.node.output[state]] == 0:
            self.drop(state)

    def tidy(self) -> None:
        """Leave out what nothing needs any more."""
        ends = [one.name for one in self.body.output]
        kept, _ = needed_for([*self.body.node], ends)
        del self.body.node[:]
        self.body.node.extend(kept)


def _axis(node: onnx.NodeProto) -> int | None:
    return next((one.i for one in node.attribute if one.name == "axis"), None)


def _rename(nodes: Sequence[onnx.NodeProto], name: str, to: str) -> None:
    """Read another value, in graphs within nodes too."""
    for node in nodes:
        for place, one in enumerate(node.input):
            if one == name:
                node.input[place] = to
        for inner in graphs_of(node):
            _rename(inner.node, name, to)
