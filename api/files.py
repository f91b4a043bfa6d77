"""A file as a response: whole by the server's own `pathsend`, or a range of it in large pieces.

Where blobs are in a bucket, GET is answered with an address there that is good for a while. HEAD is not:
hub clients follow redirects within a host and then miss the headers that only we know.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from urllib.parse import quote

import anyio
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.problems import problem
from api.ranges import Span, Unsatisfiable, entity_tag, parse_range, tag_listed
from zoo.store import Blob

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


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
    ) -> None:
        """Prepare a response.

        Args:
            blob: The blob.
            digest: What names its content and is its entity tag: its SHA-256 in hex, or git's id.
            cache_control: How long it may be kept.
            name: What a browser should call it.
            headers: Further ones, of every answer.
        """
        self._blob = blob
        self._path = blob.store.local(blob.sha256)
        self._tag = entity_tag(digest)
        self._size = blob.size
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
        if scope["method"] == "GET" and self._size and at_liberty:
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
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
        elif self._sends_path(scope, span):
            await send({"type": "http.response.pathsend", "path": str(self._path)})
        else:
            await self._send(send, span or Span(0, self._size))

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

    def _sends_path(self, scope: Scope, span: Span | None) -> bool:
        offered = "http.response.pathsend" in scope.get("extensions", {})
        return offered and span is None and self._path is not None

    async def _send(self, send: Send, span: Span) -> None:
        pieces = self._blob.pieces(span.start, span.stop)
        try:
            left = len(span)
            while left:
                piece = await to_thread.run_sync(next, pieces, b"")
                if not piece:
                    raise OSError(f"blob {self._blob.sha256} is shorter than it was")
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": bool(left)})
            if not len(span):
                await send({"type": "http.response.body", "body": b""})
        finally:
            if isinstance(pieces, Generator):
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(pieces.close)
