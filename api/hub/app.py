"""The application for hub clients; one file per resource beside this one."""

from __future__ import annotations

from fastapi import FastAPI

from api.hub import commits, errors, files, lfs, models, modelscope, repos, users, xet
from zoo.registry import Registry

ROUTERS = (users, repos, commits, lfs, xet, models, modelscope, files)


def create_hub(registry: Registry) -> FastAPI:
    """Make the application.

    Args:
        registry: What it serves.
    """
    # These addresses are described by the clients that ask for them, not by our OpenAPI.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.registry = registry
    errors.install(app)
    for resource in ROUTERS:
        app.include_router(resource.router)
    return app
