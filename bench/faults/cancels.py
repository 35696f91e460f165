"""Runs that somebody cancels: at any moment, over a line that is parted, and while their worker is killed."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import Final

from bench.faults.ledger import LiveRun
from bench.faults.record import Fault
from bench.faults.world import World, now

KIND: Final = "cancels"
PARTED: Final = "cancel-parted"
_ORPHANED: Final = "cancel-killed"
_WAYS: Final = (("cancel", 2), (PARTED, 1), (_ORPHANED, 1))
_PATIENCE: Final = 120.0


async def cancel_some(world: World, count: int, dice: random.Random, pause: float) -> None:
    """`count` wishes; returns when the last parted line is whole again."""
    async with asyncio.TaskGroup() as wishing:
        for _ in range(count):
            await asyncio.sleep(dice.uniform(0.3, 1.7) * pause)
            way = dice.choices([w for w, _ in _WAYS], [share for _, share in _WAYS])[0]
            seconds = dice.uniform(3, 8)
            run = await _live(world, dice)
            if run is None:
                world.fault(KIND, way)
                continue
            fault = world.fault(KIND, way, run.instance_id)
            fault.detail["run"] = run.id
            fault.runs = (run.id,)
            wishing.create_task(_cancel(world, run, fault, seconds))


async def _live(world: World, dice: random.Random) -> LiveRun | None:
    """Any run that has not ended, queued or at work, and that nobody has cancelled; one is waited for."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE
    while loop.time() < until:
        cancelled = {fault.detail.get("run") for fault in world.faults if fault.kind == KIND}
        able = [run for run in world.ledger.live if run.id not in cancelled]
        if able:
            return dice.choice(able)
        await asyncio.sleep(0.1)
    return None


async def _cancel(world: World, run: LiveRun, fault: Fault, seconds: float) -> None:
    line = world.by_instance[run.instance_id].line
    if fault.action == PARTED:
        line.part()
    asking = asyncio.create_task(world.client.cancel(run.id))
    if fault.action == _ORPHANED and (owner := world.worker(run.worker or "")) is not None:
        await asyncio.sleep(0)  # the request is under way
        fault.runs = tuple({run.id, *(hit.id for hit in await world.ledger.owned_by(owner.name))})
        owner.signal(signal.SIGKILL)
    told = await asking
    fault.detail["answered"] = now()
    # Of a run that had ended before the wish came, nothing was asked.
    fault.effective = told.get("cancel_requested_at") is not None
    if fault.action == PARTED:
        await asyncio.sleep(seconds)
        line.flow()
    fault.until = now()
