"""Reduction, and what is sorted or summed up along an axis."""

from __future__ import annotations

import math
from collections.abc import Mapping

from converters.dtypes import BY_NAME
from converters.importers.graph import INT64, Value
from converters.importers.mindspore.build import BOOL, Call, Given, Rule

INT32 = BY_NAME["int32"]


def _reduced(call: Call, kind: str, x: Value, axes: Given, keep: Given) -> str:
    """A reduction; no axes are all of them."""
    call.only("keep_dims", keep, True, False)
    if x.dims is None and axes in (None, ()):
        return call.node(kind, x.name, keepdims=int(keep))
    where = call.axes(axes, x.rank) if x.dims is not None else call.ints(axes, "axis")
    if not where:
        return call.node("Identity", x.name)
    return call.node(kind, x.name, call.vector(where), keepdims=int(keep))


def _reduce(kind: str) -> Rule:
    def rule(
        call: Call, x: Given, axis: Given = None, keep_dims: Given = False, skip_mode: Given = False
    ) -> str:
        value = call.tensor(x, call.out_kind())
        if skip_mode and axis == ():
            return call.node("Identity", value.name)
        return _reduced(call, kind, value, axis, keep_dims)

    return rule


def _reduce_ext(kind: str) -> Rule:
    def rule(
        call: Call, x: Given, dim: Given = None, keepdim: Given = False, dtype: Given = None
    ) -> str:
        # The sum of integers is long.
        value = call.tensor(x, call.out_kind() if dtype is None else call.kind(dtype))
        return _reduced(call, kind, value, dim, keepdim)

    return rule


def _reduce_flags(kind: str) -> Rule:
    def rule(call: Call, x: Given, axis: Given = None, keep_dims: Given = False) -> str:
        value = call.tensor(call.tensor(x, BOOL), INT32)
        return call.node("Cast", _reduced(call, kind, value, axis, keep_dims), to=BOOL.onnx)

    return rule


def _whole_reduction(kind: str) -> Rule:
    def rule(call: Call, x: Given) -> str:
        return call.node(kind, call.name(x), keepdims=0)

    return rule


def _variance(call: Call, x: Value, axes: Given, correction: float, keep: Given) -> tuple[str, str]:
    """The variance and the mean."""
    call.only("keepdim", keep, True, False)
    where = call.axes(axes, x.rank)
    if not where:
        call.refuse("a number alone")
    vector = call.vector(where)
    mean = call.node("ReduceMean", x.name, vector, keepdims=1)
    centred = call.node("Sub", x.name, mean)
    squares = call.node("Mul", centred, centred)
    if not keep:
        mean = call.node("Squeeze", mean, vector)
    if not correction:
        return call.node("ReduceMean", squares, vector, keepdims=int(keep)), mean
    total = call.node("ReduceSum", squares, vector, keepdims=int(keep))
    sizes = call.node("Gather", call.dims(x.name), vector)
    count = call.node("Cast", call.node("ReduceProd", sizes, keepdims=0), to=x.type.onnx)
    count = call.node("Sub", count, call.scalar(correction, x.type))
    return call.node("Div", total, count), mean


def _var(root: bool, mean: bool = False) -> Rule:
    def rule(
        call: Call, x: Given, dim: Given = None, correction: Given = 1, keepdim: Given = False
    ) -> Given:
        x = call.tensor(x)
        made, middle = _variance(call, x, dim, call.real(correction, "correction"), keepdim)
        made = call.node("Sqrt", made) if root else made
        return [made, middle] if mean else made

    return rule


def _reduce_std(
    call: Call, x: Given, axis: Given = (), unbiased: Given = True, keep_dims: Given = False
) -> list[str]:
    x = call.tensor(x)
    made, mean = _variance(call, x, axis, 1.0 if unbiased else 0.0, keep_dims)
    return [call.node("Sqrt", made), mean]


def _norm(call: Call, x: Given, p: Given, dim: Given, keepdim: Given, dtype: Given) -> str:
    x = call.tensor(x, call.out_kind() if dtype is None else call.kind(dtype))
    power = call.real(p, "p")
    if power == 1:
        return _reduced(call, "ReduceL1", x, dim, keepdim)
    if power == 2:
        return _reduced(call, "ReduceL2", x, dim, keepdim)
    size = Value(call.node("Abs", x.name), x.kind, x.dims)
    if math.isinf(power):
        return _reduced(call, "ReduceMax" if power > 0 else "ReduceMin", size, dim, keepdim)
    if power <= 0:
        call.refuse(f"p = {power}")
    raised = call.node("Pow", size.name, call.scalar(power, x.type))
    total = _reduced(call, "ReduceSum", Value(raised, x.kind, x.dims), dim, keepdim)
    return call.node("Pow", total, call.scalar(1 / power, x.type))


