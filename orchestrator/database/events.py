"""Events of runs: appended under the fence, numbered without gaps, read in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ClauseElement, insert, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database import runs
from orchestrator.database.models import Run, RunEvent
from orchestrator.database.session import NOW

FENCE: Final = "r.epoch = g.epoch AND r.finished_at IS NULL"
_APPEND_ALL: Final = text(
    f"""
    WITH moved AS (
        UPDATE gpu_test_runs r
        SET last_seq = r.last_seq + g.added,
            state = coalesce(g.state, r.state),
            remote_offset = coalesce(g.remote_offset, r.remote_offset),
            next_agent_seq = coalesce(g.next_agent_seq, r.next_agent_seq),
            retries = coalesce(g.retries, r.retries),
            started_at = coalesce(g.started_at, r.started_at),
            launched_at = CASE WHEN g.launched THEN now() ELSE r.launched_at END
        FROM unnest(
            CAST(:ids AS uuid[]), CAST(:epochs AS integer[]), CAST(:added AS integer[]), CAST(:state AS text[]),
            CAST(:remote_offset AS bigint[]), CAST(:next_agent_seq AS integer[]), CAST(:retries AS integer[]),
            CAST(:started_at AS timestamptz[]), CAST(:launched AS boolean[])
        ) g (id, epoch, added, state, remote_offset, next_agent_seq, retries, started_at, launched)
        WHERE r.id = g.id AND {FENCE}
        RETURNING r.*, g.added
    ), stored AS (
        INSERT INTO gpu_test_events (run_id, seq, user_id, at, t, type, body)
        SELECT m.id, m.last_seq - m.added + e.number, m.user_id, e.at, e.t, e.type, CAST(e.body AS jsonb)
        FROM unnest(
            CAST(:run_ids AS uuid[]), CAST(:numbers AS integer[]), CAST(:at AS timestamptz[]),
            CAST(:t AS double precision[]), CAST(:type AS text[]), CAST(:body AS text[])
        ) e (run_id, number, at, t, type, body)
        JOIN moved m ON m.id = e.run_id
    )
    SELECT id, last_seq, state, remote_offset, next_agent_seq, retries, started_at, launched_at, cancel_requested_at
    FROM moved
    """  # noqa: S608  the fence is ours
)
_PLAIN: Final = ("state", "remote_offset", "next_agent_seq", "retries", "started_at")


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


@dataclass(frozen=True)
class Told:
    """A batch of a run that is ours under `epoch`."""

    run_id: UUID
    epoch: int
    batch: Batch

    @property
    def plain(self) -> bool:
        """Whether `append_all` can write it: its changes are values, of columns that runs change while they are told of."""
        changes = self.batch.changes
        known = (
            changes.keys() <= {*_PLAIN, "launched_at"} and changes.get("launched_at", NOW) is NOW
        )
        return known and not any(
            isinstance(value, ClauseElement) for value in changes.values() if value is not NOW
        )


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


async def append_all(session: AsyncSession, told: Sequence[Told]) -> dict[UUID, dict[str, Any]]:
    """
    Store the batches of many runs in one statement, each as `append` does; what the rows of those that are still ours
    say now. A run that is missing was taken over, and nothing of it was written.
    """
    ordered = sorted(told, key=lambda each: each.run_id)  # so that two of these lock in one order
    changes = [each.batch.changes for each in ordered]
    numbered = [
        (each.run_id, number, event)
        for each in ordered
        for number, event in enumerate(each.batch.events, 1)
    ]
    parameters: dict[str, list[Any]] = {
        "ids": [each.run_id for each in ordered],
        "epochs": [each.epoch for each in ordered],
        "added": [len(each.batch.events) for each in ordered],
        "launched": ["launched_at" in each for each in changes],
        **{name: [each.get(name) for each in changes] for name in _PLAIN},
        "run_ids": [run_id for run_id, _, _ in numbered],
        "numbers": [number for _, number, _ in numbered],
        "at": [event.at for _, _, event in numbered],
        "t": [event.t for _, _, event in numbered],
        "type": [event.type for _, _, event in numbered],
        "body": [json.dumps(event.body) for _, _, event in numbered],
    }
    rows = await session.exec(_APPEND_ALL, params=parameters)  # type: ignore[call-overload]
    return {row["id"]: dict(row) for row in rows.mappings()}


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
