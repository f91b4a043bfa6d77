"""Recurrent layers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from converters.importers.graph import Value
from converters.importers.mindspore.build import Call, Given, Rule


def _lstm(
    call: Call,
    x: Given,
    h: Given,
    c: Given,
    w: Given,
    hidden_size: Given,
    input_size: Given,
    num_layers: Given = 1,
    has_bias: Given = True,
    bidirectional: Given = False,
    proj_size: Given = 0,
) -> list[Given]:
    """One layer, whose weights are joined to one column: of inputs, of states, biases. Gates: i, f, g, o."""
    call.only("num_layers", num_layers, 1)
    call.only("bidirectional", bidirectional, False)
    call.only("proj_size", proj_size, 0)
    hidden = call.whole(hidden_size, "hidden_size")
    width = call.whole(input_size, "input_size")
    if not (0 < hidden < 1 << 24 and 0 < width < 1 << 24):
        call.malformed(f"hidden_size = {hidden}, input_size = {width}")
    shapes: list[tuple[int, ...]] = [(4 * hidden, width), (4 * hidden, hidden)]
    shapes += [(4 * hidden,)] if has_bias else []
    weights = _stored_gates(call, call.tensor(w), shapes) or _sliced_gates(
        call, call.tensor(w), shapes
    )
    made, *states = call.nodes(
        "LSTM",
        call.name(x),
        *weights,
        *([] if has_bias else [""]),
        "",
        call.name(h),
        call.name(c),
        outputs=3,
        hidden_size=hidden,
    )
    names = [call.node("Squeeze", made, call.vector([1])), *states]
    return [call.of_rank(name, (-1, -1, hidden), place) for place, name in enumerate(names)]


# Gates in MindSpore: i, f, g, o; in ONNX: i, o, f, g.
_GATES = [0, 3, 1, 2]


def _stored_gates(call: Call, w: Value, shapes: list[tuple[int, ...]]) -> list[str]:
    """Weights as ONNX has them, where the program shows of which parameters they were joined; else nothing."""
    made = {output: node for node in call.graph.nodes for output in node.output}

    def behind(name: str, kind: str) -> list[str]:
        node = made.get(name)
        return [*node.input] if node is not None and node.op_type == kind else []

    parts = [behind(one, "Reshape")[:1] for one in behind(w.name, "Concat")]
    found = [(behind(one[0], "Add") or one) if one else [] for one in parts]
    biases = 2 if len(shapes) == 3 else 0
    if [len(one) for one in found] not in ([1, 1], [1, 1, biases]):
        return []
    names = [name for one in found for name in one]
    tensors = [call.graph.initialisers.get(name) for name in names]
    if [tuple(one.dims) if one else None for one in tensors] != [*shapes[:2], *shapes[2:] * 2]:
        return []
    arrays = [
        np.frombuffer(one.raw_data, call.tensor(w).type.numpy).reshape(4, -1, *one.dims[1:])[_GATES]
        for one in tensors
        if one is not None
    ]
    flat = [one.reshape(1, -1, *one.shape[2:]) for one in arrays]
    joined = flat[:2] + ([np.concatenate(flat[2:], 1)] if biases else [])
    return [
        call.graph.constant(np.ascontiguousarray(one), name)
        for one, name in zip(joined, names, strict=False)
    ]


def _sliced_gates(call: Call, w: Value, shapes: list[tuple[int, ...]]) -> list[str]:
    """Weights as ONNX has them, cut out of a column that the model computes."""
    flat = call.node("Reshape", w.name, call.vector([-1]))
    sizes = call.vector([math.prod(shape) for shape in shapes])
    parts = call.nodes("Split", flat, sizes, outputs=len(shapes), axis=0)
    made = []
    for part, shape in zip(parts, shapes, strict=True):
        gates = call.nodes(
            "Split",
            call.node("Reshape", part, call.vector(shape)),
            outputs=4,
            axis=0,
            num_outputs=4,
        )
        ordered = [gates[gate] for gate in _GATES]
        if len(shape) == 1:
            ordered.append(call.filled([shape[0]], 0.0, w.type))
        joined = call.node("Concat", *ordered, axis=0)
        made.append(call.node("Unsqueeze", joined, call.vector([0])))
    return made


TABLE: Mapping[str, Rule] = {
    "LSTM": _lstm,
}
