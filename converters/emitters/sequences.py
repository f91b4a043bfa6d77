# ruff: noqa: N802
"""Sequences and optionals, which are Python lists and values or None in every framework.

Each framework's table takes these functions in; what makes tensors of a sequence, or a sequence of a
tensor, is its own.
"""

from __future__ import annotations

from typing import Any

from converters.emitters.table import Numbers, Operand

KEYS = (
    "ConcatFromSequence", "Optional", "OptionalGetElement", "SequenceAt", "SequenceConstruct",
    "SequenceEmpty", "SequenceErase", "SequenceInsert", "SplitToSequence",
)  # fmt: skip


def Optional(x: Operand | None = None, *, type: Any = None) -> str:  # noqa: A002 - the standard's name
    """A value, or None."""
    return "None" if x is None else str(x)


def OptionalGetElement(x: Operand) -> str:
    """The value that is there."""
    return str(x)


def SequenceAt(sequence: Operand, position: Numbers) -> str:
    """One element; negative positions count from the end, as in Python."""
    return f"{sequence}[{_index(position)}]"


def SequenceConstruct(*tensors: Operand) -> str:
    """A list of tensors."""
    return f"[{', '.join(str(x) for x in tensors)}]"


def SequenceEmpty(*, dtype: int = 1) -> str:
    """An empty list; what it may hold later shows there."""
    return "[]"


def SequenceErase(sequence: Operand, position: Numbers | None = None) -> str:
    """All elements but one, by default the last."""
    found = (-1,) if position is None else position.static
    if position is not None and found is None:
        text = f"{_index(position)} % len({sequence})"
        return f"[_item for _k, _item in enumerate({sequence}) if _k != {text}]"
    index = int(found[0]) if found else -1
    if index in (0, -1):
        return f"{sequence}[1:]" if index == 0 else f"{sequence}[:-1]"
    return f"{sequence}[:{index}] + {sequence}[{index + 1}:]"


def SequenceInsert(sequence: Operand, tensor: Operand, position: Numbers | None = None) -> str:
    """A list with one element more, by default at the end."""
    if position is None:
        return f"[*{sequence}, {tensor}]"
    return f"[*{sequence}[:{_index(position)}], {tensor}, *{sequence}[{_index(position)}:]]"


def _index(position: Numbers) -> str:
    """One number, which may come as a vector of one."""
    return position.text if position.items is None else str(position.items[0])
