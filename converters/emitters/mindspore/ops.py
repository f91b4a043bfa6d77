"""ONNX operators in MindSpore; see `converters.emitters.table` for how to read and extend it.

Written for PyNative and graph mode alike and for every back end, the CPU included, which lacks many
kernels. Semantics follow the standard. Sources: the operator pages of ONNX and the API documentation of
MindSpore 2.10. Families and operators stand in the same order in every framework.
"""
# ruff: noqa: N802, D103 - functions are named as the operators that they write, which the standard documents

from __future__ import annotations

from typing import Any

import numpy as np

from converters.emitters.arith import (
    Window,
    arguments,
    nested,
    one,
    pads_by_axis,
    reduced_axes,
    slices,
    window,
)
from converters.emitters.table import Layer, Numbers, Operand, Refusal, Use

PHRASES: dict[str, str] = {
    # ***** arithmetic *****
    "Add": "{A:s} + {B:s}",
    "Sub": "{A:s} - {B:s}",
    "Mul": "{A:s} * {B:s}",
    "Neg": "-{X}",
    "Abs": "ops.abs({X})",
    "Reciprocal": "1 / {X}",
    "Sqrt": "ops.sqrt({X})",
    "Exp": "ops.exp({input})",
    "Log": "ops.log({input})",
    # ***** comparison and logic *****
    "Equal": "{A:s} == {B:s}",
    "Greater": "{A:s} > {B:s}",
    "GreaterOrEqual": "{A:s} >= {B:s}",
    "Less": "{A:s} < {B:s}",
    "LessOrEqual": "{A:s} <= {B:s}",
    "And": "ops.logical_and({A}, {B})",
    "Or": "ops.logical_or({A}, {B})",
    "Xor": "ops.logical_xor({A}, {B})",
    "Not": "ops.logical_not({X})",
    "IsNaN": "ops.isnan({X})",
    # ***** rounding, sign and elementwise functions *****
    "Ceil": "ops.ceil({X})",
    "Floor": "ops.floor({X})",
    "Round": "ops.round({X})",
    "Sign": "ops.sign({input})",
    "Erf": "ops.erf({input})",
    # ***** trigonometry *****
    "Sin": "ops.sin({input})",
    "Cos": "ops.cos({input})",
    "Tan": "ops.tan({input})",
    "Asin": "ops.asin({input})",
    "Acos": "ops.acos({input})",
    "Atan": "ops.atan({input})",
    "Sinh": "ops.sinh({input})",
    "Cosh": "ops.cosh({input})",
    "Asinh": "ops.asinh({input})",
    "Acosh": "ops.acosh({input})",
    "Atanh": "ops.atanh({input})",
    # ***** activations *****
    "Relu": "ops.relu({X})",
    "LeakyRelu": "ops.leaky_relu({X}, {alpha})",
    "Elu": "ops.where({X} > 0, {X}, {alpha} * (ops.exp({X}) - 1))",
    "Sigmoid": "ops.sigmoid({X})",
    "HardSwish": "ops.hardswish({X})",
    "Silu": "{X} * ops.sigmoid({X})",
    "Mish": "ops.mish({X})",
    "Tanh": "ops.tanh({input})",
    "Softplus": "ops.softplus({X})",
    "Softsign": "ops.softsign({input})",
    "Softmax": "ops.softmax({input}, axis={axis})",
    "LogSoftmax": "ops.log_softmax({input}, axis={axis})",
}  # fmt: skip


# ***** arithmetic *****


def Div(a: Operand, b: Operand) -> str:
    if a.typed().kind in "iu":
        return f"divide_integers({a}, {b})"
    return f"{a:s} / {b:s}"


def Pow(x: Operand, y: Operand) -> str:
    if x.typed() != y.typed() and not y.number:
        return f"ops.pow({x}, {y}.astype({x}.dtype))"
    if y.number:
        exponent = float(y.number)
        if exponent == 0.5 and x.typed().kind == "f":
            return f"ops.sqrt({x})"
        if exponent == 2:
            return f"ops.square({x})"
        return f"ops.pow({x}, {int(exponent) if exponent == int(exponent) else exponent})"
    return f"ops.pow({x:s}, {y})"


