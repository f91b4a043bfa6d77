"""Arithmetic that ONNX has no operator for: functions of numbers, running totals, norms, products, what is close.

Source: the operators' documentation and impl/{isclose,lerp,kron,bilinear}_kernel_impl.h of PaddlePaddle 3.3; the
numbers of its kernels (tests/importers).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import INT64, Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.ops.places import size, upto
from converters.importers.paddle.rows import Row, row

BOOL = BY_NAME["bool"]
INT32 = BY_NAME["int32"]


def _pair(call: Call) -> tuple[Value, Value]:
    x, y = call.value("X"), call.value("Y")
    if x.kind != y.kind:
        call.refuse(f"operands of the types {x.type.name} and {y.type.name}")
    return x, y


# ***** Element by element *****


def angle_of(call: Call, y: str, x: str, kind: ElementType) -> str:
    """The angle of a point, from that of its slope and the half plane that it is in."""
    zero = call.scalar(0, kind)
    left, below = call.node("Less", x, zero), call.node("Less", y, zero)
    turn = call.node("Where", below, call.scalar(-math.pi, kind), call.scalar(math.pi, kind))
    angle = call.node("Atan", call.node("Div", y, x))
    angle = call.node("Where", left, call.node("Add", angle, turn), angle)
    # On the axis, straight up or down; 0 / 0 has no slope, and the angle 0.
    upright = call.node("Mul", call.node("Sign", y), call.scalar(math.pi / 2, kind))
    return call.node("Where", call.node("Equal", x, zero), upright, angle)


def _atan2(call: Call) -> None:
    y, x = call.value("X1"), call.value("X2")
    kind = x.type
    if kind != y.type or kind.numpy.kind != "f":
        call.refuse(f"operands of the types {y.type.name} and {kind.name}")
    call.put("Out", "Identity", angle_of(call, y.name, x.name, kind))


def _extreme(call: Call, kind: str) -> None:
    """The larger or smaller number; what is none gives way to one that is."""
    x, y = _pair(call)
    made = call.node(kind, x.name, y.name)
    if x.type.numpy.kind == "f":
        made = call.node("Where", call.node("IsNaN", y.name), x.name, made)
        call.put("Out", "Where", call.node("IsNaN", x.name), y.name, made)
    else:
        call.put("Out", "Identity", made)


def _heaviside(call: Call) -> None:
    x, y = _pair(call)
    zero = call.scalar(0, x.type)
    step = call.node("Cast", call.node("Greater", x.name, zero), to=x.type.onnx)
    call.put("Out", "Where", call.node("Equal", x.name, zero), y.name, step)


def _lerp(call: Call) -> None:
    x, y = _pair(call)
    way = call.node("Sub", y.name, x.name)
    call.put("Out", "Add", x.name, call.node("Mul", call.value("Weight").name, way))


def _logit(call: Call) -> None:
    x, epsilon = call.value(), call.real("eps", 1e-6)
    name, one = x.name, call.scalar(1, x.type)
    if epsilon:
        ends = (call.scalar(number, x.type) for number in (epsilon, 1 - epsilon))
        name = call.node("Clip", name, *ends)
    call.put("Out", "Log", call.node("Div", name, call.node("Sub", one, name)))


def _copy_sign(call: Call) -> None:
    """The size of one number with the sign of another; zero has one too."""
    x, y = _pair(call)
    zero = call.scalar(0, x.type)
    below = call.node("Less", y.name, zero)
    below = call.node("Or", below, call.node("Less", call.node("Reciprocal", y.name), zero))
    size = call.node("Abs", x.name)
    call.put("Out", "Where", below, call.node("Neg", size), size)


def _trunc(call: Call) -> None:
    x = call.value()
    if x.type.numpy.kind in "iu":
        call.put("Out", "Identity", x.name)
        return
    below = call.node("Less", x.name, call.scalar(0, x.type))
    call.put("Out", "Where", below, call.node("Ceil", x.name), call.node("Floor", x.name))


def _swiglu(call: Call) -> None:
    """Both halves of the last dimension, or two tensors: the first one opens the second."""
    x, y = call.value(), call.maybe("Y")
    if y is None:
        first, second = call.nodes("Split", x.name, outputs=2, axis=-1, num_outputs=2)
    else:
        first, second = x.name, y.name
    call.put("Out", "Mul", call.node("Mul", first, call.node("Sigmoid", first)), second)


def _label_smooth(call: Call) -> None:
    x, prior, share = call.value(), call.maybe("PriorDist"), call.real("epsilon", 0.0)
    kept = call.node("Mul", x.name, call.scalar(1 - share, x.type))
    if prior is not None:
        even = call.node("Mul", prior.name, call.scalar(share, x.type))
    else:
        count = call.node("Cast", size(call, x.name, x.rank - 1), to=x.type.onnx)
        even = call.node("Div", call.scalar(share, x.type), count)
    call.put("Out", "Add", kept, even)


def _broadcast(call: Call) -> None:
    values = call.values("X")
    if not values or len(call.outputs("Out")) != len(values):
        call.malformed(f"{len(values)} inputs and {len(call.outputs('Out'))} outputs")
    common = values[0].name
    for value in values[1:]:
        # It takes the larger of both sizes.
        common = call.node("Expand", common, call.dims(value.name))
    shape = call.dims(common)
    for index, value in enumerate(values):
        call.put_at("Out", index, "Expand", value.name, shape)


# ***** Running totals *****


def _running(call: Call, axis: str, default: int | None = None) -> tuple[Value, int, str, str]:
    """A tensor, its axis, the tensor as [..., 1, n], and which of its elements [n, n] count for each."""
    x = call.value()
    place = call.axis(call.integer(axis, default), x.rank)
    last = [k for k in range(x.rank) if k != place] + [place]
    turned = x.name if place == x.rank - 1 else call.node("Transpose", x.name, perm=last)
    each = upto(call, size(call, turned, x.rank - 1))
    own = call.node("Unsqueeze", each, call.vector([1]))
    inputs = (own, each) if call.flag("reverse") else (each, own)
    kind = "Less" if call.flag("exclusive") else "LessOrEqual"
    before = call.node(kind, *inputs)
    return x, place, call.node("Unsqueeze", turned, call.vector([-2])), before


def _back(call: Call, slot: str, name: str, place: int, rank: int) -> None:
    """Put what was computed along the last axis along the one that it was."""
    order = [*range(rank - 1)]
    order.insert(place, rank - 1)
    call.put(
        slot,
        "Transpose" if place < rank - 1 else "Identity",
        name,
        **({"perm": order} if place < rank - 1 else {}),
    )


def _lowest(call: Call, kind: ElementType, sign: int) -> str:
    if kind.numpy.kind == "f":
        return call.scalar(-sign * math.inf, kind)
    limits = np.iinfo(kind.numpy)
    return call.scalar(int(limits.min if sign > 0 else limits.max), kind)


def _cumulative_product(call: Call) -> None:
    x, place, rows, before = _running(call, "dim")
    kept = call.node("Where", before, rows, call.scalar(1, x.type))
    made = call.node("ReduceProd", kept, call.vector([-1]), keepdims=0)
    _back(call, "Out", made, place, x.rank)


def _cumulative_extreme(call: Call, sign: int) -> None:
    """The largest or smallest number until now, and where it was last."""
    x, place, rows, before = _running(call, "axis", -1)
    if x.type.numpy.kind not in "fiu":
        call.refuse(f"numbers of the type {x.type.name}")
    kept = call.node("Where", before, rows, _lowest(call, x.type, sign))
    name = "Max" if sign > 0 else "Min"
    made = call.node(f"Reduce{name}", kept, call.vector([-1]), keepdims=0)
    _back(call, "Out", made, place, x.rank)
    where = call.node(f"Arg{name}", kept, axis=-1, keepdims=0, select_last_index=1)
    kind = call.kind("dtype") or INT64
    if call.outputs("Indices"):
        _back(call, "Indices", call.cast(where, INT64, kind), place, x.rank)


def _cumulative_log(call: Call) -> None:
    if call.flag("flatten"):
        call.refuse("flatten = true")
    x, place, rows, before = _running(call, "axis", -1)
    kept = call.node("Where", before, rows, call.scalar(-math.inf, x.type))
    made = call.node("ReduceLogSumExp", kept, call.vector([-1]), keepdims=0)
    _back(call, "Out", made, place, x.rank)


# ***** Norms and spreads *****


def _axes(call: Call, x: Value, name: str) -> list[int]:
    said = call.known(name, "AxisTensor")
    if call.flag("reduce_all") or not said:
        return [*range(x.rank)]
    return sorted({call.axis(axis, x.rank) for axis in said})


def _frobenius(call: Call) -> None:
    x = call.value()
    axes = call.vector(_axes(call, x, "dim"))
    call.put("Out", "ReduceL2", x.name, axes, keepdims=int(call.flag("keep_dim")))


def _squares(call: Call) -> None:
    total = call.node("ReduceSumSquare", call.value().name, keepdims=0)
    call.put("Out", "Reshape", total, call.vector([1]))


def _nan_sum(call: Call) -> None:
    x = call.value()
    zero = call.scalar(0, x.type)
    kept = call.node("Where", call.node("IsNaN", x.name), zero, x.name)
    axes = call.vector(_axes(call, x, "axis"))
    call.put("Out", "ReduceSum", kept, axes, keepdims=int(call.flag("keepdim")))


def _dist(call: Call) -> None:
    x, y = _pair(call)
    order = call.real("p", 2.0)
    apart = call.node("Sub", x.name, y.name)
    if order in (1.0, 2.0):
        call.put("Out", f"ReduceL{int(order)}", apart, keepdims=0)
    elif math.isinf(order):
        kind = "ReduceMax" if order > 0 else "ReduceMin"
        call.put("Out", kind, call.node("Abs", apart), keepdims=0)
    elif order == 0 or math.isnan(order):
        call.refuse(f"p = {order}")
    else:
        powers = call.node("Pow", call.node("Abs", apart), call.scalar(order, x.type))
        total = call.node("ReduceSum", powers, keepdims=0)
        call.put("Out", "Pow", total, call.scalar(1 / order, x.type))


def _softmax_masked(call: Call) -> None:
    added = call.node("Add", call.value().name, call.value("Mask").name)
    call.put("Out", "Softmax", added, axis=-1)


# ***** Products *****


def _einsum(call: Call) -> None:
    values = call.values("Operands")
    if not values:
        call.malformed("nothing to multiply")
    equation = call.text("equation").replace(" ", "")
    call.put("Out", "Einsum", *(value.name for value in values), equation=equation)


def _chain(call: Call) -> None:
    """A product of matrices; the first and the last one may be vectors."""
    first, *others = call.values("X")
    name = first.name
    for value in others[:-1]:
        name = call.node("MatMul", name, value.name)
    call.put("Out", "MatMul", name, others[-1].name)


def _kron(call: Call) -> None:
    x, y = _pair(call)
    rank = max(x.rank, y.rank)
    if not rank:
        call.put("Out", "Mul", x.name, y.name)
        return
    wide, sizes = [], []
    for value, shift in ((x, 1), (y, 0)):
        name = value.name
        if value.rank < rank:
            name = call.node("Unsqueeze", name, call.vector(range(rank - value.rank)))
        sizes.append(call.dims(name))
        places = range(shift, 2 * rank, 2)
        wide.append(call.node("Unsqueeze", name, call.vector(places)))
    call.put("Out", "Reshape", call.node("Mul", *wide), call.node("Mul", *sizes))


def _cross(call: Call) -> None:
    x, y = _pair(call)
    axis = call.integer("dim", 9)
    if axis == 9:
        # The first of 3: dimensions of any size may be of 3 when the model runs.
        found = [place for place, length in enumerate(x.shape) if length in (3, -1)]
        if not found or x.shape[found[0]] != 3:
            call.refuse(f"the first dimension of 3 in {list(x.shape)}")
        axis = found[0]
    axis = call.axis(axis, x.rank)
    turns = [call.vector(order) for order in ([1, 2, 0], [2, 0, 1])]
    a, b = ([call.node("Gather", one.name, turn, axis=axis) for turn in turns] for one in (x, y))
    call.put("Out", "Sub", call.node("Mul", a[0], b[1]), call.node("Mul", a[1], b[0]))


def _bilinear(call: Call) -> None:
    values = [call.value(slot).name for slot in ("X", "Weight", "Y")]
    bias = call.maybe("Bias")
    if bias is None:
        call.put("Out", "Einsum", *values, equation="bi,oij,bj->bo")
    else:
        made = call.node("Einsum", *values, equation="bi,oij,bj->bo")
        call.put("Out", "Add", made, bias.name)


def _batched_sum(call: Call) -> None:
    given = call.value("Input")
    product = call.node("MatMul", call.value("X").name, call.value("Y").name)
    product = call.node("Mul", product, call.scalar(call.real("Alpha", 1.0), given.type))
    added = call.node("Mul", given.name, call.scalar(call.real("Beta", 1.0), given.type))
    call.put("Out", "Add", added, product)


# ***** What is equal *****


def _tolerance(call: Call, name: str, slot: str, default: float) -> float:
    given = call.maybe(slot)
    if given is not None:
        if given.array is None or given.array.size != 1:
            call.refuse(f"{slot} is computed when the model runs")
        return float(given.array.reshape(-1)[0])
    said = call.operator.attributes.get(name, default)
    try:
        # Older programs have texts.
        return float(said) if isinstance(said, (str, int, float)) else call.real(name)
    except ValueError:
        call.malformed(f"{name} = {str(said)[:50]}")


def _close(call: Call) -> str:
    """Which elements are as good as equal."""
    x, y = call.value("Input"), call.value("Other")
    kind = x.type
    if kind != y.type or kind.numpy.kind != "f":
        call.refuse(f"operands of the types {kind.name} and {y.type.name}")
    relative = call.scalar(_tolerance(call, "rtol", "Rtol", 1e-5), kind)
    absolute = call.scalar(_tolerance(call, "atol", "Atol", 1e-8), kind)
    apart = call.node("Abs", call.node("Sub", x.name, y.name))
    most = call.node("Mul", relative, call.node("Abs", y.name))
    near = call.node("LessOrEqual", apart, call.node("Add", absolute, most))
    # Infinity less infinity is no number.
    near = call.node("Or", near, call.node("Equal", x.name, y.name))
    if call.flag("equal_nan"):
        none = call.node("And", call.node("IsNaN", x.name), call.node("IsNaN", y.name))
        near = call.node("Or", near, none)
    return near


def _is_close(call: Call) -> None:
    call.put("Out", "Identity", _close(call))


def _put_all(call: Call, flags: str) -> None:
    least = call.node("ReduceMin", call.node("Cast", flags, to=INT32.onnx), keepdims=0)
    call.put("Out", "Cast", least, to=BOOL.onnx)
    call.retype("Out", BOOL)


def _all_close(call: Call) -> None:
    _put_all(call, _close(call))


def _equal_all(call: Call) -> None:
    x, y = _pair(call)
    pairs = [*zip(x.shape, y.shape, strict=False)]
    if x.rank != y.rank or any(a != b and min(a, b) >= 0 for a, b in pairs):
        call.put_constant("Out", np.array(False))
    elif any(min(pair) < 0 for pair in pairs) and x.shape != y.shape:
        call.refuse(f"shapes {list(x.shape)} and {list(y.shape)}, which may differ")
    else:
        _put_all(call, call.node("Equal", x.name, y.name))


def _same(call: Call) -> None:
    """What shows a tensor, or orders it behind others, and changes nothing."""
    slot = "In" if call.has("In") else "X"
    call.put("Out", "Identity", call.value(slot).name)


TABLE: Mapping[str, Rule] = {
    "allclose": _all_close,
    "atan2": _atan2,
    "baddbmm": _batched_sum,
    "bilinear_tensor_product": _bilinear,
    "broadcast_tensors": _broadcast,
    "copysign": _copy_sign,
    "cross": _cross,
    "cummax": partial(_cumulative_extreme, sign=1),
    "cummin": partial(_cumulative_extreme, sign=-1),
    "cumprod": _cumulative_product,
    "depend": _same,
    "dist": _dist,
    "einsum": _einsum,
    "elementwise_fmax": partial(_extreme, kind="Max"),
    "elementwise_fmin": partial(_extreme, kind="Min"),
    "elementwise_heaviside": _heaviside,
    "equal_all": _equal_all,
    "frobenius_norm": _frobenius,
    "fused_softmax_mask": _softmax_masked,
    "isclose": _is_close,
    "kron": _kron,
    "label_smooth": _label_smooth,
    "lerp": _lerp,
    "logcumsumexp": _cumulative_log,
    "logit": _logit,
    "multi_dot": _chain,
    "nansum": _nan_sum,
    "print": _same,
    "squared_l2_norm": _squares,
    "swiglu": _swiglu,
    "trunc": _trunc,
}

ROWS: Mapping[str, Row] = {
    "affine_channel": row("affine_channel", "X Scale Bias"),
    "allclose": row("allclose", "Input Other Rtol Atol"),
    "atan2": row("atan2", "X1 X2"),
    "baddbmm": row("baddbmm", "Input X Y", alpha="Alpha", beta="Beta"),
    "bilinear": row("bilinear_tensor_product", "X Y Weight Bias"),
    "broadcast_tensors": row("broadcast_tensors"),
    "copysign": row("copysign", "X Y"),
    "cross": row("cross", "X Y", axis="dim"),
    "cummax": row("cummax", "X", "Out Indices"),
    "cummin": row("cummin", "X", "Out Indices"),
    "cumprod": row("cumprod"),
    "depend": row("depend", "X Dep"),
    "dist": row("dist", "X Y"),
    "einsum": row("einsum", "Operands"),
    "empty": row("fill_constant", "ShapeTensor"),
    "empty_like": row("fill_zeros_like"),
    "equal_all": row("equal_all", "X Y"),
    "fmax": row("elementwise_fmax", "X Y"),
    "fmin": row("elementwise_fmin", "X Y"),
    "frobenius_norm": row("frobenius_norm", "X AxisTensor", axis="dim"),
    "fused_softmax_mask": row("fused_softmax_mask", "X Mask"),
    "heaviside": row("elementwise_heaviside", "X Y"),
    "isclose": row("isclose", "Input Other Rtol Atol"),
    "kron": row("kron", "X Y"),
    "label_smooth": row("label_smooth", "X PriorDist"),
    "lerp": row("lerp", "X Y Weight"),
    "logcumsumexp": row("logcumsumexp"),
    "logit": row("logit"),
    "multi_dot": row("multi_dot"),
    "lookup_table": row("lookup_table", "W Ids"),
    "memcpy": row("memcpy"),
    "memcpy_d2h": row("memcpy"),
    "memcpy_h2d": row("memcpy"),
    "nansum": row("nansum"),
    "print": row("print"),
    "range_v2": row("range", "Start End Step"),
    "rint": row("round"),
    "share_data": row("share_data"),
    "squared_l2_norm": row("squared_l2_norm"),
    "swiglu": row("swiglu", "X Y"),
    "trunc": row("trunc"),
}
