"""Git's objects, as far as ids need them: blobs, pointers to large files, trees, commits.

Layouts: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects, and for pointers
https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md. A commit has neither time nor author here: its
id follows from its tree, its parents and its message, and is the same wherever these are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Files above this many bytes are kept by git LFS, as hub clients call it. It is the size alone that
# decides, so that the same file is the same entry everywhere.
REGULAR_LIMIT = 10_000_000
_NOBODY = "polyzoo <polyzoo@localhost> 0 +0000"


@dataclass(frozen=True)
class Entry:
    """A file in a tree.

    Attributes:
        path: From the root of the repository.
        sha256: Digest of its bytes.
        size: In bytes.
        oid: The id that git gives it, or the pointer to it: 40 hex digits.
    """

    path: str
    sha256: str
    size: int
    oid: str

    @property
    def large(self) -> bool:
        """Whether git would keep a pointer to it."""
        return self.size > REGULAR_LIMIT

    @property
    def etag(self) -> str:
        """What names its content to hub clients, who cache by it."""
        return self.sha256 if self.large else self.oid

    @property
    def pointer_size(self) -> int:
        """Bytes of the pointer to it."""
        return len(pointer(self.sha256, self.size))


@dataclass(frozen=True)
class Directory:
    """A directory in a tree, by path and id."""

    path: str
    oid: str


def pointer(sha256: str, size: int) -> bytes:
    """The file that git keeps instead of a large one."""
    version = "https://git-lfs.github.com/spec/v1"
    return f"version {version}\noid sha256:{sha256}\nsize {size}\n".encode()


def object_id(kind: str, content: bytes) -> str:
    """The id of an object of git."""
    return hashlib.sha1(
        f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False
    ).hexdigest()


def file_id(sha256: str, size: int, content: Iterable[bytes]) -> str:
    """The id that git gives a file, or the pointer to a large one.

    Args:
        sha256: Digest of the bytes.
        size: Their number.
        content: The bytes in pieces; those of large files are not asked for.
    """
    if size > REGULAR_LIMIT:
        return object_id("blob", pointer(sha256, size))
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    for piece in content:
        digest.update(piece)
    return digest.hexdigest()


def write_trees(entries: Iterable[Entry]) -> tuple[str, dict[str, str]]:
    """The trees that hold some files.

    Args:
        entries: The files; no path is both a file and a directory.

    Returns:
        The id of the root, and all trees as JSON by id: name -> `[oid]` for a directory,
        `[oid, sha256, size]` for a file.
    """
    root: dict[str, object] = {}
    for entry in entries:
        *folders, name = entry.path.split("/")
        place = root
        for folder in folders:
            place = place.setdefault(folder, {})  # type: ignore[assignment]  # a folder is a dict
        place[name] = [entry.oid, entry.sha256, entry.size]
    trees: dict[str, str] = {}
    return _write_tree(root, trees), trees


def _write_tree(folder: Mapping[str, object], trees: dict[str, str]) -> str:
    rows: dict[str, list[object]] = {}
    for name, item in folder.items():
        rows[name] = [_write_tree(item, trees)] if isinstance(item, dict) else item  # type: ignore[assignment]
    # Git sorts a directory as if its name ended in a slash.
    ordered = sorted(rows, key=lambda name: (name + "/" if len(rows[name]) == 1 else name).encode())
    content = b"".join(
        (b"40000 " if len(rows[name]) == 1 else b"100644 ")
        + name.encode()
        + b"\0"
        + bytes.fromhex(str(rows[name][0]))
        for name in ordered
    )
    oid = object_id("tree", content)
    trees[oid] = json.dumps({name: rows[name] for name in ordered}, ensure_ascii=False)
    return oid


def commit_id(tree: str, parents: Iterable[str], message: str) -> str:
    """The id of a commit.

    Args:
        tree: Id of its root.
        parents: Ids of the commits before it.
        message: Title and, after an empty line, description.
    """
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {_NOBODY}", f"committer {_NOBODY}", "", message, ""]
    return object_id("commit", "\n".join(lines).encode(errors="replace"))
