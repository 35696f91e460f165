"""The schedule of an instance, and what became of its due times."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Reader, Tester
from orchestrator.api.surface import Given
from orchestrator.database import instances, schedules
from orchestrator.database.models import Schedule
from orchestrator.database.schedules import Outcome
from orchestrator.database.session import Session
from orchestrator.domain.errors import NotFound
from orchestrator.domain.options import Options
from orchestrator.domain.timetable import Misfire, Timetable

_FIRINGS: Final = 20

router = APIRouter(prefix="/v1/instances", tags=["instances"])


class ScheduleRequest(BaseModel):
    """
    Every N hours, or a cron line in a time zone; one of the two. `misfire` is for due times at which no worker
    was there: `run_once` makes up for all of them with one run, `skip` with none.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "misfire": "skip"}
        }
    )

    every_hours: int | None = None
    cron: Annotated[str | None, Field(max_length=200)] = None
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    jitter_seconds: int = 0
    misfire: Misfire = "run_once"
    enabled: bool = True
    options: Options = Options()


class FiringShape(BaseModel):
    """
    What became of a due time, or of the `times` due times from `due_at` to `last_due_at`: `fired` has its run,
    `in_progress` met an unfinished one, `missed` met no worker, `unreadable` turned the schedule off.
    """

    model_config = ConfigDict(from_attributes=True)

    due_at: datetime
    outcome: Outcome
    run_id: UUID | None
    times: int
    last_due_at: datetime
    at: datetime


class ScheduleShape(BaseModel):
    """
    `next_fire_at` is `next_due_at` plus this firing's share of the jitter; `firings` are the latest, newest first.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    instance_id: UUID
    every_hours: int | None
    cron: str | None
    timezone: str
    jitter_seconds: int
    misfire: Misfire
    enabled: bool
    options: Options
    next_due_at: datetime
    next_fire_at: datetime
    last_due_at: datetime | None
    last_outcome: Outcome | None
    firings: list[FiringShape] = []


@router.get("/{instance_id}/schedule", operation_id="getSchedule")
async def get_schedule(instance_id: UUID, caller: Reader, given: Given) -> ScheduleShape:
    async with given.database.transaction(caller.principal) as session:
        schedule = await schedules.of_instance(session, instance_id)
        if schedule is None:
            raise NotFound("This instance has no schedule.")
        return await _told(session, schedule)


@router.put("/{instance_id}/schedule", operation_id="putSchedule")
async def put_schedule(
    instance_id: UUID, body: ScheduleRequest, caller: Tester, given: Given
) -> ScheduleShape:
    """Test this instance regularly; replaces its schedule."""
    timetable = Timetable(body.every_hours, body.cron, body.timezone, body.jitter_seconds)
    async with given.database.transaction(caller.principal) as session:
        await instances.get(session, instance_id)
        schedule = await schedules.put(
            session,
            instance_id,
            timetable,
            enabled=body.enabled,
            options=body.options.model_dump(exclude_defaults=True),
            misfire=body.misfire,
        )
        return await _told(session, schedule)


@router.delete("/{instance_id}/schedule", operation_id="deleteSchedule", status_code=204)
async def delete_schedule(instance_id: UUID, caller: Tester, given: Given) -> Response:
    async with given.database.transaction(caller.principal) as session:
        await schedules.remove(session, instance_id)
    return Response(status_code=204)


async def _told(session: Session, schedule: Schedule) -> ScheduleShape:
    shape = ScheduleShape.model_validate(schedule)
    latest = await schedules.firings(session, schedule.instance_id, _FIRINGS)
    shape.firings = [FiringShape.model_validate(each) for each in latest]
    return shape
