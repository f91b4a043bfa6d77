"""Uploads of hub clients of which no version is published, and why nothing was made of some of them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request
from starlette.responses import Response

from api.dependencies import Who, Zoo
from api.pages.site import Pages, page

router = Pages()
PAGE = 30


@router.show("/uploads")
def list_uploads(
    zoo: Zoo,
    who: Who,
    request: Request,
    q: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=600)] = None,
) -> Response:
    """The uploads that fit, a page at a time."""
    words = q.strip()
    found, following = zoo.repositories.search(
        who, words=words, unpublished=True, sort="lastModified", limit=PAGE, cursor=cursor
    )
    asked = {"q": words} if words else {}
    return page(
        request,
        "uploads.html",
        who=who,
        uploads=[(info, zoo.intake.refused(info.name)) for info in found],
        words=words,
        first=urlencode(asked) if cursor else None,
        following=urlencode({**asked, "cursor": following}) if following else None,
    )
