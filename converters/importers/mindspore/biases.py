"""Biases that are added behind a layer become its third input, as ONNX and all emitters have them.

MindSpore's `BiasAdd` is `Add(Conv(x, w), Reshape(b, [-1, 1, 1]))` or `Add(Gemm(x, w), b)` here. Where nothing else reads
what is between, that is `Conv(x, w, b)` or `Gemm(x, w, b)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from converters.importers.graph import names_read


def with_biases(
    nodes: Sequence[onnx.NodeProto],
    initialisers: Mapping[str, onnx.TensorProto],
    reads: Mapping[str, int],
) -> list[onnx.NodeProto]:
    """The same nodes, with biases in their layers; what is not needed any more is left out.

    Args:
        nodes: Of one graph, in the order of their execution; layers are changed.
        initialisers: The parameters by name.
        reads: How often each name is read, in all graphs.
    """
    made = {output: node for node in nodes for output in node.output}
    shapes = {name: [*one.dims] for name, one in initialisers.items()}
    kept: list[onnx.NodeProto] = []
    for node in nodes:
        layer = made.get(node.input[0]) if node.op_type == "Add" else None
        bias = _bias(node, layer, made, shapes) if layer is not None else ""
        if layer is None or not bias or reads[node.input[0]] > 1:
            kept.append(node)
            continue
        layer.input.append(bias)
        layer.output[0] = node.output[0]
    read = {*names_read(kept)}
    return [node for node in kept if node.op_type != "Reshape" or read.intersection(node.output)]


def _bias(
    node: onnx.NodeProto,
    layer: onnx.NodeProto,
    made: Mapping[str, onnx.NodeProto],
    shapes: Mapping[str, Sequence[int]],
) -> str:
    """The vector that is added to a layer without bias, one number for each of its channels; else nothing."""
    weight = shapes.get(layer.input[1], []) if len(layer.input) == 2 else []
    bias = node.input[1]
    if layer.op_type in ("Conv", "ConvTranspose") and len(weight) > 2:
        shaped = made.get(bias)
        bias = shaped.input[0] if shaped is not None and shaped.op_type == "Reshape" else ""
        groups = next((one.i for one in layer.attribute if one.name == "group"), 1)
        channels = weight[0] if layer.op_type == "Conv" else weight[1] * groups
    elif layer.op_type == "Gemm" and len(weight) == 2:
        channels = weight[0]
    else:
        return ""
    return bias if shapes.get(bias) == [channels] else ""
