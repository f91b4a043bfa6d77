"""ONNX operators in PyTorch; see `converters.emitters.table` for how to read and extend it.

Semantics follow the standard, not PyTorch, where they differ. Sources: the operator pages of ONNX and
the documentation of torch 2.13.
"""

from __future__ import annotations

from converters.emitters.table import Layer, Numbers, Operand, Refusal, Use

PHRASES: dict[str, str] = {
    # ***** arithmetic *****
    "Add": "{A:s} + {B:s}",
    "Mul": "{A:s} * {B:s}",
    # ***** activations *****
    "HardSwish": "F.hardswish({X})",
    "Relu": "F.relu({X})",
    "Silu": "F.silu({X})",
    "Softmax": "F.softmax({input}, dim={axis})",
}


# ***** convolution *****


def Conv(
    x: Operand, w: Operand, b: Operand | None = None, *, auto_pad: str, dilations: tuple[int, ...] | None = None,
    group: int, kernel_shape: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> str | Layer:  # fmt: skip
    """torch.nn.Conv1d, 2d, 3d."""
    n = w.ranked() - 2
    pads = pads or (0,) * 2 * n
    if pads[:n] != pads[n:]:
        raise Refusal(f"pads={pads}")
    assert w.const is not None
    out, into = w.const.shape[:2]
    return Layer(
        f"nn.Conv{n}d({into * group}, {out}, {one(kernel_shape)}, stride={one(strides)}, padding={one(pads[:n])}, groups={group}, bias={b is not None})",
        {"weight": w.value, "bias": b.value if b else None},
        f"layer({x})",
        "conv",
    )


def one(numbers: tuple[int, ...]) -> object:
    return numbers[0] if len(set(numbers)) == 1 else numbers


def BatchNormalization(x: Operand, scale: Operand, b: Operand, mean: Operand, var: Operand, *, epsilon: float, momentum: float, training_mode: int) -> Layer:
    return Layer(f"nn.BatchNorm2d({scale.const.size}, eps={epsilon:g})", {"weight": scale.value, "bias": b.value, "running_mean": mean.value, "running_var": var.value}, f"layer({x})", "bn")


def LayerNormalization(x: Operand, scale: Operand, b: Operand, *, axis: int, epsilon: float, stash_type: int) -> Layer:
    return Layer(f"nn.LayerNorm({scale.const.size}, eps={epsilon:g})", {"weight": scale.value, "bias": b.value}, f"layer({x})", "norm")


def Linear(x: Operand, w: Operand, b: Operand | None = None) -> Layer:
    assert w.const is not None
    return Layer(f"nn.Linear({w.const.shape[0]}, {w.const.shape[1]}, bias={b is not None})", {"weight": w.relaid(w.const.T), "bias": b.value if b else None}, f"layer({x})", "linear")


def GlobalAveragePool(x: Operand) -> str:
    return f"F.adaptive_avg_pool2d({x}, 1)"


def HardSigmoid(x: Operand, *, alpha: float, beta: float) -> str:
    return f"torch.clamp({x} * {alpha} + {beta}, 0, 1)"


def Slice(x: Operand, starts: Numbers, ends: Numbers, axes: Numbers | None = None, steps: Numbers | None = None) -> str:
    n = x.ranked()
    items = [":"] * n
    for k, s, e in zip(axes.known("axes"), starts.items, ends.items):
        items[k % n] = f"{s}:{e}"
    return f"{x}[{', '.join(items)}]"


def Concat(*xs: Operand, axis: int) -> str:
    return f"torch.cat(({', '.join(str(x) for x in xs)}), dim={axis})"


def Transpose(x: Operand, *, perm: tuple[int, ...]) -> str:
    return f"{x}.permute({', '.join(str(p) for p in perm)})"


def Squeeze(x: Operand, axes: Numbers) -> str:
    return f"{x}.squeeze({axes.known('axes')[0]})"


def Reshape(x: Operand, shape: Numbers, *, allowzero: int) -> str:
    return f"{x}.reshape({shape.args})"


def ScaledDotProductAttention(q: Operand, k: Operand, v: Operand, mask: Operand | None = None, *, scale: float) -> str:
    return f"F.scaled_dot_product_attention({q}, {k}, {v}, scale={scale})"


def AveragePool(x: Operand, *, auto_pad: str, ceil_mode: int, count_include_pad: int, dilations: tuple[int, ...] | None = None, kernel_shape: tuple[int, ...], pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None) -> str:
    return f"F.avg_pool2d({x}, {kernel_shape}, stride={strides})"
