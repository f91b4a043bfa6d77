"""Two tensors, element by element."""

from __future__ import annotations

from collections.abc import Mapping

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.rows import Row, row, same

BOOL = BY_NAME["bool"]


def _aligned(call: Call, x: Value, y: Value) -> tuple[str, str]:
    """Both operands so that ONNX broadcasts them: the smaller one begins at `axis` of the larger."""
    axis = call.integer("axis", -1)
    difference = x.rank - y.rank
    if axis == -1 or difference == 0:
        return x.name, y.name
    large, small = (x, y) if difference > 0 else (y, x)
    axis = call.axis(axis, large.rank)
    behind = large.rank - axis - small.rank
    if behind < 0:
        # Ones at the end of the smaller one were not counted.
        extra = small.shape[behind:]
        if any(size != 1 for size in extra):
            call.malformed(f"axis {axis} for shapes {list(x.shape)} and {list(y.shape)}")
        moved = call.node(
            "Squeeze", small.name, call.vector(range(small.rank + behind, small.rank))
        )
    elif behind == 0:
        moved = small.name
    else:
        places = range(small.rank, small.rank + behind)
        moved = call.node("Unsqueeze", small.name, call.vector(places))
    return (x.name, moved) if difference > 0 else (moved, y.name)


def _pair(call: Call) -> tuple[Value, Value, str, str]:
    for name in ("Scale_x", "Scale_y", "Scale_out"):
        call.only(name, 1.0)
    x, y = call.value("X"), call.value("Y")
    if x.kind != y.kind:
        call.refuse(f"operands of the types {x.type.name} and {y.type.name}")
    return x, y, *_aligned(call, x, y)


# What sums and products of flags are.
_FLAGS = {"Add": "Or", "Mul": "And"}


def binary(kind: str) -> Rule:
    """An operator of two tensors that ONNX has too."""

    def rule(call: Call) -> None:
        first, _, x, y = _pair(call)
        call.put("Out", _FLAGS.get(kind, kind) if first.type == BOOL else kind, x, y)

    return rule


def _not_equal(call: Call) -> None:
    *_, x, y = _pair(call)
    call.put("Out", "Not", call.node("Equal", x, y))


def _remainder(call: Call, kind: ElementType, x: str, y: str) -> str:
    """The remainder that has the sign of the divisor."""
    if kind.numpy.kind in "iu":
        return call.node("Mod", x, y)
    rest = call.node("Mod", x, y, fmod=1)
    zero = call.scalar(0, kind)
    other = call.node("Xor", call.node("Less", rest, zero), call.node("Less", y, zero))
    there = call.node("Not", call.node("Equal", rest, zero))
    turned = call.node("And", other, there)
    return call.node("Where", turned, call.node("Add", rest, y), rest)


def _mod(call: Call) -> None:
    first, _, x, y = _pair(call)
    call.put("Out", "Identity", _remainder(call, first.type, x, y))


def _floor_divide(call: Call) -> None:
    first, _, x, y = _pair(call)
    if first.type.numpy.kind not in "iu":
        call.put("Out", "Floor", call.node("Div", x, y))
        return
    call.put("Out", "Div", call.node("Sub", x, _remainder(call, first.type, x, y)), y)


def _logical(kind: str) -> Rule:
    """A logical operator; numbers are true unless they are zero."""

    def rule(call: Call) -> None:
        slots = ("X",) if kind == "Not" else ("X", "Y")
        values = [call.value(slot) for slot in slots]
        call.put("Out", kind, *(call.cast(value.name, value.type, BOOL) for value in values))

    return rule


def _bitwise(kind: str) -> Rule:
    """A bitwise operator, which is the logical one for booleans."""

    def rule(call: Call) -> None:
        slots = ("X",) if kind == "Not" else ("X", "Y")
        values = [call.value(slot) for slot in slots]
        prefix = "" if values[0].type == BOOL else "Bitwise"
        call.put("Out", f"{prefix}{kind}", *(value.name for value in values))

    return rule


