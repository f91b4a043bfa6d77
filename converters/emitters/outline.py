"""Statements -> a tree of regions: the modules that the emitted classes will be.

Where the source has names (`encoder.layer.0.attention.self.query.weight`, `/encoder/layer.0/...`), the
tree follows them. Where it has none, repeated runs of statements are found by what they do
(`converters.emitters.repeats`) and become blocks.

A region must be computable in one go: what it reads is known before it starts. Where names say
otherwise (a module whose parts are used at different times), that level of the names is dissolved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from converters.emitters.lower import Program, Statement
from converters.emitters.repeats import name_repeats
from converters.graph.load import INLINED
from converters.graph.model import Value

Path: TypeAlias = tuple[str, ...]


@dataclass(eq=False)
class Region:
    """A module: statements and inner regions, in an order in which they can be computed."""

    name: str
    items: list[Statement | Region] = field(default_factory=list)

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


def outline(program: Program, around: Path = ()) -> Region:
    """The tree of modules of a program; `around` are the modules that it stands in."""
    statements = program.statements
    _name_layers(statements)
    for s in statements:
        if s.scope[: len(around)] == around:
            s.scope = s.scope[len(around) :]
    if not any(s.scope or s.leaf for s in statements):
        name_repeats(program)
    root = _group("", [(s, s.scope) for s in statements])
    _dissolve_trivial(root)
    return root


def _name_layers(statements: Sequence[Statement]) -> None:
    """Give layers their module path, and the statements between them that of what they share."""
    for s in statements:
        if s.layer is not None:
            path = _weight_path(s)
            if path:
                s.scope, s.leaf = path[:-1], path[-1]
    at_scope: dict[Path, int] = {}
    for s in statements:
        if not s.leaf:
            at_scope[s.scope] = at_scope.get(s.scope, 0) + 1
    for s in statements:
        # The only statement of a scope is the module of that name itself.
        if s.layer is not None and not s.leaf and s.scope and at_scope[s.scope] == 1:
            s.scope, s.leaf = s.scope[:-1], s.scope[-1]
    if any(s.scope for s in statements):
        _fill_scopes(statements)


def _weight_path(statement: Statement) -> Path:
    """The module path in a name such as `encoder.layer.0.output.dense.bias`."""
    layer = statement.layer
    names = [v.name for v in layer.weights.values() if v is not None] if layer is not None else []
    for name in names:
        parts = tuple(INLINED.sub("", name).split("."))
        plain = all(re.fullmatch(r"\w+", part) for part in parts)
        # `conv2d_10.w_0` is a generated name, not a path.
        if len(parts) > 1 and plain and not re.fullmatch(r"[wb]_\d+(_\w+)?", parts[-1]):
            return parts[:-1]
    return ()


def _fill_scopes(statements: Sequence[Statement]) -> None:
    """A statement without a name lies in what its neighbours on both sides share."""
    open_ = {s for s in statements if s.layer is None and not s.node.scope}
    producer = {v: s for s in statements for v in s.outputs if v is not None}
    up: dict[Statement, Path] = {}
    for s in statements:
        before = [producer[v] for v in s.reads if v in producer]
        up[s] = _shared([up[p] for p in before]) if s in open_ and before else s.scope
    readers: dict[Value, list[Statement]] = {}
    for s in statements:
        for value in s.reads:
            readers.setdefault(value, []).append(s)
    down: dict[Statement, Path] = {}
    for s in reversed(statements):
        after = [r for v in s.outputs if v is not None for r in readers.get(v, ())]
        down[s] = _shared([down[r] for r in after]) if s in open_ and after else s.scope
    for s in open_:
        s.scope = _shared([up[s], down[s]])


def _shared(paths: Sequence[Path]) -> Path:
    """The longest common beginning."""
    first, *rest = paths or [()]
    length = len(first)
    for path in rest:
        length = min(length, len(path))
        while path[:length] != first[:length]:
            length -= 1
    return first[:length]


Placed: TypeAlias = "tuple[Statement, Path]"


def _group(name: str, placed: Sequence[Placed]) -> Region:
    """Make a region of statements whose remaining paths are given."""
    parts: list[tuple[str, list[Placed]]] = []
    index: dict[str, int] = {}
    for statement, path in placed:
        if path and path[0] in index:
            parts[index[path[0]]][1].append((statement, path[1:]))
            continue
        if path:
            index[path[0]] = len(parts)
            parts.append((path[0], [(statement, path[1:])]))
        else:
            parts.append(("", [(statement, ())]))
    while True:
        order, cycle = _order([[s for s, _ in members] for _, members in parts])
        if not cycle:
            break
        parts = _dissolve(parts, cycle)
    region = Region(name)
    for position in order:
        part, members = parts[position]
        region.items.append(_group(part, members) if part else members[0][0])
    return region


def _dissolve(
    parts: list[tuple[str, list[Placed]]], cycle: set[int]
) -> list[tuple[str, list[Placed]]]:
    """Split the parts that wait for each other one level further down."""
    split: list[tuple[str, list[Placed]]] = []
    for position, (name, members) in enumerate(parts):
        if position not in cycle or not name:
            split.append((name, members))
            continue
        inner: dict[str, list[Placed]] = {}
        for statement, path in members:
            if path:
                inner.setdefault(f"{name}_{path[0]}", []).append((statement, path[1:]))
            else:
                if statement.leaf:
                    statement.leaf = f"{name}_{statement.leaf}"
                split.append(("", [(statement, ())]))
        split.extend(inner.items())
    first = {id(s): k for k, s in enumerate(s for _, members in parts for s, _ in members)}
    return sorted(split, key=lambda part: min(first[id(s)] for s, _ in part[1]))


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
