"""The public listing: verified instances for anybody, with no word on where they are reached or whose they are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict

from orchestrator.api.paths import LISTING
from orchestrator.api.recent import Recent
from orchestrator.api.shapes import Cursor, Limit, PageShape
from orchestrator.api.surface import Given
from orchestrator.database import listing
from orchestrator.database.session import NOBODY
from orchestrator.domain.badge import badge
from orchestrator.domain.sanitise import printable

_SVG: Final = "image/svg+xml"
_BADGE_HEADERS: Final = {
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": "default-src 'none'",
}

router = APIRouter(prefix=LISTING, tags=["listing"])

Printed = Annotated[str, AfterValidator(lambda text: printable(text, 200))]


class Conditions(BaseModel):
    """What was measured under; only figures of one `configuration_hash` may be compared."""

    model_config = ConfigDict(from_attributes=True)

    profile: Printed | None
    precision: Printed | None
    batch_size: int | None
    image_size: int | None
    mode: Printed | None
    torch_version: Printed | None
    driver_version: Printed | None
    cuda_version: Printed | None
    configuration_hash: str | None


class Listed(BaseModel):
    """
    An instance whose newest test by us that proved something passed. What it is and does was measured by us;
    `location` and `price_per_hour` (US dollars) are its supplier's word. `tests_90d` proved something within 90 days.
    """

    id: UUID
    gpu_name: Printed | None
    gpu_count: int | None
    location: Printed | None
    price_per_hour: float | None
    throughput_images_per_sec: float | None
    throughput_low: float | None
    throughput_high: float | None
    compute_miles_per_hour: float | None
    power_draw_watts: float | None
    measured_at: datetime
    tests_90d: int
    passed_90d: int
    conditions: Conditions

    @classmethod
    def of(cls, row: Any) -> Listed:
        return cls.model_validate({**row._mapping, "conditions": Conditions.model_validate(row)})


@router.get("", operation_id="listListing", response_model=PageShape[Listed])
async def list_listing(
    given: Given, request: Request, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Verified instances, the latest tested first; a page may be a few seconds old."""

    async def read() -> bytes:
        async with given.database.transaction(NOBODY) as session:
            page = await listing.page(session, limit, cursor)
        items = [Listed.of(row) for row in page.rows]
        told = PageShape[Listed](items=items, next_cursor=page.next_cursor)
        return told.model_dump_json().encode()

    recent: Recent = request.app.state.listing
    body = await recent.answer((limit, cursor), read)
    kept = f"public, max-age={int(recent.seconds)}"
    return Response(body, media_type="application/json", headers={"Cache-Control": kept})


@router.get("/{instance_id}", operation_id="getListed")
async def get_listed(instance_id: UUID, given: Given) -> Listed:
    """A verified instance; 404 for one that is not listed (any more)."""
    async with given.database.transaction(NOBODY) as session:
        return Listed.of(await listing.get(session, instance_id))


@router.get(
    "/{instance_id}/badge.svg",
    operation_id="getBadge",
    response_class=Response,
    responses={200: {"content": {_SVG: {"schema": {"type": "string"}}}}},
)
async def get_badge(instance_id: UUID, given: Given) -> Response:
    """A badge with what was measured, to be shown elsewhere."""
    async with given.database.transaction(NOBODY) as session:
        row = await listing.get(session, instance_id)
    drawn = badge(row.gpu_name, row.throughput_images_per_sec)
    return Response(drawn, media_type=_SVG, headers=_BADGE_HEADERS)
