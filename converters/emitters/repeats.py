"""Repeated runs of statements in a graph without names -> scopes, so that they become blocks.

Before: 26 times `Conv, Mul, Add, HardSwish, Mul, Add`. After: those runs have the scopes
`("conv_blocks", "0")` ... `("conv_blocks", "25")`, which the outline turns into one class and a loop.

Two steps. *Segments*: the statements are cut wherever a single value is alive, so that a residual
branch stays in one piece; what stays alive throughout a piece does not count inside it. *Pairs*: the
most frequent pair of neighbours becomes one phrase, again and again (Larsson and Moffat, "Offline
Dictionary-Based Compression", 1999). A run of neighbours in a computable order is always computable in
one go.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby

from converters.emitters.lower import Program, Statement
from converters.graph.model import Value

# Shorter runs stay as they are: a class would say less than the statements themselves.
SHORTEST = 3


@dataclass(frozen=True, eq=False)
class Phrase:
    """A run of statements; `symbol` is the same for runs of the same form."""

    symbol: Hashable
    parts: tuple[Phrase, ...] = ()
    statement: Statement | None = None

    def statements(self) -> list[Statement]:
        """The statements of the run, in order."""
        if self.statement is not None:
            return [self.statement]
        return [s for part in self.parts for s in part.statements()]


def name_repeats(program: Program) -> None:
    """Give scopes to the repeated runs of a program, in place."""
    statements = program.statements
    readers: dict[Value, set[Statement]] = {}
    for s in statements:
        for value in s.reads:
            readers.setdefault(value, set()).add(s)
    phrases = encode(
        _segments([Phrase(symbol, statement=s) for s, symbol in _symbols(statements)], readers)
    )
    counts: Counter[Hashable] = Counter()
    for phrase in phrases:
        _count(phrase, counts)
    _Placing(readers, set(program.graph.outputs), counts).place(phrases, ())


def _count(phrase: Phrase, counts: Counter[Hashable]) -> None:
    counts[phrase.symbol] += 1
    for part in phrase.parts:
        _count(part, counts)


def _segments(phrases: list[Phrase], readers: dict[Value, set[Statement]]) -> list[Phrase]:
    """Cut single statements into phrases at the places where one value alone is alive."""
    statements = [phrase.statements()[0] for phrase in phrases]
    position = {s: k for k, s in enumerate(statements)}
    alive: list[set[Value]] = [set() for _ in statements[1:]]
    for k, s in enumerate(statements):
        for value in s.reads:
            if value.const is None and not any(value in t.outputs for t in statements):
                for gap in alive[:k]:
                    gap.add(value)
        for value in (v for v in s.outputs if v is not None):
            ends = [position.get(r, len(statements)) for r in readers.get(value, ())]
            for gap in alive[k : max(ends, default=k)]:
                gap.add(value)
    through = set.intersection(*alive) if alive else set()
    cuts = [k + 1 for k, gap in enumerate(alive) if len(gap - through) <= 1]
    if not cuts:
        return phrases
    pieces = [phrases[i:j] for i, j in zip([0, *cuts], [*cuts, len(phrases)], strict=True)]
    return [_piece(piece, readers) for piece in pieces]


def _piece(phrases: list[Phrase], readers: dict[Value, set[Statement]]) -> Phrase:
    if len(phrases) == 1:
        return phrases[0]
    parts = _segments(phrases, readers)
    return Phrase(tuple(part.symbol for part in parts), tuple(encode(parts)))


def encode(phrases: list[Phrase]) -> list[Phrase]:
    """Join neighbours that stand together most often, until no pair stands twice."""
    while True:
        pairs: Counter[tuple[Hashable, Hashable]] = Counter()
        last: dict[tuple[Hashable, Hashable], int] = {}
        for k, (a, b) in enumerate(zip(phrases, phrases[1:], strict=False)):
            pair = (a.symbol, b.symbol)
            # Equal neighbours become a list; overlapping pairs count once.
            if a.symbol != b.symbol and last.get(pair, -2) != k - 1:
                pairs[pair] += 1
                last[pair] = k
        if not pairs:
            return phrases
        best, count = max(pairs.items(), key=lambda item: item[1])
        if count < 2:
            return phrases
        joined: list[Phrase] = []
        k = 0
        while k < len(phrases):
            both = phrases[k : k + 2]
            if len(both) == 2 and (both[0].symbol, both[1].symbol) == best:
                joined.append(Phrase(best, tuple(both)))
                k += 2
            else:
                joined.append(phrases[k])
                k += 1
        phrases = joined


def _symbols(statements: Sequence[Statement]) -> list[tuple[Statement, Hashable]]:
    """What each statement does, and whether it reads what the one before it gives."""
    found: list[tuple[Statement, Hashable]] = []
    before: tuple[Value | None, ...] = ()
    for s in statements:
        made = s.layer.constructor.split("(")[0] if s.layer is not None else ""
        reads = tuple(
            "constant" if v.const is not None else "before" if v in before else "other"
            for v in s.reads
        )
        found.append((s, (s.node.key, made, reads)))
        before = s.outputs
    return found


@dataclass(frozen=True)
class _Placing:
    """Gives scopes to the runs that are worth a class, from the outside in."""

    readers: dict[Value, set[Statement]]
    outputs: set[Value]
    counts: Counter[Hashable]

    def place(self, phrases: Sequence[Phrase], scope: tuple[str, ...]) -> None:
        opened = [part for phrase in phrases for part in self.opened(phrase, 1)]
        runs = [list(group) for _, group in groupby(opened, key=lambda phrase: phrase.symbol)]
        names = [title(run[0].statements()) for run in runs]
        total = Counter(n for n, run in zip(names, runs, strict=True) if run[0].statement is None)
        used: Counter[str] = Counter()
        for name, run in zip(names, runs, strict=True):
            if run[0].statement is not None:
                for phrase in run:
                    phrase.statements()[0].scope = scope
                continue
            used[name] += 1
            number = "" if total[name] == 1 else str(used[name])
            for k, phrase in enumerate(run):
                listed = (f"{name}s{number}", str(k)) if len(run) > 1 else (f"{name}{number}",)
                parts = [
                    p
                    for part in phrase.parts
                    for p in self.opened(part, self.counts[phrase.symbol])
                ]
                self.place(parts, (*scope, *listed))

    def opened(self, phrase: Phrase, around: int) -> list[Phrase]:
        """A run as a whole where it makes a good module, else its parts.

        `around` is how often the run around it occurs: one that only occurs within it is no class.
        """
        if phrase.statement is not None:
            return [phrase]
        own = phrase.statements()
        mine = set(own)
        results = [
            v
            for s in own
            for v in s.outputs
            if v is not None and (v in self.outputs or not self.readers.get(v, set()) <= mine)
        ]
        has_layer = any(s.layer is not None for s in own)
        repeated = self.counts[phrase.symbol] > around
        if repeated and len(own) >= SHORTEST and has_layer and len(results) == 1:
            return [phrase]
        return [opened for part in phrase.parts for opened in self.opened(part, around)]


# What a run is called: the first row whose operators all occur in it. `Conv` stands for Conv layers.
TITLES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"ScaledDotProductAttention", "LayerNormalization"}), "transformer_block"),
    (frozenset({"ScaledDotProductAttention"}), "attention"),
    (frozenset({"GlobalAveragePool", "HardSigmoid"}), "squeeze_excite"),
    (frozenset({"GlobalAveragePool", "Sigmoid"}), "squeeze_excite"),
    (frozenset({"LSTM"}), "lstm_block"),
    (frozenset({"GRU"}), "gru_block"),
    (frozenset({"Conv", "Concat"}), "dense_block"),
    (frozenset({"Conv"}), "conv_block"),
    (frozenset({"ConvTranspose"}), "up_block"),
    (frozenset({"Linear", "LayerNormalization"}), "feed_forward"),
    (frozenset({"Linear"}), "linear_block"),
)


def title(statements: Sequence[Statement]) -> str:
    """A name for a run of statements, by its operators."""
    keys = {re.sub(r".*::", "", s.node.key) for s in statements}
    return next((name for wanted, name in TITLES if wanted <= keys), "block")
