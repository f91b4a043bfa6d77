"""Models: search and look up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.dependencies import Cursor, Limit, Model, Org, Secret, Zoo, answered
from api.problems import documented
from zoo.access import Identity, Role
from zoo.catalogue.listing import Sort
from zoo.catalogue.records import ModelDetail, ModelPage
from zoo.manifest import Framework, Precision, Target

router = APIRouter(prefix="/v1/models", tags=["models"], responses=documented(401))


@router.get(
    "",
    operation_id="list_models",
    summary="Search models",
    response_model=ModelPage,
    responses=documented(422),
)
async def list_models(
    zoo: Zoo,
    secret: Secret,
    q: Annotated[
        str,
        Query(
            max_length=200,
            description="Words that must all be in the name, summary, task or tags.",
            examples=["chinese ocr"],
        ),
    ] = "",
    org: Annotated[
        str | None, Query(max_length=96, description="Who publishes it.", examples=["paddleocr"])
    ] = None,
    framework: Annotated[
        Framework | None, Query(description="The latest version has an artifact for it.")
    ] = None,
    task: Annotated[str | None, Query(max_length=64, examples=["text-recognition"])] = None,
    licence: Annotated[
        str | None,
        Query(
            max_length=200,
            description="An SPDX expression, or one licence of it.",
            examples=["Apache-2.0"],
        ),
    ] = None,
    precision: Annotated[
        Precision | None, Query(description="The artifact has it; the one of `framework`, if any.")
    ] = None,
    target: Annotated[
        Target | None, Query(description="The same artifact is for this hardware.")
    ] = None,
    verified: Annotated[
        bool | None,
        Query(description="Whether such an artifact has a report that it computes what it should."),
    ] = None,
    sort: Annotated[
        Sort | None,
        Query(
            description="By name; what was published last first; or the best match of `q` first. "
            "By default relevance where there are words, else name."
        ),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Models that fit, a page at a time; none is lost or comes twice while others publish."""
    asked = {
        "q": q,
        "org": org,
        "framework": framework,
        "task": task,
        "licence": licence,
        "precision": precision,
        "target": target,
        "verified": verified,
        "sort": sort,
        "limit": limit,
        "cursor": cursor,
    }

    def question(who: Identity) -> bytes:
        return zoo.models(**asked, who=who).model_dump_json().encode()  # type: ignore[arg-type]

    body = await answered(zoo, secret, ("models", *asked.values()), question)
    return Response(body, media_type="application/json")


@router.get(
    "/{org}/{model}",
    operation_id="get_model",
    summary="One model",
    response_model=ModelDetail,
    responses=documented(404, 422),
)
async def get_model(zoo: Zoo, secret: Secret, org: Org, model: Model) -> Response:
    """What the latest version says of a model, and the names of all versions."""
    name = f"{org}/{model}"

    def question(who: Identity) -> bytes:
        zoo.access.require(who, Role.READ, name)
        return zoo.model(name).model_dump_json().encode()

    body = await answered(zoo, secret, ("model", name), question)
    return Response(body, media_type="application/json")
