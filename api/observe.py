"""What is told of every request: its id, a line in the log, and numbers for Prometheus."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics

REQUEST_ID = "X-Request-Id"
# Asked every few seconds, by machines: nobody wants to read of it, unless it goes wrong.
QUIET = ("/healthz", "/readyz", "/metrics")
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

log = logging.getLogger("polyzoo.access")


class Observe:
    """Watch the requests of an application.

    Args:
        app: What answers them.
        metrics: Where they are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _GIVEN.match(given) else secrets.token_hex(8)
        begun, status, received, sent, promised = time.perf_counter(), 0, 0, 0, 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        def noted(message: Message) -> Awaitable[None]:
            nonlocal status, sent, promised
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                promised = int(headers.get("content-length", "0"))
            elif message["type"] == "http.response.pathsend":
                sent = promised
            else:
                sent += len(message.get("body", b""))
            return send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, counted, noted)
            finally:
                took = time.perf_counter() - begun
                self._metrics.request(scope["method"], _route(scope), status, took, received, sent)
                level = logging.DEBUG if _address(scope) in QUIET and status < 500 else logging.INFO
                log.log(
                    level,
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": _address(scope),
                        "status": status,
                        "seconds": round(took, 4),
                        "received": received,
                        "sent": sent,
                        "client": (scope.get("client") or ("",))[0],
                    },
                )


def _address(scope: Scope) -> str:
    """The path as it was asked for, without the query, which may hold anything."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


def _route(scope: Scope) -> str:
    """The pattern of the address, of which there are few."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "none"
