"""The fleet at a glance: what a table of instances shows, a thousand rows a page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Reader
from orchestrator.api.shapes import Cursor, PageShape
from orchestrator.api.shown import Shown
from orchestrator.api.surface import Given
from orchestrator.database import overview

router = APIRouter(prefix="/v1/instances", tags=["instances"])

Many = Annotated[int, Field(ge=1, le=1000, description="Rows a page.")]


class UnfinishedRun(BaseModel):
    """The test that waits or is at work; `not_before`: its machine was busy, or the hour was used up, and it is tried then."""

    id: UUID
    state: str
    created_at: datetime
    not_before: datetime | None
    cancel_requested_at: datetime | None


class FinishedRun(Shown):
    """How the last test ended."""

    id: UUID
    state: str
    finished_at: datetime
    error_code: str | None
    error_message: str | None


class LatestFigures(Shown):
    """The newest result that has a throughput; `run_id` is null for a submitted one."""

    run_id: UUID | None
    at: datetime
    verdict: str
    throughput_images_per_sec: float
    throughput_low: float | None
    throughput_high: float | None
    compute_miles_per_hour: float | None
    latency_ms: float | None
    power_draw_watts: float | None
    temperature_celsius: float | None
    configuration_hash: str | None
    measured_gpu_name: str | None
    measured_gpu_count: int | None
    profile: str | None
    precision: str | None
    batch_size: int | None
    image_size: int | None


class Overview(Shown):
    """
    An instance in the fleet's table. `gpu_name` and `gpu_count` are measured, or claimed where nothing was; `trend` is
    images/s of the last 12 results that have it, oldest first. `unreachable_30d` of the `tests_30d` that ended within
    30 days never reached the machine.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    provider: str | None
    location: str | None
    price_per_hour: float | None
    listed: bool
    ssh_host: str
    ssh_port: int
    ssh_user: str
    gpu_name: str | None
    gpu_count: int | None
    status: str
    test_status: str
    tested_at: datetime | None
    created_at: datetime
    updated_at: datetime
    host_key_offered: bool
    run: UnfinishedRun | None
    last_run: FinishedRun | None
    latest: LatestFigures | None
    trend: list[float]
    next_fire_at: datetime | None
    tests_30d: int
    unreachable_30d: int

    @classmethod
    def of(cls, row: Any) -> Overview:
        return cls.model_validate(row)


@router.get("/overview", operation_id="listOverview")
async def list_overview(
    caller: Reader, given: Given, limit: Many = 1000, cursor: Cursor = None
) -> PageShape[Overview]:
    """The caller's instances, newest first, each with its run, its last results and its next test."""
    async with given.database.transaction(caller.principal) as session:
        page = await overview.page(session, limit, cursor)
    items = [Overview.of(row) for row in page.rows]
    return PageShape(items=items, next_cursor=page.next_cursor)
