"""The application: routes, errors and limits around one registry."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import problems
from api.hub.app import create_hub
from api.hub.door import Door
from api.limits import BodyLimit
from api.metrics import Metrics
from api.observe import Observe
from api.pages import catalogue, session, site, viewer
from api.pages import jobs as job_pages
from api.pages import models as model_pages
from api.pages import uploads as upload_pages
from api.pages.problems import ReadableProblems
from api.pages.security import SecurityHeaders
from api.rates import RateLimit, Rates
from api.routes import (
    artifacts,
    blobs,
    health,
    intake,
    jobs,
    models,
    unpublished,
    uploads,
    versions,
)
from zoo.jobs.jobs import Jobs
from zoo.registry import Registry

# In the order in which they are tried: what is asked for most comes first.
ROUTERS = (blobs, models, versions, artifacts, uploads, jobs, intake, unpublished, health)
# Models come last: `/org/model` is whatever nothing else is.
PAGES = (site, session, catalogue, upload_pages, job_pages, viewer, model_pages)
DESCRIPTION = """Models as native artifacts for PyTorch, PaddlePaddle, MindSpore and ONNX.

Bytes are named by their SHA-256 and never change; neither does a published version. Every error is
`application/problem+json` (RFC 9457) with a stable `code` and a `fix`."""


def create_app(registry: Registry) -> FastAPI:
    """Make the application.

    Args:
        registry: What it serves.

    Returns:
        An ASGI application.
    """
    app = FastAPI(
        title="Polyzoo",
        version=_version(),
        description=DESCRIPTION,
        # The pages of FastAPI fetch scripts from elsewhere: no use inside a closed network.
        docs_url=None,
        redoc_url=None,
    )
    app.state.registry = registry
    app.state.jobs = Jobs(registry)
    app.state.metrics = Metrics(app.state.jobs)
    app.add_middleware(BodyLimit)
    problems.install(app)
    for resource in (*ROUTERS, *PAGES):
        app.include_router(resource.router)
    rates = Rates(registry.settings.rate, registry.settings.write_rate)
    app.add_middleware(RateLimit, rates=rates, answer=problems.too_many)
    app.add_middleware(ReadableProblems)
    app.add_middleware(Door, hub=create_hub(registry, rates), public=registry.settings.public)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Observe, metrics=app.state.metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # as FastAPI's manual says
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        schema = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"]["Problem"] = schema
        app.openapi_schema = json.loads(json.dumps(document))
    return app.openapi_schema


def _version() -> str:
    try:
        return version("polyzoo")
    except PackageNotFoundError:
        return "0"
