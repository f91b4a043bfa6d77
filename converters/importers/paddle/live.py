"""What a program computes for nobody is left out, before anything of it is turned into nodes.

Paddle makes a state of a loop of every variable of the source that a round writes, whether anything reads it or not; the
first value of such a state may be of any shape. A state counts if a round reads it, or what comes behind the loop.

    after : while(c, x, t) -> x', t', of which x' is read;   body (x, t): y = f(x), u = g(y), yield more, y, u
    before: while(c, x) -> x';                               body (x): y = f(x), yield more, y
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from converters.errors import UnsafeInput
from converters.importers.paddle.program import Body, Operator, Program

# Operators that are looked at; those of a loop are, until nothing changes.
MOST_LOOKS = 5_000_000


def without_dead(program: Program) -> Program:
    """A program without operators, and states of loops, that no output needs.

    Raises:
        UnsafeInput: Loops within loops that take forever to look through.
    """
    wanted = {variable for _, variable in program.fetches}
    kept = _Looking(program.where).operators(program.operators, wanted)
    return replace(program, operators=tuple(kept))


@dataclass(frozen=True)
class _Looking:
    where: str
    left: Iterator[int] = field(default_factory=lambda: iter(range(MOST_LOOKS)))

    def operators(self, operators: Sequence[Operator], wanted: set[str]) -> list[Operator]:
        """Those that are needed; what they read is added to what is wanted."""
        kept = []
        for operator in reversed(operators):
            if next(self.left, None) is None:
                raise UnsafeInput(f"{self.where}: loops within loops that none has")
            if wanted.isdisjoint(operator.writes()):
                continue
            if operator.bodies:
                operator = self.narrowed(operator, wanted)
            else:
                wanted.update(operator.reads())
            kept.append(operator)
        return kept[::-1]

    def narrowed(self, operator: Operator, wanted: set[str]) -> Operator:
        """Control flow with the values that are wanted of it."""
        given, outputs = operator.inputs.get("X", ()), operator.outputs.get("Out", ())
        # What a round gives first is whether there is another one.
        first = int(operator.type == "while")
        if any(len(body.outputs) != first + len(outputs) for body in operator.bodies):
            # Older programs give nothing: they write variables around them.
            wanted.update(operator.reads())
            return operator
        kept = {place for place, name in enumerate(outputs) if name in wanted}
        seen, bodies = -1, operator.bodies
        while seen != len(kept) + len(wanted):
            seen = len(kept) + len(wanted)
            bodies = tuple(self.body(body, first, kept, wanted) for body in operator.bodies)
            states = (name for body in operator.bodies for name in body.inputs)
            kept |= {place for place, name in enumerate(states) if name in wanted}
        inputs = {**operator.inputs, "X": _at(given, kept)}
        wanted.update(name for names in inputs.values() for name in names)
        outputs = _at(outputs, kept)
        return replace(
            operator, inputs=inputs, outputs={**operator.outputs, "Out": outputs}, bodies=bodies
        )

    def body(self, body: Body, first: int, kept: set[int], wanted: set[str]) -> Body:
        """A body that gives some of its values."""
        ends = body.outputs[:first] + _at(body.outputs[first:], kept)
        wanted.update(ends)
        operators = self.operators(body.operators, wanted)
        return Body(tuple(operators), _at(body.inputs, kept), ends)


def _at(names: Sequence[str], places: Iterable[int]) -> tuple[str, ...]:
    chosen = {*places}
    return tuple(name for place, name in enumerate(names) if place in chosen)
