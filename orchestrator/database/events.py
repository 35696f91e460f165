"""Events of runs: appended under the fence, numbered without gaps, read in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database import runs
from orchestrator.database.models import Run, RunEvent


@dataclass(frozen=True)
class NewEvent:
    """An event to append: `at` is when we received it, `t` the machine's seconds since its start."""

    type: str
    body: dict[str, Any]
    at: datetime
    t: float | None = None


@dataclass(frozen=True)
class Head:
    """How far a run is."""

    last_seq: int
    finished: bool


@dataclass(frozen=True)
class Batch:
    """What one transaction adds to a run: its events, and whatever they mean for its row."""

    events: Sequence[NewEvent] = ()
    changes: dict[str, Any] = field(default_factory=dict)


async def append(session: AsyncSession, run_id: UUID, epoch: int, batch: Batch) -> Run:
    """
    Store a batch; events and changes (the offset among them) are committed together or not at all.

    Raises `RunTakenOver` when the epoch is not ours any more.
    """
    count = len(batch.events)
    run = await runs.write(
        session, run_id, epoch, **{**batch.changes, "last_seq": Run.last_seq + count}
    )
    first = run.last_seq - count + 1
    if count:
        rows = [
            {
                "run_id": run_id,
                "seq": first + index,
                "user_id": run.user_id,
                "at": event.at,
                "t": event.t,
                "type": event.type,
                "body": event.body,
            }
            for index, event in enumerate(batch.events)
        ]
        await session.exec(insert(RunEvent), params=rows)
    return run


async def after(
    session: AsyncSession, run_id: UUID, seq: int, limit: int = 500
) -> Sequence[RunEvent]:
    """Up to `limit` events with a number above `seq`, in order."""
    statement = (
        select(RunEvent)
        .where(RunEvent.run_id == run_id, RunEvent.seq > seq)
        .order_by(col(RunEvent.seq))
        .limit(limit)
    )
    return (await session.exec(statement)).all()


async def of_types(session: AsyncSession, run_id: UUID, types: Sequence[str]) -> Sequence[RunEvent]:
    """The run's events of these types, in order."""
    statement = (
        select(RunEvent)
        .where(RunEvent.run_id == run_id, col(RunEvent.type).in_(types))
        .order_by(col(RunEvent.seq))
    )
    return (await session.exec(statement)).all()


async def heads(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, Head]:
    """How far runs are, whoever owns them: for the one query that wakes all watchers of a process."""
    statement = text("SELECT id, last_seq, finished FROM run_heads(:run_ids)")
    rows = await session.exec(statement, params={"run_ids": list(run_ids)})  # type: ignore[call-overload]
    return {row.id: Head(row.last_seq, row.finished) for row in rows}
