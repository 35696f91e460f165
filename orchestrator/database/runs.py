"""Runs: requested by whoever may, claimed and advanced under an epoch, finished once."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from sqlalchemy import func, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import Run
from orchestrator.database.paging import Page, newest_first
from orchestrator.database.session import constraint_of
from orchestrator.domain.errors import AlreadyFired, NotFound, RunInProgress, RunTakenOver
from orchestrator.domain.run_states import UNFINISHED, RunState

_REQUEST = text(
    "SELECT (request_run(:instance_id, :requested_by, CAST(:options AS jsonb), :schedule_id, :due_at)).id"
)
# The lock of a run's job is its instance, so one index answers both questions.
_REQUEUE_LOST = text(
    """
    SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
        'runs', 'execute_run', 0, r.instance_id::text, NULL, jsonb_build_object('run_id', r.id), NULL
    )::procrastinate_job_to_defer_v1])
    FROM gpu_test_runs r
    WHERE r.finished_at IS NULL AND NOT EXISTS (
        SELECT FROM procrastinate_jobs j
        WHERE j.lock = r.instance_id::text AND j.task_name = 'execute_run'
          AND j.status IN ('todo', 'doing') AND j.args ->> 'run_id' = r.id::text)
    """
)
_NO_DATA_FOUND = "P0002"


async def request(
    session: AsyncSession,
    instance_id: UUID,
    requested_by: str,
    options: dict[str, Any],
    *,
    schedule_id: UUID | None = None,
    due_at: Any = None,
) -> Run:
    """
    A queued run and its job, in the caller's transaction.

    Raises `NotFound` for an instance the principal does not own and `RunInProgress`, naming the run, while
    one is unfinished; either leaves the transaction as it was.
    """
    parameters = {
        "instance_id": instance_id,
        "requested_by": requested_by,
        "options": json.dumps(options),
        "schedule_id": schedule_id,
        "due_at": due_at,
    }
    try:
        async with session.begin_nested():
            run_id = (await session.exec(_REQUEST, params=parameters)).scalar_one()  # type: ignore[call-overload]
    except IntegrityError as error:
        violated = constraint_of(error)
        if violated == "gpu_test_runs_schedule_id_due_at_key":
            raise AlreadyFired() from error
        if violated != "gpu_test_runs_one_unfinished":
            raise
        run = await unfinished(session, instance_id)
        evidence = {"run_id": str(run.id)} if run else {}
        raise RunInProgress(f"It is run {run.id}." if run else "", evidence=evidence) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _NO_DATA_FOUND:
            raise NotFound(f"No instance {instance_id}.") from error
        raise
    return await get(session, run_id)


async def get(session: AsyncSession, run_id: UUID) -> Run:
    """The run, if the session's principal may see it; else `NotFound`."""
    statement = select(Run).where(Run.id == run_id).execution_options(populate_existing=True)
    found = (await session.exec(statement)).one_or_none()
    if found is None:
        raise NotFound(f"No run {run_id}.")
    return found


async def unfinished(session: AsyncSession, instance_id: UUID) -> Run | None:
    statement = select(Run).where(Run.instance_id == instance_id, col(Run.finished_at).is_(None))
    return (await session.exec(statement)).one_or_none()


async def page(
    session: AsyncSession, limit: int, cursor: str | None, instance_id: UUID | None = None
) -> Page[Run]:
    statement = select(Run)
    if instance_id is not None:
        statement = statement.where(Run.instance_id == instance_id)
    return await newest_first(session, statement, Run, limit, cursor)


async def claim(session: AsyncSession, run_id: UUID, worker: str) -> Run | None:
    """
    Own the run: its epoch is raised, so that whoever owned it before can write no more.

    None if it is finished, which is final.
    """
    statement = (
        update(Run)
        .where(col(Run.id) == run_id, col(Run.state).in_(UNFINISHED))
        .values(
            state=RunState.CONNECTING,
            epoch=Run.epoch + 1,
            attempt=Run.attempt + 1,
            worker=worker,
            claimed_at=func.now(),
        )
        .returning(Run)
        .execution_options(populate_existing=True)
    )
    return (await session.exec(statement)).scalar_one_or_none()


async def write(session: AsyncSession, run_id: UUID, epoch: int, **values: Any) -> Run:
    """
    Change a run of ours. Raises `RunTakenOver` when another worker has raised the epoch or the
    run is finished: nothing was written, and the caller must stop.
    """
    statement = (
        update(Run)
        .where(col(Run.id) == run_id, col(Run.epoch) == epoch, col(Run.finished_at).is_(None))
        .values(**values)
        .returning(Run)
        .execution_options(populate_existing=True)
    )
    row: Run | None = (await session.exec(statement)).scalar_one_or_none()
    if row is None:
        raise RunTakenOver(f"Run {run_id}, epoch {epoch}.")
    return row


async def mark_cleaned(session: AsyncSession, run_id: UUID) -> None:
    """The run's folder is gone from its instance."""
    await session.exec(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.cleaned_at).is_(None))
        .values(cleaned_at=func.now())
    )


async def requeue_lost(session: AsyncSession) -> int:
    """Give a job to every unfinished run that has none left; how many there were."""
    return len((await session.exec(_REQUEUE_LOST)).all())  # type: ignore[call-overload]


async def owns(session: AsyncSession, run_id: UUID, epoch: int) -> bool:
    """Whether the run is unfinished and still under this epoch."""
    statement = select(Run.id).where(
        Run.id == run_id, Run.epoch == epoch, col(Run.finished_at).is_(None)
    )
    return (await session.exec(statement)).one_or_none() is not None


async def uncleaned(session: AsyncSession, instance_id: UUID, limit: int) -> list[Run]:
    """Finished runs of an instance whose folder, or even benchmark, may still be there; newest first."""
    statement = (
        select(Run)
        .where(
            Run.instance_id == instance_id,
            col(Run.finished_at).is_not(None),
            col(Run.started_at).is_not(None),
            col(Run.cleaned_at).is_(None),
        )
        .order_by(col(Run.created_at).desc())
        .limit(limit)
    )
    return list((await session.exec(statement)).all())
