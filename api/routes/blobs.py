"""Blobs: bytes by their digest."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.dependencies import Secret, Zoo, answered
from api.files import FileResponse, file_response
from api.routes.artifacts import FILE_RESPONSES
from zoo.access import Identity
from zoo.reference import parse_digest

router = APIRouter(prefix="/v1/blobs", tags=["blobs"])


@router.get(
    "/{digest}",
    operation_id="get_blob",
    summary="A blob",
    response_class=FileResponse,
    status_code=200,
    responses=FILE_RESPONSES,
)
@router.head(
    "/{digest}",
    operation_id="head_blob",
    summary="Length of a blob",
    response_class=FileResponse,
    status_code=200,
    responses=FILE_RESPONSES,
)
async def get_blob(
    zoo: Zoo,
    secret: Secret,
    digest: Annotated[
        str,
        Path(
            description="`sha256:` and 64 hex digits.",
            examples=["sha256:48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"],
        ),
    ],
) -> FileResponse:
    """The bytes with this digest; with Range, a part of them."""
    digits = parse_digest(digest)

    def readable(who: Identity) -> bool:
        zoo.require_readable(digits, who)
        return True

    await answered(zoo, secret, ("blob", digits), readable)
    return await file_response(zoo, digits, digits)
