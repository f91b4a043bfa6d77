"""Numbers and tuples, which MindIR computes beside tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import INT64, INT_LIMIT, Value
from converters.importers.mindspore.build import BOOL, MOST_PARTS, Call, Given, Rule, Scalar
from converters.importers.mindspore.ops.binary import remainder, wider

FLOAT = BY_NAME["float32"]


def _scalar_arithmetic(kind: str, known: Callable[[Any, Any], Any]) -> Rule:
    """Of two numbers: now if both are known."""

    def rule(call: Call, x: Given, y: Given) -> Given:
        if isinstance(x, (bool, int, float)) and isinstance(y, (bool, int, float)):
            try:
                made = known(x, y)
            except (ZeroDivisionError, OverflowError):
                call.malformed(f"{kind} of {x} and {y}")
            if abs(made) > INT_LIMIT and isinstance(made, int):
                call.malformed(f"{kind} of {x} and {y} is too large")
            return made
        wanted = call.out_kind()
        made = call.node(kind, _row(call, x, wanted), _row(call, y, wanted))
        return Scalar(made, wanted, *_affine(kind, x, y))

    return rule


def _affine(kind: str, x: Given, y: Given) -> tuple[tuple[str, int] | None, int, int]:
    """What a number is of a size, where that is a multiple and something added."""
    if isinstance(x, Scalar) and isinstance(y, int) and x.size is not None:
        if kind == "Mul":
            return x.size, x.factor * y, x.more * y
        if kind in ("Add", "Sub"):
            return x.size, x.factor, x.more + (y if kind == "Add" else -y)
    if isinstance(y, Scalar) and isinstance(x, int) and kind in ("Add", "Mul"):
        return _affine(kind, y, x)
    return None, 1, 0


def _row(call: Call, given: Given, kind: ElementType) -> str:
    """A number as an ONNX value of one dimension."""
    if isinstance(given, Scalar):
        return call.cast(given.name, given.kind, kind)
    if isinstance(given, Value):
        return call.node("Reshape", call.name(given, kind), call.vector([1]))
    if not isinstance(given, (bool, int, float)):
        call.refuse("what is no number")
    return call.graph.constant(np.array([given]).astype(kind.numpy))


def _scalar_floor_divide(call: Call, x: Given, y: Given) -> Given:
    if isinstance(x, (int, float)) and isinstance(y, (int, float)):
        if y == 0:
            call.malformed("a division by zero")
        return x // y
    kind = call.out_kind()
    first, second = _row(call, x, kind), _row(call, y, kind)
    if kind.numpy.kind not in "iu":
        return Scalar(call.node("Floor", call.node("Div", first, second)), kind)
    rest = call.node("Mod", first, second)
    return Scalar(call.node("Div", call.node("Sub", first, rest), second), kind)


def _scalar_mod(call: Call, x: Given, y: Given) -> Given:
    if isinstance(x, (int, float)) and isinstance(y, (int, float)):
        if y == 0:
            call.malformed("a division by zero")
        return x % y
    kind = call.out_kind()
    return Scalar(remainder(call, kind, _row(call, x, kind), _row(call, y, kind)), kind)


def _scalar_compared(kind: str, known: Callable[[Any, Any], bool]) -> Rule:
    def rule(call: Call, x: Given, y: Given) -> Given:
        plain = (bool, int, float, str)
        if isinstance(x, plain) and isinstance(y, plain):
            return known(x, y)
        if isinstance(x, Scalar) and x == y:
            return known(0, 0)
        if isinstance(y, int) and _is_above(call, x, y):
            return known(y + 1, y)
        if isinstance(x, int) and _is_above(call, y, x):
            return known(x, x + 1)
        kinds = [
            one.kind if isinstance(one, Scalar) else FLOAT if isinstance(one, float) else INT64
            for one in (x, y)
        ]
        wanted = wider(*kinds)
        first, second = _row(call, x, wanted), _row(call, y, wanted)
        if kind == "NotEqual":
            return Scalar(call.node("Not", call.node("Equal", first, second)), BOOL)
        return Scalar(call.node(kind, first, second), BOOL)

    return rule


def _is_above(call: Call, given: Given, number: int) -> bool:
    """Whether something is a dimension, which is larger than this: none is empty, unless values decide."""
    if not isinstance(given, Scalar) or given.size is None:
        return False
    plain = (given.factor, given.more) == (1, 0)
    return plain and number < (0 if call.graph.may_be_empty else 1)


def _scalar_not(call: Call, x: Given) -> Given:
    if isinstance(x, (bool, int, float)):
        return not x
    return Scalar(call.node("Not", _row(call, x, BOOL)), BOOL)


def _scalar_logic(kind: str, known: Callable[[bool, bool], bool]) -> Rule:
    def rule(call: Call, x: Given, y: Given) -> Given:
        if isinstance(x, (bool, int)) and isinstance(y, (bool, int)):
            return known(bool(x), bool(y))
        return Scalar(call.node(kind, _row(call, x, BOOL), _row(call, y, BOOL)), BOOL)

    return rule


def _scalar_negative(call: Call, x: Given) -> Given:
    if isinstance(x, (int, float)):
        return -x
    kind = call.out_kind()
    return Scalar(call.node("Neg", _row(call, x, kind)), kind)


def _scalar_cast(call: Call, x: Given, dtype: Given) -> Given:
    kind = call.kind(dtype)
    if isinstance(x, (bool, int, float)):
        if isinstance(x, float) and not math.isfinite(x) and kind.numpy.kind != "f":
            call.malformed(f"{x} as {kind.name}")
        if kind == BOOL:
            return bool(x)
        return float(x) if kind.numpy.kind == "f" else int(x)
    return Scalar(_row(call, x, kind), kind)


def _scalar_to_tensor(call: Call, x: Given, dtype: Given = None) -> Given:
    return call.tensor(x, call.out_kind() if dtype is None else call.kind(dtype))


def _tensor_to_scalar(call: Call, x: Given) -> Given:
    if not isinstance(x, Value):
        return x
    if x.array is not None and x.array.size == 1:
        return x.array.reshape(-1)[0].item()
    return Scalar(call.node("Reshape", x.name, call.vector([1])), x.type)


def _tuple_to_tensor(call: Call, input_tuple: Given, dtype: Given = None) -> Given:
    kind = call.out_kind() if dtype is None else call.kind(dtype)
    items = call.items(input_tuple)
    if all(isinstance(one, (bool, int, float)) for one in items):
        return call.known(np.array(items).astype(kind.numpy).reshape(len(items)))
    rows = [_row(call, one, kind) for one in items]
    return rows[0] if len(rows) == 1 else call.node("Concat", *rows, axis=0)


def _tensor_to_tuple(call: Call, x: Given) -> Given:
    value = call.tensor(x)
    if value.rank != 1:
        call.refuse(f"{value.rank} dimensions")
    if value.array is not None:
        return tuple(one.item() for one in value.array)
    count = value.size(0)
    if count is None or count > MOST_PARTS:
        call.refuse("a size that is not known")
    return tuple(
        Scalar(call.node("Slice", value.name, call.vector([at]), call.vector([at + 1])), value.type)
        for at in range(count)
    )


def _tuple_equal(call: Call, x: Given, y: Given) -> Given:
    first, second = call.items(x), call.items(y)
    if len(first) != len(second):
        return False
    compared = [_equal(call, one, other) for one, other in zip(first, second, strict=True)]
    if any(one is False for one in compared):
        return False
    names = [one.name for one in compared if isinstance(one, Scalar)]
    while len(names) > 1:
        names = [call.node("And", *names[:2]), *names[2:]]
    return Scalar(names[0], BOOL) if names else True


_equal = _scalar_compared("Equal", lambda x, y: x == y)


def _in_sequence(call: Call, x: Given, items: Given) -> Given:
    found = [_equal(call, x, one) for one in call.items(items)]
    if any(one is True for one in found):
        return True
    names = [one.name for one in found if isinstance(one, Scalar)]
    while len(names) > 1:
        names = [call.node("Or", *names[:2]), *names[2:]]
    return Scalar(names[0], BOOL) if names else False


def _is(call: Call, x: Given, y: Given) -> Given:
    plain = (bool, int, float, str, type(None))
    if isinstance(x, plain) and isinstance(y, plain):
        return x is y
    if isinstance(x, Scalar) and x.kind == BOOL and isinstance(y, bool):
        return x if y else _scalar_not(call, x)
    if y is not None:
        call.refuse("values that are computed when the model runs")
    return False


def _is_not(call: Call, x: Given, y: Given) -> Given:
    return _scalar_not(call, _is(call, x, y))


def _sequence_length(call: Call, x: Given) -> Given:
    if isinstance(x, Value):
        # The sizes of a tensor of any rank.
        return Scalar(call.dims(x.name), INT64)
    return len(call.items(x))


def _sequence_add(call: Call, x: Given, y: Given) -> Given:
    made = call.items(x) + call.items(y)
    if len(made) > MOST_PARTS:
        call.refuse(f"{len(made)} values")
    return made


def _sequence_slice(call: Call, x: Given, start: Given, stop: Given, step: Given) -> Given:
    ends = [call.whole(one, "an end") for one in (start, stop, step)]
    if not ends[2]:
        call.malformed("a step of 0")
    return call.items(x)[ends[0] : ends[1] : ends[2]]


def _make_range(call: Call, start: Given, stop: Given = None, step: Given = 1) -> Given:
    start, stop = (0, start) if stop is None else (start, stop)
    ends = [call.whole(one, "an end") for one in (start, stop, step)]
    if not ends[2] or len(range(*ends)) > MOST_PARTS:
        call.refuse(f"a range of {ends}")
    return tuple(range(*ends))


TABLE: Mapping[str, Rule] = {
    "BoolNot": _scalar_not,
    "InSequence": _in_sequence,
    "is_": _is,
    "is_not": _is_not,
    "ScalarAdd": _scalar_arithmetic("Add", lambda x, y: x + y),
    "ScalarBool": lambda call, x: _scalar_cast(call, x, 30),
    "ScalarCast": _scalar_cast,
    "ScalarDiv": _scalar_arithmetic("Div", lambda x, y: x / y),
    "ScalarFloorDiv": _scalar_floor_divide,
    "ScalarMod": _scalar_mod,
    "ScalarMul": _scalar_arithmetic("Mul", lambda x, y: x * y),
    "ScalarSub": _scalar_arithmetic("Sub", lambda x, y: x - y),
    "ScalarToTensor": _scalar_to_tensor,
    "ScalarUsub": _scalar_negative,
    "ScalarMax": _scalar_arithmetic("Max", max),
    "ScalarMin": _scalar_arithmetic("Min", min),
    "TensorToScalar": _tensor_to_scalar,
    "TensorToTuple": _tensor_to_tuple,
    "TupleToTensor": _tuple_to_tensor,
    "ListToTensor": _tuple_to_tensor,
    "bool_and": _scalar_logic("And", lambda x, y: x and y),
    "bool_not": _scalar_not,
    "bool_or": _scalar_logic("Or", lambda x, y: x or y),
    "make_range": _make_range,
    "scalar_eq": _equal,
    "ScalarEq": _equal,
    **{
        name: _scalar_compared(kind, known)
        for kind, known, names in (
            ("Greater", lambda x, y: x > y, ("scalar_gt", "ScalarGt")),
            ("GreaterOrEqual", lambda x, y: x >= y, ("scalar_ge", "ScalarGe")),
            ("Less", lambda x, y: x < y, ("scalar_lt", "ScalarLt")),
            ("LessOrEqual", lambda x, y: x <= y, ("scalar_le", "ScalarLe")),
            ("NotEqual", lambda x, y: x != y, ("scalar_ne", "ScalarNe")),
        )
        for name in names
    },
    "sequence_len": _sequence_length,
    "SequenceAdd": _sequence_add,
    "SequenceSlice": _sequence_slice,
    "tuple_equal": _tuple_equal,
    "list_equal": _tuple_equal,
}
