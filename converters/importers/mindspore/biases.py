"""Biases that are added behind a convolution become its third input, as ONNX and all emitters have them.

MindSpore's `BiasAdd` is `Add(Conv(x, w), Reshape(b, [-1, 1, 1]))` here. Where nothing else reads what is between, that is
`Conv(x, w, b)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import onnx

CONVOLUTIONS = ("Conv", "ConvTranspose")


def with_biases(
    nodes: Sequence[onnx.NodeProto], initialisers: Sequence[onnx.TensorProto]
) -> list[onnx.NodeProto]:
    """The same nodes, with biases in convolutions; what is not needed any more is left out.

    Args:
        nodes: In the order of their execution.
        initialisers: The parameters.
    """
    made = {output: node for node in nodes for output in node.output}
    vectors = {one.name: one.dims[0] for one in initialisers if len(one.dims) == 1}
    weights = {one.name: one.dims for one in initialisers if len(one.dims) > 2}
    reads = Counter(_read(nodes))
    gone: set[str] = set()
    for node in nodes:
        if node.op_type != "Add":
            continue
        layer, shaped = (made.get(name) for name in node.input)
        if layer is None or shaped is None or shaped.op_type != "Reshape":
            continue
        name, bias = layer.output[0], shaped.input[0]
        if (
            layer.op_type in CONVOLUTIONS
            and len(layer.input) == 2
            and reads[name] == 1
            and vectors.get(bias, -1) == _channels(layer, weights)
        ):
            layer.input.append(bias)
            layer.output[0] = node.output[0]
            reads[shaped.output[0]] -= 1
            gone.add(name)
            if not reads[shaped.output[0]]:
                gone.add(shaped.output[0])
            made[node.output[0]] = layer
            node.ClearField("output")
    return [node for node in nodes if node.output and not gone.intersection(node.output)]


def _channels(layer: onnx.NodeProto, weights: dict[str, Sequence[int]]) -> int | None:
    """How many channels a convolution makes; None where its weight is computed."""
    dims = weights.get(layer.input[1])
    if dims is None:
        return None
    if layer.op_type == "Conv":
        return dims[0]
    return dims[1] * next((one.i for one in layer.attribute if one.name == "group"), 1)


def _read(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """What is read, by nodes within nodes too."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _read(attribute.g.node)
