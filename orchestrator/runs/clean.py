"""
Leaving nothing behind. A run is cleaned by whoever ends it; what fails then is done before the instance's
next run, or by the janitor, which goes by what the database says and may look any number of times.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import structlog

from orchestrator import log
from orchestrator.database import instances, leavings
from orchestrator.database.models import Run
from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import DatabaseError, HarborxError, RunError, RunTakenOver
from orchestrator.runs.login import logged_in
from orchestrator.runs.worker import Worker
from orchestrator.ssh.clean import clean
from orchestrator.ssh.connection import Connection

logger = log.get(__name__)

_AT_A_TIME: Final = 10
_MOST_EARLIER: Final = 5
_ROUND_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 25.0


async def clean_own(run: Run, connection: Connection, worker: Worker) -> None:
    """
    End what may still run of this run, and remove its folder.

    Raises `RunError`, `RunTakenOver`, `DatabaseError`.
    """
    await _clean(run, connection, worker)


async def clean_run(run: Run, connection: Connection, worker: Worker) -> None:
    """
    End what may still run of a finished run, remove its folder, and do the same for finished runs of this
    instance that the machine names besides: a worker that was presumed dead may have launched one again.

    Raises `RunError`, `RunTakenOver`, `DatabaseError`.
    """
    others = await _clean(run, connection, worker)
    async with worker.database.transaction(SERVICE) as session:
        left = await leavings.finished_among(session, run.instance_id, others)
    for each in left:
        logger.warning("run.left_behind", left_run_id=str(each.id))
        await _clean(each, connection, worker)


async def clean_earlier(run: Run, connection: Connection, worker: Worker) -> None:
    """
    End what earlier runs may have left on this machine: a benchmark that we lost sight of would share the
    device with this one. What can't be done now is the janitor's.
    """
    async with worker.database.transaction(SERVICE) as session:
        earlier = await leavings.of_instance(session, run.instance_id, _MOST_EARLIER)
    for each in earlier:
        await try_to_clean(each, connection, worker)


async def clean_other(run: Run, other: UUID, connection: Connection, worker: Worker) -> bool:
    """Clean `other`, which the machine names, if it is a finished run of the same instance; whether it was."""
    async with worker.database.transaction(SERVICE) as session:
        found = await leavings.finished_among(session, run.instance_id, [other])
    for each in found:
        await _clean(each, connection, worker)
    return bool(found)


async def try_to_clean(run: Run, connection: Connection, worker: Worker) -> None:
    """`clean_run`, where a failure is the janitor's business. Raises `DatabaseError`."""
    try:
        await clean_run(run, connection, worker)
    except (RunError, RunTakenOver) as error:
        logger.warning("run.not_cleaned", left_run_id=str(run.id), error_code=error.code)


async def run_janitor(worker: Worker) -> None:
    """Clean what is due, for ever; each worker takes its own share."""
    while True:
        try:
            taken = await janitor_round(worker)
        except DatabaseError as error:
            logger.warning("janitor.database_away", reason=error.detail)
            taken = 0
        if taken < _AT_A_TIME:
            await asyncio.sleep(_ROUND_SECONDS)


async def janitor_round(worker: Worker) -> int:
    """Look after a few runs that are due; how many. Raises `DatabaseError`."""
    async with worker.database.transaction(SERVICE) as session:
        due = await leavings.take_due(session, _AT_A_TIME)
    await asyncio.gather(*(_look_after(run, worker) for run in due))
    return len(due)


async def _look_after(run: Run, worker: Worker) -> None:
    with structlog.contextvars.bound_contextvars(run_id=str(run.id)):
        try:
            async with worker.database.transaction(SERVICE) as session:
                instance = await instances.get(session, run.instance_id)
            # Shorter than the time after which the row is due again: nobody else looks meanwhile.
            async with (
                asyncio.timeout(_LOOK_SECONDS),
                logged_in(instance, worker, run.id) as connection,
            ):
                await clean_run(run, connection, worker)
        except (HarborxError, TimeoutError) as error:
            code = error.code if isinstance(error, HarborxError) else "timed_out"
            given_up = run.clean_due_at is None
            logger.warning("janitor.not_cleaned", error_code=code, given_up=given_up)
        else:
            logger.info("janitor.cleaned", attempts=run.clean_attempts)


async def _clean(run: Run, connection: Connection, worker: Worker) -> list[UUID]:
    others = await clean(
        connection, worker.archive, str(run.id), run.epoch, deadlines=worker.deadlines
    )
    async with worker.database.transaction(SERVICE) as session:
        await leavings.mark_cleaned(session, run.id)
    return others
