"""Operators of other domains -> standard nodes, by the rules of `contrib` and `ml`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from converters.graph import contrib, ml
from converters.graph.body import Body, Unsayable
from converters.graph.infer import infer
from converters.graph.model import Graph, Node, subgraphs

DOMAIN, ML = "com.microsoft", "ai.onnx.ml"
# A fusion that ONNX Runtime saves under the standard's own domain, and a standard one without a body.
UNPREFIXED = ("SimplifiedLayerNormalization", "TfIdfVectorizer")
# The standard has taken these over as they were.
SAME = tuple(
    f"{DOMAIN}::{name}"
    for name in ("DequantizeLinear", "Gelu", "MatMulInteger", "QuantizeLinear", "Range", "Trilu")
)


def rule(key: str) -> Callable[..., Any] | None:
    """The function that writes an operator in standard nodes, if there is one."""
    domain, _, name = key.rpartition("::")
    home = "" if name in UNPREFIXED else DOMAIN
    module = ml if domain == ML else contrib if domain == home else None
    return _rules(module).get(name) if module is not None else None


def _rules(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The functions of a module that are named as operators."""
    found = vars(module).items()
    return {n: f for n, f in found if n[:1].isupper() and inspect.isfunction(f)}


def keys() -> list[str]:
    """Every operator that has a rule, or the same meaning as the standard's."""
    own = (name if name in UNPREFIXED else f"{DOMAIN}::{name}" for name in _rules(contrib))
    return sorted([*own, *(f"{ML}::{name}" for name in _rules(ml)), *SAME])


def written(node: Node) -> list[Node]:
    """A node in standard nodes.

    Raises:
        Unsayable: There is a rule, but not for these inputs and attributes; the text says which.
    """
    function = rule(node.key)
    assert function is not None  # noqa: S101 - the caller has looked
    parameters = inspect.signature(function).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name, value in node.attributes.items():
            if (
                name not in parameters
                or parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY
            ):
                raise Unsayable(f"attribute {name}={value!r}")
    body = Body(node)
    try:
        inspect.signature(function).bind(body, *node.inputs, **node.attributes)
    except TypeError as error:
        raise Unsayable(str(error)) from error
    results = function(body, *node.inputs, **node.attributes)
    results = results if isinstance(results, tuple) else (results,)
    for k, out in enumerate(node.outputs):
        if out is not None:
            if k >= len(results) or results[k] is None:
                raise Unsayable(f"output {k}")
            name = f"{node.name}.out{k}"
            body.nodes.append(Node("Identity", [results[k]], [out], {}, name, node.scope))
    return body.nodes


def refusal(node: Node) -> str:
    """Why an operator was left as it is; an empty text where there is no rule for it at all."""
    if rule(node.key) is None:
        return ""
    try:
        written(node)
    except Unsayable as why:
        return str(why)
    return ""


def expand_contrib(graph: Graph) -> None:
    """Write every operator that has a rule in standard nodes, in place.

    Again and again, since a rule may ask for types that only other rules' results give.
    """
    while any(rule(node.key) or node.key in SAME for node in _all_nodes(graph)):
        infer(graph)
        if not _pass(graph):
            return


def _all_nodes(graph: Graph) -> list[Node]:
    inner = [n for node in graph.nodes for sub in subgraphs(node) for n in _all_nodes(sub)]
    return [*graph.nodes, *inner]


def _pass(graph: Graph) -> bool:
    """Expand what can be; whether there was anything."""
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes:
        for inner in subgraphs(node):
            changed |= _pass(inner)
        if node.key in SAME:
            node.key, changed = node.key.removeprefix(f"{DOMAIN}::"), True
        if rule(node.key) is None:
            nodes.append(node)
            continue
        try:
            nodes.extend(written(node))
            changed = True
        except Unsayable:
            nodes.append(node)
    graph.nodes = nodes
    return changed
