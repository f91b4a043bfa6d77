"""How large the body of a request may be; uploads have limits of their own."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem
from zoo.manifest import LARGEST_MANIFEST


class BodyLimit:
    """Refuse requests with more body than a manifest may have, except PATCH, which streams."""

    def __init__(self, app: ASGIApp, largest: int = LARGEST_MANIFEST) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless its body is too large."""
        if scope["type"] != "http" or scope["method"] == "PATCH":
            await self._app(scope, receive, send)
            return
        said = f"the body is larger than {self._largest} bytes"
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self._largest:
            refusal = problem(scope["path"], 413, said, headers={"Connection": "close"})
            await refusal(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._largest:
                raise HTTPException(413, said)
            return message

        await self._app(scope, counted, send)
