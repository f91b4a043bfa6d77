"""Which cell a node belongs to: MindSpore's own word for it, where the parameters around it do not say otherwise.

MindSpore reads a function such as `ops.relu` once, and all its uses have the name of the cell with the first one. Names
of parameters are always right. So a cell is what lies between its parameters: a node that needs some of them, and that
others of them need, is in it. Of nodes at its edge MindSpore's word is taken if a neighbour is in the same cell; else a
neighbour's cell of the same class; else it is in the cell that it follows, unless that has by then more of its operator
than any other cell of its class beside it: cells of one class are alike, so what is behind the last of them is outside.

Nodes in branches and bodies of loops are placed like all others; the node around them is in no cell that a parameter in
one of them is outside of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import onnx

from converters.importers.graph import graphs_of

Path: TypeAlias = tuple[str, ...]

# Each round places what is next to what was placed before: more than nodes at the edge of a cell are.
ROUNDS = 16


def name_scopes(
    nodes: Sequence[onnx.NodeProto], constants: Iterable[str], classes: Mapping[Path, str]
) -> None:
    """Name nodes by the cells that they belong to, in place, those of graphs within nodes too.

    Args:
        nodes: In the order of their execution, named by MindSpore's word: `/encoder/layers/0/Add`.
        constants: Names of initialisers; those of parameters are paths: `encoder.layers.0.weight`.
        classes: The class of each cell, as far as MindSpore says it.
    """
    taken: Counter[str] = Counter()
    every = [*_every(nodes)]
    for node, cell in zip(every, _Cells(every, constants, classes).places(), strict=True):
        name = "".join(f"/{part}" for part in (*cell, node.op_type))
        node.name = f"{name}__{taken[name]}" if taken[name] else name
        taken[name] += 1


def _every(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, those of graphs within a node before it."""
    for node in nodes:
        for inner in graphs_of(node):
            yield from _every(inner.node)
        yield node


def _read(node: onnx.NodeProto) -> list[str]:
    """What a node reads, once each; of graphs within it what they give."""
    ends = [one.name for inner in graphs_of(node) for one in inner.output]
    return [*dict.fromkeys([*node.input, *ends])]


@dataclass(eq=False)
class _Place:
    """A node on its way to a cell.

    Attributes:
        number: Its place in the order of execution.
        operator: What it is.
        said: MindSpore's word.
        own: The cell whose parameters it reads; None where it reads none.
        before: Nodes whose results it reads.
        after: Nodes that read its results.
        within: Nodes of graphs within it.
        cell: Where it is, once that is known.
    """

    number: int
    operator: str
    said: Path
    own: Path | None
    before: list[_Place]
    after: list[_Place] = field(default_factory=list)
    within: list[_Place] = field(default_factory=list)
    cell: Path | None = None


