"""ONNX operators in PyTorch; see `converters.emitters.table` for how to read and extend it.

Semantics follow the standard, not PyTorch, where they differ. Sources: the operator pages of ONNX and
the documentation of torch 2.13. Families and operators stand in the same order in every framework.
"""
# ruff: noqa: N802, D103 - functions are named as the operators that they write, which the standard documents

from __future__ import annotations

import re
from typing import Any

import numpy as np

from converters.emitters.arith import (
    Window,
    arguments,
    broadcast_sizes,
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
from converters.graph.model import Value

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
    "BitwiseAnd": "{A:s} & {B:s}",
    "BitwiseOr": "{A:s} | {B:s}",
    "BitwiseXor": "{A:s} ^ {B:s}",
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
    "Relu": "F.relu({X})",
    "LeakyRelu": "F.leaky_relu({X}, {alpha})",
    "Elu": "F.elu({X}, {alpha})",
    "Celu": "F.celu({X}, {alpha})",
    "Sigmoid": "{X}.sigmoid()",
    "HardSwish": "F.hardswish({X})",
    "Silu": "F.silu({X})",
    "Mish": "F.mish({X})",
    "Tanh": "{input}.tanh()",
    "Softplus": "F.softplus({X})",
    "Softsign": "F.softsign({input})",
    "Softmax": "F.softmax({input}, dim={axis})",
    "LogSoftmax": "F.log_softmax({input}, dim={axis})",
    # ***** matrices *****
    "Det": "torch.linalg.det({X})",
    # ***** images *****
    "ImageDecoder": "decode_image({encoded_stream}, {pixel_format!r})",
    # ***** indexing *****
    "NonZero": "{X}.nonzero().T",
}  # fmt: skip


# ***** arithmetic *****


def Div(a: Operand, b: Operand) -> str:
    if a.typed().kind in "iu":
        return f"torch.div({a}, {b:s}, rounding_mode='trunc')"
    return f"{a:s} / {b:s}"


def Mod(a: Operand, b: Operand, *, fmod: int) -> str:
    function = "torch.fmod" if fmod else "torch.remainder"
    if a.typed() == np.uint64:
        return f"remainder_uint64({a}, {b})"
    if a.typed().name in UNSIGNED:
        return f"{function}({_wide(a)}, {_wide(b)}).to({a}.dtype)"
    return f"{function}({a}, {b:s})"


def Pow(x: Operand, y: Operand) -> str:
    if x.typed() != y.typed() and not y.number:
        return f"({x} ** {y}).to({x}.dtype)"
    if y.number:
        exponent = y.real
        if exponent == 0.5 and x.typed().kind == "f":
            return f"{x}.sqrt()"
        if exponent == int(exponent):
            return f"{x:s} ** {int(exponent)}"
        return f"({x:s} ** {y:s}).to({x}.dtype)" if x.typed().kind in "iu" else f"{x:s} ** {y:s}"
    return f"{x:s} ** {y}"


def Sum(*xs: Operand) -> str:
    return " + ".join(str(x) for x in xs)


def Mean(*xs: Operand) -> str:
    return f"({Sum(*xs)}) / {len(xs)}"


def Max(*xs: Operand) -> str:
    return _extreme_of("torch.maximum", xs)


def Min(*xs: Operand) -> str:
    return _extreme_of("torch.minimum", xs)


def _extreme_of(function: str, xs: tuple[Operand, ...]) -> str:
    if xs[0].typed() == np.uint64 and len(xs) > 1:
        return nested(function.replace("torch.", "uint64_"), xs)
    if len(xs) == 1 or _wide(xs[0]) == str(xs[0]):
        return nested(function, xs)
    return f"{nested(function, [_wide(x) for x in xs])}.to({xs[0]}.dtype)"


# Unsigned integers in which PyTorch hardly computes; its 64 bits have no wider type.
UNSIGNED = {"uint16": "int16", "uint32": "int32", "uint64": "int64"}


def _wide(x: Operand) -> str:
    """A tensor in a type that PyTorch computes in."""
    if x.typed() == np.uint64:
        raise Refusal("element type uint64")
    return f"{x}.long()" if x.typed().name in UNSIGNED else str(x)


def BitwiseNot(x: Operand) -> str:
    name = x.typed().name
    if name in UNSIGNED:
        return f"(~{x}.view(torch.{UNSIGNED[name]})).view(torch.{name})"
    return f"~{x}"


def BitShift(x: Operand, y: Operand, *, direction: str) -> str:
    sign = "<<" if direction == "LEFT" else ">>"
    return f"(({x}.to(torch.int64) {sign} {y}.to(torch.int64))).to({x}.dtype)"


def IsInf(x: Operand, *, detect_negative: int, detect_positive: int) -> str:
    if detect_negative and detect_positive:
        return f"{x}.isinf()"
    if detect_negative:
        return f"{x}.isneginf()"
    return f"{x}.isposinf()" if detect_positive else f"torch.zeros_like({x}, dtype=torch.bool)"


def Clip(x: Operand, low: Operand | None = None, high: Operand | None = None) -> str:
    if low is None and high is None:
        return str(x)
    if all(bound is None or bound.number for bound in (low, high)):
        if low is not None and high is None and low.real == 0 and x.typed().kind == "f":
            return f"F.relu({x})"
        if low is None:
            return f"{x}.clamp(max={high:s})"
        return f"{x}.clamp({low:s}, {high:s})" if high is not None else f"{x}.clamp({low:s})"
    # A tensor bound; the upper one wins where they cross.
    text = f"torch.maximum({x}, {low})" if low is not None else str(x)
    return f"torch.minimum({text}, {high})" if high is not None else text


def Bounded(x: Operand, low: Operand | None = None, high: Operand | None = None) -> str:
    return Clip(x, low, high)


# ***** activations *****


def Gelu(x: Operand, *, approximate: str) -> str:
    return f"F.gelu({x}, approximate='tanh')" if approximate == "tanh" else f"F.gelu({x})"


def HardSigmoid(x: Operand, *, alpha: float, beta: float) -> str:
    if np.isclose(alpha, 1 / 6) and beta == 0.5:
        return f"F.hardsigmoid({x})"
    return f"({x} * {alpha} + {beta}).clamp(0, 1)"


def Selu(x: Operand, *, alpha: float, gamma: float) -> str:
    return f"torch.where({x} > 0, {gamma} * {x}, {gamma * alpha} * ({x}.exp() - 1))"


def ThresholdedRelu(x: Operand, *, alpha: float) -> str:
    return f"F.threshold({x}, {alpha}, 0.0)"


def Shrink(x: Operand, *, bias: float, lambd: float) -> str:
    return f"shrink({x}, {bias}, {lambd})"


def Hardmax(x: Operand, *, axis: int) -> str:
    return f"hardmax({x}, {axis})"


def PRelu(x: Operand, slope: Operand) -> str | Layer:
    data, rank = slope.weight, x.rank
    if data is not None and rank is not None and rank > 1:
        channels = data.reshape(-1).size
        if data.size == 1 or data.shape in (
            (channels, *(1,) * (rank - 2)),
            (1, channels, *(1,) * (rank - 2)),
        ):
            weight = slope.relaid(data.reshape(-1))
            count = f"{channels}" if channels > 1 else ""
            return Layer(f"nn.PReLU({count})", {"weight": weight}, f"layer({x})", "prelu")
    return f"torch.where({x} < 0, {x} * {slope:s}, {x})"


# ***** normalisation *****


def BatchNormalization(
    x: Operand, scale: Operand, b: Operand, mean: Operand, var: Operand, *, epsilon: float,
    momentum: float, training_mode: int, node: Use,
) -> str | Layer:  # fmt: skip
    if training_mode:
        given = f"{x}, {scale}, {b}, {mean}, {var}, {epsilon}, {momentum}"
        return results(f"batch_norm_training({given})", node, 3)
    weights = [scale.weight, b.weight, mean.weight, var.weight]
    if all(w is not None for w in weights) and x.rank in (2, 3, 4, 5):
        n = {2: 1, 3: 1, 4: 2, 5: 3}[x.rank or 4]
        return Layer(
            f"nn.BatchNorm{n}d({scale.value.const.size if scale.value.const is not None else 0}"
            f"{arguments(eps=(epsilon, 1e-05), momentum=(round(1 - momentum, 7), 0.1))})",
            {
                "weight": scale.value,
                "bias": b.value,
                "running_mean": mean.value,
                "running_var": var.value,
            },
            f"layer({x})",
            "bn",
        )
    return f"F.batch_norm({x}, {mean}, {var}, {scale}, {b}, eps={epsilon})"


