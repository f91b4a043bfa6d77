"""How many requests an address may send; what is more is refused for a while.

The processes of a server count together, in a file that lives as long as the server. What counts is a window
that moves with time: all requests of the window of the clock, and of the one before the part that it covers.
Behind a proxy all clients have the proxy's address: limit them there.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from limits import RateLimitItem, parse_many
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

READING = frozenset({"GET", "HEAD", "OPTIONS"})
# Asked by machines that must always hear an answer.
FREE = frozenset({"/healthz", "/readyz", "/metrics"})
# Names the directory in which the processes of a server count together; prometheus_client looks there, too.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
FILE = "rates.sqlite"
BUSY_SECONDS = 1.0
CLEAR_SECONDS = 60.0

_TABLE = """CREATE TABLE IF NOT EXISTS hits
(name TEXT, turn INTEGER, count INTEGER, until REAL, PRIMARY KEY (name, turn)) WITHOUT ROWID"""
_COUNT = """INSERT INTO hits VALUES (?, ?, 1, ?)
ON CONFLICT (name, turn) DO UPDATE SET count = count + 1"""


class Counts:
    """Counts by name, shared through a file.

    Args:
        place: The file; None for counts of this process alone.
    """

    def __init__(self, place: Path | None = None) -> None:
        self._database = sqlite3.connect(
            ":memory:" if place is None else place,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # it is used by the loop alone
        )
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF", _TABLE):
            self._database.execute(statement)
        self._cleared = 0.0

    def hit(self, name: str, limit: int, seconds: int, now: float) -> int:
        """Count something, unless there were too many of it.

        Args:
            name: Of what is counted.
            limit: So many may be in a window.
            seconds: Length of a window.
            now: Seconds since 1970.

        Returns:
            Seconds after which to try again; 0 if it was counted.
        """
        turn = int(now // seconds)
        left = (turn + 1) * seconds - now
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            rows = database.execute(
                "SELECT turn, count FROM hits WHERE name = ? AND turn >= ?", (name, turn - 1)
            )
            counts = dict(rows.fetchall())
            before, here = counts.get(turn - 1, 0), counts.get(turn, 0)
            over = before * left / seconds + here - limit
            if over < 0:
                database.execute(_COUNT, (name, turn, (turn + 2) * seconds))
            if now - self._cleared > CLEAR_SECONDS:
                database.execute("DELETE FROM hits WHERE until < ?", (now,))
                self._cleared = now
        if over < 0:
            return 0
        # What the window before weighs becomes less; what this one has stays until it is over.
        wait = seconds * over / before if here < limit else left
        return math.floor(wait) + 1


class Rates:
    """The limits of a server.

    Args:
        reading: Limits of all requests, such as `600/minute;20/second`; empty for none.
        writing: Further ones of those that change something.
    """

    def __init__(self, reading: str, writing: str) -> None:
        self._all = parse_many(reading) if reading else []
        self._writing = parse_many(writing) if writing else []
        shared = os.environ.get(SHARED)
        limited = bool(self._all or self._writing)
        self._counts = Counts(Path(shared) / FILE if shared and limited else None)

    def wait(self, scope: Scope) -> int:
        """Seconds until a request may be sent again; 0 if it may be sent now."""
        if scope["path"] in FREE:
            return 0
        client = (scope.get("client") or ("",))[0]
        changes = [] if scope["method"] in READING else self._writing
        return max((self._hit(limit, "all", client) for limit in self._all), default=0) or max(
            (self._hit(limit, "writing", client) for limit in changes), default=0
        )

    def _hit(self, limit: RateLimitItem, *what: str) -> int:
        name = limit.key_for(*what)
        try:
            return self._counts.hit(name, limit.amount, limit.get_expiry(), time.time())
        except sqlite3.OperationalError:
            return 0  # a full disk, or a busy file: rather one request too many than none


class RateLimit:
    """Refuse requests of addresses that send too many.

    Args:
        app: What answers the others.
        rates: The limits.
        answer: The path and the seconds to wait -> the response, in the form of the application's errors.
    """

    def __init__(self, app: ASGIApp, rates: Rates, answer: Callable[[str, int], Response]) -> None:
        self._app, self._rates, self._answer = app, rates, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        seconds = self._rates.wait(scope) if scope["type"] == "http" else 0
        if seconds:
            await self._answer(scope["path"], seconds)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
