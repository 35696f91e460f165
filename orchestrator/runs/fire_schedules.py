"""Schedules that are due become runs: exactly once a due time, whichever worker is first; none is lost silently."""

from __future__ import annotations

from datetime import datetime

from orchestrator import log
from orchestrator.database import runs, schedules
from orchestrator.database.contacts import NEW_MACHINES_PER_HOUR
from orchestrator.database.models import Schedule
from orchestrator.database.schedules import NewFiring
from orchestrator.database.session import SERVICE, Database, Session
from orchestrator.domain.errors import AlreadyFired, InvalidInput, RunInProgress
from orchestrator.domain.timetable import what_is_due

logger = log.get(__name__)

_AT_A_TIME = 100


async def fire_due(
    database: Database, *, new_machines_per_hour: int = NEW_MACHINES_PER_HOUR
) -> int:
    """
    Request the runs that are due by the database's clock; how many schedules were due.

    Taking a schedule, requesting its run, noting what became of its due times and moving it on are one
    transaction, and (schedule, due time) is unique in the database: two workers can't both fire it, and a
    crash fires nothing by halves. A run that a supplier's hour has no room for is queued for later.
    """
    async with database.transaction(SERVICE) as session:
        now, due = await schedules.take_due(session, _AT_A_TIME)
        # By supplier: each one's rate is locked until we commit, and two workers must not wait for each other.
        for schedule in sorted(due, key=lambda each: each.user_id):
            await _settle(session, schedule, now, new_machines_per_hour)
    return len(due)


async def _settle(session: Session, schedule: Schedule, now: datetime, per_hour: int) -> None:
    try:
        timetable = schedules.timetable_of(schedule)
        due = what_is_due(
            timetable, schedule.id, schedule.next_due_at, misfire=schedule.misfire, now=now
        )
    except InvalidInput:
        # Stored by another program, or a time zone that is gone: turned off, not looped on.
        logger.warning("schedule.unreadable", schedule_id=str(schedule.id))
        unreadable = NewFiring(schedule.next_due_at, "unreadable")
        await schedules.advance(session, schedule, None, [unreadable])
        return
    firings = []
    if due.missed is not None:
        first, last, times = due.missed
        logger.warning("schedule.missed", schedule_id=str(schedule.id), times=times)
        firings.append(NewFiring(first, "missed", times=times, last_due_at=last))
    if due.fire is not None:
        firings += await _fire(session, schedule, due.fire, per_hour)
    await schedules.advance(session, schedule, due.next_due_at, firings)


async def _fire(
    session: Session, schedule: Schedule, due_at: datetime, per_hour: int
) -> list[NewFiring]:
    try:
        run = await runs.request(
            session,
            schedule.instance_id,
            "schedule",
            schedule.options,
            schedule_id=schedule.id,
            due_at=due_at,
            new_machines_per_hour=per_hour,
        )
    except AlreadyFired:
        return []
    except RunInProgress:
        logger.info("schedule.skipped", schedule_id=str(schedule.id))
        return [NewFiring(due_at, "in_progress")]
    logger.info("schedule.fired", schedule_id=str(schedule.id), run_id=str(run.id))
    return [NewFiring(due_at, "fired", run_id=run.id)]
