"""Schedules that are due become runs: exactly once a due time, whichever worker is first; none is lost silently."""

from __future__ import annotations

from datetime import datetime

from orchestrator import log
from orchestrator.database import runs, schedules
from orchestrator.database.models import Schedule
from orchestrator.database.schedules import NewFiring
from orchestrator.database.session import SERVICE, Database, Session
from orchestrator.domain.errors import AlreadyFired, InvalidInput, RunInProgress
from orchestrator.domain.timetable import what_is_due

logger = log.get(__name__)

_AT_A_TIME = 100


async def fire_due(database: Database) -> int:
    """
    Request the runs that are due by the database's clock; how many schedules were due.

    Taking a schedule, requesting its run, noting what became of its due times and moving it on are one
    transaction, and (schedule, due time) is unique in the database: two workers can't both fire it, and a
    crash fires nothing by halves.
    """
    async with database.transaction(SERVICE) as session:
        now, due = await schedules.take_due(session, _AT_A_TIME)
        for schedule in due:
            await _settle(session, schedule, now)
    return len(due)


async def _settle(session: Session, schedule: Schedule, now: datetime) -> None:
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
        firings += await _fire(session, schedule, due.fire)
    await schedules.advance(session, schedule, due.next_due_at, firings)


async def _fire(session: Session, schedule: Schedule, due_at: datetime) -> list[NewFiring]:
    try:
        run = await runs.request(
            session,
            schedule.instance_id,
            "schedule",
            schedule.options,
            schedule_id=schedule.id,
            due_at=due_at,
        )
    except AlreadyFired:
        return []
    except RunInProgress:
        logger.info("schedule.skipped", schedule_id=str(schedule.id))
        return [NewFiring(due_at, "in_progress")]
    logger.info("schedule.fired", schedule_id=str(schedule.id), run_id=str(run.id))
    return [NewFiring(due_at, "fired", run_id=run.id)]
