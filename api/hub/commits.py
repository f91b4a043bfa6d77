"""Commits: which files to send how, and the commit itself, a line of JSON for each operation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.dependencies import Who, Zoo
from api.hub.requests import Base, Name, Revision, content, json_body, lines, page_of, text
from zoo.access import Role
from zoo.errors import InvalidReference, MissingBlobs, NotSupported
from zoo.hub.ignored import LARGEST, Ignored
from zoo.hub.objects import REGULAR_LIMIT
from zoo.hub.records import Addition, Deletion, Operation
from zoo.reference import parse_digest
from zoo.registry import Registry

router = APIRouter(prefix="/api/models/{org}/{repo}")

# A regular file in base64, with its path.
LONGEST_LINE = REGULAR_LIMIT * 4 // 3 + (64 << 10)
MOST_OPERATIONS = 50_000
GITIGNORE = ".gitignore"


@router.post("/preupload/{revision}")
async def preupload(
    zoo: Zoo, who: Who, name: Name, revision: Revision, request: Request
) -> dict[str, Any]:
    """How to send each file; `oid` is the file that is there, so that the same one is not sent again.

    What a `.gitignore` leaves out is not sent, as with git: that of the commit, or the one that is there. Files that
    are there already are.
    """
    _no_drafts(request)
    fields = await json_body(request)
    asked, patterns = fields.get("files"), fields.get("gitIgnore")
    if not isinstance(asked, list) or not all(isinstance(item, dict) for item in asked):
        raise InvalidReference(
            "files: expected a list of objects", fix="send path and size of each"
        )

    def answer() -> list[dict[str, Any]]:
        zoo.access.require(who, Role.WRITE, name)
        _, there = zoo.repositories.files(name, revision, who)
        said = content(fields, "gitIgnore") if patterns is not None else ""
        if patterns is None and GITIGNORE in there:
            said = zoo.repositories.text_of(there[GITIGNORE], 4 * LARGEST)
        ignored = Ignored(said)
        found = []
        for item in asked:
            path, size = text(item, "path"), item.get("size")
            regular = isinstance(size, int) and size <= REGULAR_LIMIT
            mode = "regular" if regular else "lfs"
            reply: dict[str, Any] = {"path": path, "uploadMode": mode}
            reply["shouldIgnore"] = path not in there and path in ignored
            if path in there:
                reply["oid"] = there[path].etag
            found.append(reply)
        return found

    return {"files": await run_in_threadpool(answer)}


@router.post("/commit/{revision}")
async def commit(
    zoo: Zoo, who: Who, base: Base, name: Name, revision: Revision, request: Request
) -> dict[str, Any]:
    """Commit: a header, then files, pointers to uploaded files, and deletions."""
    _no_drafts(request)
    # Before anything is read of what may be long.
    await run_in_threadpool(zoo.access.require, who, Role.WRITE, name)
    await run_in_threadpool(zoo.repositories.commit, name, revision, who)
    header: dict[str, Any] = {}
    operations: list[Operation] = []
    async for line in lines(request, LONGEST_LINE):
        if not line.strip():
            continue
        key, value = _line(line)
        if key == "header":
            header = value
        else:
            operations.append(await run_in_threadpool(_operation, zoo, key, value))
        if len(operations) > MOST_OPERATIONS:
            raise InvalidReference("too many operations in a commit", fix="make several commits")
    parent = "" if header.get("parentCommit") is None else text(header, "parentCommit")
    made = await run_in_threadpool(
        zoo.repositories.change,
        name,
        revision,
        operations,
        who,
        title=text(header, "summary", "Commit")[:1000],
        message=text(header, "description", "")[:100_000],
        parent=parent.lower() or None,
    )
    return {
        "success": True,
        "commitOid": made.id,
        "commitUrl": f"{page_of(request, base, name)}/commit/{made.id}",
        "hookOutput": "",
    }


def _no_drafts(request: Request) -> None:
    if request.query_params.get("create_pr", "").lower() in ("1", "true"):
        raise NotSupported("there are no pull requests here", fix="commit to a branch of your own")


def _line(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("value"), dict):
        raise InvalidReference(
            "a line of the commit is not an object with key and value", fix="send NDJSON"
        )
    return text(found, "key"), found["value"]


def _operation(zoo: Registry, key: str, value: dict[str, Any]) -> Operation:
    path = text(value, "path")
    if key == "file":
        return Addition(path, kept(zoo, path, value))
    if key == "lfsFile":
        digest = parse_digest(text(value, "oid"))
        if not zoo.store.keep(digest):
            raise MissingBlobs(
                f"{path}: sha256:{digest} has not been uploaded", fix="upload it, then commit again"
            )
        size = value.get("size")
        if size is not None and size != zoo.store.size(digest):
            raise InvalidReference(f"{path}: the size is not that of the bytes", fix="correct it")
        return Addition(path, digest)
    if key in ("deletedFile", "deletedFolder"):
        return Deletion(path.rstrip("/"), folder=key == "deletedFolder")
    raise NotSupported(f"{key} is no operation that is known here", fix="add and delete files")


def kept(zoo: Registry, path: str, value: dict[str, Any]) -> str:
    """Put the content in an operation into the store; gives its digest.

    Raises:
        InvalidReference: It is not encoded as it says.
    """
    said, encoding = content(value, "content"), value.get("encoding", "utf-8")
    if encoding == "base64":
        try:
            data = base64.b64decode(said, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidReference(f"{path}: the content is not base64", fix="encode it") from None
    elif encoding == "utf-8":
        data = said.encode()
    else:
        raise InvalidReference(f"{path}: the encoding is not known", fix="use base64 or utf-8")
    digest = hashlib.sha256(data).hexdigest()
    zoo.store.put([data], digest)
    return digest