def _lp_norm(
    call: Call,
    x: Given,
    axis: Given,
    p: Given = 2,
    keep_dims: Given = False,
    epsilon: Given = 1e-12,
) -> str:
    return _norm(call, x, p, axis, keep_dims, None)


def _vector_norm(
    call: Call,
    x: Given,
    p: Given = 2.0,
    dim: Given = None,
    keepdim: Given = False,
    dtype: Given = None,
) -> str:
    return _norm(call, x, p, dim, keepdim, dtype)


def _log_sum_exp(call: Call, x: Given, dim: Given, keepdim: Given = False) -> str:
    return _reduced(call, "ReduceLogSumExp", call.tensor(x), dim, keepdim)


def _arg(kind: str) -> Rule:
    def rule(call: Call, input_x: Given, axis: Given = -1, output_type: Given = None) -> str:
        x = call.tensor(input_x)
        along = call.axis(call.whole(axis, "axis"), x.rank)
        made = call.node(kind, x.name, axis=along, keepdims=0)
        return call.cast(made, INT64, call.out_kind())

    return rule


def _arg_ext(kind: str) -> Rule:
    def rule(call: Call, x: Given, dim: Given = None, keepdim: Given = False) -> str:
        x = call.tensor(x)
        if dim is None:
            flat = call.node("Reshape", x.name, call.vector([-1]))
            return call.node(kind, flat, axis=0, keepdims=0)
        along = call.axis(call.whole(dim, "dim"), x.rank)
        return call.node(kind, x.name, axis=along, keepdims=int(bool(keepdim)))

    return rule


def _arg_with_value(kind: str, values_first: bool = False) -> Rule:
    def rule(call: Call, x: Given, axis: Given = 0, keep_dims: Given = False) -> list[str]:
        x = call.tensor(x)
        along = call.axis(call.whole(axis, "axis"), x.rank)
        keep = int(bool(keep_dims))
        index = call.node(f"Arg{kind}", x.name, axis=along, keepdims=keep)
        value = call.node(f"Reduce{kind}", x.name, call.vector([along]), keepdims=keep)
        if values_first:
            return [value, call.cast(index, INT64, call.out_kind(1))]
        return [call.cast(index, INT64, call.out_kind(0)), value]

    return rule


def _cumulative_sum(
    call: Call, x: Given, axis: Given, exclusive: Given = False, reverse: Given = False
) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    return call.node(
        "CumSum",
        x.name,
        call.scalar(along, INT64),
        exclusive=int(bool(exclusive)),
        reverse=int(bool(reverse)),
    )


def _cumsum_ext(call: Call, x: Given, dim: Given, dtype: Given = None) -> str:
    x = call.tensor(x, call.out_kind())
    along = call.axis(call.whole(dim, "dim"), x.rank)
    return call.node("CumSum", x.name, call.scalar(along, INT64))


def _cumulative_product(
    call: Call, x: Given, axis: Given, exclusive: Given = False, reverse: Given = False
) -> str:
    """Products of each place and those before it: ONNX has sums of this kind only."""
    x = call.tensor(x)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    size = call.node("Squeeze", call.dims(x.name, along, along + 1), call.vector([0]))
    places = call.node("Range", call.scalar(0, INT64), size, call.scalar(1, INT64))
    column = call.node("Unsqueeze", places, call.vector([1]))
    kind = ("Greater" if reverse else "Less") + ("" if exclusive else "OrEqual")
    taken = call.node(kind, places, column)
    behind = [*range(2, 1 + x.rank - along)]
    taken = call.node("Unsqueeze", taken, call.vector(behind)) if behind else taken
    wide = call.node("Unsqueeze", x.name, call.vector([along]))
    parts = call.node("Where", taken, wide, call.scalar(1, x.type))
    return call.node("ReduceProd", parts, call.vector([along + 1]), keepdims=0)


def _search_sorted(
    call: Call,
    sorted_sequence: Given,
    values: Given,
    sorter: Given = None,
    dtype: Given = None,
    right: Given = False,
) -> str:
    """How many elements of a row are less than a value; with `right`, or equal to it."""
    if sorter is not None:
        call.refuse("sorter")
    line, value = call.tensor(sorted_sequence), call.tensor(values)
    if line.type != value.type or (line.rank > 1 and line.rank != value.rank):
        call.refuse("a sequence and values that do not fit each other")
    row = line.name
    if line.rank > 1:
        row = call.node("Unsqueeze", row, call.vector([line.rank - 1]))
    wide = call.node("Unsqueeze", value.name, call.vector([value.rank]))
    below = call.node("LessOrEqual" if right else "Less", row, wide)
    count = call.node("Cast", below, to=INT64.onnx)
    count = call.node("ReduceSum", count, call.vector([-1]), keepdims=0)
    return call.cast(count, INT64, call.out_kind())


