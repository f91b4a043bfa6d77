"""Repositories to make, move, hide and delete; branches and tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from api.dependencies import Who, Zoo
from api.hub import errors
from api.hub.door import unescaped
from api.hub.requests import Base, Name, Revision, json_body, page_of, text
from zoo.access import Identity
from zoo.errors import Conflict, InvalidReference, NotSupported
from zoo.hub.card import problem_of
from zoo.hub.refs import BRANCH, MAIN, TAG

router = APIRouter(prefix="/api")


def named(fields: dict[str, Any], who: Identity) -> str:
    """The repository that a body names; without an organisation it is that of whoever asks."""
    if fields.get("type") not in (None, "model"):
        raise NotSupported("this hub has models only", fix="leave out repo_type")
    name = text(fields, "name")
    org = fields.get("organization") or (None if who.anonymous else who.name)
    if "/" in name:
        return name
    if not isinstance(org, str):
        raise InvalidReference(f"{name} names no organisation", fix="write it as org/model")
    return f"{org}/{name}"


def is_private(fields: dict[str, Any]) -> bool | None:
    """Whether a body asks for a private repository; None where it does not say."""
    visibility = fields.get("visibility")
    if visibility is not None:
        return bool(visibility != "public")
    private = fields.get("private")
    return None if private is None else bool(private)


@router.post("/repos/create")
async def create_repo(zoo: Zoo, who: Who, base: Base, request: Request) -> Response:
    """Make an empty repository."""
    fields = await json_body(request)
    name, private = named(fields, who), is_private(fields) or False
    return await _made(
        page_of(request, base, name), name, zoo.repositories.create, name, who, private=private
    )


@router.post("/models/{org}/{repo}/duplicate")
async def duplicate_repo(zoo: Zoo, who: Who, base: Base, name: Name, request: Request) -> Response:
    """Make a repository of what another has."""
    fields = await json_body(request)
    to, private = text(fields, "repository"), is_private(fields)
    return await _made(
        page_of(request, base, to), to, zoo.repositories.duplicate, name, to, who, private=private
    )


async def _made(
    page: str, name: str, make: Callable[..., None], *given: Any, private: bool | None
) -> Response:
    """Make a repository; clients read its address from a refusal too, where it is there already."""
    answer = {"url": page, "name": name, "id": name}
    try:
        await run_in_threadpool(make, *given, private=private)
    except Conflict as conflict:
        refused = errors.error(409, conflict.message, "Conflict")
        headers = {k: v for k, v in refused.headers.items() if k.startswith("x-error")}
        return JSONResponse({"error": conflict.message, **answer}, 409, headers)
    return JSONResponse(answer)


@router.delete("/repos/delete")
async def delete_repo(zoo: Zoo, who: Who, request: Request) -> Response:
    """Take a repository away."""
    fields = await json_body(request)
    await run_in_threadpool(zoo.repositories.delete, named(fields, who), who)
    return Response("OK", media_type="text/plain")


@router.post("/repos/move")
async def move_repo(zoo: Zoo, who: Who, request: Request) -> Response:
    """Give a repository another name."""
    fields = await json_body(request)
    old, new = text(fields, "fromRepo"), text(fields, "toRepo")
    await run_in_threadpool(zoo.repositories.move, old, new, who)
    return Response("OK", media_type="text/plain")


@router.post("/validate-yaml")
async def validate_yaml(who: Who, request: Request) -> Response:
    """Whether the metadata at the top of a model card can be read; clients ask before they send one."""
    content = text(await json_body(request), "content")
    problem = problem_of(content.replace("\r\n", "\n"))
    found = {"errors": [{"message": problem}] if problem else [], "warnings": []}
    if not problem:
        return JSONResponse(found)
    return JSONResponse(found, 400, {"X-Error-Code": "BadRequest"})


@router.put("/models/{org}/{repo}/settings")
async def update_settings(zoo: Zoo, who: Who, name: Name, request: Request) -> dict[str, Any]:
    """Hide or show a repository."""
    fields = await json_body(request)
    if fields.get("gated"):
        raise NotSupported("repositories are public or private here", fix="make it private")
    private = is_private(fields)
    if private is not None:
        await run_in_threadpool(zoo.repositories.set_private, name, private, who)
    return {"private": private}


@router.post("/models/{org}/{repo}/super-squash/{branch}")
async def squash(zoo: Zoo, who: Who, name: Name, branch: str, request: Request) -> dict[str, Any]:
    """Put one commit in the place of a history."""
    title = text(await json_body(request), "message", f"Squash {unescaped(branch)}")[:1000]
    made = await run_in_threadpool(
        zoo.repositories.squash, name, unescaped(branch), who, title=title
    )
    return {"commitId": made.id}


@router.post("/models/{org}/{repo}/branch/{branch}")
async def create_branch(
    zoo: Zoo, who: Who, name: Name, branch: str, request: Request
) -> dict[str, Any]:
    """Make a branch."""
    start = text(await json_body(request), "startingPoint", MAIN)
    await run_in_threadpool(zoo.repositories.create_branch, name, unescaped(branch), start, who)
    return {}


@router.delete("/models/{org}/{repo}/branch/{branch}")
def delete_branch(zoo: Zoo, who: Who, name: Name, branch: str) -> dict[str, Any]:
    """Take a branch away."""
    zoo.repositories.delete_ref(name, BRANCH, unescaped(branch), who)
    return {}


@router.post("/models/{org}/{repo}/tag/{revision}")
async def create_tag(
    zoo: Zoo, who: Who, name: Name, revision: Revision, request: Request
) -> dict[str, Any]:
    """Make a tag."""
    tag = text(await json_body(request), "tag")
    await run_in_threadpool(zoo.repositories.create_tag, name, tag, revision, who)
    return {}


@router.delete("/models/{org}/{repo}/tag/{tag}")
def delete_tag(zoo: Zoo, who: Who, name: Name, tag: str) -> dict[str, Any]:
    """Take a tag away."""
    zoo.repositories.delete_ref(name, TAG, unquote(unescaped(tag)), who)
    return {}
