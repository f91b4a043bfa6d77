"""The application for hub clients; one file per resource beside this one."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.hub import absent, commits, errors, files, lfs, models, modelscope, repos, users, xet
from api.rates import RateLimit, Rates
from zoo.registry import Registry

ROUTERS = (users, repos, commits, lfs, xet, models, modelscope, files, absent)


def create_hub(registry: Registry, rates: Rates) -> FastAPI:
    """Make the application.

    Args:
        registry: What it serves.
        rates: How many requests it takes.
    """
    # These addresses are described by the clients that ask for them, not by our OpenAPI.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.registry = registry
    errors.install(app)
    for resource in ROUTERS:
        for route in resource.router.routes:
            # What can be looked at can be asked for its headers; servers leave out the body.
            if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
                route.methods.add("HEAD")
        app.include_router(resource.router)
    app.add_middleware(RateLimit, rates=rates, answer=errors.too_many)
    return app
