"""A file as a response, whole or a range of it.

Where blobs are in a bucket, GET is answered with an address there that is good for a while. HEAD is not:
hub clients follow redirects within a host and then miss the headers that only we know.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from urllib.parse import quote

import anyio
from anyio import lowlevel, to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import pieces
from api.problems import problem
from api.ranges import Span, Unsatisfiable, entity_tag, parse_range, tag_listed
from zoo.registry import Registry
from zoo.store import Blob, Store

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
# So many pieces go out before others have their turn, however quick the client is.
TURN = 8
# What is shorter is gone, or read in vain, sooner than anybody could tell that the client is.
WATCHED = 8 << 20  # bytes


async def file_response(
    zoo: Registry,
    sha256: str,
    digest: str,
    *,
    cache_control: str = IMMUTABLE,
    name: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> FileResponse:
    """A blob of a zoo as a response; see `FileResponse`.

    Raises:
        NotFound: There is no such blob.
    """
    if isinstance(zoo.store, Store):
        blob = zoo.blob(sha256)  # a disk says so sooner than a thread wakes
    else:
        blob = await to_thread.run_sync(zoo.blob, sha256)
    return FileResponse(
        blob,
        digest,
        cache_control=cache_control,
        name=name,
        headers=headers,
        front=zoo.settings.accel,
    )


class FileResponse(Response):
    """The bytes of a blob, with everything that HTTP has for fetching them in parts and only once."""

    def __init__(
        self,
        blob: Blob,
        digest: str,
        *,
        cache_control: str = IMMUTABLE,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        front: str = "",
    ) -> None:
        """Prepare a response.

        Args:
            blob: The blob.
            digest: What names its content and is its entity tag: its SHA-256 in hex, or git's id.
            cache_control: How long it may be kept.
            name: What a browser should call it.
            headers: Further ones, of every answer.
            front: Where a proxy in front of us has the store, if it sends what is there by itself.
        """
        self._blob = blob
        self._path = blob.store.local(blob.sha256)
        self._tag = entity_tag(digest)
        self._size = blob.size
        self._front = front
        self.status_code = 200
        self.background = None
        self._common = {
            "ETag": self._tag,
            "Cache-Control": cache_control,
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        }
        if name is not None:
            self._common["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, '')}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        if "authorization" in headers or "cookie" in headers:
            # Caches that others share must not keep what one was allowed to see.
            kept = self._common["Cache-Control"].replace("public", "private")
            self._common["Cache-Control"] = kept
        if "if-match" in headers and not tag_listed(headers["if-match"], self._tag):
            refusal = problem(scope["path"], 412, f"the entity tag is {self._tag}")
            await refusal(scope, receive, send)
            return
        if "if-none-match" in headers and tag_listed(headers["if-none-match"], self._tag):
            await Response(status_code=304, headers=self._common)(scope, receive, send)
            return
        if self._front and self._path is not None and scope["method"] == "GET" and self._size:
            # The proxy looks at Range and If-Range itself, and says that it does.
            digits = self._blob.sha256
            del self._common["Accept-Ranges"]
            inside = f"{self._front}/{digits[:2]}/{digits[2:]}"
            await self._start(send, 200, {"X-Accel-Redirect": inside})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            span = self._asked(headers)
        except Unsatisfiable:
            refusal = problem(
                scope["path"],
                416,
                f"the file has {self._size} bytes",
                headers={"Content-Range": f"bytes */{self._size}", "Accept-Ranges": "bytes"},
            )
            await refusal(scope, receive, send)
            return
        link = None
        # Scripts of a page may not go elsewhere; whoever opens or saves a file may.
        at_liberty = headers.get("sec-fetch-mode", "navigate") == "navigate"
        if self._path is None and scope["method"] == "GET" and self._size and at_liberty:
            link = await to_thread.run_sync(self._blob.store.link, self._blob.sha256)
        if link is not None:
            # Only for whoever asked, and only for as long as it is good.
            moved = {**self._common, "Cache-Control": "no-store", "Location": link}
            await Response(status_code=302, headers=moved)(scope, receive, send)
            return
        if span is None:
            await self._start(send, 200, {"Content-Length": str(self._size)})
        else:
            place = f"bytes {span.start}-{span.stop - 1}/{self._size}"
            length = str(len(span))
            await self._start(send, 206, {"Content-Range": place, "Content-Length": length})
        span = span or Span(0, self._size)
        if scope["method"] == "HEAD" or not len(span):
            await send({"type": "http.response.body", "body": b""})
        elif len(span) <= WATCHED:
            await self._send(send, span)
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                await self._send(send, span)
                tasks.cancel_scope.cancel()

    def _asked(self, headers: Headers) -> Span | None:
        asked, condition = headers.get("range"), headers.get("if-range")
        if asked is None or (condition is not None and condition.strip() != self._tag):
            return None
        return parse_range(asked, self._size)

    async def _start(self, send: Send, status: int, more: Mapping[str, str]) -> None:
        given = {"Content-Type": "application/octet-stream", **self._common, **more}
        raw = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in given.items()
        ]
        await send({"type": "http.response.start", "status": status, "headers": raw})

    async def _send(self, send: Send, span: Span) -> None:
        found = (
            pieces.of_blob(self._blob, span)
            if self._path is None
            else pieces.of_file(self._path, span)
        )
        left, turn = len(span), 0
        async with aclosing(found):
            async for piece in found:
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
                turn = (turn + 1) % TURN
                if not turn:
                    await lowlevel.checkpoint()
        if left:
            raise OSError(f"blob {self._blob.sha256} is shorter than it was")


async def _until_gone(receive: Receive, sending: anyio.CancelScope) -> None:
    """Send no more once the client is gone, which the server does not say of what is sent to it."""
    while (await receive())["type"] != "http.disconnect":
        pass
    sending.cancel()
