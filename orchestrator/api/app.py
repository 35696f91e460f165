"""The application: a factory with a lifespan, nothing at module level."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware

from orchestrator.api import (
    accounts,
    audit,
    changes,
    connections,
    figures,
    functions,
    history,
    instances,
    inventory,
    listing,
    overview,
    pages,
    phases,
    problems,
    profile,
    runs,
    schedules,
    sessions,
    timetables,
)
from orchestrator.api.auth import Authenticator
from orchestrator.api.changes import FleetWatch
from orchestrator.api.idempotency import REPLAYED
from orchestrator.api.listing import OpenToAll
from orchestrator.api.stream import RunWatch
from orchestrator.api.surface import Given, Surface
from orchestrator.database.session import NOBODY

__all__ = ["Surface", "create_app"]

_LARGEST_BODY = 1 << 20  # bytes; the largest we take is a result with its raw figures


def create_app(surface: Surface) -> FastAPI:
    """The API over `surface`; whoever made the database closes it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watch, fleet = RunWatch(surface.database), FleetWatch(surface.database)
        app.state.watch, app.state.fleet = watch, fleet
        async with watch.polling(), fleet.polling():
            yield

    app = FastAPI(
        title="Harborx orchestrator",
        version=version("harborx-orchestrator"),
        summary="Tests GPU machines over SSH and keeps what was measured.",
        lifespan=lifespan,
        # Their pages load scripts of others, which would act with the session of whoever looks at them.
        docs_url=None,
        redoc_url=None,
        max_body_size=_LARGEST_BODY,
    )
    app.state.surface = surface
    app.state.authenticator = Authenticator(
        surface.database, surface.settings.auth, surface.session_secret
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(surface.settings.server.cors_origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Location", "Retry-After", REPLAYED],
        max_age=600,
    )
    # Of JSON and the dashboard's files; event streams are left alone.
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(OpenToAll)
    problems.install(app)
    # 4XX: what the old front end does not know by a status of its own, a body over a megabyte for one.
    old = problems.answers(400, 401, 404, "4XX", 503, old=True)
    app.include_router(functions.router, responses=old)
    # The overview and its changes come before instances, which takes any word behind its path for an id.
    reading = (overview, changes, history, timetables, phases)
    supplying = (accounts, sessions, profile, inventory, audit)
    for module in (*supplying, *reading, connections, instances, schedules, runs, figures):
        app.include_router(module.router, responses=problems.answers(400, 401, 403, 404, 422, 503))
    app.include_router(listing.router, responses=problems.answers(400, 404, 422, 503))

    @app.get("/healthz", operation_id="health", tags=["operations"])
    async def health() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", operation_id="ready", tags=["operations"], responses=problems.answers(503))
    async def ready(given: Given) -> dict[str, str]:
        """The database answers too; 503 while it does not."""
        async with given.database.transaction(NOBODY):
            return {"status": "ready"}

    pages.install(app)
    return app
