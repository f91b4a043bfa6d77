"""Element types that PaddlePaddle's CPU kernels lack, and operators computed in wider ones for them.

Most operators have no CPU kernel for halves and for integers below 32 bits: `relu(x)` of float16 is
written `F.relu(x.cast('float32')).cast('float16')`, which is right on every device. Measured with
paddlepaddle 3.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from converters.emitters import sequences
from converters.emitters.table import Layer, Numbers, Operand, Table, Use, Written

WIDER: Mapping[str, str] = {
    "float16": "float32",
    "bfloat16": "float32",
    "int16": "int32",
    "int8": "int32",
    "uint8": "int32",
    "bool": "int32",
}
HALVES = frozenset({"float16", "bfloat16"})
USUAL = HALVES | {"int16", "int8", "uint8"}
WITH_BOOL = USUAL | {"bool"}
# What operators lack that do not lack the usual.
LACKING: Mapping[str, frozenset[str]] = {
    # Those that have a kernel for everything, and those whose functions look after types themselves.
    **dict.fromkeys(
        (
            "And", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike",
            "Concat", "ConstantOfShape", "ConvInteger", "DequantizeLinear", "Dropout",
            "DynamicQuantizeLinear", "Embedding", "Equal", "Flatten", "Gather", "Greater",
            "GreaterOrEqual", "Identity", "ImageDecoder", "IsInf", "IsNaN", "Less", "LessOrEqual", "MatMulInteger", "Neg",
            "Not", "Or", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RandomNormalLike", "RandomUniformLike", "Range", "Rank", "Reshape", "Shape",
            *sequences.KEYS, "Size", "Slice", "Squeeze", "Transpose", "Unsqueeze", "Xor",
        ),
        frozenset(),
    ),
    "Expand": frozenset({"bfloat16", "int16", "int8", "uint8"}),
    "Split": frozenset({"int16"}),
    "Tile": frozenset({"bfloat16"}),
    **dict.fromkeys(
        (
            "GatherElements", "Max", "Min", "Pad", "ReduceMax", "ReduceMin", "ScatterElements",
            "ScatterND", "TopK", "Unique",
        ),
        WITH_BOOL,
    ),
}  # fmt: skip


class WideningTable(Table):
    """A table that casts what a kernel lacks before an operator, and its results back."""

    def write(
        self,
        key: str,
        inputs: list[Operand | Numbers | None],
        attributes: dict[str, Any],
        use: Use,
    ) -> Written:
        """The expression or layer for one node; see `Table.write`."""
        lacking = LACKING.get(key, USUAL)
        widened = [widen(given, lacking) for given in inputs]
        written = super().write(key, widened, attributes, use)
        if all(a is b for a, b in zip(inputs, widened, strict=True)):
            return written
        kinds = [None if out is None else out.dtype for out in use.node.outputs]
        narrow = [
            dtype.name if dtype is not None and dtype.name in lacking else "" for dtype in kinds
        ]
        if not any(narrow):
            return written
        if isinstance(written, Layer):
            return replace(written, call=narrowed(written.call, narrow))
        return narrowed(written, narrow)


def widen(given: Operand | Numbers | None, lacking: frozenset[str]) -> Operand | Numbers | None:
    """An operand cast to the wider type, where its own is lacking."""
    if not isinstance(given, Operand) or given.dtype is None or given.dtype.name not in lacking:
        return given
    wider = WIDER[given.dtype.name]
    # A layer that owns the constant keeps it as it is stored.
    value = replace(given.value, dtype=np.dtype(wider))
    return replace(given, value=value, token=f"{given.token}.cast('{wider}')")


def narrowed(text: str, dtypes: list[str]) -> str:
    """An expression whose results have these types; an empty one stays."""
    if len(dtypes) == 1:
        return f"({text}).cast('{dtypes[0]}')"
    return f"cast_each({text}, {tuple(dtypes)})"
