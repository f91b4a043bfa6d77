"""Lists of tensors that grow as the model runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from converters.dtypes import ElementType
from converters.importers.graph import INT64
from converters.importers.paddle.build import Call, Length, Rule, Stacked, Tensors
from converters.importers.paddle.rows import Row, row


def _create_list(call: Call) -> None:
    call.put_list("Out", 0, "SequenceEmpty", dtype=_listed(call).onnx)


def _listed(call: Call) -> ElementType:
    """The element type of a list, which is declared where it is created."""
    kind = call.out_kind("Out")
    if kind is None or kind.onnx is None:
        call.refuse("a list of no known element type")
    return kind


def _write_list(call: Call) -> None:
    """Append to a list: `I` must be its length."""
    x, place = call.value(), call.value("I")
    # Older programs do not name what was there: it is the variable that is written.
    found = call.maybe("Array") or call.before("Out")
    if found is None:
        empty = call.node("SequenceEmpty", dtype=x.type.onnx)
        found = Tensors(empty, x.type, None, count=0)
    if not isinstance(found, Tensors) or found.kind != x.kind:
        call.malformed("what is written is no list of such tensors")
    known = place.array is not None and place.array.reshape(-1).tolist() == [found.count]
    if not known and not (isinstance(place, Length) and place.of == found.name):
        call.refuse("a place that is not the end of the list")
    count = None if found.count is None else found.count + 1
    call.put_list("Out", count, "SequenceInsert", found.name, x.name)


def _list_length(call: Call) -> None:
    found = call.list_of("X")
    if isinstance(found, Stacked):
        call.put("Out", "Shape", found.name, start=0, end=1)
        return
    if found.count is not None:
        call.put_constant("Out", np.array([found.count], np.int64))
        return
    call.put("Out", "Unsqueeze", call.node("SequenceLength", found.name), call.vector([0]))
    made = call.graph.values[call.outputs("Out")[0]]
    call.graph.values[call.outputs("Out")[0]] = Length(made.name, INT64, (1,), of=found.name)


def _read_list(call: Call) -> None:
    place = call.node("Squeeze", call.flat(call.value("I")), call.vector([0]))
    call.put("Out", "SequenceAt", call.list_of("X").name, place)


def _join_list(call: Call) -> None:
    found = call.list_of("X")
    if isinstance(found, Stacked):
        rank = found.elements + 1
        axis = call.axis(call.integer("axis", 0), rank)
        order = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        call.put("Out", "Transpose", found.name, perm=order)
        return
    call.put(
        "Out",
        "ConcatFromSequence",
        found.name,
        axis=call.integer("axis", 0),
        new_axis=int(call.flag("use_stack")),
    )


TABLE: Mapping[str, Rule] = {
    "create_array": _create_list,
    "lod_array_length": _list_length,
    "read_from_array": _read_list,
    "tensor_array_to_tensor": _join_list,
    "write_to_array": _write_list,
}

ROWS: Mapping[str, Row] = {
    "array_length": row("lod_array_length"),
    "array_read": row("read_from_array", "X I"),
    "array_to_tensor": row("tensor_array_to_tensor", "X", "Out OutIndex"),
    "array_write_": row("write_to_array", "Array X I"),
    "create_array": row("create_array", ""),
    "slice_array_dense": row("read_from_array", "X I"),
}
