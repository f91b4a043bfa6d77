"""Quantised programs: numbers as steps of a scale, in inference.

Paddle's scale is the largest absolute value; with b bits, it is 2 ** (b - 1) - 1 steps. Steps are kept in floats,
and rounded half to even or, where `round_type` is 1, half away from zero.

Source: paddle/phi/kernels/funcs/fake_quantize_functor.{h,cc}, impl/{quantize_linear,fake_quantize,fake_dequantize}
of PaddlePaddle 3.3; the numbers of its kernels (tests/importers).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from converters.importers.graph import Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.rows import Row, row


def _steps(call: Call, name: str = "bit_length") -> int:
    bits = call.integer(name, 8)
    if not 2 <= bits <= 16:
        call.refuse(f"{name} = {bits}")
    return (1 << (bits - 1)) - 1


def _most(call: Call) -> int:
    """The largest step; others are those of floats of eight bits."""
    found = call.integer("qmax", _steps(call))
    if found != _steps(call):
        call.refuse(f"qmax = {found}")
    return found


def _along(call: Call, scale: str, axis: int, rank: int) -> str:
    """Scales of channels, so that they are broadcast; one for all where the axis is negative."""
    if axis < 0:
        return call.node("Reshape", scale, call.vector([]))
    shape = [-1 if place == call.axis(axis, rank) else 1 for place in range(rank)]
    return call.node("Reshape", scale, call.vector(shape))


def _rounded(call: Call, x: Value, scale: str, steps: int) -> str:
    """The number of steps, as a float."""
    kind = x.type
    # A scale of nothing is a little more than that.
    nothing = call.node("LessOrEqual", scale, call.scalar(1e-30, kind))
    more = call.node("Add", scale, call.scalar(1e-6, kind))
    inverse = call.node("Reciprocal", call.node("Where", nothing, more, scale))
    many = call.scalar(steps, kind)
    away = call.integer("round_type", 1)
    if away == 0:
        made = call.node("Round", call.node("Mul", call.node("Mul", many, inverse), x.name))
        return call.node("Clip", made, call.scalar(-steps - 1, kind), many)
    if away != 1:
        call.refuse(f"round_type = {away}")
    kept = call.node("Max", call.node("Min", x.name, scale), call.node("Neg", scale))
    made = call.node("Mul", call.node("Mul", many, inverse), kept)
    half = call.node("Floor", call.node("Add", call.node("Abs", made), call.scalar(0.5, kind)))
    return call.node("Mul", call.node("Sign", made), half)


def _in_inference(call: Call) -> None:
    if not call.flag("is_test"):
        call.refuse("is_test = false")


def _quantise(call: Call) -> None:
    _in_inference(call)
    x, scale = call.value(), call.value("Scale")
    if call.flag("only_observer"):
        call.put("Y", "Identity", x.name)
        return
    axis = call.integer("quant_axis", -1)
    placed = _along(call, scale.name, axis, x.rank)
    most = _most(call)
    call.put("Y", "Identity", _rounded(call, x, placed, most))


def _dequantise(call: Call) -> None:
    x, scale = call.value(), call.value("Scale")
    if call.flag("only_observer"):
        call.put("Y", "Identity", x.name)
        return
    most = _most(call)
    placed = _along(call, scale.name, call.integer("quant_axis", -1), x.rank)
    real = call.cast(x.name, x.type, scale.type)
    call.put("Y", "Div", call.node("Mul", real, placed), call.scalar(most, scale.type))
    call.retype("Y", scale.type)


def _fake(call: Call, back: bool, slot: str = "") -> None:
    """Numbers as steps of a scale, and back to numbers."""
    x = call.value()
    steps = _steps(call)
    if slot:
        _in_inference(call)
        scale = call.node("Reshape", call.value(slot).name, call.vector([]))
    else:
        scale = call.node("ReduceMax", call.node("Abs", x.name), keepdims=0)
        if call.outputs("OutScale"):
            call.put("OutScale", "Reshape", scale, call.vector([1]))
    _put_fake(call, x, scale, steps, back)


def _fake_channels(call: Call, back: bool) -> None:
    x, axis = call.value(), call.integer("quant_axis", 0)
    place = call.axis(axis, x.rank)
    others = call.vector([k for k in range(x.rank) if k != place])
    scale = call.node("ReduceMax", call.node("Abs", x.name), others, keepdims=1)
    if call.flag("is_test"):
        call.refuse("is_test = true: scales that nothing gives")
    if call.outputs("OutScale"):
        call.put("OutScale", "Reshape", scale, call.vector([-1]))
    _put_fake(call, x, scale, _steps(call), back)


def _put_fake(call: Call, x: Value, scale: str, steps: int, back: bool) -> None:
    made = _rounded(call, x, scale, steps)
    if not back:
        call.put("Out", "Identity", made)
        return
    call.put("Out", "Div", call.node("Mul", made, scale), call.scalar(steps, x.type))


def _fake_back(call: Call) -> None:
    x, scale = call.value(), call.value("Scale")
    alone = call.node("Reshape", scale.name, call.vector([]))
    real = call.cast(x.name, x.type, scale.type)
    call.put(
        "Out", "Div", call.node("Mul", real, alone), call.scalar(call.real("max_range"), scale.type)
    )
    call.retype("Out", scale.type)


def _fake_channels_back(call: Call) -> None:
    x, scales, bits = call.value(), call.values("Scales"), call.ints("quant_bits") or [8]
    if not 1 <= len(scales) <= 2 or len(bits) < len(scales) or not all(2 <= b <= 16 for b in bits):
        call.malformed(f"{len(scales)} scales, quant_bits = {bits[:20]}")
    most = float(np.prod([(1 << (b - 1)) - 1 for b in bits[: len(scales)]]))
    axis = call.integer("quant_axis", 0) if len(scales) == 1 else call.integer("x_num_col_dims", 1)
    name = call.node("Mul", x.name, _along(call, scales[0].name, axis, x.rank))
    if len(scales) == 2:
        name = call.node("Mul", name, call.node("Reshape", scales[1].name, call.vector([])))
    call.put("Out", "Div", name, call.scalar(most, x.type))


TABLE: Mapping[str, Rule] = {
    "dequantize_linear": _dequantise,
    "fake_channel_wise_dequantize_max_abs": _fake_channels_back,
    "fake_channel_wise_quantize_abs_max": partial(_fake_channels, back=False),
    "fake_channel_wise_quantize_dequantize_abs_max": partial(_fake_channels, back=True),
    "fake_dequantize_max_abs": _fake_back,
    "fake_quantize_abs_max": partial(_fake, back=False),
    "fake_quantize_dequantize_abs_max": partial(_fake, back=True),
    "fake_quantize_dequantize_moving_average_abs_max": partial(_fake, back=True, slot="InScale"),
    "fake_quantize_moving_average_abs_max": partial(_fake, back=False, slot="InScale"),
    "fake_quantize_range_abs_max": partial(_fake, back=False, slot="InScale"),
    "quantize_linear": _quantise,
}

_LINEAR = ("X Scale ZeroPoint InAccum InState", "Y OutState OutAccum OutScale")
_MOVING = ("X InScale InAccum InState", "Out OutScale OutState OutAccum")
ROWS: Mapping[str, Row] = {
    **{name: row(name, *_LINEAR) for name in ("quantize_linear", "dequantize_linear")},
    **{
        name: row(name, "X", "Out OutScale")
        for name in (
            "fake_channel_wise_quantize_abs_max",
            "fake_channel_wise_quantize_dequantize_abs_max",
            "fake_quantize_abs_max",
            "fake_quantize_dequantize_abs_max",
        )
    },
    **{
        name: row(name, *_MOVING)
        for name in (
            "fake_quantize_dequantize_moving_average_abs_max",
            "fake_quantize_moving_average_abs_max",
        )
    },
    "fake_channel_wise_dequantize_max_abs": row("fake_channel_wise_dequantize_max_abs", "X Scales"),
    "fake_dequantize_max_abs": row("fake_dequantize_max_abs", "X Scale"),
    "fake_quantize_range_abs_max": row(
        "fake_quantize_range_abs_max", "X InScale Iter", "Out OutScale OutScales"
    ),
}
