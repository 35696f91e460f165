"""What a schedule would do, before it is one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from orchestrator.api.auth import Reader
from orchestrator.api.surface import Given
from orchestrator.database.session import database_now
from orchestrator.domain.timetable import Timetable

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

_TOLD: Final = 5


class TimetableRequest(BaseModel):
    """Every N hours, or a cron line in a time zone; one of the two."""

    every_hours: int | None = None
    cron: Annotated[str | None, Field(max_length=200)] = None
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    jitter_seconds: int = 0


class TimetablePreview(BaseModel):
    """Due times, before the jitter that spreads each by up to `jitter_seconds`."""

    next: list[datetime]


@router.post("/preview", operation_id="previewSchedule")
async def preview(body: TimetableRequest, caller: Reader, given: Given) -> TimetablePreview:
    """The next five due times of a schedule that were made now; refused as it would be."""
    async with given.database.transaction(caller.principal) as session:
        now = await database_now(session)
    return TimetablePreview(next=_dues(body, now))


def _dues(body: TimetableRequest, now: datetime) -> list[datetime]:
    timetable = Timetable(body.every_hours, body.cron, body.timezone, body.jitter_seconds)
    dues = [timetable.next_due(now, None)]
    while len(dues) < _TOLD:
        dues.append(timetable.next_due(dues[-1], dues[-1]))
    return dues
