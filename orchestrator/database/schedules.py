"""Schedules: one an instance, due when the database's clock says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import Firing, Schedule
from orchestrator.domain.errors import NotFound
from orchestrator.domain.timetable import Misfire, Timetable, fire_at

Outcome = Literal["fired", "in_progress", "missed", "unreadable"]


@dataclass(frozen=True)
class NewFiring:
    """What became of a due time, or of the `times` due times from it to `last_due_at`."""

    due_at: datetime
    outcome: Outcome
    run_id: UUID | None = None
    times: int = 1
    last_due_at: datetime | None = None


async def put(
    session: AsyncSession,
    instance_id: UUID,
    timetable: Timetable,
    *,
    enabled: bool,
    options: dict[str, Any],
    misfire: Misfire = "run_once",
) -> Schedule:
    """The instance's schedule, made or replaced; the next due time counts from the database's now."""
    current = await of_instance(session, instance_id)
    schedule_id = current.id if current else uuid4()
    now = (await session.exec(select(func.now()))).one()
    due_at = timetable.next_due(now, None)
    if current is not None and current.enabled and _times_of(current) == _times_of(timetable):
        due_at = current.next_due_at  # what is due stays due, whatever else is changed
    values = {
        "every_hours": timetable.every_hours,
        "cron": timetable.cron,
        "timezone": timetable.timezone,
        "jitter_seconds": timetable.jitter_seconds,
        "misfire": misfire,
        "enabled": enabled,
        "options": options,
        "next_due_at": due_at,
        "next_fire_at": fire_at(schedule_id, due_at, timetable.jitter_seconds),
    }
    statement = (
        insert(Schedule)
        .values(id=schedule_id, instance_id=instance_id, **values)
        .on_conflict_do_update(index_elements=["instance_id", "user_id"], set_=values)
    )
    await session.exec(statement)
    stored = await of_instance(session, instance_id)
    if stored is None:
        raise NotFound(f"No instance {instance_id}.")
    return stored


async def of_instance(session: AsyncSession, instance_id: UUID) -> Schedule | None:
    statement = (
        select(Schedule)
        .where(Schedule.instance_id == instance_id)
        .execution_options(populate_existing=True)
    )
    return (await session.exec(statement)).one_or_none()


async def remove(session: AsyncSession, instance_id: UUID) -> None:
    """Raises `NotFound` where the instance has none."""
    statement = delete(Schedule).where(col(Schedule.instance_id) == instance_id)
    if (await session.exec(statement)).rowcount != 1:
        raise NotFound(f"Instance {instance_id} has no schedule.")


async def every(session: AsyncSession) -> Sequence[Schedule]:
    """The caller's schedules, next first."""
    return (await session.exec(select(Schedule).order_by(col(Schedule.next_fire_at)))).all()


async def take_due(session: AsyncSession, limit: int) -> tuple[datetime, Sequence[Schedule]]:
    """
    The database's time and the schedules due by it, locked for this transaction; those another worker holds
    are left to it.
    """
    now = (await session.exec(select(func.now()))).one()
    statement = (
        select(Schedule)
        .where(col(Schedule.enabled), Schedule.next_fire_at <= now)
        .order_by(col(Schedule.next_fire_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return now, (await session.exec(statement)).all()


async def advance(
    session: AsyncSession,
    schedule: Schedule,
    next_due_at: datetime | None,
    firings: Sequence[NewFiring],
) -> None:
    """Note what became of the due times and move on; without a next time the schedule is turned off."""
    values: dict[str, Any] = {"updated_at": func.now()}
    for each in firings:
        row = {
            "schedule_id": schedule.id,
            "due_at": each.due_at,
            "user_id": schedule.user_id,
            "outcome": each.outcome,
            "run_id": each.run_id,
            "times": each.times,
            "last_due_at": each.last_due_at or each.due_at,
        }
        await session.exec(insert(Firing).values(**row).on_conflict_do_nothing())
        values |= {"last_due_at": row["last_due_at"], "last_outcome": each.outcome}
    if next_due_at is None:
        values["enabled"] = False
    else:
        values["next_due_at"] = next_due_at
        values["next_fire_at"] = fire_at(schedule.id, next_due_at, schedule.jitter_seconds)
    await session.exec(update(Schedule).where(col(Schedule.id) == schedule.id).values(**values))


async def firings(session: AsyncSession, instance_id: UUID, limit: int = 20) -> Sequence[Firing]:
    """What became of the latest due times of the instance's schedule, newest first."""
    statement = (
        select(Firing)
        .join(Schedule, col(Schedule.id) == Firing.schedule_id)
        .where(Schedule.instance_id == instance_id)
        .order_by(col(Firing.due_at).desc())
        .limit(limit)
    )
    return (await session.exec(statement)).all()


def timetable_of(schedule: Schedule) -> Timetable:
    """Raises `InvalidInput` for a line or time zone that this program can't read."""
    return Timetable(
        schedule.every_hours, schedule.cron, schedule.timezone, schedule.jitter_seconds
    )


def _times_of(source: Schedule | Timetable) -> tuple[object, ...]:
    return source.every_hours, source.cron, source.timezone, source.jitter_seconds
