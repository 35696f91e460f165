"""PostgreSQL stopped in the middle of everything, and started again on what its log saved."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from typing import Final

from bench.faults.world import World, now

KIND: Final = "pg-stops"
_LONGEST: Final = 3.0
_WORDS_OF_LIFE: Final = """
    SELECT greatest((SELECT max(at) FROM gpu_test_events), (SELECT max(claimed_at) FROM gpu_test_runs)) AS last
"""
RECOVERY_SECONDS: Final = 30.0


async def stop_postgres(world: World, count: int, dice: random.Random, pause: float) -> None:
    """`count` immediate stops; between two the workers get the time to find their way back."""
    for _ in range(count):
        await asyncio.sleep(dice.uniform(0.5, 1.5) * pause)
        live = tuple(run.id for run in await world.ledger.look() if run.owned)
        fault = world.fault(KIND, "immediate", "postgres")
        fault.effective, fault.runs = bool(live), live
        await asyncio.to_thread(world.postgres.stop)
        await asyncio.sleep(dice.uniform(0.0, _LONGEST))
        await asyncio.to_thread(world.postgres.start)
        fault.until = started = now()  # connections are accepted from here on
        fault.detail["ready_s"], fault.detail["at_work_s"] = await asyncio.gather(
            _until_ready(world), _until_at_work(world, started)
        )


async def _until_ready(world: World) -> float:
    """Seconds until the API says that it is ready; the bound where it never did."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() < began + RECOVERY_SECONDS:
        if await world.client.ready():
            return round(loop.time() - began, 2)
        await asyncio.sleep(0.1)
    return RECOVERY_SECONDS


async def _until_at_work(world: World, started: datetime) -> float:
    """Seconds until a worker has claimed a run or written of one again; the bound where none did."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() < began + RECOVERY_SECONDS:
        last = (await world.ledger.ask(_WORDS_OF_LIFE))[0]["last"]
        if last is not None and last > started:
            return round(loop.time() - began, 2)
        await asyncio.sleep(0.1)
    return RECOVERY_SECONDS
