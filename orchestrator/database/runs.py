"""Runs: requested and cancelled by whoever may, claimed and advanced under an epoch, finished once."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.contacts import NEW_MACHINES_PER_HOUR, none_left
from orchestrator.database.models import Run
from orchestrator.database.paging import Page, newest_first
from orchestrator.database.session import constraint_of
from orchestrator.domain.errors import (
    AlreadyFired,
    NotFound,
    RunCancelled,
    RunInProgress,
    RunTakenOver,
)

_REQUEST = text(
    "SELECT id FROM request_run(:instance_id, :requested_by, CAST(:options AS jsonb), :schedule_id, :due_at, :per_hour)"
)
_CANCEL = text("SELECT * FROM cancel_run(:run_id, :code, :message)")
_NO_DATA_FOUND = "P0002"


async def request(
    session: AsyncSession,
    instance_id: UUID,
    requested_by: str,
    options: dict[str, Any],
    *,
    schedule_id: UUID | None = None,
    due_at: Any = None,
    new_machines_per_hour: int = NEW_MACHINES_PER_HOUR,
) -> Run:
    """
    A queued run and its job, in the caller's transaction.

    Raises `NotFound` for an instance the principal does not own, `RunInProgress`, naming the run, while one is
    unfinished, and `TooManyContacts`; each leaves the transaction as it was. A schedule's run waits instead.
    """
    parameters = {
        "instance_id": instance_id,
        "requested_by": requested_by,
        "options": json.dumps(options),
        "schedule_id": schedule_id,
        "due_at": due_at,
        "per_hour": new_machines_per_hour,
    }
    while True:
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
            if run is None:
                continue  # it has ended since: nothing is in progress
            raise RunInProgress(f"It is run {run.id}.", evidence={"run_id": str(run.id)}) from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == _NO_DATA_FOUND:
                raise NotFound(f"No instance {instance_id}.") from error
            if refused := none_left(error):
                raise refused from error
            raise
        return await get(session, run_id)


async def cancel(session: AsyncSession, run_id: UUID) -> Run:
    """
    The run with the wish on record: ended, if no worker has begun it; as it is, if it has ended.

    Raises `NotFound` for a run that the principal does not own.
    """
    parameters = {"run_id": run_id, "code": RunCancelled.code, "message": str(RunCancelled())}
    statement = select(Run).from_statement(_CANCEL).execution_options(populate_existing=True)
    try:
        return (await session.exec(statement, params=parameters)).scalar_one()  # type: ignore[call-overload,no-any-return]
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _NO_DATA_FOUND:
            raise NotFound(f"No run {run_id}.") from error
        raise


async def to_be_cancelled(session: AsyncSession, run_ids: Collection[UUID]) -> set[UUID]:
    """Which of these runs somebody wants to end."""
    statement = select(Run.id).where(
        col(Run.id).in_(run_ids),
        col(Run.cancel_requested_at).is_not(None),
        col(Run.finished_at).is_(None),
    )
    return set((await session.exec(statement)).all())


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


async def owns(session: AsyncSession, run_id: UUID, epoch: int) -> bool:
    """Whether the run is unfinished and still under this epoch."""
    statement = select(Run.id).where(
        Run.id == run_id, Run.epoch == epoch, col(Run.finished_at).is_(None)
    )
    return (await session.exec(statement)).one_or_none() is not None
