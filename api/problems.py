"""Every error as `application/problem+json` (RFC 9457), and how OpenAPI describes them.

`type` ends in `code`, which is stable and meant for programs; `fix` is the next thing to do; what
else an error knows (`missing`, `offset`, `problems` ...) are further members.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo.errors import ZooError
from zoo.manifest import describe_problems

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:polyzoo:problem:"
# All that a stranger learns of a failure of ours.
UNANSWERED = "the request could not be answered"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

log = logging.getLogger("polyzoo.api")


class Problem(BaseModel):
    """What was wrong, and what to do."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[f"{TYPE_PREFIX}not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=['there is no model "paddleocr/pp-ocrv9"'])
    instance: str = Field(examples=["/v1/models/paddleocr/pp-ocrv9"])
    code: str = Field(examples=["not-found"])
    fix: str = Field(examples=["search for it; names are org/model"])


# What the errors of HTTP itself mean here: status -> code, title, fix.
_HTTP: Mapping[int, tuple[str, str, str]] = MappingProxyType(
    {
        400: ("bad-request", "The request cannot be read", "correct the request"),
        404: ("not-found", "Not found", "see /openapi.json for the addresses that there are"),
        405: ("method-not-allowed", "Not a method of this address", "use a method of `Allow`"),
        408: ("timeout", "The body stopped coming", "ask for the offset and send the rest"),
        412: ("precondition-failed", "It has changed", "fetch it again without If-Match"),
        413: ("too-large", "Too large", "send less"),
        415: ("unsupported-media-type", "Not a type of body that is read here", "send JSON"),
        416: ("range-not-satisfiable", "No such bytes", "ask for bytes within the length"),
        422: ("invalid-request", "The request is not valid", "correct the fields that are named"),
        429: ("too-many-requests", "Too many requests", "wait as long as Retry-After says"),
        503: ("storage-unavailable", "The zoo's storage does not answer", "try again in a while"),
        500: ("internal", "The zoo failed", "try again; the server's log says more"),
    }
)

# For OpenAPI: status -> when it comes, and the members of an example.
_DOCUMENTED: Mapping[int, tuple[str, dict[str, Any]]] = MappingProxyType(
    {
        400: ("The request cannot be read.", {"detail": "the body is not JSON"}),
        401: (
            "A token is needed, or the one given is not valid.",
            {
                "code": "unauthorized",
                "title": "A token is needed",
                "detail": "this zoo is for those with a token",
                "fix": "set POLYZOO_TOKEN (HF_TOKEN for hub clients)",
            },
        ),
        403: (
            "The token's role is too low.",
            {
                "code": "forbidden",
                "title": "Not allowed",
                "detail": 'this needs the role write in "org", which "alice" does not have',
                "fix": "ask whoever runs the zoo for a token with that role (`zoo token create`)",
            },
        ),
        404: ("No such thing.", {"detail": 'there is no model "paddleocr/pp-ocrv9"'}),
        408: ("The body stopped coming.", {"detail": "no byte came for 60 seconds"}),
        409: (
            "It contradicts what is there.",
            {
                "code": "conflict",
                "title": "Conflict with what is published",
                "detail": "a/b@1.0.0 is published and never changes, but differs in: summary",
                "fix": "publish the change as a new version",
                "fields": ["summary"],
            },
        ),
        412: ("If-Match names another entity tag.", {"detail": "the entity tag is another"}),
        413: ("Too many bytes.", {"detail": "the body is larger than 4194304 bytes"}),
        416: ("The range has no byte of the file.", {"detail": "the file has 10857958 bytes"}),
        422: (
            "What was sent is not valid, or names blobs that are not there.",
            {
                "code": "missing-blobs",
                "title": "Files of the manifest are missing",
                "detail": "a/b@1.0.0 names 1 files that are not in the store, first model.onnx",
                "fix": "upload them, then publish again",
                "missing": ["sha256:" + "0" * 64],
            },
        ),
        500: ("The zoo failed.", {"detail": UNANSWERED}),
        503: (
            "The zoo's database or bucket does not answer.",
            {"detail": "the zoo's database or bucket does not answer"},
        ),
        507: (
            "The disk is full.",
            {
                "code": "no-space",
                "title": "The disk is full",
                "detail": "10857958 bytes do not fit on the disk of the zoo",
                "fix": "free some space there",
            },
        ),
    }
)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for the errors that it gives; 500 and 503 always are."""
    return {status: _documentation(status) for status in (*statuses, 500, 503)}


def _documentation(status: int) -> dict[str, Any]:
    description, members = _DOCUMENTED[status]
    code, title, fix = _HTTP.get(status, ("", "", ""))
    example = {"code": code, "title": title, "fix": fix, **members, "status": status}
    example |= {"type": TYPE_PREFIX + example["code"], "instance": "/v1/models/a/b"}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }


def problem(
    instance: str,
    status: int,
    detail: str,
    *,
    code: str = "",
    title: str = "",
    fix: str = "",
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as a response; what is not given is what HTTP says of the status."""
    known = _HTTP.get(status, ("http-error", HTTPStatus(status).phrase, ""))
    name = code or known[0]
    members = {
        **(details or {}),
        "type": TYPE_PREFIX + name,
        "title": title or known[1],
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": name,
        "fix": fix or known[2],
    }
    # ASCII, because an address may hold what UTF-8 cannot encode.
    return Response(json.dumps(members), status, dict(headers or {}), MEDIA_TYPE)


