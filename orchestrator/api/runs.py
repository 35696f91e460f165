"""Runs with their events, and results."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent, format_sse_event

from orchestrator.api.auth import (
    Authenticating,
    Caller,
    Credential,
    Reader,
    Tester,
    caller_of,
    credential_of,
)
from orchestrator.api.plain import told
from orchestrator.api.shapes import Cursor, Limit, PageShape, ResultShape, RunShape
from orchestrator.api.stream import PING, Frame, RunWatch, run_events
from orchestrator.api.surface import Asking, Given, Surface
from orchestrator.database import results, runs, told_runs
from orchestrator.database.models import Run
from orchestrator.domain.errors import InvalidInput, NotAllowed, NotAuthenticated, NotFound
from orchestrator.runs.cancel import cancel_run

router = APIRouter(prefix="/v1", tags=["runs"])

_STREAMED: Final = {"X-Accel-Buffering": "no"}  # a proxy that gathers would tell it late


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


@router.get("/runs/{run_id}", operation_id="getRun", response_model=RunShape)
async def get_run(run_id: UUID, caller: Reader, asking: Asking) -> Response:
    """A run: how far it is, or how it ended and why, with its result."""
    text = await told_runs.run(asking, caller.principal, run_id)
    if text is None:
        raise NotFound(f"No run {run_id}.")
    return told(RunShape.read(text))


async def get_plain_run(request: Request, run_id: UUID) -> Response:
    """The same of a plain request."""
    return await get_run(run_id, await caller_of(request, "read"), request.app.state.direct)


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
    request: Request,
) -> AsyncIterator[ServerSentEvent]:
    """
    The run's events as they come, ended by `end`. Ids are event numbers: a reconnect with
    Last-Event-ID (or `?after=`) goes on there, on any replica. Without `end` it ends with its login.
    """

    watch: RunWatch = request.app.state.watch

    def recognised() -> Awaitable[Caller]:
        return authenticator.caller(credential)

    try:
        async for frames in run_events(watch, run.id, run.user_id, after, recognised):
            for frame in frames:
                yield ServerSentEvent(id=str(frame.seq), event=frame.type, raw_data=frame.data)
    except (NotAuthenticated, NotAllowed):
        return
    yield ServerSentEvent(event="end", data={"run_id": str(run.id)})


async def follow_plain_run(request: Request, run_id: UUID) -> Response | None:
    """The same of a plain request: many watchers are told the same bytes."""
    last, state = request.headers.get("last-event-id", "0"), request.app.state
    if request.url.query or not (last.isascii() and last.isdigit() and len(last) < 19):
        return None
    credential = await credential_of(request)
    caller = await caller_of(request, "read")
    if await told_runs.run(state.direct, caller.principal, run_id) is None:
        raise NotFound(f"No run {run_id}.")

    def recognised() -> Awaitable[Caller]:
        found: Awaitable[Caller] = state.authenticator.caller(credential)
        return found

    batches = run_events(state.watch, run_id, caller.user_id, int(last), recognised)
    return EventSourceResponse(_sent(batches, run_id), headers=_STREAMED)


async def _sent(batches: AsyncIterator[Sequence[Frame]], run_id: UUID) -> AsyncIterator[bytes]:
    try:
        async for frames in batches:
            yield b"".join([frame.sent for frame in frames]) or PING
    except (NotAuthenticated, NotAllowed):
        return
    yield format_sse_event(data_str=json.dumps({"run_id": str(run_id)}), event="end")


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
