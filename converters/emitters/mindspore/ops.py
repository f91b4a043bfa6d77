"""ONNX operators in MindSpore; see `converters.emitters.table` for how to read and extend it.

Written for PyNative and graph mode alike and for every back end, the CPU included, which lacks many
kernels. Semantics follow the standard. Sources: the operator pages of ONNX and the API documentation of
MindSpore 2.10. Families and operators stand in the same order in every framework. Element types
without a CPU kernel are looked after in `kernels`, not here.
"""
# ruff: noqa: N802, D103 - functions are named as the operators that they write, which the standard documents

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from converters.emitters.arith import (
    Window,
    arguments,
    broadcast_sizes,
    nested,
    one,
    pads_by_axis,
    pool_window,
    reduced_axes,
    size_of,
    slices,
    window,
)
from converters.emitters.recurrent import Made, gate_weights, recurrent_layers, results
from converters.emitters.sequences import (  # noqa: F401 - entries of this table
    Optional,
    OptionalGetElement,
    SequenceAt,
    SequenceConstruct,
    SequenceEmpty,
    SequenceErase,
    SequenceInsert,
)
from converters.emitters.table import Layer, Numbers, Operand, Refusal, Use
from converters.graph.model import Array

PHRASES: dict[str, str] = {
    # ***** arithmetic *****
    "Add": "{A:s} + {B:s}",
    "Sub": "{A:s} - {B:s}",
    "Mul": "{A:s} * {B:s}",
    "Neg": "-{X}",
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
    "BitwiseAnd": "ops.bitwise_and({A}, {B})",
    "BitwiseOr": "ops.bitwise_or({A}, {B})",
    "BitwiseXor": "ops.bitwise_xor({A}, {B})",
    "BitwiseNot": "ops.invert({X})",
    "IsNaN": "ops.isnan({X})",
    # ***** rounding, sign and elementwise functions *****
    "Ceil": "ops.ceil({X})",
    "Floor": "ops.floor({X})",
    "Round": "ops.round({X})",
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
    "Celu": "ops.where({X} > 0, {X}, {alpha} * (ops.exp({X} / {alpha}) - 1))",
    "Sigmoid": "ops.sigmoid({X})",
    "HardSwish": "ops.hardswish({X})",
    "Silu": "{X} * ops.sigmoid({X})",
    "Mish": "ops.mish({X})",
    "Tanh": "ops.tanh({input})",
    "Softplus": "ops.softplus({X})",
    "Softsign": "ops.softsign({input})",
    "Softmax": "ops.softmax({input}, axis={axis})",
    "LogSoftmax": "ops.log_softmax({input}, axis={axis})",
    # ***** images *****
    "ImageDecoder": "decode_image({encoded_stream}, {pixel_format!r})",
    # ***** matrices *****
    "Det": "ops.det({X})",
}


def _tuple(numbers: Numbers) -> str:
    """Numbers as MindSpore takes shapes and axes: a tuple."""
    return f"tuple({numbers.text})" if numbers.items is None else f"{_texts(numbers.items)}"


def _texts(numbers: tuple[int | float | str, ...]) -> str:
    inner = ", ".join(str(number) for number in numbers)
    return f"({inner}{',' if len(numbers) == 1 else ''})"


def _number(numbers: Numbers | None, default: str = "") -> str:
    """The only number of several."""
    if numbers is None:
        return default
    return numbers.args if numbers.items is not None else f"{numbers.text}[0]"


def _owns(*operands: Operand | None) -> bool:
    """Whether a layer may own these; layers are made in float32."""
    return all(
        x is None or (x.weight is not None and x.weight.dtype == np.float32) for x in operands
    )


def _is_float(x: Operand) -> bool:
    # Kind V: bfloat16 and the like.
    return x.typed().kind in "fV"


def _short(number: float) -> str:
    """The shortest text that gives a number back in float32."""
    return str(np.float32(number))


# ***** arithmetic *****


def RoundedLog(x: Operand) -> str:
    return f"exact_log({x})"


def Div(a: Operand, b: Operand) -> str:
    if _is_float(a):
        return f"{a:s} / {b:s}"
    if a.typed() == np.uint64:
        raise Refusal("element type uint64")
    return f"divide_integers({a}, {b})"


def Mod(a: Operand, b: Operand, *, fmod: int) -> str:
    if _is_float(a):
        if not fmod:
            raise Refusal("attribute fmod=0 of floats")
        return f"ops.fmod({a}, {b})"
    if a.typed() == np.uint64:
        raise Refusal("element type uint64")
    return f"{'truncated_mod' if fmod else 'floor_mod'}({a}, {b})"


def Pow(x: Operand, y: Operand) -> str:
    if y.number:
        exponent = y.real
        if exponent == 0.5 and _is_float(x):
            return f"ops.sqrt({x})"
        if exponent == 2:
            return f"ops.square({x})"
        if exponent == int(exponent) or _is_float(x):
            return f"ops.pow({x}, {int(exponent) if exponent == int(exponent) else exponent})"
    if x.typed() == y.typed():
        return f"ops.pow({x:s}, {y})"
    if _is_float(x):
        return f"ops.pow({x}, {y}.astype({x}.dtype))"
    wide = "ms.float64" if _is_float(y) else "ms.int64"
    return f"ops.pow({x}.astype({wide}), {y}.astype({wide})).astype({x}.dtype)"


def Abs(x: Operand) -> str:
    return str(x) if x.typed().kind == "u" else f"ops.abs({x})"


def Sum(*xs: Operand) -> str:
    return " + ".join(str(x) for x in xs)


def Mean(*xs: Operand) -> str:
    return f"({Sum(*xs)}) / {len(xs)}"


def Max(*xs: Operand) -> str:
    return nested("maximum" if _is_float(xs[0]) else "ops.maximum", xs)


def Min(*xs: Operand) -> str:
    return nested("minimum" if _is_float(xs[0]) else "ops.minimum", xs)


def BitShift(x: Operand, y: Operand, *, direction: str) -> str:
    return f"ops.bitwise_{direction.lower()}_shift({x}, {y})"


def IsInf(x: Operand, *, detect_negative: int, detect_positive: int) -> str:
    if detect_negative and detect_positive:
        return f"ops.isinf({x})"
    if detect_negative:
        return f"{x} == -float('inf')"
    return f"{x} == float('inf')" if detect_positive else f"ops.zeros({x}.shape, ms.bool_)"


def Sign(x: Operand) -> str:
    if x.typed() == np.uint64:
        return f"{x}.astype(ms.bool_).astype(ms.uint64)"
    return f"ops.sign({x})"


def Clip(x: Operand, low: Operand | None = None, high: Operand | None = None) -> str:
    if low is None and high is None:
        return str(x)
    if all(bound is None or bound.number for bound in (low, high)):
        first = low.real if low is not None else None
        last = high.real if high is not None else None
        if _is_float(x) and first == 0 and last is None:
            return f"ops.relu({x})"
        if first is None or last is None or first <= last:
            if low is not None and high is not None:
                return f"ops.clamp({x}, {low:s}, {high:s})"
            return (
                f"ops.clamp({x}, max={high:s})" if high is not None else f"ops.clamp({x}, {low:s})"
            )
    # A tensor bound; the upper one wins where they cross.
    text = Max(x, low) if low is not None else str(x)
    if high is None:
        return text
    return f"{'minimum' if _is_float(x) else 'ops.minimum'}({text}, {high})"


def Bounded(x: Operand, low: Operand | None = None, high: Operand | None = None) -> str:
    text = str(x)
    for name, bound in (("maximum", low), ("minimum", high)):
        if bound is not None:
            text = f"{name}({text}, ms.Tensor({bound:s}, {_dtype(bound.dtype)}))"
    return text


# ***** activations *****


def Gelu(x: Operand, *, approximate: str) -> str:
    return f"ops.gelu({x}{arguments(approximate=(approximate, 'none'))})"


def HardSigmoid(x: Operand, *, alpha: float, beta: float) -> str:
    if np.isclose(alpha, 1 / 6) and beta == 0.5:
        return f"ops.hardsigmoid({x})"
    return f"ops.clamp({x} * {_short(alpha)} + {_short(beta)}, 0.0, 1.0)"


