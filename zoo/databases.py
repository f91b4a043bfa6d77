"""The two databases of a zoo, copied whole: SQLite or PostgreSQL into either.

Between two files SQLite's online backup copies everything as it is, DBOS's own tables too. Otherwise rows
are copied, table by table, each database as of one moment; what follows from them is made anew, and what
belongs to the machines of the old zoo alone (workers, unfinished uploads, DBOS's tables) stays behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Engine, MetaData
from sqlmodel import Session

from zoo.catalogue import engine, listing
from zoo.catalogue.rows import copy_rows, require_no_rows
from zoo.catalogue.tables import Table, UploadPart, UploadRow
from zoo.hub import listing as hub_listing
from zoo.jobs import jobs, tables
from zoo.registry import catalogue_url
from zoo.settings import Settings

_SQLITE = "sqlite"


def _fill_indexes(session: Session) -> None:
    """Fill the indexes of searches, which the two kinds of databases keep in their own ways."""
    connection = session.connection()
    for room in (listing, hub_listing):
        room.INDEX.fill(connection, room.documents(connection))


@dataclass(frozen=True)
class Database:
    """One of the two.

    Attributes:
        name: Of its file.
        url: Where it is, by the zoo's directory and settings.
        migrations: How its tables are made.
        metadata: Its tables.
        without: Names of those of them that are not copied row by row.
        then: Makes what follows from the rows.
    """

    name: str
    url: Callable[[Path, Settings], URL]
    migrations: Path
    metadata: MetaData
    without: tuple[str, ...]
    then: Callable[[Session], None] | None = None

    def file(self, folder: Path) -> URL:
        """Its address as a file."""
        return engine.database_url(_SQLITE, folder / self.name)

    def copy(self, source: URL, target: URL) -> None:
        """Copy it, as of one moment; the source may be in use.

        Args:
            source: Where it is.
            target: Where it comes to be: a file that is not there, or a database without rows.

        Raises:
            Conflict: There are rows already.
        """
        if is_embedded(source) and is_embedded(target):
            _copy_file(Path(str(source.database)), Path(str(target.database)))
            return
        with self._open(source) as held, self._open(target) as made:
            copy_rows(held, made, self.metadata, without=self.without, then=self.then)

    def require_no_rows(self, url: URL) -> None:
        """Refuse a database that is in use.

        Raises:
            Conflict: There are rows.
        """
        with self._open(url) as opened, engine.reading(opened) as session:
            require_no_rows(session, self.metadata)

    @contextmanager
    def _open(self, url: URL) -> Iterator[Engine]:
        opened = engine.open_engine(url, self.migrations)
        try:
            yield opened
        finally:
            opened.dispose()


def is_embedded(url: URL) -> bool:
    """Whether a database is a file of the zoo's directory."""
    return url.get_backend_name() == _SQLITE


# In the order in which they are copied: what a job says that it has published is in the catalogue then.
DATABASES = (
    Database("jobs.db", jobs.database_url, jobs.MIGRATIONS, tables.METADATA, (tables.worker.name,)),
    Database(
        "zoo.db",
        catalogue_url,
        engine.MIGRATIONS,
        Table.metadata,
        (str(UploadPart.__tablename__), str(UploadRow.__tablename__)),
        _fill_indexes,
    ),
)


def _copy_file(source: Path, target: Path) -> None:
    if not source.exists():
        return  # nobody has submitted a job yet
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=30)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
