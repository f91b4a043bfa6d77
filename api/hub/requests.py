"""What hub routes are given: names from addresses, bodies with limits, the server's own address."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import anyio
from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.dependencies import Zoo
from api.hub.door import unescaped
from api.routes.uploads import BROKEN, PATIENCE, RESTED
from zoo.errors import InvalidReference, TooLarge
from zoo.settings import Settings

LARGEST_JSON = 8 << 20  # bytes


def base_of(request: Request, settings: Settings) -> str:
    """The address that the client uses for this hub, its path included."""
    if settings.public:
        return settings.public.rstrip("/")
    host = request.headers.get("host") or "localhost"
    return f"{request.url.scheme}://{host}{request.scope.get('hub_prefix', '')}"


async def _base(request: Request, zoo: Zoo) -> str:
    return base_of(request, zoo.settings)


async def _name(org: str, repo: str) -> str:
    return f"{org}/{repo}"


async def _revision(revision: str) -> str:
    return unescaped(revision)


Base = Annotated[str, Depends(_base)]
Name = Annotated[str, Depends(_name)]
Revision = Annotated[str, Depends(_revision)]


def page_of(request: Request, base: str, name: str) -> str:
    """The address of a repository, as the client wants to read it.

    Clients before 1.0 take a path in the hub's own address for a type of repository.
    """
    old = "hf_hub/0." in request.headers.get("user-agent", "")
    return name if old and urlsplit(base).path else f"{base}/{name}"


async def body(request: Request, largest: int = LARGEST_JSON) -> bytes:
    """The body of a request.

    Raises:
        TooLarge: It is larger than this route takes.
    """
    found = bytearray()
    async for piece in _pieces(request):
        found += piece
        if len(found) > largest:
            raise TooLarge(f"the body is larger than {largest} bytes", fix="send less at once")
    return bytes(found)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """A body as it comes.

    Raises:
        HTTPException: 408 if bytes stop coming, 400 if the connection breaks.
    """
    stream = aiter(request.stream())
    while True:
        try:
            with anyio.fail_after(PATIENCE):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise HTTPException(408, RESTED) from None
        except ClientDisconnect:
            raise HTTPException(400, BROKEN) from None
        yield piece


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object in a body; an empty body is an empty object.

    Raises:
        InvalidReference: It is none.
    """
    return json_object(await body(request))


def json_object(content: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidReference: It is none.
    """
    try:
        found = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidReference("the body is not a JSON object", fix="send one")
    return found


async def form_body(request: Request) -> dict[str, list[str]]:
    """The fields of a form, or of a JSON object."""
    if request.headers.get("content-type", "").startswith("application/json"):
        found = await json_body(request)
        return {k: [str(i) for i in (v if isinstance(v, list) else [v])] for k, v in found.items()}
    return parse_qs((await body(request)).decode(errors="replace"), keep_blank_values=True)


async def lines(request: Request, longest: int) -> AsyncIterator[bytes]:
    """The lines of a body as they come.

    Raises:
        TooLarge: A line is longer than allowed.
    """
    rest = bytearray()
    async for piece in _pieces(request):
        rest += piece
        *whole, last = bytes(rest).split(b"\n") if b"\n" in piece else (rest,)
        for line in whole:
            yield line
        if whole:
            rest = bytearray(last)
        if len(rest) > longest:
            raise TooLarge(f"a line of the commit is longer than {longest} bytes", fix="use LFS")
    if rest.strip():
        yield bytes(rest)


def text(fields: dict[str, Any], key: str, default: str | None = None) -> str:
    """A text of a JSON object, which every database can keep.

    Raises:
        InvalidReference: It is not there, or no text.
    """
    found = content(fields, key, default)
    if "\0" in found:
        raise InvalidReference(f"{key}: expected a text without NUL", fix="leave it out")
    return found


def content(fields: dict[str, Any], key: str, default: str | None = None) -> str:
    """The same, with any character.

    Raises:
        InvalidReference: It is not there, or no text.
    """
    found = fields.get(key, default)
    if not isinstance(found, str) or found.encode(errors="replace").decode() != found:
        raise InvalidReference(f"{key}: expected a text", fix="send one in UTF-8")
    return found
