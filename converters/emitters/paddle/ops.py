"""ONNX operators in PaddlePaddle; see `converters.emitters.table` for how to read and extend it.

Semantics follow the standard, not PaddlePaddle, where they differ. Sources: the operator pages of ONNX
and the documentation of paddlepaddle 3.3. Families and operators stand in the same order in every
framework. Element types without a CPU kernel are looked after in `kernels`, not here.
"""
# ruff: noqa: N802, D103 - functions are named as the operators that they write, which the standard documents

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from converters.emitters.arith import (
    LARGEST_END,
    Window,
    arguments,
    broadcast_sizes,
    kept_axes,
    merged_from,
    nested,
    one,
    pads_by_axis,
    pool_window,
    reduced_axes,
    size_of,
    slices,
    split_last,
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
    "Abs": "{X}.abs()",
    "Reciprocal": "1 / {X}",
    "Sqrt": "{X}.sqrt()",
    "Exp": "{input}.exp()",
    "Log": "{input}.log()",
    # ***** comparison and logic *****
    "Equal": "{A:s} == {B:s}",
    "Greater": "{A:s} > {B:s}",
    "GreaterOrEqual": "{A:s} >= {B:s}",
    "Less": "{A:s} < {B:s}",
    "LessOrEqual": "{A:s} <= {B:s}",
    "And": "{A} & {B}",
    "Or": "{A} | {B}",
    "Xor": "{A} ^ {B}",
    "Not": "~{X}",
    "BitwiseAnd": "{A} & {B}",
    "BitwiseOr": "{A} | {B}",
    "BitwiseXor": "{A} ^ {B}",
    "BitwiseNot": "~{X}",
    "IsNaN": "{X}.isnan()",
    # ***** rounding, sign and elementwise functions *****
    "Ceil": "{X}.ceil()",
    "Floor": "{X}.floor()",
    "Round": "{X}.round()",
    "Sign": "{input}.sign()",
    "Erf": "{input}.erf()",
    # ***** trigonometry *****
    "Sin": "{input}.sin()",
    "Cos": "{input}.cos()",
    "Tan": "{input}.tan()",
    "Asin": "{input}.asin()",
    "Acos": "{input}.acos()",
    "Atan": "{input}.atan()",
    "Sinh": "{input}.sinh()",
    "Cosh": "{input}.cosh()",
    "Asinh": "{input}.asinh()",
    "Acosh": "{input}.acosh()",
    "Atanh": "{input}.atanh()",
    # ***** activations *****
    "LeakyRelu": "F.leaky_relu({X}, {alpha})",
    "Elu": "F.elu({X}, {alpha})",
    "Celu": "F.celu({X}, {alpha})",
    "Sigmoid": "F.sigmoid({X})",
    "HardSwish": "F.hardswish({X})",
    "Silu": "F.silu({X})",
    "Mish": "F.mish({X})",
    "Tanh": "F.tanh({input})",
    "Softplus": "F.softplus({X})",
    "Softsign": "F.softsign({input})",
    # ***** images *****
    "ImageDecoder": "decode_image({encoded_stream}, {pixel_format!r})",
    # ***** matrices *****
    "Det": "paddle.linalg.det({X})",
}


def _list(numbers: Numbers) -> str:
    """Numbers as PaddlePaddle takes shapes and axes: a list."""
    return numbers.text if numbers.items is None else f"[{numbers.args}]"


def _number(numbers: Numbers | None, default: str = "") -> str:
    """The only number of several."""
    if numbers is None:
        return default
    return numbers.args if numbers.items is not None else f"{numbers.text}[0]"


def _owns(*operands: Operand | None) -> bool:
    """Whether a layer may own these; layers are made in float32, which holds halves exactly."""
    return all(
        x is None
        or (x.weight is not None and x.weight.dtype.name in ("float32", "float16", "bfloat16"))
        for x in operands
    )


def _is_float(x: Operand) -> bool:
    # Kind V: bfloat16 and the like.
    return x.typed().kind in "fV"


# ***** arithmetic *****


def Div(a: Operand, b: Operand) -> str:
    if _is_float(a):
        return f"{a:s} / {b:s}"
    return f"divide_integers({a}, {b})"


def Mod(a: Operand, b: Operand, *, fmod: int) -> str:
    return f"truncated_mod({a}, {b})" if fmod else f"{a:s} % {b:s}"


def Pow(x: Operand, y: Operand) -> str:
    if y.number:
        exponent = y.real
        if exponent == 0.5 and _is_float(x):
            return f"{x}.sqrt()"
        if exponent == int(exponent):
            return f"{x} ** {int(exponent)}"
        if _is_float(x):
            return f"{x} ** {y:s}"
    if x.typed() == y.typed():
        return f"{x:s} ** {y}"
    if _is_float(x):
        return f"{x} ** {y}.cast({x}.dtype)"
    wide = "float64" if _is_float(y) else "int64"
    return f"({x}.cast('{wide}') ** {y}.cast('{wide}')).cast({x}.dtype)"


def Sum(*xs: Operand) -> str:
    return " + ".join(str(x) for x in xs)


def Mean(*xs: Operand) -> str:
    return f"({Sum(*xs)}) / {len(xs)}"


def Max(*xs: Operand) -> str:
    return nested("paddle.maximum", xs)


def Min(*xs: Operand) -> str:
    return nested("paddle.minimum", xs)


def BitShift(x: Operand, y: Operand, *, direction: str) -> str:
    return f"{x} {'<<' if direction == 'LEFT' else '>>'} {y}"


def IsInf(x: Operand, *, detect_negative: int, detect_positive: int) -> str:
    if detect_negative and detect_positive:
        return f"{x}.isinf()"
    if detect_negative:
        return f"{x} == -float('inf')"
    return f"{x} == float('inf')" if detect_positive else f"paddle.zeros_like({x}, 'bool')"


def Clip(x: Operand, low: Operand | None = None, high: Operand | None = None) -> str:
    bounds = {name: x for name, x in (("min", low), ("max", high)) if x is not None}
    if not bounds:
        return str(x)
    if all(bound.number for bound in bounds.values()):
        numbers = {name: bound.real for name, bound in bounds.items()}
        if _is_float(x) and numbers in ({"min": 0.0}, {"min": 0.0, "max": 6.0}):
            return f"F.relu6({x})" if high is not None else f"F.relu({x})"
        if len(numbers) == 1 or numbers["min"] <= numbers["max"]:
            return f"{x}.clip({', '.join(f'{name}={bound:s}' for name, bound in bounds.items())})"
    # A tensor bound; the upper one wins where they cross.
    text = f"paddle.maximum({x}, {low})" if low is not None else str(x)
    return f"paddle.minimum({text}, {high})" if high is not None else text


def Bounded(x: Operand, low: Operand | None = None, high: Operand | None = None) -> str:
    text = str(x)
    for name, bound in (("maximum", low), ("minimum", high)):
        if bound is not None:
            text = f"paddle.{name}({text}, paddle.full([], {bound:s}, {_dtype(bound.dtype)}))"
    return text


# ***** activations *****


def Relu(x: Operand) -> str:
    return f"F.relu({x})" if _is_float(x) else f"{x}.clip(min=0)"


