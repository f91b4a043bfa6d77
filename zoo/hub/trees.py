"""Trees of commits in the catalogue: a row each, by git's id, kept once however many commits have it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlmodel import Session, col, select

from zoo.catalogue.tables import Tree
from zoo.hub.objects import Directory, Entry

_AT_ONCE = 500  # trees


def keep_trees(session: Session, trees: Mapping[str, str]) -> None:
    """Write trees that are not there yet, by their ids."""
    for oid, entries in trees.items():
        if session.get(Tree, oid) is None:
            session.add(Tree(id=oid, entries=entries))
    session.flush()


def _named(tree: Mapping[str, Any], at: str) -> list[Entry | Directory]:
    """What a tree says, which is at a path."""
    prefix = f"{at}/" if at else ""
    return [
        Directory(prefix + name, item[0])
        if len(item) == 1
        else Entry(prefix + name, item[1], item[2], item[0])
        for name, item in tree.items()
    ]


def names_of(session: Session, oid: str) -> dict[str, tuple[str, bool]]:
    """The names in a tree: the id of each, and whether it is a folder."""
    entries = session.exec(select(Tree.entries).where(Tree.id == oid)).one()
    return {name: (item[0], len(item) == 1) for name, item in json.loads(entries).items()}


def _read(session: Session, folder: Directory) -> list[Entry | Directory]:
    row = session.get(Tree, folder.oid)
    assert row is not None  # noqa: S101 - a commit is written after its trees
    return _named(json.loads(row.entries), folder.path)


def _below(session: Session, roots: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Some trees and all below them by id, each once; many are asked for at a time."""
    seen, left = set(roots), list(roots)
    while left:
        some, left = left[:_AT_ONCE], left[_AT_ONCE:]
        for oid, entries in session.exec(
            select(Tree.id, Tree.entries).where(col(Tree.id).in_(some))
        ):
            tree = json.loads(entries)
            yield oid, tree
            folders = {item[0] for item in tree.values() if len(item) == 1} - seen
            seen |= folders
            left += folders


def walk(session: Session, root: str, path: str) -> Entry | Directory | None:
    """What is at a path below a root; None where nothing is."""
    found: Entry | Directory = Directory("", root)
    for part in path.split("/") if path else ():
        if not isinstance(found, Directory):
            return None
        wanted = f"{found.path}/{part}" if found.path else part
        step = next((item for item in _read(session, found) if item.path == wanted), None)
        if step is None:
            return None
        found = step
    return found


def list_tree(
    session: Session, folder: Directory, *, recursive: bool
) -> Iterable[Entry | Directory]:
    """What is in a folder, in order."""
    if not recursive:
        return _read(session, folder)
    return _everything(dict(_below(session, {folder.oid})), folder)


def _everything(
    trees: Mapping[str, Mapping[str, Any]], folder: Directory
) -> Iterator[Entry | Directory]:
    for item in _named(trees[folder.oid], folder.path):
        yield item
        if isinstance(item, Directory):
            yield from _everything(trees, item)


def files_of(session: Session, root: str) -> dict[str, Entry]:
    """All files below a root, by path."""
    found = list_tree(session, Directory("", root), recursive=True)
    return {item.path: item for item in found if isinstance(item, Entry)}


def blobs_of(session: Session, roots: set[str]) -> Iterator[str]:
    """The digests of all files below some roots; each tree is read once."""
    for _, tree in _below(session, roots):
        yield from (item[1] for item in tree.values() if len(item) > 1)
