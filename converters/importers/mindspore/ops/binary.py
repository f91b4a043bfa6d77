"""Two tensors, element by element."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import INT64, Value
from converters.importers.mindspore.build import BOOL, Call, Given, Rule, Scalar
from converters.importers.mindspore.ops.elementwise import cut

FLOAT = BY_NAME["float32"]


def _arithmetic(kind: str) -> Rule:
    """Both operands in the element type of the result."""

    def rule(call: Call, x: Given, other: Given) -> str:
        wanted = call.out_kind()
        return call.node(kind, call.name(x, wanted), call.name(other, wanted))

    return rule


def _scaled(kind: str) -> Rule:
    """`input ± alpha * other`."""

    def rule(call: Call, x: Given, other: Given, alpha: Given = 1) -> str:
        wanted = call.out_kind()
        second = call.name(other, wanted)
        if isinstance(alpha, (Value, Scalar)) or alpha != 1:
            second = call.node("Mul", second, call.name(alpha, wanted))
        return call.node(kind, call.name(x, wanted), second)

    return rule


def _promoted(call: Call, x: Given, y: Given) -> tuple[str, str, ElementType]:
    """Two operands in one element type: numbers take that of tensors, integers that of real numbers."""
    tensors = [one for one in (x, y) if isinstance(one, Value)]
    if len(tensors) == 1:
        other = y if tensors[0] is x else x
        kind = tensors[0].type
        real = isinstance(other, float) or (
            isinstance(other, Scalar) and other.kind.numpy.kind == "f"
        )
        if real and kind.numpy.kind in "biu":
            kind = FLOAT
        elif kind == BOOL and not isinstance(other, bool):
            kind = INT64
    else:
        first, second = call.tensor(x).type, call.tensor(y).type
        kind = wider(first, second)
    return call.name(x, kind), call.name(y, kind), kind


def wider(first: ElementType, second: ElementType) -> ElementType:
    """The type that MindSpore computes two of them in."""
    if first == second:
        return first
    kinds = [one.numpy.kind for one in (first, second)]
    if (kinds[0] in "biu") != (kinds[1] in "biu"):
        return second if kinds[0] in "biu" else first
    found = BY_NAME.get(np.promote_types(first.numpy, second.numpy).name)
    return found or FLOAT


def _compared(kind: str, negated: bool = False) -> Rule:
    def rule(call: Call, x: Given, other: Given) -> str:
        x, y, _ = _promoted(call, x, other)
        made = call.node(kind, x, y)
        return call.node("Not", made) if negated else made

    return rule


def _logical(kind: str) -> Rule:
    """A logical operator; numbers are true unless they are zero."""

    def rule(call: Call, x: Given, y: Given) -> str:
        return call.node(kind, call.name(x, BOOL), call.name(y, BOOL))

    return rule


def _logical_not(call: Call, x: Given) -> str:
    return call.node("Not", call.name(x, BOOL))


def _bitwise(kind: str) -> Rule:
    """A bitwise operator, which is the logical one for booleans."""

    def rule(call: Call, x: Given, other: Given) -> str:
        x, y, found = _promoted(call, x, other)
        return call.node(kind if found == BOOL else f"Bitwise{kind}", x, y)

    return rule


def _invert(call: Call, x: Given) -> str:
    x = call.tensor(x)
    return call.node("Not" if x.type == BOOL else "BitwiseNot", x.name)


def _shift(direction: str) -> Rule:
    def rule(call: Call, x1: Given, x2: Given) -> str:
        x, y, kind = _promoted(call, x1, x2)
        if kind.numpy.kind != "u":
            call.refuse(f"element type {kind.name}")
        return call.node("BitShift", x, y, direction=direction)

    return rule


def remainder(call: Call, kind: ElementType, x: str, y: str) -> str:
    """The remainder that has the sign of the divisor."""
    if kind.numpy.kind in "iu":
        return call.node("Mod", x, y)
    rest = call.node("Mod", x, y, fmod=1)
    zero = call.scalar(0, kind)
    other = call.node("Xor", call.node("Less", rest, zero), call.node("Less", y, zero))
    there = call.node("Not", call.node("Equal", rest, zero))
    return call.node("Where", call.node("And", other, there), call.node("Add", rest, y), rest)


def _floor_mod(call: Call, x: Given, other: Given) -> str:
    kind = call.out_kind()
    return remainder(call, kind, call.name(x, kind), call.name(other, kind))


def _fmod(call: Call, x: Given, other: Given) -> str:
    kind = call.out_kind()
    return call.node("Mod", call.name(x, kind), call.name(other, kind), fmod=1)


def _floor_divide(call: Call, x: Given, other: Given) -> str:
    kind = call.out_kind()
    x, y = call.name(x, kind), call.name(other, kind)
    if kind.numpy.kind not in "iu":
        return call.node("Floor", call.node("Div", x, y))
    return call.node("Div", call.node("Sub", x, remainder(call, kind, x, y)), y)


def _divide(call: Call, x: Given, other: Given, rounding_mode: Given = None) -> str:
    """A quotient; `rounding_mode` is RoundingMode of ops/include/op_enum.h."""
    kind = call.out_kind()
    call.only("rounding_mode", rounding_mode, None, 1, 2)
    if rounding_mode == 2:
        return _floor_divide(call, x, other)
    quotient = call.node("Div", call.name(x, kind), call.name(other, kind))
    # Quotients of integers are cut in ONNX.
    if rounding_mode is None or kind.numpy.kind in "iu":
        return quotient
    return cut(call, quotient, kind)


def _trunc_divide(call: Call, x: Given, other: Given) -> str:
    return _divide(call, x, other, 1)


def _divide_no_nan(call: Call, x: Given, other: Given) -> str:
    """A quotient that is zero where the divisor is."""
    kind = call.out_kind()
    y = call.name(other, kind)
    zero = call.node("Equal", y, call.scalar(0, kind))
    quotient = call.node("Div", call.name(x, kind), y)
    return call.node("Where", zero, call.scalar(0, kind), quotient)


def _zero_or(kind: str) -> Rule:
    """`x / y` or `x * log(y)`, which is zero where x is."""

    def rule(call: Call, x: Given, other: Given) -> str:
        found = call.out_kind()
        x, y = call.name(x, found), call.name(other, found)
        if kind == "Log":
            made = call.node("Mul", x, call.node("Log", y))
        else:
            made = call.node("Div", x, y)
        nothing = call.node("Equal", x, call.scalar(0, found))
        return call.node("Where", nothing, call.scalar(0, found), made)

    return rule


def _pow(call: Call, x: Given, exponent: Given) -> str:
    kind = call.out_kind()
    return call.node("Pow", call.name(x, kind), call.name(exponent, kind))


def _atan2(call: Call, x: Given, other: Given) -> str:
    """The angle of a point, from that of its slope and the half plane that it is in."""
    kind = call.out_kind()
    y, x = call.name(x, kind), call.name(other, kind)
    zero = call.scalar(0, kind)
    left, below = call.node("Less", x, zero), call.node("Less", y, zero)
    turn = call.node("Where", below, call.scalar(-math.pi, kind), call.scalar(math.pi, kind))
    angle = call.node("Atan", call.node("Div", y, x))
    angle = call.node("Where", left, call.node("Add", angle, turn), angle)
    # 0 / 0 has no slope; here it has the angle 0.
    nowhere = call.node("And", call.node("Equal", x, zero), call.node("Equal", y, zero))
    return call.node("Where", nowhere, zero, angle)


def _hypot(call: Call, x: Given, other: Given) -> str:
    kind = call.out_kind()
    squares = [
        call.node("Mul", name, name) for name in (call.name(x, kind), call.name(other, kind))
    ]
    return call.node("Sqrt", call.node("Add", *squares))


def _squared_difference(call: Call, x: Given, other: Given) -> str:
    kind = call.out_kind()
    difference = call.node("Sub", call.name(x, kind), call.name(other, kind))
    return call.node("Mul", difference, difference)


def _square_sum_all(call: Call, x: Given, y: Given) -> list[str]:
    made = []
    for one in (x, y):
        name = call.name(one)
        made.append(call.node("ReduceSum", call.node("Mul", name, name), keepdims=0))
    return made


def _addc(kind: str) -> Rule:
    """`input + value * first (× or ÷) second`."""

    def rule(call: Call, x: Given, tensor1: Given, tensor2: Given, value: Given = 1) -> str:
        found = call.out_kind()
        inner = call.node(kind, call.name(tensor1, found), call.name(tensor2, found))
        inner = call.node("Mul", inner, call.name(value, found))
        return call.node("Add", call.name(x, found), inner)

    return rule


def _lerp(call: Call, x: Given, end: Given, weight: Given) -> str:
    kind = call.out_kind()
    x = call.name(x, kind)
    way = call.node("Mul", call.node("Sub", call.name(end, kind), x), call.name(weight, kind))
    return call.node("Add", x, way)


def _add_n(call: Call, x: Given) -> str:
    parts = [call.name(one) for one in call.items(x)]
    return call.node("Sum", *parts)


def _select(call: Call, condition: Given, x: Given, other: Given) -> str:
    kind = call.out_kind()
    return call.node(
        "Where", call.name(condition, BOOL), call.name(x, kind), call.name(other, kind)
    )


def _masked_fill(call: Call, x: Given, mask: Given, value: Given) -> str:
    kind = call.out_kind()
    return call.node("Where", call.name(mask, BOOL), call.name(value, kind), call.name(x, kind))


def _is_close(
    call: Call,
    x: Given,
    other: Given,
    rtol: Given = 1e-5,
    atol: Given = 1e-8,
    equal_nan: Given = False,
) -> str:
    call.only("equal_nan", equal_nan, False)
    x, y, kind = _promoted(call, x, other)
    if kind.numpy.kind != "f":
        call.refuse(f"element type {kind.name}")
    factor, more = call.real(rtol, "rtol"), call.real(atol, "atol")
    limit = call.node("Mul", call.node("Abs", y), call.scalar(factor, kind))
    limit = call.node("Add", limit, call.scalar(more, kind))
    # Nothing is within a limit of infinity but what is equal.
    near = call.node("LessOrEqual", call.node("Abs", call.node("Sub", x, y)), limit)
    near = call.node("And", near, call.node("Not", call.node("IsInf", limit)))
    return call.node("Or", near, call.node("Equal", x, y))


def _approximate_equal(call: Call, x: Given, y: Given, tolerance: Given = 1e-5) -> str:
    first, second, kind = _promoted(call, x, y)
    difference = call.node("Abs", call.node("Sub", first, second))
    return call.node("Less", difference, call.scalar(call.real(tolerance, "tolerance"), kind))


TABLE: Mapping[str, Rule] = {
    **{
        name: _arithmetic(kind)
        for name, kind in {
            "Add": "Add",
            "Div": "Div",
            "Maximum": "Max",
            "Minimum": "Min",
            "Mul": "Mul",
            "RealDiv": "Div",
            "Sub": "Sub",
            "Muls": "Mul",
            "Divs": "Div",
        }.items()
    },
    **{name: _scaled("Add") for name in ("AddExt", "AddScalar", "Adds")},
    **{name: _scaled("Sub") for name in ("SubExt", "SubScalar", "Subs")},
    **{
        name: _compared(kind)
        for name, kind in {
            "EqScalar": "Equal",
            "Equal": "Equal",
            "Greater": "Greater",
            "GreaterEqual": "GreaterOrEqual",
            "GreaterEqualScalar": "GreaterOrEqual",
            "GreaterScalar": "Greater",
            "Less": "Less",
            "LessEqual": "LessOrEqual",
            "LessEqualScalar": "LessOrEqual",
            "LessScalar": "Less",
        }.items()
    },
    **{name: _compared("Equal", True) for name in ("NotEqual", "NeScalar")},
    **{f"Logical{name}": _logical(name) for name in ("And", "Or", "Xor")},
    **{
        f"Bitwise{name}{form}": _bitwise(name)
        for name in ("And", "Or", "Xor")
        for form in ("", "Tensor", "Scalar")
    },
    **dict.fromkeys(("BitwiseNot", "Invert"), _invert),
    **dict.fromkeys(
        ("FloorMod", "RemainderTensorTensor", "RemainderTensorScalar", "RemainderScalarTensor"),
        _floor_mod,
    ),
    **dict.fromkeys(("FmodScalar", "FmodTensor", "Mod", "TruncateMod"), _fmod),
    **dict.fromkeys(("FloorDiv", "FloorDivScalar"), _floor_divide),
    **dict.fromkeys(("DivMod", "DivMods"), _divide),
    **dict.fromkeys(("Pow", "PowScalarTensor", "PowTensorScalar"), _pow),
    **dict.fromkeys(("Lerp", "LerpScalar"), _lerp),
    **dict.fromkeys(("MaskedFill", "MaskedFillScalar"), _masked_fill),
    **dict.fromkeys(("Select", "SelectV2"), _select),
    "AddN": _add_n,
    "Addcdiv": _addc("Div"),
    "AddcdivExt": _addc("Div"),
    "Addcmul": _addc("Mul"),
    "AddcmulExt": _addc("Mul"),
    "ApproximateEqual": _approximate_equal,
    "Atan2": _atan2,
    "Atan2Ext": _atan2,
    "DivNoNan": _divide_no_nan,
    "Hypot": _hypot,
    "IsClose": _is_close,
    "LeftShift": _shift("LEFT"),
    "LogicalNot": _logical_not,
    "RightShift": _shift("RIGHT"),
    "SquareSumAll": _square_sum_all,
    "SquaredDifference": _squared_difference,
    "TruncateDiv": _trunc_divide,
    "Xdivy": _zero_or("Div"),
    "Xlogy": _zero_or("Log"),
}
