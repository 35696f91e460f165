"""An instance's results over time, for charts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Reader
from orchestrator.api.shown import Shown
from orchestrator.api.surface import Given
from orchestrator.database import history, instances

router = APIRouter(prefix="/v1/instances", tags=["instances"])


class PastResult(Shown):
    """A result in a series: only those of one `configuration_hash` may be compared. `at` is when it was complete."""

    model_config = ConfigDict(from_attributes=True)

    run_id: UUID | None
    at: datetime
    source: str
    verdict: str
    throughput_images_per_sec: float | None
    throughput_low: float | None
    throughput_high: float | None
    latency_ms: float | None
    power_draw_watts: float | None
    temperature_celsius: float | None
    compute_miles_per_hour: float | None
    variation_percent: float | None
    driver_version: str | None
    torch_version: str | None
    cuda_version: str | None
    configuration_hash: str | None
    profile: str | None
    precision: str | None
    batch_size: int | None
    image_size: int | None


class HistoryShape(BaseModel):
    """The newest results, oldest first."""

    items: list[PastResult]


@router.get("/{instance_id}/history", operation_id="getHistory")
async def get_history(
    instance_id: UUID,
    caller: Reader,
    given: Given,
    limit: Annotated[int, Field(ge=1, le=2000, description="The newest so many.")] = 500,
) -> HistoryShape:
    """What was measured of this instance over time, whatever the verdict."""
    async with given.database.transaction(caller.principal) as session:
        await instances.get(session, instance_id)
        rows = await history.newest(session, instance_id, limit)
    return HistoryShape(items=[PastResult.model_validate(row) for row in rows])
