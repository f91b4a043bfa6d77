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

# What the codes of our errors are called on a page, and what they mean to whoever reads it; others keep their title.
WORDS = {
    "not-found": (
        message("Nothing is here"),
        message(
            "There is no such page, model or file. It may never have been there, or be private: "
            "then sign in with a token of its organisation."
        ),
    ),
    "unauthorized": (
        message("Sign in to see this"),
        message(
            "This needs a token, and none was given, or the one that was given was revoked or has "
            "expired."
        ),
    ),
    "forbidden": (
        message("You may not do this"),
        message(
            "The zoo knows who you are, and this is for others. Whoever runs the zoo gives tokens "
            "with more rights."
        ),
    ),
    "internal": (
        message("Something went wrong"),
        message("The zoo failed, not you. Try again; if it stays so, tell whoever runs the zoo."),
    ),
    "conflict": (
        message("That is not possible now"),
        message(
            "It contradicts what is there: what is published never changes, and what has ended cannot"
            " be stopped."
        ),
    ),
    "invalid-reference": (
        message("That is not a name"),
        message("Models are named organisation/model, versions organisation/model@version."),
    ),
    "invalid-request": (
        message("That cannot be asked"),
        message("A part of the address or of the form has a value that is not possible there."),
    ),
    "bad-request": (
        message("The request cannot be read"),
        message("What was sent is not what this address takes."),
    ),
    "method-not-allowed": (
        message("That cannot be done here"),
        message("The address is right, and what was to be done there is not possible."),
    ),
    "too-large": (
        message("That is too large"),
        message("More was sent than the zoo takes at once."),
    ),
    "too-many-requests": (
        message("Too many requests"),
        message("From your address came more requests than the zoo answers. Wait a moment."),
    ),
    "not-supported": (
        message("That is not possible yet"),
        message("The zoo understands what is asked, and cannot do it yet."),
    ),
    "storage-unavailable": (
        message("The zoo cannot answer now"),
        message("Its database or its storage does not answer. Try again in a while."),
    ),
    "no-space": (
        message("The zoo is full"),
        message("There is no room left for what was sent. Whoever runs the zoo can make some."),
    ),
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
    title, meaning = WORDS.get(found["code"], (found["title"], ""))
    response = page(
        request,
        "problem.html",
        status=begun["status"],
        headers=headers,
        problem=found,
        title=title,
        meaning=meaning,
    )
    if begun["status"] == 401 and COOKIE in request.cookies:
        # It was revoked or has expired, and would be refused everywhere.
        settings = scope["app"].state.registry.settings
        response.delete_cookie(COOKIE, path=root_of(request, settings) or "/")
    return response
