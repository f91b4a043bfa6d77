"""Large files by git LFS's batch protocol: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md.

Bytes go to an upload's address, whose name nobody can guess and which therefore needs no token: clients
send none there. What was sent before a connection broke is not written again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from api.dependencies import Who, Zoo
from api.hub.requests import Base, json_body, text
from api.routes.uploads import receive
from zoo.access import Identity, Role
from zoo.errors import InvalidReference, MissingBlobs, NotFound
from zoo.reference import parse_digest
from zoo.registry import Registry
from zoo.uploads import Writer

router = APIRouter()

MEDIA_TYPE = "application/vnd.git-lfs+json"
MOST_OBJECTS = 1000
UPLOADS = "/api/lfs/uploads"


@router.post("/{org}/{repo}.git/info/lfs/objects/batch")
async def batch(zoo: Zoo, who: Who, base: Base, org: str, repo: str, request: Request) -> Response:
    """Where to send each file, or that it is there."""
    objects = await answers(zoo, who, base, f"{org}/{repo}", await json_body(request))
    answer = {"transfer": "basic", "objects": objects, "hash_algo": "sha256"}
    return JSONResponse(answer, media_type=MEDIA_TYPE)


async def answers(
    zoo: Registry, who: Identity, base: str, name: str, fields: dict[str, Any]
) -> list[dict[str, Any]]:
    """What a batch answers for each of its objects.

    Raises:
        InvalidReference: The batch is not one.
    """
    objects = fields.get("objects")
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise InvalidReference("objects: expected a list", fix="send oid and size of each")
    if len(objects) > MOST_OBJECTS:
        raise InvalidReference(f"more than {MOST_OBJECTS} objects at once", fix="send fewer")
    upload = fields.get("operation") == "upload"
    await run_in_threadpool(zoo.access.require, who, Role.WRITE if upload else Role.READ, name)
    await run_in_threadpool(zoo.repositories.info, name, who)
    place = _upload if upload else _download
    return [await run_in_threadpool(place, zoo, who, base, name, item) for item in objects]


@router.put(UPLOADS + "/{upload_id}")
async def put(zoo: Zoo, upload_id: str, request: Request) -> Response:
    """The bytes of a file, from its beginning."""
    async with _appending(zoo, upload_id) as (writer, there):
        await receive(request, _Rest(writer, there))
    # Of the clients, ModelScope's alone reads what is said, and before 1.38 insists on it.
    said = {"Code": 200, "Message": "success", "Success": True}
    return JSONResponse(said, headers={"ETag": f'"{writer.upload.sha256}"'})


@router.post("/{org}/{repo}.git/info/lfs/verify")
async def verify(zoo: Zoo, who: Who, org: str, repo: str, request: Request) -> Response:
    """Whether a file has arrived."""
    digest = parse_digest(text(await json_body(request), "oid"))
    await run_in_threadpool(zoo.access.require, who, Role.WRITE, f"{org}/{repo}")
    if not zoo.store.keep(digest):
        raise MissingBlobs(f"sha256:{digest} has not arrived", fix="send it again")
    return JSONResponse({}, media_type=MEDIA_TYPE)


class _Rest:
    """Writes what of a whole is not there yet."""

    def __init__(self, writer: Writer, there: int) -> None:
        self._writer = writer
        self._there = there

    def write(self, piece: bytes) -> None:
        """Write a piece, or the part of it that is new."""
        known = min(self._there, len(piece))
        self._there -= known
        self._writer.write(piece[known:])


@asynccontextmanager
async def _appending(zoo: Registry, upload_id: str) -> AsyncIterator[tuple[Writer, int]]:
    there = (await run_in_threadpool(zoo.uploads.status, upload_id)).offset
    appending = zoo.uploads.append(upload_id, there)
    writer = await to_thread.run_sync(appending.__enter__)
    failure: BaseException | None = None
    try:
        yield writer, there
    except BaseException as problem:
        failure = problem
        raise
    finally:
        # Syncing, checking and unlocking must happen, even when the request is cancelled.
        with anyio.CancelScope(shield=True):
            kind = type(failure) if failure else None
            await to_thread.run_sync(appending.__exit__, kind, failure, None)
    if writer.offset != writer.upload.size:
        raise HTTPException(400, f"{writer.offset} of {writer.upload.size} bytes have arrived")


def _upload(
    zoo: Registry, who: Identity, base: str, name: str, item: dict[str, Any]
) -> dict[str, Any]:
    digest, size = parse_digest(text(item, "oid")), _size(item)
    answer: dict[str, Any] = {"oid": digest, "size": size}
    upload = zoo.uploads.create(digest, size)
    if upload is not None:
        zoo.access.note(who, "upload.begin", f"sha256:{digest}", size=size, repository=name)
        answer["actions"] = {
            "upload": {"href": f"{base}{UPLOADS}/{upload.id}", "header": {}},
            "verify": {"href": f"{base}/{name}.git/info/lfs/verify", "header": {}},
        }
    return answer


def _download(
    zoo: Registry, who: Identity, base: str, name: str, item: dict[str, Any]
) -> dict[str, Any]:
    digest = parse_digest(text(item, "oid"))
    answer: dict[str, Any] = {"oid": digest, "size": _size(item)}
    try:
        zoo.blob(digest)
        zoo.require_readable(digest, who)
    except NotFound as missing:
        return {**answer, "error": {"code": 404, "message": missing.message}}
    return {**answer, "actions": {"download": {"href": f"{base}/v1/blobs/sha256:{digest}"}}}


def _size(item: dict[str, Any]) -> int:
    size = item.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidReference("size: expected a number of bytes", fix="send it")
    return size
