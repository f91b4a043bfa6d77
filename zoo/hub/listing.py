"""Lists of repositories: filters, orders, and what the index keeps of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, func, select
from sqlmodel import Session, col

from zoo.access import Identity, visible
from zoo.catalogue.engine import reading
from zoo.catalogue.paging import Listed, Order, ordered, ranked, read_cursor, write_cursor
from zoo.catalogue.search import Document, Index, Query, words_of
from zoo.catalogue.tables import PrivateModel, Repository, Waiting
from zoo.hub import card
from zoo.hub.records import RepositoryInfo

# Of an upload that nobody has made anything of.
State = Literal["waiting", "refused"]

INDEX = Index("repository_search")
LISTED = Listed(Repository, col(Repository.id), INDEX)
RELEVANCE, CREATED, MODIFIED = "relevance", "createdAt", "lastModified"
# What says a place in an order.
PLACES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    CREATED: (int,),
    MODIFIED: (int,),
    RELEVANCE: (int, int),
}


@dataclass(frozen=True)
class Filter:
    """Which repositories are wanted; see `Repositories.search`."""

    words: str = ""
    author: str | None = None
    tags: tuple[str, ...] = ()
    unpublished: bool = False
    state: State | None = None

    @property
    def query(self) -> Query:
        """What the index is asked."""
        facets = [f"tag:{card.folded(tag)}" for tag in self.tags]
        if self.author is not None:
            facets.append(f"author:{self.author.lower()}")
        return Query(words_of(self.words), tuple(facets))

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """What must hold of a repository's row."""
        name = func.lower(Repository.name)
        found: list[ColumnElement[bool]] = [
            name.contains(word, autoescape=True)
            | col(Repository.tags).contains(word, autoescape=True)
            for word in words_of(self.words)
        ]
        if self.author is not None:
            found.append(name.startswith(f"{self.author.lower()}/", autoescape=True))
        lines = [f"\n{card.folded(tag)}\n" for tag in self.tags]
        found += [col(Repository.tags).contains(line, autoescape=True) for line in lines]
        if self.unpublished:
            found.append(col(Repository.published).is_(False))
        if self.state is not None:
            uploads = select(col(Waiting.repository_id)).where(
                col(Waiting.problem).is_(None)
                if self.state == "waiting"
                else col(Waiting.problem).is_not(None)
            )
            found.append(col(Repository.id).in_(uploads))
        return found


def search(
    engine: Engine,
    wanted: Filter,
    who: Identity,
    *,
    sort: str,
    limit: int,
    cursor: str | None,
    offset: int = 0,
) -> tuple[tuple[RepositoryInfo, ...], str | None]:
    """A page of repositories; see `Repositories.search`."""
    query, conditions = wanted.query, _permitted(wanted, who)
    by = sort if sort in PLACES else "name"
    if not sort or (by == RELEVANCE and not query.words):
        by = RELEVANCE if query.words else CREATED
    place = read_cursor(cursor, by, PLACES[by])
    with reading(engine) as session:
        if by == RELEVANCE:
            found = ranked(session, LISTED, query, conditions, place, limit + 1)
        else:
            order = _order(by, place, wanted)
            found = ordered(session, order, query, conditions, limit + 1, offset)
        names = [row.name for row, _ in found[:limit]]
        private = set(
            session.scalars(select(col(PrivateModel.name)).where(col(PrivateModel.name).in_(names)))
        )
        infos = tuple(info(row, row.name in private) for row, _ in found[:limit])
    last = write_cursor(by, found[limit - 1][1]) if len(found) > limit else None
    return infos, last


def count(engine: Engine, wanted: Filter, who: Identity) -> int:
    """How many repositories fit."""
    rows = select(func.count()).select_from(Repository).where(*_permitted(wanted, who))
    with reading(engine) as session:
        if wanted.query != Query():
            rows = rows.where(col(Repository.id).in_(INDEX.matching(session, wanted.query)))
        return session.scalar(rows) or 0


def _permitted(wanted: Filter, who: Identity) -> list[ColumnElement[bool]]:
    permitted = visible(col(Repository.name), who)
    return wanted.conditions + ([] if permitted is None else [permitted])


def _order(by: str, place: list[Any] | None, wanted: Filter) -> Order:
    columns: dict[str, Any] = {"name": Repository.name, MODIFIED: Repository.changed}
    key = col(columns.get(by, Repository.id))
    rows, keys = select(Repository, key), select(key)
    if wanted.unpublished:
        # Of which there are few: the next ones are found without looking at the others.
        keys = keys.where(col(Repository.published).is_(False))
    return Order(LISTED, rows, keys, key, by != "name", place and place[0])


def add(session: Session, row: Repository) -> None:
    """Write a repository whose name or tags are new, and let searches find it."""
    session.add(row)
    session.flush()
    assert row.id is not None  # noqa: S101 - it was flushed
    INDEX.add(session.connection(), row.id, document(row.name, row.tags))


def remove(session: Session, row: Repository) -> None:
    """Take a repository out of searches, before its name or its tags change."""
    assert row.id is not None  # noqa: S101 - it was read
    INDEX.remove(session.connection(), row.id, document(row.name, row.tags))


def touch(session: Session, row: Repository, when: datetime) -> None:
    """Note that a repository has changed: it is the newest from now on."""
    row.updated_at = when
    row.changed = (session.scalar(select(func.max(Repository.changed))) or 0) + 1
    session.add(row)


def documents(connection: Connection) -> Iterator[tuple[int, Document]]:
    """What the index keeps of every repository, by its number."""
    query = select(col(Repository.id), col(Repository.name), col(Repository.tags))
    for row in connection.execute(query, execution_options={"yield_per": 1000}):
        yield row.id, document(row.name, row.tags)


def document(name: str, tags: str) -> Document:
    """What the index keeps of a repository."""
    facets = {f"tag:{tag}" for tag in tags.split("\n") if tag}
    author = name.partition("/")[0].lower()
    return Document(name.lower(), tags, "", frozenset({*facets, f"author:{author}"}))


def info(row: Repository, private: bool) -> RepositoryInfo:
    """What is known of a repository."""
    kept = json.loads(row.card)
    return RepositoryInfo(
        name=row.name,
        private=private,
        created_at=_utc(row.created_at),
        updated_at=_utc(row.updated_at),
        metadata=kept.get("metadata", {}),
        config=kept.get("config", {}),
        tags=tuple(kept.get("tags", ())),
    )


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=timezone.utc)
