"""The one place that opens the database: SQLite in the zoo's directory, or PostgreSQL elsewhere.

Both see the same transactions. `reading` sees one state of the catalogue; `writing` is the only writer, by
BEGIN IMMEDIATE there and by a lock of the transaction's own here, so that what a writer has looked at is
still so when it commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    InterfaceError,
    OperationalError,
    TimeoutError,  # noqa: A004 - of waiting for a connection
)
from sqlmodel import Session

from zoo.errors import InvalidReference, InvalidSetting, NoSpace, StorageUnavailable, ZooError

BUSY_SECONDS = 30
MIGRATION_SECONDS = 3600  # that others wait for whoever migrates
CONNECT_SECONDS = 10
MIGRATIONS = Path(__file__).with_name("migrations")
EMBEDDED = ("", "sqlite")
# Locks of PostgreSQL are numbers; these are ours.
_ALEMBIC = "alembic_version"
_MIGRATING, _WRITING = 7094365, 7094366
_DISK_FULL = "53100"


def database_url(database: str, file: Path) -> URL:
    """The address of a database.

    Args:
        database: `postgresql://…`; empty, or `sqlite`, for a file of the zoo's own.
        file: That file.

    Raises:
        InvalidSetting: It is not one.
    """
    if database in EMBEDDED:
        return URL.create("sqlite", database=str(file))
    try:
        url = make_url(database.replace("postgres://", "postgresql://", 1))
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "postgresql":
        # It may hold a password, so it is not shown.
        raise InvalidSetting(
            "POLYZOO_DATABASE, POLYZOO_JOBS_DATABASE or DATABASE_URL is not the address of a "
            "PostgreSQL database",
            fix="set it to postgresql://USER:PASSWORD@HOST/DATABASE, or POLYZOO_DATABASE to sqlite",
        )
    return url.set(drivername="postgresql+psycopg")


def open_engine(url: URL, migrations: Path = MIGRATIONS) -> Engine:
    """Open a database, make its tables if they are missing, and bring them to the newest schema.

    Args:
        url: As `database_url` gives it; the directory of a file must exist.
        migrations: The directory of Alembic that says how.

    Raises:
        ZooError: It cannot be opened, is no catalogue, or was written by a newer release.
    """
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": float(BUSY_SECONDS)})
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
    else:
        patience = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
        engine = create_engine(url, pool_pre_ping=True, connect_args=patience)
    with told(engine):
        migrate(engine, migrations)
    return engine


# The session that `together` has opened, and for which database.
_together: ContextVar[tuple[Engine, Session] | None] = ContextVar("together", default=None)


@contextmanager
def together(engine: Engine) -> Iterator[None]:
    """Whatever this thread reads until the end sees one state, in one session: a server far away is waited for less."""
    with reading(engine) as session:
        token = _together.set((engine, session))
        try:
            yield
        finally:
            _together.reset(token)


def _shared(engine: Engine) -> Session | None:
    opened, session = _together.get() or (None, None)
    return session if opened is engine else None


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that sees one state of the catalogue, whatever is published meanwhile."""
    shared = _shared(engine)
    if shared is not None:
        with told(engine):
            yield shared
        return
    if _is_postgresql(engine):
        engine = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
    with told(engine), Session(engine) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session that is the only writer, and commits all or nothing."""
    shared = _shared(engine)
    if shared is not None:
        shared.rollback()  # a thread that waits to write holds no second connection
    with (
        told(engine),
        Session(engine.execution_options(begin="BEGIN IMMEDIATE")) as session,
        session.begin(),
    ):
        if _is_postgresql(engine):
            _lock(session.connection(), _WRITING, BUSY_SECONDS)
        yield session
    if shared is not None:
        shared.rollback()  # what was written is seen from now on


def migrate(engine: Engine, migrations: Path) -> None:
    """Bring the schema to the newest state, in one transaction; processes wait for each other.

    Args:
        engine: The database.
        migrations: The directory of Alembic that says how; its name is also that of what it makes.

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
    table = version_table(migrations)

    def revision(connection: Connection) -> str | None:
        options = {"version_table": table}
        return MigrationContext.configure(connection, opts=options).get_current_revision()

    with engine.connect() as connection:
        found = revision(connection)
    if found == scripts.get_current_head():
        return
    if found is not None and found not in known:
        raise ZooError(
            f"the database {_shown(engine)} was written by a newer release of Polyzoo",
            fix="install that release, or name another data directory or database",
        )
    writer = engine.execution_options(begin="BEGIN IMMEDIATE")
    with writer.connect() as connection:
        if not _is_postgresql(engine):
            connection.detach()  # patience is for this one use
            connection.connection.cursor().execute(f"PRAGMA busy_timeout={MIGRATION_SECONDS}000")
        with connection.begin():
            if _is_postgresql(engine):
                _lock(connection, _MIGRATING, MIGRATION_SECONDS)
                _wait_for_locks(connection, BUSY_SECONDS)  # of tables, which readers hold
            _rename(connection, table)
            config.attributes["connection"] = connection
            config.attributes["version_table"] = table
            command.upgrade(config, "head")


