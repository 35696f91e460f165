"""Workers, as their heartbeats in the engine's tables tell."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_ALIVE = text(
    "SELECT count(*) FROM procrastinate_workers"
    " WHERE last_heartbeat > now() - make_interval(secs => :seconds)"
)
SILENT_SECONDS: Final = 15.0


async def alive(session: AsyncSession, within_seconds: float = SILENT_SECONDS) -> int:
    """How many workers were heard of lately; for workers' and operators' sessions only."""
    found = await session.exec(_ALIVE, params={"seconds": within_seconds})  # type: ignore[call-overload]
    return int(found.scalar_one())
