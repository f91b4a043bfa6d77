"""What routes are given: the registry, the parts of an address, and the places of a list.

What asks no database is a coroutine: to wake a thread takes longer than all of it. Routes that are asked often
take `Secret`, and find out in their own thread who it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Hashable
from typing import Annotated, TypeVar

from anyio import to_thread
from fastapi import Depends, Path, Query, Request

from zoo.access import Identity, Role
from zoo.registry import Registry

Answer = TypeVar("Answer")


async def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


Zoo = Annotated[Registry, Depends(_registry)]
Org = Annotated[str, Path(description="Who publishes the model.", examples=["paddleocr"])]
Model = Annotated[str, Path(description="Its name there.", examples=["pp-ocrv4-rec"])]
VersionOrLatest = Annotated[
    str, Path(description="A version, or `latest`.", examples=["1.0.0", "latest"])
]
FrameworkName = Annotated[
    str, Path(description="onnx, pytorch, paddle or mindspore.", examples=["pytorch"])
]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
Cursor = Annotated[
    str | None,
    Query(max_length=600, description="`next_cursor` of the page before, of the same question."),
]


# What a browser keeps of a token once somebody has signed in on a page.
COOKIE = "polyzoo_token"
# What ModelScope's client keeps of one; before 1.38 it shows nothing else.
SESSION = "m_session_id"


def secret_of(request: Request) -> str | None:
    """The token that a request shows: as a bearer, or as the password of Basic, as git programs do.

    A browser's cookie is good for reading only, since other sites can make a browser send a form. ModelScope's
    is good for writing where no browser sends it: those say where a request that writes comes from.
    """
    session = request.cookies.get(SESSION)
    if session and not {"authorization", "origin"} & set(request.headers):
        return session
    if "authorization" not in request.headers and request.method in ("GET", "HEAD"):
        return request.cookies.get(COOKIE) or None
    scheme, _, value = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return "?"  # no token looks like this
    return None


async def shown_secret(request: Request) -> str | None:
    """The token that a request shows."""
    return secret_of(request)


Secret = Annotated[str | None, Depends(shown_secret)]


def identity(zoo: Zoo, secret: Secret) -> Identity:
    """Whoever asks."""
    return zoo.access.identify(secret)


def visitor(request: Request, zoo: Zoo) -> Identity:
    """Whoever sends a form of a page; the route must make sure that the page was ours."""
    return zoo.access.identify(secret_of(request) or request.cookies.get(COOKIE))


Who = Annotated[Identity, Depends(identity)]
Visitor = Annotated[Identity, Depends(visitor)]


def permitted(request: Request, zoo: Zoo, secret: Secret, org: Org, model: Model) -> Identity:
    """Whoever asks, once it is certain that they may read, or write, the model of the address."""
    role = Role.READ if request.method in ("GET", "HEAD") else Role.WRITE
    with zoo.access.visit(secret) as who:
        zoo.access.require(who, role, f"{org}/{model}")
    return who


async def answered(
    zoo: Registry,
    secret: str | None,
    asked: tuple[Hashable, ...],
    question: Callable[[Identity], Answer],
) -> Answer:
    """Ask the catalogue in a thread, unless it has answered the same since it last changed.

    Args:
        zoo: Whose catalogue.
        secret: The token of whoever asks.
        asked: What tells this question from all others.
        question: Asks it, or raises; only what the catalogue says decides the answer, which is never None.
    """
    # Secrets are not kept, here as elsewhere.
    key = (secret and hashlib.sha256(secret.encode(errors="surrogateescape")).digest(), *asked)
    known: Answer | None = zoo.recent.get(key)
    if known is not None:
        return known

    def ask() -> tuple[Answer, Identity]:
        with zoo.access.visit(secret) as who:
            return question(who), who

    state = zoo.recent.state()
    found, who = await to_thread.run_sync(ask)
    zoo.recent.keep(key, found, state, who.until)
    return found


def uploader(zoo: Zoo, who: Who) -> Identity:
    """Whoever asks, once it is certain that they may write somewhere."""
    zoo.access.require_anywhere(who, Role.WRITE)
    return who


Permitted = Annotated[Identity, Depends(permitted)]
Uploader = Annotated[Identity, Depends(uploader)]