def Selu(x: Operand, *, alpha: float, gamma: float) -> str:
    return f"ops.where({x} > 0, {gamma} * {x}, {gamma * alpha} * (ops.exp({x}) - 1))"


def ThresholdedRelu(x: Operand, *, alpha: float) -> str:
    return f"ops.where({x} > {alpha}, {x}, 0.0)"


def Shrink(x: Operand, *, bias: float, lambd: float) -> str:
    return f"shrink({x}, {_short(bias)}, {_short(lambd)})"


def Hardmax(x: Operand, *, axis: int) -> str:
    return f"hardmax({x}, {axis})"


def PRelu(x: Operand, slope: Operand) -> str | Layer:
    data, rank = slope.weight, x.rank
    if data is not None and _owns(slope) and rank is not None and rank > 1:
        channels, ones = data.size, (1,) * (rank - 2)
        if data.size == 1 or data.shape in ((channels, *ones), (1, channels, *ones)):
            weight = slope.relaid(data.reshape(-1))
            return Layer(f"nn.PReLU({channels})", {"w": weight}, f"layer({x})", "prelu")
    return f"ops.where({x} < 0, {x} * {slope:s}, {x})"


# ***** normalisation *****


def BatchNormalization(
    x: Operand, scale: Operand, b: Operand, mean: Operand, var: Operand, *, epsilon: float,
    momentum: float, training_mode: int, node: Use,
) -> str | Layer:  # fmt: skip
    if training_mode:
        given = f"{x}, {scale}, {b}, {mean}, {var}, {_short(epsilon)}, {_short(momentum)}"
        return results(f"batch_norm_training({given})", node, 3)
    if _owns(scale, b, mean, var) and x.rank in (2, 3, 4, 5):
        n = {2: 1, 3: 1, 4: 2, 5: 3}[x.rank or 4]
        # The layer for three axes holds one for two.
        inner = "bn2d." if n == 3 else ""
        options = arguments(
            eps=(float(_short(epsilon)), 1e-05), momentum=(float(_short(momentum)), 0.9)
        )
        return Layer(
            f"nn.BatchNorm{n}d({prod(scale.value.static_shape or ())}{options})",
            {
                f"{inner}gamma": scale.value,
                f"{inner}beta": b.value,
                f"{inner}moving_mean": mean.value,
                f"{inner}moving_variance": var.value,
            },
            f"layer({x})",
            "bn",
        )
    return f"batch_norm({x}, {scale}, {b}, {mean}, {var}, {_short(epsilon)})"


def InstanceNormalization(x: Operand, scale: Operand, b: Operand, *, epsilon: float) -> str:
    if not scale.value.trainable and _is_neutral(scale, b) and x.rank is not None:
        return f"normalize({x}, {tuple(range(2, x.rank))}, {_short(epsilon)})"
    return f"instance_norm({x}, {scale}, {b}, {_short(epsilon)})"


def _is_neutral(scale: Operand, b: Operand) -> bool:
    """Whether a normalisation scales by one and shifts by zero."""
    if scale.const is None or b.const is None:
        return False
    return bool(np.all(scale.const == 1) and np.all(b.const == 0))


def LayerNormalization(
    x: Operand, scale: Operand, b: Operand | None = None, *, axis: int, epsilon: float,
    stash_type: int, node: Use,
) -> str | Layer:  # fmt: skip
    rank, eps = x.ranked(), _short(epsilon)
    begin = axis % rank - rank
    if node.outputs > 1:
        return results(
            f"layer_norm_with_statistics({x}, {scale}, {b}, {axis % rank}, {eps})", node, 3
        )
    if scale.weight is not None and b is not None and _owns(scale, b) and x.typed() == np.float32:
        if scale.weight.ndim == -begin:
            # Of negative axes the layer takes the last one alone.
            first = -1 if begin == -1 else axis % rank
            axes = arguments(begin_norm_axis=(first, -1), begin_params_axis=(first, -1))
            return Layer(
                f"nn.LayerNorm({scale.weight.shape}{axes}{arguments(epsilon=(float(eps), 1e-07))})",
                {"gamma": scale.value, "beta": b.value},
                f"layer({x})",
                "norm",
            )
    bias = f" + {b}" if b is not None else ""
    return f"normalize({x}, {tuple(range(begin, 0))}, {eps}) * {scale}{bias}"


def GroupNormalization(
    x: Operand, scale: Operand, b: Operand, *, num_groups: int, epsilon: float, stash_type: int
) -> str:
    return f"group_norm({x}, {num_groups}, {scale}, {b}, {_short(epsilon)})"


def LRN(x: Operand, *, alpha: float, beta: float, bias: float, size: int) -> str:
    numbers = ", ".join(_short(number) for number in (alpha, beta, bias))
    return f"local_response_norm({x}, {size}, {numbers})"


def LpNormalization(x: Operand, *, axis: int, p: int) -> str:
    if p == 1:
        return f"{x} / ops.abs({x}).sum({axis}, keepdims=True)"
    return f"{x} / ops.sqrt(ops.square({x}).sum({axis}, keepdims=True))"


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
    if len(kernel) != n:
        raise Refusal(f"a kernel of {n} dimensions")
    win = window(
        x.shape, kernel, auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )
    if n not in (1, 2, 3) or x.typed().name not in ("float32", "float16"):
        if not _is_float(x):
            raise Refusal(f"element type {x.typed()}")
        text = f"convolve({x}, {w}, {win.strides}, {win.dilations}, {_sides(win)}, {group})"
        return text if b is None else f"{text} + {b}.reshape({(1, -1, *[1] * n)})"
    if w.weight is not None and _owns(w, b):
        source, padding = _padded(x, win)
        out, into = w.weight.shape[0], w.weight.shape[1] * group
        stride = arguments(stride=(one(win.strides), 1))
        common = arguments(
            dilation=(one(win.dilations), 1), group=(group, 1), has_bias=(b is not None, False)
        )
        return Layer(
            f"nn.Conv{n}d({into}, {out}, {one(kernel)}{stride}{padding}{common})",
            # The kernels of one dimension are kept as [out, in, 1, size].
            {
                "weight": w.relaid(w.weight[:, :, None]) if n == 1 else w.value,
                "bias": b.value if b is not None else None,
            },
            f"layer({source})",
            "conv",
        )
    source = _padded_before(x, win)
    sides = win.begin if win.symmetric else (0,) * n
    padding = f", pad_mode='pad', padding={one(sides)}" if any(sides) else ""
    common = arguments(
        stride=(one(win.strides), 1), dilation=(one(win.dilations), 1), groups=(group, 1)
    )
    bias = f", {b}" if b is not None else ""
    return f"ops.conv{n}d({source}, {w}{bias}{common}{padding})"


def _padded(x: Operand, win: Window) -> tuple[str, str]:
    """The input, padded where a layer's arguments cannot say it, and those arguments."""
    n = len(win.kernel)
    if win.same == "upper":
        return str(x), ""
    if not win.padded or win.same:
        return _padded_before(x, win), ", pad_mode='valid'"
    sides = tuple(side for pair in zip(win.begin, win.end, strict=True) for side in pair)
    if win.symmetric or n == 2:
        shown = win.begin[0] if n == 1 else one(sides)
        return str(x), f", pad_mode='pad', padding={shown}"
    return _padded_before(x, win), ", pad_mode='valid'"


def _padded_before(x: Operand, win: Window) -> str:
    """The input with the padding that an operator's own argument cannot say."""
    if win.same:
        return f"pad_same({x}, {win.kernel}, {win.strides}, {win.dilations}, {win.same!r})"
    if win.symmetric:
        return str(x)
    pairs = zip(reversed(win.begin), reversed(win.end), strict=True)
    return f"ops.pad({x}, {tuple(side for pair in pairs for side in pair)})"


def _sides(win: Window) -> str:
    """Padding as our own functions take it."""
    return repr(win.same) if win.same else str((*win.begin, *win.end))


