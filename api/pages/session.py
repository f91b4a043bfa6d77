"""Signing in with a token: a cookie that only this site's pages send, and only its reading needs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from api.dependencies import COOKIE, Zoo
from api.hub.requests import base_of, form_body
from api.pages.site import Pages, page, require_same_origin, root_of
from zoo.errors import Unauthorized

router = Pages()


def _local(path: str) -> str:
    """A path of this site; the catalogue's where it leads elsewhere."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if safe and path.isprintable() else "/"


@router.show("/login")
def login_form(request: Request, to: Annotated[str, Query(max_length=2000)] = "/") -> Response:
    """The form for a token."""
    return page(request, "login.html", to=_local(to), refused=False)


@router.post("/login", include_in_schema=False)
async def login(zoo: Zoo, request: Request) -> Response:
    """Remember a token in this browser, if it is one."""
    require_same_origin(request)
    fields = await form_body(request)
    secret = fields.get("token", [""])[0].strip()
    to = _local(fields.get("to", ["/"])[0])
    try:
        if not secret:
            raise Unauthorized("no token was given")
        await run_in_threadpool(zoo.access.identify, secret)
    except Unauthorized:
        return page(request, "login.html", status=401, to=to, refused=True)
    root = root_of(request, zoo.settings)
    response = RedirectResponse(root + to, 303)
    response.set_cookie(
        COOKIE,
        secret,
        path=root or "/",
        httponly=True,
        samesite="strict",
        secure=base_of(request, zoo.settings).startswith("https:"),
    )
    return response


@router.post("/logout", include_in_schema=False)
def logout(zoo: Zoo, request: Request) -> Response:
    """Forget it."""
    require_same_origin(request)
    root = root_of(request, zoo.settings)
    response = RedirectResponse(root + "/", 303)
    response.delete_cookie(COOKIE, path=root or "/")
    return response
