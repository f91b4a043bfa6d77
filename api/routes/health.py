"""Whether the server is there, whether it can work, and its numbers."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.dependencies import Zoo, secret_of
from api.problems import documented
from zoo.access import EVERY_ORG, Role, refusal
from zoo.doctor import ready as look
from zoo.errors import StorageUnavailable

router = APIRouter(tags=["health"])
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Health(BaseModel):
    """The server is there."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The server can do its work."""

    status: Literal["ready"] = "ready"
    checks: dict[str, str] = Field(examples=[{"database": "ok", "disk": "ok"}])


@router.get("/healthz", operation_id="health", summary="Health", responses=documented())
async def health() -> Health:
    """Answers `ok` for as long as the server answers at all; see /readyz for the rest."""
    return Health()


@router.get("/readyz", operation_id="ready", summary="Readiness", responses=documented(503))
def ready(request: Request) -> Readiness:
    """Whether the databases answer and the disk has room: what a load balancer asks."""
    found = {finding.what: finding.result for finding in look(request.app.state.jobs)}
    if "failed" in found.values():
        bad = ", ".join(what for what, result in found.items() if result == "failed")
        raise StorageUnavailable(
            f"not ready: {bad}",
            fix="see the server's log, or run zoo doctor",
            details={"checks": found},
        )
    return Readiness(checks=dict(found))


@router.get("/metrics", include_in_schema=False)
def metrics(zoo: Zoo, request: Request) -> Response:
    """Numbers for Prometheus."""
    if zoo.settings.metrics != "open":
        who = zoo.access.identify(secret_of(request))
        if who.role(EVERY_ORG) < Role.ADMIN:
            raise refusal(who, Role.ADMIN, "every organisation")
    page = request.app.state.metrics.page()
    return Response(page, media_type=PROMETHEUS, headers={"Cache-Control": "no-store"})
