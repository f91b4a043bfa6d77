"""All rows of one database into another with the same tables, SQLite or PostgreSQL either way."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import DateTime, Engine, MetaData, Table, func, insert, select
from sqlmodel import Session

from zoo.catalogue.engine import reading, writing
from zoo.errors import Conflict

_AT_ONCE = 1000


def copy_rows(
    source: Engine,
    target: Engine,
    metadata: MetaData,
    *,
    without: Collection[str] = (),
    then: Callable[[Session], None] | None = None,
) -> None:
    """Copy what a database holds at one moment, in one transaction of the other.

    Args:
        source: It may be in use.
        target: Its tables are there, at the same revision, and have no rows.
        metadata: The tables.
        without: Names of tables that are left out.
        then: What follows from the rows, done in the same transaction.

    Raises:
        Conflict: There are rows already.
    """
    tables = [table for table in metadata.sorted_tables if table.name not in without]
    with reading(source) as held, writing(target) as made:
        require_no_rows(made, metadata)
        for table in tables:
            found = held.connection().execute(
                select(table), execution_options={"yield_per": _AT_ONCE}
            )
            for rows in found.mappings().partitions():
                made.execute(insert(table), [_plain(table, dict(row)) for row in rows])
            _count_on(made, table)
        if then is not None:
            then(made)


def require_no_rows(session: Session, metadata: MetaData) -> None:
    """Refuse a database that is in use.

    Raises:
        Conflict: A table has rows.
    """
    for table in metadata.sorted_tables:
        if session.execute(select(table).limit(1)).first() is not None:
            raise Conflict(
                f"the database is not empty: it has rows in {table.name}",
                fix="make another database, and name that one",
            )


def _plain(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """A row as either database takes it.

    Moments are in UTC: SQLite keeps no zone, and PostgreSQL believes in the session's. NUL, which PostgreSQL
    keeps in no text and older releases took in titles of commits, becomes U+FFFD.
    """
    for column in table.columns:
        value = row[column.key]
        if isinstance(value, str):
            row[column.key] = value.replace("\0", "\ufffd")
        if isinstance(column.type, DateTime) and column.type.timezone and value is not None:
            row[column.key] = _utc(value)
    return row


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _count_on(session: Session, table: Table) -> None:
    """Let the numbers of later rows begin behind those that were copied; SQLite does by itself."""
    column = table.autoincrement_column
    if column is None or session.get_bind().dialect.name != "postgresql":
        return
    sequence = func.pg_get_serial_sequence(f'"{table.name}"', column.name)
    # Of no row there is no number, and nothing is set.
    session.execute(select(func.setval(sequence, select(func.max(column)).scalar_subquery())))
