"""Activation functions."""

from __future__ import annotations

from collections.abc import Mapping

from converters.importers.mindspore.build import Call, Given, Rule
from converters.importers.mindspore.ops.elementwise import unary


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


TABLE: Mapping[str, Rule] = {
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
    "HSwish": unary("HardSwish"),
    "Hardtanh": _hard_tanh,
    "LeakyReLUExt": _leaky,
    "LogSigmoid": lambda call, x: _log_sigmoid(call, x),
    "LogSoftmax": _softmax("LogSoftmax"),
    "LogSoftmaxExt": lambda call, x, dim=None, dtype=None: _softmax("LogSoftmax")(
        call, x, dim, dtype
    ),
    "Mish": unary("Mish"),
    "MishExt": unary("Mish"),
    "PReLU": _prelu,
    "ReLU": unary("Relu"),
    "ReLU6": _relu6,
    "SeLU": _selu,
    "SeLUExt": _selu,
    "SiLU": _silu,
    "SoftShrink": _soft_shrink,
    "Softmax": _softmax("Softmax"),
    "Softplus": unary("Softplus"),
    "SoftplusExt": _softplus,
    "Softsign": unary("Softsign"),
    "Swiglu": _swiglu,
    "Threshold": _threshold,
}
