"""Norms over the last axes, alone and as Paddle's fused kernels have them: a bias and a residual are added before.

Source: paddle/phi/ops/yaml/{ops,fused_ops}.yaml and kernels/fusion/cpu/fused_layernorm_kernel.cc,
rms_norm_kernel.cc of PaddlePaddle 3.3; the numbers of its kernels (tests/importers).
"""

from __future__ import annotations

from collections.abc import Mapping

from converters.importers.graph import Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.rows import Row, row


def _summed(call: Call) -> str:
    """What is normalised: an input with what is added to it; it may be an output of its own."""
    x, bias, residual = call.value("x"), call.maybe("bias"), call.maybe("residual")
    name = x.name
    if bias is not None:
        name = call.node("Add", name, bias.name)
    if residual is not None:
        factor = call.real("residual_alpha", 1.0)
        added = residual.name
        if factor != 1.0:
            added = call.node("Mul", added, call.scalar(factor, x.type))
        name = call.node("Add", name, added)
    if call.wants("residual_out"):
        call.put("residual_out", "Identity", name)
    return name


def _weighed(call: Call, name: str, x: Value, first: int) -> str:
    """Numbers times the weight, plus the bias, each of the axes that are normalised."""
    for slot, kind in (("norm_weight", "Mul"), ("norm_bias", "Add")):
        given = call.maybe(slot)
        if given is not None:
            flat = given.rank != x.rank - first
            shape = call.dims(x.name, first)
            weight = call.node("Reshape", given.name, shape) if flat else given.name
            name = call.node(kind, name, weight)
    return name


def _whole(call: Call) -> None:
    """Kernels that give eight bits are another thing."""
    if call.real("quant_scale", -1.0) > 0:
        call.refuse(f"quant_scale = {call.real('quant_scale')}")


def _rms(call: Call, x: Value, name: str, first: int) -> None:
    axes = call.vector(range(first, x.rank))
    mean = call.node("ReduceMean", call.node("Mul", name, name), axes)
    epsilon = call.scalar(call.real("epsilon", 1e-5), x.type)
    scale = call.node("Reciprocal", call.node("Sqrt", call.node("Add", mean, epsilon)))
    call.put("out", "Identity", _weighed(call, call.node("Mul", name, scale), x, first))
    if call.wants("inv_var"):
        call.put("inv_var", "Squeeze", scale, axes)


def _rms_norm(call: Call) -> None:
    x = call.value("x")
    count = len(call.ints("normalized_shape"))
    if not 1 <= count <= x.rank:
        call.malformed(f"normalized_shape of {count} dimensions for {x.rank}")
    _rms(call, x, x.name, x.rank - count)


def _fused_rms_norm(call: Call) -> None:
    _whole(call)
    x = call.value("x")
    first = call.axis(call.integer("begin_norm_axis"), x.rank)
    _rms(call, x, _summed(call), first)


def _fused_layer_norm(call: Call) -> None:
    _whole(call)
    x, name = call.value("x"), _summed(call)
    if call.maybe("norm_weight") is None:
        # Without a weight it only adds.
        call.put("out", "Identity", name)
        return
    first = call.axis(call.integer("begin_norm_axis"), x.rank)
    weights = [
        call.node("Reshape", given.name, call.dims(x.name, first))
        for given in (call.value("norm_weight"), call.maybe("norm_bias"))
        if given is not None
    ]
    epsilon = call.real("epsilon", 1e-5)
    call.put("out", "LayerNormalization", name, *weights, axis=first, epsilon=epsilon)


TABLE: Mapping[str, Rule] = {
    "fused_bias_residual_layernorm": _fused_layer_norm,
    "fused_rms_norm_quant": _fused_rms_norm,
    "rms_norm": _rms_norm,
}

_FUSED = "x bias residual norm_weight norm_bias"
ROWS: Mapping[str, Row] = {
    "fused_bias_residual_layernorm": row(
        "fused_bias_residual_layernorm", _FUSED, "out residual_out mean variance"
    ),
    "fused_rms_norm_quant": row("fused_rms_norm_quant", _FUSED, "out residual_out inv_var"),
    "rms_norm": row("rms_norm", "x norm_weight", "out inv_var"),
}
