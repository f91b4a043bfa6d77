"""Recurrent operators -> layers as frameworks have them, with weights under the names of the source.

An exporter cuts the weights of a layer into gates, in the graph, and puts them together in the standard's order;
it computes states of zeros, and takes the axis of directions out of the result. Before::

    LSTM(Transpose(x), Unsqueeze(Concat(Slice(weight_ih_l0, ...), ...)), ..., zeros, zeros)
    -> Transpose -> Reshape -> Transpose

After: `LSTMLayer(x, None, None, w, r, b)` with `batch_first`, whose constants know the parameters that they were put together
from (`Value.parts`). Operators that the standard lacks and emitters know:

    LSTMLayer(x, h?, c?, w, r, b?, w, r, b? ...) -> y, h, c   weights and gates as in LSTM, layer by layer
    GRULayer, RNNLayer(x, h?, w, r, b? ...) -> y, h           GRU with `linear_before_reset`

`y` is [steps, batch, directions * hidden], or batch first, as `x` is; states are [layers * directions, batch,
hidden].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.graph.model import Array, Graph, Node, Value, constant, subgraphs
from converters.graph.simplify import evaluate

RECURRENT = ("LSTM", "GRU", "RNN")
# What only puts elements in other places.
MOVING = frozenset(
    {
        "Concat",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
# ... and what may stand between a state of zeros and the numbers that it is made of.
FILLING = MOVING | {"Cast", "ConstantOfShape", "Expand"}
USUAL = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
# Attributes that a layer has another way, or does not have at all.
SAID = frozenset({"activations", "direction", "hidden_size", "layout", "linear_before_reset"})
LAYERS = {"LSTMLayer": 2, "GRULayer": 1, "RNNLayer": 1}


def gather_weights(graph: Graph) -> None:
    """Give recurrent operators constant weights where the graph puts them together, in place."""
    producers = graph.producers()
    for node in graph.nodes:
        for inner in subgraphs(node):
            gather_weights(inner)
        for position in (1, 2, 3) if node.key in RECURRENT else ():
            value = node.inputs[position] if position < len(node.inputs) else None
            if value is not None and value.const is None:
                node.inputs[position] = _together(value, producers, graph.opset)


def lift_recurrent(graph: Graph, *, native: Callable[[str], bool] = lambda key: True) -> None:
    """Make layers of the recurrent operators that allow it, in place."""
    producers = graph.producers()
    for node in graph.nodes:
        for inner in subgraphs(node):
            lift_recurrent(inner, native=native)
        for position in (5, 6) if node.key in RECURRENT else ():
            value = node.inputs[position] if position < len(node.inputs) else None
            if value is not None and _is_zero(value, producers):
                node.inputs[position] = None
    uses = graph.uses()
    for node in [n for n in graph.nodes if n.key in RECURRENT]:
        alone = all(v is None or len(uses[v]) == 1 for v in node.inputs[1:4])
        if alone and native(f"{node.key}Layer") and _is_layer(node):
            _make_layer(graph, node)
    while any(_stacked(graph, node) for node in graph.nodes if node.key in LAYERS):
        pass
    for node in [n for n in graph.nodes if n.key in LAYERS]:
        _put_batch_first(graph, node)


def _together(value: Value, producers: dict[Value, Node], opset: int) -> Value:
    """A weight that the graph puts together from parameters, as a constant; else the value itself."""
    parts: dict[str, None] = {}
    data = _moved(value, producers, opset, parts)
    if data is None:
        return value
    made = constant(value.name, data, trainable=True)
    made.parts = tuple(parts)
    return made


def _moved(
    value: Value, producers: dict[Value, Node], opset: int, parts: dict[str, None]
) -> Array | None:
    if value.const is not None:
        if value.trainable:
            parts[value.name] = None
        return value.const
    node = producers.get(value)
    if node is None or node.key not in MOVING:
        return None
    inputs = [None if v is None else _moved(v, producers, opset, parts) for v in node.inputs]
    if any(v is not None and data is None for v, data in zip(node.inputs, inputs, strict=True)):
        return None
    results = evaluate(node, inputs, opset)
    return None if results is None else results[node.outputs.index(value)]


def _is_zero(value: Value, producers: dict[Value, Node]) -> bool:
    """Whether a value is made of zeros alone, whatever its size."""
    if value.const is not None:
        return not value.trainable and not np.any(value.const)
    node = producers.get(value)
    if node is None or node.key not in FILLING:
        return False
    if node.key == "ConstantOfShape":
        return not np.any(np.asarray(node.attributes.get("value", 0)))
    sources = node.inputs if node.key == "Concat" else node.inputs[:1]
    return all(v is not None and _is_zero(v, producers) for v in sources)


def _is_layer(node: Node) -> bool:
    """Whether a layer of every framework computes the same."""
    given = node.attributes
    inputs = [*node.inputs, *[None] * (8 - len(node.inputs))]
    directions = 2 if given.get("direction") == "bidirectional" else 1
    names = tuple(name.lower() for name in given.get("activations") or ())
    usual = names in ((), USUAL[node.key] * directions)
    usual = usual or (node.key == "RNN" and names == ("relu",) * directions)
    return (
        usual
        and not any(value for name, value in given.items() if name not in SAID)
        and given.get("direction", "forward") != "reverse"
        and not given.get("layout", 0)
        and (node.key != "GRU" or bool(given.get("linear_before_reset", 0)))
        and all(v is not None and v.const is not None for v in inputs[1:3])
        and (inputs[3] is None or inputs[3].const is not None)
        and inputs[4] is None
        and inputs[7] is None
        and (node.key != "LSTM" or (inputs[5] is None) == (inputs[6] is None))
        and inputs[0] is not None
        and inputs[0].dtype == np.float32
    )


def _make_layer(graph: Graph, node: Node) -> None:
    """Make a node a layer, where its result is used without an axis of directions."""
    given = node.attributes
    covered: list[Node] = []
    y, uses = node.outputs[0], graph.uses()
    read = y in uses or y in graph.outputs
    for step in _behind(given.get("direction") == "bidirectional") if read else ():
        reader = _only_reader(y, uses, graph)
        if reader is None or not step(reader):
            return
        covered.append(reader)
        y = reader.output
    attributes: dict[str, object] = {"direction": given.get("direction", "forward")}
    if node.key == "RNN":
        attributes["nonlinearity"] = (given.get("activations") or ["Tanh"])[0].lower()
    node.key, node.attributes = f"{node.key}Layer", {**attributes, "batch_first": False}
    inputs = [*node.inputs, *[None] * (7 - len(node.inputs))]
    node.inputs = [inputs[0], *inputs[5 : 5 + LAYERS[node.key]], *inputs[1:4]]
    node.outputs = [y, *node.outputs[1:]]
    graph.nodes = [n for n in graph.nodes if n not in covered]


def _stacked(graph: Graph, node: Node) -> bool:
    """Whether a layer could be put on the one that alone it reads: both are one module then."""
    uses, producers, states = graph.uses(), graph.producers(), LAYERS[node.key]
    x = node.inputs[0]
    below = producers.get(x) if x is not None else None
    if below is None or below.key != node.key or below.attributes != node.attributes:
        return False
    if below.outputs[0] is not x or _only_reader(x, uses, graph) is not node:
        return False
    sizes = [
        value.shape[2] for n in (below, node) if (value := n.inputs[states + 2]) and value.shape
    ]
    if len(set(sizes)) != 1 or any(
        n.inputs[1 : 1 + states] != [None] * states for n in (below, node)
    ):
        return False
    joins: list[Node | None] = []
    for k in range(1, 1 + states):
        lower, upper = ([*n.outputs, None, None][k] for n in (below, node))
        used = [value for value in (lower, upper) if value in uses or value in graph.outputs]
        join = _only_reader(lower, uses, graph)
        if not used:
            joins.append(None)
        elif (
            join is None
            or join is not _only_reader(upper, uses, graph)
            or not _joins(join, lower, upper)
        ):
            return False
        else:
            joins.append(join)
    node.inputs = [*below.inputs, *node.inputs[1 + states :]]
    node.outputs = [node.outputs[0], *(None if join is None else _joined(join) for join in joins)]
    while len(node.outputs) > 1 and node.outputs[-1] is None:
        node.outputs.pop()
    emptied = [join for join in joins if join is not None and len(join.inputs) == 1]
    for join in emptied:
        graph.replace(join.output, join.inputs[0])  # type: ignore[arg-type]
    graph.nodes = [n for n in graph.nodes if n is not below and n not in emptied]
    return True


def _joins(join: Node, lower: Value | None, upper: Value | None) -> bool:
    """Whether a Concat puts the states of one layer behind those of the layer below it."""
    if join.key != "Concat" or join.attributes.get("axis") not in (0, -3):
        return False
    places = [k for k, value in enumerate(join.inputs) if value is lower]
    return len(places) == 1 and join.inputs[places[0] + 1 : places[0] + 2] == [upper]


def _joined(join: Node) -> Value:
    """One value for two neighbours in a Concat: the states of both layers, which one module gives."""
    lower, upper = join.inputs[0], join.inputs[1]
    assert lower is not None  # noqa: S101 - the caller has looked
    assert upper is not None  # noqa: S101
    count = [value.shape[0] for value in (lower, upper) if value.shape]
    first = sum(size for size in count if isinstance(size, int))
    both = Value(upper.name, upper.dtype, (first, *upper.shape[1:]) if upper.shape else None)
    join.inputs = [both, *join.inputs[2:]]
    return both


def _put_batch_first(graph: Graph, node: Node) -> None:
    """Take the transposes away that put the batch behind the steps and back again."""
    uses, producers = graph.uses(), graph.producers()
    x, y = node.inputs[0], node.outputs[0]
    before, after = producers.get(x) if x is not None else None, _only_reader(y, uses, graph)
    if before is None or not _swaps(before):
        return
    if y in uses or y in graph.outputs:
        if after is None or not _swaps(after):
            return
        node.outputs[0] = after.output
        graph.nodes = [n for n in graph.nodes if n is not after]
    node.inputs[0] = before.inputs[0]
    node.attributes["batch_first"] = True


def _behind(bidirectional: bool) -> tuple[Callable[[Node], bool], ...]:
    """What takes the axis of directions out of [steps, directions, batch, hidden]."""
    if not bidirectional:
        return (lambda n: n.key == "Squeeze" and _axis(n) == 1,)
    return (
        lambda n: n.key == "Transpose" and n.attributes.get("perm") == [0, 2, 1, 3],
        lambda n: n.key == "Reshape" and n.output.rank == 3 and _keeps_two(n),
    )


def _keeps_two(node: Node) -> bool:
    """Whether a Reshape keeps the first two axes and joins the others."""
    x, shape = node.inputs[0], node.output.shape
    target = node.inputs[1].const if node.inputs[1] is not None else None
    if (
        target is not None
        and target.tolist()[:2] == [0, 0]
        and not node.attributes.get("allowzero", 0)
    ):
        return True
    if x is None or x.shape is None or shape is None or None in x.shape[:2]:
        return False
    return x.shape[:2] == shape[:2]


def _axis(node: Node) -> int | None:
    axes = node.inputs[1].const if len(node.inputs) > 1 and node.inputs[1] is not None else None
    return int(axes.ravel()[0]) if axes is not None and axes.size == 1 else None


def _swaps(node: Node) -> bool:
    return node.key == "Transpose" and node.attributes.get("perm") == [1, 0, 2]


def _only_reader(value: Value | None, uses: dict[Value, list[Node]], graph: Graph) -> Node | None:
    readers = uses.get(value, []) if value is not None else []
    return readers[0] if len(readers) == 1 and value not in graph.outputs else None