def PRelu(x: Operand, slope: Operand) -> str | Layer:
    data, rank = slope.weight, x.rank
    if data is not None and _owns(slope) and rank is not None and rank > 1 and _is_float(x):
        channels, ones = data.size, (1,) * (rank - 2)
        if data.size == 1 or data.shape in ((channels, *ones), (1, channels, *ones)):
            weight = slope.relaid(data.reshape(-1))
            count = f"{channels}" if channels > 1 else ""
            return Layer(f"nn.PReLU({count})", {"_weight": weight}, f"layer({x})", "prelu")
    return f"paddle.where({x} < 0, {x} * {slope:s}, {x})"


def Gelu(x: Operand, *, approximate: str) -> str:
    return f"F.gelu({x}, approximate=True)" if approximate == "tanh" else f"F.gelu({x})"


def HardSigmoid(x: Operand, *, alpha: float, beta: float) -> str:
    if np.isclose(alpha, 1 / 6) and beta == 0.5:
        return f"F.hardsigmoid({x})"
    return f"F.hardsigmoid({x}, slope={_short(alpha)}, offset={_short(beta)})"


def Selu(x: Operand, *, alpha: float, gamma: float) -> str:
    if np.isclose(alpha, 1.6732632423543772) and np.isclose(gamma, 1.0507009873554805):
        return f"F.selu({x})"
    return f"{_short(gamma)} * F.elu({x}, {_short(alpha)})"


def ThresholdedRelu(x: Operand, *, alpha: float) -> str:
    return f"F.thresholded_relu({x}, {_short(alpha)})"


def Shrink(x: Operand, *, bias: float, lambd: float) -> str:
    return f"shrink({x}, {_short(bias)}, {_short(lambd)})"


def Softmax(x: Operand, *, axis: int) -> str:
    return f"F.softmax({x}{arguments(axis=(axis, -1))})"


def LogSoftmax(x: Operand, *, axis: int) -> str:
    # Paddle's own stops at -64.
    return f"{x} - {x}.logsumexp({axis}, keepdim=True)"


def Hardmax(x: Operand, *, axis: int) -> str:
    return f"hardmax({x}, {axis})"


def _short(number: float) -> str:
    """The shortest text that gives a number back in float32."""
    return str(np.float32(number))


# ***** normalisation *****


def BatchNormalization(
    x: Operand, scale: Operand, b: Operand, mean: Operand, var: Operand, *, epsilon: float,
    momentum: float, training_mode: int, node: Use,
) -> str | Layer:  # fmt: skip
    eps = _short(epsilon)
    if training_mode:
        given = f"{x}, {scale}, {b}, {mean}, {var}, {eps}, {_short(momentum)}"
        return results(f"batch_norm_training({given})", node, 3)
    if _owns(scale, b, mean, var) and x.rank in (2, 3, 4, 5):
        dims = {2: 1, 3: 1, 4: 2, 5: 3}[x.rank or 4]
        options = arguments(momentum=(float(_short(momentum)), 0.9), epsilon=(float(eps), 1e-05))
        return Layer(
            f"nn.BatchNorm{dims}D({prod(scale.value.static_shape or ())}{options})",
            {"weight": scale.value, "bias": b.value, "_mean": mean.value, "_variance": var.value},
            f"layer({x})",
            "bn",
        )
    return f"F.batch_norm({x}, {mean}, {var}, {scale}, {b}, epsilon={eps})"


def InstanceNormalization(x: Operand, scale: Operand, b: Operand, *, epsilon: float) -> str | Layer:
    eps = _short(epsilon)
    if not scale.value.trainable and _is_neutral(scale, b):
        return f"F.instance_norm({x}, eps={eps})"
    if _owns(scale, b) and x.rank in (3, 4, 5):
        return Layer(
            f"nn.InstanceNorm{(x.rank or 4) - 2}D({prod(scale.value.static_shape or ())}"
            f"{arguments(epsilon=(float(eps), 1e-05))})",
            {"scale": scale.value, "bias": b.value},
            f"layer({x})",
            "norm",
        )
    return f"F.instance_norm({x}, weight={scale}, bias={b}, eps={eps})"


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
    first = axis % rank
    sizes = (x.shape or ())[first:]
    same = scale.shape == sizes and (b is None or b.shape == sizes)
    # PaddlePaddle leaves the first axis as it is.
    if node.outputs > 1 or not same or first == 0:
        text = f"layer_norm_with_statistics({x}, {scale}, {b}, {first}, {eps})"
        return results(text, node, 3)
    if _owns(scale, b) and scale.weight is not None:
        shape = scale.weight.size if scale.weight.ndim == 1 else list(scale.weight.shape)
        options = arguments(
            epsilon=(float(eps), 1e-05), bias_attr=(None if b is not None else False, None)
        )
        bias = b.relaid(b.weight.reshape(-1)) if b is not None and b.weight is not None else None
        return Layer(
            f"nn.LayerNorm({shape}{options})",
            {"weight": scale.relaid(scale.weight.reshape(-1)), "bias": bias},
            f"layer({x})",
            "norm",
        )
    flat = ".flatten()" if rank - first > 1 else ""
    bias_text = f"{b}{flat}" if b is not None else "None"
    return f"F.layer_norm({x}, {x}.shape[{first}:], {scale}{flat}, {bias_text}, {eps})"


def GroupNormalization(
    x: Operand, scale: Operand, b: Operand, *, num_groups: int, epsilon: float, stash_type: int
) -> str | Layer:
    eps = _short(epsilon)
    if _owns(scale, b):
        return Layer(
            f"nn.GroupNorm({num_groups}, {prod(scale.value.static_shape or ())}"
            f"{arguments(epsilon=(float(eps), 1e-05))})",
            {"weight": scale.value, "bias": b.value},
            f"layer({x})",
            "norm",
        )
    return f"F.group_norm({x}, {num_groups}, {eps}, {scale}, {b})"


def LRN(x: Operand, *, alpha: float, beta: float, bias: float, size: int) -> str:
    if size % 2 == 0:
        raise Refusal(f"attribute size={size}")
    options = arguments(
        alpha=(float(_short(alpha)), 1e-4), beta=(float(_short(beta)), 0.75),
        k=(float(_short(bias)), 1.0),
    )  # fmt: skip
    return f"F.local_response_norm({x}, {size}{options})"


def LpNormalization(x: Operand, *, axis: int, p: int) -> str:
    return f"{x} / {x}.norm({p}, axis={axis}, keepdim=True)"


def MeanVarianceNormalization(x: Operand, *, axes: tuple[int, ...]) -> str:
    return f"mean_variance_normalize({x}, {list(axes)})"


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
    source, padding = _padded(x, win)
    common = arguments(
        stride=(_sizes(win.strides), 1), padding=(padding, 0), dilation=(_sizes(win.dilations), 1),
        groups=(group, 1),
    )  # fmt: skip
    if w.weight is not None and _owns(w, b):
        out, into = w.weight.shape[0], w.weight.shape[1] * group
        bias = arguments(bias_attr=(None if b is not None else False, None))
        return Layer(
            f"nn.Conv{n}D({into}, {out}, {_sizes(kernel)}{common}{bias})",
            {"weight": w.value, "bias": b.value if b is not None else None},
            f"layer({source})",
            "conv",
        )
    bias = f", {b}" if b is not None else ""
    return f"F.conv{n}d({source}, {w}{bias}{common})"


def _sizes(numbers: tuple[int, ...]) -> int | list[int]:
    """Sizes as people write them: one for all, or a list."""
    found = one(numbers)
    return list(found) if isinstance(found, tuple) else found


