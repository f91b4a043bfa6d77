"""Uploads of hub clients of which nothing was made, and why."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from api.dependencies import Model, Org, Who, Zoo, permitted
from api.problems import documented
from zoo.catalogue.records import RefusedUpload

router = APIRouter(
    prefix="/v1/models/{org}/{model}/refused",
    tags=["jobs"],
    dependencies=[Depends(permitted)],
    responses=documented(401),
)


class RefusedUploads(BaseModel):
    """Uploads that were not converted; another commit or tag is looked at anew."""

    items: tuple[RefusedUpload, ...]


@router.get(
    "",
    operation_id="list_refused",
    summary="Uploads that were not converted",
    responses=documented(403, 404, 422),
)
def list_refused(zoo: Zoo, who: Who, org: Org, model: Model) -> RefusedUploads:
    """Why nothing was made of what hub clients have uploaded."""
    name = zoo.repositories.info(f"{org}/{model}", who).name
    return RefusedUploads(items=zoo.intake.refused(name))
