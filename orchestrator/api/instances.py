"""Instances, and what belongs to one: its runs, its schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Reader, Tester
from orchestrator.api.shapes import InstanceShape, Limit, PageShape, ResultShape, RunShape
from orchestrator.api.surface import Given
from orchestrator.database import instances, results, schedules
from orchestrator.domain.errors import NotFound
from orchestrator.domain.options import Options
from orchestrator.domain.timetable import Timetable
from orchestrator.runs.request import request_run

router = APIRouter(prefix="/v1/instances", tags=["instances"])


class ListedInstance(InstanceShape):
    latest_result: ResultShape | None = None


class DetailedInstance(ListedInstance):
    """`public_key` is the line for the machine's ~/.ssh/authorized_keys."""

    public_key: str | None = None


class ScheduleRequest(BaseModel):
    """Every N hours, or a cron line in a time zone; one of the two."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"cron": "0 3 * * *", "timezone": "Europe/Berlin"}}
    )

    every_hours: int | None = None
    cron: Annotated[str | None, Field(max_length=200)] = None
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    jitter_seconds: int = 0
    enabled: bool = True
    options: Options = Options()


class ScheduleShape(BaseModel):
    """`next_fire_at` is `next_due_at` plus this firing's share of the jitter."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    instance_id: UUID
    every_hours: int | None
    cron: str | None
    timezone: str
    jitter_seconds: int
    enabled: bool
    next_due_at: datetime
    next_fire_at: datetime
    last_due_at: datetime | None
    last_outcome: str | None


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


@router.post("/{instance_id}/runs", operation_id="requestRun", status_code=202)
async def post_run(
    instance_id: UUID, caller: Tester, given: Given, response: Response, body: Options = Options()
) -> RunShape:
    """Ask for a test of this instance; `Location` is its run. 409 while one is unfinished."""
    run = await request_run(given.database, caller.principal, instance_id, body, "api")
    response.headers["Location"] = f"/v1/runs/{run.id}"
    return RunShape.of(run)


@router.get("/{instance_id}/schedule", operation_id="getSchedule")
async def get_schedule(instance_id: UUID, caller: Reader, given: Given) -> ScheduleShape:
    async with given.database.transaction(caller.principal) as session:
        schedule = await schedules.of_instance(session, instance_id)
    if schedule is None:
        raise NotFound("This instance has no schedule.")
    return ScheduleShape.model_validate(schedule)


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
            now=datetime.now(UTC),
        )
    return ScheduleShape.model_validate(schedule)


@router.delete("/{instance_id}/schedule", operation_id="deleteSchedule", status_code=204)
async def delete_schedule(instance_id: UUID, caller: Tester, given: Given) -> Response:
    async with given.database.transaction(caller.principal) as session:
        await schedules.remove(session, instance_id)
    return Response(status_code=204)
