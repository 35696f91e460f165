"""The public listing: what anybody may know, through doors that tell nothing else."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.paging import Page, cursor_behind, position
from orchestrator.domain.errors import NotFound

_PAGE: Final = text("SELECT * FROM listing_page(:before, :before_id, :limit)")
_ONE: Final = text("SELECT * FROM listing_of(:instance_id)")


async def page(session: AsyncSession, limit: int, cursor: str | None) -> Page[Row[Any]]:
    """The latest tested first. Raises `InvalidInput` for a foreign cursor."""
    before, before_id = position(cursor)
    values = {"before": before, "before_id": before_id, "limit": limit + 1}
    rows = list((await session.exec(_PAGE, params=values)).all())  # type: ignore[call-overload]
    more = len(rows) > limit
    return Page(rows[:limit], cursor_behind(rows[limit - 1], "measured_at") if more else None)


async def get(session: AsyncSession, instance_id: UUID) -> Row[Any]:
    """Raises `NotFound` for an instance that is not listed, whether there is one or not."""
    values = {"instance_id": instance_id}
    row: Row[Any] | None = (await session.exec(_ONE, params=values)).one_or_none()  # type: ignore[call-overload]
    if row is None:
        raise NotFound(f"No instance {instance_id} is listed.")
    return row
