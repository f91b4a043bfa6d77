"""Errors as hub clients read them: `{"error": …}`, with the code and the words in headers.

A client that sees no `X-Error-Code` takes a refusal for a broken connection; of `GatedRepo` alone the words
reach whoever downloads.
"""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from api.hub.absent import refusal
from api.problems import UNANSWERED, Unexpected
from zoo.errors import Forbidden, NotFound, ZooError
from zoo.hub.repositories import EntryNotFound, RevisionNotFound

log = logging.getLogger("polyzoo.api")


def error(status: int, message: str, code: str, **headers: str) -> JSONResponse:
    """An error as a response."""
    # What was sent may be quoted, and need not be what UTF-8 can encode.
    message = message.encode(errors="replace").decode()
    # No server sends a header with anything else.
    line = "".join(c if " " <= c <= "~" else "?" for c in " ".join(message.split()))
    given = {"X-Error-Code": code, "X-Error-Message": line, **headers}
    if status == 401:
        given["WWW-Authenticate"] = "Bearer"
    # The latter three are for ModelScope's client.
    content = {"error": message, "Code": status, "Message": message, "Success": False}
    return JSONResponse(content, status, given)


def too_many(path: str, seconds: int) -> Response:
    """The answer to a request that came too soon; clients wait and try again by themselves."""
    said = f"{path}: too many requests from this address; the next is answered in {seconds} s"
    return error(429, said, "TooManyRequests", **{"Retry-After": str(seconds)})


def install(app: FastAPI) -> None:
    """Make every error of the application one of these."""
    app.add_exception_handler(ZooError, _zoo_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Unexpected, answer=lambda path: error(500, UNANSWERED, "Internal"))


def code_of(problem: ZooError, *, writing: bool) -> tuple[int, str]:
    """The status and the code for one of our errors."""
    if isinstance(problem, EntryNotFound):
        return 404, "EntryNotFound"
    if isinstance(problem, RevisionNotFound):
        return 404, "RevisionNotFound"
    if isinstance(problem, NotFound):
        return 404, "RepoNotFound"
    if isinstance(problem, Forbidden):
        return 403, "Forbidden" if writing else "GatedRepo"
    # Clients know 400 for whatever is wrong with a request, and take 5xx for a reason to try again.
    status = 400 if problem.http in (422, 501) else problem.http
    return status, "".join(part.title() for part in problem.code.split("-"))


async def _zoo_error(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, ZooError)  # noqa: S101 - what it was installed for
    if problem.http >= 500:
        log.error("%s %s: %s", request.method, request.url.path, problem.message)
    status, code = code_of(problem, writing=request.method not in ("GET", "HEAD"))
    said = problem.public or UNANSWERED
    if not problem.public and problem.code != ZooError.code:
        said = f"{problem.message}; {problem.fix}" if problem.fix else problem.message
    commit = problem.details.get("commit")
    return error(status, said, code, **({"X-Repo-Commit": commit} if commit else {}))


async def _http_error(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)  # noqa: S101 - what it was installed for
    if problem.status_code in (404, 405):
        said, code = refusal(request.method, request.url.path, problem.status_code)
        return error(problem.status_code, said, code, **dict(problem.headers or {}))
    return error(problem.status_code, str(problem.detail), "BadRequest")


async def _invalid(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)  # noqa: S101 - what it was installed for
    first: dict[str, Any] = problem.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return error(400, f"{where}: {first['msg']}", "BadRequest")
