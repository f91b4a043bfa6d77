"""Repeated runs of statements in a graph without names -> scopes, so that they become blocks.

Before: 26 times `Conv, Mul, Add, HardSwish, Mul, Add`. After: 26 statements' runs with the scopes
`("blocks", "0")` ... `("blocks", "25")`, which the outline turns into one class.
"""

from __future__ import annotations

from converters.emitters.lower import Program


def name_repeats(program: Program) -> None:
    """Give scopes to the repeated runs of a program, in place."""
