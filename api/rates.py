"""How many requests an address may send; what is more is refused for a while.

Counted in each server process by itself. Behind a proxy all clients have the proxy's address: limit them there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

READING = frozenset({"GET", "HEAD", "OPTIONS"})
# Asked by machines that must always hear an answer.
FREE = frozenset({"/healthz", "/readyz", "/metrics"})


class Rates:
    """The limits of one server process.

    Args:
        reading: Limits of all requests, such as `600/minute;20/second`; empty for none.
        writing: Further ones of those that change something.
    """

    def __init__(self, reading: str, writing: str) -> None:
        self._all = parse_many(reading) if reading else []
        self._writing = parse_many(writing) if writing else []
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())

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
        if self._counts.hit(limit, *what):
            return 0
        until = self._counts.get_window_stats(limit, *what).reset_time
        return max(1, math.ceil(until - time.time()))


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