def _sum(call: Call) -> None:
    """The sum of a list of tensors."""
    values = call.values("X")
    if not values:
        call.malformed("nothing to add")
    name = values[0].name
    for value in values[1:-1]:
        name = call.node("Add", name, value.name)
    if len(values) == 1:
        call.put("Out", "Identity", name)
    else:
        call.put("Out", "Add", name, values[-1].name)


def _where(call: Call) -> None:
    call.put("Out", "Where", *(call.value(slot).name for slot in ("Condition", "X", "Y")))


def _masked_fill(call: Call) -> None:
    call.put("Out", "Where", *(call.value(slot).name for slot in ("Mask", "Value", "X")))


def _increment(call: Call) -> None:
    x = call.value()
    call.put("Out", "Add", x.name, call.scalar(call.real("step", 1.0), x.type))


def _prelu(call: Call) -> None:
    x, alpha = call.value(), call.value("Alpha")
    mode = call.text("mode", "all")
    last = call.text("data_format", "NCHW").endswith("C")
    slope = alpha.name
    if mode == "channel" and not last and x.rank > 2:
        slope = call.node("Reshape", slope, call.vector([-1] + [1] * (x.rank - 2)))
    elif mode == "channel" or mode == "all":
        slope = call.node("Reshape", slope, call.vector([-1]))
    elif mode != "element":
        call.refuse(f"mode = {mode[:50]}")
    call.put("Out", "PRelu", x.name, slope)


TABLE: Mapping[str, Rule] = {
    **{
        name: binary(kind)
        for name, kind in {
            "elementwise_add": "Add",
            "elementwise_div": "Div",
            "elementwise_max": "Max",
            "elementwise_min": "Min",
            "elementwise_mul": "Mul",
            "elementwise_pow": "Pow",
            "elementwise_sub": "Sub",
            "equal": "Equal",
            "greater_equal": "GreaterOrEqual",
            "greater_than": "Greater",
            "less_equal": "LessOrEqual",
            "less_than": "Less",
        }.items()
    },
    **{f"logical_{name.lower()}": _logical(name) for name in ("And", "Or", "Xor", "Not")},
    **{f"bitwise_{name.lower()}": _bitwise(name) for name in ("And", "Or", "Xor", "Not")},
    "elementwise_floordiv": _floor_divide,
    "elementwise_mod": _mod,
    "increment": _increment,
    "masked_fill": _masked_fill,
    "not_equal": _not_equal,
    "prelu": _prelu,
    "sum": _sum,
    "where": _where,
}

ROWS: Mapping[str, Row] = {
    **same("bitwise_not", "logical_not"),
    "add": row("elementwise_add", "X Y"),
    "subtract": row("elementwise_sub", "X Y"),
    "multiply": row("elementwise_mul", "X Y"),
    "divide": row("elementwise_div", "X Y"),
    "maximum": row("elementwise_max", "X Y"),
    "minimum": row("elementwise_min", "X Y"),
    "remainder": row("elementwise_mod", "X Y"),
    "floor_divide": row("elementwise_floordiv", "X Y"),
    "elementwise_pow": row("elementwise_pow", "X Y"),
    "equal": row("equal", "X Y"),
    "not_equal": row("not_equal", "X Y"),
    "less_than": row("less_than", "X Y"),
    "less_equal": row("less_equal", "X Y"),
    "greater_than": row("greater_than", "X Y"),
    "greater_equal": row("greater_equal", "X Y"),
    "add_n": row("sum"),
    "increment_": row("increment", value="step"),
    "masked_fill": row("masked_fill", "X Mask Value"),
    "prelu": row("prelu", "X Alpha"),
    "where": row("where", "Condition X Y"),
    **{
        f"{kind}_{name}": row(f"{kind}_{name}", "X Y")
        for kind in ("bitwise", "logical")
        for name in ("and", "or", "xor")
    },
}