def InstanceNormalization(x: Operand, scale: Operand, b: Operand, *, epsilon: float) -> str | Layer:
    if not scale.value.trainable and _is_neutral(scale, b):
        return f"F.instance_norm({x}, eps={epsilon})"
    if scale.weight is not None and b.weight is not None and x.rank in (3, 4, 5):
        return Layer(
            f"nn.InstanceNorm{(x.rank or 4) - 2}d({scale.weight.size}"
            f"{arguments(eps=(epsilon, 1e-05))}, affine=True)",
            {"weight": scale.value, "bias": b.value},
            f"layer({x})",
            "norm",
        )
    return f"F.instance_norm({x}, weight={scale}, bias={b}, eps={epsilon})"


def _is_neutral(scale: Operand, b: Operand) -> bool:
    """Whether a normalisation scales by one and shifts by zero."""
    if scale.const is None or b.const is None:
        return False
    return bool(np.all(scale.const == 1) and np.all(b.const == 0))


def LayerNormalization(
    x: Operand, scale: Operand, b: Operand | None = None, *, axis: int, epsilon: float,
    stash_type: int, node: Use,
) -> str | Layer:  # fmt: skip
    rank = x.ranked()
    if node.outputs > 1:
        return results(
            f"layer_norm_with_statistics({x}, {scale}, {b}, {axis % rank}, {epsilon})", node, 3
        )
    if scale.weight is not None and (b is None or b.weight is not None):
        if scale.weight.ndim == rank - axis % rank:
            shape = one(scale.weight.shape) if scale.weight.ndim == 1 else scale.weight.shape
            return Layer(
                f"nn.LayerNorm({shape}{arguments(eps=(epsilon, 1e-05), bias=(b is not None, True))})",
                {"weight": scale.value, "bias": b.value if b is not None else None},
                f"layer({x})",
                "norm",
            )
    return f"F.layer_norm({x}, {x}.shape[{axis % rank}:], {scale}, {b}, {epsilon})"


def GroupNormalization(
    x: Operand, scale: Operand, b: Operand, *, num_groups: int, epsilon: float, stash_type: int
) -> str | Layer:
    if scale.weight is not None and b.weight is not None:
        return Layer(
            f"nn.GroupNorm({num_groups}, {scale.weight.size}{arguments(eps=(epsilon, 1e-05))})",
            {"weight": scale.value, "bias": b.value},
            f"layer({x})",
            "norm",
        )
    return f"F.group_norm({x}, {num_groups}, {scale}, {b}, {epsilon})"


def LRN(x: Operand, *, alpha: float, beta: float, bias: float, size: int) -> str:
    if size % 2 == 0:
        raise Refusal(f"attribute size={size}")
    return f"F.local_response_norm({x}, {size}, {alpha}, {beta}, {bias})"


def LpNormalization(x: Operand, *, axis: int, p: int) -> str:
    return f"{x} / {x}.norm({p}, dim={axis}, keepdim=True)"


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
    source = _padded(x, win)
    padding = one(win.begin) if win.symmetric else 0
    common = arguments(
        stride=(one(win.strides), 1),
        padding=(padding, 0),
        dilation=(one(win.dilations), 1),
        groups=(group, 1),
    )
    if w.weight is not None and (b is None or b.weight is not None):
        out, into = w.weight.shape[0], w.weight.shape[1] * group
        bias = arguments(bias=(b is not None, True))
        return Layer(
            f"nn.Conv{n}d({into}, {out}, {one(kernel)}{common}{bias})",
            {"weight": w.value, "bias": b.value if b is not None else None},
            f"layer({source})",
            "conv",
        )
    bias = f", {b}" if b is not None else ""
    return f"F.conv{n}d({source}, {w}{bias}{common})"


def _padded(x: Operand | str, win: Window, value: str = "") -> str:
    """The input with the padding that PyTorch's own argument cannot say."""
    extra = f", {value}" if value else ""
    if win.same:
        return f"pad_same({x}, {win.kernel}, {win.strides}, {win.dilations}, {win.same!r}{extra})"
    if win.symmetric:
        return str(x)
    pairs = zip(reversed(win.begin), reversed(win.end), strict=True)
    pads = tuple(side for pair in pairs for side in pair)
    return f"F.pad({x}, {pads}{f', value={value}' if value else ''})"


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
    extra = output_padding or (0,) * n
    begin, end = (0,) * n, (0,) * n
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        sizes = (x.shape or ())[2:]
        if len(sizes) != n or not all(isinstance(size, int) for size in sizes):
            raise Refusal(
                f"attribute {'output_shape' if output_shape else f'auto_pad={auto_pad!r}'} with dynamic sizes"
            )
        totals = []
        for k in range(n):
            size = int(sizes[k] or 0)
            full = strides[k] * (size - 1) + extra[k] + (kernel[k] - 1) * dilations[k] + 1
            wanted = output_shape[-n:][k] if output_shape else size * strides[k]
            totals.append(full - wanted)
        if any(total < 0 for total in totals):
            if not output_shape:
                raise Refusal(f"attribute auto_pad={auto_pad!r} with strides above the kernel")
            extra = tuple(e + max(-t, 0) for e, t in zip(extra, totals, strict=True))
            totals = [max(t, 0) for t in totals]
        small = tuple(t // 2 for t in totals)
        large = tuple(t - s for t, s in zip(totals, small, strict=True))
        begin, end = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    elif pads:
        begin, end = tuple(pads[:n]), tuple(pads[n:])
    symmetric = begin == end and all(
        e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)
    )
    padding = begin if symmetric else (0,) * n
    crop = ""
    if not symmetric:
        negative = tuple(
            side for k in reversed(range(n)) for side in (-begin[k], extra[k] - end[k])
        )
        crop, extra = f"F.pad({{}}, {negative})", (0,) * n
    common = arguments(
        stride=(one(strides), 1),
        padding=(one(padding), 0),
        output_padding=(one(extra), 0),
        groups=(group, 1),
    )
    if w.weight is not None and (b is None or b.weight is not None) and not crop:
        into, out = w.weight.shape[0], w.weight.shape[1] * group
        rest = arguments(bias=(b is not None, True), dilation=(one(dilations), 1))
        return Layer(
            f"nn.ConvTranspose{n}d({into}, {out}, {one(kernel)}{common}{rest})",
            {"weight": w.value, "bias": b.value if b is not None else None},
            f"layer({x})",
            "up",
        )
    bias = f", {b}" if b is not None and not crop else ""
    text = f"F.conv_transpose{n}d({x}, {w}{bias}{common}{arguments(dilation=(one(dilations), 1))})"
    if not crop:
        return text
    text = crop.format(text)
    return f"{text} + {b}.reshape({', '.join(['-1', *['1'] * n])})" if b is not None else text


