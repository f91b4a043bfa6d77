"""Artifacts of a version and their files, for those who have only an address and curl."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from api.dependencies import (
    FrameworkName,
    Model,
    Org,
    Secret,
    VersionOrLatest,
    Zoo,
    answered,
    permitted,
)
from api.files import IMMUTABLE, REVALIDATE, FileResponse, file_response
from api.problems import documented
from zoo.access import Identity, Role
from zoo.manifest import Artifact, File
from zoo.reference import LATEST

router = APIRouter(
    prefix="/v1/models/{org}/{model}/versions/{version}/artifacts",
    tags=["artifacts"],
    responses=documented(401),
)


class FileWithUrl(File):
    """A file, and where its bytes are."""

    url: str = Field(
        description="Address of the blob, which never changes.",
        examples=[
            "/v1/blobs/sha256:48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"
        ],
    )


class ArtifactWithUrls(Artifact):
    """An artifact, and where the bytes of its files are."""

    files: tuple[FileWithUrl, ...]


class Artifacts(BaseModel):
    """The artifacts of a version."""

    items: tuple[ArtifactWithUrls, ...]


def _with_urls(artifact: Artifact) -> ArtifactWithUrls:
    fields = dict(artifact)
    fields["files"] = [
        {**dict(file), "url": f"/v1/blobs/sha256:{file.sha256}"} for file in artifact.files
    ]
    return ArtifactWithUrls.model_validate(fields)


@router.get(
    "",
    operation_id="list_artifacts",
    summary="Artifacts",
    responses=documented(404, 422),
    dependencies=[Depends(permitted)],
)
def list_artifacts(zoo: Zoo, org: Org, model: Model, version: VersionOrLatest) -> Artifacts:
    """Every artifact of a version, with the addresses of the files."""
    manifest = zoo.version(f"{org}/{model}", version).manifest
    return Artifacts(items=tuple(map(_with_urls, manifest.artifacts)))


@router.get(
    "/{framework}",
    operation_id="get_artifact",
    summary="The artifact for a framework",
    responses=documented(404, 422),
    dependencies=[Depends(permitted)],
)
def get_artifact(
    zoo: Zoo, org: Org, model: Model, version: VersionOrLatest, framework: FrameworkName
) -> ArtifactWithUrls:
    """One artifact of a version, with the addresses of its files."""
    return _with_urls(zoo.artifact(f"{org}/{model}", version, framework))


_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The whole file.",
        "content": _BYTES,
        "headers": {
            "ETag": {"description": "SHA-256 of the bytes.", "schema": {"type": "string"}},
            "Accept-Ranges": {"description": "`bytes`.", "schema": {"type": "string"}},
            "Cache-Control": {"description": "How long to keep.", "schema": {"type": "string"}},
        },
    },
    206: {
        "description": "The bytes that Range asks for.",
        "content": _BYTES,
        "headers": {
            "Content-Range": {"description": "Which they are.", "schema": {"type": "string"}}
        },
    },
    304: {"description": "If-None-Match names these bytes."},
    **documented(401, 404, 412, 416, 422),
}


@router.get(
    "/{framework}/files/{path:path}",
    operation_id="get_file",
    summary="A file of an artifact",
    response_class=FileResponse,
    status_code=200,
    responses=FILE_RESPONSES,
)
@router.head(
    "/{framework}/files/{path:path}",
    operation_id="head_file",
    summary="Length and entity tag of a file",
    response_class=FileResponse,
    status_code=200,
    responses=FILE_RESPONSES,
)
async def get_file(
    zoo: Zoo,
    secret: Secret,
    org: Org,
    model: Model,
    version: VersionOrLatest,
    framework: FrameworkName,
    path: Annotated[str, Path(description="Path of the file.", examples=["model.safetensors"])],
) -> FileResponse:
    """The bytes of a file; with Range, a part of them."""
    name = f"{org}/{model}"

    def question(who: Identity) -> File:
        zoo.access.require(who, Role.READ, name)
        return zoo.file(name, version, framework, path)

    file = await answered(zoo, secret, ("file", name, version, framework, path), question)
    return await file_response(
        zoo,
        file.sha256,
        file.sha256,
        cache_control=REVALIDATE if version == LATEST else IMMUTABLE,
        name=PurePosixPath(file.path).name,
    )
