"""Forms of older opsets -> the newest form, so that emitters see one form of every operator.

Before: `Squeeze-11(x, axes=[0])`. After: `Squeeze(x, [0])`. Facts are the version notes of the
standard: https://github.com/onnx/onnx/blob/main/docs/Changelog.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import UnsupportedError
from converters.graph.model import Graph, Node, Value, constant, subgraphs

REDUCTIONS = (
    "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare",
)  # fmt: skip

# operator: ((attribute, position of the input that replaced it, element type), ...)
BECAME_INPUTS: dict[str, tuple[tuple[str, int, Any], ...]] = {
    "Squeeze": (("axes", 1, np.int64),),
    "Unsqueeze": (("axes", 1, np.int64),),
    "ReduceSum": (("axes", 1, np.int64),),
    **dict.fromkeys(REDUCTIONS, (("axes", 1, np.int64),)),
    "Split": (("split", 1, np.int64),),
    "Slice": (("starts", 1, np.int64), ("ends", 2, np.int64), ("axes", 3, np.int64)),
    "TopK": (("k", 1, np.int64),),
    "Clip": (("min", 1, None), ("max", 2, None)),
    "Pad": (("pads", 1, np.int64), ("value", 2, None)),
    "Dropout": (("ratio", 1, np.float32),),
    "Upsample": (("scales", 1, np.float32),),
    "DFT": (("axis", 2, np.int64),),
}

# operator: ((first opset with the new default, attribute, the default before it), ...)
OLD_DEFAULTS: dict[str, tuple[tuple[int, str, Any], ...]] = {
    "DFT": ((20, "axis", 1),),
    "Hardmax": ((13, "axis", 1),),
    "LogSoftmax": ((13, "axis", 1),),
    "Softmax": ((13, "axis", 1),),
    "RoiAlign": ((16, "coordinate_transformation_mode", "output_half_pixel"),),
}

COERCING = ("Softmax", "LogSoftmax", "Hardmax")
RENAMED = {"Scatter": "ScatterElements"}
RENAMED_MODES = {"bilinear": "linear", "bicubic": "cubic"}
# Attributes that only said what is now always so.
DROPPED = {
    "BatchNormalization": ("spatial", "is_test"),
    "Dropout": ("is_test", "seed"),
    "Gemm": ("broadcast",),
}
# Before opset 7 an attribute said whether, and from which axis on, these broadcast their second input.
BROADCASTING = (
    "Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less",
)  # fmt: skip


def upgrade(graph: Graph) -> None:
    """Bring every node of the graph and its sub-graphs into the newest form, in place."""
    nodes: list[Node] = []
    for node in graph.nodes:
        for inner in subgraphs(node):
            upgrade(inner)
        node.key = RENAMED.get(node.key, node.key)
        for name in DROPPED.get(node.key, ()):
            node.attributes.pop(name, None)
        for since, name, value in OLD_DEFAULTS.get(node.key, ()):
            if graph.opset < since:
                node.attributes.setdefault(name, value)
        _attributes_to_inputs(node)
        nodes.extend(_reform(node, graph.opset))
    graph.nodes = nodes


def _attributes_to_inputs(node: Node) -> None:
    for name, position, dtype in BECAME_INPUTS.get(node.key, ()):
        if name not in node.attributes:
            continue
        data = np.asarray(node.attributes.pop(name), dtype or _dtype(node.inputs[0]))
        while len(node.inputs) <= position:
            node.inputs.append(None)
        node.inputs[position] = constant(f"{node.name}.{name}", data)


def _dtype(value: Value | None) -> Any:
    return np.float32 if value is None or value.dtype is None else value.dtype


def _reform(node: Node, opset: int) -> list[Node]:
    """What an attribute table cannot say."""
    if node.key == "Upsample" or (node.key == "Resize" and opset < 11):
        x, scales = node.inputs[:2]
        node.key = "Resize"
        node.inputs = [x, None, scales]
        node.attributes.update(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    elif node.key == "GridSample":
        mode = node.attributes.get("mode", "linear")
        node.attributes["mode"] = RENAMED_MODES.get(mode, mode)
    elif node.key in COERCING and opset < 13:
        node.key += "@1"
    elif node.key == "PRelu" and opset < 7 and _is_vector(node.inputs[1]):
        # A slope for each channel, which later opsets would read as one for each column.
        node.key = "PRelu@6"
    elif node.key in BROADCASTING:
        broadcast = node.attributes.pop("broadcast", 0)
        if opset < 7 and "axis" in node.attributes:
            if broadcast:
                node.key += "@6"
            else:
                del node.attributes["axis"]
    elif node.key == "Split" and len(node.inputs) < 2:
        # Equal parts, as many as outputs, which has to be said since opset 18.
        node.attributes.setdefault("num_outputs", len(node.outputs))
    elif node.key == "GroupNormalization" and opset < 21:
        return _per_group(node)
    elif node.key == "DFT" and node.attributes.get("inverse") and node.attributes.get("onesided"):
        return _mirrored(node)
    elif node.key == "Scan" and opset < 9:
        _batched(node)
    return [node]


def _is_vector(value: Value | None) -> bool:
    return value is None or value.const is None or (value.const.ndim == 1 and value.const.size > 1)


def settle(graph: Graph) -> None:
    """Write what needed ranks, once they are inferred, in place.

    These are the softmaxes from before opset 13, and what broadcast along an axis before opset 7.
    """
    nodes: list[Node] = []
    for node in graph.nodes:
        for inner in subgraphs(node):
            settle(inner)
        if node.key.endswith("@1"):
            nodes.extend(_coerced(node))
        elif node.key.endswith("@6"):
            nodes.extend(_aligned(node))
        else:
            nodes.append(node)
    graph.nodes = nodes


def _aligned(node: Node) -> list[Node]:
    """Before opset 7 the second input stood at an axis of the first: PRelu's slopes at the channels.

    Before: Add-6(x, b, axis=1), x of 4 dimensions, b of 1. After: Add(x, Unsqueeze(b, [1, 2])).
    """
    x, b = node.inputs[:2]
    if x is None or b is None or x.rank is None or b.rank is None:
        return [node]
    node.key = node.key.removesuffix("@6")
    axis = node.attributes.pop("axis", 1)
    behind = x.rank - b.rank - axis % max(x.rank, 1)
    if behind <= 0:
        return [node]
    shape = None if b.shape is None else (*b.shape, *(1,) * behind)
    wide = Value(f"{node.name}.wide", b.dtype, shape)
    axes = constant(f"{node.name}.axes", np.arange(b.rank, b.rank + behind))
    node.inputs[1] = wide
    name = f"{node.name}.unsqueeze"
    return [Node("Unsqueeze", [b, axes], [wide], {}, name, node.scope), node]


def _coerced(node: Node) -> list[Node]:
    """Before opset 13 these worked on a matrix: all axes from `axis` on are one row.

    Before: Softmax-11(x, axis=1), x of 4 dimensions. After: Reshape(Softmax(Flatten(x, 1)), shape(x)).
    """
    node.key = node.key.removesuffix("@1")
    x = node.inputs[0]
    axis = node.attributes.get("axis", 1)
    rank = x.rank if x is not None else None
    if rank is not None and axis % max(rank, 1) == rank - 1:
        node.attributes["axis"] = -1
        return [node]
    dtype = node.output.dtype
    flat = Value(f"{node.name}.flat", dtype, (None, None))
    scores = Value(f"{node.name}.scores", dtype, (None, None))
    shape = Value(f"{node.name}.shape", np.dtype(np.int64), (rank,))
    attributes = {**node.attributes, "axis": -1}
    return [
        Node("Flatten", [x], [flat], {"axis": axis}, f"{node.name}.flatten", node.scope),
        Node(node.key, [flat], [scores], attributes, node.name, node.scope),
        Node("Shape", [x], [shape], {}, f"{node.name}.shape", node.scope),
        Node("Reshape", [scores, shape], node.outputs, {}, f"{node.name}.reshape", node.scope),
    ]


def _per_group(node: Node) -> list[Node]:
    """GroupNormalization-18 has a scale and bias for each group, -21 for each channel."""
    x, scale, bias = node.inputs[:3]
    groups = node.attributes["num_groups"]
    channels = x.shape[1] if x is not None and x.shape is not None and len(x.shape) > 1 else None
    if isinstance(channels, int) and scale is not None and bias is not None:
        if scale.const is not None and bias.const is not None:
            node.inputs = [
                x,
                *(
                    constant(v.name, np.repeat(v.const, channels // groups), trainable=True)
                    for v in (scale, bias)
                    if v.const is not None
                ),
            ]
            return [node]
    node.key = "GroupNormalization@18"
    return [node]


def _mirrored(node: Node) -> list[Node]:
    """The half of a spectrum that says it all -> real numbers, as ONNX Runtime and newer opsets have it.

    Before: DFT(half, length, axis, inverse=1, onesided=1), real numbers, [..., 1].
    After: the real part of DFT(Concat(half, Conjugate(Reverse(half))), length, axis, inverse=1).
    """
    half, length, axis = [*node.inputs, None, None][:3]
    known = None if length is None else length.const
    if length is not None and known is None:
        raise UnsupportedError(
            f"{node.name}: DFT of half a spectrum, to a length that is computed",
            fix="export the model with a fixed length",
        )
    nodes: list[Node] = []

    def step(key: str, *inputs: Value | None, **attributes: Any) -> Value:
        made = Value(f"{node.name}.{len(nodes)}", half.dtype if half is not None else None)
        nodes.append(Node(key, [*inputs], [made], attributes, made.name, node.scope))
        return made

    def numbers(*given: int) -> Value:
        return constant(f"{node.name}.{'_'.join(map(str, given))}", np.array(given, np.int64))

    along = numbers(-2)
    if axis is not None:
        along = step("Reshape", axis, numbers(1))
        along.dtype = np.dtype(np.int64)
    count = None if known is None else int(known.reshape(-1)[0])
    # Without a length it is even: the last number of the half has no twin either.
    ends = (numbers(-2), numbers(0)) if count is None else (numbers((count - 1) // 2), numbers(0))
    if count is not None:
        half = step("Slice", half, numbers(0), numbers(count // 2 + 1), along)
    twins = step("Slice", half, *ends, along, numbers(-1))
    sign = constant(f"{node.name}.sign", np.array([1, -1], np.float32))
    twins = step("Mul", twins, step("CastLike", sign, twins))
    place = -2 if axis is None or axis.const is None else int(axis.const.reshape(-1)[0])
    whole = step("Concat", half, twins, axis=place)
    made = step("DFT", whole, None, axis, **{**node.attributes, "onesided": 0})
    inputs = [made, numbers(0), numbers(1), numbers(-1)]
    nodes.append(Node("Slice", [*inputs], node.outputs, {}, f"{node.name}.real", node.scope))
    return nodes


def _batched(node: Node) -> None:
    """Scan-8 works on each member of a batch, which is the first axis of all that it is given.

    Before: Scan-8(lengths?, states, xs). After: a Scan over the batch whose body is a Scan over the steps.
    """
    if node.inputs[0] is not None:
        raise UnsupportedError(
            f"{node.name}: Scan of opset 8 with sequence_lens",
            fix="export the model again with opset 9 or newer",
        )
    body: Graph = node.attributes["body"]
    inner = [Value(f"{v.name}.item", v.dtype) for v in body.inputs]
    results: list[Value | None] = [Value(f"{v.name}.item", v.dtype) for v in body.outputs]
    directions = node.attributes.pop("directions", None)
    attributes = dict(node.attributes)
    if directions:
        attributes["scan_input_directions"] = directions
    steps = Node("Scan", [*inner], results, attributes, f"{node.name}.steps", node.scope)
    outputs = [v for v in results if v is not None]
    names = [v.name for v in outputs]
    node.inputs = node.inputs[1:]
    node.attributes = {
        "body": Graph(body.name, inner, outputs, [steps], body.opset, output_names=names),
        "num_scan_inputs": len(inner),
    }
