"""A run as it goes: its events are polled from the database and shown until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

from orchestrator.api.shapes import RunShape
from orchestrator.cli.exit_codes import status_of_run
from orchestrator.cli.output import put_json, say
from orchestrator.cli.report import put_outcome
from orchestrator.cli.run_view import RunView
from orchestrator.cli.screen import screen_for
from orchestrator.cli.signals import stop_signals
from orchestrator.database import events, figures, instances, results, runs, workers
from orchestrator.database.models import Run, RunEvent
from orchestrator.database.session import SERVICE, Database, Principal
from orchestrator.domain.errors import DatabaseUnavailable

POLL_SECONDS: Final = 0.25
PATIENCE: Final = 80  # polls that may fail in a row
LEAVE_SECONDS: Final = 3.0
INTERRUPTED: Final = 130  # as shells have it for SIGINT
_AT_A_TIME: Final = 500


async def follow(
    database: Database, principal: Principal, run_id: UUID, after: int = 0
) -> AsyncIterator[tuple[Run, Sequence[RunEvent]]]:
    """
    The run with its events beyond number `after`, until it has ended and all were told.

    A database that is away for a moment (a restart) is waited for; then `DatabaseUnavailable`.
    """
    seq, failures = after, 0
    while True:
        try:
            async with database.transaction(principal) as session:
                # The run is read first: where it has ended, all its events are there to be read.
                run = await runs.get(session, run_id)
                new = await events.after(session, run_id, seq, _AT_A_TIME)
        except DatabaseUnavailable:
            failures += 1
            if failures > PATIENCE:
                raise
            await asyncio.sleep(POLL_SECONDS)
            continue
        failures = 0
        yield run, new
        if new:
            seq = new[-1].seq
        if len(new) == _AT_A_TIME:
            continue
        if run.finished_at is not None:
            return
        await asyncio.sleep(POLL_SECONDS)


async def show_to_the_end(
    database: Database,
    principal: Principal,
    run_id: UUID,
    *,
    as_json: bool,
    cancelling: Run | None = None,
) -> int:
    """
    Show a run until it ends, then its outcome; the exit status that stands for it.

    From its first event on, or, of a run that is being cancelled, from where it was then.
    """
    after = cancelling.last_seq if cancelling else 0
    view = RunView(phase="ending it on the machine") if cancelling else RunView()
    with screen_for(as_json, view) as screen:
        async for _, new in follow(database, principal, run_id, after):
            for event in new:
                screen.show(event)
    return await put_end(database, principal, run_id, as_json=as_json)


async def put_end(database: Database, principal: Principal, run_id: UUID, *, as_json: bool) -> int:
    """The outcome of a run that has ended; the exit status that stands for it."""
    async with database.transaction(principal) as session:
        run = await runs.get(session, run_id)
        result = await results.of_run(session, run_id)
        told = await figures.of_run(session, run_id)
        instance = await instances.get(session, run.instance_id)
    if as_json:
        put_json(RunShape.of(run, result))
    else:
        put_outcome(run, result, instance, told)
    return status_of_run(run.state, run.error_code)


async def watch(
    database: Database,
    workers_login: Database,
    principal: Principal,
    run_id: UUID,
    *,
    as_json: bool,
    cancelling: Run | None = None,
) -> int:
    """
    Say if nobody is there to work, then `show_to_the_end`; Ctrl-C ends the watching only, with 130.
    """

    async def show() -> int:
        await say_if_no_worker(workers_login)
        return await show_to_the_end(
            database, principal, run_id, as_json=as_json, cancelling=cancelling
        )

    with stop_signals() as stop:
        stopped = asyncio.create_task(stop.wait())
        shown = asyncio.create_task(show())
        await asyncio.wait({stopped, shown}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if shown.done():
            return shown.result()
        shown.cancel()
        await asyncio.wait({shown}, timeout=LEAVE_SECONDS)
    if cancelling is None:
        say(f"The run goes on. Cancel it with: harborx cancel {run_id}")
    else:
        say("It stays cancelled: whichever worker has the run ends it on the machine.")
    say(f"Watch it again with: harborx watch {run_id}")
    return INTERRUPTED


async def say_if_no_worker(database: Database) -> None:
    """`database` is the workers' login."""
    async with database.transaction(SERVICE) as session:
        if not await workers.alive(session):
            say("No worker is running; start one: harborx serve")
