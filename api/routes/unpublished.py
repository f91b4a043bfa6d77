"""Models that hub clients have uploaded, and of which no version is published."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import Cursor, Limit, Who
from api.problems import documented
from api.routes.jobs import TheJobs
from zoo.catalogue.records import UnpublishedPage
from zoo.hub.listing import State
from zoo.jobs.uploads import unpublished

router = APIRouter(prefix="/v1/unpublished", tags=["models"], responses=documented(401))


@router.get(
    "",
    operation_id="list_unpublished",
    summary="Models without a published version",
    responses=documented(422),
)
def list_unpublished(
    jobs: TheJobs,
    who: Who,
    q: Annotated[
        str,
        Query(max_length=200, description="Words that must all be in the name or the tags."),
    ] = "",
    org: Annotated[
        str | None, Query(max_length=96, description="Who uploaded it.", examples=["acme"])
    ] = None,
    state: Annotated[
        State | None,
        Query(description="Only with an upload that waits to be looked at, or was refused."),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> UnpublishedPage:
    """What changed last first; private models of others are left out."""
    return unpublished(jobs, who, q=q, org=org, state=state, limit=limit, cursor=cursor)
