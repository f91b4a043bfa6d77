"""Modules that are called more than once: their statements, call by call.

A network with one tower for two images, or one layer for all of its depth, uses the same weights several times. What
lies in such a module is then its own statements again and again, which differ in nothing but the values that go in and
come out.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from converters.emitters.lower import Statement
from converters.graph.model import Value

# What stands for a value in an expression.
TOKEN = re.compile(r"\b_v\d+_\b")
Readers: TypeAlias = "Mapping[Value, set[Statement]]"


def split_calls(
    statements: Sequence[Statement], readers: Readers, given: set[Value]
) -> list[Sequence[Statement]]:
    """The statements of a module -> those of each call, or all of them where its calls differ.

    Args:
        statements: Those of the module, in order.
        readers: What reads a value.
        given: Outputs of the program.
    """
    whole: list[Sequence[Statement]] = [statements]
    uses = Counter(id(s.layer.weights) for s in statements if s.layer is not None)
    number = next(iter(uses.values()), 1)
    if number == 1 or {*uses.values()} != {number} or len(statements) % number:
        return whole
    if any(s.blocks for s in statements):
        return whole
    length = len(statements) // number
    calls = [statements[k : k + length] for k in range(0, len(statements), length)]
    forms = [[*_form(call, readers, given)] for call in calls]
    return calls if all(form == forms[0] for form in forms) else whole


def _form(
    call: Sequence[Statement], readers: Readers, given: set[Value]
) -> Iterator[tuple[object, ...]]:
    """What a call does, with its own values and those that go in by their order."""
    own = set(call)
    names: dict[Value, str] = {}
    for s in call:
        for value in s.reads:
            names.setdefault(
                value, f"c{id(value)}" if value.const is not None else f"v{len(names)}"
            )
        text = TOKEN.sub("_", ast.unparse(s.expression))
        reads = tuple(names[value] for value in s.reads)
        for made in s.outputs:
            if made is not None:
                names[made] = f"v{len(names)}"
        leaving = [
            value is not None and (value in given or not readers.get(value, set()) <= own)
            for value in s.outputs
        ]
        layer = None if s.layer is None else id(s.layer.weights)
        yield text, reads, layer, s.scope, s.leaf, tuple(leaving)
