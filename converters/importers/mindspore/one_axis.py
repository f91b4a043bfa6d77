"""Layers along one axis, which MindSpore makes of layers of images that are one row high.

`nn.Conv1d` is `Squeeze(Conv(Unsqueeze(x, 2), w), 2)` here, with kernels [out, in, 1, size]. Where nothing else reads
what is between, that is `Conv(x, w)` with kernels [out, in, size]; so are transposed ones and poolings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper, numpy_helper

LAYERS = ("AveragePool", "Conv", "ConvTranspose", "MaxPool")
# Attributes with a number for each axis, and those with two, before and after.
PER_AXIS = ("dilations", "kernel_shape", "output_padding", "strides")
HEIGHT = 2


def with_one_axis(
    nodes: Sequence[onnx.NodeProto],
    initialisers: Mapping[str, onnx.TensorProto],
    reads: Mapping[str, int],
) -> list[onnx.NodeProto]:
    """The same nodes, with layers along one axis as such.

    Args:
        nodes: Of one graph, in the order of their execution; layers are changed.
        initialisers: The parameters by name; kernels are changed.
        reads: How often each name is read, in all graphs.
    """
    made = {output: node for node in nodes for output in node.output}
    gone: set[str] = set()
    for squeeze in nodes:
        layer = (
            made.get(squeeze.input[0]) if _is_at_height("Squeeze", squeeze, initialisers) else None
        )
        if layer is None or layer.op_type not in LAYERS or len(layer.output) > 1:
            continue
        wide = made.get(layer.input[0])
        if wide is None or not _is_at_height("Unsqueeze", wide, initialisers):
            continue
        kernel = initialisers.get(layer.input[1]) if len(layer.input) > 1 else None
        alone = reads[wide.output[0]] == reads[layer.output[0]] == 1
        if not alone or not _is_one_row(layer, kernel, reads):
            continue
        _narrow(layer, kernel)
        layer.input[0] = wide.input[0]
        layer.output[0] = squeeze.output[0]
        gone |= {wide.name, squeeze.name}
    return [node for node in nodes if node.name not in gone]


def _is_at_height(kind: str, node: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a node adds or takes the axis of rows alone."""
    axes = tensors.get(node.input[1]) if node.op_type == kind and len(node.input) > 1 else None
    return axes is not None and numpy_helper.to_array(axes).reshape(-1).tolist() == [HEIGHT]


def _is_one_row(
    layer: onnx.NodeProto, kernel: onnx.TensorProto | None, reads: Mapping[str, int]
) -> bool:
    """Whether a layer does nothing along rows, and its kernels are its own."""
    said = {one.name: [*one.ints] for one in layer.attribute}
    plain = all(said.get(name, [1])[0] == 1 for name in ("kernel_shape", "strides"))
    pads, more = said.get("pads", [0, 0, 0, 0]), said.get("output_padding", [0])
    if "Pool" in layer.op_type:
        own = "kernel_shape" in said
    else:
        own = kernel is not None and len(kernel.dims) == 4 and kernel.dims[2] == 1
        own = own and reads[layer.input[1]] == 1
    return own and plain and len(pads) == 4 and pads[0] == pads[2] == more[0] == 0


def _narrow(layer: onnx.NodeProto, kernel: onnx.TensorProto | None) -> None:
    """Take the axis of rows out of a layer."""
    if kernel is not None:
        del kernel.dims[HEIGHT]
    for one in layer.attribute:
        if one.name in PER_AXIS:
            one.CopyFrom(helper.make_attribute(one.name, [*one.ints][1:]))
        elif one.name == "pads":
            one.CopyFrom(helper.make_attribute(one.name, [*one.ints][1::2]))


__all__ = ["with_one_axis"]
