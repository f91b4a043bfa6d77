"""Resumable uploads: begin, ask how far, send the rest."""

from __future__ import annotations

import asyncio
import math
from typing import Annotated, Any, Protocol

import anyio
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.dependencies import Uploader, Zoo, uploader
from api.problems import documented
from zoo.manifest import Record, Sha256, Size
from zoo.uploads import Upload

router = APIRouter(
    prefix="/v1/uploads",
    tags=["uploads"],
    dependencies=[Depends(uploader)],
    responses=documented(401, 403),
)

BUFFER = 1 << 20  # bytes that go to the disk at once
AHEAD = 2  # buffers that may wait for it
PATIENCE = 60.0  # seconds without a byte
# What is said of bodies that do not come to their end.
RESTED = f"no byte came for {PATIENCE:.0f} seconds"
BROKEN = "the connection broke before the end of the body"

_PROGRESS = {
    "Upload-Offset": {"description": "Bytes that have arrived.", "schema": {"type": "integer"}},
    "Upload-Length": {"description": "Bytes of the whole.", "schema": {"type": "integer"}},
}
_NOT_STORED = {"Cache-Control": "no-store"}
UploadId = Annotated[
    str, Path(description="As Location says.", examples=["9f86d081884c7d659a2feaa0c55ad015"])
]


class NewUpload(Record):
    """What will be uploaded."""

    sha256: Sha256
    size: Size


class UploadState(BaseModel):
    """How far an upload is; without `id` where nothing needs to be uploaded."""

    exists: bool = Field(description="True if the blob is there already.")
    sha256: str
    size: int = Field(examples=[10857958])
    id: str | None = Field(default=None, examples=["9f86d081884c7d659a2feaa0c55ad015"])
    offset: int | None = Field(default=None, examples=[0], description="Bytes that have arrived.")


@router.post(
    "",
    operation_id="create_upload",
    summary="Begin an upload",
    status_code=201,
    responses={
        200: {"model": UploadState, "description": "The blob is there already; send nothing."},
        201: {
            "description": "Send the bytes to Location.",
            "headers": {
                "Location": {
                    "description": "Address of the upload.",
                    "schema": {"type": "string"},
                },
                **_PROGRESS,
            },
        },
        **documented(400, 413, 422, 507),
    },
)
def create_upload(zoo: Zoo, who: Uploader, wanted: NewUpload, response: Response) -> UploadState:
    """Say what will come; the digest is checked when the last byte has."""
    upload = zoo.uploads.create(wanted.sha256, wanted.size)
    if upload is None:
        response.status_code = 200
        return UploadState(exists=True, sha256=wanted.sha256, size=zoo.store.size(wanted.sha256))
    zoo.access.note(who, "upload.begin", f"sha256:{wanted.sha256}", size=wanted.size)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    response.headers.update(_progress(upload))
    return _state(upload)


@router.get(
    "/{upload_id}",
    operation_id="get_upload",
    summary="How far an upload is",
    responses={200: {"headers": _PROGRESS}, **documented(404, 422)},
)
@router.head(
    "/{upload_id}",
    operation_id="head_upload",
    summary="How far an upload is, in headers",
    responses={200: {"headers": _PROGRESS}, **documented(404, 422)},
)
def get_upload(zoo: Zoo, upload_id: UploadId, response: Response) -> UploadState:
    """The offset from which to go on."""
    upload = zoo.uploads.status(upload_id)
    response.headers.update(_progress(upload))
    return _state(upload)


@router.patch(
    "/{upload_id}",
    operation_id="append_upload",
    summary="Send bytes",
    status_code=204,
    responses={
        204: {
            "description": "They have arrived; after the last the blob is there.",
            "headers": _PROGRESS,
        },
        **documented(400, 404, 408, 409, 413, 422, 507),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The bytes from Upload-Offset on: all that are left, or some of them.",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def append_upload(
    zoo: Zoo,
    upload_id: UploadId,
    request: Request,
    upload_offset: Annotated[int, Header(ge=0, description="Where they belong.", examples=[0])],
) -> Response:
    """Add bytes. What arrived before a broken connection stays: ask for the offset and go on."""
    appending = zoo.uploads.append(upload_id, upload_offset)
    writer = await to_thread.run_sync(appending.__enter__)
    failure: BaseException | None = None
    try:
        await receive(request, writer)
    except BaseException as error:
        failure = error
        raise
    finally:
        # Syncing, checking and unlocking must happen, even when the request is cancelled.
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(
                appending.__exit__, type(failure) if failure else None, failure, None
            )
    return Response(
        status_code=204,
        headers=_headers(writer.offset, writer.upload.size),
    )


class Sink(Protocol):
    """What takes bytes as they come."""

    def write(self, piece: bytes) -> None:
        """Take some."""


async def receive(request: Request, writer: Sink) -> None:
    """Write the body of a request as it comes; what came before it breaks off is written too.

    Raises:
        HTTPException: 408 if bytes stop coming, 400 if the connection breaks.
    """
    kept: list[bytes] = []
    held = 0
    full: list[bytes] = []
    writing: asyncio.Task[None] | None = None
    try:
        with anyio.fail_after(PATIENCE) as patience:
            async for chunk in request.stream():
                kept.append(chunk)
                held += len(chunk)
                if held >= BUFFER:
                    full.append(b"".join(kept))
                    kept, held = [], 0
                    # The next bytes come while these are written.
                    if writing is not None and (writing.done() or len(full) == AHEAD):
                        # Whoever waits for the disk is not late.
                        patience.deadline = math.inf
                        await writing
                        writing = None
                    if writing is None:
                        writing = asyncio.create_task(to_thread.run_sync(_write, writer, full))
                        full = []
                patience.deadline = anyio.current_time() + PATIENCE
    except TimeoutError:
        raise HTTPException(408, RESTED) from None
    except ClientDisconnect:
        raise HTTPException(400, BROKEN) from None
    finally:
        with anyio.CancelScope(shield=True):
            if writing is not None:
                await writing
            if kept:
                full.append(b"".join(kept))
            if full:
                await to_thread.run_sync(_write, writer, full)


def _write(writer: Sink, pieces: list[bytes]) -> None:
    for piece in pieces:
        writer.write(piece)


@router.delete(
    "/{upload_id}",
    operation_id="delete_upload",
    summary="Forget an upload",
    status_code=204,
    responses={204: {"description": "It is forgotten."}, **documented(404, 409, 422)},
)
def delete_upload(zoo: Zoo, upload_id: UploadId) -> Response:
    """Drop an upload and what came of it."""
    zoo.uploads.forget(upload_id)
    return Response(status_code=204)


def _state(upload: Upload) -> UploadState:
    return UploadState(
        exists=False, id=upload.id, sha256=upload.sha256, size=upload.size, offset=upload.offset
    )


def _progress(upload: Upload) -> dict[str, Any]:
    return _headers(upload.offset, upload.size)


def _headers(offset: int, size: int) -> dict[str, str]:
    return {"Upload-Offset": str(offset), "Upload-Length": str(size), **_NOT_STORED}
