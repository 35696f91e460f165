"""What finished runs may have left on machines: who is to clean next, and what is clean."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, text, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import Run

# A look that fails is repeated after 30 s, 1 min, 2 min ... 6 h: for about ten days.
MOST_ATTEMPTS: Final = 50
_TAKE_DUE: Final = text(
    """
    UPDATE gpu_test_runs SET
        clean_attempts = clean_attempts + 1,
        clean_due_at = CASE WHEN clean_attempts + 1 >= :most THEN NULL
            ELSE now() + least(interval '30 seconds' * power(2, least(clean_attempts, 20)), interval '6 hours') END
    WHERE id IN (
        SELECT id FROM gpu_test_runs WHERE clean_due_at <= now() AND finished_at IS NOT NULL
        ORDER BY clean_due_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING *
    """
)


def soon() -> ColumnElement[Any]:
    """When the janitor looks after a run that has just ended: whoever ended it cleans it at once."""
    return func.now() + text("interval '10 seconds'")


async def take_due(session: AsyncSession, limit: int) -> list[Run]:
    """
    Runs whose machine is to be looked after now. Taking them sets their next time, so no other worker
    takes them meanwhile, and a worker that dies leaves them to be taken again.
    """
    statement = select(Run).from_statement(_TAKE_DUE).execution_options(populate_existing=True)
    parameters = {"limit": limit, "most": MOST_ATTEMPTS}
    return list((await session.exec(statement, params=parameters)).scalars())  # type: ignore[call-overload]


async def of_instance(session: AsyncSession, instance_id: UUID, limit: int) -> list[Run]:
    """Finished runs of an instance whose folder, or even benchmark, may still be there; newest first."""
    statement = (
        select(Run)
        .where(
            Run.instance_id == instance_id,
            col(Run.finished_at).is_not(None),
            col(Run.launched_at).is_not(None),
            col(Run.cleaned_at).is_(None),
        )
        .order_by(col(Run.created_at).desc())
        .limit(limit)
    )
    return list((await session.exec(statement)).all())


async def finished_among(
    session: AsyncSession, instance_id: UUID, run_ids: Collection[UUID]
) -> list[Run]:
    """Those of `run_ids` that are finished runs of this instance: others on its machine are not ours to clean."""
    statement = select(Run).where(
        col(Run.id).in_(run_ids),
        Run.instance_id == instance_id,
        col(Run.finished_at).is_not(None),
    )
    return list((await session.exec(statement)).all())


async def mark_cleaned(session: AsyncSession, run_id: UUID) -> None:
    """The run's folder is gone from its instance."""
    statement = (
        update(Run)
        .where(col(Run.id) == run_id)
        .values(cleaned_at=func.coalesce(Run.cleaned_at, func.now()), clean_due_at=None)
    )
    await session.exec(statement)