def ConvTranspose(
    x: Operand, w: Operand, b: Operand | None = None, *, auto_pad: str, group: int,
    dilations: tuple[int, ...] | None = None, kernel_shape: tuple[int, ...] | None = None,
    output_padding: tuple[int, ...] | None = None, output_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str | Layer:  # fmt: skip
    n = w.ranked() - 2
    kernel = tuple(kernel_shape or (w.value.static_shape or ())[2:])
    if len(kernel) != n:
        raise Refusal(f"a kernel of {n} dimensions")
    strides, dilations = tuple(strides or (1,) * n), tuple(dilations or (1,) * n)
    extra = tuple(output_padding or (0,) * n)
    begin, end = (0,) * n, (0,) * n
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        sizes = (x.shape or ())[2:]
        if len(sizes) != n or not all(isinstance(size, int) for size in sizes):
            what = "output_shape" if output_shape else f"auto_pad={auto_pad!r}"
            raise Refusal(f"attribute {what} with dynamic sizes")
        totals = []
        for k in range(n):
            size = int(sizes[k] or 0)
            full = strides[k] * (size - 1) + extra[k] + (kernel[k] - 1) * dilations[k] + 1
            totals.append(full - (output_shape[-n:][k] if output_shape else size * strides[k]))
        if not output_shape and any(total < 0 for total in totals):
            # The standard and its implementations differ on the size of the output here.
            raise Refusal(f"attribute auto_pad={auto_pad!r}, strides above the kernel")
        extra = tuple(e + max(-t, 0) for e, t in zip(extra, totals, strict=True))
        totals = [max(total, 0) for total in totals]
        small = tuple(total // 2 for total in totals)
        large = tuple(t - s for t, s in zip(totals, small, strict=True))
        begin, end = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    elif pads:
        begin, end = tuple(pads[:n]), tuple(pads[n:])
    plain = not any(extra) and group == 1 and (n == 2 or (n == 1 and begin == end))
    if plain and _owns(w, b) and w.weight is not None:
        into, out = w.weight.shape[0], w.weight.shape[1]
        sides = tuple(side for pair in zip(begin, end, strict=True) for side in pair)
        shown = sides[0] if n == 1 else one(sides)
        # What MindSpore calls `valid` is larger where strides are above the kernel.
        padding = ", pad_mode='pad'" + (f", padding={shown}" if any(sides) else "")
        stride = arguments(stride=(one(strides), 1))
        common = arguments(dilation=(one(dilations), 1), has_bias=(b is not None, False))
        return Layer(
            f"nn.Conv{n}dTranspose({into}, {out}, {one(kernel)}{stride}{padding}{common})",
            {
                "weight": w.relaid(w.weight[:, :, None]) if n == 1 else w.value,
                "bias": b.value if b is not None else None,
            },
            f"layer({x})",
            "up",
        )
    around = tuple((-begin[k], extra[k] - end[k]) for k in range(n))
    text = f"conv_transpose({x}, {w}, {strides}, {dilations}, {around}, {group})"
    return text if b is None else f"{text} + {b}.reshape({(1, -1, *[1] * n)})"


def DeformConv(
    x: Operand, w: Operand, offset: Operand, b: Operand | None = None, mask: Operand | None = None, *,
    dilations: tuple[int, ...] | None = None, group: int, kernel_shape: tuple[int, ...] | None = None,
    offset_group: int, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    n = w.ranked() - 2
    win = window(None, (1,) * n, strides=strides, dilations=dilations, pads=pads)
    options = f"{win.strides}, {win.dilations}, {win.begin}, {group}, {offset_group}"
    text = f"deform_conv({x}, {w}, {offset}, {mask}, {options})"
    return text if b is None else f"{text} + {b}.reshape({(1, -1, *[1] * n)})"


# ***** pooling *****


def MaxPool(
    x: Operand, *, auto_pad: str, ceil_mode: int, kernel_shape: tuple[int, ...], storage_order: int,
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None, node: Use,
) -> str:  # fmt: skip
    win = pool_window(
        x.shape, tuple(kernel_shape), auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )  # fmt: skip
    if node.outputs > 1:
        return f"max_pool_with_indices({_pooled(x, win, ceil_mode)}, {bool(storage_order)})"
    if len(win.kernel) == 2 and _plain(x, win, ceil_mode):
        padding = arguments(padding=(one(win.begin), 0))
        return f"ops.max_pool2d({x}, {one(win.kernel)}, {one(win.strides)}{padding})"
    return _max_pool_padded(x, win, ceil_mode) or f"max_pool({_pooled(x, win, ceil_mode)})"


def _max_pool_padded(x: Operand, win: Window, ceil_mode: int) -> str:
    """Windows of what is padded first, so that all of them lie inside; empty where that is not the same."""
    n, extra = len(win.kernel), [step - 1 if ceil_mode else 0 for step in win.strides]
    # With ceil_mode a window may not start behind the input, which only these windows never do.
    inside = all(
        end + step <= kernel
        for end, step, kernel in zip(win.end, win.strides, win.kernel, strict=True)
    )
    if n > 2 or win.same or set(win.dilations) != {1} or x.typed() != np.float32:
        return ""
    if ceil_mode and not inside:
        return ""
    ends = [end + more for end, more in zip(win.end, extra, strict=True)]
    sides = tuple(side for k in reversed(range(n)) for side in (win.begin[k], ends[k]))
    text = f"ops.pad({x}, {sides}, value=-float('inf'))" if any(sides) else str(x)
    if n == 2:
        return f"ops.max_pool2d({text}, {one(win.kernel)}, {one(win.strides)})"
    kernel, stride = (1, win.kernel[0]), (1, win.strides[0])
    return f"ops.max_pool2d({text}.expand_dims(2), {kernel}, {stride}).squeeze(2)"


def _plain(x: Operand, win: Window, ceil_mode: int) -> bool:
    """Whether MindSpore's own pooling computes the same."""
    return (
        len(win.kernel) in (1, 2)
        and win.symmetric
        and set(win.dilations) == {1}
        and not ceil_mode
        and x.typed() == np.float32
        and all(2 * p <= k for p, k in zip(win.begin, win.kernel, strict=True))
    )


def _pooled(x: Operand, win: Window, ceil_mode: int) -> str:
    """What the general pooling functions are given."""
    return f"{x}, {win.kernel}, {win.strides}, {win.dilations}, {_sides(win)}, {bool(ceil_mode)}"


def AveragePool(
    x: Operand, *, auto_pad: str, ceil_mode: int, count_include_pad: int, kernel_shape: tuple[int, ...],
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    win = pool_window(
        x.shape, tuple(kernel_shape), auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )  # fmt: skip
    if _plain(x, win, ceil_mode) and not win.padded:
        return f"ops.avg_pool{len(win.kernel)}d({x}, {one(win.kernel)}, {one(win.strides)})"
    return f"average_pool({_pooled(x, win, ceil_mode)}, {bool(count_include_pad)})"


def LpPool(
    x: Operand, *, auto_pad: str, ceil_mode: int, kernel_shape: tuple[int, ...], p: int,
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    win = pool_window(
        x.shape, tuple(kernel_shape), auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )  # fmt: skip
    return f"lp_pool({_pooled(x, win, ceil_mode)}, {p})"


def GlobalAveragePool(x: Operand) -> str:
    return f"ops.mean({x}, {tuple(range(2, x.ranked()))}, keep_dims=True)"


def GlobalMaxPool(x: Operand) -> str:
    return f"ops.amax({x}, {tuple(range(2, x.ranked()))}, keepdims=True)"


def GlobalLpPool(x: Operand, *, p: int) -> str:
    axes = tuple(range(2, x.ranked()))
    return f"ops.pow(ops.pow(ops.abs({x}), {p}).sum({axes}, keepdims=True), 1 / {p})"


# ***** matrices *****


def MatMul(a: Operand, b: Operand) -> str:
    return f"ops.matmul({a}, {b})"


def Gemm(
    a: Operand, b: Operand, c: Operand | None = None, *, alpha: float, beta: float,
    transA: int, transB: int,
) -> str:  # fmt: skip
    def scaled(text: str, factor: float) -> str:
        if factor == 1:
            return text
        return f"{_short(factor) if _is_float(a) else int(factor)} * {text}"

    left = f"{a}.T" if transA else str(a)
    right = f"{b}.T" if transB else str(b)
    text = scaled(f"ops.matmul({left}, {right})", alpha)
    return text if c is None else f"{text} + {scaled(str(c), beta)}"


def Linear(x: Operand, w: Operand, b: Operand | None = None) -> str | Layer:
    if w.weight is not None and _owns(w, b):
        into, out = w.weight.shape
        return Layer(
            f"nn.Dense({into}, {out}{arguments(has_bias=(b is not None, True))})",
            {"weight": w.relaid(w.weight.T), "bias": b.value if b is not None else None},
            f"layer({x})",
            "linear",
        )
    text = MatMul(x, w)
    return f"{text} + {b}" if b is not None else text


def Einsum(*xs: Operand, equation: str) -> str:
    return f"einsum({equation.replace(' ', '')!r}, {', '.join(str(x) for x in xs)})"


# ***** attention *****


def ScaledDotProductAttention(
    q: Operand, k: Operand, v: Operand, mask: Operand | None = None, *, scale: float
) -> str:
    rest = f", {mask}" if mask is not None else ""
    return f"attention({q}, {k}, {v}, {_short(scale)}{rest})"


# ***** embedding *****


def Embedding(w: Operand, i: Operand) -> str | Layer:
    if w.weight is not None and _owns(w):
        rows, width = w.weight.shape
        return Layer(
            f"nn.Embedding({rows}, {width})",
            {"embedding_table": w.value},
            f"layer({i})",
            "embedding",
        )
    return f"ops.gather({w}, {i}, 0)"


# ***** reduction *****


def _axes_of(data: Operand, axes: Numbers | None, noop: int) -> tuple[str, str]:
    """The axes of a reduction as text, and a condition where it may be none; empty text for none."""
    if axes is not None and axes.static is None:
        if axes.items is not None:
            return _tuple(axes), ""
        # No axes at all mean all of them.
        whole = f"{_tuple(axes)} or tuple(range({data}.ndim))"
        return whole, axes.text if noop else ""
    chosen = reduced_axes(axes, noop)
    chosen = tuple(range(data.ranked())) if chosen is None else chosen
    if not chosen:
        return "", ""
    return str(chosen[0] if len(chosen) == 1 else chosen), ""


def _may_lack(data: Operand, axes: Numbers | None) -> bool:
    """Whether one of the reduced axes may be of size zero when the model runs."""
    if data.shape is None:
        return True
    chosen = axes.static if axes is not None else None
    reduced = [data.shape[axis] for axis in chosen] if chosen else data.shape
    return any(not isinstance(size, int) or size == 0 for size in reduced)


def _reduced(
    data: Operand,
    source: str,
    form: str,
    axes: Numbers | None,
    keepdims: int,
    noop: int,
    empty: str,
) -> str:
    """A form with holes for tensor, axes and whether they stay; the source where no axis is reduced.

    `empty` is what a reduction of nothing gives; it is left out where the standard leaves that open.
    """
    chosen, condition = _axes_of(data, axes, noop)
    if not chosen:
        return source
    keep = {
        name: f", {name}=True" if keepdims else "" for name in ("keepdims", "keep_dims", "keepdim")
    }
    text = form.format(x=source, axes=chosen, data=data, **keep)
    if empty and _may_lack(data, axes):
        # Kernels give garbage where there is nothing to reduce.
        listed = f"({chosen},)" if chosen.lstrip("-").isdigit() else chosen
        nothing = f"reduce_empty({source}, {listed}, {bool(keepdims)}, {empty})"
        text = f"({text} if {data}.size else {nothing})"
    return f"({text} if {condition} else {source})" if condition else text


SUM = "{x}.sum({axes}{keepdims})"
# Sums of small integers are 64 bits wide in MindSpore; the standard keeps the type.
SUM_SMALL = "{x}.sum({axes}, {data}.dtype{keepdims})"


def _sum(data: Operand) -> str:
    return SUM if _is_float(data) or data.typed() == np.int64 else SUM_SMALL


def ReduceSum(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _reduced(data, str(data), _sum(data), axes, keepdims, noop_with_empty_axes, "0")


def ReduceMean(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    form = "ops.mean({x}, {axes}{keep_dims})"
    wide = str(data) if _is_float(data) else f"{data}.astype(ms.float64)"
    # The mean of nothing is no number; for integers the standard leaves it open. Sizes that layers before it
    # have computed are not asked about: MindIR takes no such question, and these layers have refused nothing.
    chosen = axes.static if axes is not None else None
    sizes = [data.shape[k] for k in chosen] if data.shape and chosen else data.shape
    may_lack = sizes is None or any(d == 0 or isinstance(d, str) for d in sizes)
    empty = "float('nan')" if _is_float(data) and may_lack else ""
    text = _reduced(data, wide, form, axes, keepdims, noop_with_empty_axes, empty)
    return text if _is_float(data) else f"{text}.astype({data}.dtype)"


def ReduceMax(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _extreme(data, "max", axes, keepdims, noop_with_empty_axes)


def ReduceMin(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _extreme(data, "min", axes, keepdims, noop_with_empty_axes)


def _extreme(data: Operand, name: str, axes: Numbers | None, keepdims: int, noop: int) -> str:
    form = f"ops.a{name}({{x}}, {{axes}}{{keepdims}})"
    if _is_float(data):
        form = f"reduce_{name}({{x}}, {{axes}}{{keepdims}})"
        empty = "-float('inf')" if name == "max" else "float('inf')"
    else:
        info = np.iinfo(data.typed())
        empty = str(info.min if name == "max" else info.max)
    return _reduced(data, str(data), form, axes, keepdims, noop, empty)


def ReduceProd(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    form = "ops.prod({x}, {axes}{keep_dims})"
    if not _is_float(data) and data.typed() != np.int64:
        form += ".astype({data}.dtype)"
    return _reduced(data, str(data), form, axes, keepdims, noop_with_empty_axes, "1")


def ReduceL1(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _reduced(data, Abs(data), _sum(data), axes, keepdims, noop_with_empty_axes, "0")


def ReduceL2(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    wide = str(data) if _is_float(data) else f"{data}.astype(ms.float64)"
    squares = _reduced(data, f"ops.square({wide})", SUM, axes, keepdims, noop_with_empty_axes, "0")
    return f"ops.sqrt({squares})" + ("" if _is_float(data) else f".astype({data}.dtype)")


def ReduceLogSum(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    wide = str(data) if _is_float(data) else f"{data}.astype(ms.float64)"
    text = _reduced(data, wide, SUM, axes, keepdims, noop_with_empty_axes, "0")
    return f"ops.log({text})" + ("" if _is_float(data) else f".astype({data}.dtype)")


def ReduceLogSumExp(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    if not _is_float(data):
        # The standard rounds the sum, ONNX Runtime each exponential.
        raise Refusal(f"element type {data.typed()}")
    form = "ops.logsumexp({x}, {axes}{keepdim})"
    return _reduced(data, str(data), form, axes, keepdims, noop_with_empty_axes, "-float('inf')")


def ReduceSumSquare(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    squares = f"ops.square({data})"
    return _reduced(data, squares, _sum(data), axes, keepdims, noop_with_empty_axes, "0")


def ArgMax(data: Operand, *, axis: int, keepdims: int, select_last_index: int) -> str:
    return _arg(data, "argmax", axis, keepdims, select_last_index)


def ArgMin(data: Operand, *, axis: int, keepdims: int, select_last_index: int) -> str:
    return f"({_arg(data, 'argmin', axis, keepdims, select_last_index)}).astype(ms.int64)"


def _arg(data: Operand, name: str, axis: int, keepdims: int, last: int) -> str:
    axis = axis % data.ranked()
    if last:
        flipped = f"ops.{name}(ops.flip({data}, ({axis},)), {axis}, {bool(keepdims)})"
        return f"{data}.shape[{axis}] - 1 - {flipped}"
    return f"ops.{name}({data}, {axis}, {bool(keepdims)})"


def CumSum(x: Operand, axis: Numbers, *, exclusive: int, reverse: int) -> str:
    along = _number(axis)
    source = f"ops.flip({x}, ({along},))" if reverse else str(x)
    text = f"ops.cumsum({source}, {along})"
    if exclusive:
        text = f"({text} - {source})"
    return f"ops.flip({text}, ({along},))" if reverse else text


# ***** shape *****


def Reshape(x: Operand, shape: Numbers, *, allowzero: int) -> str:
    if shape.items is None:
        return f"{x}.reshape({_tuple(shape)})" if allowzero else f"reshape({x}, {shape.text})"
    return f"{x}.reshape({shape.args or '()'})"


def Transpose(x: Operand, *, perm: tuple[int, ...] | None = None) -> str:
    order = tuple(perm) if perm is not None else tuple(reversed(range(x.ranked())))
    moved = [k for k, axis in enumerate(order) if k != axis]
    if not moved:
        return str(x)
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
    found = axes.items
    return f"{x}.squeeze({found[0] if found is not None and len(found) == 1 else _tuple(axes)})"


def Unsqueeze(x: Operand, axes: Numbers) -> str:
    found = axes.static
    if found is None:
        return f"unsqueeze({x}, {_tuple(axes)})"
    if any(axis < 0 for axis in found):
        if len(found) > 1 and x.rank is None:
            return f"unsqueeze({x}, {_tuple(axes)})"
        if len(found) > 1:
            found = tuple(axis % (x.ranked() + len(found)) for axis in found)
    return f"{x}" + "".join(f".expand_dims({axis})" for axis in sorted(found))


def Expand(x: Operand, shape: Numbers) -> str:
    sizes = broadcast_sizes(x, shape)
    if sizes is None:
        return f"expand({x}, {_tuple(shape)})"
    if sizes == [size_of(x, axis) for axis in range(len(x.shape or ()))]:
        return str(x)
    return f"ops.broadcast_to({x}, {_texts(tuple(sizes))})"


def Tile(x: Operand, repeats: Numbers) -> str:
    return f"ops.tile({x}, {_tuple(repeats)})" if x.rank != 0 else str(x)


def Concat(*xs: Operand, axis: int) -> str:
    inner = ", ".join(str(x) for x in xs)
    return f"ops.concat(({inner}{',' if len(xs) == 1 else ''}), axis={axis})"


def Split(
    x: Operand,
    split: Numbers | None = None,
    *,
    axis: int,
    num_outputs: int | None = None,
    node: Use,
) -> str:
    size = x.shape[axis] if x.shape is not None else None
    if split is None:
        count = num_outputs or node.outputs
        even = isinstance(size, int) and size % count == 0
        if even and isinstance(size, int):
            text = f"ops.split({x}, {size // count}, axis={axis})"
        else:
            text = f"split_evenly({x}, {count}, {axis})"
    elif split.static and all(n > 0 for n in split.static):
        equal = len(set(split.static)) == 1
        parts = split.static[0] if equal else [int(n) for n in split.static]
        text = f"ops.split({x}, {parts}, axis={axis})"
    else:
        text = f"split_sizes({x}, {_tuple(split)}, {axis})"
    return text if node.outputs > 1 else f"{text}[0]"


def ConcatFromSequence(sequence: Operand, *, axis: int, new_axis: int) -> str:
    return f"ops.{'stack' if new_axis else 'cat'}({sequence}, {axis})"


def SplitToSequence(x: Operand, split: Numbers | None = None, *, axis: int, keepdims: int) -> str:
    if split is None and not keepdims:
        return f"list(ops.unbind({x}, {axis}))"
    return f"split_to_sequence({x}, {1 if split is None else split}, {axis})"


def Identity(x: Operand) -> str:
    return str(x)


def Dropout(
    x: Operand, ratio: Operand | None = None, training_mode: Operand | None = None, *,
    seed: int | None = None, node: Use,
) -> str:  # fmt: skip
    if training_mode is not None and (training_mode.const is None or bool(training_mode.const)):
        if ratio is None or ratio.const is None or float(ratio.const) != 0:
            raise Refusal("training_mode=1: its result is random")
    return f"{x}, ops.ones({x}.shape, ms.bool_)" if node.outputs > 1 else str(x)


def Shape(x: Operand, *, start: int, end: int | None = None) -> str:
    part = "" if start == 0 and end is None else f"[{start or ''}:{'' if end is None else end}]"
    return f"ms.Tensor({x}.shape{part}, ms.int64)"


def Rank(x: Operand) -> str:
    return f"ms.Tensor({x}.ndim, ms.int64)"


def Size(x: Operand) -> str:
    return f"ms.Tensor({x}.size, ms.int64)"


def DepthToSpace(x: Operand, *, blocksize: int, mode: str) -> str:
    return f"depth_to_space({x}, {blocksize}, {mode!r})"


def SpaceToDepth(x: Operand, *, blocksize: int) -> str:
    return f"space_to_depth({x}, {blocksize})"


# ***** indexing *****


def Gather(data: Operand, indices: Operand, *, axis: int) -> str:
    axis = axis % data.ranked()
    before = ":, " * axis
    if indices.number:
        return f"{data}[{before}{indices.number}]"
    if indices.const is not None and indices.const.size == 1 and indices.const.ndim <= 1:
        index = int(indices.const.ravel()[0])
        if indices.const.ndim == 0:
            return f"{data}[{before}{index}]"
        return f"{data}[{before}{index}:{'' if index == -1 else index + 1}]"
    if indices.const is not None and (indices.const >= 0).all():
        return f"ops.gather({data}, {indices}, {axis})"
    return f"gather({data}, {indices}, {axis})"


def GatherElements(data: Operand, indices: Operand, *, axis: int) -> str:
    return f"gather_elements({data}, {indices}, {axis})"


def GatherND(data: Operand, indices: Operand, *, batch_dims: int) -> str:
    return f"gather_nd({data}, {indices}, {batch_dims})"


def ScatterElements(
    data: Operand, indices: Operand, updates: Operand, *, axis: int, reduction: str
) -> str:
    return f"scatter_elements({data}, {indices}, {updates}, {axis}, {reduction!r})"


def ScatterND(data: Operand, indices: Operand, updates: Operand, *, reduction: str) -> str:
    return f"scatter_nd({data}, {indices}, {updates}, {reduction!r})"


def Slice(
    x: Operand,
    starts: Numbers,
    ends: Numbers,
    axes: Numbers | None = None,
    steps: Numbers | None = None,
) -> str:
    counted = starts.items is not None and ends.items is not None
    if not counted or any(given is not None and given.static is None for given in (axes, steps)):
        given = [
            _tuple(each) if each is not None else "None" for each in (starts, ends, axes, steps)
        ]
        return f"slice_axes({x}, {', '.join(given)})"
    # The gradient of a slice with steps is wrong on the CPU, to the point of a crash (2.10.0).
    found = slices(x.rank, starts, ends, axes, steps, with_steps=False)
    text = f"{x}[{found.text}]" if found.text else str(x)
    for axis, start, end, step in found.backwards:
        text = f"slice_backwards({text}, {axis}, {start}, {end}, {step})"
    for axis, step in found.strided:
        text = f"every({text}, {axis}, {step})"
    return text


def Where(condition: Operand, a: Operand, b: Operand) -> str:
    if a.typed().kind == "b":
        return f"ops.where({condition}, {a}, {b})"
    if a.number and b.number:
        # One of them has to be a tensor.
        return f"ops.where({condition}, ms.Tensor({a:s}, {_dtype(a.dtype)}), {b:s})"
    return f"ops.where({condition}, {a:s}, {b:s})"


def NonZero(x: Operand) -> str:
    if x.rank == 0:
        return f"ops.nonzero({x}.reshape(1)).T[:0]"
    return f"ops.nonzero({x}).T"


def Compress(x: Operand, condition: Operand, *, axis: int | None = None) -> str:
    return f"compress({x}, {condition}, {axis})"


def OneHot(indices: Operand, depth: Numbers, values: Operand, *, axis: int) -> str:
    return f"one_hot({indices}, {_number(depth)}, {values}, {axis})"


def Trilu(x: Operand, k: Numbers | None = None, *, upper: int) -> str:
    offset = f", {_number(k)}" if k is not None and k.static not in ((0,), ()) else ""
    text = f"ops.tri{'u' if upper else 'l'}({x}{offset})"
    sizes = x.shape[-2:] if x.shape is not None else (None,)
    if upper or all(isinstance(size, int) and size > 0 for size in sizes):
        return text
    # The kernel wants an element.
    return f"({text} if {x}.size else {x})"


def ReverseSequence(x: Operand, lengths: Operand, *, batch_axis: int, time_axis: int) -> str:
    return f"reverse_sequence({x}, {lengths}, {batch_axis}, {time_axis})"


def Unique(x: Operand, *, axis: int | None = None, sorted: int, node: Use) -> str:  # noqa: A002 - the standard's name
    return results(f"unique({x}, {axis}, {bool(sorted)})", node, 4)


def TopK(x: Operand, k: Numbers, *, axis: int, largest: int, sorted: int, node: Use) -> str:  # noqa: A002 - the standard's name
    return results(f"top_k({x}, {_number(k)}, {axis}, {bool(largest)})", node, 2)


def NonMaxSuppression(
    boxes: Operand, scores: Operand, most: Numbers | None = None, overlap: Numbers | None = None,
    least: Numbers | None = None, *, center_point_box: int,
) -> str:  # fmt: skip
    return (
        f"non_max_suppression({boxes}, {scores}, {_number(most, '0')}, {_number(overlap, '0.0')}, "
        f"{_number(least, 'None')}, {bool(center_point_box)})"
    )


# ***** padding and resizing *****

PAD_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def Pad(
    x: Operand,
    pads: Numbers,
    value: Operand | None = None,
    axes: Numbers | None = None,
    *,
    mode: str,
) -> str:
    if mode not in ("constant", *PAD_MODES):
        raise Refusal(f"attribute mode={mode!r}")
    fill = _fill(value) if mode == "constant" else ""
    if pads.items is None or (axes is not None and axes.static is None):
        chosen = _tuple(axes) if axes is not None else "None"
        sides_text = f"sides_of({x}, {_tuple(pads)}, {chosen})"
        if mode == "constant":
            return f"crop_or_pad({x}, {sides_text}{f', {fill}' if fill else ''})"
        return f"pad_by_index({x}, {sides_text}, {mode!r})"
    sides = pads_by_axis(x.ranked(), pads, axes)
    flat = [side for pair in reversed(sides) for side in pair]
    pairs = f"[{', '.join(f'({before}, {after})' for before, after in sides)}]"
    if mode != "constant":
        # MindSpore's own modes want the last one or two of three or four axes, and short pads.
        n = (x.rank or 0) - 2
        short = x.shape is not None and all(
            isinstance(size, int) and isinstance(side, int) and 0 <= side < size
            for size, pair in zip(x.shape, sides, strict=True)
            for side in pair
            if side
        )
        if short and n in (1, 2) and sides[:2] == [(0, 0)] * 2 and _is_float(x):
            return f"ops.pad({x}, {_texts(tuple(flat[: 2 * n]))}, mode={PAD_MODES[mode]!r})"
        if short and mode == "reflect":
            text = str(x)
            for axis, pair in enumerate(sides):
                text = f"mirror({text}, {axis}, {pair[0]}, {pair[1]})" if any(pair) else text
            return text
        return f"pad_by_index({x}, {pairs}, {mode!r})"
    if any(isinstance(side, int) and side < 0 for side in flat):
        return f"crop_or_pad({x}, {pairs}{f', {fill}' if fill else ''})"
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    return f"ops.pad({x}, {_texts(tuple(flat))}{f', value={fill}' if fill else ''})"


def _fill(value: Operand | None) -> str:
    """The number that a tensor is filled with; an empty text for zero."""
    if value is None:
        return ""
    if value.const is None:
        return f"{value}.asnumpy().item()"
    number = value.const.ravel()[0]
    return "" if number == 0 else _literal(number)


def _literal(number: Any) -> str:
    """A number as Python source."""
    if number.dtype.kind in "fV":
        value = float(number)
        return repr(float(_short(value))) if np.isfinite(value) else f"float('{value}')"
    return repr(number.item())


def Resize(
    x: Operand, roi: Numbers | None = None, scales: Numbers | None = None, sizes: Numbers | None = None,
    *, antialias: int, axes: tuple[int, ...] | None = None, coordinate_transformation_mode: str,
    cubic_coeff_a: float, exclude_outside: int, extrapolation_value: float,
    keep_aspect_ratio_policy: str, mode: str, nearest_mode: str,
) -> str:  # fmt: skip
    rank = x.ranked()
    scales = scales if scales is not None and scales.items != () else None
    sizes = sizes if sizes is not None and sizes.items != () else None
    coordinates = coordinate_transformation_mode
    usual = not antialias and not exclude_outside and keep_aspect_ratio_policy == "stretch"
    if usual and rank == 4 and axes is None and x.typed() == np.float32:
        plain = _interpolate(x, scales, sizes, mode, nearest_mode, coordinates)
        if plain:
            return plain
    target = (
        f"scales={_tuple(scales)}"
        if scales is not None
        else f"sizes={_tuple(sizes or Numbers(()))}"
    )
    chosen = tuple(axis % rank for axis in axes) if axes is not None else tuple(range(rank))
    extra = arguments(
        mode=(mode, "nearest"), coordinates=(coordinates, "half_pixel"),
        nearest=(nearest_mode, "round_prefer_floor"), cubic_a=(float(_short(cubic_coeff_a)), -0.75),
        exclude_outside=(bool(exclude_outside), False), antialias=(bool(antialias), False),
        extrapolation=(float(_short(extrapolation_value)), 0.0),
        policy=(keep_aspect_ratio_policy, "stretch"),
    )  # fmt: skip
    if coordinates == "tf_crop_and_resize":
        if roi is None:
            raise Refusal("coordinate_transformation_mode='tf_crop_and_resize' without roi")
        extra += f", roi={_tuple(roi)}"
    return f"resize({x}, {chosen}, {target}{extra})"


# Whole factors by which 32-bit floats find the nearest pixel right; 1 / 41 is the first rounded down.
EXACT_FACTORS = range(1, 41)


def _interpolate(
    x: Operand, scales: Numbers | None, sizes: Numbers | None, mode: str, nearest: str, coordinates: str
) -> str:  # fmt: skip
    """MindSpore's own operator of images where it computes the same; an empty text where it does not.

    `ops.interpolate` is the same, but its checks leave programs of varying sizes that MindSpore cannot run.
    """
    numbers = scales or sizes
    if numbers is None or numbers.items is None or len(numbers.items) != 4 or x.shape is None:
        return ""
    kept = zip(numbers.items[:2], x.shape[:2], range(2), strict=True)
    if scales is not None:
        factors = scales.static
        if factors is None or factors[:2] != (1, 1) or any(f not in EXACT_FACTORS for f in factors):
            return ""
        new = tuple(_times(size_of(x, axis), int(factors[axis])) for axis in (2, 3))
    else:
        if any(size not in (old, f"{x}.shape[{k}]") for size, old, k in kept):
            return ""
        new = tuple(size if isinstance(size, str) else int(size) for size in numbers.items[2:])
    size = _texts(new)
    if mode == "nearest":
        # With a whole factor the nearest pixel of a half is the one that it stands in.
        floor = coordinates == "asymmetric" and nearest == "floor"
        half = coordinates == "half_pixel" and nearest.startswith("round_prefer")
        plain = scales is not None and (floor or half)
        return f"ops.ResizeNearestNeighborV2()({x}, {size})" if plain else ""
    if mode == "linear" and coordinates == "align_corners":
        return f"ops.ResizeBilinearV2(align_corners=True)({x}, {size})"
    if mode == "linear" and coordinates == "half_pixel":
        return f"ops.ResizeBilinearV2(half_pixel_centers=True)({x}, {size})"
    return ""


def _times(size: int | str, factor: int) -> int | str:
    """A size times a factor, as text where only the running model knows it."""
    return size * factor if isinstance(size, int) else f"{size} * {factor}" if factor != 1 else size


def CenterCropPad(x: Operand, shape: Numbers, *, axes: tuple[int, ...] | None = None) -> str:
    chosen = axes if axes is not None else tuple(range(x.ranked()))
    return f"center_crop_pad({x}, {_tuple(shape)}, {tuple(chosen)})"


def GridSample(
    x: Operand, grid: Operand, *, align_corners: int, mode: str, padding_mode: str
) -> str:
    if x.rank in (4, 5) and mode == "linear":
        options = arguments(
            padding_mode=(padding_mode, "zeros"), align_corners=(bool(align_corners), False)
        )
        return f"ops.grid_sample({x}, {grid}{options})"
    return f"grid_sample({x}, {grid}, {mode!r}, {padding_mode!r}, {bool(align_corners)})"


def AffineGrid(theta: Operand, size: Numbers, *, align_corners: int) -> str:
    return f"affine_grid({theta}, {_tuple(size)}, {bool(align_corners)})"


def RoiAlign(
    x: Operand, rois: Operand, batch: Operand, *, coordinate_transformation_mode: str, mode: str,
    output_height: int, output_width: int, sampling_ratio: int, spatial_scale: float,
) -> str:  # fmt: skip
    offset = 0.5 if coordinate_transformation_mode == "half_pixel" else 0.0
    return (
        f"roi_align({x}, {rois}, {batch}, ({output_height}, {output_width}), {sampling_ratio}, "
        f"{_short(spatial_scale)}, {offset}, {mode!r})"
    )


def MaxRoiPool(
    x: Operand, rois: Operand, *, pooled_shape: tuple[int, ...], spatial_scale: float
) -> str:
    return f"max_roi_pool({x}, {rois}, {tuple(pooled_shape)}, {_short(spatial_scale)})"


def MaxUnpool(
    x: Operand, indices: Operand, shape: Numbers | None = None, *, kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    n = len(kernel_shape)
    sides = pads or (0,) * 2 * n
    sizes = _tuple(shape) if shape is not None else "None"
    return (
        f"max_unpool({x}, {indices}, {tuple(kernel_shape)}, {tuple(strides or (1,) * n)}, "
        f"{tuple(sides)}, {sizes})"
    )


def Col2Im(
    x: Operand, image: Numbers, block: Numbers, *, dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    options = (tuple(given) if given else None for given in (dilations, pads, strides))
    return f"col2im({x}, {_tuple(image)}, {_tuple(block)}, {', '.join(map(str, options))})"


# ***** generation *****


def ConstantOfShape(shape: Numbers, *, value: Array | None = None) -> str:
    fill = np.zeros(1, np.float32) if value is None else value
    number, dtype = fill.ravel()[0], _dtype(fill.dtype)
    if number == 0:
        return f"ops.zeros({_tuple(shape)}, {dtype})"
    if number == 1:
        return f"ops.ones({_tuple(shape)}, {dtype})"
    return f"ops.full({_tuple(shape)}, {_literal(number)}, dtype={dtype})"


def Range(start: Numbers, limit: Numbers, delta: Numbers, *, node: Use) -> str:
    bounds = [_number(start), _number(limit), _number(delta)]
    if delta.static == (1,):
        bounds = bounds[1:2] if start.static == (0,) else bounds[:2]
    return f"ops.arange({', '.join(bounds)}, dtype={_dtype(node.out.dtype)})"


def EyeLike(x: Operand, *, dtype: int | None = None, k: int, node: Use) -> str:
    offset = f", {k}" if k else ""
    ones = f"ops.tril(ops.triu(ops.ones({x}.shape, ms.float32){offset}){offset})"
    name = _dtype(node.out.dtype)
    return ones if name == "ms.float32" else f"{ones}.astype({name})"


def RandomNormal(
    *, dtype: int, mean: float, scale: float, seed: float | None = None, shape: tuple[int, ...], node: Use
) -> str:  # fmt: skip
    return _normal(str(tuple(shape)), mean, scale, node)


def RandomNormalLike(
    x: Operand, *, dtype: int | None = None, mean: float, scale: float, seed: float | None = None, node: Use
) -> str:  # fmt: skip
    return _normal(f"{x}.shape", mean, scale, node)


def _normal(shape: str, mean: float, scale: float, node: Use) -> str:
    drawn = f"ops.standard_normal({shape})"
    drawn = drawn if scale == 1 else f"{drawn} * {_short(scale)}"
    return _typed(drawn if mean == 0 else f"{drawn} + {_short(mean)}", node)


def RandomUniform(
    *, dtype: int, low: float, high: float, seed: float | None = None, shape: tuple[int, ...], node: Use
) -> str:  # fmt: skip
    return _uniform(str(tuple(shape)), low, high, node)


def RandomUniformLike(
    x: Operand, *, dtype: int | None = None, low: float, high: float, seed: float | None = None, node: Use
) -> str:  # fmt: skip
    return _uniform(f"{x}.shape", low, high, node)


def _uniform(shape: str, low: float, high: float, node: Use) -> str:
    drawn = f"ops.rand({shape})"
    drawn = drawn if high - low == 1 else f"{drawn} * {_short(high - low)}"
    return _typed(drawn if low == 0 else f"{drawn} + {_short(low)}", node)


def _typed(text: str, node: Use) -> str:
    name = _dtype(node.out.dtype)
    return text if name == "ms.float32" else f"({text}).astype({name})"


def Bernoulli(x: Operand, *, dtype: int | None = None, seed: float | None = None, node: Use) -> str:
    return f"(ops.rand({x}.shape) < {x}).astype({_dtype(node.out.dtype)})"


def HannWindow(size: Numbers, *, output_datatype: int, periodic: int, node: Use) -> str:
    return _cosines(size, "(0.5, 0.5)", periodic, node)


def HammingWindow(size: Numbers, *, output_datatype: int, periodic: int, node: Use) -> str:
    return _cosines(size, "(25 / 46, 21 / 46)", periodic, node)


def BlackmanWindow(size: Numbers, *, output_datatype: int, periodic: int, node: Use) -> str:
    return _cosines(size, "(0.42, 0.5, 0.08)", periodic, node)


def _cosines(size: Numbers, coefficients: str, periodic: int, node: Use) -> str:
    text = f"cosine_window({_number(size)}, {coefficients}, {bool(periodic)})"
    return f"{text}.astype({_dtype(node.out.dtype)})"


def _dtype(dtype: np.dtype[Any] | None) -> str:
    """The framework's expression for an element type."""
    name = "unknown" if dtype is None else dtype.name
    if name not in DTYPES:
        raise Refusal(f"element type {name}")
    return "ms.bool_" if name == "bool" else f"ms.{name}"


DTYPES = {
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint16",
    "uint32", "uint64", "bool",
}  # fmt: skip


# ***** types *****


def Cast(x: Operand, *, to: int, saturate: int, node: Use) -> str:
    return f"{x}.astype({_dtype(node.out.dtype)})"


def CastLike(x: Operand, target: Operand, *, saturate: int) -> str:
    return f"{x}.astype({_dtype(target.dtype)})"


# ***** quantisation *****


def QuantizeLinear(
    x: Operand, scale: Operand, zero: Operand | None = None, *, axis: int, saturate: int,
    block_size: int, output_dtype: int, node: Use,
) -> str:  # fmt: skip
    info = np.iinfo(_integer(node))
    given = f"{x}, {scale}, {zero}, {axis}, {info.min}, {info.max}, {_dtype(node.out.dtype)}"
    return f"quantize({given}{arguments(block=(block_size, 0))})"


def _integer(node: Use) -> np.dtype[Any]:
    dtype = node.out.dtype
    if dtype is None or dtype.name not in ("int8", "uint8", "int16", "uint16"):
        raise Refusal(f"element type {dtype}")
    return dtype


def DequantizeLinear(
    x: Operand, scale: Operand, zero: Operand | None = None, *, axis: int, block_size: int
) -> str:
    return f"dequantize({x}, {scale}, {zero}, {axis}{arguments(block=(block_size, 0))})"


def DynamicQuantizeLinear(x: Operand, *, node: Use) -> str:
    return results(f"dynamic_quantize({x})", node, 3)


def MatMulInteger(
    a: Operand, b: Operand, a_zero: Operand | None = None, b_zero: Operand | None = None
) -> str:
    return f"ops.matmul(shifted({a}, {a_zero}, -2), shifted({b}, {b_zero}, -1))"


def ConvInteger(
    x: Operand, w: Operand, x_zero: Operand | None = None, w_zero: Operand | None = None, *,
    auto_pad: str, group: int, dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    options = _convolution(x, w, auto_pad, group, dilations, kernel_shape, pads, strides)
    return f"convolve_integers({x}, {w}, {x_zero}, {w_zero}, {options})"


def _convolution(
    x: Operand, w: Operand, auto_pad: str, group: int, dilations: tuple[int, ...] | None,
    kernel_shape: tuple[int, ...] | None, pads: tuple[int, ...] | None, strides: tuple[int, ...] | None,
) -> str:  # fmt: skip
    """The options of a convolution of integers, as arguments."""
    n = w.ranked() - 2
    kernel = tuple(kernel_shape or (w.value.static_shape or ())[2:])
    if len(kernel) != n:
        raise Refusal(f"a kernel of {n} dimensions")
    win = window(
        x.shape, kernel, auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )
    return f"{win.strides}, {win.dilations}, {_sides(win)}, {group}"


def QLinearMatMul(
    a: Operand, a_scale: Operand, a_zero: Operand, b: Operand, b_scale: Operand, b_zero: Operand,
    y_scale: Operand, y_zero: Operand, *, node: Use,
) -> str:  # fmt: skip
    info = np.iinfo(_integer(node))
    return (
        f"requantize({MatMulInteger(a, b, a_zero, b_zero)}, "
        f"{a_scale}, {b_scale}, {y_scale}, {y_zero}, {info.min}, {info.max})"
    )


def QLinearConv(
    x: Operand, x_scale: Operand, x_zero: Operand, w: Operand, w_scale: Operand, w_zero: Operand,
    y_scale: Operand, y_zero: Operand, b: Operand | None = None, *, auto_pad: str, group: int,
    dilations: tuple[int, ...] | None = None, kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None, node: Use,
) -> str:  # fmt: skip
    options = _convolution(x, w, auto_pad, group, dilations, kernel_shape, pads, strides)
    info, shape = np.iinfo(_integer(node)), (-1, *[1] * (w.ranked() - 2))
    text = f"convolve_integers({x}, {w}, {x_zero}, {w_zero}, {options})"
    text = text if b is None else f"{text} + {b}.reshape({shape})"
    scales = f"{x_scale}, {w_scale}.reshape({shape}), {y_scale}"
    return f"requantize({text}, {scales}, {y_zero}, {info.min}, {info.max})"


# ***** recurrent *****


def RNN(
    x: Operand, w: Operand, r: Operand, b: Operand | None = None, lengths: Operand | None = None,
    h: Operand | None = None, *, activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None, clip: float | None = None, direction: str,
    hidden_size: int | None = None, layout: int, node: Use,
) -> str:  # fmt: skip
    names = _activations(activations, ("Tanh",), direction, activation_alpha, activation_beta)
    given = f"{x}, {w}, {r}, {b}, {lengths}, {h}, {names}, {direction!r}"
    return results(f"rnn({given}{arguments(clip=(clip, None), layout=(layout, 0))})", node, 2)


def GRU(
    x: Operand, w: Operand, r: Operand, b: Operand | None = None, lengths: Operand | None = None,
    h: Operand | None = None, *, activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None, activations: tuple[str, ...] | None = None,
    clip: float | None = None, direction: str, hidden_size: int | None = None, layout: int,
    linear_before_reset: int, node: Use,
) -> str | Layer:  # fmt: skip
    usual = ("Sigmoid", "Tanh")
    names = _activations(activations, usual, direction, activation_alpha, activation_beta)
    plain = names in (usual, usual * 2) and not clip and linear_before_reset
    if plain and lengths is None and direction != "reverse" and _owns(w, r, b):
        constructor, weights = _recurrent("GRU", w, r, b, direction, bool(layout))
        state = f", {h}" if h is not None else ""
        call = f"run_gru(layer, {x}{state}{arguments(batch_first=(bool(layout), False))})"
        return Layer(constructor, weights, results(call, node, 2), "gru")
    given = f"{x}, {w}, {r}, {b}, {lengths}, {h}, {names}, {direction!r}"
    options = arguments(
        clip=(clip, None), layout=(layout, 0),
        linear_before_reset=(bool(linear_before_reset), False),
    )  # fmt: skip
    return results(f"gru({given}{options})", node, 2)


def LSTM(
    x: Operand, w: Operand, r: Operand, b: Operand | None = None, lengths: Operand | None = None,
    h: Operand | None = None, c: Operand | None = None, p: Operand | None = None, *,
    activation_alpha: tuple[float, ...] | None = None, activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None, clip: float | None = None, direction: str,
    hidden_size: int | None = None, input_forget: int, layout: int, node: Use,
) -> str | Layer:  # fmt: skip
    usual = ("Sigmoid", "Tanh", "Tanh")
    names = _activations(activations, usual, direction, activation_alpha, activation_beta)
    plain = names in (usual, usual * 2) and not clip and not input_forget and p is None
    plain = plain and (h is None) == (c is None)
    if plain and lengths is None and direction != "reverse" and _owns(w, r, b):
        constructor, weights = _recurrent("LSTM", w, r, b, direction, bool(layout))
        state = f", {h}, {c}" if h is not None else ""
        call = f"run_lstm(layer, {x}{state}{arguments(batch_first=(bool(layout), False))})"
        return Layer(constructor, weights, results(call, node, 3), "lstm")
    given = f"{x}, {w}, {r}, {b}, {lengths}, {h}, {c}, {p}, {names}, {direction!r}"
    options = arguments(
        clip=(clip, None), layout=(layout, 0), input_forget=(bool(input_forget), False)
    )
    return results(f"lstm({given}{options})", node, 3)


CELL_ACTIVATIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}


def _activations(
    given: tuple[str, ...] | None, usual: tuple[str, ...], direction: str,
    alpha: tuple[float, ...] | None, beta: tuple[float, ...] | None,
) -> tuple[str, ...]:  # fmt: skip
    """Names of a cell's activations, for each direction."""
    names = tuple(given or usual * (2 if direction == "bidirectional" else 1))
    if alpha or beta or any(name.lower() not in CELL_ACTIVATIONS for name in names):
        raise Refusal(f"activations={names}, activation_alpha={alpha}, activation_beta={beta}")
    return tuple(CELL_ACTIVATIONS[name.lower()] for name in names)


def _recurrent(
    name: str, w: Operand, r: Operand, b: Operand | None, direction: str, batch_first: bool,
    nonlinearity: str = "tanh", layer: int = 0, layers: int = 1,
) -> Made:  # fmt: skip
    """A module of MindSpore, and its weights."""
    into, hidden, weights = gate_weights(name, w, r, b, layer)
    options = arguments(
        num_layers=(layers, 1),
        nonlinearity=(nonlinearity, "tanh"),
        has_bias=(b is not None, True),
        batch_first=(bool(batch_first), False),
        bidirectional=(direction == "bidirectional", False),
    )
    return f"nn.{name}({into}, {hidden}{options})", weights


LSTMLayer, GRULayer, RNNLayer = recurrent_layers(_recurrent)


# ***** signal *****


def DFT(
    x: Operand,
    length: Numbers | None = None,
    axis: Numbers | None = None,
    *,
    inverse: int,
    onesided: int,
) -> str:
    along = _number(axis) if axis is not None else "-2"
    return f"dft({x}, {_number(length, 'None')}, {along}, inverse={bool(inverse)}, onesided={bool(onesided)})"


def STFT(
    signal: Operand, step: Numbers, window: Operand | None = None, length: Numbers | None = None, *,
    onesided: int,
) -> str:  # fmt: skip
    frame = _number(length) if length is not None else f"{window}.shape[0]"
    return f"stft({signal}, {_number(step)}, {window}, {frame}, onesided={bool(onesided)})"


def MelWeightMatrix(
    bins: Numbers, length: Numbers, rate: Numbers, low: Numbers, high: Numbers, *,
    output_datatype: int, node: Use,
) -> str:  # fmt: skip
    numbers = ", ".join(_number(given) for given in (bins, length, rate, low, high))
    return f"mel_weight_matrix({numbers}).astype({_dtype(node.out.dtype)})"


# ***** com.microsoft: what the standard has no nodes for, see graph/contrib.py *****


def com_microsoft_Inverse(x: Operand) -> str:
    return f"ops.inverse({x})"
