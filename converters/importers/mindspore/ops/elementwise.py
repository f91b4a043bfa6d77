"""One tensor, element by element."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from converters.dtypes import ElementType
from converters.importers.graph import Value
from converters.importers.mindspore.build import Call, Given, Rule


def unary(kind: str, **fixed: Any) -> Rule:
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
    return cut(call, x.name, x.type)


def cut(call: Call, name: str, kind: ElementType) -> str:
    """Without what is behind the point."""
    down, up = call.node("Floor", name), call.node("Ceil", name)
    return call.node("Where", call.node("Less", name, call.scalar(0, kind)), up, down)


def _frac(call: Call, x: Given) -> str:
    x = call.tensor(x)
    return call.node("Sub", x.name, cut(call, x.name, x.type))


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


TABLE: Mapping[str, Rule] = {
    **{
        name: unary(kind)
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
    "Rint": unary("Round"),
    "Round": _round,
    "Rsqrt": _rsqrt,
    "Sinc": _sinc,
    "Square": _square,
    "ToDtype": lambda call, x, dtype=None, non_blocking=False, copy=False: _cast(call, x, dtype),
    "Trunc": _trunc,
}
