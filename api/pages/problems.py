"""Errors as pages, for browsers; programs get the problem as it is."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dependencies import COOKIE
from api.pages.language import message
from api.pages.site import page, root_of
from api.problems import MEDIA_TYPE

# What the codes of our errors are called on a page; others keep their title.
TITLES = {
    "not-found": message("Nothing is here"),
    "unauthorized": message("Sign in to see this"),
    "forbidden": message("You may not do this"),
    "internal": message("Something went wrong"),
    "conflict": message("That is not possible now"),
    "invalid-reference": message("That is not a name"),
    "invalid-request": message("That cannot be asked"),
    "method-not-allowed": message("That cannot be done here"),
}


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks, to show the answer to somebody."""
    return scope["type"] == "http" and "text/html" in Headers(scope=scope).get("accept", "")


class ReadableProblems:
    """Turns `application/problem+json` into a page for those who asked for HTML."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its error in the form that is wanted."""
        if not wants_page(scope):
            await self._app(scope, receive, send)
            return
        begun: Message | None = None
        body = bytearray()

        async def held(event: Message) -> None:
            nonlocal begun
            if event["type"] == "http.response.start":
                if Headers(raw=event["headers"]).get("content-type") == MEDIA_TYPE:
                    begun = event
                    return
            if begun is None:
                await send(event)
                return
            body.extend(event.get("body", b""))
            if not event.get("more_body"):
                response = await run_in_threadpool(_page, scope, begun, bytes(body))
                await response(scope, receive, send)

        await self._app(scope, receive, held)


def _page(scope: Scope, begun: Message, body: bytes) -> Any:
    found = json.loads(body)
    request = Request(scope)
    kept = Headers(raw=begun["headers"])
    headers = {
        name: value
        for name, value in kept.items()
        if name not in ("content-type", "content-length", "cache-control")
    }
    response = page(
        request,
        "problem.html",
        status=begun["status"],
        headers=headers,
        problem=found,
        title=TITLES.get(found["code"], found["title"]),
    )
    if begun["status"] == 401 and COOKIE in request.cookies:
        # It was revoked or has expired, and would be refused everywhere.
        settings = scope["app"].state.registry.settings
        response.delete_cookie(COOKIE, path=root_of(request, settings) or "/")
    return response
