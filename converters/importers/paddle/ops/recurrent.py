"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.dtypes import BY_NAME
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.rows import Row, row

INT32 = BY_NAME["int32"]
MOST_LAYERS = 64

# Order of gates in Paddle -> in ONNX.
_GATES = {"LSTM": ("LSTM", [0, 3, 1, 2]), "GRU": ("GRU", [1, 0, 2])}
_RNN = {"RNN_TANH": "Tanh", "RNN_RELU": "Relu"}


def _rnn(call: Call) -> None:
    """Layers of LSTM, GRU or simple cells, one or two directions."""
    mode = call.text("mode", "RNN_TANH")
    if mode not in _GATES and mode not in _RNN:
        call.refuse(f"mode = {mode[:50]}")
    if not call.flag("is_test") and call.real("dropout_prob", 0.0):
        call.refuse("is_test = false")
    kind, order = _GATES.get(mode, ("RNN", [0]))
    layers = call.positive("num_layers", 1)
    both = 2 if call.flag("is_bidirec") else 1
    hidden = call.positive("hidden_size")
    weights, states = call.values("WeightList"), call.values("PreState")
    if layers > MOST_LAYERS or len(weights) != 4 * layers * both:
        call.refuse(f"num_layers = {layers} with {len(weights)} weights")
    if len(states) != (2 if kind == "LSTM" else 1):
        call.malformed(f"{len(states)} states")
    lengths = call.maybe("SequenceLength")
    lengths_name = call.cast(lengths.name, lengths.type, INT32) if lengths else ""
    more: dict[str, Any] = {"hidden_size": hidden}
    if both == 2:
        more["direction"] = "bidirectional"
    if mode in _RNN:
        more["activations"] = [_RNN[mode]] * both
    if kind == "GRU":
        more["linear_before_reset"] = 1
    name = call.value("Input").name
    finals: list[list[str]] = [[] for _ in states]
    for layer in range(layers):
        begin = 2 * layer * both
        matrices = weights[begin : begin + 2 * both]
        biases = weights[2 * layers * both + begin :][: 2 * both]
        w = _gates(call, [value.name for value in matrices[::2]], order)
        r = _gates(call, [value.name for value in matrices[1::2]], order)
        parts = [_gates(call, [value.name for value in biases[side::2]], order) for side in (0, 1)]
        b = call.node("Concat", *parts, axis=1)
        initial = [_layer_state(call, value.name, layer, layers, both) for value in states]
        inputs = [name, w, r, b, lengths_name, *initial]
        made, *last = call.nodes(kind, *inputs, outputs=1 + len(states), **more)
        for found, state in zip(finals, last, strict=True):
            found.append(state)
        # The axis of directions goes, or becomes one with the last.
        step, behind = ("Squeeze", [made, call.vector([1])])
        if both > 1:
            turned = call.node("Transpose", made, perm=[0, 2, 1, 3])
            step, behind = ("Reshape", [turned, call.vector([0, 0, both * hidden])])
        if layer == layers - 1:
            call.put("Out", step, *behind)
        else:
            name = call.node(step, *behind)
    for index, found in enumerate(finals[: len(call.outputs("State"))]):
        if len(found) == 1:
            call.put_at("State", index, "Identity", found[0])
        else:
            call.put_at("State", index, "Concat", *found, axis=0)


def _gates(call: Call, names: list[str], order: list[int]) -> str:
    """Weights of all directions, with their gates as ONNX orders them."""
    first = call.vector([0])
    made = []
    for name in names:
        if order != [*range(len(order))]:
            parts = call.nodes("Split", name, outputs=len(order), axis=0, num_outputs=len(order))
            name = call.node("Concat", *(parts[gate] for gate in order), axis=0)
        made.append(call.node("Unsqueeze", name, first))
    return made[0] if len(made) == 1 else call.node("Concat", *made, axis=0)


def _layer_state(call: Call, name: str, layer: int, layers: int, both: int) -> str:
    if layers == 1:
        return name
    ends = ([layer * both], [(layer + 1) * both], [0])
    return call.node("Slice", name, *map(call.vector, ends))


TABLE: Mapping[str, Rule] = {
    "rnn": _rnn,
}

ROWS: Mapping[str, Row] = {
    "rnn": row(
        "rnn",
        "Input PreState WeightList SequenceLength DropoutState",
        "Out DropoutState State Reserve",
    ),
}
