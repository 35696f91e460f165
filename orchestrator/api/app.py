"""The application: a factory with a lifespan, nothing at module level."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Match

from orchestrator.api import (
    accounts,
    api_keys,
    audit,
    changes,
    connections,
    document,
    figures,
    functions,
    history,
    host_authorities,
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
from orchestrator.api.door import Door
from orchestrator.api.headers import Headers
from orchestrator.api.idempotency import REPLAYED
from orchestrator.api.paths import is_stream
from orchestrator.api.plain import PlainRequests
from orchestrator.api.rates import LEFT, POLICY, Rates
from orchestrator.api.recent import Recent
from orchestrator.api.stream import RunWatch
from orchestrator.api.surface import Given, Surface
from orchestrator.database.direct import Direct
from orchestrator.database.session import NOBODY

__all__ = ["Surface", "create_app"]

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def create_app(surface: Surface) -> FastAPI:
    """The API over `surface`; whoever made the database closes it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        direct = app.state.direct = Direct(surface.database)
        watch, fleet = RunWatch(direct), FleetWatch(surface.database)
        app.state.watch, app.state.fleet = watch, fleet
        try:
            async with watch.polling(), fleet.polling():
                yield
        finally:
            await direct.close()

    app = FastAPI(
        title="Harborx orchestrator",
        version=version("harborx-orchestrator"),
        summary="Tests GPU machines over SSH and keeps what was measured.",
        lifespan=lifespan,
        # Their pages load scripts of others, which would act with the session of whoever looks at them.
        docs_url=None,
        redoc_url=None,
        # It would look for a provider with every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.surface = surface
    app.state.listing = Recent(surface.settings.server.listing_seconds)
    app.state.authenticator = Authenticator(
        surface.database, surface.settings.auth, surface.session_secret
    )
    _surround(app, surface)
    problems.install(app)
    # 4XX: what the old front end does not know by a status of its own, a body over a megabyte for one.
    app.include_router(functions.router, responses=problems.answers(401, 404, "4XX", old=True))
    # The overview and its changes come before instances, which takes any word behind its path for an id.
    reading = (overview, changes, history, timetables, phases)
    supplying = (accounts, api_keys, sessions, profile, inventory, audit)
    for module in (
        *supplying,
        *reading,
        connections,
        host_authorities,
        instances,
        schedules,
        runs,
        figures,
    ):
        app.include_router(module.router, responses=problems.answers(401, 403, 404))
    app.include_router(listing.router, responses=problems.answers(404))

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
    document.install(app)
    return app


def _surround(app: FastAPI, surface: Surface) -> None:
    """What every request goes through, from the inside out."""
    server = surface.settings.server
    allowed = app.state.allowed = _methods_of(app)
    plain = {
        "GET /v1/runs/{}": runs.get_plain_run,
        "GET /v1/runs/{}/events": runs.follow_plain_run,
        "POST /v1/instances/{}/runs": instances.post_plain_run,
    }
    app.add_middleware(PlainRequests, operations=plain)
    app.add_middleware(Door, settings=server, allowed=allowed)
    app.add_middleware(Rates, settings=server)
    # Within all that completes an answer; Starlette's own handler would stand outside of it.
    app.add_middleware(ExceptionMiddleware, handlers={Exception: problems.fault})
    # A cookie never counts for pages of another origin: none is allowed credentials.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(server.cors_origins),
        allow_methods=list(_METHODS),
        allow_headers=["*"],
        expose_headers=["Location", "Retry-After", REPLAYED, POLICY, LEFT],
        max_age=600,
    )
    # Of JSON and the dashboard's files; event streams are left alone.
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(Headers, https=(surface.public_url or "").startswith("https://"))


def _methods_of(app: FastAPI) -> Callable[[str], list[str]]:
    """The methods that a path has; none where there is no such path."""

    def allowed(path: str) -> list[str]:
        def known(method: str) -> bool:
            scope = {"type": "http", "path": path, "method": method, "headers": []}
            return any(route.matches(scope)[0] is Match.FULL for route in app.router.routes)

        found = [method for method in _METHODS if known(method)]
        if "GET" in found and not is_stream(path):
            found.insert(1, "HEAD")
        return found

    return allowed
