"""Element types that MindSpore's CPU kernels lack, and operators computed in wider ones for them.

bfloat16 has kernels for moving and for plain arithmetic only, unsigned integers above 8 bits for few:
`ops.relu(x)` of bfloat16 is written `ops.relu(x.astype(ms.float32)).astype(ms.bfloat16)`, which is right
on every device. Measured with mindspore 2.10.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from converters.emitters import sequences
from converters.emitters.table import Layer, Numbers, Operand, Table, Use, Written

WIDER: Mapping[str, str] = {
    "bfloat16": "float32",
    "float16": "float32",
    "int16": "int32",
    "int8": "int32",
    "uint8": "int32",
    "uint16": "int32",
    "uint32": "int64",
    "bool": "int32",
}
USUAL = frozenset({"bfloat16"})
UNSIGNED = USUAL | {"uint16", "uint32"}
NARROW = UNSIGNED | {"int16", "int8", "uint8"}
# What operators lack that do not lack the usual.
LACKING: Mapping[str, frozenset[str]] = {
    # Those that have a kernel for everything, and those whose functions look after types themselves.
    **dict.fromkeys(
        (
            "Add", "And", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast",
            "CastLike", "Concat", "ConstantOfShape", "ConvInteger", "DequantizeLinear", "Dropout",
            "DynamicQuantizeLinear", "EyeLike", "Flatten", "Identity", "MatMulInteger", "Mul", "Neg", "Not",
            "Or", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "Range", "Rank", "Reshape", "Shape", "Size",
            *sequences.KEYS, "Slice", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Xor",
        ),
        frozenset(),
    ),
    **dict.fromkeys(("Abs", "Clip", "Max", "PRelu", "Pow"), UNSIGNED),
    "Min": USUAL | {"bool"},
    **dict.fromkeys(("Div", "Mod", "Round", "Sign"), NARROW),
    **dict.fromkeys(("Einsum", "Gemm", "Linear", "MatMul"), UNSIGNED | {"int16", "int8"}),
    **dict.fromkeys(
        (
            "CumSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "ScatterElements", "ScatterND",
            "TopK",
        ),
        USUAL | {"bool"},
    ),
    "Unique": NARROW | {"bool"},
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
        if all(
            a is b or (isinstance(a, Operand) and isinstance(b, Operand) and a.token == b.token)
            for a, b in zip(inputs, widened, strict=True)
        ):
            return written
        kinds = [None if out is None else out.dtype for out in use.node.outputs]
        narrow = [
            f"ms.{dtype.name}" if dtype is not None and dtype.name in lacking else ""
            for dtype in kinds
        ]
        narrow = ["ms.bool_" if name == "ms.bool" else name for name in narrow]
        if key in PREDICATES or not any(narrow):
            return written
        if isinstance(written, Layer):
            return replace(written, call=narrowed(written.call, narrow))
        return narrowed(written, narrow)


# Their results are truth values whatever they are given.
PREDICATES = frozenset(
    {"Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual"}
)


def widen(given: Operand | Numbers | None, lacking: frozenset[str]) -> Operand | Numbers | None:
    """An operand cast to the wider type, where its own is lacking."""
    if not isinstance(given, Operand) or given.dtype is None:
        return given
    if given.dtype.name not in lacking:
        # A plain number beside an unsigned tensor would become a signed one.
        return (
            replace(given, number="")
            if given.dtype.name in ("uint16", "uint32", "uint64")
            else given
        )
    wider = WIDER[given.dtype.name]
    # A layer that owns the constant keeps it as it is stored.
    value = replace(given.value, dtype=np.dtype(wider))
    return replace(given, value=value, token=f"{given.token}.astype(ms.{wider})")


def narrowed(text: str, dtypes: list[str]) -> str:
    """An expression whose results have these types; an empty one stays."""
    if len(dtypes) == 1:
        return f"({text}).astype({dtypes[0]})"
    return f"cast_each({text}, ({', '.join(name or 'None' for name in dtypes)}))"