def Mod(a: Operand, b: Operand, *, fmod: int) -> str:
    if fmod:
        return f"ops.fmod({a}, {b})"
    if a.typed().kind == "f":
        raise Refusal("attribute fmod=0 of floats")
    return f"ops.floor_mod({a}, {b})"


def Sum(*xs: Operand) -> str:
    return " + ".join(str(x) for x in xs)


def Mean(*xs: Operand) -> str:
    return f"({Sum(*xs)}) / {len(xs)}"


def Max(*xs: Operand) -> str:
    return nested("ops.maximum", xs)


def Min(*xs: Operand) -> str:
    return nested("ops.minimum", xs)


def Clip(x: Operand, low: Operand | None = None, high: Operand | None = None) -> str:
    if low is None and high is None:
        return str(x)
    if x.typed().kind == "f" and all(bound is None or bound.number for bound in (low, high)):
        if high is None and low is not None and float(low.number) == 0:
            return f"ops.relu({x})"
        first = f"{low:s}" if low is not None else "None"
        last = f"{high:s}" if high is not None else "None"
        return f"ops.clamp({x}, {first}, {last})"
    text = f"ops.maximum({x}, {low})" if low is not None else str(x)
    return f"ops.minimum({text}, {high})" if high is not None else text


# ***** activations *****


def Gelu(x: Operand, *, approximate: str) -> str:
    return f"ops.gelu({x}, approximate={approximate!r})"


def HardSigmoid(x: Operand, *, alpha: float, beta: float) -> str:
    if np.isclose(alpha, 1 / 6) and beta == 0.5:
        return f"ops.hardsigmoid({x})"
    return f"ops.clamp({x} * {alpha} + {beta}, 0.0, 1.0)"


def Celu(x: Operand, *, alpha: float) -> str:
    return f"ops.where({x} > 0, {x}, {alpha} * (ops.exp({x} / {alpha}) - 1))"


def Selu(x: Operand, *, alpha: float, gamma: float) -> str:
    return f"ops.where({x} > 0, {gamma} * {x}, {gamma * alpha} * (ops.exp({x}) - 1))"


def ThresholdedRelu(x: Operand, *, alpha: float) -> str:
    return f"ops.where({x} > {alpha}, {x}, 0.0)"


def PRelu(x: Operand, slope: Operand) -> str | Layer:
    data, rank = slope.weight, x.rank
    if data is not None and rank is not None and rank > 1:
        size = data.size
        if size == 1 or data.shape in ((size, *(1,) * (rank - 2)), (1, size, *(1,) * (rank - 2))):
            weight = slope.relaid(data.reshape(-1))
            return Layer(f"nn.PReLU({size})", {"w": weight}, f"layer({x})", "prelu")
    return f"ops.where({x} < 0, {x} * {slope:s}, {x})"


# ***** normalisation *****


def BatchNormalization(
    x: Operand, scale: Operand, b: Operand, mean: Operand, var: Operand, *, epsilon: float,
    momentum: float, training_mode: int, node: Use,
) -> str | Layer:  # fmt: skip
    if training_mode:
        raise Refusal("attribute training_mode=1")
    weights = [scale.weight, b.weight, mean.weight, var.weight]
    if scale.weight is not None and all(w is not None for w in weights) and x.rank in (2, 4, 5):
        n = {2: 1, 4: 2, 5: 3}[x.rank or 4]
        return Layer(
            f"nn.BatchNorm{n}d({scale.weight.size}"
            f"{arguments(eps=(epsilon, 1e-05), momentum=(momentum, 0.9))})",
            {
                "gamma": scale.value,
                "beta": b.value,
                "moving_mean": mean.value,
                "moving_variance": var.value,
            },
            f"layer({x})",
            "bn",
        )
    return f"batch_norm({x}, {scale}, {b}, {mean}, {var}, {epsilon})"


