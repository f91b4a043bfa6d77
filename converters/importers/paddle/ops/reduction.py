"""Reduction, and what is sorted or summed up along an axis."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from converters.dtypes import BY_NAME
from converters.importers.graph import INT64, Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.rows import Row, row, same

INT32 = BY_NAME["int32"]
BOOL = BY_NAME["bool"]


def _reduced_axes(call: Call, x: Value, name: str = "dim") -> list[int]:
    """Axes that are reduced; all if there are none."""
    said = call.known(name, "AxisTensor")
    if call.flag("reduce_all") or not said:
        return [*range(x.rank)]
    return sorted({call.axis(axis, x.rank) for axis in said})


def _reduce(kind: str) -> Rule:
    """A reduction over axes."""

    def rule(call: Call) -> None:
        x = call.value()
        name, kept = x.name, x.type
        to = call.kind("out_dtype") or call.kind("dtype") or kept
        if kind in ("ReduceSum", "ReduceProd") and (kept == BOOL or to != kept):
            # Sums of what is small are made in the larger type.
            to = INT64 if to == BOOL else to
            name = call.node("Cast", name, to=to.onnx)
        axes = _reduced_axes(call, x)
        keep = int(call.flag("keep_dim"))
        call.put("Out", kind, name, call.vector(axes), keepdims=keep, noop_with_empty_axes=1)

    return rule


def _reduce_flags(kind: str) -> Rule:
    """A reduction of booleans."""

    def rule(call: Call) -> None:
        x = call.value()
        axes = call.vector(_reduced_axes(call, x))
        numbers = call.node("Cast", call.cast(x.name, x.type, BOOL), to=INT32.onnx)
        keep = int(call.flag("keep_dim"))
        found = call.node(kind, numbers, axes, keepdims=keep, noop_with_empty_axes=1)
        call.put("Out", "Cast", found, to=BOOL.onnx)

    return rule


def _log_sum_exp(call: Call) -> None:
    x = call.value()
    axes = call.vector(_reduced_axes(call, x, "axis"))
    keep = int(call.flag("keepdim"))
    call.put("Out", "ReduceLogSumExp", x.name, axes, keepdims=keep, noop_with_empty_axes=1)


def _mean_all(call: Call) -> None:
    call.put("Out", "ReduceMean", call.value().name, keepdims=0)


def _arg(call: Call, kind: str) -> None:
    x = call.value()
    keep = int(call.flag("keepdims"))
    name, axis = x.name, 0
    if call.flag("flatten"):
        name = call.node("Reshape", name, call.vector([-1]))
        if keep:
            call.refuse("flatten and keepdims")
    else:
        axis = call.axis(call.number("axis", "AxisTensor", -1), x.rank)
    to = call.kind("dtype") or INT64
    if to == INT64:
        call.put("Out", kind, name, axis=axis, keepdims=keep)
    else:
        call.put("Out", "Cast", call.node(kind, name, axis=axis, keepdims=keep), to=to.onnx)


def _top_k(call: Call) -> None:
    x = call.value()
    count = call.integers("k", "K")
    axis = call.axis(call.integer("axis", -1), x.rank)
    call.puts(
        ["Out", "Indices"],
        "TopK",
        x.name,
        call.as_vector(count),
        axis=axis,
        largest=int(call.flag("largest", True)),
        sorted=int(call.flag("sorted", True)),
    )


def _arg_sort(call: Call) -> None:
    x = call.value()
    axis = call.axis(call.integer("axis", -1), x.rank)
    count = call.dims(x.name, axis, axis + 1)
    largest = int(call.flag("descending"))
    call.puts(["Out", "Indices"], "TopK", x.name, count, axis=axis, largest=largest, sorted=1)


def _cumulative_sum(call: Call) -> None:
    x = call.value()
    name, axis = x.name, 0
    if call.flag("flatten"):
        name = call.node("Reshape", name, call.vector([-1]))
    else:
        axis = call.axis(call.number("axis", "AxisTensor", -1), x.rank)
    call.put(
        "Out",
        "CumSum",
        name,
        call.scalar(axis, INT64),
        exclusive=int(call.flag("exclusive")),
        reverse=int(call.flag("reverse")),
    )


TABLE: Mapping[str, Rule] = {
    **{
        f"reduce_{name.lower()}": _reduce(f"Reduce{name}")
        for name in ("Max", "Mean", "Min", "Prod", "Sum")
    },
    "arg_max": partial(_arg, kind="ArgMax"),
    "arg_min": partial(_arg, kind="ArgMin"),
    "argsort": _arg_sort,
    "cumsum": _cumulative_sum,
    "logsumexp": _log_sum_exp,
    "mean": _mean_all,
    "reduce_all": _reduce_flags("ReduceMin"),
    "reduce_any": _reduce_flags("ReduceMax"),
    "top_k": _top_k,
    "top_k_v2": _top_k,
}

ROWS: Mapping[str, Row] = {
    **same("logsumexp"),
    **{
        name: row(f"reduce_{name}", "X AxisTensor", keepdim="keep_dim", axis="dim", dims="dim")
        for name in ("max", "mean", "min", "prod", "sum")
    },
    "all": row("reduce_all", axis="dim", keepdim="keep_dim"),
    "any": row("reduce_any", axis="dim", keepdim="keep_dim"),
    "argmax": row("arg_max", "X AxisTensor"),
    "argmin": row("arg_min", "X AxisTensor"),
    "argsort": row("argsort", "X", "Out Indices"),
    "cumsum": row("cumsum", "X AxisTensor"),
    "mean_all": row("mean"),
    "topk": row("top_k_v2", "X K", "Out Indices"),
    "amax": row("reduce_max", axis="dim", keepdim="keep_dim"),
    "amin": row("reduce_min", axis="dim", keepdim="keep_dim"),
}
