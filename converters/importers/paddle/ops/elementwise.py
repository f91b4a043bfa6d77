"""One tensor, element by element."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from converters.dtypes import ElementType
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.rows import Row, row, same


def _unary(kind: str, **fixed: Any) -> Rule:
    """An operator that ONNX has too."""

    def rule(call: Call) -> None:
        call.put("Out", kind, call.value().name, **fixed)

    return rule


def _with(kind: str, **attributes: tuple[str, float]) -> Rule:
    """... with attributes: the name in ONNX -> the name here, and what it is where it is not said."""

    def rule(call: Call) -> None:
        said = {name: call.real(own, default) for name, (own, default) in attributes.items()}
        call.put("Out", kind, call.value().name, **said)

    return rule


def _round(call: Call) -> None:
    call.only("decimals", 0)
    call.put("Out", "Round", call.value().name)


def _rsqrt(call: Call) -> None:
    call.put("Out", "Reciprocal", call.node("Sqrt", call.value().name))


def _square(call: Call) -> None:
    x = call.value()
    call.put("Out", "Mul", x.name, x.name)


def _log_base(call: Call, base: float) -> None:
    x = call.value()
    call.put("Out", "Div", call.node("Log", x.name), call.scalar(math.log(base), x.type))


def _log1p(call: Call) -> None:
    x = call.value()
    call.put("Out", "Log", call.node("Add", x.name, call.scalar(1, x.type)))


def _expm1(call: Call) -> None:
    x = call.value()
    call.put("Out", "Sub", call.node("Exp", x.name), call.scalar(1, x.type))


def _hard_swish(call: Call) -> None:
    # Paddle 3 takes no notice of other values, older ones did: no result of theirs could be right.
    for name, standard in (("offset", 3.0), ("threshold", 6.0), ("scale", 6.0)):
        call.only(name, standard)
    call.put("Out", "HardSwish", call.value().name)


def _swish(call: Call, beta: float | None = None) -> None:
    x = call.value()
    beta = call.real("beta", 1.0) if beta is None else beta
    scaled = x.name if beta == 1.0 else call.node("Mul", x.name, call.scalar(beta, x.type))
    call.put("Out", "Mul", x.name, call.node("Sigmoid", scaled))


def _clipped(call: Call, low: tuple[str, float], high: tuple[str, float]) -> None:
    x = call.value()
    ends = [call.scalar(call.real(*low), x.type), call.scalar(call.real(*high), x.type)]
    call.put("Out", "Clip", x.name, *ends)


def _relu6(call: Call) -> None:
    x = call.value()
    limit = call.scalar(call.real("threshold", 6.0), x.type)
    call.put("Out", "Clip", x.name, call.scalar(0, x.type), limit)


def _softplus(call: Call) -> None:
    x = call.value()
    beta, threshold = call.real("beta", 1.0), call.real("threshold", 20.0)
    scaled = x.name if beta == 1.0 else call.node("Mul", x.name, call.scalar(beta, x.type))
    soft = call.node("Softplus", scaled)
    if beta != 1.0:
        soft = call.node("Div", soft, call.scalar(beta, x.type))
    far = call.node("Greater", scaled, call.scalar(threshold, x.type))
    call.put("Out", "Where", far, x.name, soft)


def _log_sigmoid(call: Call) -> None:
    call.put("Out", "Neg", call.node("Softplus", call.node("Neg", call.value().name)))


def _tanh_shrink(call: Call) -> None:
    x = call.value()
    call.put("Out", "Sub", x.name, call.node("Tanh", x.name))


def _stanh(call: Call) -> None:
    x = call.value()
    inner = call.scalar(call.real("scale_a", 0.67), x.type)
    outer = call.scalar(call.real("scale_b", 1.7159), x.type)
    call.put("Out", "Mul", call.node("Tanh", call.node("Mul", x.name, inner)), outer)


def _soft_shrink(call: Call) -> None:
    limit = call.real("lambda", 0.5)
    call.put("Out", "Shrink", call.value().name, bias=limit, lambd=limit)


def _thresholded(call: Call) -> None:
    call.only("value", 0.0)
    call.put("Out", "ThresholdedRelu", call.value().name, alpha=call.real("threshold", 1.0))


def _gelu(call: Call) -> None:
    form = "tanh" if call.flag("approximate") else "none"
    call.put("Out", "Gelu", call.value().name, approximate=form)


def _is_finite(call: Call) -> None:
    x = call.value().name
    call.put("Out", "Not", call.node("Or", call.node("IsNaN", x), call.node("IsInf", x)))


def _pow(call: Call) -> None:
    x = call.value()
    power = call.maybe("FactorTensor")
    if power is not None:
        call.put("Out", "Pow", x.name, call.node("Reshape", power.name, call.vector([])))
        return
    call.put("Out", "Pow", x.name, call.scalar(call.real("factor", 1.0), x.type))


def _scale(call: Call) -> None:
    """`x * scale + bias`, or `(x + bias) * scale`."""
    x = call.value()
    tensor = call.maybe("ScaleTensor")
    if tensor is None:
        factor: float | str = call.real("scale", 1.0)
    elif tensor.array is not None and tensor.array.size == 1:
        factor = float(tensor.array.reshape(-1)[0])
    else:
        alone = call.node("Reshape", tensor.name, call.vector([]))
        factor = call.cast(alone, tensor.type, x.type)
    bias, after = call.real("bias", 0.0), call.flag("bias_after_scale", True)
    steps: list[tuple[str, float | str]] = [("Mul", factor), ("Add", bias)]
    steps = [
        (kind, number)
        for kind, number in (steps if after else steps[::-1])
        if number != (1.0 if kind == "Mul" else 0.0)
    ]
    name = x.name
    for kind, number in steps[:-1]:
        name = call.node(kind, name, _operand(call, number, x.type))
    if steps:
        call.put("Out", steps[-1][0], name, _operand(call, steps[-1][1], x.type))
    else:
        call.put("Out", "Identity", name)
    call.retype("Out", x.type)


def _operand(call: Call, number: float | str, kind: ElementType) -> str:
    return number if isinstance(number, str) else call.scalar(number, kind)


def _cast(call: Call) -> None:
    x = call.value()
    kind = call.kind("out_dtype") or call.kind("dtype")
    if kind is None or kind.onnx is None:
        call.malformed("it does not say to which element type")
    call.put("Out", "Cast", x.name, to=kind.onnx)
    if x.array is not None and x.array.dtype.kind in "biu" and kind.numpy.kind in "biuf":
        call.know("Out", x.array.astype(kind.numpy))


def _assign(call: Call) -> None:
    x = call.value()
    if x.array is not None:
        call.put_constant("Out", x.array)
        return
    call.put("Out", "Identity", x.name)
    if x.dims is not None:
        # What it is written into may be declared otherwise.
        call.redeclare("Out", x.dims)


def _clip(call: Call) -> None:
    x = call.value()
    ends = []
    for slot, name in (("Min", "min"), ("Max", "max")):
        given = call.maybe(slot)
        if given is None:
            ends.append(call.scalar(call.real(name), x.type))
        elif given.array is not None and given.array.size == 1:
            ends.append(call.scalar(float(given.array.reshape(-1)[0]), x.type))
        else:
            alone = call.node("Reshape", given.name, call.vector([]))
            ends.append(call.cast(alone, given.type, x.type))
    call.put("Out", "Clip", x.name, *ends)


def _dropout(call: Call) -> None:
    """In inference: nothing, or a scale where training did not scale up."""
    x = call.value()
    share = _probability(call)
    if not call.flag("is_test") and share != 0.0:
        call.refuse("is_test = false")
    form = call.text("dropout_implementation", "downgrade_in_infer")
    if form == "upscale_in_train":
        call.put("Out", "Identity", x.name)
    elif form == "downgrade_in_infer":
        call.put("Out", "Mul", x.name, call.scalar(1.0 - share, x.type))
    else:
        call.refuse(f"dropout_implementation = {form[:50]}")


def _probability(call: Call) -> float:
    given = call.maybe("PTensor")
    if given is None:
        return call.real("dropout_prob", 0.5)
    if given.array is None or given.array.size != 1:
        call.refuse("a probability that is computed when the model runs")
    return float(given.array.reshape(-1)[0])


TABLE: Mapping[str, Rule] = {
    **{
        name: _unary(kind)
        for name, kind in {
            "abs": "Abs",
            "acos": "Acos",
            "acosh": "Acosh",
            "asin": "Asin",
            "asinh": "Asinh",
            "atan": "Atan",
            "atanh": "Atanh",
            "ceil": "Ceil",
            "cos": "Cos",
            "cosh": "Cosh",
            "erf": "Erf",
            "exp": "Exp",
            "floor": "Floor",
            "isinf_v2": "IsInf",
            "isnan_v2": "IsNaN",
            "log": "Log",
            "memcpy": "Identity",
            "mish": "Mish",
            "reciprocal": "Reciprocal",
            "relu": "Relu",
            "share_data": "Identity",
            "sigmoid": "Sigmoid",
            "sign": "Sign",
            "sin": "Sin",
            "sinh": "Sinh",
            "softsign": "Softsign",
            "sqrt": "Sqrt",
            "tan": "Tan",
            "tanh": "Tanh",
        }.items()
    },
    "celu": _with("Celu", alpha=("alpha", 1.0)),
    "elu": _with("Elu", alpha=("alpha", 1.0)),
    "hard_shrink": _with("Shrink", lambd=("threshold", 0.5)),
    "hard_sigmoid": _with("HardSigmoid", alpha=("slope", 0.2), beta=("offset", 0.5)),
    "leaky_relu": _with("LeakyRelu", alpha=("alpha", 0.02)),
    "selu": _with(
        "Selu",
        alpha=("alpha", 1.6732632423543772),
        gamma=("scale", 1.0507009873554805),
    ),
    "assign": _assign,
    "brelu": partial(_clipped, low=("t_min", 0.0), high=("t_max", 24.0)),
    "cast": _cast,
    "clip": _clip,
    "dropout": _dropout,
    "expm1": _expm1,
    "gelu": _gelu,
    "hard_swish": _hard_swish,
    "isfinite_v2": _is_finite,
    "log10": partial(_log_base, base=10.0),
    "log1p": _log1p,
    "log2": partial(_log_base, base=2.0),
    "logsigmoid": _log_sigmoid,
    "pow": _pow,
    "relu6": _relu6,
    "round": _round,
    "rsqrt": _rsqrt,
    "scale": _scale,
    "silu": partial(_swish, beta=1.0),
    "softplus": _softplus,
    "softshrink": _soft_shrink,
    "square": _square,
    "stanh": _stanh,
    "swish": _swish,
    "tanh_shrink": _tanh_shrink,
    "thresholded_relu": _thresholded,
}

ROWS: Mapping[str, Row] = {
    **same(
        "abs",
        "acos",
        "acosh",
        "asin",
        "asinh",
        "assign",
        "atan",
        "atanh",
        "cast",
        "ceil",
        "celu",
        "cos",
        "cosh",
        "elu",
        "erf",
        "exp",
        "expm1",
        "floor",
        "gelu",
        "log",
        "log10",
        "log1p",
        "log2",
        "logsigmoid",
        "mish",
        "reciprocal",
        "relu",
        "relu6",
        "round",
        "rsqrt",
        "selu",
        "sigmoid",
        "sign",
        "silu",
        "sin",
        "sinh",
        "softplus",
        "softsign",
        "sqrt",
        "square",
        "stanh",
        "swish",
        "tan",
        "tanh",
        "tanh_shrink",
        "thresholded_relu",
    ),
    "assign_out_": row("assign", "X Y"),
    "clip": row("clip", "X Min Max"),
    "dropout": row("dropout", "X Seed PTensor", "Out Mask", mode="dropout_implementation"),
    "hardshrink": row("hard_shrink"),
    "hardsigmoid": row("hard_sigmoid"),
    "hardswish": row("hard_swish"),
    "hardtanh": row("brelu"),
    "isfinite": row("isfinite_v2"),
    "isinf": row("isinf_v2"),
    "isnan": row("isnan_v2"),
    "leaky_relu": row("leaky_relu", negative_slope="alpha"),
    "pow": row("pow", y="factor"),
    "scale": row("scale", "X ScaleTensor"),
    "share_data_": row("assign"),
    "softshrink": row("softshrink", threshold="lambda"),
}
