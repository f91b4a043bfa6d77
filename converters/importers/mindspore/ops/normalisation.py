"""Normalisation."""

from __future__ import annotations

from collections.abc import Mapping

from converters.importers.graph import Value
from converters.importers.mindspore.build import Call, Given, Rule
from converters.importers.mindspore.ops.convolution import check_format


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
    check_format(call, data_format)
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


TABLE: Mapping[str, Rule] = {
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
}
