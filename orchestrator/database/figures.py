"""Figures and telemetry of runs: written once with a run's end and its events, read by surfaces."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import FigureRow, Run, TelemetryRow
from orchestrator.domain.errors import NotFound

_KEEP = text(
    """
    INSERT INTO gpu_test_figures (run_id, seq, user_id, instance_id, name, gpu_index, value, unit, low, high,
                                  configuration_hash, configuration, detail, measured_gpu_name, at)
    SELECT e.run_id, e.seq, e.user_id, :instance_id, e.body ->> 'name', (e.body ->> 'gpu_index')::integer,
           (e.body ->> 'value')::double precision, coalesce(e.body ->> 'unit', ''),
           (e.body ->> 'low')::double precision, (e.body ->> 'high')::double precision,
           e.body ->> 'configuration_hash', coalesce(e.body -> 'configuration', '{}'),
           coalesce(e.body -> 'detail', '{}'), :gpu_name, e.at
    FROM gpu_test_events e WHERE e.run_id = :run_id AND e.type = 'metric' ORDER BY e.seq LIMIT 1000
    """
)


async def keep(session: AsyncSession, run: Run, measured_gpu_name: str | None) -> None:
    """Make figures of the run's stored `metric` events; at most 1,000."""
    parameters = {"run_id": run.id, "instance_id": run.instance_id, "gpu_name": measured_gpu_name}
    await session.exec(_KEEP, params=parameters)  # type: ignore[call-overload]


async def keep_telemetry(session: AsyncSession, run: Run, told: Sequence[dict[str, Any]]) -> None:
    """Store what `telemetry` events brought; of a GPU that is told twice the first row stays."""
    rows = [
        {
            **{name: value for name, value in body.items() if name != "packed"},
            "packed": base64.b64decode(body["packed"]),
            "run_id": run.id,
            "user_id": run.user_id,
        }
        for body in told
    ]
    await session.exec(insert(TelemetryRow).on_conflict_do_nothing(), params=rows)


async def of_run(session: AsyncSession, run_id: UUID) -> Sequence[FigureRow]:
    """All figures of a run, in the order in which they were told."""
    statement = (
        select(FigureRow).where(FigureRow.run_id == run_id).order_by(col(FigureRow.seq)).limit(1000)
    )
    return (await session.exec(statement)).all()


async def ranking(
    session: AsyncSession, configuration_hash: str, name: str, limit: int
) -> Sequence[FigureRow]:
    """The caller's figures of one name under one configuration, the greatest first."""
    statement = (
        select(FigureRow)
        .where(
            FigureRow.configuration_hash == configuration_hash,
            FigureRow.name == name,
            col(FigureRow.value).is_not(None),
        )
        .order_by(col(FigureRow.value).desc(), col(FigureRow.run_id), col(FigureRow.seq))
        .limit(limit)
    )
    return (await session.exec(statement)).all()


async def telemetry_of_gpu(session: AsyncSession, run_id: UUID, gpu_index: int) -> TelemetryRow:
    """What one GPU did. Raises `NotFound` where there is no such row."""
    row = await session.get(TelemetryRow, (run_id, gpu_index))
    if row is None:
        raise NotFound(f"Run {run_id} has no readings of GPU {gpu_index}.")
    return row


async def telemetry_of_run(session: AsyncSession, run_id: UUID) -> Sequence[TelemetryRow]:
    """What the run's GPUs did, by their index."""
    statement = (
        select(TelemetryRow)
        .where(TelemetryRow.run_id == run_id)
        .order_by(col(TelemetryRow.gpu_index))
    )
    return (await session.exec(statement)).all()
