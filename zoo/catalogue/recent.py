"""What was answered from the catalogue lately, for as long as nobody writes to it.

SQLite can say whether anybody, in any process, has committed something since it was last asked, in less time
than it takes to wake a thread: whatever is kept here is true to the last commit. A server of databases cannot
be asked without waiting for it, so nothing is kept of its answers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Engine

# So many bytes of answers; then it begins anew. What is not counted itself counts as so much.
MOST = 4 << 20
SMALL = 1 << 10


class Recent:
    """Answers by what was asked. It belongs to one thread, that of the event loop.

    Args:
        engine: The catalogue.
    """

    def __init__(self, engine: Engine) -> None:
        self._file = engine.url.database if engine.dialect.name == "sqlite" else None
        self._connection: sqlite3.Connection | None = None
        self._state: int | None = None
        self._answers: dict[Hashable, tuple[Any, datetime | None]] = {}
        self._held = 0  # bytes

    def state(self) -> int | None:
        """A number that is another one once somebody has written; None where it cannot be known."""
        if self._file is None:
            return None
        try:
            if self._connection is None:
                # Never used for anything else: a connection is not told of what it writes itself.
                self._connection = sqlite3.connect(
                    self._file, timeout=0, isolation_level=None, check_same_thread=False
                )
            (state,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None  # then whoever asks the catalogue itself is told what is wrong
        if state != self._state:
            self._state = state
            self._forget()
        return self._state

    def get(self, asked: Hashable) -> Any:
        """The answer, if it is known and still true, else None."""
        if self.state() is None:
            return None
        answer, until = self._answers.get(asked, (None, None))
        return answer if until is None or datetime.now(timezone.utc) < until else None

    def keep(
        self, asked: Hashable, answer: object, state: int | None, until: datetime | None
    ) -> None:
        """Keep an answer.

        Args:
            asked: What was asked.
            answer: What the catalogue said.
            state: What `state` was before it was asked.
            until: When it ends to be true though nobody writes, with its time zone; None for never.
        """
        if state is None or state != self.state():
            return
        weight = SMALL + (len(answer) if isinstance(answer, bytes) else 0)
        if self._held + weight > MOST:
            self._forget()
        if weight <= MOST:
            self._answers[asked] = answer, until
            self._held += weight

    def _forget(self) -> None:
        self._answers.clear()
        self._held = 0

    def close(self) -> None:
        """Let go of the catalogue."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
