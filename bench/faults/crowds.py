"""Many requests for one machine at once: one run may come of them at a time."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from bench.faults.world import World

KIND: Final = "requests"
_AT_ONCE: Final = 20
_MACHINES: Final = 3


async def crowd(world: World, count: int, dice: random.Random, pause: float) -> None:
    """`count` requests in bursts, each burst for one of few machines."""
    few = world.machines[:_MACHINES]
    left = count
    while left > 0:
        size = min(_AT_ONCE, left)
        left -= size
        machine = dice.choice(few)
        fault = world.fault(KIND, "burst", machine.instance_id)
        asking = (world.client.request(machine.instance_id) for _ in range(size))
        answers = await asyncio.gather(*asking)
        fault.runs = tuple({answer for answer in answers if answer})
        fault.effective = bool(fault.runs)
        fault.detail["requests"] = size
        await asyncio.sleep(dice.uniform(0.0, pause))
