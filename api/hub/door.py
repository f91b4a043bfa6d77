"""Which requests are for hub clients, and how their addresses are read.

`HF_ENDPOINT` may have a path (`/hub`, or that of POLYZOO_PUBLIC), which is taken off here. A revision is one
segment whose slashes are escaped, so escaped slashes must survive the decoding of the address: they become
SLASH, which no name may contain, and `unescaped` turns them into slashes once segments are parted.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/hub"
SLASH = "\x1f"
_HUB = re.compile(
    r"/(?:api/|openapi/v1/|cas/|(?:datasets/|spaces/)?[^/]+/[^/]+/(?:resolve|raw)/"
    r"|[^/]+/[^/]+\.git/info/lfs/|[^/]+/[^/]+/info/refs$)"
)
# A name without an organisation, which is nothing here, but must be told so in the client's words.
_ONE = re.compile(r"/[^/]+/(?:resolve|raw)/")


class Door:
    """Sends requests of hub clients to their application, all others on."""

    def __init__(self, app: ASGIApp, hub: ASGIApp, public: str = "") -> None:
        self._app = app
        self._hub = hub
        path = urlsplit(public).path.rstrip("/")
        self._prefixes = tuple(dict.fromkeys(p for p in (path, PREFIX) if p))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        text = raw.partition(b"?")[0].decode("latin-1")
        # An organisation may have the name of a prefix, so what is whole without one has none.
        prefix = "" if _HUB.match(text) else self._prefix(text)
        path = text[len(prefix) :]
        if _HUB.match(path) or _ONE.match(path):
            kept = re.sub("%2f", quote(SLASH), path, flags=re.IGNORECASE)
            inner = {**scope, "path": unquote(kept), "raw_path": path.encode("latin-1")}
            inner["hub_prefix"] = prefix
            await _passed(self._hub, scope, inner, receive, send)
        elif prefix:
            inner = {**scope, "path": unquote(path), "raw_path": path.encode("latin-1")}
            inner["hub_prefix"] = prefix
            await _passed(self._app, scope, inner, receive, send)
        else:
            await self._app(scope, receive, send)

    def _prefix(self, path: str) -> str:
        return next((p for p in self._prefixes if path.startswith(p + "/")), "")


async def _passed(app: ASGIApp, scope: Scope, inner: Scope, receive: Receive, send: Send) -> None:
    try:
        await app(inner, receive, send)
    finally:
        # Whoever counts requests wants to know by which route they went.
        scope["route"] = inner.get("route")


def unescaped(text: str) -> str:
    """A part of an address with its escaped slashes."""
    return text.replace(SLASH, "/")
