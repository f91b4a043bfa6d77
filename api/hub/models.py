"""Repositories to look at: lists, information, trees, refs, histories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.dependencies import Secret, Who, Zoo, answered
from api.hub import wire
from api.hub.door import unescaped
from api.hub.requests import Base, Name, Revision, form_body
from zoo.access import Identity
from zoo.hub.objects import Directory, Entry
from zoo.hub.records import CommitInfo
from zoo.hub.refs import BRANCH, FORM, MAIN, TAG, VERSION
from zoo.registry import Registry

router = APIRouter(prefix="/api/models")

LARGEST_PAGE = 1000


def page_link(base: str, request: Request, page: int | str, name: str = "page") -> dict[str, str]:
    """The header that leads to a page of the same question."""
    asked = [(key, value) for key, value in request.query_params.multi_items() if key != name]
    address = f"{base}{request.scope['raw_path'].decode('latin-1')}"
    return {"Link": f'<{address}?{urlencode([*asked, (name, str(page))])}>; rel="next"'}


@router.get("")
def list_models(
    zoo: Zoo,
    who: Who,
    base: Base,
    request: Request,
    response: Response,
    search: str = "",
    author: str | None = None,
    filters: Annotated[list[str] | None, Query(alias="filter")] = None,
    pipeline_tag: str | None = None,
    sort: str = "",
    limit: Annotated[int, Query(ge=1)] = LARGEST_PAGE,
    cursor: Annotated[str | None, Query(max_length=600)] = None,
    gated: str | None = None,
    full: str = "",
) -> list[dict[str, Any]]:
    """Repositories that fit, a page at a time."""
    size = min(limit, LARGEST_PAGE)
    tags = [tag for text in filters or () for tag in text.split(",")]
    tags += [pipeline_tag] if pipeline_tag else []
    if gated is not None and wire.flagged([gated]):
        return []
    found, following = zoo.repositories.search(
        who, words=search[:200], author=author, tags=tags[:20], sort=sort, limit=size,
        cursor=cursor,
    )  # fmt: skip
    if following is not None:
        response.headers.update(page_link(base, request, following, "cursor"))
    detailed = wire.flagged([full]) if full else False
    asked = {*request.query_params.getlist("expand"), *request.query_params.getlist("expand[]")}
    answers = []
    for info in found:
        answer = wire.model_of(info)
        if detailed or asked & {"sha", "siblings"}:
            commit, files = zoo.repositories.files(info.name, MAIN, who)
            answer |= {"sha": commit.id, "siblings": wire.siblings_of(files, blobs=False)}
        if wire.flagged(request.query_params.getlist("cardData")) or "cardData" in asked:
            answer["cardData"] = dict(info.metadata)
        if wire.flagged(request.query_params.getlist("config")) or "config" in asked:
            answer["config"] = dict(info.config)
        answers.append(answer)
    return answers


@router.get("/{org}/{repo}")
@router.get("/{org}/{repo}/revision/{revision}")
async def model_info(
    zoo: Zoo, secret: Secret, name: Name, request: Request, revision: str = MAIN
) -> Response:
    """One repository at a revision, with its files."""
    wanted = unescaped(revision)
    blobs = wire.flagged(request.query_params.getlist("blobs"))

    def question(who: Identity) -> bytes:
        info, commit, files = zoo.repositories.look(name, wanted, who)
        answer = {
            **wire.model_of(info),
            "sha": commit.id,
            "cardData": dict(info.metadata),
            "config": dict(info.config),
            "siblings": wire.siblings_of(files, blobs=blobs),
            "usedStorage": sum({f.sha256: f.size for f in files.values()}.values()),
        }
        return json.dumps(answer, ensure_ascii=False).encode()

    body = await answered(zoo, secret, ("repository", name, wanted, blobs), question)
    return Response(body, media_type="application/json")


@router.get("/{org}/{repo}/tree/{revision}")
@router.get("/{org}/{repo}/tree/{revision}/{path:path}")
def list_tree(
    zoo: Zoo,
    who: Who,
    base: Base,
    name: Name,
    revision: Revision,
    request: Request,
    response: Response,
    path: str = "",
    limit: Annotated[int, Query(ge=1)] = LARGEST_PAGE,
    page: Annotated[int, Query(ge=0)] = 0,
) -> list[dict[str, Any]]:
    """What is in a folder, a page at a time."""
    query = request.query_params
    recursive = wire.flagged(query.getlist("recursive"))
    detailed = wire.flagged(query.getlist("expand"))
    commit, items = zoo.repositories.tree(
        name, revision, unescaped(path).strip("/"), who, recursive=recursive
    )
    size = min(limit, LARGEST_PAGE)
    if len(items) > (page + 1) * size:
        response.headers.update(page_link(base, request, page + 1))
    response.headers["X-Repo-Commit"] = commit.id
    shown = items[page * size : (page + 1) * size]
    return _entries(zoo, who, name, commit, shown, detailed=detailed)


def _entries(
    zoo: Registry,
    who: Identity,
    name: str,
    commit: CommitInfo,
    items: Sequence[Entry | Directory],
    *,
    detailed: bool,
) -> list[dict[str, Any]]:
    """Files and folders of a commit; with the commit that changed each last where details are asked for."""
    paths = [item.path for item in items]
    changed = zoo.repositories.changed_last(name, commit.id, paths, who) if detailed else {}
    return [wire.entry_of(item, changed.get(item.path)) for item in items]


@router.post("/{org}/{repo}/paths-info/{revision}")
async def paths_info(
    zoo: Zoo, who: Who, name: Name, revision: Revision, request: Request
) -> list[dict[str, Any]]:
    """Some paths; those that are not there are left out."""
    form = await form_body(request)
    detailed = wire.flagged(form.get("expand", ["false"]))

    def look() -> list[dict[str, Any]]:
        commit, items = zoo.repositories.tree(name, revision, "", who, recursive=True)
        known: dict[str, Entry | Directory] = {item.path: item for item in items}
        wanted = [path.strip("/") for path in form.get("paths", [])]
        shown = [known[path] for path in wanted if path in known]
        return _entries(zoo, who, name, commit, shown, detailed=detailed)

    return await run_in_threadpool(look)


@router.get("/{org}/{repo}/refs")
def list_refs(zoo: Zoo, who: Who, name: Name) -> dict[str, Any]:
    """Branches, tags, and the forms as conversions."""
    kinds: dict[str, tuple[str, str]] = {
        BRANCH: ("branches", "refs/heads/"),
        VERSION: ("tags", "refs/tags/"),
        TAG: ("tags", "refs/tags/"),
        FORM: ("converts", "refs/convert/"),
    }
    found: dict[str, Any] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    for ref in zoo.repositories.refs(name, who):
        place, prefix = kinds[ref.kind]
        answer = {"name": ref.name, "ref": prefix + ref.name, "targetCommit": ref.target}
        found[place].append(answer)
    return found


@router.get("/{org}/{repo}/commits/{revision}")
def list_commits(
    zoo: Zoo, who: Who, name: Name, revision: Revision, response: Response
) -> list[dict[str, Any]]:
    """The history of a revision, the newest first."""
    found = zoo.repositories.history(name, revision, who)
    response.headers["X-Total-Count"] = str(len(found))
    return [wire.commit_of(commit) for commit in found]


@router.get("/{org}/{repo}/lfs-files")
def list_large(zoo: Zoo, who: Who, name: Name) -> list[dict[str, Any]]:
    """The large files of all commits."""
    return [wire.large_of(*found) for found in zoo.repositories.large_files(name, who)]


@router.get("/{org}/{repo}/auth-check")
def auth_check(zoo: Zoo, who: Who, name: Name) -> dict[str, Any]:
    """Whether whoever asks may download."""
    zoo.repositories.info(name, who)
    return {}


@router.get("/{org}/{repo}/discussions")
def discussions(zoo: Zoo, who: Who, name: Name) -> dict[str, Any]:
    """There are none."""
    zoo.repositories.info(name, who)
    return {"discussions": [], "count": 0, "start": 0}
