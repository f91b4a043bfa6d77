"""Branches after which the graph could not be computed -> gone, with the question that nobody has to ask.

Exporters write `x.squeeze(-1)` as an If, since it takes an axis away only where its size is one; what comes behind
it may take one of the two ranks alone. Inputs that go the other way are refused by the model itself, then as now.

Before: If(size == 1, Squeeze(x), x) -> LSTM, where x has four axes.
After:  Squeeze(x) -> LSTM.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from converters.graph.infer import infer, is_refused
from converters.graph.model import Graph, Node, Value, constant, every_graph
from converters.graph.simplify import simplify


def drop_impossible(graph: Graph) -> None:
    """Take the other branch for granted, in place, in sub-graphs too."""
    while _decided(graph):
        pass


def _decided(graph: Graph) -> bool:
    """Decide one If whose branches give other ranks, of which one is impossible."""
    for inner in every_graph(graph):
        for node in inner.nodes:
            if node.key == "If" and any(out is not None and out.varies for out in node.outputs):
                possible = [yes for yes in (True, False) if _goes_on(graph, inner, node, yes)]
                if len(possible) == 1:
                    _take(graph, node, possible[0])
                    return True
    return False


def _goes_on(graph: Graph, inner: Graph, node: Node, answer: bool) -> bool:
    """Whether everything that stands beside an If can be computed where its condition has this answer."""
    # Weights are only looked at: copies of values hold the same arrays.
    arrays = {id(value.const): value.const for value in _values(graph) if value.const is not None}
    trial, beside, decided = copy.deepcopy((graph, inner, node), {**arrays})
    for value in _values(trial):
        # The file may state what holds in the other branch.
        value.said_rank = None
    _take(trial, decided, answer)
    known = infer(trial)
    return not any(is_refused(one, known) for one in beside.nodes)


def _take(graph: Graph, node: Node, answer: bool) -> None:
    """Take one branch of an If, and whatever follows from it."""
    node.inputs[0] = constant(f"{node.name}/answer", np.array(answer))
    simplify(graph)


def _values(graph: Graph) -> Iterator[Value]:
    for inner in every_graph(graph):
        yield from inner.inputs
        for node in inner.nodes:
            yield from (value for value in (*node.inputs, *node.outputs) if value is not None)
