"""How an operator of the new form (PIR) is called in the older form: the record that tables of names are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Row:
    """How an operator is called in the older form.

    Attributes:
        type: Its name there.
        inputs: Slots of its operands, in order.
        outputs: Slots of its results, in order.
        renamed: Attributes that are called otherwise there.
    """

    type: str
    inputs: tuple[str, ...] = ("X",)
    outputs: tuple[str, ...] = ("Out",)
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def row(type: str, inputs: str = "X", outputs: str = "Out", **renamed: str) -> Row:  # noqa: A002
    """A row, its slots in a line."""
    return Row(type, tuple(inputs.split()), tuple(outputs.split()), MappingProxyType(renamed))


def same(*names: str) -> dict[str, Row]:
    """Rows of operators that are called alike in both forms: one operand, one result."""
    return {name: row(name) for name in names}
