"""Inputs, outputs and dimensions of an ONNX file get the names that they have in a signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx

from converters.dtypes import element_type
from converters.errors import UnsupportedError


def rename(path: Path, signature: Mapping[str, Any]) -> None:
    """Give inputs and outputs of a graph the names that they have in a signature, dimensions too.

    Args:
        path: The file, which is written anew.
        signature: `inputs` and `outputs` in the order of the graph: name, and dtype and shape where they are known.

    Raises:
        UnsupportedError: The graph has more or fewer of them.
    """
    model = onnx.load(path, load_external_data=False)
    sides = (model.graph.input, signature["inputs"]), (model.graph.output, signature["outputs"])
    new: dict[str, str] = {}
    for values, specs in sides:
        if len(values) != len(specs):
            raise UnsupportedError(
                f"the program has {len(values)} of {len(specs)} inputs or outputs",
                fix="convert what it was made from",
            )
        for value, spec in zip(values, specs, strict=True):
            new[value.name] = spec["name"]
            kind = value.type.tensor_type
            if not kind.elem_type and "dtype" in spec:
                kind.elem_type = element_type(spec["dtype"]).onnx
            said = spec.get("shape") or ()
            for dim, size in zip(value.type.tensor_type.shape.dim, said, strict=False):
                if dim.HasField("dim_value") or size is None:
                    continue
                # What varies in the graph alone, as more than the signature allows, does not.
                if isinstance(size, str):
                    dim.dim_param = size
                else:
                    dim.dim_value = size
    # What has one of these names inside gives way.
    taken = set(new.values()) - new.keys()
    new |= {name: f"{name}.inner" for name in taken}
    for graph in every_graph(model.graph):
        # An exporter that does not know a type writes none, which runtimes refuse where they could infer it.
        for value in graph.output:
            if value.type.HasField("tensor_type") and not value.type.tensor_type.elem_type:
                value.ClearField("type")
        for tensor in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
            tensor.name = new.get(tensor.name, tensor.name)
        for node in graph.node:
            for place in (node.input, node.output):
                place[:] = [new.get(name, name) for name in place]
    onnx.save(model, path)


def every_graph(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all that lie within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from every_graph(attribute.g)
