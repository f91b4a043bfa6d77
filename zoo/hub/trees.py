"""Trees of commits in the catalogue: a row each, by git's id, kept once however many commits have it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from sqlmodel import Session, col, select

from zoo.catalogue.tables import Tree
from zoo.hub.objects import Directory, Entry


def keep_trees(session: Session, trees: Mapping[str, str]) -> None:
    """Write trees that are not there yet, by their ids."""
    for oid, entries in trees.items():
        if session.get(Tree, oid) is None:
            session.add(Tree(id=oid, entries=entries))
    session.flush()


def _read(session: Session, oid: str, at: str) -> list[Entry | Directory]:
    row = session.get(Tree, oid)
    assert row is not None  # noqa: S101 - a commit is written after its trees
    prefix = f"{at}/" if at else ""
    return [
        Directory(prefix + name, item[0])
        if len(item) == 1
        else Entry(prefix + name, item[1], item[2], item[0])
        for name, item in json.loads(row.entries).items()
    ]


def names_of(session: Session, oid: str) -> dict[str, tuple[str, bool]]:
    """The names in a tree: the id of each, and whether it is a folder."""
    entries = session.exec(select(Tree.entries).where(Tree.id == oid)).one()
    return {name: (item[0], len(item) == 1) for name, item in json.loads(entries).items()}


def walk(session: Session, root: str, path: str) -> Entry | Directory | None:
    """What is at a path below a root; None where nothing is."""
    found: Entry | Directory = Directory("", root)
    for part in path.split("/") if path else ():
        if not isinstance(found, Directory):
            return None
        wanted = f"{found.path}/{part}" if found.path else part
        below = _read(session, found.oid, found.path)
        step = next((item for item in below if item.path == wanted), None)
        if step is None:
            return None
        found = step
    return found


def list_tree(
    session: Session, folder: Directory, *, recursive: bool
) -> Iterable[Entry | Directory]:
    """What is in a folder, in order."""
    for item in _read(session, folder.oid, folder.path):
        yield item
        if recursive and isinstance(item, Directory):
            yield from list_tree(session, item, recursive=True)


def files_of(session: Session, root: str) -> dict[str, Entry]:
    """All files below a root, by path."""
    found = list_tree(session, Directory("", root), recursive=True)
    return {item.path: item for item in found if isinstance(item, Entry)}


def blobs_of(session: Session, roots: set[str]) -> Iterator[str]:
    """The digests of all files below some roots; each tree is read once."""
    seen, left = set(roots), list(roots)
    while left:
        some, left = left[:500], left[500:]
        for text in session.exec(select(Tree.entries).where(col(Tree.id).in_(some))):
            for item in json.loads(text).values():
                if len(item) > 1:
                    yield item[1]
                elif item[0] not in seen:
                    seen.add(item[0])
                    left.append(item[0])
