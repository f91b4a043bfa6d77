"""Pages of rows that fit, and the cursors between them.

A page is read in one of two ways. The next rows in order are looked at first: where much fits, they fill
the page. Otherwise the index (zoo/catalogue/search.py) says which rows may fit. Either way it is the row
that decides, so both give the same page.

A cursor is a place in an order that nobody's publishing changes: a name; a row's number within a rank; or,
where what was published last comes first, the number of a publication, as of the first page.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, UnaryExpression, select
from sqlalchemy.sql.operators import custom_op
from sqlmodel import Session

from zoo.catalogue.search import RANKS, Index, Query
from zoo.errors import InvalidReference
from zoo.reference import shown

# Rows that are looked at before the index is asked, and rows of the index that are worth sorting.
LOOK, FEW = 300, 300
RELEVANCE = "relevance"
_LARGEST_NUMBER = (1 << 63) - 1

# Rows, each with what a cursor says of its place.
Found = list[tuple[Any, list[Any]]]


@dataclass(frozen=True)
class Listed:
    """What is listed.

    Attributes:
        entity: What a row becomes.
        number: The column with its number.
        index: Where words and properties are looked up.
    """

    entity: Any
    number: Any
    index: Index


@dataclass(frozen=True)
class Order:
    """Rows in an order, from a place on.

    Attributes:
        listed: Which rows.
        rows: A row and its key, in no order yet.
        keys: The keys alone, of the rows and perhaps others.
        key: What they are ordered by.
        descending: Whether the largest comes first.
        after: The key after which the page begins.
        more: What a cursor says besides the key.
    """

    listed: Listed
    rows: Any
    keys: Any
    key: Any
    descending: bool = False
    after: Any = None
    more: tuple[Any, ...] = ()

    def within(self, rows: Any, key: Any, until: Any = None) -> Any:
        """Those between the place and a key, in order."""
        if self.after is not None:
            rows = rows.where(key < self.after if self.descending else key > self.after)
        if until is not None:
            rows = rows.where(key >= until if self.descending else key <= until)
        return rows.order_by(key.desc() if self.descending else key.asc())


def ordered(
    session: Session,
    order: Order,
    query: Query,
    conditions: Sequence[ColumnElement[bool]],
    count: int,
    offset: int = 0,
) -> Found:
    """The first rows of an order that fit.

    Args:
        session: Where they are.
        order: From the place on.
        query: What the index is asked.
        conditions: What must hold of a row.
        count: At most so many.
        offset: Rows that are left out, for clients that count pages.
    """
    rows, index, number = order.rows.where(*conditions), order.listed.index, order.listed.number

    def fetch(found: Any) -> Found:
        return [
            (row, [key, *order.more])
            for row, key in session.execute(found.offset(offset).limit(count))
        ]

    if not conditions:
        return fetch(order.within(rows, order.key))
    if offset or session.connection().dialect.name != "sqlite":
        if query != Query():
            rows = rows.where(number.in_(index.matching(session, query)))
        return fetch(order.within(rows, order.key))
    until = session.scalar(order.within(order.keys, order.key).offset(LOOK).limit(1))
    found = fetch(order.within(rows, order.key, until))
    if until is None or len(found) == count:
        return found
    fits = index.matching(session, query)
    few = session.scalars(fits.limit(FEW + 1)).all()
    if len(few) <= FEW:
        return fetch(order.within(rows.where(number.in_(few)), _unindexed(order.key)))
    return fetch(order.within(rows.where(_unindexed(number).in_(fits)), order.key))


def ranked(
    session: Session,
    listed: Listed,
    query: Query,
    conditions: Sequence[ColumnElement[bool]],
    place: list[Any] | None,
    count: int,
) -> Found:
    """The rows that fit, the best ranks first, and within a rank the oldest row."""
    first, after = place or (0, 0)
    found: Found = []
    for rank, name in enumerate(query.ranks[first:], first):
        hits, number, condition = listed.index.hits(session, query, name, alone=True)
        rows = (
            select(listed.entity, number)
            .select_from(hits)
            .join(listed.entity, listed.number == number)
            .where(condition, number > (after if rank == first else 0), *conditions)
            .order_by(number)
            .limit(count - len(found))
        )
        found += [(row, [rank, at]) for row, at in session.execute(rows)]
        if len(found) == count:
            break
    return found


def _unindexed(column: Any) -> ColumnElement[Any]:
    """A column of which SQLite's planner uses no index: without statistics it would choose badly."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def write_cursor(by: str, place: Sequence[Any]) -> str:
    """A place in an order, as users see it."""
    said = json.dumps([by, *place], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, by: str, kinds: Sequence[type]) -> list[Any] | None:
    """The place that a cursor names; None where there is no cursor.

    Args:
        cursor: As it was given out.
        by: The order that is asked for.
        kinds: Of what says a place in it, text or numbers.

    Raises:
        InvalidReference: It was not given out for this order.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        said = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError, RecursionError):
        said = None
    if isinstance(said, list) and said[:1] == [by]:
        place = said[1:]
        numbers = [value for value in place if type(value) is int]
        fits = list(map(type, place)) == list(kinds)
        if fits and all(0 <= number <= _LARGEST_NUMBER for number in numbers):
            if by != RELEVANCE or place[0] < len(RANKS):
                return place
    raise InvalidReference(
        f"{shown(cursor)} is not a cursor of this list",
        fix="use the next_cursor of the page before, and ask for the same",
    )