def integrity(engine: Engine, full: bool) -> list[str]:
    """What is broken in a database, in its own words.

    Args:
        engine: The database.
        full: Whether indexes are compared with tables too; PostgreSQL sees to itself.
    """
    with told(engine), engine.connect() as connection:
        if _is_postgresql(engine):
            connection.execute(text("SELECT 1"))
            return []
        check = "integrity_check" if full else "quick_check"
        found = [row[0] for row in connection.exec_driver_sql(f"PRAGMA {check}")]
        loose = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        broken = [f"{row[0]} {row[1]} names a row of {row[2]} that is not there" for row in loose]
    return [said for said in found if said != "ok"] + broken


def version_table(migrations: Path) -> str:
    """Where Alembic notes how far it is; the catalogue and jobs may share a database."""
    return _ALEMBIC if migrations == MIGRATIONS else f"{migrations.parent.name}_version"


def _rename(connection: Connection, table: str) -> None:
    """Give Alembic's notes their name of today: jobs once had a database, and Alembic's own name, for themselves."""
    names = set(inspect(connection).get_table_names())
    if table not in names and _ALEMBIC in names and "model" not in names:
        connection.exec_driver_sql(f"ALTER TABLE {_ALEMBIC} RENAME TO {table}")


@contextmanager
def told(engine: Engine) -> Iterator[None]:
    """Turn what the database says into an error that says what to do.

    Raises:
        NoSpace: The disk is full.
        StorageUnavailable: A server of databases does not answer.
        InvalidReference: Text holds a character that no database of this kind takes.
        ZooError: Any other failure.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        if "full" in str(error.orig) or getattr(error.orig, "sqlstate", None) == _DISK_FULL:
            raise NoSpace(
                f"no space left to write {_shown(engine)}",
                fix="free some space and repeat the command",
            ) from error
        if _is_postgresql(engine):
            raise _unavailable(engine, error.orig) from error
        raise ZooError(
            f"{_shown(engine)}: {error.orig}",
            fix="check that this user may write there and that no other program holds the file",
        ) from error
    except TimeoutError as error:
        raise _unavailable(engine, "too many requests wait for it") from error
    except DataError as error:
        # PostgreSQL keeps no NUL; nothing here is called so.
        if "NUL" not in str(error.orig):
            raise
        raise InvalidReference("text with a NUL character names nothing", fix="leave it out") from (
            error
        )
    except DatabaseError as error:
        if type(error) is not DatabaseError:
            raise
        raise ZooError(
            f"{_shown(engine)}: {error.orig}", fix="restore the catalogue from a copy"
        ) from error


def _unavailable(engine: Engine, said: object) -> StorageUnavailable:
    return StorageUnavailable(
        f"the database {_shown(engine)} does not answer: {' '.join(str(said).split())}",
        fix="check that it runs, and that POLYZOO_DATABASE (or DATABASE_URL) names it rightly",
    )


def _shown(engine: Engine) -> str:
    """The database without its password."""
    url = engine.url
    return f"{url.host}/{url.database}" if url.host else str(url.database)


def _is_postgresql(engine: Engine) -> bool:
    return engine.dialect.name == "postgresql"


def _lock(connection: Connection, number: int, seconds: float) -> None:
    _wait_for_locks(connection, seconds)
    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def _wait_for_locks(connection: Connection, seconds: float) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = '{seconds}s'"))


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    # Transactions are begun by `_begin` alone: the driver's own would not cover DDL.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