def too_many(path: str, seconds: int) -> Response:
    """The answer to a request that came too soon."""
    said = f"this address has sent too many requests; the next is answered in {seconds} s"
    return problem(path, 429, said, headers={"Retry-After": str(seconds)})


def install(app: FastAPI) -> None:
    """Make every error of an application a problem."""
    app.add_exception_handler(ZooError, _zoo_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Unexpected, answer=lambda path: problem(path, 500, UNANSWERED))


async def _zoo_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ZooError)  # noqa: S101 - what it was installed for
    if error.http >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error.message)
    # What a path of the server is called is nothing for a stranger.
    detail = error.public or (error.message if error.code != ZooError.code else UNANSWERED)
    return problem(
        request.url.path,
        error.http,
        detail,
        code=error.code,
        title=error.title,
        fix=error.fix if detail == error.message else "",
        details=error.details,
        headers={"WWW-Authenticate": "Bearer"} if error.http == 401 else None,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it was installed for
    details = {
        404: f"nothing is at {request.url.path}",
        405: f"{request.method} is not a method of {request.url.path}",
    }
    said = error.detail if error.detail != HTTPStatus(error.status_code).phrase else ""
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    return problem(
        request.url.path,
        error.status_code,
        said or details.get(error.status_code, error.detail),
        headers=headers,
    )


def _methods(request: Request) -> list[str]:
    """The methods of an address: each may have a route of its own, and the framework names the first."""
    asked = [{**request.scope, "method": method} for method in METHODS]
    routes = request.app.router.routes
    return [
        scope["method"]
        for scope in asked
        if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it was installed for
    if any(item["type"] == "json_invalid" for item in error.errors()):
        return problem(request.url.path, 400, "the body is not JSON", fix="send JSON in UTF-8")
    # `body` in front of a field says nothing that the method does not.
    errors = [{**item, "loc": tuple(item["loc"])[1:]} for item in error.errors()]
    problems = describe_problems(errors)
    where = {"path": "address", "query": "query", "header": "header", "body": "body"}
    first = where.get(str(error.errors()[0]["loc"][0]), "request")
    return problem(
        request.url.path,
        422,
        "\n".join(f"{first}: {line}" for line in problems),
        details={"problems": problems},
    )


class Unexpected:
    """Answer what nobody foresaw without telling a stranger anything; the log has it all.

    Args:
        app: What answers requests.
        answer: A path -> the response, in the form of the application's other errors.
    """

    def __init__(self, app: ASGIApp, answer: Callable[[str], Response]) -> None:
        self._app, self._answer = app, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer it if that fails."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        def noted(message: Message) -> Awaitable[None]:
            nonlocal started
            started = True
            return send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            if started:
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            await self._answer(scope["path"])(scope, receive, send)
