"""Schedules that are due become runs: exactly once a due time, whichever worker is first."""

from __future__ import annotations

from datetime import datetime

from orchestrator import log
from orchestrator.database import runs, schedules
from orchestrator.database.models import Schedule
from orchestrator.database.session import SERVICE, Database, Session
from orchestrator.domain.errors import AlreadyFired, InvalidInput, RunInProgress
from orchestrator.domain.timetable import Timetable

logger = log.get(__name__)

_AT_A_TIME = 100


async def fire_due(database: Database) -> int:
    """
    Request the runs that are due by the database's clock; how many were.

    Taking a schedule, requesting its run and moving it on are one transaction, and (schedule, due time)
    is unique in the database: two workers can't both fire it, and a crash fires nothing by halves.
    """
    async with database.transaction(SERVICE) as session:
        now, due = await schedules.take_due(session, _AT_A_TIME)
        for schedule in due:
            outcome = await _fire(session, schedule)
            await schedules.advance(session, schedule, _next_due(schedule, now), outcome)
    return len(due)


async def _fire(session: Session, schedule: Schedule) -> str:
    try:
        run = await runs.request(
            session,
            schedule.instance_id,
            "schedule",
            schedule.options,
            schedule_id=schedule.id,
            due_at=schedule.next_due_at,
        )
    except AlreadyFired:
        return "skipped: it had fired before"
    except RunInProgress:
        logger.info("schedule.skipped", schedule_id=str(schedule.id))
        return "skipped: a run was in progress"
    logger.info("schedule.fired", schedule_id=str(schedule.id), run_id=str(run.id))
    return "fired"


def _next_due(schedule: Schedule, now: datetime) -> datetime | None:
    try:
        timetable = Timetable(
            schedule.every_hours, schedule.cron, schedule.timezone, schedule.jitter_seconds
        )
        return timetable.next_due(max(now, schedule.next_due_at), schedule.next_due_at)
    except (
        InvalidInput
    ):  # stored by another program, or a time zone that is gone: turned off, not looped on
        logger.warning("schedule.unreadable", schedule_id=str(schedule.id))
        return None
