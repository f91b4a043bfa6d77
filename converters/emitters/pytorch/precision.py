"""Layers whose weights are not of torch's default type, which would be cast to it as they are loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from converters.emitters.table import Layer, Numbers, Operand, Table, Use, Written


class TypedTable(Table):
    """Operators whose layers say their type where it is not float32."""

    def write(
        self, key: str, inputs: list[Operand | Numbers | None], attributes: dict[str, Any], use: Use
    ) -> Written:
        """As `Table.write`; `nn.Linear(4, 5)` of halves is `nn.Linear(4, 5, dtype=torch.float16)`."""
        written = super().write(key, inputs, attributes, use)
        if not isinstance(written, Layer) or not written.constructor.startswith("nn."):
            return written
        types = {v.dtype.name for v in written.weights.values() if v is not None and v.dtype}
        if len(types) != 1 or types == {"float32"}:
            return written
        text = written.constructor.removesuffix(")")
        return replace(written, constructor=f"{text}, dtype=torch.{types.pop()})")
