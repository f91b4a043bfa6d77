"""The hub graph: ONNX, normalised, with no framework in sight.

The rooms in the order in which a graph passes through them::

    load      bytes of a .onnx file           -> Graph (checked, typed, shapes inferred)
    upgrade   forms of older opsets           -> the newest form
    narrow    types that a framework lacks    -> wider ones
    contrib   operators of ONNX Runtime       -> the standard's
    infer     types, shapes; integers that describe shapes -> Python integers (hosts)
    simplify  constants, identities, dead code removed
    impossible branches after which nothing could be computed -> gone
    recurrent LSTM, GRU, RNN                  -> layers with the weights of the source
    lift      groups of primitive nodes       -> the composite operator that they spell out
    positions lookups at every position       -> what is looked up

`read_graph` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from converters.graph.expand import expand_contrib
from converters.graph.impossible import drop_impossible
from converters.graph.lift import lift, mark_parameters, share_weights
from converters.graph.load import load
from converters.graph.model import Graph
from converters.graph.narrow import widen
from converters.graph.positions import drop_positions
from converters.graph.recurrent import gather_weights, lift_recurrent
from converters.graph.simplify import simplify
from converters.graph.upgrade import settle, upgrade


def read_graph(
    path: Path, *, native: Callable[[str], bool] = lambda key: True, lacking: Collection[str] = ()
) -> Graph:
    """Read an ONNX file into the normalised hub graph.

    Args:
        path: The `.onnx` file; external data is looked for beside it.
        native: Says whether an operator key (`Op` or `domain::Op`) is known to the emitter that the
            graph is for. Operators that are not known but have a function body in the standard are
            replaced by that body.
        lacking: Names of narrow element types that the emitter's framework does not have.

    Raises:
        UnsafeInput: The file is malformed, truncated or points outside its folder.
        UnsupportedError: An opset that is older than 7.
    """
    graph = load(path, native=native)
    upgrade(graph)
    # Before anything is folded: what parameters are called is lost then.
    gather_weights(graph)
    expand_contrib(graph)
    if lacking:
        widen(graph, lacking)
    simplify(graph)
    drop_impossible(graph)
    settle(graph)
    lift_recurrent(graph, native=native)
    lift(graph, native=native)
    drop_positions(graph)
    simplify(graph)
    share_weights(graph)
    mark_parameters(graph)
    return graph
