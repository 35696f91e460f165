"""Figures of runs, rankings within one configuration, and what GPUs did while they were measured."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from orchestrator.api.auth import Reader
from orchestrator.api.shapes import FigureShape, Limit, SeriesShape, TelemetryShape
from orchestrator.api.surface import Given
from orchestrator.database import figures, runs

router = APIRouter(prefix="/v1", tags=["figures"])


@router.get("/runs/{run_id}/figures", operation_id="listFiguresOfRun")
async def figures_of_run(run_id: UUID, caller: Reader, given: Given) -> list[FigureShape]:
    """Every figure of a run that ended with a result, each with its conditions."""
    async with given.database.transaction(caller.principal) as session:
        await runs.get(session, run_id)
        return [FigureShape.of(row) for row in await figures.of_run(session, run_id)]


@router.get("/runs/{run_id}/telemetry", operation_id="listTelemetryOfRun")
async def telemetry_of_run(run_id: UUID, caller: Reader, given: Given) -> list[TelemetryShape]:
    """What each GPU did while it was measured: power, clocks, temperature, and what held it back."""
    async with given.database.transaction(caller.principal) as session:
        await runs.get(session, run_id)
        return [TelemetryShape.of(row) for row in await figures.telemetry_of_run(session, run_id)]


@router.get("/runs/{run_id}/telemetry/{gpu_index}", operation_id="getTelemetryOfGpu")
async def telemetry_of_gpu(
    run_id: UUID,
    gpu_index: Annotated[int, Path(ge=0, lt=64)],
    caller: Reader,
    given: Given,
) -> SeriesShape:
    """One GPU's readings as series, for a chart."""
    async with given.database.transaction(caller.principal) as session:
        await runs.get(session, run_id)
        row = await figures.telemetry_of_gpu(session, run_id, gpu_index)
    return await asyncio.to_thread(SeriesShape.of, row)


@router.get("/figures", operation_id="rankFigures")
async def ranking(
    caller: Reader,
    given: Given,
    configuration_hash: Annotated[str, Query(pattern="^[0-9a-f]{16}$")],
    name: Annotated[str, Query(max_length=200)] = "training",
    limit: Limit = 50,
) -> list[FigureShape]:
    """The caller's figures of one name under one configuration, the greatest first."""
    async with given.database.transaction(caller.principal) as session:
        rows = await figures.ranking(session, configuration_hash, name, limit)
    return [FigureShape.of(row) for row in rows]
