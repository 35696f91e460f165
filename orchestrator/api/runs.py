"""Runs with their events, and results."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from orchestrator.api.auth import Authenticating, Caller, Credential, Reader, Tester
from orchestrator.api.shapes import Cursor, EventShape, Limit, PageShape, ResultShape, RunShape
from orchestrator.api.stream import RunWatch, run_events
from orchestrator.api.surface import Given, Surface
from orchestrator.database import results, runs
from orchestrator.database.models import Run
from orchestrator.domain.errors import InvalidInput, NotAllowed, NotAuthenticated
from orchestrator.runs.cancel import cancel_run

router = APIRouter(prefix="/v1", tags=["runs"])


async def _visible_run(run_id: UUID, caller: Reader, given: Given) -> Run:
    """A dependency, so that an unknown run is a 404 and not a stream that breaks."""
    async with given.database.transaction(caller.principal) as session:
        return await runs.get(session, run_id)


def _after(last_event_id: Annotated[str | None, Header()] = None, after: int = 0) -> int:
    if last_event_id is None:
        return max(0, after)
    try:
        return max(0, int(last_event_id))
    except ValueError as error:
        raise InvalidInput(
            "Last-Event-ID is the number of an event.", field="Last-Event-ID"
        ) from error


@router.get("/runs", operation_id="listRuns")
async def list_runs(
    caller: Reader,
    given: Given,
    limit: Limit = 50,
    cursor: Cursor = None,
    instance_id: UUID | None = None,
) -> PageShape[RunShape]:
    """The caller's runs, newest first."""
    async with given.database.transaction(caller.principal) as session:
        page = await runs.page(session, limit, cursor, instance_id)
    return PageShape(items=[RunShape.of(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/runs/{run_id}", operation_id="getRun")
async def get_run(run_id: UUID, caller: Reader, given: Given) -> RunShape:
    """A run: how far it is, or how it ended and why, with its result."""
    async with given.database.transaction(caller.principal) as session:
        run = await runs.get(session, run_id)
        result = await results.of_run(session, run_id)
    return RunShape.of(run, result)


@router.post("/runs/{run_id}/cancel", operation_id="cancelRun")
async def post_cancel(run_id: UUID, caller: Tester, given: Given) -> RunShape:
    """
    End a run. A queued one is `cancelled` in the answer; one at work has `cancel_requested_at` and is ended on
    its machine first; one that has ended comes back as it is, so cancelling twice or too late is no error.
    """
    return await run_shape(
        given, caller, await cancel_run(given.database, caller.principal, run_id)
    )


@router.get("/runs/{run_id}/events", operation_id="followRun", response_class=EventSourceResponse)
async def follow_run(
    run: Annotated[Run, Depends(_visible_run)],
    after: Annotated[int, Depends(_after)],
    credential: Credential,
    authenticator: Authenticating,
    given: Given,
    request: Request,
) -> AsyncIterator[ServerSentEvent]:
    """
    The run's events as they come, ended by `end`. Ids are event numbers: a reconnect with
    Last-Event-ID (or `?after=`) goes on there, on any replica. Without `end` it ends with its login.
    """

    def recognised() -> Awaitable[Caller]:
        return authenticator.caller(credential)

    watch: RunWatch = request.app.state.watch
    try:
        async for event in run_events(given.database, recognised, watch, run.id, after):
            shape = EventShape.of(event)
            yield ServerSentEvent(
                id=str(shape.seq), event=shape.type, data=shape.model_dump(mode="json")
            )
    except (NotAuthenticated, NotAllowed):
        return
    yield ServerSentEvent(event="end", data={"run_id": str(run.id)})


@router.get("/results", operation_id="listResults")
async def list_results(
    caller: Reader,
    given: Given,
    limit: Limit = 50,
    cursor: Cursor = None,
    instance_id: UUID | None = None,
) -> PageShape[ResultShape]:
    """The caller's results, newest first, each with its verdict and conditions."""
    async with given.database.transaction(caller.principal) as session:
        page = await results.page(session, limit, cursor, instance_id)
    items = [ResultShape.of(row) for row in page.rows]
    return PageShape(items=items, next_cursor=page.next_cursor)


async def run_shape(given: Surface, caller: Caller, run: Run) -> RunShape:
    """The run, with its result where it has ended with one."""
    if run.finished_at is None:
        return RunShape.of(run)
    async with given.database.transaction(caller.principal) as session:
        return RunShape.of(run, await results.of_run(session, run.id))
