"""Whether the server is there and can read its catalogue."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.dependencies import Zoo
from api.problems import documented

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", operation_id="health", summary="Health", responses=documented())
def health(zoo: Zoo) -> Health:
    """Answers `ok` when the catalogue can be read."""
    zoo.models(limit=1)
    return Health()
