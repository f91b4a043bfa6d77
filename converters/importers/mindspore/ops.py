"""ONE table: a primitive of MindIR -> a function that adds ONNX nodes with the same meaning.

A function takes a `Call` and the primitive's arguments by MindSpore's names: inputs in their order, then what is an x
in newer programs and an attribute in older ones. It returns the name of an ONNX value, a list of names where there are
several results, or a value. What it cannot do exactly it refuses, with the argument and its value. Families share the
small functions above them.

Source: mindspore/ops/auto_generate/gen_ops_prim.py (arguments), the operators' documentation, and what the kernels of
MindSpore 2.10 compute (tests/importers); the ONNX operator specification, opset 20.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from onnx import numpy_helper

from converters.dtypes import BY_NAME, ElementType
from converters.importers.cells import adaptive_average, adaptive_max
from converters.importers.graph import (
    INT64,
    INT_LIMIT,
    LARGEST_CONSTANT,
    LARGEST_RANK,
    Refusal,
    Value,
)
from converters.importers.mindspore.build import BOOL, Call, Scalar

Rule: TypeAlias = Callable[..., Any]
Given: TypeAlias = Any

INT32 = BY_NAME["int32"]
FLOAT = BY_NAME["float32"]
DOUBLE = BY_NAME["float64"]
BYTES = (BY_NAME["int8"], BY_NAME["uint8"])
MOST_PARTS = 4096
# `PadMode`, `CoordinateTransformMode` and `Format` of mindapi/base/types.h and format.h.
PAD_MODES = {0: "pad", 1: "same", 2: "valid"}
FORMATS = {0: "NCHW", 1: "NHWC", 2: "NHWC4", 14: "NCDHW"}


# ***** One tensor, element by element *****


def _unary(kind: str, **fixed: Any) -> Rule:
    """An operator that ONNX has too."""

    def rule(call: Call, x: Given) -> str:
        return call.node(kind, call.name(x), **fixed)

    return rule


def _real(kind: str) -> Rule:
    """... of real numbers: integers become what the program declares."""

    def rule(call: Call, x: Given) -> str:
        return call.node(kind, call.name(x, call.out_kind()))

    return rule


def _same(call: Call, x: Given) -> Given:
    return x


def _log(call: Call, x: Given, base: Given = -1.0, scale: Given = 1.0, shift: Given = 0.0) -> str:
    call.only("base", base, -1.0)
    call.only("scale", scale, 1.0)
    call.only("shift", shift, 0.0)
    return call.node("Log", call.name(x, call.out_kind()))


def _exp(call: Call, x: Given, base: Given = -1.0, scale: Given = 1.0, shift: Given = 0.0) -> str:
    call.only("base", base, -1.0)
    call.only("scale", scale, 1.0)
    call.only("shift", shift, 0.0)
    return call.node("Exp", call.name(x, call.out_kind()))


def _log_base(call: Call, x: Given, base: float) -> str:
    kind = call.out_kind()
    logarithm = call.node("Log", call.name(x, kind))
    return call.node("Div", logarithm, call.scalar(math.log(base), kind))


def _log1p(call: Call, x: Given) -> str:
    kind = call.out_kind()
    return call.node("Log", call.node("Add", call.name(x, kind), call.scalar(1, kind)))


def _expm1(call: Call, x: Given) -> str:
    kind = call.out_kind()
    return call.node("Sub", call.node("Exp", call.name(x, kind)), call.scalar(1, kind))


def _exp2(call: Call, x: Given) -> str:
    kind = call.out_kind()
    return call.node("Pow", call.scalar(2, kind), call.name(x, kind))


def _square(call: Call, x: Given) -> str:
    x = call.name(x)
    return call.node("Mul", x, x)


def _rsqrt(call: Call, x: Given) -> str:
    return call.node("Reciprocal", call.node("Sqrt", call.name(x, call.out_kind())))


def _erfc(call: Call, x: Given) -> str:
    x = call.tensor(x)
    return call.node("Sub", call.scalar(1, x.type), call.node("Erf", x.name))


def _trunc(call: Call, x: Given) -> str:
    x = call.tensor(x)
    if x.type.numpy.kind in "iub":
        return call.node("Identity", x.name)
    return _cut(call, x.name, x.type)


def _cut(call: Call, name: str, kind: ElementType) -> str:
    """Without what is behind the point."""
    down, up = call.node("Floor", name), call.node("Ceil", name)
    return call.node("Where", call.node("Less", name, call.scalar(0, kind)), up, down)


def _frac(call: Call, x: Given) -> str:
    x = call.tensor(x)
    return call.node("Sub", x.name, _cut(call, x.name, x.type))


def _round(call: Call, x: Given, decimals: Given = 0) -> str:
    call.only("decimals", decimals, 0)
    x = call.tensor(x)
    return call.node("Identity" if x.type.numpy.kind in "iu" else "Round", x.name)


def _is_finite(call: Call, x: Given) -> str:
    x = call.name(x)
    return call.node("Not", call.node("Or", call.node("IsNaN", x), call.node("IsInf", x)))


def _nan_to_num(
    call: Call, x: Given, nan: Given = None, posinf: Given = None, neginf: Given = None
) -> str:
    x = call.tensor(x)
    if x.type.numpy.kind != "f":
        call.refuse(f"element type {x.type.name}")
    limits = np.finfo(x.type.numpy)
    numbers = [
        call.scalar(standard if given is None else call.real(given, what), x.type)
        for what, given, standard in (
            ("nan", nan, 0.0),
            ("posinf", posinf, float(limits.max)),
            ("neginf", neginf, float(limits.min)),
        )
    ]
    name = call.node("Where", call.node("IsNaN", x.name), numbers[0], x.name)
    above = call.node("IsInf", x.name, detect_negative=0)
    below = call.node("IsInf", x.name, detect_positive=0)
    name = call.node("Where", above, numbers[1], name)
    return call.node("Where", below, numbers[2], name)


def _sinc(call: Call, x: Given) -> str:
    kind = call.out_kind()
    x = call.name(x, kind)
    angle = call.node("Mul", x, call.scalar(math.pi, kind))
    zero = call.node("Equal", x, call.scalar(0, kind))
    one = call.scalar(1, kind)
    safe = call.node("Where", zero, one, angle)
    return call.node("Where", zero, one, call.node("Div", call.node("Sin", safe), safe))


def _logit(call: Call, x: Given, eps: Given = -1.0) -> str:
    x = call.tensor(x)
    edge = -1.0 if eps is None else call.real(eps, "eps")
    name = x.name
    if edge >= 0:
        ends = [call.scalar(one, x.type) for one in (edge, 1 - edge)]
        name = call.node("Clip", name, *ends)
    rest = call.node("Sub", call.scalar(1, x.type), name)
    return call.node("Log", call.node("Div", name, rest))


def _cast(call: Call, x: Given, dtype: Given = None, dst_type: Given = None) -> Given:
    said = dst_type if dtype is None else dtype
    kind = call.out_kind() if said is None else call.kind(said)
    if isinstance(x, Value) and x.array is not None:
        if x.array.dtype.kind in "biu" and kind.numpy.kind in "biuf":
            return call.known(x.array.astype(kind.numpy))
    return call.node("Cast", call.name(x), to=kind.onnx)


# ***** Activation *****


def _leaky(call: Call, x: Given, negative_slope: Given = 0.01) -> str:
    return call.node("LeakyRelu", call.name(x), alpha=call.real(negative_slope, "slope"))


def _elu(call: Call, x: Given, alpha: Given = 1.0) -> str:
    return call.node("Elu", call.name(x), alpha=call.real(alpha, "alpha"))


def _celu(call: Call, x: Given, alpha: Given = 1.0) -> str:
    return call.node("Celu", call.name(x), alpha=call.real(alpha, "alpha"))


def _selu(call: Call, x: Given) -> str:
    return call.node("Selu", call.name(x), alpha=1.6732632423543772, gamma=1.0507009873554805)


def _between(call: Call, x: Given, low: float | None, high: float | None) -> str:
    x = call.tensor(x)
    ends = ["" if end is None else call.scalar(end, x.type) for end in (low, high)]
    while ends and not ends[-1]:
        ends.pop()
    return call.node("Clip" if ends else "Identity", x.name, *ends)


def _relu6(call: Call, x: Given) -> str:
    return _between(call, x, 0.0, 6.0)


def _hard_tanh(call: Call, x: Given, min_val: Given = -1, max_val: Given = 1) -> str:
    return _between(call, x, call.real(min_val, "min_val"), call.real(max_val, "max_val"))


def _clamp(call: Call, x: Given, low: Given = None, high: Given = None) -> str:
    kind = call.out_kind()
    name = call.name(x, kind)
    # Where the lower end is above the upper one, the upper one counts.
    if low is not None:
        name = call.node("Max", name, call.name(low, kind))
    if high is not None:
        name = call.node("Min", name, call.name(high, kind))
    return name if (low, high) != (None, None) else call.node("Identity", name)


def _clamp_known(call: Call, x: Given, low: Given = None, high: Given = None) -> str:
    ends = [low, high]
    known = all(isinstance(end, (int, float)) for end in ends if end is not None)
    kind = call.out_kind()
    if not known or call.tensor(x).type != kind:
        return _clamp(call, x, low, high)
    first, last = (None if end is None else float(end) for end in ends)
    if first is not None and last is not None and first > last:
        first = last
    return _between(call, x, first, last)


def _hard_shrink(call: Call, x: Given, lambd: Given = 0.5) -> str:
    return call.node("Shrink", call.name(x), lambd=call.real(lambd, "lambd"))


def _soft_shrink(call: Call, x: Given, lambd: Given = 0.5) -> str:
    limit = call.real(lambd, "lambd")
    return call.node("Shrink", call.name(x), bias=limit, lambd=limit)


def _hard_sigmoid(call: Call, x: Given) -> str:
    return call.node("HardSigmoid", call.name(x), alpha=1 / 6, beta=0.5)


def _silu(call: Call, x: Given) -> str:
    x = call.name(x)
    return call.node("Mul", x, call.node("Sigmoid", x))


def _log_sigmoid(call: Call, x: Given) -> str:
    return call.node("Neg", call.node("Softplus", call.node("Neg", call.name(x))))


def _softplus(call: Call, x: Given, beta: Given = 1, threshold: Given = 20) -> str:
    x = call.tensor(x)
    factor, limit = call.real(beta, "beta"), call.real(threshold, "threshold")
    scaled = x.name if factor == 1 else call.node("Mul", x.name, call.scalar(factor, x.type))
    soft = call.node("Softplus", scaled)
    if factor != 1:
        soft = call.node("Div", soft, call.scalar(factor, x.type))
    far = call.node("Greater", scaled, call.scalar(limit, x.type))
    return call.node("Where", far, x.name, soft)


def _gelu(call: Call, x: Given, approximate: Given = 0) -> str:
    call.only("approximate", approximate, 0, 1, "none", "tanh")
    form = "tanh" if approximate in (1, "tanh") else "none"
    return call.node("Gelu", call.name(x), approximate=form)


def _gelu_tanh(call: Call, x: Given) -> str:
    return call.node("Gelu", call.name(x), approximate="tanh")


def _fast_gelu(call: Call, x: Given) -> str:
    """`x / (1 + exp(-1.702 |x|)) * exp(0.851 (x - |x|))`, which is `x * sigmoid(1.702 x)`."""
    x = call.tensor(x)
    scaled = call.node("Mul", x.name, call.scalar(1.702, x.type))
    return call.node("Mul", x.name, call.node("Sigmoid", scaled))


def _prelu(call: Call, x: Given, weight: Given) -> str:
    x, slope = call.tensor(x), call.tensor(weight)
    name = slope.name
    if slope.rank == 1 and slope.size(0) != 1 and x.rank > 2:
        name = call.node("Reshape", name, call.vector([-1] + [1] * (x.rank - 2)))
    return call.node("PRelu", x.name, name)


def _threshold(call: Call, x: Given, threshold: Given, value: Given) -> str:
    x = call.tensor(x)
    above = call.node("Greater", x.name, call.name(threshold, x.type))
    return call.node("Where", above, x.name, call.name(value, x.type))


def _softmax(kind: str) -> Rule:
    def rule(call: Call, x: Given, axis: Given = -1, dtype: Given = None) -> str:
        x = call.tensor(x, None if dtype is None else call.kind(dtype))
        axes = [call.axis(one, x.rank) for one in call.ints(axis, "axis")]
        if len(axes) == 1:
            return call.node(kind, x.name, axis=axes[0])
        if not axes or len(set(axes)) < len(axes) or kind != "Softmax":
            call.malformed(f"axis = {axes[:20]}")
        where = call.vector(sorted(axes))
        shifted = call.node("Sub", x.name, call.node("ReduceMax", x.name, where, keepdims=1))
        raised = call.node("Exp", shifted)
        return call.node("Div", raised, call.node("ReduceSum", raised, where, keepdims=1))

    return rule


def _glu(call: Call, x: Given, axis: Given = -1) -> str:
    along = call.axis(call.whole(axis, "axis"), call.tensor(x).rank)
    first, second = call.nodes("Split", call.name(x), outputs=2, axis=along, num_outputs=2)
    return call.node("Mul", first, call.node("Sigmoid", second))


def _swiglu(call: Call, x: Given, dim: Given = -1) -> str:
    along = call.axis(call.whole(dim, "dim"), call.tensor(x).rank)
    first, second = call.nodes("Split", call.name(x), outputs=2, axis=along, num_outputs=2)
    return call.node("Mul", call.node("Mul", first, call.node("Sigmoid", first)), second)


# ***** Two tensors, element by element *****


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
        kind = _wider(first, second)
    return call.name(x, kind), call.name(y, kind), kind


def _wider(first: ElementType, second: ElementType) -> ElementType:
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


def _remainder(call: Call, kind: ElementType, x: str, y: str) -> str:
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
    return _remainder(call, kind, call.name(x, kind), call.name(other, kind))


def _fmod(call: Call, x: Given, other: Given) -> str:
    kind = call.out_kind()
    return call.node("Mod", call.name(x, kind), call.name(other, kind), fmod=1)


def _floor_divide(call: Call, x: Given, other: Given) -> str:
    kind = call.out_kind()
    x, y = call.name(x, kind), call.name(other, kind)
    if kind.numpy.kind not in "iu":
        return call.node("Floor", call.node("Div", x, y))
    return call.node("Div", call.node("Sub", x, _remainder(call, kind, x, y)), y)


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
    return _cut(call, quotient, kind)


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


# ***** Matrices *****


def _turned(call: Call, x: Value, name: str) -> str:
    """A matrix with its last two dimensions swapped."""
    if x.rank < 2:
        call.malformed(f"a matrix of {x.rank} dimensions")
    order = [*range(x.rank)]
    order[-2:] = order[:-3:-1]
    return call.node("Transpose", name, perm=order)


def _matmul(
    call: Call, x: Given, mat2: Given, transpose_a: Given = False, transpose_b: Given = False
) -> str:
    kind = call.out_kind()
    first, second = call.tensor(x, kind), call.tensor(mat2, kind)
    for flag in (transpose_a, transpose_b):
        call.only("transpose", flag, True, False)
    if kind == INT32 and not transpose_a and not transpose_b:
        with contextlib.suppress(Refusal):
            return call.node("MatMulInteger", *_less_zero_points(call, first, second, True))
    weight = second.name in call.graph.initialisers
    if transpose_b and not transpose_a and weight and first.rank == second.rank == 2:
        # The weight of a layer keeps its layout.
        return call.node("Gemm", first.name, second.name, transB=1)
    names = [
        _turned(call, one, one.name) if flag else one.name
        for one, flag in ((first, transpose_a), (second, transpose_b))
    ]
    return call.node("MatMul", *names)


def _dense(call: Call, x: Given, weight: Given, bias: Given = None) -> str:
    w = call.tensor(weight)
    turned = _turned(call, w, w.name) if w.rank == 2 else w.name
    product = call.node("MatMul", call.name(x), turned)
    return product if bias is None else call.node("Add", product, call.name(bias))


def _bias_add(call: Call, input_x: Given, bias: Given, data_format: Given = 0) -> str:
    _format(call, data_format)
    x, b = call.tensor(input_x), call.name(bias)
    if x.rank > 2:
        b = call.node("Reshape", b, call.vector([-1] + [1] * (x.rank - 2)))
    return call.node("Add", x.name, b)


def _added_product(call: Call, x: Given, product: str, beta: Given, alpha: Given) -> str:
    kind = call.out_kind()
    x = call.name(x, kind)
    for factor, is_product in ((alpha, True), (beta, False)):
        if not isinstance(factor, (int, float)) or factor != 1:
            number = call.name(factor, kind)
            if is_product:
                product = call.node("Mul", product, number)
            else:
                x = call.node("Mul", x, number)
    return call.node("Add", x, product)


def _addmm(
    call: Call, x: Given, mat1: Given, mat2: Given, beta: Given = 1, alpha: Given = 1
) -> str:
    product = call.node("MatMul", call.name(mat1), call.name(mat2))
    return _added_product(call, x, product, beta, alpha)


def _outer(call: Call, x: Given, vec2: Given) -> str:
    kind = call.out_kind()
    column = call.node("Unsqueeze", call.name(x, kind), call.vector([1]))
    return call.node("Mul", column, call.name(vec2, kind))


def _einsum(call: Call, inputs: Given, equation: Given) -> str:
    text = call.text(equation, "equation")
    return call.node("Einsum", *(call.name(one) for one in call.items(inputs)), equation=text)


# ***** Windows: convolution and pooling *****


def _format(call: Call, *said: Given) -> None:
    for one in said:
        call.only(
            "format", FORMATS.get(one, one) if isinstance(one, int) else one, "NCHW", "NCDHW", "NCL"
        )


def _mode(call: Call, pad_mode: Given) -> str:
    said = PAD_MODES.get(pad_mode, pad_mode) if isinstance(pad_mode, int) else pad_mode
    mode = str(said).lower()
    if mode in ("calculated",):
        mode = "pad"
    if mode not in PAD_MODES.values():
        call.refuse(f"pad_mode = {str(said)[:50]}")
    return mode


def _spatial(call: Call, given: Given, axes: int, what: str) -> list[int]:
    """One number for each spatial dimension, of as many, of all dimensions, or of one; all positive."""
    said = call.ints(given, what)
    if len(said) == axes + 2:
        if said[:2] != [1, 1]:
            call.refuse(f"{what} = {said}")
        said = said[2:]
    said = said * axes if len(said) == 1 else said
    if len(said) != axes or min(said) < 1:
        call.malformed(f"{what} = {said[:20]} for {axes} spatial dimensions")
    return said


def _sides(call: Call, given: Given, axes: int, what: str = "pad") -> list[int]:
    """Padding as ONNX has it: all beginnings, then all ends. Twice as many numbers go by dimension."""
    said = call.ints(given, what)
    if len(said) == axes + 2 == 4 and what == "pads":
        said = said[2:] if said[:2] == [1, 1] else said
    if len(said) == 1:
        said = said * (2 * axes)
    elif len(said) == axes:
        said = [side for side in said for _ in range(2)]
    if len(said) != 2 * axes or min(said) < 0:
        call.malformed(f"{what} = {said[:20]} for {axes} spatial dimensions")
    return said[::2] + said[1::2]


def _same_pads(
    sizes: Sequence[int], strides: Sequence[int], kernel: Sequence[int], dilations: Sequence[int]
) -> list[int] | None:
    """Padding so that each window begins where a stride does; None where a size is not known."""
    if any(size < 0 for size in sizes):
        return None
    sums = [
        max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        for n, s, k, d in zip(sizes, strides, kernel, dilations, strict=True)
    ]
    return [total // 2 for total in sums] + [total - total // 2 for total in sums]


def _padding(
    call: Call,
    mode: str,
    given: Given,
    sizes: Sequence[int],
    strides: Sequence[int],
    kernel: Sequence[int],
    dilations: Sequence[int],
) -> dict[str, Any]:
    """Padding as attributes of ONNX."""
    axes = len(kernel)
    if mode == "valid":
        return {"pads": [0] * (2 * axes)}
    if mode == "pad":
        return {"pads": _sides(call, given, axes)}
    pads = _same_pads(sizes, strides, kernel, dilations)
    if pads is not None:
        return {"pads": pads}
    if all(s == 1 for s in strides):
        totals = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        return {"pads": [one // 2 for one in totals] + [one - one // 2 for one in totals]}
    return {"auto_pad": "SAME_UPPER"}


def _windows(call: Call, x: Value, axes: int) -> tuple[int, ...]:
    if x.dims is None:
        return (-1,) * axes
    if x.rank != axes + 2:
        call.malformed(f"{x.rank} dimensions, where there should be {axes + 2}")
    return x.shape[2:]


def _conv(
    call: Call,
    x: Given,
    weight: Given,
    bias: Given = None,
    *,
    axes: int,
) -> Value:
    """A convolution by its attributes."""
    said = call.primitive.attributes
    value, kernel = call.tensor(x), call.tensor(weight)
    sizes = _windows(call, value, axes)
    _format(call, said.get("format", "NCHW"))
    call.only("mode", said.get("mode", 1), 1)
    strides = _spatial(call, said.get("stride", said.get("strides", 1)), axes, "stride")
    dilations = _spatial(call, said.get("dilation", said.get("dilations", 1)), axes, "dilation")
    mode = _mode(call, said.get("pad_mode", "valid"))
    pads = said.get("pad", 0) if mode == "pad" else 0
    shape = kernel.shape[2:]
    if len(shape) != axes or min(shape) < 1:
        call.malformed(f"a filter of shape {list(kernel.shape)}")
    group = call.whole(said.get("group", said.get("groups", 1)), "group")
    kind, inputs = "Conv", [value.name, kernel.name]
    if value.type.numpy.kind in "iu":
        kind, inputs = "ConvInteger", _less_zero_points(call, value, kernel)
    inputs += [] if bias is None else [call.name(bias)]
    name = call.node(
        kind,
        *inputs,
        strides=strides,
        dilations=dilations,
        group=group,
        kernel_shape=[*shape],
        **_padding(call, mode, pads, sizes, strides, shape, dilations),
    )
    return call.of_rank(name, (-1, kernel.shape[0], *(-1,) * axes))


def _less_zero_points(call: Call, x: Value, weight: Value, columns: bool = False) -> list[str]:
    """Of integers of 32 bits those of 8 that they are, and the zero points that were taken from them.

    Args:
        x: Has one zero point at most.
        weight: May have one for each filter, `[-1, 1, 1, 1]`.
        columns: It may have one for each of its columns instead.
    """
    if call.out_kind() != INT32:
        call.refuse(f"integers of type {x.type.name}")
    made = {output: node for node in call.graph.nodes for output in node.output}

    def bytes_of(name: str, rank: int | None = None) -> str:
        node = made.get(name)
        source = node.input[0] if node is not None and node.op_type == "Cast" else ""
        known = call.graph.values.get(source)
        if known is None or known.kind not in BYTES:
            call.refuse("integers that are none of eight bits")
        if rank is not None and known.rank > rank:
            call.refuse(f"zero points of {known.rank} dimensions")
        return source

    found, zeros = [], []
    for value in (x, weight):
        node = made.get(value.name)
        if node is None or node.op_type != "Sub":
            found.append(bytes_of(value.name))
            zeros.append("")
            continue
        found.append(bytes_of(node.input[0]))
        shaped = made.get(node.input[1])
        if shaped is None or shaped.op_type != "Reshape":
            zeros.append(bytes_of(node.input[1], int(columns and value is weight)))
            continue
        shape = call.graph.initialisers.get(shaped.input[1])
        sizes = [-1, -1] if shape is None else numpy_helper.to_array(shape).tolist()
        filters = value is weight and len(sizes) == value.rank and not columns
        if any(size != 1 for size in sizes[1:]) or (sizes and not filters):
            call.refuse(f"zero points of the shape {sizes}")
        zeros.append(call.node("Reshape", bytes_of(shaped.input[0]), call.vector(sizes and [-1])))
    if zeros[1] and not zeros[0]:
        call.refuse("zero points of the weights alone")
    return [*found, *(one for one in zeros if one)]


def _conv_ext(
    call: Call,
    x: Given,
    weight: Given,
    bias: Given = None,
    stride: Given = 1,
    padding: Given = 0,
    dilation: Given = 1,
    groups: Given = 1,
) -> str:
    """A convolution as mint has it."""
    return _convolution(call, x, weight, bias, stride, padding, dilation, groups=groups)


def _convolution(
    call: Call,
    x: Given,
    weight: Given,
    bias: Given = None,
    stride: Given = 1,
    padding: Given = 0,
    dilation: Given = 1,
    transposed: Given = False,
    output_padding: Given = 0,
    groups: Given = 1,
) -> str:
    x, w = call.tensor(x), call.tensor(weight)
    axes = w.rank - 2
    if axes < 1 or x.rank not in (axes + 1, axes + 2):
        call.malformed(f"{x.rank} dimensions and a filter of {w.rank}")
    alone = x.rank == axes + 1
    name = call.node("Unsqueeze", x.name, call.vector([0])) if alone else x.name
    sizes = x.shape[-axes:]
    strides = _spatial(call, stride, axes, "stride")
    dilations = _spatial(call, dilation, axes, "dilation")
    inputs = [name, w.name] + ([] if bias is None else [call.name(bias)])
    if transposed:
        kind = "ConvTranspose"
        more = call.ints(output_padding, "output_padding")
        extra: dict[str, Any] = {
            "pads": _sides(call, padding, axes, "padding"),
            "output_padding": more * axes if len(more) == 1 else more,
        }
    else:
        kind = "Conv"
        # Two numbers for two dimensions are one for both of its sides.
        if isinstance(padding, str) or (
            isinstance(padding, int) and call.primitive.type.endswith(("Padding", "Str"))
        ):
            mode, pads = _mode(call, padding), 0
        else:
            mode, pads = "pad", padding
        extra = _padding(call, mode, pads, sizes, strides, w.shape[2:], dilations)
    group = call.whole(groups, "groups")
    made = call.node(kind, *inputs, strides=strides, dilations=dilations, group=group, **extra)
    return call.node("Squeeze", made, call.vector([0])) if alone else made


def _conv_transpose_ext(
    call: Call,
    x: Given,
    weight: Given,
    bias: Given = None,
    stride: Given = 1,
    padding: Given = 0,
    output_padding: Given = 0,
    groups: Given = 1,
    dilation: Given = 1,
) -> str:
    return _convolution(
        call, x, weight, bias, stride, padding, dilation, True, output_padding, groups
    )


def _conv_transpose(call: Call, x: Given, weight: Given, input_sizes: Given) -> str:
    """What a convolution would have made of an image of the size `input_sizes`."""
    said = call.primitive.attributes
    value, kernel = call.tensor(x), call.tensor(weight)
    sizes = _windows(call, value, 2)
    _format(call, said.get("format", "NCHW"))
    strides = _spatial(call, said.get("stride", 1), 2, "stride")
    dilations = _spatial(call, said.get("dilation", 1), 2, "dilation")
    shape = kernel.shape[2:]
    if len(shape) != 2 or min(shape) < 1:
        call.malformed(f"a filter of shape {list(kernel.shape)}")
    reach = [d * (k - 1) + 1 for k, d in zip(shape, dilations, strict=True)]
    wanted = (
        input_sizes if isinstance(input_sizes, tuple) else call.ints(input_sizes, "input_sizes")
    )
    if len(wanted) != 4:
        call.malformed(f"input_sizes of {len(wanted)} numbers")
    mode = _mode(call, said.get("pad_mode", "valid"))
    pads, more = [0] * 4, [0] * 2
    for axis in (0, 1):
        size, have = wanted[axis + 2], sizes[axis]
        factor, extra = _growth(call, value, axis + 2, size)
        step = strides[axis]
        if mode == "same":
            # The convolution has as many windows as strides fit into the image.
            if have < 0 and (factor, extra) != (step, 0):
                call.refuse(f"input_sizes that are not {step} times the size")
            total = (
                max(reach[axis] - step, 0)
                if have < 0
                else max((have - 1) * step + reach[axis] - (factor * have + extra), 0)
            )
            pads[axis], pads[axis + 2] = total // 2, total - total // 2
        elif mode == "pad":
            given = _sides(call, said.get("pad", 0), 2)
            pads[axis], pads[axis + 2] = given[axis], given[axis + 2]
        if have < 0 and factor != step:
            call.refuse(f"input_sizes that are not {step} times the size")
        made = -step - pads[axis] - pads[axis + 2] + reach[axis]
        more[axis] = extra - made + (0 if have < 0 else (factor - step) * have)
        if not 0 <= more[axis] < max(step, dilations[axis]):
            call.malformed(f"input_sizes are {more[axis]} more than there is")
    return call.node(
        "ConvTranspose",
        value.name,
        kernel.name,
        strides=strides,
        dilations=dilations,
        group=call.whole(said.get("group", said.get("groups", 1)), "group"),
        kernel_shape=[*shape],
        pads=pads,
        output_padding=more,
    )


def _growth(call: Call, x: Value, axis: int, size: Given) -> tuple[int, int]:
    """A size as a multiple of that of a tensor, and what is added."""
    if isinstance(size, Scalar):
        if size.size != (x.name, axis):
            call.refuse("input_sizes that are computed of something else")
        return size.factor, size.more
    return 0, call.whole(size, "input_sizes")


def _conv3d_transpose(call: Call, x: Given, weight: Given, bias: Given = None) -> str:
    said = call.primitive.attributes
    value, kernel = call.tensor(x), call.tensor(weight)
    _windows(call, value, 3)
    _format(call, said.get("format", "NCDHW"))
    strides = _spatial(call, said.get("stride", said.get("strides", 1)), 3, "stride")
    dilations = _spatial(call, said.get("dilation", said.get("dilations", 1)), 3, "dilation")
    mode = _mode(call, said.get("pad_mode", "valid"))
    if mode == "same":
        reach = [d * (k - 1) + 1 for k, d in zip(kernel.shape[2:], dilations, strict=True)]
        totals = [one - s for one, s in zip(reach, strides, strict=True)]
        if min(totals) < 0:
            call.refuse("pad_mode = same with strides larger than the filter")
        pads = [one // 2 for one in totals] + [one - one // 2 for one in totals]
    else:
        pads = (
            _sides(call, said.get("pad", said.get("pad_list", 0)), 3) if mode == "pad" else [0] * 6
        )
    more = call.ints(said.get("output_padding", 0), "output_padding")
    more = more[2:] if len(more) == 5 else more
    inputs = [value.name, kernel.name] + ([] if bias is None else [call.name(bias)])
    return call.node(
        "ConvTranspose",
        *inputs,
        strides=strides,
        dilations=dilations,
        group=call.whole(said.get("group", said.get("groups", 1)), "group"),
        pads=pads,
        output_padding=more * 3 if len(more) == 1 else more,
    )


def _pooled(
    call: Call,
    kind: str,
    x: Value,
    kernel: list[int],
    strides: list[int],
    padding: dict[str, Any],
    ceil: bool,
    **more: Any,
) -> str:
    """A pooling node; windows that would lie outside of the input are refused or left out."""
    axes = len(kernel)
    if ceil and "pads" in padding:
        dilations = more.get("dilations", [1] * axes)
        for axis, size in enumerate(x.shape[2:]):
            begin, end = padding["pads"][axis], padding["pads"][axis + axes]
            reach, step = dilations[axis] * (kernel[axis] - 1) + 1, strides[axis]
            if size < 0:
                outside = step + end > reach
            else:
                count = -(-(size + begin + end - reach) // step) + 1
                outside = (count - 1) * step >= size + begin
            if outside:
                call.refuse("ceil_mode with windows that may lie outside of the input")
        more["ceil_mode"] = 1
    return call.node(kind, x.name, kernel_shape=kernel, strides=strides, **padding, **more)


def _pool(kind: str) -> Rule:
    def rule(
        call: Call,
        x: Given,
        kernel_size: Given = None,
        strides: Given = None,
        pad_mode: Given = "valid",
        data_format: Given = "NCHW",
    ) -> str:
        value = call.tensor(x)
        said = call.primitive.attributes
        _format(call, data_format, said.get("format", "NCHW"))
        kernel_size = said.get("ksize", 1) if kernel_size is None else kernel_size
        _windows(call, value, 2)
        kernel = _spatial(call, kernel_size, 2, "kernel_size")
        steps = _spatial(call, strides, 2, "strides")
        mode = _mode(call, pad_mode)
        if mode == "pad":
            call.refuse("pad_mode = pad")
        padding = _padding(call, mode, 0, value.shape[2:], steps, kernel, [1, 1])
        return _pooled(call, kind, value, kernel, steps, padding, False)

    return rule


def _pool3d(kind: str) -> Rule:
    def rule(
        call: Call,
        x: Given,
        kernel_size: Given,
        strides: Given,
        pad_mode: Given = "valid",
        pad_list: Given = 0,
        ceil_mode: Given = False,
        count_include_pad: Given = True,
        divisor_override: Given = 0,
    ) -> str:
        value = call.tensor(x)
        _format(call, call.primitive.attributes.get("format", "NCDHW"))
        call.only("divisor_override", divisor_override, 0, None)
        _windows(call, value, 3)
        kernel = _spatial(call, kernel_size, 3, "kernel_size")
        steps = _spatial(call, strides, 3, "strides")
        mode = _mode(call, pad_mode)
        padding = _padding(call, mode, pad_list, value.shape[2:], steps, kernel, [1] * 3)
        more: dict[str, Any] = {}
        if kind == "AveragePool" and count_include_pad and mode == "pad":
            more["count_include_pad"] = 1
        if mode == "same" and ceil_mode:
            ceil_mode = False
        return _pooled(call, kind, value, kernel, steps, padding, bool(ceil_mode), **more)

    return rule


def _pool_with_index(
    call: Call,
    x: Given,
    kernel_size: Given = None,
    strides: Given = None,
    pads: Given = 0,
    dilation: Given = 1,
    ceil_mode: Given = False,
    argmax_type: Given = None,
    ksize: Given = None,
) -> list[str]:
    """Maxima; where they are is not computed."""
    value = call.tensor(x)
    axes = value.rank - 2
    kernel = _spatial(call, ksize if kernel_size is None else kernel_size, axes, "kernel_size")
    steps = kernel if strides is None else _spatial(call, strides, axes, "strides")
    padding = {"pads": _sides(call, pads, axes, "pads")}
    dilations = _spatial(call, dilation, axes, "dilation")
    made = _pooled(
        call, "MaxPool", value, kernel, steps, padding, bool(ceil_mode), dilations=dilations
    )
    return [made]


def _avg_pool_ext(
    call: Call,
    x: Given,
    kernel_size: Given,
    stride: Given = None,
    padding: Given = 0,
    ceil_mode: Given = False,
    count_include_pad: Given = True,
    divisor_override: Given = None,
) -> str:
    call.only("divisor_override", divisor_override, None)
    x = call.tensor(x)
    axes = {"AvgPool1D": 1, "AvgPool2D": 2, "AvgPool3DExt": 3}[call.primitive.type]
    _windows(call, x, axes)
    kernel = _spatial(call, kernel_size, axes, "kernel_size")
    steps = kernel if stride in (None, ()) else _spatial(call, stride, axes, "stride")
    pads = {"pads": _sides(call, padding, axes, "padding")}
    more: dict[str, Any] = {"count_include_pad": 1} if count_include_pad else {}
    return _pooled(call, "AveragePool", x, kernel, steps, pads, bool(ceil_mode), **more)


def _max_pool_ext(
    call: Call,
    x: Given,
    kernel_size: Given,
    stride: Given = None,
    padding: Given = 0,
    dilation: Given = (1, 1),
    ceil_mode: Given = False,
    return_indices: Given = False,
) -> Given:
    call.only("return_indices", return_indices, False)
    stride = kernel_size if stride in (None, ()) else stride
    made = _pool_with_index(call, x, kernel_size, stride, padding, dilation, ceil_mode)
    return made if isinstance(call.form, tuple) else made[0]


def _adaptive(kind: str, several: bool = False) -> Rule:
    def rule(call: Call, x: Given, output_size: Given) -> Given:
        x = call.tensor(x)
        said = output_size if isinstance(output_size, tuple) else (output_size,)
        if call.primitive.type.endswith("1D"):
            axes = 1
        else:
            axes = 3 if "3D" in call.primitive.type else 2
        said = said * axes if len(said) == 1 else said
        if len(said) != axes or x.rank < axes:
            call.malformed(f"output_size of {len(said)} numbers for {x.rank} dimensions")
        first = x.rank - axes
        cells = [-1 if one is None else call.whole(one, "output_size") for one in said]
        if cells == [1] * axes and first == 2:
            name = call.node("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", x.name)
            return [name] if several else name
        sizes = x.shape[first:]
        even = all(n > 0 and c > 0 and n % c == 0 for n, c in zip(sizes, cells, strict=True))
        if even and first == 2:
            window = [n // c for n, c in zip(sizes, cells, strict=True)]
            name = call.node(
                "MaxPool" if kind == "max" else "AveragePool",
                x.name,
                kernel_shape=window,
                strides=window,
            )
            return [name] if several else name
        name = x.name
        for axis, (size, count) in enumerate(zip(sizes, cells, strict=True), first):
            if count == -1 or count == size:
                continue
            if count < 1:
                call.malformed(f"output_size = {count}")
            made = adaptive_max if kind == "max" else adaptive_average
            name = made(call, name, x.rank, axis, size, count, x.type)
        return [name] if several else name

    return rule


# ***** Sizes of images *****


def _resize(call: Call, x: Given, size: Given, mode: str, **attributes: Any) -> str:
    value = call.tensor(x)
    axes = value.rank - 2
    factors = _factors(value, size)
    if factors:
        scales = call.graph.constant(np.array([1, 1, *factors], np.float32))
        return call.node("Resize", value.name, "", scales, mode=mode, **attributes)
    wanted = call.integers(size, "size")
    if not isinstance(wanted, str) and (len(wanted) != axes or min(wanted) < 1):
        call.malformed(f"size = {wanted[:20]} for {axes} spatial dimensions")
    full = call.node("Concat", call.dims(value.name, 0, 2), call.as_vector(wanted), axis=0)
    return call.node("Resize", value.name, "", "", full, mode=mode, **attributes)


def _factors(x: Value, size: Given) -> list[int]:
    """By what an image grows whose new sizes are multiples of the old ones; nothing where they are not."""
    sizes = size if isinstance(size, tuple) else ()
    own = all(
        isinstance(one, Scalar) and one.size == (x.name, axis) and not one.more and one.factor > 0
        for axis, one in enumerate(sizes, 2)
    )
    return [one.factor for one in sizes] if own and len(sizes) == x.rank - 2 else []


def _resize_nearest(
    call: Call,
    image: Given,
    size: Given,
    align_corners: Given = False,
    half_pixel_centers: Given = False,
) -> str:
    call.only("half_pixel_centers", half_pixel_centers, False)
    return _resize(
        call,
        image,
        size,
        "nearest",
        nearest_mode="round_prefer_ceil" if align_corners else "floor",
        coordinate_transformation_mode="align_corners" if align_corners else "asymmetric",
    )


def _resize_smooth(mode: str) -> Rule:
    def rule(
        call: Call,
        image: Given,
        size: Given,
        align_corners: Given = False,
        half_pixel_centers: Given = False,
    ) -> str:
        centred = "half_pixel" if half_pixel_centers else "asymmetric"
        form = "align_corners" if align_corners else centred
        more: dict[str, Any] = {}
        if mode == "cubic":
            more["cubic_coeff_a"] = -0.5 if half_pixel_centers else -0.75
            if half_pixel_centers:
                more["exclude_outside"] = 1
        return _resize(call, image, size, mode, coordinate_transformation_mode=form, **more)

    return rule


def _resize_linear(
    call: Call, x: Given, size: Given, coordinate_transformation_mode: Given = 0
) -> str:
    forms = _named("asymmetric", "align_corners", "half_pixel")
    said = coordinate_transformation_mode
    call.only("coordinate_transformation_mode", said, *forms)
    return _resize(call, x, size, "linear", coordinate_transformation_mode=forms[said])


def _upsample(mode: str) -> Rule:
    def rule(
        call: Call,
        x: Given,
        output_size: Given = None,
        scales: Given = None,
        align_corners: Given = False,
    ) -> str:
        form = "asymmetric" if mode == "nearest" else "half_pixel"
        more: dict[str, Any] = {"nearest_mode": "floor"} if mode == "nearest" else {}
        if mode == "cubic":
            more["cubic_coeff_a"] = -0.75
        form = "align_corners" if align_corners else form
        if output_size is not None:
            return _resize(call, x, output_size, mode, coordinate_transformation_mode=form, **more)
        value = call.tensor(x)
        factors = [call.real(one, "scales") for one in call.items(scales)]
        if len(factors) != value.rank - 2 or not all(0 < one < 1e6 for one in factors):
            call.malformed(f"scales = {factors[:20]}")
        given = call.graph.constant(np.array([1.0, 1.0, *factors], np.float32))
        return call.node(
            "Resize", value.name, "", given, mode=mode, coordinate_transformation_mode=form, **more
        )

    return rule


def _named(*names: str) -> dict[int | str, str]:
    """Names by their number, and by themselves: older programs have those."""
    return {**dict(enumerate(names)), **{one: one for one in names}}


def _grid_sample(
    call: Call,
    input_x: Given,
    grid: Given,
    interpolation_mode: Given = 0,
    padding_mode: Given = 0,
    align_corners: Given = False,
) -> str:
    """By numbers of InterpolationMode and GridSamplerPaddingMode, ops/include/op_enum.h."""
    modes = {0: "linear", 1: "nearest", "bilinear": "linear", "nearest": "nearest"}
    outside = _named("zeros", "border", "reflection")
    call.only("interpolation_mode", interpolation_mode, *modes)
    call.only("padding_mode", padding_mode, *outside)
    return call.node(
        "GridSample",
        call.name(input_x),
        call.name(grid),
        mode=modes[interpolation_mode],
        padding_mode=outside[padding_mode],
        align_corners=int(bool(align_corners)),
    )


def _depth_to_space(call: Call, x: Given, block_size: Given, data_format: Given = "NCHW") -> str:
    _format(call, data_format)
    return call.node(
        "DepthToSpace", call.name(x), blocksize=call.whole(block_size, "block_size"), mode="DCR"
    )


def _space_to_depth(call: Call, x: Given, block_size: Given, data_format: Given = "NCHW") -> str:
    _format(call, data_format)
    return call.node("SpaceToDepth", call.name(x), blocksize=call.whole(block_size, "block_size"))


def _pixel_shuffle(call: Call, x: Given, upscale_factor: Given) -> str:
    if call.tensor(x).rank != 4:
        call.refuse(f"{call.tensor(x).rank} dimensions")
    block = call.whole(upscale_factor, "upscale_factor")
    return call.node("DepthToSpace", call.name(x), blocksize=block, mode="CRD")


# ***** Padding *****

_PADS = {
    "constant": "constant",
    "reflect": "reflect",
    "edge": "edge",
    "circular": "wrap",
    "wrap": "wrap",
}


def _padded(call: Call, x: Value, sides: Sequence[tuple[int, int]], mode: str, value: str) -> str:
    """A tensor with so much before and behind each of its dimensions."""
    if len(sides) != x.rank:
        call.malformed(f"padding for {len(sides)} of {x.rank} dimensions")
    if min((one for side in sides for one in side), default=0) < 0:
        # Kernels of MindSpore do not agree with its documentation here.
        call.refuse("padding of less than nothing")
    if mode == "symmetric":
        return _symmetric(call, x, sides)
    if mode not in _PADS:
        call.refuse(f"mode = {mode[:50]}")
    pads = call.vector([side[0] for side in sides] + [side[1] for side in sides])
    inputs = [x.name, pads] + ([value] if mode == "constant" and value else [])
    return call.node("Pad", *inputs, mode=_PADS[mode])


def _symmetric(call: Call, x: Value, sides: Sequence[tuple[int, int]]) -> str:
    """Mirrored at the edge, which counts: one is mirrored twice."""
    name = x.name
    for axis, (before, behind) in enumerate(sides):
        where, back = call.vector([axis]), call.vector([-1])
        parts = [name]
        if before:
            parts.insert(
                0,
                call.node(
                    "Slice", name, call.vector([before - 1]), call.vector([-INT_LIMIT]), where, back
                ),
            )
        if behind:
            parts.append(
                call.node("Slice", name, call.vector([-1]), call.vector([-1 - behind]), where, back)
            )
        if len(parts) > 1:
            name = call.node("Concat", *parts, axis=axis)
    return name


def _pad(call: Call, input_x: Given, paddings: Given) -> str:
    x = call.tensor(input_x)
    sides = [call.ints(one, "paddings") for one in call.items(paddings)]
    if any(len(side) != 2 for side in sides):
        call.malformed("paddings are no pairs")
    return _padded(call, x, [(one, two) for one, two in sides], "constant", "")


def _mirror_pad(call: Call, input_x: Given, paddings: Given, mode: Given = "REFLECT") -> str:
    x = call.tensor(input_x)
    flat = (
        [one for row in paddings for one in call.ints(row, "paddings")]
        if isinstance(paddings, tuple)
        else call.ints(paddings, "paddings")
    )
    sides = [*zip(flat[::2], flat[1::2], strict=False)]
    return _padded(call, x, sides, call.text(mode, "mode").lower(), "")


def _pad_v3(
    call: Call,
    x: Given,
    paddings: Given,
    constant_value: Given = None,
    mode: Given = "constant",
    paddings_contiguous: Given = True,
) -> str:
    """Pairs from the last dimension to the first, for as many as there are."""
    value = call.tensor(x)
    said = call.ints(paddings, "paddings")
    if len(said) % 2 or len(said) > 2 * value.rank:
        call.malformed(f"paddings = {said[:20]} for {value.rank} dimensions")
    if paddings_contiguous:
        pairs = [*zip(said[::2], said[1::2], strict=True)]
    else:
        half = len(said) // 2
        pairs = [*zip(said[:half], said[half:], strict=True)]
    sides = [(0, 0)] * (value.rank - len(pairs)) + pairs[::-1]
    fill = "" if constant_value is None else call.name(constant_value, value.type)
    if fill and isinstance(constant_value, Value) and constant_value.rank:
        fill = call.node("Reshape", fill, call.vector([]))
    return _padded(call, value, sides, call.text(mode, "mode").lower(), fill)


def _pad_last(mode: str) -> Rule:
    def rule(call: Call, x: Given, padding: Given, value: Given = None) -> str:
        return _pad_v3(call, x, padding, value, mode)

    return rule


# ***** Normalisation *****


def _batch_norm(
    call: Call,
    input_x: Given,
    scale: Given,
    bias: Given,
    mean: Given,
    variance: Given,
    is_training: Given = False,
    epsilon: Given = 1e-5,
    momentum: Given = 0.1,
    data_format: Given = 0,
) -> list[str]:
    if is_training is not False:
        call.refuse("is_training = true")
    _format(call, data_format)
    names = [call.name(one) for one in (input_x, scale, bias, mean, variance)]
    return [call.node("BatchNormalization", *names, epsilon=call.real(epsilon, "epsilon"))]


def _batch_norm_ext(
    call: Call,
    x: Given,
    weight: Given = None,
    bias: Given = None,
    running_mean: Given = None,
    runnning_var: Given = None,
    training: Given = False,
    momentum: Given = 0.1,
    epsilon: Given = 1e-5,
) -> list[str]:
    if training is not False or running_mean is None or runnning_var is None:
        call.refuse("training = true")
    mean = call.tensor(running_mean)
    names = [
        call.filled(mean.shape, number, mean.type) if one is None else call.name(one)
        for one, number in ((weight, 1.0), (bias, 0.0))
    ]
    return [
        call.node(
            "BatchNormalization",
            call.name(x),
            *names,
            mean.name,
            call.name(runnning_var),
            epsilon=call.real(epsilon, "epsilon"),
        )
    ]


def _layer_norm(
    call: Call,
    input_x: Given,
    gamma: Given,
    beta: Given,
    begin_norm_axis: Given = 1,
    begin_params_axis: Given = 1,
    epsilon: Given = 1e-7,
) -> list[str]:
    x = call.tensor(input_x)
    axis = call.axis(call.whole(begin_norm_axis, "begin_norm_axis"), x.rank)
    begin = call.axis(call.whole(begin_params_axis, "begin_params_axis"), x.rank)
    amount = call.real(epsilon, "epsilon")
    weights = [call.tensor(gamma), call.tensor(beta)]
    if axis == begin and all(one.rank == x.rank - axis for one in weights):
        names = [one.name for one in weights]
        return [call.node("LayerNormalization", x.name, *names, axis=axis, epsilon=amount)]
    # The parameters belong to other dimensions than those that are normalised.
    if any(one.rank != x.rank - begin for one in weights):
        call.refuse(f"begin_params_axis = {begin} with parameters of {weights[0].rank} dimensions")
    plain = _normalised(call, x, [*range(axis, x.rank)], amount)
    return [call.node("Add", call.node("Mul", plain, weights[0].name), weights[1].name)]


def _normalised(call: Call, x: Value, axes: list[int], epsilon: float) -> str:
    where = call.vector(axes)
    centred = call.node("Sub", x.name, call.node("ReduceMean", x.name, where, keepdims=1))
    squares = call.node("Mul", centred, centred)
    spread = call.node("ReduceMean", squares, where, keepdims=1)
    spread = call.node("Sqrt", call.node("Add", spread, call.scalar(epsilon, x.type)))
    return call.node("Div", centred, spread)


def _layer_norm_ext(
    call: Call,
    x: Given,
    normalized_shape: Given,
    weight: Given = None,
    bias: Given = None,
    eps: Given = 1e-5,
) -> list[str]:
    x = call.tensor(x)
    shape = call.ints(normalized_shape, "normalized_shape")
    if not 0 < len(shape) <= x.rank:
        call.malformed(f"normalized_shape = {shape[:20]}")
    names = [call.filled(shape, 1.0, x.type) if weight is None else call.name(weight)]
    names += [] if bias is None else [call.name(bias)]
    return [
        call.node(
            "LayerNormalization",
            x.name,
            *names,
            axis=x.rank - len(shape),
            epsilon=call.real(eps, "eps"),
        )
    ]


def _group_norm(
    call: Call,
    x: Given,
    num_groups: Given,
    weight: Given = None,
    bias: Given = None,
    eps: Given = 1e-5,
) -> list[str]:
    """Groups as one dimension, normalised, then scaled by channel."""
    x = call.tensor(x)
    if x.rank < 2:
        call.malformed(f"{x.rank} dimensions")
    groups = call.whole(num_groups, "num_groups")
    split = call.node("Reshape", x.name, call.vector([0, groups, -1]))
    ones, zeros = (call.filled([groups], number, x.type) for number in (1.0, 0.0))
    made = call.node("InstanceNormalization", split, ones, zeros, epsilon=call.real(eps, "eps"))
    made = call.node("Reshape", made, call.dims(x.name))
    column = call.vector([-1] + [1] * (x.rank - 2))
    for kind, one in (("Mul", weight), ("Add", bias)):
        if one is not None:
            made = call.node(kind, made, call.node("Reshape", call.name(one), column))
    return [made]


def _instance_norm(
    call: Call,
    input_x: Given,
    gamma: Given,
    beta: Given,
    mean: Given,
    variance: Given,
    epsilon: Given = 1e-5,
) -> list[str]:
    names = [call.name(one) for one in (input_x, gamma, beta)]
    return [call.node("InstanceNormalization", *names, epsilon=call.real(epsilon, "epsilon"))]


def _rms_norm(call: Call, x: Given, gamma: Given, epsilon: Given = 1e-6) -> list[str]:
    value, weight = call.tensor(x), call.tensor(gamma)
    axes = [*range(value.rank - weight.rank, value.rank)]
    if not axes or axes[0] < 0:
        call.malformed(f"a weight of {weight.rank} dimensions")
    square = call.node("Mul", value.name, value.name)
    mean = call.node("ReduceMean", square, call.vector(axes), keepdims=1)
    spread = call.node("Add", mean, call.scalar(call.real(epsilon, "epsilon"), value.type))
    rate = call.node("Reciprocal", call.node("Sqrt", spread))
    return [call.node("Mul", call.node("Mul", value.name, rate), weight.name), rate]


def _l2_normalize(call: Call, input_x: Given, axis: Given = 0, epsilon: Given = 1e-4) -> str:
    x = call.tensor(input_x)
    axes = call.axes(axis, x.rank)
    square = call.node("Mul", x.name, x.name)
    total = call.node("ReduceSum", square, call.vector(axes), keepdims=1)
    least = call.scalar(call.real(epsilon, "epsilon"), x.type)
    return call.node("Div", x.name, call.node("Sqrt", call.node("Max", total, least)))


def _lrn(
    call: Call,
    x: Given,
    depth_radius: Given = 5,
    bias: Given = 1.0,
    alpha: Given = 1.0,
    beta: Given = 0.5,
    norm_region: Given = "ACROSS_CHANNELS",
) -> str:
    call.only("norm_region", norm_region, "ACROSS_CHANNELS")
    size = 2 * call.whole(depth_radius, "depth_radius") + 1
    return call.node(
        "LRN",
        call.name(x),
        # ONNX divides by the number of channels that are summed.
        alpha=call.real(alpha, "alpha") * size,
        beta=call.real(beta, "beta"),
        bias=call.real(bias, "bias"),
        size=size,
    )


# ***** Reduction *****


def _reduced(call: Call, kind: str, x: Value, axes: Given, keep: Given) -> str:
    """A reduction; no axes are all of them."""
    call.only("keep_dims", keep, True, False)
    if x.dims is None and axes in (None, ()):
        return call.node(kind, x.name, keepdims=int(keep))
    where = call.axes(axes, x.rank) if x.dims is not None else call.ints(axes, "axis")
    if not where:
        return call.node("Identity", x.name)
    return call.node(kind, x.name, call.vector(where), keepdims=int(keep))


def _reduce(kind: str) -> Rule:
    def rule(
        call: Call, x: Given, axis: Given = None, keep_dims: Given = False, skip_mode: Given = False
    ) -> str:
        value = call.tensor(x, call.out_kind())
        if skip_mode and axis == ():
            return call.node("Identity", value.name)
        return _reduced(call, kind, value, axis, keep_dims)

    return rule


def _reduce_ext(kind: str) -> Rule:
    def rule(
        call: Call, x: Given, dim: Given = None, keepdim: Given = False, dtype: Given = None
    ) -> str:
        # The sum of integers is long.
        value = call.tensor(x, call.out_kind() if dtype is None else call.kind(dtype))
        return _reduced(call, kind, value, dim, keepdim)

    return rule


def _reduce_flags(kind: str) -> Rule:
    def rule(call: Call, x: Given, axis: Given = None, keep_dims: Given = False) -> str:
        value = call.tensor(call.tensor(x, BOOL), INT32)
        return call.node("Cast", _reduced(call, kind, value, axis, keep_dims), to=BOOL.onnx)

    return rule


def _whole_reduction(kind: str) -> Rule:
    def rule(call: Call, x: Given) -> str:
        return call.node(kind, call.name(x), keepdims=0)

    return rule


def _variance(call: Call, x: Value, axes: Given, correction: float, keep: Given) -> tuple[str, str]:
    """The variance and the mean."""
    call.only("keepdim", keep, True, False)
    where = call.axes(axes, x.rank)
    if not where:
        call.refuse("a number alone")
    vector = call.vector(where)
    mean = call.node("ReduceMean", x.name, vector, keepdims=1)
    centred = call.node("Sub", x.name, mean)
    squares = call.node("Mul", centred, centred)
    if not keep:
        mean = call.node("Squeeze", mean, vector)
    if not correction:
        return call.node("ReduceMean", squares, vector, keepdims=int(keep)), mean
    total = call.node("ReduceSum", squares, vector, keepdims=int(keep))
    sizes = call.node("Gather", call.dims(x.name), vector)
    count = call.node("Cast", call.node("ReduceProd", sizes, keepdims=0), to=x.type.onnx)
    count = call.node("Sub", count, call.scalar(correction, x.type))
    return call.node("Div", total, count), mean


def _var(root: bool, mean: bool = False) -> Rule:
    def rule(
        call: Call, x: Given, dim: Given = None, correction: Given = 1, keepdim: Given = False
    ) -> Given:
        x = call.tensor(x)
        made, middle = _variance(call, x, dim, call.real(correction, "correction"), keepdim)
        made = call.node("Sqrt", made) if root else made
        return [made, middle] if mean else made

    return rule


def _reduce_std(
    call: Call, x: Given, axis: Given = (), unbiased: Given = True, keep_dims: Given = False
) -> list[str]:
    x = call.tensor(x)
    made, mean = _variance(call, x, axis, 1.0 if unbiased else 0.0, keep_dims)
    return [call.node("Sqrt", made), mean]


def _norm(call: Call, x: Given, p: Given, dim: Given, keepdim: Given, dtype: Given) -> str:
    x = call.tensor(x, call.out_kind() if dtype is None else call.kind(dtype))
    power = call.real(p, "p")
    if power == 1:
        return _reduced(call, "ReduceL1", x, dim, keepdim)
    if power == 2:
        return _reduced(call, "ReduceL2", x, dim, keepdim)
    size = Value(call.node("Abs", x.name), x.kind, x.dims)
    if math.isinf(power):
        return _reduced(call, "ReduceMax" if power > 0 else "ReduceMin", size, dim, keepdim)
    if power <= 0:
        call.refuse(f"p = {power}")
    raised = call.node("Pow", size.name, call.scalar(power, x.type))
    total = _reduced(call, "ReduceSum", Value(raised, x.kind, x.dims), dim, keepdim)
    return call.node("Pow", total, call.scalar(1 / power, x.type))


def _lp_norm(
    call: Call,
    x: Given,
    axis: Given,
    p: Given = 2,
    keep_dims: Given = False,
    epsilon: Given = 1e-12,
) -> str:
    return _norm(call, x, p, axis, keep_dims, None)


def _vector_norm(
    call: Call,
    x: Given,
    p: Given = 2.0,
    dim: Given = None,
    keepdim: Given = False,
    dtype: Given = None,
) -> str:
    return _norm(call, x, p, dim, keepdim, dtype)


def _log_sum_exp(call: Call, x: Given, dim: Given, keepdim: Given = False) -> str:
    return _reduced(call, "ReduceLogSumExp", call.tensor(x), dim, keepdim)


def _arg(kind: str) -> Rule:
    def rule(call: Call, input_x: Given, axis: Given = -1, output_type: Given = None) -> str:
        x = call.tensor(input_x)
        along = call.axis(call.whole(axis, "axis"), x.rank)
        made = call.node(kind, x.name, axis=along, keepdims=0)
        return call.cast(made, INT64, call.out_kind())

    return rule


def _arg_ext(kind: str) -> Rule:
    def rule(call: Call, x: Given, dim: Given = None, keepdim: Given = False) -> str:
        x = call.tensor(x)
        if dim is None:
            flat = call.node("Reshape", x.name, call.vector([-1]))
            return call.node(kind, flat, axis=0, keepdims=0)
        along = call.axis(call.whole(dim, "dim"), x.rank)
        return call.node(kind, x.name, axis=along, keepdims=int(bool(keepdim)))

    return rule


def _arg_with_value(kind: str, values_first: bool = False) -> Rule:
    def rule(call: Call, x: Given, axis: Given = 0, keep_dims: Given = False) -> list[str]:
        x = call.tensor(x)
        along = call.axis(call.whole(axis, "axis"), x.rank)
        keep = int(bool(keep_dims))
        index = call.node(f"Arg{kind}", x.name, axis=along, keepdims=keep)
        value = call.node(f"Reduce{kind}", x.name, call.vector([along]), keepdims=keep)
        if values_first:
            return [value, call.cast(index, INT64, call.out_kind(1))]
        return [call.cast(index, INT64, call.out_kind(0)), value]

    return rule


def _cumulative_sum(
    call: Call, x: Given, axis: Given, exclusive: Given = False, reverse: Given = False
) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    return call.node(
        "CumSum",
        x.name,
        call.scalar(along, INT64),
        exclusive=int(bool(exclusive)),
        reverse=int(bool(reverse)),
    )


def _cumsum_ext(call: Call, x: Given, dim: Given, dtype: Given = None) -> str:
    x = call.tensor(x, call.out_kind())
    along = call.axis(call.whole(dim, "dim"), x.rank)
    return call.node("CumSum", x.name, call.scalar(along, INT64))


def _cumulative_product(
    call: Call, x: Given, axis: Given, exclusive: Given = False, reverse: Given = False
) -> str:
    """Products of each place and those before it: ONNX has sums of this kind only."""
    x = call.tensor(x)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    size = call.node("Squeeze", call.dims(x.name, along, along + 1), call.vector([0]))
    places = call.node("Range", call.scalar(0, INT64), size, call.scalar(1, INT64))
    column = call.node("Unsqueeze", places, call.vector([1]))
    kind = ("Greater" if reverse else "Less") + ("" if exclusive else "OrEqual")
    taken = call.node(kind, places, column)
    behind = [*range(2, 1 + x.rank - along)]
    taken = call.node("Unsqueeze", taken, call.vector(behind)) if behind else taken
    wide = call.node("Unsqueeze", x.name, call.vector([along]))
    parts = call.node("Where", taken, wide, call.scalar(1, x.type))
    return call.node("ReduceProd", parts, call.vector([along + 1]), keepdims=0)


def _search_sorted(
    call: Call,
    sorted_sequence: Given,
    values: Given,
    sorter: Given = None,
    dtype: Given = None,
    right: Given = False,
) -> str:
    """How many elements of a row are less than a value; with `right`, or equal to it."""
    if sorter is not None:
        call.refuse("sorter")
    line, value = call.tensor(sorted_sequence), call.tensor(values)
    if line.type != value.type or (line.rank > 1 and line.rank != value.rank):
        call.refuse("a sequence and values that do not fit each other")
    row = line.name
    if line.rank > 1:
        row = call.node("Unsqueeze", row, call.vector([line.rank - 1]))
    wide = call.node("Unsqueeze", value.name, call.vector([value.rank]))
    below = call.node("LessOrEqual" if right else "Less", row, wide)
    count = call.node("Cast", below, to=INT64.onnx)
    count = call.node("ReduceSum", count, call.vector([-1]), keepdims=0)
    return call.cast(count, INT64, call.out_kind())


def _smooth_l1_loss(
    call: Call, prediction: Given, target: Given, beta: Given = 1.0, reduction: Given = 2
) -> str:
    x = call.tensor(prediction)
    width = call.real(beta, "beta")
    call.only("reduction", reduction, *_REDUCED)
    if width <= 0:
        call.refuse(f"beta = {width}")
    size = call.node("Abs", call.node("Sub", x.name, call.name(target)))
    near = call.node("Mul", call.node("Mul", size, size), call.scalar(0.5 / width, x.type))
    far = call.node("Sub", size, call.scalar(0.5 * width, x.type))
    within = call.node("Less", size, call.scalar(width, x.type))
    loss = call.node("Where", within, near, far)
    kind = _REDUCED[reduction]
    return call.node(kind, loss, keepdims=0) if kind else loss


# MindSpore's enum Reduction. Source: mindapi/base/types.h.
_REDUCED = {0: "ReduceSum", 1: "ReduceMean", 2: ""}


def _top_k(call: Call, x: Given, k: Given, sorted: Given = True) -> list[str]:  # noqa: A002
    return _largest(call, call.tensor(x), k, -1, True, sorted)


def _top_k_ext(
    call: Call, x: Given, k: Given, dim: Given = -1, largest: Given = True, in_order: Given = True
) -> list[str]:
    return _largest(call, call.tensor(x), k, dim, largest, in_order)


def _largest(
    call: Call, x: Value, k: Given, dim: Given, largest: Given, in_order: Given
) -> list[str]:
    count = call.as_vector(call.integers(k, "k"))
    if isinstance(k, Value) and k.rank == 0 and k.array is None:
        count = call.node("Reshape", k.name, call.vector([1]))
    values, indices = call.nodes(
        "TopK",
        x.name,
        count,
        outputs=2,
        axis=call.axis(call.whole(dim, "dim"), x.rank),
        largest=int(bool(largest)),
        sorted=int(bool(in_order)),
    )
    return [values, call.cast(indices, INT64, call.out_kind(1))]


def _sort(call: Call, x: Given, axis: Given = -1, descending: Given = False) -> list[str]:
    value = call.tensor(x)
    along = call.axis(call.whole(axis, "axis"), value.rank)
    count = call.dims(value.name, along, along + 1)
    values, indices = call.nodes(
        "TopK", value.name, count, outputs=2, axis=along, largest=int(bool(descending)), sorted=1
    )
    return [values, call.cast(indices, INT64, call.out_kind(1))]


def _sort_ext(
    call: Call, x: Given, dim: Given = -1, descending: Given = False, stable: Given = False
) -> list[str]:
    return _sort(call, x, dim, descending)


def _sorted_places(call: Call, x: Given, dim: Given, descending: Given) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    count = call.dims(x.name, along, along + 1)
    _, places = call.nodes(
        "TopK", x.name, count, outputs=2, axis=along, largest=int(bool(descending)), sorted=1
    )
    return call.cast(places, INT64, call.out_kind())


# ***** Shape *****


def _reshape(call: Call, x: Given, shape: Given) -> Given:
    x = call.tensor(x)
    wanted = call.integers(shape, "shape")
    if not isinstance(wanted, str):
        if len(wanted) > LARGEST_RANK:
            call.malformed(f"a shape of {len(wanted)} dimensions")
        if x.array is not None and min(wanted, default=1) >= -1:
            if -1 in wanted or math.prod(wanted) == x.array.size:
                try:
                    return call.known(x.array.reshape(wanted))
                except ValueError:
                    call.malformed(f"shape {wanted} for {x.array.size} elements")
        if 0 in wanted:
            return call.node("Reshape", x.name, call.vector(wanted), allowzero=1)
    return call.node("Reshape", x.name, call.as_vector(wanted))


def _view_as(call: Call, x: Given, other: Given) -> str:
    return call.node("Reshape", call.name(x), call.dims(call.name(other)))


def _flatten(call: Call, input_x: Given) -> str:
    x = call.tensor(input_x)
    if x.rank == 2:
        return call.node("Identity", x.name)
    return call.node("Flatten", x.name, axis=1 if x.rank > 1 else 0)


def _flatten_ext(call: Call, x: Given, start_dim: Given = 0, end_dim: Given = -1) -> str:
    x = call.tensor(x)
    first = call.axis(call.whole(start_dim, "start_dim"), x.rank)
    last = call.axis(call.whole(end_dim, "end_dim"), x.rank)
    if last < first:
        call.malformed(f"start_dim = {first}, end_dim = {last}")
    parts = [call.dims(x.name, 0, first)] if first else []
    parts.append(call.vector([-1]))
    parts += [call.dims(x.name, last + 1)] if last + 1 < x.rank else []
    shape = parts[0] if len(parts) == 1 else call.node("Concat", *parts, axis=0)
    return call.node("Reshape", x.name, shape)


def _transpose(call: Call, x: Given, dims: Given) -> str:
    x = call.tensor(x)
    order = [call.axis(one, x.rank) for one in call.ints(dims, "dims")]
    if sorted(order) != [*range(x.rank)]:
        call.malformed(f"dims = {order[:20]} for {x.rank} dimensions")
    return call.node("Transpose", x.name, perm=order)


def _swap(call: Call, x: Given, dim0: Given, dim1: Given) -> str:
    x = call.tensor(x)
    first, second = (call.axis(call.whole(one, "dim"), x.rank) for one in (dim0, dim1))
    order = [*range(x.rank)]
    order[first], order[second] = order[second], order[first]
    return call.node("Transpose", x.name, perm=order)


def _transpose_ext(call: Call, x: Given) -> str:
    x = call.tensor(x)
    return call.node("Transpose", x.name, perm=[*range(x.rank)][::-1])


def _expand_dims(call: Call, input_x: Given, axis: Given) -> Given:
    x = call.tensor(input_x)
    along = call.along(call.whole(axis, "axis"), x, 1)
    if x.array is not None:
        return call.known(np.expand_dims(x.array, along))
    return call.node("Unsqueeze", x.name, call.vector([along]))


def _squeeze(call: Call, x: Given, axis: Given = ()) -> Given:
    x = call.tensor(x)
    said = [] if axis is None else call.ints(axis, "axis")
    if said:
        axes = [call.along(one, x) for one in said]
    elif min(x.shape, default=0) < 0:
        call.refuse("no axis, for sizes that are not known")
    else:
        axes = [place for place, size in enumerate(x.shape) if size == 1]
    if x.array is not None and all(x.array.shape[one] == 1 for one in axes):
        return call.known(np.squeeze(x.array, tuple(axes)))
    return (
        call.node("Squeeze", x.name, call.vector(axes)) if axes else call.node("Identity", x.name)
    )


def _concat(call: Call, tensors: Given, axis: Given = 0) -> Given:
    kind = call.out_kind()
    values = [call.tensor(one, kind) for one in call.items(tensors)]
    if not values:
        call.malformed("nothing to join")
    along = call.along(call.whole(axis, "axis"), values[0])
    arrays = [one.array for one in values if one.array is not None]
    if len(arrays) == len(values) and sum(one.size for one in arrays) <= LARGEST_CONSTANT:
        try:
            return call.known(np.concatenate(arrays, along))
        except ValueError:
            call.malformed("tensors that cannot be joined")
    return call.node("Concat", *(one.name for one in values), axis=along)


def _stack(call: Call, tensors: Given, axis: Given = 0) -> str:
    kind = call.out_kind()
    values = [call.tensor(one, kind) for one in call.items(tensors)]
    if not values:
        call.malformed("nothing to join")
    along = call.axis(call.whole(axis, "axis"), values[0].rank + 1)
    where = call.vector([along])
    parts = [call.node("Unsqueeze", one.name, where) for one in values]
    return call.node("Concat", *parts, axis=along)


def _stack_ext(call: Call, tensors: Given, dim: Given = 0) -> str:
    return _stack(call, tensors, dim)


def _unstack(call: Call, x: Given, axis: Given = 0) -> list[str]:
    x = call.tensor(x)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    count = x.size(along)
    if count is None or count > MOST_PARTS:
        call.refuse("a size that is not known" if count is None else f"{count} parts")
    return [
        call.node("Gather", x.name, call.scalar(place, INT64), axis=along) for place in range(count)
    ]


def _unstack_ext(call: Call, x: Given, dim: Given = 0) -> list[str]:
    return _unstack(call, x, dim)


def _split(call: Call, input_x: Given, axis: Given = 0, output_num: Given = 1) -> list[str]:
    x = call.tensor(input_x)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    count = call.whole(output_num, "output_num")
    if not 1 <= count <= MOST_PARTS:
        call.malformed(f"output_num = {count}")
    if count == 1:
        return [call.node("Identity", x.name)]
    return call.nodes("Split", x.name, outputs=count, axis=along, num_outputs=count)


def _split_sizes(call: Call, x: Given, split_size: Given, dim: Given = 0) -> list[str]:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    sizes = call.ints(split_size, "split_size")
    if not 1 <= len(sizes) <= MOST_PARTS or min(sizes) < 0:
        call.malformed(f"split_size = {sizes[:20]}")
    return call.nodes("Split", x.name, call.vector(sizes), outputs=len(sizes), axis=along)


def _split_tensor(call: Call, x: Given, split_size: Given, dim: Given = 0) -> list[str]:
    """Parts of one size, but for the last."""
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    total, size = x.size(along), call.whole(split_size, "split_size")
    if total is None:
        call.refuse("a size that is not known")
    if size < 1 or total / size > MOST_PARTS:
        call.malformed(f"split_size = {size}")
    sizes = [min(size, total - begin) for begin in range(0, total, size)]
    return _split_sizes(call, x, tuple(sizes), along)


def _chunk(call: Call, x: Given, chunks: Given, dim: Given = 0) -> list[str]:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    total, count = x.size(along), call.whole(chunks, "chunks")
    if total is None:
        call.refuse("a size that is not known")
    if not 1 <= count <= MOST_PARTS:
        call.malformed(f"chunks = {count}")
    return _split_tensor(call, x, max(-(-total // count), 1), along)


def _tile(call: Call, x: Given, dims: Given) -> str:
    x = call.tensor(x)
    times = call.integers(dims, "dims")
    if isinstance(times, str):
        call.refuse("dims are computed as a tensor")
    if len(times) > LARGEST_RANK or min(times, default=0) < 0:
        call.malformed(f"dims = {times[:20]}")
    name = x.name
    if len(times) > x.rank:
        name = call.node("Unsqueeze", name, call.vector(range(len(times) - x.rank)))
    times = [1] * (x.rank - len(times)) + times
    return call.node("Tile", name, call.vector(times))


def _tile_any(call: Call, x: Given, dims: Given) -> str:
    """Times that are known, or numbers that the model computes, one for each dimension."""
    if isinstance(dims, tuple) and any(isinstance(one, Scalar) for one in dims):
        if len(dims) != call.tensor(x).rank:
            call.refuse("dims are computed, for another number of dimensions")
        return call.node("Tile", call.name(x), call.as_vector(call.integers(dims, "dims")))
    return _tile(call, x, dims)


def _repeat(
    call: Call, x: Given, repeats: Given, dim: Given = None, output_size: Given = None
) -> str:
    """Each element so many times, one behind the other."""
    x = call.tensor(x)
    count = call.whole(repeats, "repeats")
    if not 0 < count <= MOST_PARTS:
        call.refuse(f"repeats = {count}")
    if dim is None:
        x = Value(call.node("Reshape", x.name, call.vector([-1])), x.kind, (-1,))
        dim = 0
    along = call.axis(call.whole(dim, "dim"), x.rank)
    wide = call.node("Unsqueeze", x.name, call.vector([along + 1]))
    times = [1] * (x.rank + 1)
    times[along + 1] = count
    wide = call.node("Tile", wide, call.vector(times))
    parts = [call.dims(x.name, 0, along)] if along else []
    parts.append(call.vector([-1]))
    parts += [call.dims(x.name, along + 1)] if along + 1 < x.rank else []
    shape = parts[0] if len(parts) == 1 else call.node("Concat", *parts, axis=0)
    return call.node("Reshape", wide, shape)


def _broadcast(call: Call, x: Given, shape: Given) -> str:
    x = call.tensor(x)
    # A size of one, broadcast, is the size that is there: what -1 means.
    parts = shape if isinstance(shape, tuple) else (shape,)
    wanted = call.integers(tuple(1 if one == -1 else one for one in parts), "shape")
    if isinstance(wanted, str):
        kept = call.node("Abs", wanted) if isinstance(shape, Value) else wanted
        return call.node("Expand", x.name, kept)
    wanted = [1 if one == -1 else one for one in wanted]
    if len(wanted) > LARGEST_RANK or min(wanted, default=0) < 0:
        call.malformed(f"shape = {wanted[:20]}")
    return call.node("Expand", x.name, call.vector(wanted))


def _expand_as(call: Call, x: Given, other: Given) -> str:
    return call.node("Expand", call.name(x), call.dims(call.name(other)))


def _flip(call: Call, x: Given, axis: Given) -> str:
    x = call.tensor(x)
    axes = [call.axis(one, x.rank) for one in call.ints(axis, "axis")]
    if not axes:
        return call.node("Identity", x.name)
    ends = ([-1] * len(axes), [-INT_LIMIT] * len(axes), axes, [-1] * len(axes))
    return call.node("Slice", x.name, *map(call.vector, ends))


def _roll(call: Call, x: Given, shifts: Given, dims: Given = None) -> str:
    x = call.tensor(x)
    moves = call.ints(shifts, "shifts")
    axes = [] if dims is None else [call.axis(one, x.rank) for one in call.ints(dims, "dims")]
    if not axes or len(axes) != len(moves):
        call.refuse(f"{len(moves)} shifts for {len(axes)} dims")
    name = x.name
    for move, axis in zip(moves, axes, strict=True):
        where = call.vector([axis])
        size = x.size(axis)
        if size is None:
            call.refuse("a size that is not known")
        cut = -(move % size) if size else 0
        if not cut:
            continue
        tail = call.node("Slice", name, call.vector([cut]), call.vector([INT_LIMIT]), where)
        head = call.node("Slice", name, call.vector([0]), call.vector([cut]), where)
        name = call.node("Concat", tail, head, axis=axis)
    return call.node("Identity", name) if name == x.name else name


def _triangle(upper: int) -> Rule:
    def rule(call: Call, x: Given, diagonal: Given = 0) -> str:
        x = call.tensor(x)
        k = call.scalar(call.whole(diagonal, "diagonal"), INT64)
        if x.type == BOOL:
            made = call.node("Trilu", call.name(x, INT32), k, upper=upper)
            return call.node("Cast", made, to=BOOL.onnx)
        return call.node("Trilu", x.name, k, upper=upper)

    return rule


def _mesh(call: Call, inputs: Given, indexing: Given = 1) -> list[str]:
    """By numbers of Indexing, ops/include/op_enum.h: 0 is ij, 1 is xy."""
    call.only("indexing", indexing, 0, 1, "ij", "xy")
    values = [call.tensor(one) for one in call.items(inputs)]
    if not 1 <= len(values) <= LARGEST_RANK or any(one.rank != 1 for one in values):
        call.refuse("what is no vector")
    places = [*range(len(values))]
    if indexing in (1, "xy") and len(values) > 1:
        places[:2] = [1, 0]
    wide = []
    for place, value in zip(places, values, strict=True):
        shape = [1] * len(values)
        shape[place] = -1
        wide.append(call.node("Reshape", value.name, call.vector(shape)))
    order = sorted(range(len(values)), key=lambda one: places[one])
    full = [call.dims(values[one].name) for one in order]
    shape_name = full[0] if len(full) == 1 else call.node("Concat", *full, axis=0)
    return [call.node("Expand", one, shape_name) for one in wide]


def _diag(call: Call, x: Given) -> str:
    x = call.tensor(x)
    if x.rank != 1:
        call.refuse(f"{x.rank} dimensions")
    size = call.dims(x.name)
    square = call.node("Concat", size, size, axis=0)
    eye = call.node("EyeLike", call.node("ConstantOfShape", square), dtype=FLOAT.onnx)
    eye = call.node("Cast", eye, to=BOOL.onnx)
    return call.node("Where", eye, x.name, call.scalar(0, x.type))


def _narrow(call: Call, x: Given, dim: Given, start: Given, length: Given) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    begin, count = call.whole(start, "start"), call.whole(length, "length")
    size = x.size(along)
    if begin < 0 and size is None:
        call.refuse(f"start = {begin}")
    begin += size if begin < 0 and size is not None else 0
    ends = ([begin], [begin + count], [along])
    return call.node("Slice", x.name, *map(call.vector, ends))


def _slice(call: Call, x: Given, begin: Given, size: Given) -> str:
    """So much from here on; -1 is all that there is."""
    x = call.tensor(x)
    starts, sizes = call.integers(begin, "begin"), call.integers(size, "size")
    axes = call.vector(range(x.rank))
    if isinstance(starts, str) or isinstance(sizes, str):
        first, count = call.as_vector(starts), call.as_vector(sizes)
        return call.node("Slice", x.name, first, call.node("Add", first, count), axes)
    if len(starts) != x.rank or len(sizes) != x.rank or min(starts, default=0) < 0:
        call.malformed(f"begin = {starts[:20]}, size = {sizes[:20]}")
    ends = [INT_LIMIT if n == -1 else b + n for b, n in zip(starts, sizes, strict=True)]
    return call.node("Slice", x.name, call.vector(starts), call.vector(ends), axes)


def _slice_ext(call: Call, x: Given, dim: Given, start: Given, end: Given, step: Given = 1) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    names = [call.row(one, what) for one, what in ((start, "start"), (end, "end"))]
    return call.node(
        "Slice", x.name, *names, call.vector([along]), call.vector([call.whole(step, "step")])
    )


def _strided_slice(
    call: Call,
    input_x: Given,
    begin: Given,
    end: Given,
    strides: Given,
    begin_mask: Given = 0,
    end_mask: Given = 0,
    ellipsis_mask: Given = 0,
    new_axis_mask: Given = 0,
    shrink_axis_mask: Given = 0,
) -> str:
    """A slice of each dimension, with masks whose bits count the slices."""
    x = call.tensor(input_x)
    # Kernels of MindSpore do not agree with its documentation here.
    call.only("ellipsis_mask", ellipsis_mask, 0)
    call.only("new_axis_mask", new_axis_mask, 0)
    steps = call.ints(strides, "strides")
    if x.dims is not None and len(steps) > x.rank:
        call.malformed(f"{len(steps)} slices of {x.rank} dimensions")
    firsts, lasts = _numbers(call, begin, len(steps)), _numbers(call, end, len(steps))
    no_begin, no_end, shrink = (
        [bool(call.whole(mask, "a mask") >> axis & 1) for axis in range(len(steps))]
        for mask in (begin_mask, end_mask, shrink_axis_mask)
    )
    slices: list[tuple[int, Given, Given, int]] = []
    for axis, (first, last, step) in enumerate(zip(firsts, lasts, steps, strict=True)):
        if step == 0 or (shrink[axis] and step < 0):
            call.malformed(f"a stride of {step}")
        if shrink[axis]:
            # One element, whatever the end says.
            slices.append((axis, first, _behind(call, first), 1))
            continue
        low, high = (0, INT_LIMIT) if step > 0 else (INT_LIMIT, -INT_LIMIT)
        first = low if no_begin[axis] else first
        last = high if no_end[axis] else last
        if (first, last, step) != (0, INT_LIMIT, 1):
            slices.append((axis, first, last, step))
    name = x.name
    if slices:
        axes, starts, ends, jumps = zip(*slices, strict=True)
        bounds = [call.as_vector(call.integers(one, "a slice")) for one in (starts, ends)]
        name = call.node("Slice", name, *bounds, call.vector(axes), call.vector(jumps))
    dropped = [axis for axis, drop in enumerate(shrink) if drop]
    if dropped:
        name = call.node("Squeeze", name, call.vector(dropped))
    return name if name != x.name else call.node("Identity", name)


def _numbers(call: Call, given: Given, count: int) -> list[Given]:
    """One by one: those that are known, and those that the model computes."""
    if isinstance(given, Value) and given.array is None:
        name = call.cast(given.name, given.type, INT64)
        parts = [
            Scalar(call.node("Slice", name, call.vector([at]), call.vector([at + 1])), INT64)
            for at in range(count)
        ]
        return [*parts]
    said = [*given] if isinstance(given, tuple) else [*call.ints(given, "a slice")]
    if len(said) != count:
        call.malformed(f"{len(said)} ends of {count} slices")
    return [one if isinstance(one, Scalar) else call.whole(one, "a slice") for one in said]


def _behind(call: Call, first: int | Scalar) -> int | Scalar:
    """The end of a slice of one element: behind the last one there is none."""
    if isinstance(first, int):
        return INT_LIMIT if first == -1 else first + 1
    name = call.cast(first.name, first.kind, INT64)
    following = call.node("Add", name, call.vector([1]))
    last = call.node("Equal", following, call.vector([0]))
    return Scalar(call.node("Where", last, call.vector([INT_LIMIT]), following), INT64)


# ***** Elements by their index *****


def _gather(
    call: Call, input_params: Given, input_indices: Given, axis: Given, batch_dims: Given = 0
) -> str:
    x, i = call.tensor(input_params), call.tensor(input_indices)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    batch = call.whole(batch_dims, "batch_dims")
    batch = batch + i.rank if batch < 0 else batch
    if not 0 <= batch <= along or batch > i.rank:
        call.malformed(f"batch_dims = {batch}, axis = {along}")
    if not batch:
        return call.node("Gather", x.name, i.name, axis=along)
    if along != batch:
        call.refuse(f"batch_dims = {batch} with axis = {along}")
    where = call.node("Unsqueeze", call.name(i, INT64), call.vector([i.rank]))
    return call.node("GatherND", x.name, where, batch_dims=batch)


def _embedding_lookup(call: Call, input_params: Given, input_indices: Given, offset: Given) -> str:
    call.only("offset", offset, 0)
    x, i = call.tensor(input_params), call.tensor(input_indices)
    # An index that the table does not have gives zeros.
    size = x.size(0)
    if size is None:
        call.refuse("a table of unknown size")
    outside = call.node(
        "Or",
        call.node("Less", i.name, call.scalar(0, i.type)),
        call.node("GreaterOrEqual", i.name, call.scalar(size, i.type)),
    )
    safe = call.node("Where", outside, call.scalar(0, i.type), i.name)
    rows = call.node("Gather", x.name, safe, axis=0)
    wide = call.node("Unsqueeze", outside, call.vector(range(i.rank, i.rank + x.rank - 1)))
    return call.node("Where", wide, call.scalar(0, x.type), rows)


def _embedding(
    call: Call,
    x: Given,
    weight: Given,
    padding_idx: Given = None,
    max_norm: Given = None,
    norm_type: Given = 2.0,
    scale_grad_by_freq: Given = False,
) -> str:
    call.only("max_norm", max_norm, None)
    return call.node("Gather", call.name(weight), call.name(x), axis=0)


def _gather_elements(call: Call, x: Given, dim: Given, index: Given) -> str:
    value, where = call.tensor(x), call.tensor(index)
    along = call.axis(call.whole(dim, "dim"), value.rank)
    return call.node("GatherElements", value.name, where.name, axis=along)


def _gather_nd(call: Call, input_x: Given, indices: Given) -> str:
    return call.node("GatherND", call.name(input_x), call.name(indices, INT64))


def _index_select(call: Call, x: Given, dim: Given, index: Given) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    return call.node("Gather", x.name, call.name(index), axis=along)


def _select_at(call: Call, x: Given, dim: Given, index: Given) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    return call.node("Gather", x.name, call.name(index), axis=along)


def _one_hot(
    call: Call,
    indices: Given,
    depth: Given,
    on_value: Given,
    off_value: Given,
    axis: Given = -1,
) -> str:
    i = call.tensor(indices)
    count = call.whole(depth, "depth")
    kind = call.out_kind()
    ends = [
        call.node("Reshape", call.name(one, kind), call.vector([1]))
        for one in (off_value, on_value)
    ]
    along = call.axis(call.whole(axis, "axis"), i.rank + 1)
    # ONNX counts negative indices from the end; here they are nowhere.
    index = call.name(i, INT64)
    below = call.node("Less", index, call.scalar(0, INT64))
    where = call.node("Where", below, call.scalar(count, INT64), index)
    values = call.node("Concat", *ends, axis=0)
    return call.node("OneHot", where, call.scalar(count, INT64), values, axis=along)


def _scatter_elements(
    call: Call,
    data: Given,
    indices: Given,
    updates: Given,
    axis: Given = 0,
    reduce: Given = "none",
) -> str:
    forms: dict[int | str, str] = {one: one for one in ("none", "add", "max", "min", "mul")}
    forms.update({0: "none", 1: "add"})
    call.only("reduce", reduce, *forms)
    x = call.tensor(data)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    return call.node(
        "ScatterElements",
        x.name,
        call.name(indices),
        call.name(updates, x.type),
        axis=along,
        reduction=forms[reduce],
    )


def _scatter(
    call: Call, x: Given, dim: Given, index: Given, src: Given, reduce: Given = "none"
) -> str:
    return _scatter_elements(call, x, index, src, dim, reduce)


def _scatter_add(call: Call, x: Given, dim: Given, index: Given, src: Given) -> str:
    return _scatter_elements(call, x, index, src, dim, "add")


def _tensor_scatter(reduction: str) -> Rule:
    def rule(call: Call, input_x: Given, indices: Given, updates: Given) -> str:
        x = call.tensor(input_x)
        return call.node(
            "ScatterND",
            x.name,
            call.name(indices, INT64),
            call.name(updates, x.type),
            reduction=reduction,
        )

    return rule


def _scatter_nd(call: Call, indices: Given, updates: Given, shape: Given) -> str:
    u = call.tensor(updates)
    empty = _full(call, shape, 0, u.type)
    return call.node("ScatterND", empty, call.name(indices, INT64), u.name, reduction="add")


def _nonzero(call: Call, x: Given) -> str:
    call.graph.may_be_empty = True
    x = call.node("NonZero", call.name(x))
    return call.cast(call.node("Transpose", x, perm=[1, 0]), INT64, call.out_kind())


def _masked_select(call: Call, x: Given, mask: Given) -> str:
    call.graph.may_be_empty = True
    x, flags = call.tensor(x), call.tensor(mask, BOOL)
    both = [x.name, flags.name]
    if x.dims != flags.dims or min(x.shape, default=0) < 0:
        shape = [call.dims(name) for name in both]
        both = [
            call.node("Expand", both[0], shape[1]),
            call.node("Expand", both[1], shape[0]),
        ]
    flat = [call.node("Reshape", one, call.vector([-1])) for one in both]
    return call.node("Compress", *flat, axis=0)


def _segment_sum(call: Call, input_x: Given, segment_ids: Given, num_segments: Given) -> str:
    x, ids = call.tensor(input_x), call.tensor(segment_ids)
    if ids.rank != 1:
        call.refuse(f"segment_ids of {ids.rank} dimensions")
    # Negative ones are left out: they go to a segment more, which is cut off.
    count = call.row(num_segments, "num_segments")
    one, index = call.vector([1]), call.name(ids, INT64)
    negative = call.node("Less", index, call.scalar(0, INT64))
    index = call.node("Unsqueeze", call.node("Where", negative, count, index), one)
    parts = [call.node("Add", count, one)] + ([call.dims(x.name, 1)] if x.rank > 1 else [])
    shape = parts[0] if len(parts) == 1 else call.node("Concat", *parts, axis=0)
    zeros = call.node("Expand", call.scalar(0, x.type), shape)
    made = call.node("ScatterND", zeros, index, x.name, reduction="add")
    return call.node("Slice", made, call.vector([0]), count, call.vector([0]))


# ***** What begins a graph *****


def _shape(call: Call, x: Given) -> Given:
    """The sizes one by one: those that are known as numbers; a vector where it is not known how many there are."""
    x = call.tensor(x)
    if x.dims is None:
        return Value(call.dims(x.name), INT64, (-1,))
    return tuple(
        size if size >= 0 else Scalar(call.dims(x.name, axis, axis + 1), INT64, (x.name, axis))
        for axis, size in enumerate(x.shape)
    )


def _tensor_shape(call: Call, input_x: Given) -> Given:
    x = call.tensor(input_x)
    if min(x.shape, default=0) >= 0:
        return call.known(np.array(x.shape, np.int64))
    return call.dims(x.name)


def _rank(call: Call, x: Given) -> Given:
    x = call.tensor(x)
    if x.dims is not None:
        return x.rank
    return Scalar(
        call.node("Reshape", call.node("Size", call.dims(x.name)), call.vector([1])), INT64
    )


def _size(call: Call, x: Given) -> Given:
    x = call.tensor(x)
    if x.dims is not None and min(x.shape, default=0) >= 0:
        return math.prod(x.shape)
    return Scalar(call.node("Reshape", call.node("Size", x.name), call.vector([1])), INT64)


def _full(call: Call, shape: Given, number: Given, kind: ElementType) -> str:
    """A tensor of one number."""
    wanted = call.integers(shape, "shape")
    if not isinstance(wanted, str) and (len(wanted) > LARGEST_RANK or min(wanted, default=0) < 0):
        call.malformed(f"shape = {wanted[:20]}")
    alone = call.tensor(number, kind)
    name = alone.name
    if alone.rank:
        name = call.node("Reshape", name, call.vector([]))
    return call.node("Expand", name, call.as_vector(wanted))


def _filled(number: float) -> Rule:
    def rule(call: Call, shape: Given, dtype: Given = None) -> str:
        return _full(call, shape, number, call.out_kind())

    return rule


def _fill(call: Call, shape: Given, value: Given, dtype: Given = None) -> str:
    return _full(call, shape, value, call.out_kind())


def _fill_old(call: Call, dtype: Given, shape: Given, value: Given) -> str:
    return _full(call, shape, value, call.out_kind())


def _filled_like(number: float) -> Rule:
    def rule(call: Call, x: Given, dtype: Given = None) -> str:
        kind = call.out_kind()
        shape = call.dims(call.name(x))
        return call.node("Expand", call.scalar(number, kind), shape)

    return rule


def _full_like(call: Call, x: Given, fill_value: Given, dtype: Given = None) -> str:
    kind = call.out_kind()
    return call.node("Expand", call.name(fill_value, kind), call.dims(call.name(x)))


def _eye(call: Call, n: Given, m: Given, dtype: Given = None) -> Given:
    rows, columns = call.whole(n, "n"), call.whole(m, "m")
    if not (rows > 0 and columns > 0 and rows * columns <= 1 << 20):
        call.refuse(f"a matrix of {rows} by {columns}")
    return call.known(np.eye(rows, columns).astype(call.out_kind().numpy))


def _range(
    call: Call, start: Given, end: Given, step: Given, maxlen: Given = None, dtype: Given = None
) -> Given:
    kind = call.out_kind()
    ends = [call.tensor(one, kind) for one in (start, end, step)]
    arrays = [one.array for one in ends if one.array is not None]
    if len(arrays) == 3:
        first, last, jump = (one.reshape(-1)[0].item() for one in arrays)
        if jump == 0 or not all(math.isfinite(one) for one in (first, last, jump)):
            call.malformed(f"a range from {first} to {last} by {jump}")
        if (last - first) / jump <= 1 << 20:
            return call.known(np.arange(first, last, jump).astype(kind.numpy))
    names = [call.node("Squeeze", one.name) if one.rank else one.name for one in ends]
    return call.node("Range", *names)


def _linspace(call: Call, start: Given, stop: Given, num: Given, dtype: Given = None) -> Given:
    first, last = call.real(start, "start"), call.real(stop, "stop")
    count = call.whole(num, "num")
    if not 1 <= count <= LARGEST_CONSTANT:
        call.refuse(f"{count} numbers")
    return call.known(np.linspace(first, last, count).astype(call.out_kind().numpy))


# ***** Numbers and tuples *****


def _scalar_arithmetic(kind: str, known: Callable[[Any, Any], Any]) -> Rule:
    """Of two numbers: now if both are known."""

    def rule(call: Call, x: Given, y: Given) -> Given:
        if isinstance(x, (bool, int, float)) and isinstance(y, (bool, int, float)):
            try:
                made = known(x, y)
            except (ZeroDivisionError, OverflowError):
                call.malformed(f"{kind} of {x} and {y}")
            if abs(made) > INT_LIMIT and isinstance(made, int):
                call.malformed(f"{kind} of {x} and {y} is too large")
            return made
        wanted = call.out_kind()
        made = call.node(kind, _row(call, x, wanted), _row(call, y, wanted))
        return Scalar(made, wanted, *_affine(kind, x, y))

    return rule


def _affine(kind: str, x: Given, y: Given) -> tuple[tuple[str, int] | None, int, int]:
    """What a number is of a size, where that is a multiple and something added."""
    if isinstance(x, Scalar) and isinstance(y, int) and x.size is not None:
        if kind == "Mul":
            return x.size, x.factor * y, x.more * y
        if kind in ("Add", "Sub"):
            return x.size, x.factor, x.more + (y if kind == "Add" else -y)
    if isinstance(y, Scalar) and isinstance(x, int) and kind in ("Add", "Mul"):
        return _affine(kind, y, x)
    return None, 1, 0


def _row(call: Call, given: Given, kind: ElementType) -> str:
    """A number as an ONNX value of one dimension."""
    if isinstance(given, Scalar):
        return call.cast(given.name, given.kind, kind)
    if isinstance(given, Value):
        return call.node("Reshape", call.name(given, kind), call.vector([1]))
    if not isinstance(given, (bool, int, float)):
        call.refuse("what is no number")
    return call.graph.constant(np.array([given]).astype(kind.numpy))


def _scalar_floor_divide(call: Call, x: Given, y: Given) -> Given:
    if isinstance(x, (int, float)) and isinstance(y, (int, float)):
        if y == 0:
            call.malformed("a division by zero")
        return x // y
    kind = call.out_kind()
    first, second = _row(call, x, kind), _row(call, y, kind)
    if kind.numpy.kind not in "iu":
        return Scalar(call.node("Floor", call.node("Div", first, second)), kind)
    rest = call.node("Mod", first, second)
    return Scalar(call.node("Div", call.node("Sub", first, rest), second), kind)


def _scalar_mod(call: Call, x: Given, y: Given) -> Given:
    if isinstance(x, (int, float)) and isinstance(y, (int, float)):
        if y == 0:
            call.malformed("a division by zero")
        return x % y
    kind = call.out_kind()
    return Scalar(_remainder(call, kind, _row(call, x, kind), _row(call, y, kind)), kind)


def _scalar_compared(kind: str, known: Callable[[Any, Any], bool]) -> Rule:
    def rule(call: Call, x: Given, y: Given) -> Given:
        plain = (bool, int, float, str)
        if isinstance(x, plain) and isinstance(y, plain):
            return known(x, y)
        if isinstance(x, Scalar) and x == y:
            return known(0, 0)
        if isinstance(y, int) and _is_above(call, x, y):
            return known(y + 1, y)
        if isinstance(x, int) and _is_above(call, y, x):
            return known(x, x + 1)
        kinds = [
            one.kind if isinstance(one, Scalar) else FLOAT if isinstance(one, float) else INT64
            for one in (x, y)
        ]
        wanted = _wider(*kinds)
        first, second = _row(call, x, wanted), _row(call, y, wanted)
        if kind == "NotEqual":
            return Scalar(call.node("Not", call.node("Equal", first, second)), BOOL)
        return Scalar(call.node(kind, first, second), BOOL)

    return rule


def _is_above(call: Call, given: Given, number: int) -> bool:
    """Whether something is a dimension, which is larger than this: none is empty, unless values decide."""
    if not isinstance(given, Scalar) or given.size is None:
        return False
    plain = (given.factor, given.more) == (1, 0)
    return plain and number < (0 if call.graph.may_be_empty else 1)


def _scalar_not(call: Call, x: Given) -> Given:
    if isinstance(x, (bool, int, float)):
        return not x
    return Scalar(call.node("Not", _row(call, x, BOOL)), BOOL)


def _scalar_logic(kind: str, known: Callable[[bool, bool], bool]) -> Rule:
    def rule(call: Call, x: Given, y: Given) -> Given:
        if isinstance(x, (bool, int)) and isinstance(y, (bool, int)):
            return known(bool(x), bool(y))
        return Scalar(call.node(kind, _row(call, x, BOOL), _row(call, y, BOOL)), BOOL)

    return rule


def _scalar_negative(call: Call, x: Given) -> Given:
    if isinstance(x, (int, float)):
        return -x
    kind = call.out_kind()
    return Scalar(call.node("Neg", _row(call, x, kind)), kind)


def _scalar_cast(call: Call, x: Given, dtype: Given) -> Given:
    kind = call.kind(dtype)
    if isinstance(x, (bool, int, float)):
        if isinstance(x, float) and not math.isfinite(x) and kind.numpy.kind != "f":
            call.malformed(f"{x} as {kind.name}")
        if kind == BOOL:
            return bool(x)
        return float(x) if kind.numpy.kind == "f" else int(x)
    return Scalar(_row(call, x, kind), kind)


def _scalar_to_tensor(call: Call, x: Given, dtype: Given = None) -> Given:
    return call.tensor(x, call.out_kind() if dtype is None else call.kind(dtype))


def _tensor_to_scalar(call: Call, x: Given) -> Given:
    if not isinstance(x, Value):
        return x
    if x.array is not None and x.array.size == 1:
        return x.array.reshape(-1)[0].item()
    return Scalar(call.node("Reshape", x.name, call.vector([1])), x.type)


def _tuple_to_tensor(call: Call, input_tuple: Given, dtype: Given = None) -> Given:
    kind = call.out_kind() if dtype is None else call.kind(dtype)
    items = call.items(input_tuple)
    if all(isinstance(one, (bool, int, float)) for one in items):
        return call.known(np.array(items).astype(kind.numpy).reshape(len(items)))
    rows = [_row(call, one, kind) for one in items]
    return rows[0] if len(rows) == 1 else call.node("Concat", *rows, axis=0)


def _tensor_to_tuple(call: Call, x: Given) -> Given:
    value = call.tensor(x)
    if value.rank != 1:
        call.refuse(f"{value.rank} dimensions")
    if value.array is not None:
        return tuple(one.item() for one in value.array)
    count = value.size(0)
    if count is None or count > MOST_PARTS:
        call.refuse("a size that is not known")
    return tuple(
        Scalar(call.node("Slice", value.name, call.vector([at]), call.vector([at + 1])), value.type)
        for at in range(count)
    )


def _tuple_equal(call: Call, x: Given, y: Given) -> Given:
    first, second = call.items(x), call.items(y)
    if len(first) != len(second):
        return False
    compared = [_equal(call, one, other) for one, other in zip(first, second, strict=True)]
    if any(one is False for one in compared):
        return False
    names = [one.name for one in compared if isinstance(one, Scalar)]
    while len(names) > 1:
        names = [call.node("And", *names[:2]), *names[2:]]
    return Scalar(names[0], BOOL) if names else True


_equal = _scalar_compared("Equal", lambda x, y: x == y)


def _in_sequence(call: Call, x: Given, items: Given) -> Given:
    found = [_equal(call, x, one) for one in call.items(items)]
    if any(one is True for one in found):
        return True
    names = [one.name for one in found if isinstance(one, Scalar)]
    while len(names) > 1:
        names = [call.node("Or", *names[:2]), *names[2:]]
    return Scalar(names[0], BOOL) if names else False


def _is(call: Call, x: Given, y: Given) -> Given:
    plain = (bool, int, float, str, type(None))
    if isinstance(x, plain) and isinstance(y, plain):
        return x is y
    if isinstance(x, Scalar) and x.kind == BOOL and isinstance(y, bool):
        return x if y else _scalar_not(call, x)
    if y is not None:
        call.refuse("values that are computed when the model runs")
    return False


def _is_not(call: Call, x: Given, y: Given) -> Given:
    return _scalar_not(call, _is(call, x, y))


def _sequence_length(call: Call, x: Given) -> Given:
    if isinstance(x, Value):
        # The sizes of a tensor of any rank.
        return Scalar(call.dims(x.name), INT64)
    return len(call.items(x))


def _sequence_add(call: Call, x: Given, y: Given) -> Given:
    made = call.items(x) + call.items(y)
    if len(made) > MOST_PARTS:
        call.refuse(f"{len(made)} values")
    return made


def _sequence_slice(call: Call, x: Given, start: Given, stop: Given, step: Given) -> Given:
    ends = [call.whole(one, "an end") for one in (start, stop, step)]
    if not ends[2]:
        call.malformed("a step of 0")
    return call.items(x)[ends[0] : ends[1] : ends[2]]


def _make_range(call: Call, start: Given, stop: Given = None, step: Given = 1) -> Given:
    start, stop = (0, start) if stop is None else (start, stop)
    ends = [call.whole(one, "an end") for one in (start, stop, step)]
    if not ends[2] or len(range(*ends)) > MOST_PARTS:
        call.refuse(f"a range of {ends}")
    return tuple(range(*ends))


# ***** Sequences *****


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


# ***** The table *****

TABLE: Mapping[str, Rule] = {
    # One tensor, element by element.
    **{
        name: _unary(kind)
        for name, kind in {
            "Abs": "Abs",
            "Ceil": "Ceil",
            "Erf": "Erf",
            "Floor": "Floor",
            "IsInf": "IsInf",
            "IsNan": "IsNaN",
            "Neg": "Neg",
            "Sign": "Sign",
        }.items()
    },
    **{
        name: _real(kind)
        for name, kind in {
            "ACos": "Acos",
            "AcosExt": "Acos",
            "Acosh": "Acosh",
            "AcoshExt": "Acosh",
            "Asin": "Asin",
            "AsinExt": "Asin",
            "Asinh": "Asinh",
            "AsinhExt": "Asinh",
            "Atan": "Atan",
            "AtanExt": "Atan",
            "Atanh": "Atanh",
            "Cos": "Cos",
            "Cosh": "Cosh",
            "Reciprocal": "Reciprocal",
            "Sigmoid": "Sigmoid",
            "Sin": "Sin",
            "Sinh": "Sinh",
            "Sqrt": "Sqrt",
            "Tan": "Tan",
            "Tanh": "Tanh",
        }.items()
    },
    **dict.fromkeys(
        ("Clone", "Contiguous", "Copy", "Detach", "Identity", "StopGradient", "stop_gradient"),
        _same,
    ),
    "Cast": _cast,
    "Erfc": _erfc,
    "Exp": _exp,
    "Exp2": _exp2,
    "Expm1": _expm1,
    "Frac": _frac,
    "Inv": _real("Reciprocal"),
    "IsFinite": _is_finite,
    "Log": _log,
    "Log10": partial(_log_base, base=10.0),
    "Log1p": _log1p,
    "Log2": partial(_log_base, base=2.0),
    "Logit": _logit,
    "NanToNum": _nan_to_num,
    "Rint": _unary("Round"),
    "Round": _round,
    "Rsqrt": _rsqrt,
    "Sinc": _sinc,
    "Square": _square,
    "ToDtype": lambda call, x, dtype=None, non_blocking=False, copy=False: _cast(call, x, dtype),
    "Trunc": _trunc,
    # Activation.
    "CeLU": _celu,
    "ClampScalar": _clamp_known,
    "ClampTensor": _clamp,
    "Elu": _elu,
    "EluExt": _elu,
    "FastGeLU": _fast_gelu,
    "GLU": _glu,
    "GeLU": _gelu_tanh,
    "GeluExt": _gelu,
    "HShrink": _hard_shrink,
    "HSigmoid": _hard_sigmoid,
    "HSwish": _unary("HardSwish"),
    "Hardtanh": _hard_tanh,
    "LeakyReLUExt": _leaky,
    "LogSigmoid": lambda call, x: _log_sigmoid(call, x),
    "LogSoftmax": _softmax("LogSoftmax"),
    "LogSoftmaxExt": lambda call, x, dim=None, dtype=None: _softmax("LogSoftmax")(
        call, x, dim, dtype
    ),
    "Mish": _unary("Mish"),
    "MishExt": _unary("Mish"),
    "PReLU": _prelu,
    "ReLU": _unary("Relu"),
    "ReLU6": _relu6,
    "SeLU": _selu,
    "SeLUExt": _selu,
    "SiLU": _silu,
    "SoftShrink": _soft_shrink,
    "Softmax": _softmax("Softmax"),
    "Softplus": _unary("Softplus"),
    "SoftplusExt": _softplus,
    "Softsign": _unary("Softsign"),
    "Swiglu": _swiglu,
    "Threshold": _threshold,
    # Two tensors, element by element.
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
    # Matrices.
    "Addbmm": lambda call, x, batch1, batch2, beta=1, alpha=1: _added_product(
        call,
        x,
        call.node(
            "ReduceSum",
            call.node("MatMul", call.name(batch1), call.name(batch2)),
            call.vector([0]),
            keepdims=0,
        ),
        beta,
        alpha,
    ),
    "Addmm": _addmm,
    "Addmv": _addmm,
    "Baddbmm": _addmm,
    "BatchMatMul": _matmul,
    "BatchMatMulExt": _matmul,
    "BiasAdd": _bias_add,
    "Dense": _dense,
    "Dot": _matmul,
    "Einsum": _einsum,
    "MatMul": _matmul,
    "MatMulExt": _matmul,
    "MatMulV2": _matmul,
    "Mm": _matmul,
    "Mv": _matmul,
    "Outer": _outer,
    # Windows and images.
    "AdaptiveAvgPool1D": _adaptive("average"),
    "AdaptiveAvgPool2D": _adaptive("average"),
    "AdaptiveAvgPool2DExt": _adaptive("average"),
    "AdaptiveAvgPool3D": _adaptive("average"),
    "AdaptiveAvgPool3DExt": _adaptive("average"),
    "AdaptiveMaxPool1D": _adaptive("max", True),
    "AdaptiveMaxPool2D": _adaptive("max", True),
    "AvgPool": _pool("AveragePool"),
    "AvgPool1D": _avg_pool_ext,
    "AvgPool2D": _avg_pool_ext,
    "AvgPool3D": _pool3d("AveragePool"),
    "AvgPool3DExt": _avg_pool_ext,
    "Conv1DExt": _conv_ext,
    "Conv1DPadding": _conv_ext,
    "Conv2D": partial(_conv, axes=2),
    "Conv2DBackpropInput": _conv_transpose,
    "Conv2DExt": _conv_ext,
    "Conv2DPadding": _conv_ext,
    "Conv2DTranspose": _conv_transpose,
    "Conv3D": partial(_conv, axes=3),
    "Conv3DExt": _conv_ext,
    "Conv3DPadding": _conv_ext,
    "Conv3DTranspose": _conv3d_transpose,
    "ConvTranspose2D": _conv_transpose_ext,
    "Convolution": _convolution,
    "ConvolutionStr": _convolution,
    "DepthToSpace": _depth_to_space,
    "FuncMaxPool2D": _max_pool_ext,
    "GridSampler2D": _grid_sample,
    "GridSampler3D": _grid_sample,
    "MaxPool": _pool("MaxPool"),
    "MaxPool3D": _pool3d("MaxPool"),
    "MaxPool3DWithArgmax": _pool_with_index,
    "MaxPoolWithArgmaxV2": _pool_with_index,
    "MaxPoolWithIndices": _pool_with_index,
    "MaxPoolWithMask": _pool_with_index,
    "MirrorPad": _mirror_pad,
    "Pad": _pad,
    "PadV3": _pad_v3,
    "ConstantPadND": _pad_last("constant"),
    **{f"ReflectionPad{axes}D": _pad_last("reflect") for axes in (1, 2, 3)},
    **{f"ReplicationPad{axes}D": _pad_last("edge") for axes in (1, 2, 3)},
    "PixelShuffle": _pixel_shuffle,
    "ResizeBicubic": _resize_smooth("cubic"),
    "ResizeBilinearV2": _resize_smooth("linear"),
    "ResizeLinear1D": _resize_linear,
    "ResizeNearestNeighbor": _resize_nearest,
    "ResizeNearestNeighborV2": _resize_nearest,
    "SpaceToDepth": _space_to_depth,
    **{f"UpsampleNearest{axes}D": _upsample("nearest") for axes in (1, 2, 3)},
    "UpsampleBicubic2D": _upsample("cubic"),
    "UpsampleBilinear2D": _upsample("linear"),
    "UpsampleLinear1D": _upsample("linear"),
    "UpsampleTrilinear3D": _upsample("linear"),
    # Normalisation.
    "BatchNorm": _batch_norm,
    "BatchNormExt": _batch_norm_ext,
    "GroupNorm": _group_norm,
    "InstanceNorm": _instance_norm,
    "L2Normalize": _l2_normalize,
    "LRN": _lrn,
    "LayerNorm": _layer_norm,
    "LayerNormExt": _layer_norm_ext,
    "LayerNormV3": _layer_norm,
    "RmsNorm": _rms_norm,
    # Reduction.
    **{f"Reduce{name}": _reduce(f"Reduce{name}") for name in ("Max", "Mean", "Min", "Prod", "Sum")},
    "ReduceAll": _reduce_flags("ReduceMin"),
    "ReduceAny": _reduce_flags("ReduceMax"),
    "ReduceStd": _reduce_std,
    "MeanExt": _reduce_ext("ReduceMean"),
    "ProdExt": _reduce_ext("ReduceProd"),
    "SumExt": _reduce_ext("ReduceSum"),
    "Max": _whole_reduction("ReduceMax"),
    "Min": _whole_reduction("ReduceMin"),
    "ArgMaxExt": _arg_ext("ArgMax"),
    "ArgMinExt": _arg_ext("ArgMin"),
    "ArgMaxWithValue": _arg_with_value("Max"),
    "ArgMinWithValue": _arg_with_value("Min"),
    "Argmax": _arg("ArgMax"),
    "Argmin": _arg("ArgMin"),
    "ArgSort": lambda call, x, dim=-1, descending=False, stable=False: _sorted_places(
        call, x, dim, descending
    ),
    "CumProd": _cumulative_product,
    "CumSum": _cumulative_sum,
    "CumsumExt": _cumsum_ext,
    "LogSumExp": _log_sum_exp,
    "SearchSorted": _search_sorted,
    "SmoothL1Loss": _smooth_l1_loss,
    "LpNorm": _lp_norm,
    "LpNormV2": lambda call, x, p=2, dim=None, keepdim=False, epsilon=1e-12: _norm(
        call, x, p, dim, keepdim, None
    ),
    "LinalgVectorNorm": _vector_norm,
    "MaxDim": _arg_with_value("Max", True),
    "MinDim": _arg_with_value("Min", True),
    "Norm": _vector_norm,
    "Sort": _sort,
    "SortExt": _sort_ext,
    "Std": _var(True),
    "StdMean": _var(True, True),
    "TopK": _top_k,
    "TopkExt": _top_k_ext,
    "Var": _var(False),
    "VarMean": _var(False, True),
    # Shape.
    "BroadcastTo": _broadcast,
    "BroadcastToView": _broadcast,
    "Chunk": _chunk,
    "ChunkView": _chunk,
    "Concat": _concat,
    "Diag": _diag,
    "DynamicBroadcastTo": _broadcast,
    "ExpandAs": _expand_as,
    "ExpandDims": _expand_dims,
    "ExpandDimsView": _expand_dims,
    "Flatten": _flatten,
    "FlattenExt": _flatten_ext,
    "Meshgrid": _mesh,
    "Narrow": _narrow,
    "NarrowView": _narrow,
    "RepeatInterleaveInt": _repeat,
    "Reshape": _reshape,
    "ReverseV2": _flip,
    "Roll": _roll,
    "Slice": _slice,
    "SliceExt": _slice_ext,
    "SliceExtView": _slice_ext,
    "Split": _split,
    "SplitTensor": _split_tensor,
    "SplitTensorView": _split_tensor,
    "SplitWithSize": _split_sizes,
    "SplitWithSizeView": _split_sizes,
    "SplitV": lambda call, x, size_splits, split_dim=0: _split_sizes(
        call, x, size_splits, split_dim
    ),
    "Squeeze": _squeeze,
    "Stack": _stack,
    "StackExt": _stack_ext,
    "StridedSlice": _strided_slice,
    "TExt": _transpose_ext,
    "Tile": _tile_any,
    "Transpose": _transpose,
    "TransposeExtView": _swap,
    "TransposeView": _transpose,
    "Tril": _triangle(0),
    "TrilExt": _triangle(0),
    "Triu": _triangle(1),
    "Unstack": _unstack,
    "UnstackExtView": _unstack_ext,
    "View": _reshape,
    "ViewAs": _view_as,
    # Elements by their index.
    "Embedding": _embedding,
    "EmbeddingLookup": _embedding_lookup,
    "Gather": _gather,
    "GatherD": _gather_elements,
    "GatherNd": _gather_nd,
    "IndexSelect": _index_select,
    "MaskedSelect": _masked_select,
    "NonZero": _nonzero,
    "NonZeroExt": _nonzero,
    "OneHot": _one_hot,
    "OneHotExt": _one_hot,
    "Scatter": _scatter,
    "ScatterAddExt": _scatter_add,
    "ScatterNd": _scatter_nd,
    "SelectExtView": _select_at,
    "TensorScatterElements": _scatter_elements,
    **{
        f"TensorScatter{name}": _tensor_scatter(reduction)
        for name, reduction in {
            "Add": "add",
            "Max": "max",
            "Min": "min",
            "Mul": "mul",
            "Update": "none",
        }.items()
    },
    "UnsortedSegmentSum": _segment_sum,
    # What begins a graph.
    "Arange": _range,
    "Eye": _eye,
    "Fill": _fill_old,
    "FillScalar": _fill,
    "FillTensor": _fill,
    "FillV2": _fill,
    "FullLike": _full_like,
    "LinSpace": _linspace,
    "LinSpaceExt": _linspace,
    "Ones": _filled(1),
    "OnesLike": _filled_like(1),
    "OnesLikeExt": _filled_like(1),
    "Range": _range,
    "Rank": _rank,
    "Shape": _shape,
    "Size": _size,
    "TensorShape": _tensor_shape,
    "Zeros": _filled(0),
    "ZerosLike": _filled_like(0),
    "ZerosLikeExt": _filled_like(0),
    # Numbers and tuples.
    "BoolNot": _scalar_not,
    "InSequence": _in_sequence,
    "is_": _is,
    "is_not": _is_not,
    "ScalarAdd": _scalar_arithmetic("Add", lambda x, y: x + y),
    "ScalarBool": lambda call, x: _scalar_cast(call, x, 30),
    "ScalarCast": _scalar_cast,
    "ScalarDiv": _scalar_arithmetic("Div", lambda x, y: x / y),
    "ScalarFloorDiv": _scalar_floor_divide,
    "ScalarMod": _scalar_mod,
    "ScalarMul": _scalar_arithmetic("Mul", lambda x, y: x * y),
    "ScalarSub": _scalar_arithmetic("Sub", lambda x, y: x - y),
    "ScalarToTensor": _scalar_to_tensor,
    "ScalarUsub": _scalar_negative,
    "ScalarMax": _scalar_arithmetic("Max", max),
    "ScalarMin": _scalar_arithmetic("Min", min),
    "TensorToScalar": _tensor_to_scalar,
    "TensorToTuple": _tensor_to_tuple,
    "TupleToTensor": _tuple_to_tensor,
    "ListToTensor": _tuple_to_tensor,
    "bool_and": _scalar_logic("And", lambda x, y: x and y),
    "bool_not": _scalar_not,
    "bool_or": _scalar_logic("Or", lambda x, y: x or y),
    "make_range": _make_range,
    "scalar_eq": _equal,
    "ScalarEq": _equal,
    **{
        name: _scalar_compared(kind, known)
        for kind, known, names in (
            ("Greater", lambda x, y: x > y, ("scalar_gt", "ScalarGt")),
            ("GreaterOrEqual", lambda x, y: x >= y, ("scalar_ge", "ScalarGe")),
            ("Less", lambda x, y: x < y, ("scalar_lt", "ScalarLt")),
            ("LessOrEqual", lambda x, y: x <= y, ("scalar_le", "ScalarLe")),
            ("NotEqual", lambda x, y: x != y, ("scalar_ne", "ScalarNe")),
        )
        for name in names
    },
    "sequence_len": _sequence_length,
    "SequenceAdd": _sequence_add,
    "SequenceSlice": _sequence_slice,
    "tuple_equal": _tuple_equal,
    "list_equal": _tuple_equal,
    # Sequences.
    "LSTM": _lstm,
}
