"""Statements of a source that names parameters and nothing else -> the modules that they stand in.

Layers and what reads a bare parameter are where their names say. All else is placed by what it reads and what
reads it:

between     Conv, *Relu*, Conv of one module                  -> that module
after       a Relu of what a module gives, x + what it gives  -> that module
before      a pooling of what a module reads anyway           -> that module
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converters.emitters.lower import Statement
from converters.emitters.names import Path, shared
from converters.graph.model import Value

# What stands behind each of numbered modules alike; anything else would make one of them another class.
ACTIVATIONS = {
    "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Relu", "Selu", "Sigmoid", "Silu",
    "Softplus", "Tanh",
}  # fmt: skip


def place_by_flow(statements: Sequence[Statement], named: set[Statement]) -> None:
    """Give scopes to the statements that are not among those that have one by their name."""
    flow = _Flow(statements, named)
    flow.between()
    flow.after()
    flow.before()


class _Flow:
    def __init__(self, statements: Sequence[Statement], named: set[Statement]) -> None:
        self.statements, self.named = statements, named
        self.producer = {v: s for s in statements for v in s.outputs if v is not None}
        self.readers: dict[Value, list[Statement]] = {}
        for s in statements:
            for value in dict.fromkeys(s.reads):
                self.readers.setdefault(value, []).append(s)

    def read_by(self, statement: Statement) -> list[Statement]:
        """What reads a statement's results."""
        return [r for v in statement.outputs if v is not None for r in self.readers.get(v, ())]

    def computed(self, statement: Statement) -> list[Value]:
        """What a statement reads that is no constant."""
        return [value for value in dict.fromkeys(statement.reads) if value.const is None]

    def between(self) -> None:
        """What lies on a way from a module to itself is part of it, unless another module does too."""
        modules = {s.scope[: k + 1] for s in self.named for k in range(len(s.scope))}
        for module in sorted(modules, key=len):
            inside = {s for s in self.named if _within(s.scope, module)}
            after, before = set(inside), set(inside)
            for s in self.statements:
                if any(self.producer.get(v) in after for v in s.reads):
                    after.add(s)
            for s in reversed(self.statements):
                if any(r in before for r in self.read_by(s)):
                    before.add(s)
            way = (after & before) - inside
            if not way & self.named:
                for s in way:
                    s.scope = module if _within(module, s.scope) else s.scope

    def after(self) -> None:
        """What reads what a module gives to nobody else, and what it reads anyway, is part of it."""
        for s in self.statements:
            if s in self.named:
                continue
            before = [p.scope for v in self.computed(s) if (p := self.producer.get(v)) is not None]
            modules = {module for scope in before for module in _inwards(s, scope)}
            for module in sorted(modules, key=lambda module: (-len(module), module)):
                if self.ends(s, module):
                    s.scope = module
                    break

    def ends(self, statement: Statement, module: Path) -> bool:
        """Whether a statement may stand at the end of a module."""
        reads = self.computed(statement)
        inside = [t for t in self.statements if _within(t.scope, module)]
        own = {v for t in inside for v in t.outputs}
        known = {v for t in inside for v in t.reads}
        taken = [
            v
            for v in reads
            if v in own and all(r is statement or _within(r.scope, module) for r in self.readers[v])
        ]
        alike = (
            statement.node.key in ACTIVATIONS
            or len(reads) > 1
            or (bool(statement.scope) and not _numbered(statement, module))
        )
        return (
            alike
            # It takes the place of what nothing else outside reads, so that no more is given than before.
            and bool(taken)
            and all(v in own or v in known for v in reads)
        )

    def before(self) -> None:
        """What only a module reads is part of it, where the module then reads less."""
        for s in reversed(self.statements):
            after = self.read_by(s)
            if s in self.named or not after:
                continue
            for module in _inwards(s, shared([r.scope for r in after])):
                inside = [t for t in self.statements if t is not s and _within(t.scope, module)]
                known = {v for t in inside for v in t.reads}
                if all(value in known for value in self.computed(s)):
                    s.scope = module
                    break


def _within(scope: Path, module: Path) -> bool:
    return scope[: len(module)] == module


def _inwards(statement: Statement, module: Path) -> Iterator[Path]:
    """The modules further in than a statement is, as far as the one given, innermost first."""
    if _within(module, statement.scope):
        for length in range(len(module), len(statement.scope), -1):
            yield module[:length]


def _numbered(statement: Statement, module: Path) -> bool:
    return any(part.isdigit() for part in module[len(statement.scope) :])
