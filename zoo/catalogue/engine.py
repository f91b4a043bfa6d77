"""The one place that opens the database: SQLite with WAL, foreign keys and explicit transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlmodel import Session

from zoo.errors import NoSpace, ZooError

BUSY_SECONDS = 30.0
MIGRATIONS = Path(__file__).with_name("migrations")


def open_engine(path: Path) -> Engine:
    """Open the catalogue, make it if it is missing, and bring it to the newest schema.

    Args:
        path: The database file; its directory must exist.

    Raises:
        ZooError: It cannot be opened, is no catalogue, or was written by a newer release.
    """
    engine = sqlite_engine(path)
    with told(path):
        migrate(engine)
    return engine


def sqlite_engine(path: Path) -> Engine:
    """An engine for a database file, with our transactions; the schema is as it is."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that sees one state of the catalogue, whatever is published meanwhile."""
    with told(engine.url.database), Session(engine) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session that is the only writer, and commits all or nothing."""
    with (
        told(engine.url.database),
        Session(engine.execution_options(begin="BEGIN IMMEDIATE")) as session,
        session.begin(),
    ):
        yield session


def migrate(engine: Engine, migrations: Path = MIGRATIONS) -> None:
    """Bring the schema to the newest state, in one transaction; processes wait for each other.

    Args:
        engine: The database.
        migrations: The directory of Alembic that says how.

    Raises:
        ZooError: The catalogue was written by a newer release.
    """
    # Takes a while to import, and only whoever opens a catalogue needs it.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}

    def revision(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    with engine.connect() as connection:
        found = revision(connection)
    if found == scripts.get_current_head():
        return
    if found is not None and found not in known:
        raise ZooError(
            f"the database {engine.url.database} was written by a newer release of Polyzoo",
            fix="install that release, or name another data directory",
        )
    writer = engine.execution_options(begin="BEGIN IMMEDIATE")
    with writer.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7094365)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def told(database: object) -> Iterator[None]:
    """Turn what SQLite says into an error that says what to do.

    Raises:
        NoSpace: The disk is full.
        ZooError: Any other failure.
    """
    try:
        yield
    except OperationalError as error:
        if "full" in str(error.orig):
            raise NoSpace(
                f"no space left to write {database}", fix="free some space and repeat the command"
            ) from error
        raise ZooError(
            f"{database}: {error.orig}",
            fix="check that this user may write there and that no other program holds the file",
        ) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:
            raise
        raise ZooError(
            f"{database}: {error.orig}", fix="restore the catalogue from a copy"
        ) from error


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    # Transactions are begun by `_begin` alone: the driver's own would not cover DDL.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
