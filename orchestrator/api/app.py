"""The application: a factory with a lifespan, nothing at module level."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from orchestrator.api import accounts, figures, functions, instances, problems, runs
from orchestrator.api.auth import Authenticator
from orchestrator.api.idempotency import REPLAYED
from orchestrator.api.stream import RunWatch
from orchestrator.api.surface import Given, Surface
from orchestrator.database.session import NOBODY

__all__ = ["Surface", "create_app"]

_LARGEST_BODY = 1 << 20  # bytes; the largest we take is a result with its raw figures


def create_app(surface: Surface) -> FastAPI:
    """The API over `surface`; whoever made the database closes it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watch = RunWatch(surface.database)
        app.state.watch = watch
        async with watch.polling():
            yield

    app = FastAPI(
        title="Harborx orchestrator",
        version=version("harborx-orchestrator"),
        summary="Tests GPU machines over SSH and keeps what was measured.",
        lifespan=lifespan,
        max_body_size=_LARGEST_BODY,
    )
    app.state.surface = surface
    app.state.authenticator = Authenticator(
        surface.database, surface.settings.auth, surface.session_secret
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(surface.settings.server.cors_origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Location", "Retry-After", REPLAYED],
        max_age=600,
    )
    problems.install(app)
    # 4XX: what the old front end does not know by a status of its own, a body over a megabyte for one.
    old = problems.answers(400, 401, 404, "4XX", 503, old=True)
    app.include_router(functions.router, responses=old)
    for module in (accounts, instances, runs, figures):
        app.include_router(module.router, responses=problems.answers(400, 401, 403, 404, 422, 503))

    @app.get("/healthz", operation_id="health", tags=["operations"])
    async def health() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", operation_id="ready", tags=["operations"], responses=problems.answers(503))
    async def ready(given: Given) -> dict[str, str]:
        """The database answers too; 503 while it does not."""
        async with given.database.transaction(NOBODY):
            return {"status": "ready"}

    return app
