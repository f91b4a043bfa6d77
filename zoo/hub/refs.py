"""Names of commits: branches and tags that users make, and those that follow from published versions."""

from __future__ import annotations

import re

from zoo.errors import InvalidReference
from zoo.manifest import FRAMEWORKS
from zoo.reference import shown

MAIN = "main"

# Kinds of refs, in the order in which a name is looked up.
BRANCH, VERSION, FORM, TAG = "branch", "version", "form", "tag"
UPLOAD = "upload"  # what hub clients put on main, without the published forms beside it
LOOKED_UP = (BRANCH, VERSION, FORM, TAG)

COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(?:/[A-Za-z0-9_][A-Za-z0-9._+-]*)*\Z")
_PREFIXES = {"refs/heads/": (BRANCH,), "refs/tags/": (VERSION, TAG), "refs/convert/": (FORM,)}


def candidates(revision: str) -> tuple[str, tuple[str, ...]]:
    """The name in a revision, and the kinds of refs that it can be."""
    for prefix, kinds in _PREFIXES.items():
        if revision.startswith(prefix):
            return revision.removeprefix(prefix), kinds
    return revision, LOOKED_UP


def require_ref_name(name: str) -> None:
    """Refuse what cannot be the name of a branch or tag.

    Raises:
        InvalidReference: It is no name, or means something else.
    """
    bad = not _NAME.match(name) or len(name) > 200 or ".." in name or name.endswith((".lock", "."))
    if bad or COMMIT.match(name) or name in (MAIN, *FRAMEWORKS) or name.startswith("refs/"):
        raise InvalidReference(
            f"{shown(name)} cannot be the name of a branch or tag",
            fix="use letters, digits, '.', '_', '+', '-' and '/'; main and the names of frameworks "
            "mean something else",
        )
