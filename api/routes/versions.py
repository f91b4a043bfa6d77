"""Versions: list, look up, publish."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from api.dependencies import Model, Org, Permitted, VersionOrLatest, Who, Zoo, permitted
from api.files import IMMUTABLE, REVALIDATE
from api.problems import documented
from api.ranges import entity_tag, tag_listed
from zoo.access import Identity
from zoo.catalogue.records import Publication, VersionDetail, VersionSummary
from zoo.errors import InvalidManifest
from zoo.manifest import Manifest
from zoo.reference import LATEST

router = APIRouter(
    prefix="/v1/models/{org}/{model}/versions",
    tags=["versions"],
    dependencies=[Depends(permitted)],
    responses=documented(401),
)

_TAG = {"ETag": {"description": "Digest of the manifest.", "schema": {"type": "string"}}}
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": _TAG},
    304: {"description": "It is the one that If-None-Match names.", "headers": _TAG},
}


class Versions(BaseModel):
    """The versions of a model, the highest first."""

    items: tuple[VersionSummary, ...]


@router.get(
    "",
    operation_id="list_versions",
    summary="Versions of a model",
    responses=documented(404, 422),
)
def list_versions(zoo: Zoo, org: Org, model: Model) -> Versions:
    """All versions, the highest first."""
    return Versions(items=zoo.versions(f"{org}/{model}"))


@router.post(
    "",
    operation_id="publish_version",
    summary="Publish a version",
    status_code=201,
    responses={
        200: {"model": Publication, "description": "The very same version was there already."},
        201: {
            "headers": {
                "Location": {
                    "description": "Address of the version.",
                    "schema": {"type": "string"},
                }
            }
        },
        **documented(400, 403, 409, 413, 422, 507),
    },
)
def publish_version(
    zoo: Zoo, who: Permitted, org: Org, model: Model, manifest: Manifest, response: Response
) -> Publication:
    """Publish a manifest whose files have all been uploaded; it never changes afterwards."""
    if manifest.name != f"{org}/{model}":
        raise InvalidManifest(
            f'name: expected "{org}/{model}", as in the address, got "{manifest.name}"',
            fix="publish at the address of the model",
        )
    publication = zoo.publish(manifest, by=who)
    response.status_code = 201 if publication.created else 200
    response.headers["Location"] = f"/v1/models/{org}/{model}/versions/{publication.version}"
    return publication


@router.get(
    "/{version}",
    operation_id="get_version",
    summary="One version",
    response_model=VersionDetail,
    responses={**_UNCHANGED, **documented(404, 422)},
)
def get_version(
    zoo: Zoo,
    who: Who,
    org: Org,
    model: Model,
    version: VersionOrLatest,
    request: Request,
    response: Response,
) -> VersionDetail | Response:
    """The manifest with its digest and the time of its publication."""
    detail = zoo.version(f"{org}/{model}", version)
    headers = _caching(detail, version, who)
    if tag_listed(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return detail


@router.get(
    "/{version}/manifest",
    operation_id="get_manifest",
    summary="The canonical manifest",
    response_model=Manifest,
    responses={**_UNCHANGED, **documented(404, 422)},
)
def get_manifest(
    zoo: Zoo, who: Who, org: Org, model: Model, version: VersionOrLatest, request: Request
) -> Response:
    """The bytes that the version's digest is taken of."""
    detail = zoo.version(f"{org}/{model}", version)
    headers = _caching(detail, version, who)
    if tag_listed(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(detail.manifest.canonical(), 200, headers, "application/json")


def _caching(detail: VersionDetail, version: str, who: Identity) -> dict[str, str]:
    # Caches that others share must not keep what one was allowed to see.
    kept = IMMUTABLE if who.anonymous else IMMUTABLE.replace("public", "private")
    return {
        "ETag": entity_tag(detail.digest.removeprefix("sha256:")),
        "Cache-Control": REVALIDATE if version == LATEST else kept,
    }
