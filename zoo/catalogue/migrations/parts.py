"""What migrations say differently to SQLite and to PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine


def on_postgresql() -> bool:
    """Whether the migration runs on PostgreSQL."""
    return op.get_bind().dialect.name == "postgresql"


def name(length: int) -> TypeEngine[str]:
    """The type of a column with names, which differ in more than the case of letters."""
    return sa.String(length, collation="NOCASE").with_variant(sa.String(length), "postgresql")


def unique_name(table: str, *columns: str) -> None:
    """Let no two names in the last of the columns differ in the case of letters only.

    SQLite's collation does that by itself.
    """
    if on_postgresql():
        *others, last = columns
        caseless = f'lower({last} COLLATE "C")'
        listed = ", ".join([*others, caseless])
        op.execute(f"CREATE UNIQUE INDEX uq_{table}_caseless ON {table} ({listed})")


def keep(table: str, said: str) -> None:
    """Refuse every later change of a table's rows, and their removal."""
    if not on_postgresql():
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{said}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_stays() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN RAISE '{said}' USING ERRCODE = 'integrity_constraint_violation'; END$$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_stays()"
    )
