"""Composite operators that the standard spells out: replace them by their function bodies.

Before: `Y = Mish(X)`, unknown to an emitter. After: `T = Softplus(X); U = Tanh(T); Y = Mul(X, U)`.
The bodies are those of `onnx.defs`, so a new composite operator of the standard needs no code here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import onnx
from onnx import defs, inliner

STANDARD = ("", "ai.onnx")


def expand_functions(model: onnx.ModelProto, native: Callable[[str], bool]) -> onnx.ModelProto:
    """Expand, again and again, every operator that is not native and has a function body."""
    opsets = {imported.domain or "": imported.version for imported in model.opset_import}

    def foreign(node: onnx.NodeProto) -> bool:
        return not native(_key(node)) and _schema_with_body(node, opsets) is not None

    for depth in range(8):
        if not any(foreign(node) for graph, _ in _graphs(model.graph, {}) for node in graph.node):
            break
        model = _inferred(model)
        functions: dict[tuple[str, str], onnx.FunctionProto] = {}
        for graph, types in list(_graphs(model.graph, {})):
            for node in graph.node:
                if not native(_key(node)):
                    _expand(node, depth, opsets, types, functions)
        if not functions:
            break
        model.functions.extend(functions.values())
        for domain in {domain for domain, _ in functions}:
            model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
        model = inliner.inline_local_functions(model)
    return model


def _graphs(
    graph: onnx.GraphProto, around: dict[str, onnx.TypeProto]
) -> Iterator[tuple[onnx.GraphProto, dict[str, onnx.TypeProto]]]:
    """A graph and the sub-graphs in it, at every depth, each with the types that are visible in it."""
    types = {**around, **_types(graph)}
    yield graph, types
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g, types)


def _key(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in STANDARD else f"{node.domain}::{node.op_type}"


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """Types by the standard's own inference: some bodies depend on them."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        return model


def _expand(
    node: onnx.NodeProto,
    depth: int,
    opsets: dict[str, int],
    types: dict[str, onnx.TypeProto],
    functions: dict[tuple[str, str], onnx.FunctionProto],
) -> None:
    """Turn a node into a call of a local function with the standard's body, where there is one."""
    schema = _schema_with_body(node, opsets)
    if schema is None:
        return
    body = _body(schema, node, opsets.get("", 1), types)
    if body is None:
        return
    # One function for each call: a body may depend on the types and attributes of its call.
    name = f"{node.op_type}_{len(functions)}"
    body.domain, body.name = f"polyzoo.expanded{depth}", name
    functions[body.domain, name] = body
    # The body holds for every opset from its own on; the inliner leaves out those that differ.
    for imported in body.opset_import:
        imported.version = opsets.get(imported.domain, imported.version)
    present = {attribute.name for attribute in node.attribute}
    for attribute in schema.attributes.values():
        if attribute.name not in present and attribute.default_value.type:
            node.attribute.append(attribute.default_value)
    node.domain, node.op_type = body.domain, name


def _schema_with_body(node: onnx.NodeProto, opsets: Mapping[str, int]) -> defs.OpSchema | None:
    domain = "" if node.domain in STANDARD else node.domain
    try:
        schema = defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except defs.SchemaError:
        return None
    return schema if schema.has_function or schema.has_context_dependent_function else None


def _body(
    schema: defs.OpSchema, node: onnx.NodeProto, opset: int, types: dict[str, onnx.TypeProto]
) -> onnx.FunctionProto | None:
    if schema.has_function:
        versions = [v for v in schema.function_opset_versions if v <= opset]
        if versions:
            body = onnx.FunctionProto()
            body.ParseFromString(schema.get_function_with_opset_version(max(versions)))
            return body
    if schema.has_context_dependent_function:
        versions = [v for v in schema.context_dependent_function_opset_versions if v <= opset]
        if versions and all(name in types for name in node.input if name):
            inputs = [types[name].SerializeToString() if name else b"" for name in node.input]
            data = schema.get_context_dependent_function_with_opset_version(
                max(versions), node.SerializeToString(), inputs
            )
            body = onnx.FunctionProto()
            body.ParseFromString(data)
            return body if body.node else None
    return None


def _types(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    types = {info.name: info.type for info in (*graph.value_info, *graph.input, *graph.output)}
    for tensor in graph.initializer:
        types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    return types