def _sides(win: Window) -> int | list[int]:
    """Padding as PaddlePaddle takes it: before and after each axis where they differ."""
    if win.symmetric:
        return _sizes(win.begin)
    return [side for pair in zip(win.begin, win.end, strict=True) for side in pair]


def _padded(x: Operand, win: Window, value: str = "") -> tuple[str, int | list[int] | str]:
    """The input, padded where an argument of the layer cannot say it, and that argument."""
    if not win.same:
        return str(x), _sides(win)
    if win.same == "upper" and set(win.dilations) == {1}:
        return str(x), "SAME"
    extra = f", {value}" if value else ""
    shape = f"{win.kernel}, {win.strides}, {win.dilations}"
    return f"pad_same({x}, {shape}, {win.same!r}{extra})", 0


def ConvTranspose(
    x: Operand, w: Operand, b: Operand | None = None, *, auto_pad: str, group: int,
    dilations: tuple[int, ...] | None = None, kernel_shape: tuple[int, ...] | None = None,
    output_padding: tuple[int, ...] | None = None, output_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str | Layer:  # fmt: skip
    n = w.ranked() - 2
    kernel = tuple(kernel_shape or (w.value.static_shape or ())[2:])
    if len(kernel) != n or n not in (1, 2, 3):
        raise Refusal(f"a kernel of {n} dimensions")
    strides, dilations = strides or (1,) * n, dilations or (1,) * n
    extra = tuple(output_padding or (0,) * n)
    begin, end = (0,) * n, (0,) * n
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        totals = []
        for k in range(n):
            # The output has `stride` elements for each of the input; more or less where it is given.
            total = extra[k] + (kernel[k] - 1) * dilations[k] + 1 - strides[k]
            if output_shape:
                size = (x.shape or (None,) * (n + 2))[2 + k]
                if not isinstance(size, int):
                    raise Refusal("attribute output_shape with dynamic sizes")
                total += size * strides[k] - output_shape[-n:][k]
            elif total < 0:
                # The standard and its implementations differ on the size of the output here.
                raise Refusal(f"attribute auto_pad={auto_pad!r}, strides above the kernel")
            totals.append(total)
        extra = tuple(e + max(-t, 0) for e, t in zip(extra, totals, strict=True))
        totals = [max(total, 0) for total in totals]
        small = tuple(total // 2 for total in totals)
        large = tuple(t - s for t, s in zip(totals, small, strict=True))
        begin, end = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    elif pads:
        begin, end = tuple(pads[:n]), tuple(pads[n:])
    symmetric = begin == end and all(
        e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)
    )
    common = arguments(
        stride=(_sizes(strides), 1), padding=(_sizes(begin) if symmetric else 0, 0),
        output_padding=(_sizes(extra) if symmetric else 0, 0),
    )  # fmt: skip
    dilation = arguments(dilation=(_sizes(dilations), 1))
    groups = arguments(groups=(group, 1))
    if w.weight is not None and _owns(w, b) and symmetric:
        into, out = w.weight.shape[0], w.weight.shape[1] * group
        bias = arguments(bias_attr=(None if b is not None else False, None))
        return Layer(
            f"nn.Conv{n}DTranspose({into}, {out}, {_sizes(kernel)}{common}{dilation}{groups}{bias})",
            {"weight": w.value, "bias": b.value if b is not None else None},
            f"layer({x})",
            "up",
        )
    if symmetric:
        bias = f", {b}" if b is not None else ""
        return f"F.conv{n}d_transpose({x}, {w}{bias}{common}{groups}{dilation})"
    sides = [0] * 4 + [s for k in range(n) for s in (-begin[k], extra[k] - end[k])]
    text = f"crop_or_pad(F.conv{n}d_transpose({x}, {w}{common}{groups}{dilation}), {sides})"
    return text if b is None else f"{text} + {b}.reshape({[-1, *[1] * n]})"


def DeformConv(
    x: Operand, w: Operand, offset: Operand, b: Operand | None = None, mask: Operand | None = None, *,
    dilations: tuple[int, ...] | None = None, group: int, kernel_shape: tuple[int, ...] | None = None,
    offset_group: int, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    if w.rank != 4:
        raise Refusal(f"a kernel of {w.ranked() - 2} dimensions")
    sides = pads or (0,) * 4
    if sides[:2] != sides[2:]:
        raise Refusal(f"attribute pads={pads}")
    common = arguments(
        stride=(_sizes(strides or (1, 1)), 1), padding=(_sizes(sides[:2]), 0),
        dilation=(_sizes(dilations or (1, 1)), 1), deformable_groups=(offset_group, 1),
        groups=(group, 1),
    )  # fmt: skip
    rest = (f", bias={b}" if b is not None else "") + (f", mask={mask}" if mask is not None else "")
    filters = (w.shape or (None,))[0]
    if not isinstance(filters, int) or filters % offset_group:
        raise Refusal(f"attribute offset_group={offset_group} with {filters} filters")
    return f"paddle.vision.ops.deform_conv2d({x}, {offset}, {w}{common}{rest})"


# ***** pooling *****


def MaxPool(
    x: Operand, *, auto_pad: str, ceil_mode: int, kernel_shape: tuple[int, ...], storage_order: int,
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None, node: Use,
) -> str:  # fmt: skip
    n = len(kernel_shape)
    win = pool_window(
        x.shape,
        tuple(kernel_shape),
        auto_pad=auto_pad,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )
    if node.outputs > 1:
        return f"max_pool_with_indices({_pooled(x, win, ceil_mode)}, {bool(storage_order)})"
    plain = set(win.dilations) == {1} and n in (1, 2, 3) and not (ceil_mode and win.padded)
    # Rounding up, PaddlePaddle also counts a window that starts behind the input.
    plain = plain and not (ceil_mode and _overhangs(x, win))
    plain = plain and all(
        2 * p <= k for p, k in zip(win.begin + win.end, win.kernel * 2, strict=True)
    )
    if not plain or win.same == "lower":
        return f"max_pool({_pooled(x, win, ceil_mode)})"
    source, padding = _padded(x, win)
    common = arguments(padding=(padding, 0), ceil_mode=(bool(ceil_mode), False))
    stride = f", stride={_sizes(win.strides)}" if win.strides != win.kernel else ""
    call = f"F.max_pool{n}d({{}}, {_sizes(win.kernel)}{stride}{common})"
    if not _is_float(x):
        return f"{call.format(f'{source}.cast({_DOUBLE})')}.cast({x}.dtype)"
    return call.format(source)


_DOUBLE = "'float64'"


def _overhangs(x: Operand, win: Window) -> bool:
    """Whether rounding up could make a window that holds nothing of the input: stride above kernel."""
    return any(
        s > (k - 1) * d + 1 for s, k, d in zip(win.strides, win.kernel, win.dilations, strict=True)
    )


def _pooled(x: Operand, win: Window, ceil_mode: int) -> str:
    """What the general pooling functions are given."""
    pads = repr(win.same) if win.same else str((*win.begin, *win.end))
    return f"{x}, {win.kernel}, {win.strides}, {win.dilations}, {pads}, {bool(ceil_mode)}"


def AveragePool(
    x: Operand, *, auto_pad: str, ceil_mode: int, count_include_pad: int, kernel_shape: tuple[int, ...],
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    n = len(kernel_shape)
    win = pool_window(
        x.shape,
        tuple(kernel_shape),
        auto_pad=auto_pad,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )
    plain = set(win.dilations) == {1} and n in (1, 2, 3) and not win.same and not ceil_mode
    plain = plain and all(
        2 * p <= k for p, k in zip(win.begin + win.end, win.kernel * 2, strict=True)
    )
    if not plain:
        return f"average_pool({_pooled(x, win, ceil_mode)}, {bool(count_include_pad)})"
    exclusive = bool(not count_include_pad or not win.padded)
    common = arguments(padding=(_sides(win), 0), exclusive=(exclusive, True))
    stride = f", stride={_sizes(win.strides)}" if win.strides != win.kernel else ""
    return f"F.avg_pool{n}d({x}, {_sizes(win.kernel)}{stride}{common})"


def LpPool(
    x: Operand, *, auto_pad: str, ceil_mode: int, kernel_shape: tuple[int, ...], p: int,
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    win = pool_window(
        x.shape,
        tuple(kernel_shape),
        auto_pad=auto_pad,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )
    return f"lp_pool({_pooled(x, win, ceil_mode)}, {p})"


def GlobalAveragePool(x: Operand) -> str:
    n = x.ranked() - 2
    if n in (1, 2, 3):
        return f"F.adaptive_avg_pool{n}d({x}, 1)"
    return f"{x}.mean(axis={list(range(2, n + 2))}, keepdim=True)"


def GlobalMaxPool(x: Operand) -> str:
    n = x.ranked() - 2
    if n in (1, 2, 3):
        return f"F.adaptive_max_pool{n}d({x}, 1)"
    return f"{x}.max(axis={list(range(2, n + 2))}, keepdim=True)"


def GlobalLpPool(x: Operand, *, p: int) -> str:
    axes = list(range(2, x.ranked()))
    return f"({x}.abs() ** {p}).sum(axis={axes}, keepdim=True) ** (1 / {p})"


# ***** matrices *****


def MatMul(a: Operand, b: Operand) -> str:
    return f"{a} @ {b}"


def Gemm(
    a: Operand, b: Operand, c: Operand | None = None, *, alpha: float, beta: float,
    transA: int, transB: int,
) -> str:  # fmt: skip
    left = f"{a}.T" if transA else str(a)
    right = f"{b}.T" if transB else str(b)
    text = f"{left} @ {right}"
    whole = not _is_float(a)
    if alpha != 1:
        text = f"{int(alpha) if whole else _short(alpha)} * ({text})"
    if c is None:
        return text
    return (
        f"{text} + {c}" if beta == 1 else f"{text} + {int(beta) if whole else _short(beta)} * {c}"
    )


def Linear(x: Operand, w: Operand, b: Operand | None = None) -> str | Layer:
    if w.weight is not None and _owns(w, b):
        into, out = w.weight.shape
        return Layer(
            f"nn.Linear({into}, {out}{arguments(bias_attr=(None if b is not None else False, None))})",
            {"weight": w.value, "bias": b.value if b is not None else None},
            f"layer({x})",
            "linear",
        )
    return f"F.linear({x}, {w}, {b})" if b is not None else f"{x} @ {w}"


def Einsum(*xs: Operand, equation: str) -> str:
    text = f"paddle.einsum({equation.replace(' ', '')!r}, {{}})"
    if all(_is_float(x) for x in xs):
        return text.format(", ".join(str(x) for x in xs))
    wide = ", ".join(f"{x}.cast('float64')" for x in xs)
    return f"{text.format(wide)}.cast({xs[0]}.dtype)"


# ***** attention *****


def ScaledDotProductAttention(
    q: Operand, k: Operand, v: Operand, mask: Operand | None = None, *, scale: float
) -> str:
    mask_text = f", {mask}" if mask is not None else ""
    return f"attention({q}, {k}, {v}, {_short(scale)}{mask_text})"


# ***** embedding *****


def Embedding(w: Operand, i: Operand) -> str | Layer:
    if w.weight is not None and _owns(w):
        rows, width = w.weight.shape
        return Layer(
            f"nn.Embedding({rows}, {width})", {"weight": w.value}, f"layer({i})", "embedding"
        )
    return f"F.embedding({i}, {w})"


# ***** reduction *****


def _reduced(
    x: str, method: str, axes: Numbers | None, keepdims: int, noop: int, rank: int | None
) -> str:
    keep = ", keepdim=True" if keepdims else ""
    if axes is not None and axes.static is None:
        # No axes at all mean all of them here and there.
        text = f"{x}.{method}(axis={_list(axes)}{keep})"
        return f"({text} if {_list(axes)} else {x})" if noop else text
    chosen = reduced_axes(axes, noop)
    if chosen == ():
        return x
    if chosen is None:
        if rank == 0:
            return x
        return f"{x}.{method}({'keepdim=True' if keepdims else ''})"
    dims = chosen[0] if len(chosen) == 1 else list(chosen)
    return f"{x}.{method}(axis={dims}{keep})"


def _keep(x: Operand, text: str) -> str:
    """Sums of int32 are 64 bits wide in PaddlePaddle; the standard keeps the type."""
    return text if _is_float(x) or x.typed() == np.int64 else f"({text}).cast({x}.dtype)"


def ReduceSum(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    text = _reduced(str(data), "sum", axes, keepdims, noop_with_empty_axes, data.rank)
    return _keep(data, text)


def ReduceMean(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    source = str(data) if _is_float(data) else f"{data}.cast('float64')"
    text = _reduced(source, "mean", axes, keepdims, noop_with_empty_axes, data.rank)
    return text if _is_float(data) else f"{text}.cast({data}.dtype)"


def ReduceMax(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _extreme(data, "max", axes, keepdims, noop_with_empty_axes)


def ReduceMin(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _extreme(data, "min", axes, keepdims, noop_with_empty_axes)


def _extreme(data: Operand, method: str, axes: Numbers | None, keepdims: int, noop: int) -> str:
    if 0 not in (data.shape or ()):
        return _reduced(str(data), method, axes, keepdims, noop, data.rank)
    empty = _reduced(str(data), "sum", axes, keepdims, noop, data.rank)
    if _is_float(data):
        limit = "-float('inf')" if method == "max" else "float('inf')"
    else:
        info = np.iinfo(data.typed())
        limit = str(info.min if method == "max" else info.max)
    return f"paddle.full_like({empty}, {limit})"


def ReduceProd(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _reduced(str(data), "prod", axes, keepdims, noop_with_empty_axes, data.rank)


def ReduceL1(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    text = _reduced(f"{data}.abs()", "sum", axes, keepdims, noop_with_empty_axes, data.rank)
    return _keep(data, text)


def ReduceL2(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    wide = "" if _is_float(data) else ".cast('float64')"
    squares = f"({data}{wide} ** 2)"
    text = _reduced(squares, "sum", axes, keepdims, noop_with_empty_axes, data.rank)
    return f"{text}.sqrt()" + (f".cast({data}.dtype)" if wide else "")


def ReduceLogSum(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    wide = "" if _is_float(data) else ".cast('float64')"
    text = _reduced(f"{data}{wide}", "sum", axes, keepdims, noop_with_empty_axes, data.rank)
    return f"{text}.log()" + (f".cast({data}.dtype)" if wide else "")


def ReduceLogSumExp(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    if not _is_float(data):
        # The standard rounds the sum, ONNX Runtime each exponential.
        raise Refusal(f"element type {data.typed()}")
    if 0 in (data.shape or ()):
        return f"{_reduced(f'{data}.exp()', 'sum', axes, keepdims, noop_with_empty_axes, data.rank)}.log()"
    return _reduced(str(data), "logsumexp", axes, keepdims, noop_with_empty_axes, data.rank)


def ReduceSumSquare(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    text = _reduced(f"({data} ** 2)", "sum", axes, keepdims, noop_with_empty_axes, data.rank)
    return _keep(data, text)


def ArgMax(data: Operand, *, axis: int, keepdims: int, select_last_index: int) -> str:
    return _arg(data, "argmax", axis, keepdims, select_last_index)


def ArgMin(data: Operand, *, axis: int, keepdims: int, select_last_index: int) -> str:
    return _arg(data, "argmin", axis, keepdims, select_last_index)


def _arg(data: Operand, method: str, axis: int, keepdims: int, last: int) -> str:
    keep = ", keepdim=True" if keepdims else ""
    if last:
        return f"{data}.shape[{axis}] - 1 - {data}.flip({axis}).{method}(axis={axis}{keep})"
    return f"{data}.{method}(axis={axis}{keep})"


def CumSum(x: Operand, axis: Numbers, *, exclusive: int, reverse: int) -> str:
    along = _number(axis)
    source = f"{x}.flip({along})" if reverse else str(x)
    text = _keep(x, f"{source}.cumsum(axis={along})")
    if exclusive:
        text = f"({text} - {source})"
    return f"{text}.flip({along})" if reverse else text


# ***** shape *****


def Reshape(x: Operand, shape: Numbers, *, allowzero: int, node: Use) -> str:
    numbers = shape.items
    if allowzero and numbers is None:
        return f"reshape({x}, {_list(shape)})"
    # A size that is computed is only zero where x is empty; Paddle then keeps x's own size.
    if allowzero and shape.static is not None and 0 in shape.static:
        return f"paddle.zeros({list(shape.static)}, dtype={x}.dtype)"
    merged = merged_from(x, shape)
    if merged is not None:
        return f"{x}.flatten({merged or ''})"
    if split_last(x, shape, node.out.shape) is not None:
        # Zero keeps a size.
        kept = kept_axes(x, shape)
        shape = Numbers((*(0,) * kept, *(shape.items or ())[kept:]))
    return f"{x}.reshape({_list(shape)})"


def Transpose(x: Operand, *, perm: tuple[int, ...] | None = None) -> str:
    order = list(perm) if perm is not None else list(reversed(range(x.ranked())))
    if len(order) == 2 and order == [1, 0]:
        return f"{x}.T"
    return f"{x}.transpose({order})"


def Flatten(x: Operand, *, axis: int) -> str:
    rank = x.ranked()
    axis = axis % rank if axis < 0 else axis
    if axis == 1 and rank > 1:
        return f"{x}.flatten(1)"
    if axis == 0:
        return f"{x}.reshape([1, -1])"
    if axis == rank:
        return f"{x}.reshape([-1, 1])"
    return f"{x}.flatten({axis}).flatten(0, {axis - 1})"


def Squeeze(x: Operand, axes: Numbers | None = None) -> str:
    if axes is None:
        return f"{x}.squeeze()"
    found = axes.items
    return f"{x}.squeeze({found[0] if found is not None and len(found) == 1 else _list(axes)})"


def Unsqueeze(x: Operand, axes: Numbers) -> str:
    found = axes.static
    if found is None:
        return f"unsqueeze({x}, {_list(axes)})"
    if len(found) == 1:
        return f"{x}.unsqueeze({found[0]})"
    if any(axis < 0 for axis in found):
        rank = x.ranked() + len(found)
        found = tuple(axis % rank for axis in found)
    return f"{x}.unsqueeze({sorted(found)})"


def Expand(x: Operand, shape: Numbers) -> str:
    sizes = broadcast_sizes(x, shape)
    if sizes is None:
        return f"expand({x}, {_list(shape)})"
    if sizes == [size_of(x, axis) for axis in range(len(x.shape or ()))]:
        return str(x)
    return f"{x}.expand([{', '.join(str(size) for size in sizes)}])"


def Tile(x: Operand, repeats: Numbers) -> str:
    return f"{x}.tile({_list(repeats)})" if x.rank != 0 else str(x)


def Concat(*xs: Operand, axis: int) -> str:
    return f"paddle.concat([{', '.join(str(x) for x in xs)}], axis={axis})"


def Split(
    x: Operand,
    split: Numbers | None = None,
    *,
    axis: int,
    num_outputs: int | None = None,
    node: Use,
) -> str:
    along = f", axis={axis}" if axis != 0 else ""
    size = x.shape[axis] if x.shape is not None else None
    if split is None:
        count = num_outputs or node.outputs
        even = isinstance(size, int) and size % count == 0
        text = f"{x}.split({count}{along})" if even else f"split_evenly({x}, {count}, {axis})"
    elif split.static and len(set(split.static)) == 1 and size == sum(split.static):
        text = f"{x}.split({len(split.static)}{along})"
    else:
        text = f"{x}.split({_list(split)}{along})"
    return text if node.outputs > 1 else f"{text}[0]"


def ConcatFromSequence(sequence: Operand, *, axis: int, new_axis: int) -> str:
    return f"paddle.{'stack' if new_axis else 'concat'}({sequence}, axis={axis})"


def SplitToSequence(x: Operand, split: Numbers | None = None, *, axis: int, keepdims: int) -> str:
    if split is None and not keepdims:
        return f"paddle.unbind({x}, axis={axis})"
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
    return f"{x}, paddle.ones_like({x}, dtype='bool')" if node.outputs > 1 else str(x)


def Shape(x: Operand, *, start: int, end: int | None = None) -> str:
    part = "" if start == 0 and end is None else f"[{start or ''}:{'' if end is None else end}]"
    return f"paddle.to_tensor({x}.shape{part}, dtype='int64')"


def Rank(x: Operand) -> str:
    return f"paddle.to_tensor({x}.ndim, dtype='int64')"


def Size(x: Operand) -> str:
    return f"{x}.numel()"


def DepthToSpace(x: Operand, *, blocksize: int, mode: str) -> str:
    if mode == "CRD":
        return f"F.pixel_shuffle({x}, {blocksize})"
    return f"depth_to_space({x}, {blocksize})"


def SpaceToDepth(x: Operand, *, blocksize: int) -> str:
    return f"space_to_depth({x}, {blocksize})"


# ***** indexing *****


# Types that `index_select` takes on a CPU too.
SELECTED = {"bool", "int32", "int64", "bfloat16", "float32", "float64"}


def Gather(data: Operand, indices: Operand, *, axis: int) -> str:
    axis = axis % data.ranked()
    before = ":, " * axis
    if indices.number and data.ranked() <= 6:
        return f"{data}[{before}{indices.number}]"
    if indices.number:
        return f"{data}.unbind({axis})[{indices.number}]"
    if indices.const is not None and indices.const.size == 1 and indices.const.ndim <= 1:
        index = int(indices.const.ravel()[0])
        if indices.const.ndim == 0:
            # Slicing takes six axes at most.
            plain = data.ranked() <= 6
            return f"{data}[{before}{index}]" if plain else f"{data}.unbind({axis})[{index}]"
        stop = "" if index == -1 else index + 1
        return f"{data}[{before}{index}:{stop}]"
    if axis == 0:
        return f"{data}[{indices}]"
    # Behind the first axis, brackets read what is a view of another tensor wrongly (PaddlePaddle 3.3).
    if indices.shape is not None and len(indices.shape) == 1 and data.typed().name in SELECTED:
        return f"{data}.index_select({indices}, {axis})"
    return f"gather({data}, {indices}, {axis})"


def GatherElements(data: Operand, indices: Operand, *, axis: int) -> str:
    return f"gather_elements({data}, {indices}, {axis})"


def GatherND(data: Operand, indices: Operand, *, batch_dims: int) -> str:
    return f"gather_nd({data}, {indices}, {batch_dims})"


def ScatterElements(
    data: Operand, indices: Operand, updates: Operand, *, axis: int, reduction: str
) -> str:
    return f"scatter_elements({data}, {indices}, {updates}, {axis}, {REDUCTIONS[reduction]!r})"


def ScatterND(data: Operand, indices: Operand, updates: Operand, *, reduction: str) -> str:
    return f"scatter_nd({data}, {indices}, {updates}, {REDUCTIONS[reduction]!r})"


REDUCTIONS = {"none": "assign", "add": "add", "mul": "mul", "max": "amax", "min": "amin"}


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
            _list(each) if each is not None else "None" for each in (starts, ends, axes, steps)
        ]
        return f"slice_axes({x}, {', '.join(given)})"
    found = slices(x.rank, starts, ends, axes, steps)
    text = f"{x}[{found.text}]" if found.text else str(x)
    for axis, start, end, step in found.backwards:
        first = "" if isinstance(start, int) and (start == -1 or start >= LARGEST_END) else start
        if (isinstance(first, int) and first < -1) or not isinstance(start, int):
            # Python takes nothing where it starts before the first; the standard takes the first.
            first = f"max({first}, -{x}.shape[{axis}])"
        last = "" if isinstance(end, int) and end <= -LARGEST_END else end
        text += f"[{':, ' * axis}{first}:{last}:{step}]"
    return text


def Where(condition: Operand, a: Operand, b: Operand) -> str:
    plain = a.typed() == np.float32
    first, second = (f"{a:s}", f"{b:s}") if plain else (str(a), str(b))
    return f"paddle.where({condition}, {first}, {second})"


def NonZero(x: Operand) -> str:
    if x.rank == 0:
        return f"{x}.reshape([1]).nonzero().T[:0]"
    return f"{x}.nonzero().T"


def Compress(x: Operand, condition: Operand, *, axis: int | None = None) -> str:
    return f"compress({x}, {condition}, {axis})"


def OneHot(indices: Operand, depth: Numbers, values: Operand, *, axis: int) -> str:
    return f"one_hot({indices}, {_number(depth)}, {values}, {axis})"


def Trilu(x: Operand, k: Numbers | None = None, *, upper: int) -> str:
    offset = _number(k) if k is not None and k.static not in ((0,), ()) else ""
    return f"{x}.tri{'u' if upper else 'l'}({offset})"


def ReverseSequence(x: Operand, lengths: Operand, *, batch_axis: int, time_axis: int) -> str:
    return f"reverse_sequence({x}, {lengths}, {batch_axis}, {time_axis})"


def Unique(x: Operand, *, axis: int | None = None, sorted: int, node: Use) -> str:  # noqa: A002 - the standard's name
    return results(f"unique({x}, {axis}, {bool(sorted)})", node, 4)


def TopK(x: Operand, k: Numbers, *, axis: int, largest: int, sorted: int, node: Use) -> str:  # noqa: A002 - the standard's name
    text = f"top_k({x}, {_number(k)}, {axis}, {bool(largest)})"
    return results(text, node, 2)


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
    rank = x.ranked()
    if mode not in ("constant", *PAD_MODES):
        raise Refusal(f"attribute mode={mode!r}")
    if pads.items is None or (axes is not None and axes.static is None):
        chosen = _list(axes) if axes is not None else "None"
        sides_text = f"sides_of({x}, {_list(pads)}, {chosen})"
        if mode == "constant":
            return f"crop_or_pad({x}, {sides_text}{_fill(value)})"
        return f"pad_by_index({x}, {sides_text}, {mode!r})"
    sides = pads_by_axis(rank, pads, axes)
    flat = [side for pair in sides for side in pair]
    growing = all(isinstance(side, str) or side >= 0 for side in flat)
    if mode == "constant":
        fill = _fill(value)
        if not growing:
            return f"crop_or_pad({x}, {_texts(flat)}{fill})"
        extra = f", value={fill[2:]}" if fill else ""
        if rank in (3, 4, 5) and flat[:4] == [0, 0, 0, 0]:
            inner = [side for pair in reversed(sides[2:]) for side in pair]
            return f"F.pad({x}, {_texts(inner)}{extra})"
        return f"F.pad({x}, {_texts(flat)}{extra})"
    # The kernel repeats an edge any number of times, refuses to mirror more than there is, and wraps
    # wrongly what is longer than the axis.
    fits = all(isinstance(side, int) and side >= 0 for side in flat) and (
        mode != "wrap" or all(_holds(x, 2 + k, pair) for k, pair in enumerate(sides[2:]))
    )
    if fits and rank in (3, 4, 5) and flat[:4] == [0, 0, 0, 0]:
        inner = [side for pair in reversed(sides[2:]) for side in pair]
        return f"F.pad({x}, {_texts(inner)}, mode={PAD_MODES[mode]!r})"
    if fits and rank == 2 and flat[:2] == [0, 0] and _holds(x, 1, sides[1]):
        options = f"mode={PAD_MODES[mode]!r}, data_format='NCL'"
        return f"F.pad({x}.unsqueeze(1), {_texts(flat[2:])}, {options}).squeeze(1)"
    return f"pad_by_index({x}, {_texts(flat)}, {mode!r})"


def _holds(x: Operand, axis: int, sides: tuple[int | float | str, ...]) -> bool:
    """Whether an axis is known to be longer than what is added to each of its sides."""
    size = (x.shape or ())[axis]
    return isinstance(size, int) and all(not isinstance(s, str) and s < size for s in sides)


def _texts(numbers: list[int | float | str]) -> str:
    return f"[{', '.join(str(number) for number in numbers)}]"


def _fill(value: Operand | None) -> str:
    """The number that a tensor is filled with, as one more argument; nothing for zero."""
    if value is None:
        return ""
    if value.const is None:
        return f", {value}.item()"
    number = value.const.ravel()[0]
    if number == 0:
        return ""
    if number.dtype.kind == "f" and not np.isfinite(number):
        return f", float('{number}')" if number != -np.inf else ", -float('inf')"
    return f", {_short(float(number)) if number.dtype.kind in 'fV' else number.item()}"


def Resize(
    x: Operand, roi: Numbers | None = None, scales: Numbers | None = None, sizes: Numbers | None = None,
    *, antialias: int, axes: tuple[int, ...] | None = None, coordinate_transformation_mode: str,
    cubic_coeff_a: float, exclude_outside: int, extrapolation_value: float,
    keep_aspect_ratio_policy: str, mode: str, nearest_mode: str,
) -> str:  # fmt: skip
    rank = x.ranked()
    chosen = tuple(a % rank for a in axes) if axes is not None else tuple(range(rank))
    scales = scales if scales is not None and scales.items != () else None
    sizes = sizes if sizes is not None and sizes.items != () else None
    coordinates = coordinate_transformation_mode
    usual = not antialias and not exclude_outside and keep_aspect_ratio_policy == "stretch"
    if usual and rank in (3, 4, 5) and axes is None and _is_float(x):
        a = float(_short(cubic_coeff_a))
        plain = _interpolate(x, scales, sizes, mode, nearest_mode, coordinates, a)
        if plain:
            return plain
    target = (
        f"scales={_list(scales)}" if scales is not None else f"sizes={_list(sizes or Numbers(()))}"
    )
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
        extra += f", roi={_list(roi)}"
    return f"resize({x}, {list(chosen)}, {target}{extra})"


def _interpolate(
    x: Operand, scales: Numbers | None, sizes: Numbers | None, mode: str, nearest: str,
    coordinates: str, cubic_a: float,
) -> str:  # fmt: skip
    """`F.interpolate` where it computes the same; an empty text where it does not."""
    rank = x.ranked()
    numbers = scales or sizes
    if numbers is None or numbers.items is None or len(numbers.items) != rank or x.shape is None:
        return ""
    head, tail = numbers.items[:2], numbers.items[2:]
    whole = (
        scales is not None and scales.static is not None and all(f == int(f) for f in scales.static)
    )
    if scales is not None:
        if head != (1.0, 1.0) or not whole:
            return ""
        factors = tuple(int(factor) for factor in scales.known("scales")[2:])
        how = f"scale_factor={_sizes(factors)}"
    else:
        kept = zip(head, x.shape[:2], range(2), strict=True)
        if any(new != old and new != f"{x}.shape[{k}]" for new, old, k in kept):
            return ""
        how = f"size=[{', '.join(str(size) for size in tail)}]"
    layout = ", data_format='NCDHW'" if rank == 5 else ""
    if mode == "nearest" and rank > 3:
        floor = coordinates == "asymmetric" and nearest == "floor"
        # With a whole factor the nearest pixel of a half is the one that it stands in.
        half = whole and coordinates == "half_pixel" and nearest.startswith("round_prefer")
        return f"F.interpolate({x}, {how}{layout})" if floor or half else ""
    names = {("linear", 3): "linear", ("linear", 4): "bilinear", ("linear", 5): "trilinear"}
    name = names.get(
        (mode, rank), "bicubic" if (mode, rank, cubic_a) == ("cubic", 4, -0.75) else ""
    )
    layout = {3: ", data_format='NCW'", 4: "", 5: layout}[rank]
    text = f"F.interpolate({x}, {how}, mode={name!r}"
    if not name:
        return ""
    if coordinates == "align_corners":
        return f"{text}, align_corners=True{layout})"
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and whole):
        # PaddlePaddle makes a single element of the first one, not of those in the middle.
        return f"{text}{layout})" if scales is not None or 1 not in tail else ""
    if coordinates == "asymmetric" and mode == "linear":
        return f"{text}, align_mode=1{layout})"
    return ""


def CenterCropPad(x: Operand, shape: Numbers, *, axes: tuple[int, ...] | None = None) -> str:
    chosen = axes if axes is not None else tuple(range(x.ranked()))
    return f"center_crop_pad({x}, {_list(shape)}, {list(chosen)})"


def GridSample(
    x: Operand, grid: Operand, *, align_corners: int, mode: str, padding_mode: str
) -> str:
    corners = arguments(align_corners=(bool(align_corners), True))
    if mode == "linear" and x.rank in (4, 5):
        return (
            f"F.grid_sample({x}, {grid}{arguments(padding_mode=(padding_mode, 'zeros'))}{corners})"
        )
    return f"grid_sample({x}, {grid}, {mode!r}, {padding_mode!r}, {bool(align_corners)})"


def AffineGrid(theta: Operand, size: Numbers, *, align_corners: int) -> str:
    corners = arguments(align_corners=(bool(align_corners), True))
    return f"F.affine_grid({theta}, {_list(size)}{corners})"


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
    sizes = _list(shape) if shape is not None else "None"
    return (
        f"max_unpool({x}, {indices}, {tuple(kernel_shape)}, {tuple(strides or (1,) * n)}, "
        f"{tuple(sides)}, {sizes})"
    )


def Col2Im(
    x: Operand, image: Numbers, block: Numbers, *, dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    if image.static is None or block.static is None:
        options = (list(given) if given else None for given in (dilations, pads, strides))
        return f"col2im({x}, {_list(image)}, {_list(block)}, {', '.join(map(str, options))})"
    n = len(image.static)
    sides = pads or (0,) * 2 * n
    if n == 2:
        common = arguments(
            strides=(_sizes(strides or (1, 1)), 1),
            paddings=(_sizes(sides[:2]) if sides[:2] == sides[2:] else list(sides), 0),
            dilations=(_sizes(dilations or (1, 1)), 1),
        )
        return f"F.fold({x}, {_list(image)}, {_list(block)}{common})"
    return (
        f"col2im({x}, {_list(image)}, {_list(block)}, {list(dilations or (1,) * n)}, "
        f"{list(sides)}, {list(strides or (1,) * n)})"
    )


# ***** generation *****


def ConstantOfShape(shape: Numbers, *, value: Array | None = None, node: Use) -> str:
    fill = np.zeros(1, np.float32) if value is None else value
    number, dtype = fill.ravel()[0], _dtype(fill.dtype)
    extra = "" if dtype == "'float32'" else f", dtype={dtype}"
    if number == 0:
        return f"paddle.zeros({_list(shape)}{extra})"
    if number == 1:
        return f"paddle.ones({_list(shape)}{extra})"
    return f"paddle.full({_list(shape)}, {_literal(number)}, dtype={dtype})"


def _literal(number: Any) -> str:
    if number.dtype.kind in "fV":
        value = float(number)
        return repr(float(_short(value))) if np.isfinite(value) else f"float('{value}')"
    return repr(number.item())


def Range(start: Numbers, limit: Numbers, delta: Numbers, *, node: Use) -> str:
    dtype = _dtype(node.out.dtype)
    narrow = dtype not in ("'float64'", "'float32'", "'int64'", "'int32'")
    kind = f"dtype={_dtype(np.dtype(np.int32)) if narrow else dtype}"
    bounds = [_number(start), _number(limit), _number(delta)]
    if delta.static == (1,):
        bounds = bounds[1:2] if start.static == (0,) else bounds[:2]
    text = f"paddle.arange({', '.join(bounds)}, {kind})"
    return f"{text}.cast({dtype})" if narrow else text


def EyeLike(x: Operand, *, dtype: int | None = None, k: int, node: Use) -> str:
    ones = f"paddle.ones_like({x}, dtype='float32').triu({k or ''}).tril({k or ''})"
    name = _dtype(node.out.dtype)
    return ones if name == "'float32'" else f"{ones}.cast({name})"


def RandomNormal(
    *, dtype: int, mean: float, scale: float, seed: float | None = None, shape: tuple[int, ...],
    node: Use,
) -> str:  # fmt: skip
    return _normal(str(list(shape)), mean, scale, node)


def RandomNormalLike(
    x: Operand, *, dtype: int | None = None, mean: float, scale: float, seed: float | None = None,
    node: Use,
) -> str:  # fmt: skip
    return _normal(f"{x}.shape", mean, scale, node)


def _normal(shape: str, mean: float, scale: float, node: Use) -> str:
    return _drawn(f"paddle.normal({_short(mean)}, {_short(scale)}, {shape})", node)


def RandomUniform(
    *, dtype: int, low: float, high: float, seed: float | None = None, shape: tuple[int, ...],
    node: Use,
) -> str:  # fmt: skip
    return _uniform(str(list(shape)), low, high, node)


def RandomUniformLike(
    x: Operand, *, dtype: int | None = None, low: float, high: float, seed: float | None = None,
    node: Use,
) -> str:  # fmt: skip
    return _uniform(f"{x}.shape", low, high, node)


def _uniform(shape: str, low: float, high: float, node: Use) -> str:
    return _drawn(f"paddle.uniform({shape}, min={_short(low)}, max={_short(high)})", node)


def Bernoulli(x: Operand, *, dtype: int | None = None, seed: float | None = None, node: Use) -> str:
    return f"paddle.bernoulli({x}).cast({_dtype(node.out.dtype)})"


def Multinomial(
    x: Operand, *, dtype: int, sample_size: int, seed: float | None = None, node: Use
) -> str:
    draws = f"paddle.multinomial(F.softmax({x}), {sample_size}, replacement=True)"
    return (
        draws if _dtype(node.out.dtype) == "'int64'" else f"{draws}.cast({_dtype(node.out.dtype)})"
    )


def _drawn(text: str, node: Use) -> str:
    """Random numbers, which PaddlePaddle draws in float32, in the type of the output."""
    name = _dtype(node.out.dtype)
    return text if name == "'float32'" else f"{text}.cast({name})"


def HannWindow(size: Numbers, *, output_datatype: int, periodic: int, node: Use) -> str:
    return _cosines(size, "[0.5, 0.5]", periodic, node)


def HammingWindow(size: Numbers, *, output_datatype: int, periodic: int, node: Use) -> str:
    return _cosines(size, "[25 / 46, 21 / 46]", periodic, node)


def BlackmanWindow(size: Numbers, *, output_datatype: int, periodic: int, node: Use) -> str:
    return _cosines(size, "[0.42, 0.5, 0.08]", periodic, node)


def _cosines(size: Numbers, coefficients: str, periodic: int, node: Use) -> str:
    text = f"cosine_window({_number(size)}, {coefficients}, {bool(periodic)})"
    return f"{text}.cast({_dtype(node.out.dtype)})"


def _dtype(dtype: np.dtype[np.generic] | None) -> str:
    name = "unknown" if dtype is None else dtype.name
    if name not in DTYPES:
        raise Refusal(f"element type {name}")
    return f"'{name}'"


DTYPES = {
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "complex64", "complex128",
}  # fmt: skip


# ***** types *****


def Cast(x: Operand, *, to: int, saturate: int, node: Use) -> str:
    return f"{x}.cast({_dtype(node.out.dtype)})"


def CastLike(x: Operand, target: Operand, *, saturate: int) -> str:
    return f"{x}.cast({_dtype(target.dtype)})"


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
    if dtype is None or dtype.name not in ("int8", "uint8", "int16", "int32"):
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
    left = f"{a}.cast('int32')" if a_zero is None else f"shifted({a}, {a_zero}, -2)"
    right = f"{b}.cast('int32')" if b_zero is None else f"shifted({b}, {b_zero}, -1)"
    return f"{left} @ {right}"


def ConvInteger(
    x: Operand, w: Operand, x_zero: Operand | None = None, w_zero: Operand | None = None, *,
    auto_pad: str, group: int, dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    options = _convolution(x, w, auto_pad, group, dilations, kernel_shape, pads, strides)
    return f"convolve_integers({x}, {w}, {x_zero}, {w_zero}{options})"


def _convolution(
    x: Operand, w: Operand, auto_pad: str, group: int, dilations: tuple[int, ...] | None,
    kernel_shape: tuple[int, ...] | None, pads: tuple[int, ...] | None, strides: tuple[int, ...] | None,
) -> str:  # fmt: skip
    """The options of a convolution of integers, as arguments."""
    n = w.ranked() - 2
    kernel = tuple(kernel_shape or (w.value.static_shape or ())[2:])
    if len(kernel) != n or n not in (1, 2, 3):
        raise Refusal(f"a kernel of {n} dimensions")
    win = window(
        x.shape, kernel, auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )
    if win.same:
        raise Refusal(f"attribute auto_pad={auto_pad!r} with dynamic sizes")
    return arguments(
        stride=(_sizes(win.strides), 1), padding=(_sides(win), 0), dilation=(_sizes(win.dilations), 1),
        groups=(group, 1),
    )  # fmt: skip


def QLinearMatMul(
    a: Operand, a_scale: Operand, a_zero: Operand, b: Operand, b_scale: Operand, b_zero: Operand,
    y_scale: Operand, y_zero: Operand, *, node: Use,
) -> str:  # fmt: skip
    info = np.iinfo(_integer(node))
    return (
        f"requantize(shifted({a}, {a_zero}, -2) @ shifted({b}, {b_zero}, -1), "
        f"{a_scale}, {b_scale}, {y_scale}, {y_zero}, {info.min}, {info.max})"
    )


def QLinearConv(
    x: Operand, x_scale: Operand, x_zero: Operand, w: Operand, w_scale: Operand, w_zero: Operand,
    y_scale: Operand, y_zero: Operand, b: Operand | None = None, *, auto_pad: str, group: int,
    dilations: tuple[int, ...] | None = None, kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None, node: Use,
) -> str:  # fmt: skip
    options = _convolution(x, w, auto_pad, group, dilations, kernel_shape, pads, strides)
    info, n = np.iinfo(_integer(node)), w.ranked() - 2
    shape = [-1, *[1] * n]
    text = f"convolve_integers({x}, {w}, {x_zero}, {w_zero}{options})"
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
    plain = set(names) == set(usual) and names[:2] == usual and not clip and linear_before_reset
    if plain and lengths is None and direction != "reverse" and _owns(w, r, b):
        constructor, weights = _recurrent("GRU", w, r, b, direction, bool(layout))
        state = f", {h}" if h is not None else ""
        call = f"run_gru(layer, {x}{state}{arguments(batch_first=(bool(layout), False))})"
        return Layer(constructor, weights, results(call, node, 2), "gru")
    given = f"{x}, {w}, {r}, {b}, {lengths}, {h}, {names}, {direction!r}"
    options = arguments(
        clip=(clip, None),
        layout=(layout, 0),
        linear_before_reset=(bool(linear_before_reset), False),
    )
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
    directions = 2 if direction == "bidirectional" else 1
    names = tuple(given or usual * directions)
    if alpha or beta or any(name.lower() not in CELL_ACTIVATIONS for name in names):
        raise Refusal(f"activations={names}, activation_alpha={alpha}, activation_beta={beta}")
    return tuple(CELL_ACTIVATIONS[name.lower()] for name in names)


def _recurrent(
    name: str, w: Operand, r: Operand, b: Operand | None, direction: str, batch_first: bool,
    nonlinearity: str = "tanh", layer: int = 0, layers: int = 1,
) -> Made:  # fmt: skip
    """A module of PaddlePaddle, and its weights."""
    into, hidden, weights = gate_weights(name, w, r, b, layer, zeros=True)
    options = arguments(
        num_layers=(layers, 1),
        activation=(nonlinearity, "tanh"),
        direction=("bidirect" if direction == "bidirectional" else "forward", "forward"),
        time_major=(not batch_first, False),
    )
    title = "SimpleRNN" if name == "RNN" else name
    return f"nn.{title}({into}, {hidden}{options})", weights


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
    return f"mel_weight_matrix({numbers}).cast({_dtype(node.out.dtype)})"


# ***** com.microsoft: what the standard has no nodes for, see graph/contrib.py *****


def com_microsoft_Inverse(x: Operand) -> str:
    return f"paddle.inverse({x})"