def InstanceNormalization(x: Operand, scale: Operand, b: Operand, *, epsilon: float) -> str:
    return f"instance_norm({x}, {scale}, {b}, {epsilon})"


def LayerNormalization(
    x: Operand, scale: Operand, b: Operand | None = None, *, axis: int, epsilon: float,
    stash_type: int, node: Use,
) -> str | Layer:  # fmt: skip
    rank = x.ranked()
    begin = axis % rank - rank
    if node.outputs > 1:
        raise Refusal("the mean and the inverse deviation as outputs")
    if (
        scale.weight is not None
        and b is not None
        and b.weight is not None
        and x.typed() == np.float32
    ):
        if scale.weight.ndim == -begin:
            axes = arguments(begin_norm_axis=(begin, -1), begin_params_axis=(begin, -1))
            return Layer(
                f"nn.LayerNorm({scale.weight.shape}{axes}{arguments(epsilon=(epsilon, 1e-07))})",
                {"gamma": scale.value, "beta": b.value},
                f"layer({x})",
                "norm",
            )
    bias = f" + {b}" if b is not None else ""
    return f"normalize({x}, {tuple(range(begin, 0))}, {epsilon}) * {scale}{bias}"


def GroupNormalization(
    x: Operand, scale: Operand, b: Operand, *, num_groups: int, epsilon: float, stash_type: int
) -> str:
    return f"group_norm({x}, {num_groups}, {scale}, {b}, {epsilon})"


def MeanVarianceNormalization(x: Operand, *, axes: tuple[int, ...]) -> str:
    return f"mean_variance_normalize({x}, {tuple(axes)})"


# ***** convolution *****


