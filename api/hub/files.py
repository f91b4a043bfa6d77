"""Files of revisions: what `hf_hub_download` and `from_pretrained` fetch."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.dependencies import Secret, Zoo, answered
from api.files import IMMUTABLE, REVALIDATE, file_response
from api.hub.door import unescaped
from api.hub.requests import Name, Revision
from zoo.access import Identity
from zoo.hub.objects import Entry
from zoo.hub.records import CommitInfo
from zoo.hub.refs import COMMIT
from zoo.hub.repositories import EntryNotFound
from zoo.registry import Registry

router = APIRouter()


async def revision_file(
    zoo: Registry, secret: str | None, name: str, revision: str, path: str
) -> Response:
    """A file of a revision, answered here: a client reads its headers where the bytes are.

    Raises:
        NotFound: There is no such repository, revision or file.
    """

    def question(who: Identity) -> tuple[CommitInfo, Entry]:
        commit, entry = zoo.repositories.entry(name, revision, path, who)
        if not isinstance(entry, Entry):
            raise EntryNotFound(f"{path} is a folder", details={"commit": commit.id})
        return commit, entry

    commit, entry = await answered(zoo, secret, ("entry", name, revision, path), question)
    headers = {"X-Repo-Commit": commit.id, "Access-Control-Allow-Origin": "*"}
    headers["Access-Control-Expose-Headers"] = (
        "ETag, X-Repo-Commit, X-Linked-ETag, X-Linked-Size, Content-Range, Accept-Ranges"
    )
    if entry.large:
        headers |= {"X-Linked-ETag": f'"{entry.etag}"', "X-Linked-Size": str(entry.size)}
    return await file_response(
        zoo,
        entry.sha256,
        entry.etag,
        cache_control=IMMUTABLE if COMMIT.match(revision) else REVALIDATE,
        name=path.rpartition("/")[2],
        headers=headers,
    )


@router.get("/{org}/{repo}/resolve/{revision}/{path:path}")
@router.head("/{org}/{repo}/resolve/{revision}/{path:path}")
@router.get("/{org}/{repo}/raw/{revision}/{path:path}")
@router.head("/{org}/{repo}/raw/{revision}/{path:path}")
@router.get("/api/resolve-cache/models/{org}/{repo}/{revision}/{path:path}")
@router.head("/api/resolve-cache/models/{org}/{repo}/{revision}/{path:path}")
async def resolve(zoo: Zoo, secret: Secret, name: Name, revision: Revision, path: str) -> Response:
    """The bytes of a file; with Range, a part of them."""
    return await revision_file(zoo, secret, name, revision, unescaped(path))
