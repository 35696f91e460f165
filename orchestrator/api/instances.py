"""Instances, and what belongs to one: its runs, its schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Reader, Tester
from orchestrator.api.idempotency import DESCRIBED, IdempotencyKey, tell_replay
from orchestrator.api.problems import answers
from orchestrator.api.runs import run_shape
from orchestrator.api.shapes import InstanceShape, Limit, PageShape, ResultShape, RunShape
from orchestrator.api.surface import Given
from orchestrator.database import instances, results, schedules
from orchestrator.database.models import Schedule
from orchestrator.database.schedules import Outcome
from orchestrator.database.session import Session
from orchestrator.domain.errors import NotFound
from orchestrator.domain.options import Options
from orchestrator.domain.timetable import Misfire, Timetable
from orchestrator.runs.request import request_run_once

_FIRINGS: Final = 20
_LOCATION: Final[dict[str, Any]] = {
    "Location": {"description": "The path of the run.", "schema": {"type": "string"}}
}

router = APIRouter(prefix="/v1/instances", tags=["instances"])


class ListedInstance(InstanceShape):
    latest_result: ResultShape | None = None


class DetailedInstance(ListedInstance):
    """`public_key` is the line for the machine's ~/.ssh/authorized_keys."""

    public_key: str | None = None


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
    next_due_at: datetime
    next_fire_at: datetime
    last_due_at: datetime | None
    last_outcome: Outcome | None
    firings: list[FiringShape] = []


@router.get("", operation_id="listInstances")
async def list_instances(
    caller: Reader, given: Given, limit: Limit = 50, cursor: str | None = None
) -> PageShape[ListedInstance]:
    """The caller's instances, newest first, each with its latest result."""
    async with given.database.transaction(caller.principal) as session:
        page = await instances.page(session, limit, cursor)
        latest = await results.latest(session, [row.id for row in page.rows])
    items = []
    for row in page.rows:
        item = ListedInstance.model_validate(row)
        if row.id in latest:
            item.latest_result = ResultShape.of(latest[row.id])
        items.append(item)
    return PageShape(items=items, next_cursor=page.next_cursor)


@router.get("/{instance_id}", operation_id="getInstance")
async def get_instance(instance_id: UUID, caller: Reader, given: Given) -> DetailedInstance:
    async with given.database.transaction(caller.principal) as session:
        instance = await instances.get(session, instance_id)
        latest = await results.latest(session, [instance.id])
        public_key = await instances.public_key(session, instance.id)
    shape = DetailedInstance.model_validate(instance)
    shape.public_key = public_key
    if instance.id in latest:
        shape.latest_result = ResultShape.of(latest[instance.id])
    return shape


@router.post(
    "/{instance_id}/runs",
    operation_id="requestRun",
    status_code=202,
    responses={202: {"headers": {**_LOCATION, **DESCRIBED}}, **answers(409)},
)
async def post_run(
    instance_id: UUID,
    caller: Tester,
    given: Given,
    response: Response,
    body: Options = Options(),
    key: IdempotencyKey = None,
) -> RunShape:
    """
    Ask for a test of this instance; `Location` is its run. 409 while one is unfinished.

    A repeat with the same Idempotency-Key answers with the first request's run, also when that has ended.
    """
    requested = await request_run_once(
        given.database, caller.principal, instance_id, body, "api", key
    )
    response.headers["Location"] = f"/v1/runs/{requested.run.id}"
    tell_replay(response, requested.replayed)
    return await run_shape(given, caller, requested.run)


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
