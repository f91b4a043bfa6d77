"""Statements -> a tree of regions: the modules that the emitted classes will be.

Where the source has names (`encoder.layer.0.attention.self.query.weight`, `/encoder/layer.0/...`), the
tree follows them. Where it has none, repeated runs of statements are found by what they do
(`converters.emitters.repeats`) and become blocks.

A region must be computable in one go: what it reads is known before it starts. Where names say
otherwise (a module whose parts are used at different times), the region around computes those parts; that level of
the names is a module that only holds them, so that keys of weights are those of the source in any case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from converters.emitters.calls import split_calls
from converters.emitters.flow import place_by_flow
from converters.emitters.lower import Program, Statement
from converters.emitters.names import Path, parameter_path, shared
from converters.emitters.repeats import name_repeats
from converters.graph.model import Value


@dataclass(eq=False)
class Region:
    """A module: statements and inner regions, in an order in which they can be computed.

    Attributes:
        home: Names of the modules between the one that calls it and itself, which only hold others.
        first: The first call of the same module, if this is another one.
    """

    name: str
    items: list[Statement | Region] = field(default_factory=list)
    home: Path = ()
    first: Region | None = None

    def items_outside(self) -> Iterable[Statement]:
        """Every statement in it, inner regions included, but nothing within control flow."""
        for item in self.items:
            if isinstance(item, Region):
                yield from item.items_outside()
            else:
                yield item

    def statements(self) -> Iterable[Statement]:
        """Every statement in it, inner regions and what lies within control flow included."""
        for item in self.items_outside():
            yield from item.every()

    def written(self) -> set[Value]:
        """Every value that it computes."""
        return {value for s in self.statements() for value in s.made()}

    @property
    def has_weights(self) -> bool:
        """Whether a layer or a constant is in it."""
        return any(s.layer or any(v.const is not None for v in s.reads) for s in self.statements())


def outline(program: Program, around: Path = (), *, apart: bool = True) -> Region:
    """The tree of modules of a program.

    Args:
        program: The program.
        around: The modules that it stands in.
        apart: Whether each call of a module is a region of its own.
    """
    statements = program.statements
    _name_layers(statements)
    for s in statements:
        if s.scope[: len(around)] == around:
            s.scope = s.scope[len(around) :]
    if not any(s.scope or s.leaf for s in statements):
        name_repeats(program)
    root = _Grouping(program, apart).group("", (), [(s, s.scope) for s in statements])
    _dissolve_trivial(root)
    return root


def _name_layers(statements: Sequence[Statement]) -> None:
    """Give layers their module path, and the statements between them that of what they share."""
    for s in statements:
        if s.layer is not None:
            path = _weight_path(s)
            if path:
                s.scope, s.leaf = path[:-1], path[-1]
    paths = {s: (*s.scope, s.leaf) for s in statements if s.leaf.isdigit()}
    # However often a layer is called, it claims its name once.
    layers = {
        (path, id(s.layer.weights if s.layer is not None else s)) for s, path in paths.items()
    }
    claims = Counter(path for path, _ in layers)
    modules = {s.scope[:length] for s in statements for length in range(len(s.scope) + 1)}
    for s, path in paths.items():
        # A cell in a list has two weights for one name, or a name is a layer's and a module's: there is one module
        # with a number.
        if claims[path] > 1 or path in modules:
            s.scope, s.leaf = path, ""
    at_scope: dict[Path, int] = {}
    for s in statements:
        if not s.leaf:
            at_scope[s.scope] = at_scope.get(s.scope, 0) + 1
    held = {
        (*s.scope, s.leaf)[:length]
        for s in statements
        for length in range(len(s.scope) + bool(s.leaf))
    }
    for s in statements:
        # The only statement of a scope, in which no module is, is the module of that name itself.
        alone = s.scope not in held and at_scope.get(s.scope) == 1
        if s.layer is not None and not s.leaf and s.scope and alone:
            s.scope, s.leaf = s.scope[:-1], s.scope[-1]
    if any(s.node.scope for s in statements):
        _fill_scopes(statements)
    else:
        place_by_flow(statements, _named_by_parameters(statements))


def _weight_path(statement: Statement) -> Path:
    """The path of a layer, which is that of its weights without their own names."""
    layer = statement.layer
    weights = [v for v in layer.weights.values() if v is not None] if layer is not None else []
    return next((path[:-1] for path in map(parameter_path, weights) if path), ())


def _named_by_parameters(statements: Sequence[Statement]) -> set[Statement]:
    """Statements that a name gives a place: layers, and what alone reads a bare parameter."""
    readers = Counter(v for s in statements for v in set(s.reads))
    named = {s for s in statements if s.layer is not None and (s.scope or s.leaf)}
    for s in statements:
        alone = [v for v in s.reads if v.const is not None and (readers[v] == 1 or s.again)]
        paths = [parameter_path(v) for v in alone]
        if s.layer is None and any(paths):
            s.scope = next(path for path in paths if path)[:-1]
            named.add(s)
    return named


def _fill_scopes(statements: Sequence[Statement]) -> None:
    """A statement without a name lies in what its neighbours on both sides share."""
    open_ = {s for s in statements if s.layer is None and not s.node.scope}
    producer = {v: s for s in statements for v in s.outputs if v is not None}
    up: dict[Statement, Path] = {}
    for s in statements:
        before = [producer[v] for v in s.reads if v in producer]
        up[s] = shared([up[p] for p in before]) if s in open_ and before else s.scope
    readers: dict[Value, list[Statement]] = {}
    for s in statements:
        for value in s.reads:
            readers.setdefault(value, []).append(s)
    down: dict[Statement, Path] = {}
    for s in reversed(statements):
        after = [r for v in s.outputs if v is not None for r in readers.get(v, ())]
        down[s] = shared([down[r] for r in after]) if s in open_ and after else s.scope
    for s in open_:
        s.scope = shared([up[s], down[s]])


Placed: TypeAlias = "tuple[Statement, Path]"


@dataclass(frozen=True, eq=False)
class _Part:
    """Statements of one call of a module, with what remains of their paths; or one statement, without a name.

    Attributes:
        calls: All calls of the module, if there are several.
    """

    home: Path
    name: str
    members: list[Placed]
    calls: list[_Part] = field(default_factory=list)


class _Grouping:
    """Makes regions of the statements of a program."""

    def __init__(self, program: Program, apart: bool) -> None:
        self.apart = apart
        for s in program.statements:
            s.first = None
        self.given = set(program.graph.outputs)
        self.readers: dict[Value, set[Statement]] = {}
        for s in program.statements:
            for value in s.reads:
                self.readers.setdefault(value, set()).add(s)

    def group(self, name: str, home: Path, placed: Sequence[Placed]) -> Region:
        """Make a region of statements whose remaining paths are given."""
        parts = self.parts((), placed)
        while True:
            order, cycle = _order([[s for s, _ in part.members] for part in parts])
            if not cycle:
                break
            parts = self.dissolve(parts, cycle)
        region = Region(name, home=home)
        firsts: dict[int, Region] = {}
        for part in (parts[position] for position in order):
            if part.name:
                inner = self.group(part.name, part.home, part.members)
                inner.first = firsts.setdefault(id(part.calls), inner) if part.calls else None
                inner.first = None if inner.first is inner else inner.first
                region.items.append(inner)
            else:
                region.items.append(part.members[0][0])
        return region

    def parts(self, home: Path, placed: Sequence[Placed]) -> list[_Part]:
        """Statements by the first name of their paths, and by the calls of what has that name."""
        parts: list[_Part] = []
        index: dict[str, list[Placed]] = {}
        for statement, path in placed:
            if not path:
                statement.home = home
                parts.append(_Part(home, "", [(statement, ())]))
            elif path[0] in index:
                index[path[0]].append((statement, path[1:]))
            else:
                index[path[0]] = [(statement, path[1:])]
                parts.append(_Part(home, path[0], index[path[0]]))
        return [call for part in parts for call in self.calls(part)] if self.apart else parts

    def calls(self, part: _Part) -> list[_Part]:
        """The calls of a module."""
        statements = [s for s, _ in part.members]
        calls = split_calls(statements, self.readers, self.given)
        for later in calls[1:]:
            for first, statement in zip(calls[0], later, strict=True):
                statement.first = first
        rest = dict(part.members)
        found: list[_Part] = []
        several = found if len(calls) > 1 else []
        found += [_Part(part.home, part.name, [(s, rest[s]) for s in c], several) for c in calls]
        return found

    def dissolve(self, parts: list[_Part], cycle: set[int]) -> list[_Part]:
        """Split the parts that wait for each other one level further down; calls that do are one part again."""
        torn = [parts[k].calls for k in cycle if parts[k].calls]
        if torn:
            whole = []
            for part in parts:
                if not any(part.calls is calls for calls in torn):
                    whole.append(part)
                elif part is part.calls[0]:
                    members = [placed for call in part.calls for placed in call.members]
                    whole.append(replace(part, members=members, calls=[]))
            return whole
        split: list[_Part] = []
        for position, part in enumerate(parts):
            if position in cycle and part.name:
                split += self.parts((*part.home, part.name), part.members)
            else:
                split.append(part)
        first = {id(s): k for k, s in enumerate(s for part in parts for s, _ in part.members)}
        return sorted(split, key=lambda part: min(first[id(s)] for s, _ in part.members))


def _order(parts: list[list[Statement]]) -> tuple[list[int], set[int]]:
    """An order in which the parts can be computed, and the parts that wait for each other."""
    home = {v: k for k, part in enumerate(parts) for s in part for v in s.outputs if v is not None}
    waits: list[set[int]] = [
        {home[v] for s in part for v in s.reads if v in home} - {k} for k, part in enumerate(parts)
    ]
    order: list[int] = []
    done: set[int] = set()
    while len(order) < len(parts):
        ready = next((k for k in range(len(parts)) if k not in done and waits[k] <= done), None)
        if ready is None:
            stuck = set(range(len(parts))) - done
            # Parts that only wait for the cycle are not in it.
            while True:
                needed = {k for j in stuck for k in waits[j]} & stuck
                if needed == stuck:
                    return [], {k for k in stuck if len(parts[k]) > 1} or stuck
                stuck = needed
        order.append(ready)
        done.add(ready)
    return order, set()


def _dissolve_trivial(region: Region) -> None:
    """Regions without weights and of a few statements are no modules of their own."""
    items: list[Statement | Region] = []
    for item in region.items:
        if isinstance(item, Region):
            _dissolve_trivial(item)
            if not item.has_weights and len(item.items) <= 3:
                items.extend(item.items)
                continue
        items.append(item)
    region.items = items