def _smooth_l1_loss(
    call: Call, prediction: Given, target: Given, beta: Given = 1.0, reduction: Given = 2
) -> str:
    x = call.tensor(prediction)
    width = call.real(beta, "beta")
    call.only("reduction", reduction, *_REDUCED)
    if width <= 0:
        call.refuse(f"beta = {width}")
    size = call.node("Abs", call.node("Sub", x.name, call.name(target)))
    near = call.node("Mul", call.node("Mul", size, size), call.scalar(0.5 / width, x.type))
    far = call.node("Sub", size, call.scalar(0.5 * width, x.type))
    within = call.node("Less", size, call.scalar(width, x.type))
    loss = call.node("Where", within, near, far)
    kind = _REDUCED[reduction]
    return call.node(kind, loss, keepdims=0) if kind else loss


# MindSpore's enum Reduction. Source: mindapi/base/types.h.
_REDUCED = {0: "ReduceSum", 1: "ReduceMean", 2: ""}


def _top_k(call: Call, x: Given, k: Given, sorted: Given = True) -> list[str]:  # noqa: A002
    return _largest(call, call.tensor(x), k, -1, True, sorted)


def _top_k_ext(
    call: Call, x: Given, k: Given, dim: Given = -1, largest: Given = True, in_order: Given = True
) -> list[str]:
    return _largest(call, call.tensor(x), k, dim, largest, in_order)


def _largest(
    call: Call, x: Value, k: Given, dim: Given, largest: Given, in_order: Given
) -> list[str]:
    count = call.as_vector(call.integers(k, "k"))
    if isinstance(k, Value) and k.rank == 0 and k.array is None:
        count = call.node("Reshape", k.name, call.vector([1]))
    values, indices = call.nodes(
        "TopK",
        x.name,
        count,
        outputs=2,
        axis=call.axis(call.whole(dim, "dim"), x.rank),
        largest=int(bool(largest)),
        sorted=int(bool(in_order)),
    )
    return [values, call.cast(indices, INT64, call.out_kind(1))]


def _sort(call: Call, x: Given, axis: Given = -1, descending: Given = False) -> list[str]:
    value = call.tensor(x)
    along = call.axis(call.whole(axis, "axis"), value.rank)
    count = call.dims(value.name, along, along + 1)
    values, indices = call.nodes(
        "TopK", value.name, count, outputs=2, axis=along, largest=int(bool(descending)), sorted=1
    )
    return [values, call.cast(indices, INT64, call.out_kind(1))]


def _sort_ext(
    call: Call, x: Given, dim: Given = -1, descending: Given = False, stable: Given = False
) -> list[str]:
    return _sort(call, x, dim, descending)


def _sorted_places(call: Call, x: Given, dim: Given, descending: Given) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    count = call.dims(x.name, along, along + 1)
    _, places = call.nodes(
        "TopK", x.name, count, outputs=2, axis=along, largest=int(bool(descending)), sorted=1
    )
    return call.cast(places, INT64, call.out_kind())


TABLE: Mapping[str, Rule] = {
    **{f"Reduce{name}": _reduce(f"Reduce{name}") for name in ("Max", "Mean", "Min", "Prod", "Sum")},
    "ReduceAll": _reduce_flags("ReduceMin"),
    "ReduceAny": _reduce_flags("ReduceMax"),
    "ReduceStd": _reduce_std,
    "MeanExt": _reduce_ext("ReduceMean"),
    "ProdExt": _reduce_ext("ReduceProd"),
    "SumExt": _reduce_ext("ReduceSum"),
    "Max": _whole_reduction("ReduceMax"),
    "Min": _whole_reduction("ReduceMin"),
    "ArgMaxExt": _arg_ext("ArgMax"),
    "ArgMinExt": _arg_ext("ArgMin"),
    "ArgMaxWithValue": _arg_with_value("Max"),
    "ArgMinWithValue": _arg_with_value("Min"),
    "Argmax": _arg("ArgMax"),
    "Argmin": _arg("ArgMin"),
    "ArgSort": lambda call, x, dim=-1, descending=False, stable=False: _sorted_places(
        call, x, dim, descending
    ),
    "CumProd": _cumulative_product,
    "CumSum": _cumulative_sum,
    "CumsumExt": _cumsum_ext,
    "LogSumExp": _log_sum_exp,
    "SearchSorted": _search_sorted,
    "SmoothL1Loss": _smooth_l1_loss,
    "LpNorm": _lp_norm,
    "LpNormV2": lambda call, x, p=2, dim=None, keepdim=False, epsilon=1e-12: _norm(
        call, x, p, dim, keepdim, None
    ),
    "LinalgVectorNorm": _vector_norm,
    "MaxDim": _arg_with_value("Max", True),
    "MinDim": _arg_with_value("Min", True),
    "Norm": _vector_norm,
    "Sort": _sort,
    "SortExt": _sort_ext,
    "Std": _var(True),
    "StdMean": _var(True, True),
    "TopK": _top_k,
    "TopkExt": _top_k_ext,
    "Var": _var(False),
    "VarMean": _var(False, True),
}
