"""What other hubs have and this one has not: a refusal in words, and empty lists where that is the answer.

Clients show a message only where the code is none that they have words of their own for (`RepoNotFound`).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response

from api.hub.requests import Base

router = APIRouter()

_MODEL = r"/api/models/[^/]+/[^/]+"
# Pattern of the address -> what there is not, what to do instead.
_ABSENT: tuple[tuple[str, str, str], ...] = (
    (rf"{_MODEL}/discussions\b", "there are no discussions and no pull requests here",
     "commit to a branch of your own"),
    (rf"{_MODEL}/lfs-files\b", "files are not taken out of a history one by one here",
     "delete them, then squash the history of each branch that had them"),
    (rf"{_MODEL}/(?:user-access-request|ask-access)\b", "nobody asks for access by request here",
     "whoever runs the zoo makes tokens (`zoo token create`)"),
    (r"/api/settings/webhooks\b", "no webhooks are kept here",
     "name one when you submit a model (`zoo push --convert --webhook`)"),
    (r"/api/(?:settings|organizations/[^/]+/settings)/repositories\b",
     "repositories are not listed by their storage here",
     "list the models of an organisation (`hf models ls --author`)"),
    (r"/api/repos/\b", "repositories are created, deleted and moved here, no more",
     "use one of these"),
    (r"(?:/api|/(?:api|openapi)/v1)?/(?:datasets|spaces|kernels|buckets|studios|skills|mcp)\b",
     "this hub has models only", "leave out the type of the repository"),
)  # fmt: skip
_TABLE = tuple((re.compile(pattern), said, fix) for pattern, said, fix in _ABSENT)
# Addresses of repositories that nothing here is called, of which clients want to hear that they are not there.
_OTHER = re.compile(r"(?:/api)?/(?:datasets|spaces|kernels)/[^/]+")
_ONE = re.compile(
    r"/[^/]+/(?:resolve|raw)/"
    r"|/api/models/[^/]+(?:/(?:auth-check|refs|settings|(?:branch|commits?|paths-info|preupload|revision|tag|tree"
    r"|xet-write-token)(?:/.*)?))?$"
)


def refusal(method: str, path: str, status: int) -> tuple[str, str]:
    """What to say of an address that is not there, or not for this method.

    Args:
        method: That of the request.
        path: The address, decoded.
        status: 404 or 405.

    Returns:
        The message and its code.
    """
    if status == 404 and _ONE.match(path):
        return "names of models are written org/model here", "RepoNotFound"
    code = "RepoNotFound" if _OTHER.match(path) else "NotSupported"
    for pattern, said, fix in _TABLE:
        if pattern.match(path):
            return f"{said}; {fix}", code
    if status == 405:
        return f"{method} is not a method of {path} here", code
    return f"nothing is at {path} here; docs/hub.md says what clients can ask for", code


@router.get("/{org}/{repo}/info/refs")
def git(base: Base, org: str, repo: str) -> Response:
    """What git asks first; it shows its user nothing but plain text."""
    name = quote(f"{org}/{repo.removesuffix('.git')}")
    said = (
        f"Models are not fetched by git here: HF_ENDPOINT={base} hf download {name} (or hf upload)"
    )
    return Response(said, 404, {"X-Error-Code": "NotSupported"}, "text/plain")


@router.get("/api/datasets")
@router.get("/api/spaces")
def list_others() -> list[dict[str, Any]]:
    """There are none."""
    return []
