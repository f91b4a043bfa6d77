"""Element types of four and eight bits that a framework lacks -> wider ones that hold the same numbers.

Before: `Cast(x, to=FLOAT8E4M3FN)`. After: nodes that round a float32 to the numbers of that type. What
moves such numbers about is the same for the wider type; the standard lets nothing else compute with them.

Source: https://onnx.ai/onnx/technical/float8.html and int4.html.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.dtypes import element_type
from converters.graph.body import Body
from converters.graph.infer import infer
from converters.graph.model import Graph, Node, Value, subgraphs

FLOAT = element_type(np.float32).onnx


@dataclass(frozen=True)
class Narrow:
    """A type and the one that stands for it.

    Attributes:
        wide: Holds every number of the type.
        lowest, largest: Its finite range.
        mantissa: Bits of a float's fraction.
        least: Exponent of its smallest normal number.
        beyond: What a larger number becomes where it does not saturate.
    """

    wide: np.dtype[Any]
    lowest: float
    largest: float
    mantissa: int = 0
    least: int = 0
    beyond: float = float("nan")


NARROW: dict[str, Narrow] = {
    "int4": Narrow(np.dtype(np.int8), -8, 7),
    "uint4": Narrow(np.dtype(np.uint8), 0, 15),
    "float8_e4m3fn": Narrow(np.dtype(np.float32), -448, 448, 3, -6),
    "float8_e4m3fnuz": Narrow(np.dtype(np.float32), -240, 240, 3, -7),
    "float8_e5m2": Narrow(np.dtype(np.float32), -57344, 57344, 2, -14, float("inf")),
    "float8_e5m2fnuz": Narrow(np.dtype(np.float32), -57344, 57344, 2, -15),
}


def widen(graph: Graph, lacking: Collection[str]) -> None:
    """Store types that are lacking as wider ones, in place; a graph that asks for more stays as it is."""
    infer(graph)
    if any(True for node in graph.nodes for _ in subgraphs(node)):
        return
    values = {v for node in graph.nodes for v in (*node.inputs, *node.outputs) if v is not None}
    values |= {*graph.inputs, *graph.outputs}
    narrow = {v: NARROW[n] for v in values if (n := _name(v)) in NARROW and n in lacking}
    if not narrow or not all(_is_sayable(node, narrow) for node in graph.nodes):
        return
    graph.nodes = [made for node in graph.nodes for made in _widened(node, narrow)]
    for value, kind in narrow.items():
        value.dtype = kind.wide
        if value.const is not None:
            value.const = value.const.astype(kind.wide)


def _name(value: Value | None) -> str:
    return "" if value is None or value.dtype is None else value.dtype.name


def _is_sayable(node: Node, narrow: dict[Value, Narrow]) -> bool:
    """Whether a node is one of those that we know how to write; only scalars scale floats."""
    kinds = [narrow.get(v) for v in (*node.inputs, *node.outputs) if v is not None]
    if node.key in ("QuantizeLinear", "DequantizeLinear") and any(k and k.mantissa for k in kinds):
        scale = node.inputs[1]
        return scale is not None and scale.rank == 0
    return True


def _widened(node: Node, narrow: dict[Value, Narrow]) -> list[Node]:
    out = node.output
    kind, x = narrow.get(out), node.inputs[0] if node.inputs else None
    b = Body(node)
    if node.key in ("Cast", "CastLike") and kind is not None and x is not None:
        result = _rounded(b, b("Cast", x, to=FLOAT), kind, bool(node.attributes.get("saturate", 1)))
    elif node.key == "QuantizeLinear" and kind is not None and x is not None:
        scale, zero = node.inputs[1], (*node.inputs, None)[2]
        if kind.mantissa:
            real = b("Cast", b("Div", x, scale), to=FLOAT)
            result = _rounded(b, real, kind, bool(node.attributes.get("saturate", 1)))
        else:
            kept = {k: v for k, v in node.attributes.items() if k in ("axis", "block_size")}
            kept["output_dtype"] = element_type(kind.wide).onnx
            wide = b("QuantizeLinear", x, scale, zero, **kept)
            wide.dtype, wide.shape = kind.wide, out.shape
            number = b("Clip", b("Cast", wide, to=FLOAT), float(kind.lowest), float(kind.largest))
            result = b("Cast", number, to=element_type(kind.wide).onnx)
    elif node.key == "DequantizeLinear" and x in narrow and narrow[x].mantissa:
        result = b("Mul", b("CastLike", x, node.inputs[1]), node.inputs[1])
    else:
        return [node]
    name = f"{node.name}.out"
    return [*b.nodes, Node("Identity", [result], [out], {}, name, node.scope)]


def _rounded(b: Body, x: Value, kind: Narrow, saturate: bool) -> Value:
    """A float32 rounded to the nearest number of a type, of two the even one, in the wider type."""
    inside = b("Clip", x, float(kind.lowest), float(kind.largest))
    if not kind.mantissa:
        return b("Cast", b("Round", inside), to=element_type(kind.wide).onnx)
    # The power of two at or below a number says how far its neighbours are apart.
    powers = 2.0 ** np.arange(kind.least, np.floor(np.log2(kind.largest)) + 1)
    size = b("Unsqueeze", b("Abs", inside), [-1])
    below = b("Where", b("GreaterOrEqual", size, list(powers)), list(powers), float(powers[0]))
    step = b("Mul", b("ReduceMax", below, [-1], keepdims=0), 2.0**-kind.mantissa)
    y = b("Mul", b("Round", b("Div", inside, step)), step)
    # A bound takes the place of NaN in some kernels.
    y = b("Where", b("IsNaN", x), x, y)
    if saturate:
        return y
    half = 2.0 ** (np.floor(np.log2(kind.largest)) - kind.mantissa - 1)
    over = b("Greater", b("Abs", x), kind.largest + float(half))
    return b("Where", over, b("Mul", b("Sign", x), float(kind.beyond)), y)
