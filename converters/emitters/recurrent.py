"""LSTM, GRU and RNN as native modules: what is the same in every framework.

A framework's table says how the constructor of one module is spelt, and takes the three entries for the layers that
`graph/recurrent.py` finds from `recurrent_layers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from converters.emitters.table import Layer, Operand, Refusal, Use
from converters.graph.model import Array, Value, constant

# How the gates of the standard stand in modules: i, o, f, c as i, f, g, o; z, r, h as r, z, n.
GATES: dict[str, tuple[int, ...]] = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}

# Constructor and weights by key.
Made: TypeAlias = "tuple[str, dict[str, Value | None]]"
# Of one module: (LSTM, GRU or RNN; w, r, b; direction; batch first; nonlinearity; its number; how many there are).
Make: TypeAlias = Callable[
    [str, Operand, Operand, "Operand | None", str, bool, str, int, int], Made
]


def results(call: str, node: Use, most: int) -> str:
    """The first of several results, as many as the node has."""
    if node.outputs == 1:
        return f"{call}[0]"
    return call if node.outputs == most else f"{call}[:{node.outputs}]"


def gate_weights(
    name: str, w: Operand, r: Operand, b: Operand | None, layer: int = 0, *, zeros: bool = False
) -> tuple[int, int, dict[str, Value | None]]:
    """Sizes of input and state, and the weights of a module, gates in the order of modules.

    Args:
        name: A row of `GATES`.
        w: [directions, gates * hidden, input].
        r: [directions, gates * hidden, hidden].
        b: [directions, 2 * gates * hidden], if there are biases.
        layer: The number of the module in a stack.
        zeros: Whether the framework keeps biases of zero where there are none.

    Raises:
        Refusal: The weights are not constant.
    """
    if w.weight is None or r.weight is None:
        raise Refusal("weights that are not constant")
    order = GATES[name]
    biases = None if b is None else b.weight
    if biases is None and zeros:
        biases = np.zeros((len(w.weight), 2 * w.weight.shape[1]), w.weight.dtype)
    label = f"{w.value.name}.bias" if b is None else b.value.name

    def ordered(data: Array) -> Array:
        parts = np.split(data, len(order))
        return np.concatenate([parts[k] for k in order])

    weights: dict[str, Value | None] = {}
    count = len(w.weight)
    for d, suffix in zip(range(count), ("", "_reverse"), strict=False):
        weights[f"weight_ih_l{layer}{suffix}"] = w.relaid(ordered(w.weight[d]), d, count)
        weights[f"weight_hh_l{layer}{suffix}"] = r.relaid(ordered(r.weight[d]), d, count)
        halves = () if biases is None else np.split(biases[d], 2)
        for k, (part, half) in enumerate(zip(("ih", "hh"), halves, strict=False)):
            own = b is not None and b.weight is not None
            weights[f"bias_{part}_l{layer}{suffix}"] = (
                b.relaid(ordered(half), 2 * d + k, 2 * count)
                if own and b is not None
                else constant(label, ordered(half), trainable=True)
            )
    return w.weight.shape[2], r.weight.shape[2], weights


def recurrent_layers(make: Make) -> tuple[Callable[..., Layer], ...]:
    """The entries LSTMLayer, GRULayer and RNNLayer of a table; three weights for each module of a stack."""

    def stack(
        name: str, weights: Sequence[Operand | None], direction: str, batch_first: bool,
        nonlinearity: str = "tanh",
    ) -> Made:  # fmt: skip
        constructor, found = "", dict[str, Value | None]()
        layers = len(weights) // 3
        for k in range(layers):
            w, r, b = weights[3 * k : 3 * k + 3]
            if w is None or r is None or any(v is not None and v.weight is None for v in (w, r, b)):
                raise Refusal("weights that something else reads too")
            made = make(name, w, r, b, direction, batch_first, nonlinearity, k, layers)
            constructor = constructor or made[0]
            found |= made[1]
        return constructor, found

    def lstm(
        x: Operand, h: Operand | None, c: Operand | None, *weights: Operand | None, direction: str,
        batch_first: bool, node: Use,
    ) -> Layer:  # fmt: skip
        call = f"layer({x}, ({h}, {c}))" if h is not None else f"layer({x})"
        text = f"{call}[0]" if node.outputs == 1 else results(f"unpacked({call})", node, 3)
        return Layer(*stack("LSTM", weights, direction, batch_first), text, "lstm")

    def gru(
        x: Operand, h: Operand | None, *weights: Operand | None, direction: str, batch_first: bool,
        node: Use,
    ) -> Layer:  # fmt: skip
        state = f", {h}" if h is not None else ""
        made = stack("GRU", weights, direction, batch_first)
        return Layer(*made, results(f"layer({x}{state})", node, 2), "gru")

    def rnn(
        x: Operand, h: Operand | None, *weights: Operand | None, direction: str, batch_first: bool,
        nonlinearity: str, node: Use,
    ) -> Layer:  # fmt: skip
        state = f", {h}" if h is not None else ""
        made = stack("RNN", weights, direction, batch_first, nonlinearity)
        return Layer(*made, results(f"layer({x}{state})", node, 2), "rnn")

    return lstm, gru, rnn
