"""Results: one a run, with the verdict, the instance and the inventory item in the same transaction."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import Instance, Result, Run
from orchestrator.database.paging import Page, newest_first
from orchestrator.database.session import constraint_of
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.instance_status import InstanceStatus

_SETTLE = text(
    "SELECT settle_instance(:instance_id, :status, :test_status, :tested, CAST(:facts AS jsonb))"
)
_TARGET = text("SELECT * FROM submission_target(:instance_id, :user_id)")
_SUBMIT = text(
    "SELECT * FROM apply_submission(:instance_id, :user_id, CAST(:result AS jsonb), :status,"
    " :test_status, :tested, CAST(:facts AS jsonb))"
)


async def store(session: AsyncSession, values: dict[str, Any]) -> None:
    """A run's result, in the transaction that ended it. A second one for the same run violates a constraint."""
    await session.exec(insert(Result).values(**values))


async def settle_instance(
    session: AsyncSession,
    instance_id: UUID,
    status: InstanceStatus,
    *,
    tested: bool,
    facts: dict[str, Any],
) -> None:
    """Write what a test's end means for the instance and its inventory item; for workers."""
    parameters = {
        "instance_id": instance_id,
        "status": status.status,
        "test_status": status.test_status,
        "tested": tested,
        "facts": json.dumps(facts),
    }
    await session.exec(_SETTLE, params=parameters)  # type: ignore[call-overload]


async def submission_target(
    session: AsyncSession, instance_id: UUID, user_id: UUID | None, *, only: UUID | None = None
) -> Instance:
    """
    The instance a submitted result is for; `user_id` None for the service role. Else `NotFound`, also for another one
    than `only`.
    """
    statement = select(Instance).from_statement(_TARGET)
    parameters = {"instance_id": instance_id, "user_id": user_id}
    found = (await session.exec(statement, params=parameters)).one_or_none()  # type: ignore[call-overload]
    if found is None or only not in (None, instance_id):
        raise NotFound(f"No instance {instance_id}.")
    return found[0] if not isinstance(found, Instance) else found


async def submit(
    session: AsyncSession,
    instance_id: UUID,
    user_id: UUID | None,
    result: dict[str, Any],
    status: InstanceStatus,
    *,
    tested: bool,
    facts: dict[str, Any],
) -> Result:
    """Store a submitted result and settle its instance, through the door made for it."""
    parameters = {
        "instance_id": instance_id,
        "user_id": user_id,
        "result": json.dumps(result),
        "status": status.status,
        "test_status": status.test_status,
        "tested": tested,
        "facts": json.dumps(facts),
    }
    statement = select(Result).from_statement(_SUBMIT)
    try:
        found = (await session.exec(statement, params=parameters)).one()  # type: ignore[call-overload]
    except IntegrityError as error:
        if constraint_of(error) == "gpu_test_results_raw_results_check":
            raise InvalidInput("raw_results is over 640 KiB.", field="raw_results") from error
        raise
    return found[0] if not isinstance(found, Result) else found


async def page(
    session: AsyncSession, limit: int, cursor: str | None, instance_id: UUID | None = None
) -> Page[Result]:
    statement = select(Result)
    if instance_id is not None:
        statement = statement.where(Result.gpu_instance_id == instance_id)
    return await newest_first(session, statement, Result, limit, cursor)


async def of_run(session: AsyncSession, run_id: UUID) -> Result | None:
    statement = (
        select(Result)
        .join(Run, (col(Run.id) == Result.run_id) & (col(Run.finished_at) == Result.created_at))
        .where(Run.id == run_id)
    )
    return (await session.exec(statement)).one_or_none()


async def latest(session: AsyncSession, instance_ids: list[UUID]) -> dict[UUID, Result]:
    """The newest result of each instance that has one."""
    # One look into the newest months for each: an id alone would be looked for in all of them.
    newest = aliased(
        Result,
        select(Result)
        .where(Result.gpu_instance_id == Instance.id)
        .order_by(col(Result.created_at).desc(), col(Result.id).desc())
        .limit(1)
        .lateral(),
    )
    statement = (
        select(newest)
        .select_from(Instance)
        .join(newest, true())
        .where(col(Instance.id).in_(instance_ids))
    )
    return {row.gpu_instance_id: row for row in (await session.exec(statement)).all()}
