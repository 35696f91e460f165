"""The results of one instance over time, without what only a single one is looked at for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlmodel.ext.asyncio.session import AsyncSession

_SELECT: Final = """
    SELECT run_id, coalesce(completed_at, created_at) AS at, source, verdict, throughput_images_per_sec,
           throughput_low, throughput_high, latency_ms, power_draw_watts, temperature_celsius,
           compute_miles_per_hour, variation_percent, driver_version, torch_version, cuda_version,
           configuration_hash, profile, precision, batch_size, image_size
    FROM gpu_test_results WHERE gpu_instance_id = :instance_id {since}
    ORDER BY created_at DESC, id DESC LIMIT :limit
"""
_NEWEST: Final = text(_SELECT.format(since=""))
# Older months are not so much as opened.
_LATELY: Final = text(_SELECT.format(since="AND created_at >= now() - interval '60 days'"))
_FEW: Final = 50  # so many are likely to be found lately


async def newest(session: AsyncSession, instance_id: UUID, limit: int) -> Sequence[Row[Any]]:
    """The last `limit` results of the instance, oldest first."""
    values = {"instance_id": instance_id, "limit": limit}
    rows: list[Row[Any]] = []
    if limit <= _FEW:
        rows = list((await session.exec(_LATELY, params=values)).all())  # type: ignore[call-overload]
    if len(rows) < limit:
        rows = list((await session.exec(_NEWEST, params=values)).all())  # type: ignore[call-overload]
    return rows[::-1]
