"""The signature of a graph: names, element types and shapes, with named dynamic dimensions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from converters.graph.control import inner_shape, set_inner_shape
from converters.graph.model import Dim, Graph, Value, every_graph

# Names that exporters make up for sizes that they do not know.
MADE_UP = re.compile(r"unk__|DynamicDimension|^dim_?\d+$|[^A-Za-z0-9_]|^\d|^s\d+$|^$")
# What the axes of a float image are called.
IMAGE = ("N", "C", "H", "W")


def name_dimensions(graph: Graph) -> None:
    """Give every dynamic dimension of the inputs and outputs a name that reads well, in place.

    Equal names stay equal. Unknown sizes of inputs are different sizes; unknown sizes of outputs that
    no input has are named after the output.
    """
    names: dict[str, str] = {}
    taken = {str(dim) for v in graph.inputs for dim in inner_shape(v) or () if _is_good(dim)}
    for value in (*graph.inputs, *graph.outputs):
        found = inner_shape(value)
        if found is None:
            continue
        shape: list[Dim] = []
        for axis, dim in enumerate(found):
            if isinstance(dim, int) or _is_good(dim):
                shape.append(dim)
                continue
            if dim in names:
                shape.append(names[dim])
                continue
            fresh = _fresh(value, axis, taken)
            taken.add(fresh)
            if dim is not None:
                names[dim] = fresh
            shape.append(fresh)
        set_inner_shape(value, tuple(shape))
    named = {*graph.inputs, *graph.outputs}
    for inner in every_graph(graph):
        made = (out for node in inner.nodes for out in node.outputs if out is not None)
        for value in {*inner.inputs, *made} - named:
            if value.shape is not None:
                value.shape = tuple(_renamed(dim, names) for dim in value.shape)


def _renamed(dim: Dim, names: dict[str, str]) -> Dim:
    if not isinstance(dim, str) or _is_good(dim):
        return dim
    # A made-up name stays, to tell equal sizes, but is not shown.
    return names.get(dim, f"?{dim.lstrip('?')}")


def _is_good(dim: Dim) -> bool:
    return isinstance(dim, str) and not MADE_UP.search(dim)


def _fresh(value: Value, axis: int, taken: set[str]) -> str:
    rank = len(inner_shape(value) or ())
    image = rank == 4 and value.dtype is not None and value.dtype.kind in "fV"
    wanted = IMAGE[axis] if image or axis == 0 else "LTKJI"[min(axis - 1, 4)]
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}{number}"
    return name


def signature(graph: Graph) -> dict[str, list[dict[str, Any]]]:
    """Inputs and outputs as the manifest lists them; `kind` only where they are no tensors."""
    names = [value.name for value in graph.inputs]
    return {
        "inputs": _specs(graph.inputs, names),
        "outputs": _specs(graph.outputs, graph.output_names),
    }


def _dtype(value: Value) -> str:
    if value.dtype is None:
        return "float32"
    return "string" if value.dtype.kind == "O" else value.dtype.name


def _specs(values: Sequence[Value], names: Sequence[str]) -> list[dict[str, Any]]:
    specs = []
    for name, value in zip(names, values, strict=True):
        shape = inner_shape(value)
        spec: dict[str, Any] = {
            "name": name,
            "dtype": _dtype(value),
            "shape": list(shape) if shape is not None else None,
        }
        if value.kind != "tensor":
            spec["kind"] = value.kind
        specs.append(spec)
    return specs
