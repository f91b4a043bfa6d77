"""What repositories answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zoo.hub.objects import Entry


@dataclass(frozen=True)
class CommitInfo:
    """A commit.

    Attributes:
        id: 40 hex digits.
        title: The first line of its message.
        message: The rest.
        author: Who made it.
        at: When.
        tree: Id of its root.
    """

    id: str
    title: str
    message: str
    author: str
    at: datetime
    tree: str


@dataclass(frozen=True)
class RepositoryInfo:
    """A repository.

    Attributes:
        name: `org/model`.
        private: Whether only its organisation sees it.
        created_at: When it came to be.
        updated_at: When it last changed.
        metadata: That of its model card.
        config: Classes and kind, as its config.json says them.
        tags: By which clients filter.
    """

    name: str
    private: bool
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, Any]
    config: Mapping[str, Any]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class RefInfo:
    """A branch, a tag, a version or a form, and its commit."""

    kind: str
    name: str
    target: str


@dataclass(frozen=True)
class Addition:
    """A file to be put at a path; its bytes are in the store."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Deletion:
    """A file, or a folder with all that is in it, to be taken away."""

    path: str
    folder: bool = False


Operation = Addition | Deletion


Files = Mapping[str, Entry]
