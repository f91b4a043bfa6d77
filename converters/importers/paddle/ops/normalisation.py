"""Normalisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from converters.dtypes import ElementType
from converters.importers.graph import LARGEST_CONSTANT
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.ops.convolution import (
    channels_first,
    channels_last,
    put_last,
)
from converters.importers.paddle.rows import Row, row, same


def _batch_norm(call: Call) -> None:
    x = call.value()
    if not (call.flag("is_test") or call.flag("use_global_stats")):
        call.refuse("is_test = false")
    if call.flag("fuse_with_relu"):
        call.refuse("fuse_with_relu = true")
    last = channels_last(call, "data_layout", "data_format") and x.rank > 2
    name = channels_first(call, x, last)[0] if last else x.name
    mean, variance = call.value("Mean"), call.value("Variance")
    parameters = []
    for slot, number in (("Scale", 1.0), ("Bias", 0.0)):
        given = call.maybe(slot)
        parameters.append(given.name if given else _filled(call, mean.shape, number, mean.type))
    put_last(
        call,
        "Y",
        last,
        x.rank,
        "BatchNormalization",
        name,
        *parameters,
        mean.name,
        variance.name,
        epsilon=call.real("epsilon", 1e-5),
    )


def _filled(call: Call, shape: Sequence[int], number: float, kind: ElementType) -> str:
    """A constant of a known shape."""
    if any(size < 0 for size in shape) or math.prod(shape) > 1 << 20:
        call.refuse(f"no scale or bias, for the shape {list(shape)}")
    return call.graph.constant(np.full(shape, number, kind.numpy))


def _layer_norm(call: Call) -> None:
    x = call.value()
    axis = call.axis(call.integer("begin_norm_axis", 1), x.rank)
    parameters = []
    for slot, number in (("Scale", 1.0), ("Bias", 0.0)):
        given = call.maybe(slot)
        if given is None and slot == "Bias":
            continue
        if given is None:
            parameters.append(_filled(call, x.shape[axis:], number, x.type))
        elif x.rank - axis == given.rank == 1:
            parameters.append(given.name)
        else:
            parameters.append(call.node("Reshape", given.name, call.dims(x.name, axis)))
    epsilon = call.real("epsilon", 1e-5)
    call.put("Y", "LayerNormalization", x.name, *parameters, axis=axis, epsilon=epsilon)


def _instance_norm(call: Call) -> None:
    x = call.value()
    if x.rank < 2:
        call.malformed(f"{x.rank} dimensions")
    parameters = []
    for slot, number in (("Scale", 1.0), ("Bias", 0.0)):
        given = call.maybe(slot)
        parameters.append(given.name if given else _filled(call, x.shape[1:2], number, x.type))
    epsilon = call.real("epsilon", 1e-5)
    call.put("Y", "InstanceNormalization", x.name, *parameters, epsilon=epsilon)


def _group_norm(call: Call) -> None:
    x = call.value()
    last = channels_last(call, "data_layout", "data_format")
    name, sizes = channels_first(call, x, last)
    groups = call.positive("groups", 1)
    if groups > LARGEST_CONSTANT:
        call.refuse(f"groups = {groups}")
    ones, zeros = (_filled(call, [groups], number, x.type) for number in (1.0, 0.0))
    rows = call.node("Reshape", name, call.vector([0, groups, -1]))
    epsilon = call.real("epsilon", 1e-5)
    rows = call.node("InstanceNormalization", rows, ones, zeros, epsilon=epsilon)
    made = call.node("Reshape", rows, call.dims(name))
    for slot, kind in (("Scale", "Mul"), ("Bias", "Add")):
        given = call.maybe(slot)
        if given is not None:
            column = call.node("Reshape", given.name, call.vector([-1] + [1] * len(sizes)))
            made = call.node(kind, made, column)
    put_last(call, "Y", last, x.rank, "Identity", made)


def _norm(call: Call) -> None:
    """Division by the Euclidean norm along an axis."""
    x = call.value()
    axes = call.vector([call.axis(call.integer("axis", -1), x.rank)])
    total = call.node("ReduceSum", call.node("Mul", x.name, x.name), axes, keepdims=1)
    total = call.node("Add", total, call.scalar(call.real("epsilon", 1e-10), x.type))
    call.put("Out", "Div", x.name, call.node("Sqrt", total))


def _p_norm(call: Call) -> None:
    x = call.value()
    order = call.real("porder", 2.0)
    keep = int(call.flag("keepdim"))
    inputs = [x.name]
    if not call.flag("asvector"):
        inputs.append(call.vector([call.axis(call.integer("axis", -1), x.rank)]))
    if order in (1.0, 2.0):
        call.put("Out", f"ReduceL{int(order)}", *inputs, keepdims=keep)
    elif math.isinf(order):
        inputs[0] = call.node("Abs", x.name)
        call.put("Out", "ReduceMax" if order > 0 else "ReduceMin", *inputs, keepdims=keep)
    elif order == 0 or math.isnan(order):
        call.refuse(f"porder = {order}")
    else:
        power = call.scalar(order, x.type)
        inputs[0] = call.node("Pow", call.node("Abs", x.name), power)
        total = call.node("ReduceSum", *inputs, keepdims=keep)
        call.put("Out", "Pow", total, call.scalar(1.0 / order, x.type))


def _affine_channel(call: Call) -> None:
    x = call.value()
    # Any other layout means that channels are the last dimension.
    last = call.text("data_layout", "AnyLayout") != "NCHW"
    shape = call.vector([-1] if last else [-1] + [1] * (x.rank - 2))
    scale, bias = (call.node("Reshape", call.value(slot).name, shape) for slot in ("Scale", "Bias"))
    call.put("Out", "Add", call.node("Mul", x.name, scale), bias)


def _softmax(call: Call, kind: str) -> None:
    x = call.value()
    if x.rank == 0:
        call.refuse("a tensor without dimensions")
    call.put("Out", kind, x.name, axis=call.axis(call.integer("axis", -1), x.rank))


TABLE: Mapping[str, Rule] = {
    "affine_channel": _affine_channel,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "log_softmax": partial(_softmax, kind="LogSoftmax"),
    "norm": _norm,
    "p_norm": _p_norm,
    "softmax": partial(_softmax, kind="Softmax"),
    "sync_batch_norm": _batch_norm,
}

ROWS: Mapping[str, Row] = {
    **same("log_softmax", "p_norm", "softmax"),
    "batch_norm": row("batch_norm", "X Mean Variance Scale Bias", "Y", data_format="data_layout"),
    "batch_norm_": row("batch_norm", "X Mean Variance Scale Bias", "Y", data_format="data_layout"),
    "group_norm": row("group_norm", "X Scale Bias", "Y", data_format="data_layout"),
    "instance_norm": row("instance_norm", "X Scale Bias", "Y"),
    "layer_norm": row("layer_norm", "X Scale Bias", "Y"),
    "norm": row("norm", "X", "Out Norm"),
}