def Conv(
    x: Operand, w: Operand, b: Operand | None = None, *, auto_pad: str, group: int,
    dilations: tuple[int, ...] | None = None, kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str | Layer:  # fmt: skip
    n = w.ranked() - 2
    kernel = tuple(kernel_shape or (w.value.static_shape or ())[2:])
    if len(kernel) != n or n not in (1, 2, 3):
        raise Refusal(f"a kernel of {n} dimensions")
    win = window(
        x.shape, kernel, auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )
    source = padded(x, win)
    sides = win.begin if win.symmetric else (0,) * n
    doubled = (
        one(sides)
        if n == 1 or len(set(sides)) == 1
        else tuple(s for side in sides for s in (side, side))
    )
    pad_mode = ", pad_mode='pad'" + (f", padding={doubled}" if any(sides) else "") if n else ""
    if not any(sides):
        pad_mode = ", pad_mode='valid'"
    if w.weight is not None and (b is None or b.weight is not None):
        out, into = w.weight.shape[0], w.weight.shape[1] * group
        common = arguments(
            dilation=(one(win.dilations), 1), group=(group, 1), has_bias=(b is not None, False)
        )
        stride = arguments(stride=(one(win.strides), 1))
        return Layer(
            f"nn.Conv{n}d({into}, {out}, {one(kernel)}{stride}{pad_mode}{common})",
            # The kernels of one dimension are kept as [out, in, 1, size].
            {
                "weight": w.relaid(w.weight[:, :, None]) if n == 1 else w.value,
                "bias": b.value if b else None,
            },
            f"layer({source})",
            "conv",
        )
    functional = arguments(
        stride=(one(win.strides), 1), dilation=(one(win.dilations), 1), groups=(group, 1)
    )
    bias = f", {b}" if b is not None else ""
    inner = f", pad_mode='pad', padding={one(sides)}" if any(sides) else ""
    return f"ops.conv{n}d({source}, {w}{bias}{inner}{functional})"


def padded(x: Operand, win: Window, value: str = "0.0") -> str:
    """The input with the padding that the operator's own argument cannot say."""
    if win.same:
        return f"pad_same({x}, {win.kernel}, {win.strides}, {win.dilations}, {win.same!r}, {value})"
    if win.symmetric:
        return str(x)
    pairs = zip(reversed(win.begin), reversed(win.end), strict=True)
    return f"ops.pad({x}, {tuple(side for pair in pairs for side in pair)}, value={value})"


def ConvTranspose(
    x: Operand, w: Operand, b: Operand | None = None, *, auto_pad: str, group: int,
    dilations: tuple[int, ...] | None = None, kernel_shape: tuple[int, ...] | None = None,
    output_padding: tuple[int, ...] | None = None, output_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> Layer:  # fmt: skip
    n = w.ranked() - 2
    pads = tuple(pads or (0,) * 2 * n)
    if n != 2 or w.weight is None or (b is not None and b.weight is None):
        raise Refusal(f"{n} dimensions, or weights that are not constant")
    if auto_pad not in ("NOTSET", "VALID") or output_shape or any(output_padding or ()):
        raise Refusal(
            f"auto_pad={auto_pad!r}, output_shape={output_shape}, output_padding={output_padding}"
        )
    kernel = tuple(kernel_shape or w.weight.shape[2:])
    into, out = w.weight.shape[0], w.weight.shape[1] * group
    sides = (pads[0], pads[2], pads[1], pads[3])
    padding = f", pad_mode='pad', padding={one(sides)}" if any(sides) else ", pad_mode='valid'"
    common = arguments(
        dilation=(one(tuple(dilations or (1, 1))), 1),
        group=(group, 1),
        has_bias=(b is not None, False),
    )
    return Layer(
        f"nn.Conv2dTranspose({into}, {out}, {one(kernel)}"
        f"{arguments(stride=(one(tuple(strides or (1, 1))), 1))}{padding}{common})",
        {"weight": w.value, "bias": b.value if b is not None else None},
        f"layer({x})",
        "up",
    )


# ***** pooling *****


def MaxPool(
    x: Operand, *, auto_pad: str, ceil_mode: int, kernel_shape: tuple[int, ...], storage_order: int,
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None, node: Use,
) -> str:  # fmt: skip
    return f"max_pool({x}, {_pooling(x, kernel_shape, auto_pad, strides, dilations, pads, ceil_mode, node.outputs)})"


def AveragePool(
    x: Operand, *, auto_pad: str, ceil_mode: int, count_include_pad: int, kernel_shape: tuple[int, ...],
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    n = len(kernel_shape)
    win = window(
        x.shape,
        tuple(kernel_shape),
        auto_pad=auto_pad,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )
    if not win.padded and not ceil_mode and n == 2 and set(win.dilations) == {1}:
        return f"ops.avg_pool2d({x}, {one(win.kernel)}, {one(win.strides)})"
    rest = _pooling(x, kernel_shape, auto_pad, strides, dilations, pads, ceil_mode, 1)
    return f"average_pool({x}, {rest}, {bool(count_include_pad)})"


def _pooling(
    x: Operand, kernel: tuple[int, ...], auto_pad: str, strides: Any, dilations: Any, pads: Any,
    ceil_mode: int, outputs: int,
) -> str:  # fmt: skip
    """The arguments of our pooling functions."""
    win = window(
        x.shape, tuple(kernel), auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )
    if len(kernel) > 2 or outputs > 1 or x.typed().kind != "f":
        raise Refusal(f"{len(kernel)} dimensions, {outputs} outputs, element type {x.typed()}")
    if ceil_mode and set(win.dilations) != {1}:
        raise Refusal(f"attribute dilations={dilations} with ceil_mode=1")
    sides = repr(win.same) if win.same else str((*win.begin, *win.end))
    return f"{win.kernel}, {win.strides}, {win.dilations}, {sides}, {bool(ceil_mode)}"


def GlobalAveragePool(x: Operand) -> str:
    return f"ops.mean({x}, {tuple(range(2, x.ranked()))}, keep_dims=True)"


def GlobalMaxPool(x: Operand) -> str:
    return f"ops.amax({x}, {tuple(range(2, x.ranked()))}, keepdims=True)"


# ***** matrices *****


def MatMul(a: Operand, b: Operand) -> str:
    if a.typed() != np.float32:
        raise Refusal(f"element type {a.typed()}")
    return f"ops.matmul({a}, {b})"


def Gemm(
    a: Operand,
    b: Operand,
    c: Operand | None = None,
    *,
    alpha: float,
    beta: float,
    transA: int,
    transB: int,
) -> str:
    if a.typed() != np.float32:
        raise Refusal(f"element type {a.typed()}")
    left = f"{a}.swapaxes(0, 1)" if transA else str(a)
    right = f"{b}.swapaxes(0, 1)" if transB else str(b)
    text = f"ops.matmul({left}, {right})"
    if alpha != 1:
        text = f"{alpha} * {text}"
    if c is None:
        return text
    return f"{text} + {c}" if beta == 1 else f"{text} + {beta} * {c}"


def Linear(x: Operand, w: Operand, b: Operand | None = None) -> str | Layer:
    if (
        w.weight is not None
        and (b is None or b.weight is not None)
        and w.weight.dtype == np.float32
    ):
        into, out = w.weight.shape
        return Layer(
            f"nn.Dense({into}, {out}{arguments(has_bias=(b is not None, True))})",
            {"weight": w.relaid(w.weight.T), "bias": b.value if b is not None else None},
            f"layer({x})",
            "linear",
        )
    text = MatMul(x, w)
    return f"{text} + {b}" if b is not None else text


# ***** attention *****


def ScaledDotProductAttention(
    q: Operand, k: Operand, v: Operand, mask: Operand | None = None, *, scale: float
) -> str:
    if q.typed() != np.float32:
        raise Refusal(f"element type {q.typed()}")
    rest = f", {mask}" if mask is not None else ""
    return f"attention({q}, {k}, {v}, {scale}{rest})"


# ***** embedding *****


def Embedding(w: Operand, i: Operand) -> str | Layer:
    if w.weight is not None:
        rows, width = w.weight.shape
        return Layer(
            f"nn.Embedding({rows}, {width})",
            {"embedding_table": w.value},
            f"layer({i})",
            "embedding",
        )
    return f"ops.gather({w}, {i}, 0)"


# ***** reduction *****


def _all_axes(data: Operand, axes: Numbers | None, noop: int) -> tuple[int, ...]:
    chosen = reduced_axes(axes, noop)
    return tuple(range(data.ranked())) if chosen is None else chosen


def _reduced(data: Operand, form: str, axes: Numbers | None, keepdims: int, noop: int) -> str:
    """A form with holes for axes and whether they stay; the data itself where no axis is reduced."""
    chosen = _all_axes(data, axes, noop)
    if not chosen:
        return str(data)
    if 0 in (data.shape or ()):
        raise Refusal("a reduction of an empty tensor")
    return form.format(x=data, axes=chosen if len(chosen) > 1 else chosen[0], keep=bool(keepdims))


def _float_only(data: Operand) -> None:
    if data.typed() not in (np.float32, np.float64):
        raise Refusal(f"element type {data.typed()}")


def ReduceSum(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    form = "{x}.sum({axes}, keepdims={keep})"
    if data.typed().kind == "i" and data.typed() != np.int64:
        form = f"{form}.astype({{x}}.dtype)"
    return _reduced(data, form, axes, keepdims, noop_with_empty_axes)


def ReduceMean(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    _float_only(data)
    return _reduced(
        data, "ops.mean({x}, {axes}, keep_dims={keep})", axes, keepdims, noop_with_empty_axes
    )


def ReduceMax(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    _float_only(data)
    return _reduced(
        data, "ops.amax({x}, {axes}, keepdims={keep})", axes, keepdims, noop_with_empty_axes
    )


def ReduceMin(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    _float_only(data)
    return _reduced(
        data, "ops.amin({x}, {axes}, keepdims={keep})", axes, keepdims, noop_with_empty_axes
    )


def ReduceProd(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    _float_only(data)
    return _reduced(data, "ops.prod({x}, {axes}, {keep})", axes, keepdims, noop_with_empty_axes)


def ReduceL1(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _reduced(
        data, "ops.abs({x}).sum({axes}, keepdims={keep})", axes, keepdims, noop_with_empty_axes
    )


def ReduceL2(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    _float_only(data)
    form = "ops.sqrt(ops.square({x}).sum({axes}, keepdims={keep}))"
    return _reduced(data, form, axes, keepdims, noop_with_empty_axes)


def ReduceSumSquare(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _reduced(
        data, "ops.square({x}).sum({axes}, keepdims={keep})", axes, keepdims, noop_with_empty_axes
    )


def ReduceLogSumExp(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    _float_only(data)
    return _reduced(
        data, "ops.logsumexp({x}, {axes}, {keep})", axes, keepdims, noop_with_empty_axes
    )


def ReduceLogSum(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    _float_only(data)
    return _reduced(
        data, "ops.log({x}.sum({axes}, keepdims={keep}))", axes, keepdims, noop_with_empty_axes
    )


def ArgMax(data: Operand, *, axis: int, keepdims: int, select_last_index: int) -> str:
    _float_only(data)
    if select_last_index:
        raise Refusal("attribute select_last_index=1")
    return f"ops.argmax({data}, {axis}, {bool(keepdims)}).astype(ms.int64)"


def ArgMin(data: Operand, *, axis: int, keepdims: int, select_last_index: int) -> str:
    _float_only(data)
    if select_last_index:
        raise Refusal("attribute select_last_index=1")
    return f"ops.argmax(-{data}, {axis}, {bool(keepdims)}).astype(ms.int64)"


def CumSum(x: Operand, axis: Numbers, *, exclusive: int, reverse: int) -> str:
    (dim,) = axis.known("axis")
    if exclusive or reverse:
        raise Refusal(f"attribute exclusive={exclusive} or reverse={reverse}")
    return f"ops.cumsum({x}, {dim})"


# ***** shape *****


def Reshape(x: Operand, shape: Numbers, *, allowzero: int) -> str:
    if shape.items is None and not allowzero:
        raise Refusal("a shape whose length is not known")
    return f"{x}.reshape({shape.args or '()'})"


def Transpose(x: Operand, *, perm: tuple[int, ...] | None = None) -> str:
    order = tuple(perm) if perm is not None else tuple(reversed(range(x.ranked())))
    moved = [k for k, axis in enumerate(order) if k != axis]
    if len(moved) == 2:
        return f"{x}.swapaxes({moved[0]}, {moved[1]})"
    return f"{x}.transpose({', '.join(str(axis) for axis in order)})"


def Flatten(x: Operand, *, axis: int) -> str:
    rank = x.ranked()
    axis = axis % rank if axis < 0 else axis
    if axis == 0:
        return f"{x}.reshape(1, -1)"
    if axis == rank:
        return f"{x}.reshape(-1, 1)"
    if axis == 1:
        return f"{x}.reshape({x}.shape[0], -1)"
    lead = " * ".join(f"{x}.shape[{k}]" for k in range(axis))
    return f"{x}.reshape({lead}, -1)"


def Squeeze(x: Operand, axes: Numbers | None = None) -> str:
    if axes is None:
        return f"{x}.squeeze()"
    found = axes.known("axes")
    return f"{x}.squeeze({found[0] if len(found) == 1 else found})"


def Unsqueeze(x: Operand, axes: Numbers) -> str:
    found = axes.known("axes")
    if any(axis < 0 for axis in found):
        found = tuple(axis % (x.ranked() + len(found)) for axis in found)
    return f"{x}" + "".join(f".expand_dims({axis})" for axis in sorted(found))


def Expand(x: Operand, shape: Numbers) -> str:
    return f"expand({x}, {shape})"


def Tile(x: Operand, repeats: Numbers) -> str:
    return f"ops.tile({x}, {repeats})" if x.rank != 0 else str(x)


def Concat(*xs: Operand, axis: int) -> str:
    return (
        f"ops.concat(({', '.join(str(x) for x in xs)}{',' if len(xs) == 1 else ''}), axis={axis})"
    )


def Split(
    x: Operand,
    split: Numbers | None = None,
    *,
    axis: int,
    num_outputs: int | None = None,
    node: Use,
) -> str:
    if split is None:
        count = num_outputs or node.outputs
        text = f"split_evenly({x}, {count}, {axis})"
    else:
        text = f"ops.split({x}, {[int(n) for n in split.known('split')]}, axis={axis})"
    return text if node.outputs > 1 else f"{text}[0]"


def Identity(x: Operand) -> str:
    return str(x)


def Shape(x: Operand, *, start: int, end: int | None = None) -> str:
    part = "" if start == 0 and end is None else f"[{start or ''}:{'' if end is None else end}]"
    return f"ms.Tensor({x}.shape{part}, ms.int64)"


def Size(x: Operand) -> str:
    return f"ms.Tensor({x}.size, ms.int64)"


def DepthToSpace(x: Operand, *, blocksize: int, mode: str) -> str:
    return f"depth_to_space({x}, {blocksize}, {mode!r})"


def SpaceToDepth(x: Operand, *, blocksize: int) -> str:
    return f"space_to_depth({x}, {blocksize})"


# ***** indexing *****


def Gather(data: Operand, indices: Operand, *, axis: int) -> str:
    rank = data.ranked()
    axis = axis % rank
    if indices.const is not None and indices.const.size == 1 and indices.const.ndim <= 1:
        index = int(indices.const.ravel()[0])
        before = ":, " * axis
        if indices.const.ndim == 0:
            return f"{data}[{before}{index}]"
        return f"{data}[{before}{index}:{'' if index == -1 else index + 1}]"
    if data.typed().kind == "b":
        return f"gather({data}.astype(ms.int32), {indices}, {axis}).astype(ms.bool_)"
    return f"gather({data}, {indices}, {axis})"


def GatherElements(data: Operand, indices: Operand, *, axis: int) -> str:
    return f"gather_elements({data}, {indices}, {axis})"


def GatherND(data: Operand, indices: Operand, *, batch_dims: int) -> str:
    if batch_dims:
        raise Refusal(f"attribute batch_dims={batch_dims}")
    if data.typed().kind == "b":
        return f"gather_nd({data}.astype(ms.int32), {indices}).astype(ms.bool_)"
    return f"gather_nd({data}, {indices})"


def Slice(
    x: Operand,
    starts: Numbers,
    ends: Numbers,
    axes: Numbers | None = None,
    steps: Numbers | None = None,
) -> str:
    found = slices(x.rank, starts, ends, axes, steps)
    if found.backwards:
        raise Refusal("negative steps")
    return f"{x}[{found.text}]" if found.text else str(x)


def Where(condition: Operand, a: Operand, b: Operand) -> str:
    if a.number and b.number:
        return f"ops.where({condition}, {a}, {b})"
    return f"ops.where({condition}, {a:s}, {b:s})"


def Trilu(x: Operand, k: Numbers | None = None, *, upper: int) -> str:
    offset = f", {k.args}" if k is not None and k.static != (0,) else ""
    return f"ops.tri{'u' if upper else 'l'}({x}{offset})"


def TopK(x: Operand, k: Numbers, *, axis: int, largest: int, sorted: int, node: Use) -> str:  # noqa: A002 - the standard's name
    _float_only(x)
    if axis % x.ranked() != x.ranked() - 1:
        raise Refusal(f"attribute axis={axis}")
    text = f"top_k({x}, {str(k) if k.scalar else k.args}, {bool(largest)})"
    return text if node.outputs > 1 else f"{text}[0]"


# ***** padding and resizing *****


def Pad(
    x: Operand,
    pads: Numbers,
    value: Operand | None = None,
    axes: Numbers | None = None,
    *,
    mode: str,
) -> str:
    sides = pads_by_axis(x.ranked(), pads, axes)
    if mode != "constant" or any(isinstance(s, int) and s < 0 for pair in sides for s in pair):
        raise Refusal(f"attribute mode={mode!r} or negative pads")
    if value is not None and value.const is None:
        raise Refusal("a value that the model computes")
    fill = value.const.ravel()[0].item() if value is not None and value.const is not None else 0
    if isinstance(fill, float) and not np.isfinite(fill):
        raise Refusal(f"value {fill}")
    flat = [side for pair in reversed(sides) for side in pair]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    extra = f", value={fill}" if fill else ""
    return f"ops.pad({x}, ({', '.join(str(side) for side in flat)}){extra})"


def Resize(
    x: Operand, roi: Numbers | None = None, scales: Numbers | None = None, sizes: Numbers | None = None, *,
    antialias: int, axes: tuple[int, ...] | None = None, coordinate_transformation_mode: str,
    cubic_coeff_a: float, exclude_outside: int, extrapolation_value: float,
    keep_aspect_ratio_policy: str, mode: str, nearest_mode: str,
) -> str:  # fmt: skip
    rank = x.ranked()
    usual = (
        not antialias,
        axes is None,
        keep_aspect_ratio_policy == "stretch",
        not exclude_outside,
    )
    if rank not in (3, 4, 5) or not all(usual) or mode == "cubic":
        raise Refusal(f"mode={mode!r}, rank {rank}, antialias={antialias}, axes={axes}")
    if coordinate_transformation_mode in ("tf_crop_and_resize", "half_pixel_symmetric"):
        raise Refusal(
            f"attribute coordinate_transformation_mode={coordinate_transformation_mode!r}"
        )
    given_sizes = sizes if sizes is not None and sizes.items != () else None
    numbers = given_sizes or scales
    if numbers is None or numbers.items is None or len(numbers.items) != rank:
        raise Refusal("sizes or scales whose count is not known")
    what = "sizes" if given_sizes is not None else "scales"
    options = arguments(
        mode=(mode, "nearest"),
        coordinates=(coordinate_transformation_mode, "half_pixel"),
        nearest=(nearest_mode, "round_prefer_floor"),
    )
    return f"resize({x}, {what}={numbers}{options})"


# ***** generation *****


def ConstantOfShape(shape: Numbers, *, value: np.ndarray[Any, Any] | None = None) -> str:
    fill = np.zeros(1, np.float32) if value is None else value
    dtype = dtype_of(fill.dtype)
    if fill.ravel()[0] == 0:
        return f"ops.zeros({shape}, {dtype})"
    if fill.ravel()[0] == 1:
        return f"ops.ones({shape}, {dtype})"
    return f"ops.full({shape}, {fill.ravel()[0].item()!r}, dtype={dtype})"


def Range(start: Numbers, limit: Numbers, delta: Numbers, *, node: Use) -> str:
    def plain(given: Numbers) -> str:
        return str(given) if given.scalar else f"{given}[0]"

    return f"ops.arange({plain(start)}, {plain(limit)}, {plain(delta)}, dtype={dtype_of(node.out.dtype)})"


def dtype_of(dtype: np.dtype[Any] | None) -> str:
    """The framework's expression for an element type."""
    name = "unknown" if dtype is None else dtype.name
    if name not in DTYPES:
        raise Refusal(f"element type {name}")
    return f"ms.{DTYPES[name]}"


DTYPES = {
    "bool": "bool_",
    **{
        name: name
        for name in (
            "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16",
            "uint32", "uint64",
        )
    },
}  # fmt: skip


# ***** types *****


def Cast(x: Operand, *, to: int, saturate: int, node: Use) -> str:
    source, target = x.typed(), node.out.dtype
    name = dtype_of(target)
    dtype_of(source)
    if source.kind in "fiu" and name == "ms.bool_":
        return f"{x} != 0"
    return f"{x}.astype({name})"


def CastLike(x: Operand, target: Operand, *, saturate: int) -> str:
    return f"{x}.astype({dtype_of(target.dtype)})"


def Dropout(
    x: Operand,
    ratio: Operand | None = None,
    training_mode: Operand | None = None,
    *,
    seed: int | None = None,
    node: Use,
) -> str:
    if node.outputs > 1 or (
        training_mode is not None and (training_mode.const is None or bool(training_mode.const))
    ):
        raise Refusal("training_mode=1, or its mask")
    return str(x)
