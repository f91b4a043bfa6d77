"""Our records in the shapes that Hugging Face's clients read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from zoo.hub.configuration import metadata_of
from zoo.hub.objects import Directory, Entry
from zoo.hub.records import CommitInfo, RepositoryInfo


def time_of(when: datetime) -> str:
    """A time as these clients parse it."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"


def model_of(info: RepositoryInfo) -> dict[str, Any]:
    """A repository, as lists show it."""
    found = {
        "_id": info.name,
        "id": info.name,
        "modelId": info.name,
        "author": info.name.partition("/")[0],
        "private": info.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": list(info.tags),
        "createdAt": time_of(info.created_at),
        "lastModified": time_of(info.updated_at),
    }
    said = {**metadata_of(info.config), **info.metadata}
    for key in ("pipeline_tag", "library_name"):
        if isinstance(said.get(key), str):
            found[key] = said[key]
    return found


def siblings_of(files: Mapping[str, Entry], *, blobs: bool) -> list[dict[str, Any]]:
    """The files of a revision; with `blobs`, their sizes and ids."""
    if not blobs:
        return [{"rfilename": path} for path in files]
    found = []
    for path, entry in files.items():
        item: dict[str, Any] = {"rfilename": path, "size": entry.size, "blobId": entry.oid}
        if entry.large:
            item["lfs"] = {"sha256": entry.sha256, **_large(entry)}
        found.append(item)
    return found


def entry_of(item: Entry | Directory, commit: CommitInfo | None = None) -> dict[str, Any]:
    """A file or folder of a tree, with the commit that changed it last where that is known."""
    found: dict[str, Any] = {"oid": item.oid, "path": item.path, "type": "directory", "size": 0}
    if isinstance(item, Entry):
        found |= {"type": "file", "size": item.size}
        if item.large:
            found["lfs"] = {"oid": item.sha256, **_large(item)}
    if commit is not None:
        found["lastCommit"] = {
            "id": commit.id,
            "title": commit.title,
            "date": time_of(commit.at),
        }
    return found


def commit_of(commit: CommitInfo) -> dict[str, Any]:
    """A commit of a history."""
    return {
        "id": commit.id,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author}],
        "date": time_of(commit.at),
    }


def large_of(entry: Entry, commit: CommitInfo) -> dict[str, Any]:
    """A large file, with the commit that had it first."""
    return {
        "fileOid": entry.sha256,
        "oid": entry.sha256,
        "filename": entry.path,
        "size": entry.size,
        "pushedAt": time_of(commit.at),
        "ref": None,
    }


def flagged(values: Iterable[str]) -> bool:
    """Whether a flag of a query or a form is set."""
    return any(value.lower() in ("true", "1", "") for value in values)


def _large(entry: Entry) -> dict[str, int]:
    return {"size": entry.size, "pointerSize": entry.pointer_size}
