"""The same repositories as ModelScope's client asks for them: other addresses, the same calls below.

Every answer is an envelope with `Code`, `Data` and `Success`; `master` is what is called main here.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.dependencies import SESSION, Secret, Who, Zoo
from api.hub import lfs
from api.hub.commits import kept
from api.hub.door import unescaped
from api.hub.files import revision_file
from api.hub.requests import Base, Name, body, content, json_body, json_object, text
from zoo.access import Identity, Role
from zoo.errors import Conflict, InvalidReference, MissingBlobs, NotSupported, Unauthorized
from zoo.hub.objects import REGULAR_LIMIT, Entry
from zoo.hub.records import Addition, Deletion, Operation, RepositoryInfo
from zoo.hub.refs import BRANCH, MAIN, TAG, VERSION
from zoo.reference import parse_digest
from zoo.registry import Registry

router = APIRouter()

# A commit is one object here, with small files in it.
LARGEST_COMMIT = 128 << 20
PRIVATE = 1  # of Visibility


def envelope(data: Any) -> dict[str, Any]:
    """An answer."""
    return {"Code": 200, "Data": data, "Message": "success", "RequestId": "", "Success": True}


def revision_of(name: str) -> str:
    """A revision as it is called here."""
    return MAIN if name in ("", "master") else unescaped(name)


@router.post("/api/v1/login")
async def login(zoo: Zoo, base: Base, request: Request, response: Response) -> dict[str, Any]:
    """Whose token it is."""
    secret = text(await json_body(request), "AccessToken")
    who = await run_in_threadpool(zoo.access.identify, secret)
    response.set_cookie(
        SESSION, secret, httponly=True, samesite="strict", secure=base.startswith("https:")
    )
    return envelope({"AccessToken": secret, "Username": who.name, "Email": ""})


@router.get("/openapi/v1/users/me")
def me(who: Who) -> dict[str, Any]:
    """Whose token it is."""
    if who.token is None:
        raise Unauthorized("no token was sent", fix="log in with one (`zoo token create` makes it)")
    return {"success": True, "data": {"username": who.name, "email": ""}, "request_id": ""}


@router.get("/openapi/v1/models")
def list_models(
    zoo: Zoo,
    who: Who,
    owner: str | None = None,
    search: str = "",
    page_number: int = Query(1, ge=1, le=1 << 40),
    page_size: int = Query(10, ge=1, le=1000),
) -> dict[str, Any]:
    """Repositories, a page at a time."""
    found, total = _page(zoo, who, search[:200], owner, page_number, page_size)
    models = [
        {"id": info.name, "display_name": info.name, "tags": list(info.tags)} for info in found
    ]
    return {"success": True, "data": {"models": models, "total_count": total}, "request_id": ""}


@router.get("/openapi/v1/models/{org}/{repo}")
def get_model(zoo: Zoo, who: Who, name: Name) -> dict[str, Any]:
    """One repository."""
    info = zoo.repositories.info(name, who)
    org, _, model = info.name.partition("/")
    data = {
        "id": info.name,
        "owner": org,
        "name": model,
        "tags": list(info.tags),
        "private": info.private,
    }
    return {"success": True, "data": data, "request_id": ""}


@router.get("/api/v1/models/{org}/{repo}")
def get_repo(zoo: Zoo, who: Who, name: Name) -> dict[str, Any]:
    """One repository."""
    info = zoo.repositories.info(name, who)
    org, _, model = info.name.partition("/")
    visibility = PRIVATE if info.private else 5
    return envelope({"Path": org, "Name": model, "Visibility": visibility, "Tags": list(info.tags)})


@router.post("/api/v1/models")
async def create_model(zoo: Zoo, who: Who, request: Request) -> dict[str, Any]:
    """Make an empty repository, unless it is there; clients ask for it before each upload."""
    fields = await json_body(request)
    name = f"{text(fields, 'Path')}/{text(fields, 'Name')}"
    private = fields.get("Visibility") == PRIVATE

    def make() -> None:
        try:
            zoo.repositories.create(name, who, private=private)
        except Conflict:
            zoo.repositories.info(name, who)

    await run_in_threadpool(make)
    return envelope({"Path": name, "Name": name})


@router.put("/api/v1/models")
@router.put("/api/v1/models/")
async def list_repos(zoo: Zoo, who: Who, request: Request) -> dict[str, Any]:
    """Repositories of an organisation, a page at a time, as clients before 1.38 ask for them."""
    fields = await json_body(request)
    owner, size, page = (
        text(fields, "Path"),
        fields.get("PageSize", 10),
        fields.get("PageNumber", 1),
    )
    if not _within(size, 1000) or not _within(page, 1 << 40):
        raise InvalidReference("PageSize, PageNumber: expected numbers", fix="begin with page 1")
    found, total = await run_in_threadpool(_page, zoo, who, "", owner, page, size)
    models = []
    for info in found:
        org, _, model = info.name.partition("/")
        models.append({"Path": org, "Name": model, "Tags": list(info.tags)})
    return envelope({"Models": models, "TotalCount": total})


@router.put("/api/v1/models/{org}/{repo}")
async def update_model(zoo: Zoo, who: Who, name: Name, request: Request) -> dict[str, Any]:
    """Hide or show a repository."""
    visibility = (await json_body(request)).get("Visibility")
    if visibility is not None:
        private = visibility == PRIVATE
        await run_in_threadpool(zoo.repositories.set_private, name, private, who)
    return envelope({})


@router.delete("/api/v1/models/{org}/{repo}")
def delete_model(zoo: Zoo, who: Who, name: Name) -> dict[str, Any]:
    """Take a repository away."""
    zoo.repositories.delete(name, who)
    return envelope({})


@router.post("/api/v1/models/{org}/{repo}/repo/tag")
async def create_tag(zoo: Zoo, who: Who, name: Name, request: Request) -> dict[str, Any]:
    """Make a tag."""
    fields = await json_body(request)
    tag, revision = text(fields, "TagName"), revision_of(text(fields, "Ref", ""))
    await run_in_threadpool(zoo.repositories.create_tag, name, tag, revision, who)
    return envelope({"TagName": tag})


def _within(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _page(
    zoo: Registry, who: Identity, words: str, owner: str | None, page: int, size: int
) -> tuple[tuple[RepositoryInfo, ...], int]:
    """Repositories of a page, and how many there are on all of them."""
    found, _ = zoo.repositories.search(
        who, words=words, author=owner, sort="createdAt", limit=size, offset=(page - 1) * size
    )
    return found, zoo.repositories.count(who, words=words, author=owner)


@router.get("/api/v1/models/{org}/{repo}/repo/files")
def list_files(
    zoo: Zoo,
    who: Who,
    name: Name,
    revision: str = Query("master", alias="Revision"),
    recursive: str = Query("false", alias="Recursive"),
    root: str = Query("", alias="Root"),
) -> dict[str, Any]:
    """What is in a folder."""
    commit, items = zoo.repositories.tree(
        name, revision_of(revision), root.strip("/"), who, recursive=recursive.lower() == "true"
    )
    files = []
    for item in items:
        file = isinstance(item, Entry)
        files.append(
            {
                "Name": item.path.rpartition("/")[2],
                "Path": item.path,
                "Type": "blob" if file else "tree",
                "Size": item.size if isinstance(item, Entry) else 0,
                "Sha256": item.sha256 if isinstance(item, Entry) else "",
                "Id": item.oid,
                "Revision": commit.id,
                "CommittedDate": int(commit.at.timestamp()),
                "CommitMessage": commit.title,
                "CommitId": commit.id,
                "IsLFS": isinstance(item, Entry) and item.large,
                "Mode": "33188" if file else "16384",
            }
        )
    return envelope({"Files": files, "LatestCommitter": {"Id": commit.id}})


@router.get("/api/v1/models/{org}/{repo}/repo")
@router.head("/api/v1/models/{org}/{repo}/repo")
async def get_file(
    zoo: Zoo,
    secret: Secret,
    name: Name,
    path: str = Query(alias="FilePath"),
    revision: str = Query("master", alias="Revision"),
) -> Response:
    """The bytes of a file; with Range, a part of them."""
    return await revision_file(zoo, secret, name, revision_of(revision), path)


@router.get("/api/v1/models/{org}/{repo}/revisions")
def list_revisions(zoo: Zoo, who: Who, name: Name) -> dict[str, Any]:
    """Branches and tags, the newest first."""
    found: dict[str, list[dict[str, Any]]] = {"Branches": [], "Tags": []}
    for ref in zoo.repositories.refs(name, who):
        if ref.kind in (BRANCH, VERSION, TAG):
            commit = zoo.repositories.commit(name, ref.target, who)
            # Clients look here whether there is what they are asked for.
            both = (ref.kind, ref.name) == (BRANCH, MAIN)
            for shown in ("master", MAIN) if both else (ref.name,):
                row = {
                    "Revision": shown,
                    "CreatedAt": int(commit.at.timestamp()),
                    "CommitId": commit.id,
                }
                found["Branches" if ref.kind == BRANCH else "Tags"].append(row)
    for rows in found.values():
        rows.sort(key=lambda row: row["CreatedAt"], reverse=True)
    return envelope({"RevisionMap": found})


@router.post("/api/v1/repos/models/{org}/{repo}/info/lfs/objects/batch")
async def batch(zoo: Zoo, who: Who, base: Base, name: Name, request: Request) -> dict[str, Any]:
    """Where to send each file; those that are there are left out."""
    fields = await json_body(request)
    found = await lfs.answers(zoo, who, base, name, fields)
    return envelope({"objects": [item for item in found if "actions" in item]})


@router.post("/api/v1/repos/models/{org}/{repo}/commit/{revision}")
async def commit(zoo: Zoo, who: Who, name: Name, revision: str, request: Request) -> dict[str, Any]:
    """Commit files that were uploaded, or are in the body."""
    await run_in_threadpool(zoo.access.require, who, Role.WRITE, name)
    fields = json_object(await body(request, LARGEST_COMMIT))
    actions = fields.get("actions")
    if not isinstance(actions, list) or not all(isinstance(item, dict) for item in actions):
        raise InvalidReference("actions: expected a list of objects", fix="send one for each file")
    title = text(fields, "commit_message", "Commit")[:1000]

    def change() -> str:
        operations = [_operation(zoo, item) for item in actions]
        branch = revision_of(revision)
        return zoo.repositories.change(name, branch, operations, who, title=title).id

    oid = await run_in_threadpool(change)
    return envelope({"oid": oid, "commit_id": oid})


@router.delete("/api/v1/models/{org}/{repo}/file")
def delete_file(
    zoo: Zoo,
    who: Who,
    name: Name,
    path: str = Query(alias="FilePath"),
    revision: str = Query("master", alias="Revision"),
) -> dict[str, Any]:
    """Commit without a file."""
    branch, gone = revision_of(revision), Deletion(path)
    made = zoo.repositories.change(name, branch, [gone], who, title=f"Delete {path}"[:1000])
    return envelope({"oid": made.id})


def _operation(zoo: Registry, item: dict[str, Any]) -> Operation:
    path, action = text(item, "path"), text(item, "action")
    if action == "delete":
        return Deletion(path)
    if action not in ("create", "update"):
        raise NotSupported(
            f"{action} is no action that is known here", fix="create, update, delete"
        )
    if item.get("type") != "lfs":
        if len(content(item, "content")) > REGULAR_LIMIT * 4 // 3 + 4:
            raise InvalidReference(f"{path} is too large for a commit", fix="upload it (type lfs)")
        return Addition(path, kept(zoo, path, item))
    digest = parse_digest(text(item, "sha256"))
    if not zoo.store.keep(digest):
        raise MissingBlobs(f"{path}: sha256:{digest} has not been uploaded", fix="upload it first")
    return Addition(path, digest)