def DeformConv(
    x: Operand, w: Operand, offset: Operand, b: Operand | None = None, mask: Operand | None = None, *,
    group: int, offset_group: int, dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    if w.rank != 4:
        raise Refusal(f"a kernel of rank {w.rank}")
    win = window(x.shape, (1, 1), strides=strides, dilations=dilations, pads=pads)
    options = "".join(f", {k}={v}" for k, v in {"bias": b, "mask": mask}.items() if v is not None)
    options += arguments(
        stride=(win.strides, (1, 1)),
        padding=(win.begin, (0, 0)),
        dilation=(win.dilations, (1, 1)),
        groups=(group, 1),
        offset_groups=(offset_group, 1),
    )
    return f"deform_conv({x}, {w}, {offset}{options})"


# ***** pooling *****


def MaxPool(
    x: Operand, *, auto_pad: str, ceil_mode: int, kernel_shape: tuple[int, ...], storage_order: int,
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None, node: Use,
) -> str:  # fmt: skip
    win = _pooling(x, kernel_shape, auto_pad, strides, dilations, pads)
    if node.outputs > 1:
        return f"max_pool_with_indices({_pooled(x, win, ceil_mode)}, {bool(storage_order)})"
    whole = x.typed().kind in "iu"
    # Padded beforehand, the input would seem larger than it is to windows that may hang over.
    if not _fits(win) and (whole or ceil_mode or win.symmetric):
        return f"max_pool({_pooled(x, win, ceil_mode)})"
    source = f"{x}.double()" if whole else _padded(x, win, "float('-inf')")
    common = arguments(
        padding=(one(win.begin) if _fits(win) else 0, 0),
        dilation=(one(win.dilations), 1),
        ceil_mode=(bool(ceil_mode), False),
    )
    return f"F.max_pool{len(win.kernel)}d({source}, {_sizes(win)}{common})" + (
        f".to({x}.dtype)" if whole else ""
    )


def _pooling(
    x: Operand, kernel: tuple[int, ...], auto_pad: str, strides: tuple[int, ...] | None,
    dilations: tuple[int, ...] | None, pads: tuple[int, ...] | None,
) -> Window:  # fmt: skip
    if len(kernel) not in (1, 2, 3):
        raise Refusal(f"{len(kernel)} dimensions")
    return pool_window(
        x.shape,
        tuple(kernel),
        auto_pad=auto_pad,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )


def _fits(win: Window) -> bool:
    """Whether PyTorch's own argument of a pooling can say the padding."""
    return win.symmetric and all(2 * p <= k for p, k in zip(win.begin, win.kernel, strict=True))


def _sizes(win: Window) -> str:
    """Kernel and stride, as PyTorch's poolings take them."""
    stride = f", stride={one(win.strides)}" if win.strides != win.kernel else ""
    return f"{one(win.kernel)}{stride}"


def _pooled(x: Operand, win: Window, ceil_mode: int) -> str:
    """What the general pooling functions are given."""
    pads = repr(win.same) if win.same else str((*win.begin, *win.end))
    return f"{x}, {win.kernel}, {win.strides}, {win.dilations}, {pads}, {bool(ceil_mode)}"


def AveragePool(
    x: Operand, *, auto_pad: str, ceil_mode: int, count_include_pad: int, kernel_shape: tuple[int, ...],
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    win = _pooling(x, kernel_shape, auto_pad, strides, dilations, pads)
    if not _fits(win) or set(win.dilations) != {1} or (ceil_mode and win.padded):
        return f"average_pool({_pooled(x, win, ceil_mode)}, {bool(count_include_pad)})"
    common = arguments(
        padding=(one(win.begin), 0),
        ceil_mode=(bool(ceil_mode), False),
        count_include_pad=(bool(count_include_pad) or not win.padded, True),
    )
    return f"F.avg_pool{len(win.kernel)}d({x}, {_sizes(win)}{common})"


def GlobalAveragePool(x: Operand) -> str:
    n = x.ranked() - 2
    return (
        f"F.adaptive_avg_pool{n}d({x}, 1)"
        if n in (1, 2, 3)
        else f"{x}.mean(dim={tuple(range(2, n + 2))}, keepdim=True)"
    )


def GlobalMaxPool(x: Operand) -> str:
    return f"{x}.amax(dim={tuple(range(2, x.ranked()))}, keepdim=True)"


def LpPool(
    x: Operand, *, auto_pad: str, kernel_shape: tuple[int, ...], p: int, ceil_mode: int,
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    win = _pooling(x, kernel_shape, auto_pad, strides, dilations, pads)
    return f"lp_pool({_pooled(x, win, ceil_mode)}, {p})"


def GlobalLpPool(x: Operand, *, p: int) -> str:
    return f"({x}.abs() ** {p}).sum(dim={tuple(range(2, x.ranked()))}, keepdim=True) ** (1 / {p})"


def MaxUnpool(
    x: Operand, indices: Operand, shape: Numbers | None = None, *, kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    win = window(x.shape, tuple(kernel_shape), strides=strides, pads=pads)
    options = arguments(pads=((*win.begin, *win.end) if win.padded else None, None))
    options += f", shape={shape}" if shape is not None else ""
    return f"max_unpool({x}, {indices}, {win.kernel}, {win.strides}{options})"


# ***** matrices *****


def MatMul(a: Operand, b: Operand) -> str:
    return f"{a} @ {b}"


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
    left = f"{a}.T" if transA else str(a)
    right = f"{b}.T" if transB else str(b)
    text = f"{left} @ {right}"
    if alpha != 1:
        text = f"{alpha} * ({text})"
    if c is None:
        return text
    return f"{text} + {c}" if beta == 1 else f"{text} + {beta} * {c}"


def Linear(x: Operand, w: Operand, b: Operand | None = None) -> str | Layer:
    if w.weight is not None and (b is None or b.weight is not None):
        into, out = w.weight.shape
        return Layer(
            f"nn.Linear({into}, {out}{arguments(bias=(b is not None, True))})",
            {"weight": w.relaid(w.weight.T), "bias": b.value if b is not None else None},
            f"layer({x})",
            "linear",
        )
    return f"{x} @ {w} + {b}" if b is not None else f"{x} @ {w}"


def Einsum(*xs: Operand, equation: str) -> str:
    return f"torch.einsum({equation.replace(' ', '')!r}, {', '.join(str(x) for x in xs)})"


# ***** attention *****


def ScaledDotProductAttention(
    q: Operand, k: Operand, v: Operand, mask: Operand | None = None, *, scale: float
) -> str:
    width = (q.shape or (None,))[-1]
    usual = isinstance(width, int) and np.isclose(scale, width**-0.5, rtol=1e-6)
    rest = "" if usual else f", scale={scale}"
    mask_text = f", attn_mask={mask}" if mask is not None else ""
    return f"F.scaled_dot_product_attention({q}, {k}, {v}{mask_text}{rest})"


# ***** embedding *****


def Embedding(w: Operand, i: Operand) -> str | Layer:
    if w.weight is not None:
        rows, width = w.weight.shape
        return Layer(
            f"nn.Embedding({rows}, {width})", {"weight": w.value}, f"layer({i})", "embedding"
        )
    return f"F.embedding({i}, {w})"


# ***** reduction *****


def _reduced(
    x: str, method: str, axes: Numbers | None, keepdims: int, noop: int, rank: int | None
) -> str:
    if axes is not None and axes.static is None:
        # No axes at all mean all of them here and there.
        text = f"{x}.{method}(dim={axes}{', keepdim=True' if keepdims else ''})"
        return f"({text} if {axes} else {x})" if noop and axes.items is None else text
    chosen = reduced_axes(axes, noop)
    if chosen == ():
        return x
    if chosen is None:
        if not keepdims:
            return f"{x}.{method}()"
        if rank is None:
            raise Refusal("a reduction of all axes of unknown rank with keepdims=1")
        chosen = tuple(range(rank))
        if not chosen:
            return x
    dims = chosen[0] if len(chosen) == 1 else chosen
    return f"{x}.{method}(dim={dims}{', keepdim=True' if keepdims else ''})"


def _axes(x: Operand, axes: Numbers | None, noop: int) -> str:
    """The axes of a reduction that must be told all of them; an empty text for none."""
    if axes is not None and axes.static is None:
        if noop:
            axes.known("axes")
        # No axes at all mean all of them.
        return f"{axes} or tuple(range({x}.dim()))" if axes.items is None else str(axes)
    chosen = reduced_axes(axes, noop)
    dims = tuple(range(x.ranked())) if chosen is None else chosen
    return str(dims) if dims else ""


def _keep(x: Operand, text: str) -> str:
    """Sums of small integers are 64 bits wide in PyTorch; the standard keeps the type."""
    return text if _is_float(x) or x.typed() == np.int64 else f"{text}.to({x}.dtype)"


def _is_float(x: Operand) -> bool:
    # Kind V: bfloat16 and the like.
    return x.typed().kind in "fcV"


def ReduceSum(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _keep(data, _reduced(str(data), "sum", axes, keepdims, noop_with_empty_axes, data.rank))


def ReduceMean(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    whole = not _is_float(data)
    source = f"{data}.double()" if whole else str(data)
    text = _reduced(source, "mean", axes, keepdims, noop_with_empty_axes, data.rank)
    return f"{text}.to({data}.dtype)" if whole else text


def ReduceMax(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _extreme(data, "amax", axes, keepdims, noop_with_empty_axes)


def ReduceMin(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _extreme(data, "amin", axes, keepdims, noop_with_empty_axes)


def _extreme(data: Operand, method: str, axes: Numbers | None, keepdims: int, noop: int) -> str:
    unknown = axes is not None and axes.static is None
    if unknown or 0 in (data.shape or ()):
        dims = _axes(data, axes, noop)
        return f"reduce_{method}({data}, {dims}, {bool(keepdims)})" if dims else str(data)
    if data.typed().kind == "b":
        text = _reduced(f"{data}.to(torch.uint8)", method, axes, keepdims, noop, data.rank)
        return f"{text}.bool()"
    return _reduced(str(data), method, axes, keepdims, noop, data.rank)


def ReduceProd(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    dims = _axes(data, axes, noop_with_empty_axes)
    return _keep(data, f"reduce_prod({data}, {dims}, {bool(keepdims)})") if dims else str(data)


def ReduceL1(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _keep(
        data, _reduced(f"{data}.abs()", "sum", axes, keepdims, noop_with_empty_axes, data.rank)
    )


def ReduceL2(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    whole = not _is_float(data)
    source = f"{data}.double()" if whole else str(data)
    text = _reduced(f"{source}.square()", "sum", axes, keepdims, noop_with_empty_axes, data.rank)
    return f"{text}.sqrt(){f'.to({data}.dtype)' if whole else ''}"


def ReduceSumSquare(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    return _keep(
        data, _reduced(f"({data} * {data})", "sum", axes, keepdims, noop_with_empty_axes, data.rank)
    )


def ReduceLogSum(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    whole = not _is_float(data)
    source = f"{data}.double()" if whole else str(data)
    text = _reduced(source, "sum", axes, keepdims, noop_with_empty_axes, data.rank)
    return f"{text}.log(){f'.to({data}.dtype)' if whole else ''}"


def ReduceLogSumExp(
    data: Operand, axes: Numbers | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> str:
    if not _is_float(data):
        # The standard rounds the sum, ONNX Runtime each exponential.
        raise Refusal(f"element type {data.typed()}")
    dims = _axes(data, axes, noop_with_empty_axes)
    return f"{data}.logsumexp({dims}, keepdim={bool(keepdims)})" if dims else str(data)


def ArgMax(data: Operand, *, axis: int, keepdims: int, select_last_index: int) -> str:
    return _arg(data, "argmax", axis, keepdims, select_last_index)


def ArgMin(data: Operand, *, axis: int, keepdims: int, select_last_index: int) -> str:
    return _arg(data, "argmin", axis, keepdims, select_last_index)


def _arg(data: Operand, method: str, axis: int, keepdims: int, last: int) -> str:
    keep = ", keepdim=True" if keepdims else ""
    if last:
        return f"{data}.shape[{axis}] - 1 - {data}.flip({axis}).{method}(dim={axis}{keep})"
    return f"{data}.{method}(dim={axis}{keep})"


def CumSum(x: Operand, axis: Numbers, *, exclusive: int, reverse: int) -> str:
    dim = str(axis) if axis.scalar else axis.args
    text = f"{x}.flip({dim})" if reverse else str(x)
    text = _keep(x, f"{text}.cumsum({dim})")
    if exclusive:
        text = f"({text} - {x}.flip({dim}))" if reverse else f"({text} - {x})"
    return f"{text}.flip({dim})" if reverse else text


# ***** shape *****


def Reshape(x: Operand, shape: Numbers, *, allowzero: int, node: Use) -> str:
    if shape.items is None and not allowzero:
        return f"reshape({x}, {shape})"
    merged = merged_from(x, shape)
    if merged is not None:
        return f"{x}.flatten({merged or ''})"
    parts = split_last(x, shape, node.out.shape)
    if parts is not None:
        return f"{x}.unflatten(-1, {parts})"
    return f"{x}.reshape({shape.args or '()'})"


def Transpose(x: Operand, *, perm: tuple[int, ...] | None = None) -> str:
    order = tuple(perm) if perm is not None else tuple(reversed(range(x.ranked())))
    moved = [k for k, axis in enumerate(order) if k != axis]
    if len(moved) == 2:
        a, b = moved
        if b == len(order) - 1 and a == b - 1 and b > 1:
            return f"{x}.transpose(-2, -1)"
        return f"{x}.transpose({a}, {b})"
    return f"{x}.permute({', '.join(str(axis) for axis in order)})"


def Flatten(x: Operand, *, axis: int) -> str:
    rank = x.ranked()
    axis = axis % rank if axis < 0 else axis
    if axis == 1 and rank > 1:
        return f"{x}.flatten(1)"
    if axis == 0:
        return f"{x}.reshape(1, -1)"
    if axis == rank:
        return f"{x}.reshape(-1, 1)"
    return f"{x}.flatten({axis}).flatten(0, {axis - 1})"


def Squeeze(x: Operand, axes: Numbers | None = None) -> str:
    if axes is None:
        return f"{x}.squeeze()"
    found = axes.static
    if found is None:
        return f"{x}.squeeze({axes if axes.items is not None else f'tuple({axes})'})"
    return f"{x}.squeeze({found[0] if len(found) == 1 else found})"


def Unsqueeze(x: Operand, axes: Numbers) -> str:
    found, rank = axes.static, x.rank
    if found is None:
        return f"unsqueeze({x}, {axes})"
    if any(axis < 0 for axis in found) and len(found) > 1:
        if rank is None:
            raise Refusal(f"axes={found} of a tensor of unknown rank")
        found = tuple(axis % (rank + len(found)) for axis in found)
    return f"{x}" + "".join(f".unsqueeze({axis})" for axis in sorted(found))


def Expand(x: Operand, shape: Numbers) -> str:
    sizes = broadcast_sizes(x, shape)
    if sizes is None:
        return f"{x}.expand(torch.broadcast_shapes({x}.shape, {shape}))"
    own = [size_of(x, axis) for axis in range(len(x.shape or ()))]
    new = len(sizes) - len(own)
    kept = [-1 if size == own[k] else size for k, size in enumerate(sizes[new:])]
    if not new and set(kept) <= {-1}:
        return str(x)
    return f"{x}.expand({', '.join(str(size) for size in (*sizes[:new], *kept))})"


def Tile(x: Operand, repeats: Numbers) -> str:
    return f"{x}.repeat({repeats.args})" if x.rank != 0 else str(x)


def Concat(*xs: Operand, axis: int) -> str:
    return f"torch.cat(({', '.join(str(x) for x in xs)}{',' if len(xs) == 1 else ''}), dim={axis})"


def Split(
    x: Operand,
    split: Numbers | None = None,
    *,
    axis: int,
    num_outputs: int | None = None,
    node: Use,
) -> str:
    dim = f", dim={axis}" if axis != 0 else ""
    if split is None:
        count = num_outputs or node.outputs
        text = f"split_evenly({x}, {count}, {axis})"
        size = x.shape[axis] if x.shape is not None else None
        if isinstance(size, int) and size % count == 0:
            text = f"{x}.chunk({count}{dim})"
    elif (
        split.static
        and len(set(split.static)) == 1
        and x.shape
        and x.shape[axis] == sum(split.static)
    ):
        text = f"{x}.chunk({len(split.static)}{dim})"
    else:
        text = f"{x}.split([{split.args}]{dim})"
    return text if node.outputs > 1 else f"{text}[0]"


def ConcatFromSequence(sequence: Operand, *, axis: int, new_axis: int) -> str:
    return f"torch.{'stack' if new_axis else 'cat'}({sequence}, dim={axis})"


def SplitToSequence(x: Operand, split: Numbers | None = None, *, axis: int, keepdims: int) -> str:
    if split is None:
        function = "split" if keepdims else "unbind"
        return f"list(torch.{function}({x}, {'1, ' if keepdims else ''}dim={axis}))"
    return f"list(torch.split({x}, {split}, dim={axis}))"


def Identity(x: Operand) -> str:
    return str(x)


def Dropout(
    x: Operand,
    ratio: Operand | None = None,
    training_mode: Operand | None = None,
    *,
    seed: int | None = None,
    node: Use,
) -> str:
    if training_mode is not None and training_mode.const is None:
        half = "0.5" if ratio is None else f"{ratio:s}" if ratio.number else f"float({ratio})"
        return (
            f"{'masked_' if node.outputs > 1 else 'F.'}dropout({x}, {half}, bool({training_mode}))"
        )
    if training_mode is not None and bool(training_mode.const):
        if ratio is None or ratio.const is None or float(ratio.const) != 0:
            raise Refusal("training_mode=1: its result is random")
    return f"{x}, torch.ones_like({x}, dtype=torch.bool)" if node.outputs > 1 else str(x)


def Shape(x: Operand, *, start: int, end: int | None = None) -> str:
    part = "" if start == 0 and end is None else f"[{start or ''}:{'' if end is None else end}]"
    return f"torch.tensor({x}.shape{part}, dtype=torch.int64)"


def Rank(x: Operand) -> str:
    return f"torch.tensor({x}.ndim, dtype=torch.int64)"


def Size(x: Operand) -> str:
    return f"torch.tensor({x}.numel(), dtype=torch.int64)"


def DepthToSpace(x: Operand, *, blocksize: int, mode: str) -> str:
    if mode == "CRD":
        return f"F.pixel_shuffle({x}, {blocksize})"
    return f"depth_to_space({x}, {blocksize})"


def SpaceToDepth(x: Operand, *, blocksize: int) -> str:
    return f"space_to_depth({x}, {blocksize})"


# ***** indexing *****


def Gather(data: Operand, indices: Operand, *, axis: int) -> str:
    rank = data.ranked()
    axis = axis % rank
    if indices.number:
        return f"{data}[{':, ' * axis}{indices.number}]"
    if indices.const is not None and indices.const.size == 1 and indices.const.ndim <= 1:
        index = int(indices.const.ravel()[0])
        before = ":, " * axis
        if indices.const.ndim == 0:
            return f"{data}[{before}{index}]"
        stop = "" if index == -1 else index + 1
        return f"{data}[{before}{index}:{stop}]"
    if (
        indices.rank == 1
        and (indices.const is None or (indices.const >= 0).all())
        and indices.const is not None
    ):
        return f"{data}.index_select({axis}, {indices})"
    return (
        f"{data}[{':, ' * axis}{indices}.long()]"
        if indices.typed() != np.int64
        else f"{data}[{':, ' * axis}{indices}]"
    )


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
    given = (starts, ends, axes, steps)
    if any(n is not None and n.items is None for n in given) or any(
        n is not None and n.static is None for n in (axes, steps)
    ):
        rest = f", {axes}" if axes is not None else ""
        if steps is not None:
            rest += f", {'steps=' if axes is None else ''}{steps}"
        return f"slice_axes({x}, {starts}, {ends}{rest})"
    found = slices(x.rank, starts, ends, axes, steps)
    text = f"{x}[{found.text}]" if found.text else str(x)
    for axis, start, end, step in found.backwards:
        text = f"slice_backwards({text}, {axis}, {start}, {end}, {step})"
    return text


def Where(condition: Operand, a: Operand, b: Operand) -> str:
    # Two numbers alone would make a tensor of PyTorch's own choice.
    if a.number and b.number and a.typed() != np.float32:
        return f"torch.where({condition}, {a}, {b})"
    return f"torch.where({condition}, {a:s}, {b:s})"


def Compress(x: Operand, condition: Operand, *, axis: int | None = None) -> str:
    return f"compress({x}, {condition}, {axis})"


def OneHot(indices: Operand, depth: Numbers, values: Operand, *, axis: int) -> str:
    return f"one_hot({indices}, {str(depth) if depth.scalar else f'{depth}[0]'}, {values}, {axis})"


def Trilu(x: Operand, k: Numbers | None = None, *, upper: int) -> str:
    offset = f", {k.args}" if k is not None and k.static != (0,) else ""
    return (
        f"{x}.tri{'u' if upper else 'l'}({offset[2:]})"
        if offset
        else f"{x}.tri{'u' if upper else 'l'}()"
    )


def ReverseSequence(x: Operand, lengths: Operand, *, batch_axis: int, time_axis: int) -> str:
    return f"reverse_sequence({x}, {lengths}, {batch_axis}, {time_axis})"


def Unique(x: Operand, *, axis: int | None = None, sorted: int, node: Use) -> str:  # noqa: A002 - the standard's name
    return results(f"unique({x}, {axis}, {bool(sorted)})", node, 4)


def TopK(x: Operand, k: Numbers, *, axis: int, largest: int, sorted: int, node: Use) -> str:  # noqa: A002 - the standard's name
    return results(
        f"top_k({x}, {str(k) if k.scalar else k.args}, {axis}, {bool(largest)})", node, 2
    )


def NonMaxSuppression(
    boxes: Operand, scores: Operand, most: Numbers | None = None, overlap: Numbers | None = None,
    least: Numbers | None = None, *, center_point_box: int,
) -> str:  # fmt: skip
    def number(given: Numbers | None, default: str) -> str:
        return default if given is None else str(given) if given.scalar else f"{given}[0]"

    return (
        f"non_max_suppression({boxes}, {scores}, {number(most, '0')}, {number(overlap, '0.0')}, "
        f"{number(least, 'None')}, {bool(center_point_box)})"
    )


# ***** padding and resizing *****

PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}
NATIVE_PADS = {"reflect": "reflect", "edge": "replicate"}


def Pad(
    x: Operand,
    pads: Numbers,
    value: Operand | None = None,
    axes: Numbers | None = None,
    *,
    mode: str,
) -> str:
    rank = x.ranked()
    if pads.items is None or (axes is not None and axes.static is None):
        options = "" if mode == "constant" else f", mode={mode!r}"
        if mode == "constant" and value is not None:
            options += f", value={value}.item()"
        options += f", axes={axes}" if axes is not None else ""
        return f"pad_axes({x}, {pads}{options})"
    sides = pads_by_axis(rank, pads, axes)
    fill = ""
    if mode == "constant" and value is not None:
        fill = _literal(value.const.ravel()[0]) if value.const is not None else f"{value}.item()"
    if mode == "constant":
        flat = [side for pair in reversed(sides) for side in pair]
        while len(flat) > 2 and flat[-2:] == [0, 0]:
            flat = flat[:-2]
        inner = ", ".join(str(side) for side in flat)
        extra = (
            f", value={fill}"
            if (fill and float(0 if "float" in fill or ".item" in fill else fill) != 0)
            or "float" in fill
            or ".item" in fill
            else ""
        )
        return f"F.pad({x}, ({inner}){extra})"
    if mode not in PAD_MODES:
        raise Refusal(f"attribute mode={mode!r}")
    # The kernels pad all axes but one or two, up to three, and mirror no more than there is.
    first = next((k for k, pair in enumerate(sides) if pair != (0, 0)), rank)
    first = min(first, 2, rank - 1)
    fits = first >= 1 and rank - first <= 3 and x.typed().kind == "f"
    if mode in NATIVE_PADS and fits and all(_holds(x, k, sides[k]) for k in range(first, rank)):
        flat = [side for pair in reversed(sides[first:]) for side in pair]
        return f"F.pad({x}, ({', '.join(map(str, flat))}), mode={NATIVE_PADS[mode]!r})"
    text = str(x)
    for axis, (before, after) in enumerate(sides):
        if (before, after) != (0, 0):
            text = f"pad_by_index({text}, {axis}, {before}, {after}, {mode!r})"
    return text


def _holds(x: Operand, axis: int, sides: tuple[int | float | str, ...]) -> bool:
    """Whether an axis is known to be longer than what is added to each of its sides."""
    size = (x.shape or ())[axis]
    return isinstance(size, int) and all(not isinstance(s, str) and 0 <= s < size for s in sides)


def Resize(
    x: Operand, roi: Numbers | None = None, scales: Numbers | None = None, sizes: Numbers | None = None, *,
    antialias: int, axes: tuple[int, ...] | None = None, coordinate_transformation_mode: str,
    cubic_coeff_a: float, exclude_outside: int, extrapolation_value: float,
    keep_aspect_ratio_policy: str, mode: str, nearest_mode: str,
) -> str:  # fmt: skip
    rank = x.ranked()
    chosen = tuple(a % rank for a in axes) if axes is not None else tuple(range(rank))
    given_scales = scales if scales is not None and scales.items != () else None
    given_sizes = sizes if sizes is not None and sizes.items != () else None
    spatial = tuple(range(2, rank))
    flags = (
        antialias, exclude_outside, keep_aspect_ratio_policy != "stretch", coordinate_transformation_mode == "tf_crop_and_resize",
    )  # fmt: skip
    # Kernels of `F.interpolate` mix numbers with a fraction: of integers they round, or there are none.
    mixes = mode != "nearest" and x.typed().kind in "iub"
    if not any(flags) and rank in (3, 4, 5) and axes is None and not mixes:
        plain = _interpolate(
            x,
            given_scales,
            given_sizes,
            mode,
            nearest_mode,
            coordinate_transformation_mode,
            cubic_coeff_a,
            spatial,
        )
        if plain:
            return plain
    target = f"scales={given_scales}" if given_scales is not None else f"sizes={given_sizes}"
    options = {
        "mode": (mode, "nearest"), "coordinates": (coordinate_transformation_mode, "half_pixel"),
        "nearest": (nearest_mode, "round_prefer_floor"), "cubic_a": (cubic_coeff_a, -0.75),
        "exclude_outside": (bool(exclude_outside), False), "extrapolation": (extrapolation_value, 0.0),
        "antialias": (bool(antialias), False), "policy": (keep_aspect_ratio_policy, "stretch"),
    }  # fmt: skip
    extra = arguments(**options)
    if coordinate_transformation_mode == "tf_crop_and_resize":
        extra += f", roi={roi}"
    return f"resize({x}, {chosen}, {target}{extra})"


def _interpolate(
    x: Operand, scales: Numbers | None, sizes: Numbers | None, mode: str, nearest: str, coordinates: str,
    cubic_a: float, spatial: tuple[int, ...],
) -> str:  # fmt: skip
    """`F.interpolate` where it computes the same; an empty text where it does not."""
    rank = len(spatial) + 2
    numbers = scales or sizes
    if numbers is None or numbers.items is None or len(numbers.items) != rank:
        return ""
    head, tail = numbers.items[:2], numbers.items[2:]
    if scales is not None:
        if head != (1.0, 1.0) or scales.static is None:
            return ""
        # A whole factor is the same for both ways to count pixels.
        if any(factor != int(factor) for factor in scales.static[2:]):
            return ""
        factors = tuple(int(factor) for factor in scales.static[2:])
        how = f"scale_factor={one(factors)}"
    else:
        if x.shape is None or any(
            a != b and a != f"{x}.shape[{k}]"
            for k, (a, b) in enumerate(zip(head, x.shape[:2], strict=True))
        ):
            return ""
        how = f"size=({', '.join(str(size) for size in tail)}{',' if len(tail) == 1 else ''})"
    if mode == "nearest" and coordinates == "asymmetric" and nearest == "floor":
        return f"F.interpolate({x}, {how})"
    if (
        mode == "nearest"
        and scales is not None
        and coordinates in ("half_pixel", "asymmetric")
        and nearest == "round_prefer_floor"
    ):
        return (
            f"F.interpolate({x}, {how})"
            if coordinates == "half_pixel" or all(f == 1 for f in factors)
            else ""
        )
    names = {3: "linear", 4: "bilinear", 5: "trilinear"}
    name = (
        names[rank]
        if mode == "linear"
        else "bicubic"
        if mode == "cubic" and rank == 4 and cubic_a == -0.75
        else ""
    )
    if name and coordinates == "align_corners":
        return f"F.interpolate({x}, {how}, mode={name!r}, align_corners=True)"
    if name and (
        coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and scales is not None)
    ):
        return f"F.interpolate({x}, {how}, mode={name!r})"
    return ""


def CenterCropPad(x: Operand, shape: Numbers, *, axes: tuple[int, ...] | None = None) -> str:
    chosen = axes if axes is not None else tuple(range(x.ranked()))
    return f"center_crop_pad({x}, {shape}, {tuple(chosen)})"


def GridSample(
    x: Operand, grid: Operand, *, align_corners: int, mode: str, padding_mode: str
) -> str:
    if (x.rank == 5 and mode == "cubic") or x.rank not in (4, 5):
        raise Refusal(f"attribute mode={mode!r} of a tensor of rank {x.rank}")
    names = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}
    return (
        f"F.grid_sample({x}, {grid}, mode={names[mode]!r}, padding_mode={padding_mode!r}, "
        f"align_corners={bool(align_corners)})"
    )


def AffineGrid(theta: Operand, size: Numbers, *, align_corners: int) -> str:
    return f"F.affine_grid({theta}, {size}, align_corners={bool(align_corners)})"


def RoiAlign(
    x: Operand, rois: Operand, batch: Operand, *, coordinate_transformation_mode: str, mode: str,
    output_height: int, output_width: int, sampling_ratio: int, spatial_scale: float,
) -> str:  # fmt: skip
    options = arguments(
        ratio=(sampling_ratio, 0),
        scale=(spatial_scale, 1.0),
        half_pixel=(coordinate_transformation_mode == "half_pixel", True),
        mode=(mode, "avg"),
    )
    return f"roi_align({x}, {rois}, {batch}, ({output_height}, {output_width}){options})"


def MaxRoiPool(
    x: Operand, rois: Operand, *, pooled_shape: tuple[int, ...], spatial_scale: float
) -> str:
    return f"max_roi_pool({x}, {rois}, {tuple(pooled_shape)}, {spatial_scale})"


def Col2Im(
    x: Operand, image: Numbers, block: Numbers, *, dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    n = len(image.items or block.items or dilations or strides or (pads or ())[::2])
    common = arguments(
        dilation=(one(dilations or (1,) * n), 1),
        padding=(one((pads or (0,))[:n] or (0,)), 0),
        stride=(one(strides or (1,) * n), 1),
    )
    if n == 2 and (pads is None or pads[:n] == pads[n:]):
        return f"F.fold({x}, {image}, {block}{common})"
    options = arguments(dilations=(dilations, None), pads=(pads, None), strides=(strides, None))
    return f"col2im({x}, {image}, {block}{options})"


# ***** generation *****


def ConstantOfShape(shape: Numbers, *, value: np.ndarray[Any, Any] | None = None, node: Use) -> str:
    fill = np.zeros(1, np.float32) if value is None else value
    dtype = _dtype(fill.dtype)
    if fill.ravel()[0] == 0:
        return f"torch.zeros({shape}, dtype={dtype}{_beside(str(shape))})"
    if fill.ravel()[0] == 1:
        return f"torch.ones({shape}, dtype={dtype}{_beside(str(shape))})"
    number = _literal(fill.ravel()[0])
    return f"torch.full({shape}, {number}, dtype={dtype}{_beside(str(shape))})"


def _literal(number: Any) -> str:
    value = number.item()
    return (
        f"float('{value}')" if isinstance(value, float) and not np.isfinite(value) else repr(value)
    )


def Range(start: Numbers, limit: Numbers, delta: Numbers, *, node: Use) -> str:
    def plain(given: Numbers) -> str:
        return str(given) if given.scalar else f"{given}[0]"

    first = "" if start.static == (0,) and delta.static == (1,) else f"{plain(start)}, "
    step = "" if delta.static == (1,) else f", {plain(delta)}"
    numbers = f"{first}{plain(limit)}{step}"
    return f"torch.arange({numbers}, dtype={_dtype(node.out.dtype)}{_beside(numbers)})"


def EyeLike(x: Operand, *, dtype: int | None = None, k: int, node: Use) -> str:
    return f"torch.ones_like({x}, dtype={_dtype(node.out.dtype)}).triu({k}).tril({k})"


def RandomNormal(
    *, dtype: int, mean: float, scale: float, seed: float | None = None, shape: tuple[int, ...], node: Use
) -> str:  # fmt: skip
    return f"torch.empty({tuple(shape)}, dtype={_dtype(node.out.dtype)}).normal_({mean}, {scale})"


def RandomNormalLike(
    x: Operand, *, dtype: int | None = None, mean: float, scale: float, seed: float | None = None, node: Use
) -> str:  # fmt: skip
    return f"torch.empty_like({x}, dtype={_dtype(node.out.dtype)}).normal_({mean}, {scale})"


def RandomUniform(
    *, dtype: int, low: float, high: float, seed: float | None = None, shape: tuple[int, ...], node: Use
) -> str:  # fmt: skip
    return f"torch.empty({tuple(shape)}, dtype={_dtype(node.out.dtype)}).uniform_({low}, {high})"


def RandomUniformLike(
    x: Operand, *, dtype: int | None = None, low: float, high: float, seed: float | None = None, node: Use
) -> str:  # fmt: skip
    return f"torch.empty_like({x}, dtype={_dtype(node.out.dtype)}).uniform_({low}, {high})"


def Bernoulli(x: Operand, *, dtype: int | None = None, seed: float | None = None, node: Use) -> str:
    cast = f".to({_dtype(node.out.dtype)})" if node.out.dtype != x.dtype else ""
    return f"{x}.bernoulli(){cast}"


def Multinomial(
    x: Operand, *, dtype: int, sample_size: int, seed: float | None = None, node: Use
) -> str:
    draws = f"F.softmax({x}, dim=-1).multinomial({sample_size}, replacement=True)"
    return draws if node.out.dtype == np.int64 else f"{draws}.to({_dtype(node.out.dtype)})"


# Puts a new tensor beside one that is at hand.
DEVICE = ", device={}.device"


def _beside(text: str) -> str:
    """Where a tensor is made whose size an expression reads from another one."""
    token = re.search(r"(_v\d+_)\.", text)
    return DEVICE.format(token.group(1)) if token is not None else ""


def _dtype(dtype: np.dtype[Any] | None) -> str:
    name = "unknown" if dtype is None else dtype.name
    if name not in DTYPES:
        raise Refusal(f"element type {name}")
    return f"torch.{name}"


DTYPES = {
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint16",
    "uint32", "uint64", "bool", "complex64", "complex128", "float8_e4m3fn", "float8_e4m3fnuz",
    "float8_e5m2", "float8_e5m2fnuz",
}  # fmt: skip


# ***** types *****


def Cast(x: Operand, *, to: int, saturate: int, node: Use) -> str:
    return _cast(x, node.out.dtype, saturate)


def CastLike(x: Operand, target: Operand, *, saturate: int) -> str:
    return _cast(x, target.dtype, saturate)


def _cast(x: Operand, target: np.dtype[Any] | None, saturate: int) -> str:
    name = _dtype(target)
    if target is not None and target.name in FLOAT8:
        return _float8(str(x), target.name, saturate)
    return f"{x} != 0" if name == "torch.bool" and x.typed().kind != "b" else f"{x}.to({name})"


# The largest number of each 8-bit float.
FLOAT8 = {
    "float8_e4m3fn": 448.0, "float8_e4m3fnuz": 240.0, "float8_e5m2": 57344.0,
    "float8_e5m2fnuz": 57344.0,
}  # fmt: skip


def _float8(x: str, name: str, saturate: int) -> str:
    limit = FLOAT8[name]
    if name == "float8_e4m3fn" and not saturate:
        # PyTorch takes the largest number for what is beyond; 464 still rounds to it.
        x = f"{x}.masked_fill({x}.abs() > 464.0, float('nan'))"
    return f"{x}.clamp({-limit}, {limit}).to(torch.{name})" if saturate else f"{x}.to(torch.{name})"


# ***** quantisation *****


def QuantizeLinear(
    x: Operand, scale: Operand, zero: Operand | None = None, *, axis: int, saturate: int, block_size: int,
    output_dtype: int, node: Use,
) -> str:  # fmt: skip
    dtype = node.out.dtype
    name = _dtype(dtype)
    block = arguments(block=(block_size, 0))
    if dtype is not None and dtype.name in FLOAT8:
        return _float8(f"({x} / along({x}, {scale}, {axis}{block}))", dtype.name, saturate)
    info = np.iinfo(dtype or np.uint8)
    return f"quantize({x}, {scale}, {zero}, {axis}, {info.min}, {info.max}, {name}{block})"


def DequantizeLinear(
    x: Operand, scale: Operand, zero: Operand | None = None, *, axis: int, block_size: int
) -> str:
    block = arguments(block=(block_size, 0))
    if x.typed().name in FLOAT8:
        return f"{x}.to({scale}.dtype) * along({x}, {scale}, {axis}{block})"
    return f"dequantize({x}, {scale}, {zero}, {axis}{block})"


def ConvInteger(
    x: Operand, w: Operand, x_zero: Operand | None = None, w_zero: Operand | None = None, *,
    auto_pad: str, group: int, dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    options = (auto_pad, group, dilations, kernel_shape, pads, strides)
    return f"{_integer_conv(x, x_zero, w, w_zero, None, *options)}.to(torch.int32)"


def _integer_conv(
    x: Operand, x_zero: Operand | None, w: Operand, w_zero: Operand | None, b: Operand | None,
    auto_pad: str, group: int, dilations: tuple[int, ...] | None, kernel_shape: tuple[int, ...] | None,
    pads: tuple[int, ...] | None, strides: tuple[int, ...] | None,
) -> str:  # fmt: skip
    """A convolution of integers, exact in 64-bit floats."""
    n = w.ranked() - 2
    kernel = tuple(kernel_shape or (w.value.static_shape or ())[2:])
    if len(kernel) != n or n not in (1, 2, 3):
        raise Refusal(f"a kernel of {n} dimensions")
    win = window(
        x.shape, kernel, auto_pad=auto_pad, strides=strides, dilations=dilations, pads=pads
    )
    common = arguments(
        stride=(one(win.strides), 1),
        padding=(one(win.begin) if win.symmetric else 0, 0),
        dilation=(one(win.dilations), 1),
        groups=(group, 1),
    )
    source = _padded(f"centered({x}, {x_zero}, 1)", win)
    bias = f", {b}.double()" if b is not None else ""
    return f"F.conv{n}d({source}, centered({w}, {w_zero}, 0){bias}{common})"


def QLinearConv(
    x: Operand, x_scale: Operand, x_zero: Operand, w: Operand, w_scale: Operand, w_zero: Operand,
    y_scale: Operand, y_zero: Operand, b: Operand | None = None, *, auto_pad: str, group: int,
    dilations: tuple[int, ...] | None = None, kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> str:  # fmt: skip
    options = (auto_pad, group, dilations, kernel_shape, pads, strides)
    y = _integer_conv(x, x_zero, w, w_zero, b, *options)
    return f"requantize({y}, {x_scale} * {w_scale}, {y_scale}, {y_zero}, 1, {_range(y_zero)})"


def DynamicQuantizeLinear(x: Operand, *, node: Use) -> str:
    return results(f"dynamic_quantize({x})", node, 3)


def MatMulInteger(
    a: Operand, b: Operand, a_zero: Operand | None = None, b_zero: Operand | None = None
) -> str:
    return f"({_centered_rows(a, a_zero)} @ centered({b}, {b_zero}, -1)).to(torch.int32)"


def QLinearMatMul(
    a: Operand, a_scale: Operand, a_zero: Operand, b: Operand, b_scale: Operand, b_zero: Operand,
    y_scale: Operand, y_zero: Operand,
) -> str:  # fmt: skip
    if (a_scale.rank or 0) > 0 and a_scale.shape != (1,):
        raise Refusal("a scale for each row")
    y = f"{_centered_rows(a, a_zero)} @ centered({b}, {b_zero}, -1)"
    return f"requantize({y}, {a_scale} * {b_scale}, {y_scale}, {y_zero}, -1, {_range(y_zero)})"


def _centered_rows(a: Operand, zero: Operand | None) -> str:
    return f"centered({a}, {zero}, {-2 if a.ranked() > 1 else -1})"


def _range(zero: Operand) -> str:
    """The least and the largest number of the type of a zero point."""
    info = np.iinfo(zero.typed())
    return f"{info.min}, {info.max}"


# ***** recurrent *****


def RNN(
    x: Operand, w: Operand, r: Operand, b: Operand | None = None, lengths: Operand | None = None,
    h: Operand | None = None, *, activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None, activations: tuple[str, ...] | None = None,
    clip: float | None = None, direction: str, hidden_size: int | None = None, layout: int, node: Use,
) -> str | Layer:  # fmt: skip
    names = _activations(("Tanh",), activations, activation_alpha, activation_beta, direction)
    usual = names[0] in ("tanh", "relu") and len(set(names)) == 1 and not clip and lengths is None
    if usual and _owns(w, r, b):
        layer = _recurrent("RNN", w, r, b, direction, bool(layout), names[0])
        return _layer_call(layer, "rnn", x, (h,), direction, layout, node)
    options = _step_options(lengths, (h,), direction, layout, clip)
    options += arguments(activations=(names, ("tanh",) * len(names)))
    return results(f"rnn_by_steps({x}, {w}, {r}, {b}{options})", node, 2)


def GRU(
    x: Operand, w: Operand, r: Operand, b: Operand | None = None, lengths: Operand | None = None,
    h: Operand | None = None, *, activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None, activations: tuple[str, ...] | None = None,
    clip: float | None = None, direction: str, hidden_size: int | None = None, layout: int,
    linear_before_reset: int, node: Use,
) -> str | Layer:  # fmt: skip
    standard = ("sigmoid", "tanh")
    names = _activations(standard, activations, activation_alpha, activation_beta, direction)
    usual = set(zip(names[::2], names[1::2], strict=True)) == {standard} and not clip
    if usual and linear_before_reset and lengths is None and _owns(w, r, b):
        layer = _recurrent("GRU", w, r, b, direction, bool(layout))
        return _layer_call(layer, "rnn", x, (h,), direction, layout, node, "gru")
    options = _step_options(lengths, (h,), direction, layout, clip)
    options += arguments(
        activations=(names, standard * (len(names) // 2)),
        linear_before_reset=(bool(linear_before_reset), False),
    )
    return results(f"gru_by_steps({x}, {w}, {r}, {b}{options})", node, 2)


def LSTM(
    x: Operand, w: Operand, r: Operand, b: Operand | None = None, lengths: Operand | None = None,
    h: Operand | None = None, c: Operand | None = None, p: Operand | None = None, *,
    activation_alpha: tuple[float, ...] | None = None, activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None, clip: float | None = None, direction: str,
    hidden_size: int | None = None, input_forget: int, layout: int, node: Use,
) -> str | Layer:  # fmt: skip
    standard = ("sigmoid", "tanh", "tanh")
    names = _activations(standard, activations, activation_alpha, activation_beta, direction)
    usual = set(zip(names[::3], names[1::3], names[2::3], strict=True)) == {standard} and not clip
    if usual and not input_forget and p is None and lengths is None and _owns(w, r, b):
        layer = _recurrent("LSTM", w, r, b, direction, bool(layout))
        return _layer_call(layer, "lstm", x, (h, c), direction, layout, node)
    options = _step_options(lengths, (h, c), direction, layout, clip)
    options += f", peepholes={p}" if p is not None else ""
    options += arguments(
        activations=(names, standard * (len(names) // 3)),
        input_forget=(bool(input_forget), False),
    )
    return results(f"lstm_by_steps({x}, {w}, {r}, {b}{options})", node, 3)


# The activations of recurrent operators and the parameters that functions.py has for them.
ACTIVATIONS: dict[str, tuple[float, ...]] = {
    "relu": (), "tanh": (), "sigmoid": (), "softsign": (), "softplus": (), "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,), "elu": (1.0,),
}  # fmt: skip


def _activations(
    standard: tuple[str, ...], given: tuple[str, ...] | None, alpha: tuple[float, ...] | None,
    beta: tuple[float, ...] | None, direction: str,
) -> tuple[str, ...]:  # fmt: skip
    """The activations of every direction, in small letters."""
    names = tuple(name.lower() for name in given or ())
    names = names or standard * (2 if direction == "bidirectional" else 1)
    known = {number for name in names for number in ACTIVATIONS.get(name, ())}
    numbers = {round(number, 6) for number in (*(alpha or ()), *(beta or ()))}
    if not set(names) <= set(ACTIVATIONS) or not numbers <= known:
        raise Refusal(f"activations={names}, activation_alpha={alpha}, activation_beta={beta}")
    return names


def _step_options(
    lengths: Operand | None, states: tuple[Operand | None, ...], direction: str, layout: int,
    clip: float | None,
) -> str:  # fmt: skip
    pairs = {"lengths": lengths, **dict(zip(("h", "c"), states, strict=False))}
    text = "".join(f", {name}={value}" for name, value in pairs.items() if value is not None)
    return text + arguments(
        direction=(direction, "forward"),
        batch_first=(bool(layout), False),
        clip=(clip or None, None),
    )


def _owns(*weights: Operand | None) -> bool:
    """Whether a layer may own all of these, absent ones apart."""
    return all(weight is None or weight.weight is not None for weight in weights)


def _layer_call(
    layer: tuple[str, dict[str, Value | None]], function: str, x: Operand,
    states: tuple[Operand | None, ...], direction: str, layout: int, node: Use, role: str = "",
) -> Layer:  # fmt: skip
    pairs = zip(("h", "c"), states, strict=False)
    text = "".join(f", {name}={value}" for name, value in pairs if value is not None)
    text += arguments(backwards=(direction == "reverse", False))
    return Layer(
        *layer,
        results(f"{function}(layer, {x}{text})", node, 3 if node.node.key == "LSTM" else 2),
        role or function,
    )


def _recurrent(
    name: str, w: Operand, r: Operand, b: Operand | None, direction: str, batch_first: bool,
    nonlinearity: str = "tanh", layer: int = 0, layers: int = 1,
) -> Made:  # fmt: skip
    """A module of PyTorch, and its weights."""
    into, hidden, weights = gate_weights(name, w, r, b, layer)
    options = arguments(
        num_layers=(layers, 1),
        nonlinearity=(nonlinearity, "tanh"),
        bias=(b is not None, True),
        batch_first=(bool(batch_first), False),
        bidirectional=(direction == "bidirectional", False),
    )
    return f"nn.{name}({into}, {hidden}{options})", weights


LSTMLayer, GRULayer, RNNLayer = recurrent_layers(_recurrent)


# ***** signal *****


def DFT(
    x: Operand, length: Numbers | None = None, axis: Numbers | None = None, *, inverse: int, onesided: int
) -> str:  # fmt: skip
    options = arguments(inverse=(bool(inverse), False), onesided=(bool(onesided), False))
    options = (f", length={_scalar(length)}" if length is not None else "") + options
    return f"dft({x}, {_scalar(axis) if axis is not None else -2}{options})"


def STFT(
    x: Operand, step: Numbers, window: Operand | None = None, length: Numbers | None = None, *, onesided: int
) -> str:  # fmt: skip
    options = f", window={window}" if window is not None else ""
    options += f", length={_scalar(length)}" if length is not None else ""
    return f"stft({x}, {_scalar(step)}{options}{arguments(onesided=(bool(onesided), True))})"


def MelWeightMatrix(
    bins: Numbers, length: Numbers, rate: Numbers, low: Numbers, high: Numbers, *, output_datatype: int,
    node: Use,
) -> str:  # fmt: skip
    numbers = ", ".join(_scalar(number) for number in (bins, length, rate, low, high))
    cast = "" if node.out.dtype == np.float32 else f".to({_dtype(node.out.dtype)})"
    return f"mel_weight_matrix({numbers}){cast}"


def _scalar(number: Numbers) -> str:
    """One number, whether it came as a scalar or as a vector of one."""
    if number.items is None:
        return f"{number}[0]"
    return str(number.items[0])


# ***** com.microsoft: what the standard has no nodes for, see graph/contrib.py *****


def com_microsoft_Inverse(x: Operand) -> str:
    return f"torch.linalg.inv({x})"