class _Cells:
    def __init__(
        self,
        nodes: Sequence[onnx.NodeProto],
        constants: Iterable[str],
        classes: Mapping[Path, str],
    ) -> None:
        self.classes = classes
        self.enters: dict[tuple[str, str], bool] = {}
        self.nodes: list[_Place] = []
        fixed = {*constants}
        owners = {name: tuple(name.split(".")[:-1]) for name in fixed if "." in name}
        readers = Counter(name for node in nodes for name in _read(node))
        made: dict[str, _Place] = {}
        by_name: dict[str, _Place] = {}
        # What a loop carries is at first what it is given.
        first = {
            inner.name: outer
            for node in nodes
            for body in graphs_of(node)
            for inner, outer in zip(body.input, node.input, strict=False)
        }
        for node in nodes:
            names = _read(node)
            said = tuple(node.name.split("/")[1:-1])
            # Of weights that two cells read, MindSpore's word says which of them has them.
            owned = [
                owners[name]
                for name in names
                if name in owners and (readers[name] == 1 or _begins(said, owners[name]))
            ]
            own = _shared(owned) or None
            place = _Place(
                len(self.nodes),
                node.op_type,
                said,
                own,
                [made[known] for name in names if (known := first.get(name, name)) in made],
            )
            place.cell = own
            place.within = [by_name[one.name] for g in graphs_of(node) for one in _every(g.node)]
            by_name[node.name] = place
            self.nodes.append(place)
            for one in place.before:
                one.after.append(place)
            made.update((name, place) for name in node.output)
            if own is not None and fixed.issuperset(names):
                # A parameter in another form.
                fixed.update(node.output)
                owners.update((name, own) for name in node.output)
        cells = [one.own[:k] for one in self.nodes if one.own for k in range(1, len(one.own) + 1)]
        self.bits = {cell: 1 << k for k, cell in enumerate(dict.fromkeys(cells))}
        self.sizes = Counter(cells)
        self.children: dict[Path, list[Path]] = {}
        for cell in self.bits:
            self.children.setdefault(cell[:-1], []).append(cell)

    def places(self) -> list[Path]:
        """The cell of each node."""
        for _ in range(ROUNDS):
            between = self.between()
            before = [one.cell for one in self.nodes]
            for one, inside in zip(self.nodes, between, strict=True):
                if one.own is None:
                    one.cell = self.choice(one, self.innermost(inside))
            if before == [one.cell for one in self.nodes]:
                break
        self.leave()
        for one in self.nodes:
            fixed = [inner.own for inner in one.within if inner.own]
            one.cell = _shared([one.cell or (), *fixed]) if one.within else one.cell
            for inner in one.within:
                inner.cell = inner.cell if _begins(inner.cell or (), one.cell or ()) else one.cell
        return [one.cell or () for one in self.nodes]

    def leave(self) -> None:
        """Move what is behind the last of several cells of a class, and in none of the others, out of it."""
        within = Counter((one.cell, one.operator) for one in self.nodes)
        for one in reversed(self.nodes):
            cell = one.cell
            if one.own is not None or not cell:
                continue
            beside = [path for path in self.children.get(cell[:-1], ()) if path != cell]
            alike = [
                path for path in beside if self.classes.get(path, "") == self.classes.get(cell)
            ]
            if not alike or any(
                _begins(other.cell or (), path) for other in one.after for path in (cell, *alike)
            ):
                continue
            if all(within[path, one.operator] < within[cell, one.operator] for path in alike):
                within[cell, one.operator] -= 1
                # What holds numbered cells is a list, which computes nothing.
                one.cell = cell[:-2] if cell[-1].isdigit() else cell[:-1]

    def between(self) -> list[int]:
        """The cells that a node is between parts of, as a set of bits."""
        own = {one: self.around(one.cell) for one in self.nodes}
        needs: dict[_Place, int] = {}
        for one in self.nodes:
            needs[one] = own[one]
            for other in one.before:
                needs[one] |= needs[other]
        needed: dict[_Place, int] = {}
        for one in reversed(self.nodes):
            needed[one] = own[one]
            for other in one.after:
                needed[one] |= needed[other]
        return [needs[one] & needed[one] for one in self.nodes]

    def around(self, cell: Path | None) -> int:
        bits = 0
        for k in range(1, len(cell or ()) + 1):
            bits |= self.bits.get((cell or ())[:k], 0)
        return bits

    def innermost(self, inside: int) -> Path:
        """The innermost of some cells; where they are not within each other, what is around both."""
        cell: Path = ()
        while True:
            inner = [one for one in self.children.get(cell, ()) if self.bits[one] & inside]
            if len(inner) != 1:
                return cell
            (cell,) = inner

    def choice(self, one: _Place, cell: Path) -> Path:
        """Where a node is, of which it is known to be in a cell, that may be around others."""
        said = self.owner(one.said)
        kind = self.classes.get(said, "")
        if said == cell:
            return one.said
        if self.classes.get(cell) == kind:
            return cell
        before = self.alike(one.before, cell, kind)
        after = self.alike(one.after, cell, kind)
        if bool(before) != bool(after):
            self.enters.setdefault((kind, one.operator), bool(after))
        # Between two cells of a class it is where others like it are: at the beginning or at the end.
        found = after if not before or (after and self.enters.get((kind, one.operator))) else before
        if found:
            return one.said if _begins(one.said, found) else found
        makers = [other for other in one.before if _begins(other.cell or (), cell)]
        path = max(makers, key=lambda other: other.number).cell or cell if makers else cell
        # A layer, which has one node of its own, computes nothing else.
        while len(path) > len(cell) and self.sizes[path] < 2:
            path = path[:-1]
        return path

    def alike(self, near: Sequence[_Place], cell: Path, kind: str) -> Path:
        """The outermost cell of a class, within another, that a neighbour is in."""
        for other in near:
            path = other.cell or ()
            for k in range(len(cell) + 1, len(path) + 1) if _begins(path, cell) else ():
                if self.classes.get(path[:k]) == kind:
                    return path[:k]
        return ()

    def owner(self, path: Path) -> Path:
        """The innermost cell with parameters around a path."""
        while path and path not in self.bits:
            path = path[:-1]
        return path


def _begins(path: Path, beginning: Path) -> bool:
    return path[: len(beginning)] == beginning


def _shared(paths: Sequence[Path]) -> Path:
    """The longest common beginning."""
    length = 0
    while paths and length < len(paths[0]) and len({path[: length + 1] for path in paths}) == 1:
        length += 1
    return paths[0][:length] if paths else ()
