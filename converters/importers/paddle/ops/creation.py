"""What begins a graph: filled tensors, ranges, random numbers, sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from onnx import numpy_helper

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import INT64, LARGEST_CONSTANT, LARGEST_RANK, Array, Integers
from converters.importers.paddle.build import Call, Counting, Rule
from converters.importers.paddle.rows import Row, row

FLOAT = BY_NAME["float32"]
INT32 = BY_NAME["int32"]


def _put_full(call: Call, shape: Integers, number: Array) -> None:
    """A tensor of one number."""
    if not isinstance(shape, str):
        if min(shape, default=0) < 0 or len(shape) > LARGEST_RANK:
            call.malformed(f"shape = {shape[:40]}")
        if math.prod(shape) <= LARGEST_CONSTANT:
            call.put_constant("Out", np.full(shape, number))
            return
    value = numpy_helper.from_array(number.reshape(1))
    call.put("Out", "ConstantOfShape", call.as_vector(shape), value=value)


def _number(call: Call, said: float | str, kind: ElementType) -> Array:
    """One number of an element type, from an attribute."""
    if isinstance(said, str):
        try:
            # Not by way of a float where it is whole: that has 53 bits.
            said = int(said[:20]) if said.lstrip("-").isdecimal() else float(said)
        except ValueError:
            call.malformed(f"str_value = {str(said)[:50]}")
    if kind.numpy.kind in "iu":
        if not math.isfinite(said):
            call.malformed(f"{said} for {kind.name}")
        limits = np.iinfo(kind.numpy)
        said = min(max(int(said), int(limits.min)), int(limits.max))
    return np.array(said).astype(kind.numpy)


def _fill(call: Call) -> None:
    kind = call.kind("dtype") or FLOAT
    shape = call.integers("shape", "ShapeTensorList", "ShapeTensor")
    given = call.maybe("ValueTensor")
    if given is None:
        text = call.text("str_value", "")
        number = _number(call, text or call.real("value", 0.0), kind)
    elif given.array is not None and given.array.size == 1:
        number = given.array.reshape(()).astype(kind.numpy)
    else:
        alone = call.node("Reshape", given.name, call.vector([]))
        call.put("Out", "Expand", call.cast(alone, given.type, kind), call.as_vector(shape))
        return
    _put_full(call, shape, number)


def _fill_ints(call: Call) -> None:
    kind = call.kind("dtype") or INT64
    call.put_constant("Out", np.array(call.ints("value"), np.int64).astype(kind.numpy))


def _fill_like(call: Call, number: float | None = None) -> None:
    x = call.value()
    kind = call.kind("dtype") or x.type
    given = call.maybe("ValueTensor")
    if number is not None:
        said = number
    elif given is None:
        said = call.real("value", 0.0)
    elif given.array is not None and given.array.size == 1:
        said = float(given.array.reshape(-1)[0])
    else:
        call.put("Out", "Expand", call.lone(given, kind), call.dims(x.name))
        return
    _put_full(call, call.dims(x.name), _number(call, said, kind))


def _fill_batch(call: Call) -> None:
    """A tensor of one number, with one dimension of another tensor."""
    x = call.value("Input")
    kind = call.kind("dtype") or FLOAT
    shape = call.ints("shape")
    own, other = call.integer("output_dim_idx", 0), call.integer("input_dim_idx", 0)
    if not 0 <= own < len(shape) <= LARGEST_RANK or not 0 <= other < x.rank:
        call.malformed(f"dimension {other} for dimension {own} of {shape[:40]}")
    number = _number(call, call.text("str_value", "") or call.real("value", 0.0), kind)
    parts = [call.vector(shape[:own])] if own else []
    parts.append(call.dims(x.name, other, other + 1))
    parts += [call.vector(shape[own + 1 :])] if own + 1 < len(shape) else []
    _put_full(call, call.node("Concat", *parts, axis=0), number)


_VALUES = ("values", "fp32_values", "fp64_values", "int32_values", "int64_values", "bool_values")


def _assign_value(call: Call) -> None:
    kind = call.kind("dtype")
    if kind is None:
        call.malformed("it does not say its element type")
    shape = call.ints("shape")
    values = next((said for name in _VALUES if (said := call.numbers(name))), [])
    if min(shape, default=0) < 0 or math.prod(shape) != len(values) or len(shape) > LARGEST_RANK:
        call.malformed(f"{len(values)} values for the shape {shape[:40]}")
    numbers = [_number(call, value, kind) for value in values]
    call.put_constant("Out", np.array(numbers, kind.numpy).reshape(shape))


def _shape(call: Call, kind: ElementType) -> None:
    x = call.value("Input")
    if min(x.shape, default=0) >= 0 and x.rank:
        call.put_constant("Out", np.array(x.shape, kind.numpy))
    elif kind == INT64:
        call.put("Out", "Shape", x.name)
    else:
        call.put("Out", "Cast", call.dims(x.name), to=kind.onnx)


def _size(call: Call) -> None:
    call.put("Out", "Size", call.value("Input").name)


def _range(call: Call) -> None:
    ends = [call.value(slot) for slot in ("Start", "End", "Step")]
    kind = call.kind("dtype") or ends[0].type
    names = [call.lone(value, kind) for value in ends]
    call.put("Out", "Range", *names)
    made, step = call.graph.values[call.outputs("Out")[0]], ends[2].array
    if kind == INT64 and step is not None:
        counted = Counting(
            made.name, kind, made.dims, start=names[0], step=int(step.reshape(-1)[0])
        )
        call.graph.values[call.outputs("Out")[0]] = counted


def _linspace(call: Call) -> None:
    ends = [call.value(slot) for slot in ("Start", "Stop")]
    kind = call.kind("dtype") or ends[0].type
    count = call.value("Num")
    if count.array is not None and all(value.array is not None for value in ends):
        (number,) = call.whole(count, "Num")
        if not 1 <= number <= LARGEST_CONSTANT:
            call.refuse(f"{number} numbers")
        first, last = (value.array.reshape(-1)[0] for value in ends if value.array is not None)
        numbers = np.linspace(float(first), float(last), number)
        call.put_constant("Out", numbers.astype(kind.numpy))
        return
    # From either end to the middle, as the kernel does it.
    start, stop = (call.lone(value, kind) for value in ends)
    zero, one, whole = call.scalar(0, INT64), call.scalar(1, INT64), call.lone(count, INT64)
    places = call.node("Range", zero, whole, one)
    behind = call.node("Sub", call.node("Sub", whole, one), places)
    steps = call.node("Max", call.node("Sub", whole, one), one)
    step = call.node("Div", call.node("Sub", stop, start), call.cast(steps, INT64, kind))
    from_start = call.node("Add", start, call.node("Mul", step, call.cast(places, INT64, kind)))
    from_stop = call.node("Sub", stop, call.node("Mul", step, call.cast(behind, INT64, kind)))
    call.put("Out", "Where", call.node("LessOrEqual", places, behind), from_start, from_stop)


TABLE: Mapping[str, Rule] = {
    "assign_value": _assign_value,
    "fill_any_like": _fill_like,
    "fill_constant": _fill,
    "fill_constant_batch_size_like": _fill_batch,
    "fill_zeros_like": partial(_fill_like, number=0.0),
    "full_int_array": _fill_ints,
    "linspace": _linspace,
    "range": _range,
    "shape": partial(_shape, kind=INT32),
    "shape64": partial(_shape, kind=INT64),
    "size": _size,
}

ROWS: Mapping[str, Row] = {
    "arange": row("range", "Start End Step"),
    "assign_value": row("assign_value", ""),
    "assign_value_": row("assign_value", "X"),
    "full": row("fill_constant", ""),
    "full_batch_size_like": row("fill_constant_batch_size_like", "Input"),
    "full_int_array": row("full_int_array", ""),
    "full_like": row("fill_any_like", "X ValueTensor"),
    "full_with_tensor": row("fill_constant", "ValueTensor ShapeTensor"),
    "linspace": row("linspace", "Start Stop Num"),
    "numel": row("size", "Input"),
    "shape": row("shape", "Input"),
    "shape64": row("shape64", "Input"),
}
