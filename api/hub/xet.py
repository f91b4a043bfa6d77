"""Uploads in chunks, as stock Hugging Face clients from 1.20 on send large files."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from api.dependencies import Who, Zoo, secret_of
from api.hub import errors
from api.hub.requests import Base, Name, Revision, body
from zoo.access import Role
from zoo.errors import NotFound
from zoo.hub.xet import LARGEST_SHARD, LARGEST_XORB
from zoo.registry import Registry

router = APIRouter()

CAS = "/cas/{collection}"


@router.get("/api/models/{org}/{repo}/xet-write-token/{revision}")
def write_token(zoo: Zoo, who: Who, base: Base, name: Name, revision: Revision) -> Response:
    """Where to send chunks, and a token for it."""
    zoo.access.require(who, Role.WRITE, name)
    zoo.repositories.commit(name, revision, who)
    zoo.access.note(who, "upload.begin", name, protocol="xet")
    collection = zoo.xet.collection(name.partition("/")[0])
    token, until = zoo.xet.token(collection)
    cas = f"{base}/cas/{collection}"
    headers = {
        "X-Xet-Cas-Url": cas,
        "X-Xet-Access-Token": token,
        "X-Xet-Token-Expiration": str(until),
    }
    return JSONResponse({"casUrl": cas, "accessToken": token, "exp": until}, headers=headers)


@router.post(CAS + "/v1/xorbs/{kind}/{xorb}")
async def put_xorb(zoo: Zoo, collection: str, xorb: str, request: Request) -> dict[str, Any]:
    """A xorb."""
    _admit(zoo, collection, request)
    content = await body(request, LARGEST_XORB + (8 << 20))
    return {"was_inserted": await run_in_threadpool(zoo.xet.put_xorb, collection, xorb, content)}


@router.post(CAS + "/v1/shards")
async def put_shard(zoo: Zoo, collection: str, request: Request) -> dict[str, Any]:
    """A shard: its files are rebuilt, checked and placed."""
    _admit(zoo, collection, request)
    content = await body(request, LARGEST_SHARD)
    await run_in_threadpool(zoo.xet.put_shard, collection, content)
    return {"result": 1}


@router.get(CAS + "/{rest:path}")
@router.post(CAS + "/{rest:path}")
@router.head(CAS + "/{rest:path}")
def unknown(rest: str) -> Response:
    """No chunk is known beforehand, and nothing is granted; clients go on without."""
    return errors.error(404, "there is no such thing here", "NotFound")


def _admit(zoo: Registry, collection: str, request: Request) -> None:
    zoo.xet.check(secret_of(request) or "", collection)
    if collection.partition("-")[0] != zoo.xet.generation:
        raise NotFound("these chunks are not kept any more", fix="ask for another token")
