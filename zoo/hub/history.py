"""What is asked of many commits at once: which changed a path last, which had large files, which are left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial

from sqlalchemy import delete
from sqlmodel import Session, col, select

from zoo.catalogue.tables import Commit, Ref, Repository, Waiting
from zoo.hub.objects import Directory, Entry
from zoo.hub.trees import list_tree, names_of

# So many names are compared for an answer, and a commit is as dear as some more.
MOST_NAMES = 200_000
COMMIT_NAMES = 100

# Paths that are looked for: the first part -> those below it; None stands for the path itself.
_Wanted = dict[str | None, "_Wanted"]


def ancestors(session: Session, commit: Commit) -> Iterator[Commit]:
    """A commit and those before it, the newest first; of two parents, the upload's is followed."""
    at: Commit | None = commit
    while at is not None:
        yield at
        parent = select(Commit).where(
            Commit.repository_id == at.repository_id, col(Commit.id) == at.parent
        )
        at = session.exec(parent).first() if at.parent else None


def changed_last(session: Session, head: Commit, paths: Iterable[str]) -> dict[str, Commit]:
    """The commits, up to one, that changed files and folders last.

    Args:
        session: On the catalogue.
        head: The commit.
        paths: What it has.

    Returns:
        Path -> commit; without what did not change in as many commits as are looked at.
    """
    wanted: _Wanted = {}
    for path in paths:
        place = wanted
        for part in path.split("/"):
            place = place.setdefault(part, {})
        place[None] = {}
    found: dict[str, Commit] = {}
    # The older of two trees is the newer of the next two.
    names = lru_cache(maxsize=64)(partial(names_of, session))
    left = MOST_NAMES
    newer: Commit | None = None
    for commit in ancestors(session, head):
        if newer is not None:
            left -= COMMIT_NAMES + _compare(
                names, newer.tree, commit.tree, wanted, "", newer, found
            )
        newer = commit
        if not wanted or left < 0:
            return found
    if newer is not None:
        _take(wanted, "", newer, found)
    return found


def large_files(session: Session, repository: Repository) -> list[tuple[Entry, Commit]]:
    """The large files of all commits of a repository, each once, with the first commit that had it."""
    found: dict[str, tuple[Entry, Commit]] = {}
    seen: set[str] = set()

    def look(folder: Directory, commit: Commit) -> None:
        if folder.oid in seen:
            return
        seen.add(folder.oid)
        for item in list_tree(session, folder, recursive=False):
            if isinstance(item, Directory):
                look(item, commit)
            elif item.large:
                found.setdefault(item.sha256, (item, commit))

    commits = select(Commit).where(Commit.repository_id == repository.id)
    for commit in session.exec(commits.order_by(col(Commit.number))):
        look(Directory("", commit.tree), commit)
    return list(found.values())


def forget_unreachable(session: Session, repository: Repository) -> None:
    """Remove the commits of a repository that no name leads to."""
    rows = select(Commit.id, Commit.parent).where(Commit.repository_id == repository.id)
    parents = dict(session.exec(rows).all())
    for table, commit in ((Ref, Ref.target), (Waiting, Waiting.commit)):
        for at in session.exec(select(commit).where(table.repository_id == repository.id)).all():
            step: str | None = at
            while step is not None and step in parents:
                step = parents.pop(step)
    gone = list(parents)
    for start in range(0, len(gone), 500):
        some = col(Commit.id).in_(gone[start : start + 500])
        session.exec(delete(Commit).where(col(Commit.repository_id) == repository.id, some))


def _compare(
    names: Callable[[str], dict[str, tuple[str, bool]]],
    new: str,
    old: str,
    wanted: _Wanted,
    at: str,
    commit: Commit,
    found: dict[str, Commit],
) -> int:
    """Move what differs between two trees from `wanted` to `found`; gives how many names were compared."""
    if new == old:
        return 0
    after, before = names(new), names(old)
    compared = len(after) + len(before)
    for name in [
        name for name in wanted if name is not None and after.get(name) != before.get(name)
    ]:
        below, path = wanted[name], at + name
        if below.pop(None, None) is not None:
            found[path] = commit
        folder, was = after.get(name), before.get(name)
        if below and folder and was and folder[1] and was[1]:
            compared += _compare(names, folder[0], was[0], below, f"{path}/", commit, found)
        else:
            _take(below, f"{path}/", commit, found)
        if not below:
            del wanted[name]
    return compared


def _take(wanted: _Wanted, at: str, commit: Commit, found: dict[str, Commit]) -> None:
    """Move all of it."""
    for name, below in wanted.items():
        if name is None:
            found[at.rstrip("/")] = commit
        else:
            _take(below, f"{at}{name}/", commit, found)
    wanted.clear()
