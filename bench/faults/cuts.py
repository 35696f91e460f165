"""Lines that break under live runs: cut, frozen half-open, throttled, parted."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from bench.faults.machine import Machine
from bench.faults.world import World, now

KIND: Final = "cuts"
_WAYS: Final = (("cut", 5), ("freeze", 2), ("throttle", 2), ("part", 1))
_SLOW: Final = 8_000.0  # bytes a second: 64 kbit/s
_FOLLOWED_SHARE: Final = 0.75
_PATIENCE: Final = 120.0


async def cut_some(
    world: World, count: int, dice: random.Random, pause: float, *, full: bool
) -> None:
    """`count` broken lines, several at a time; returns when the last one is whole again."""
    hurt: set[str] = set()
    async with asyncio.TaskGroup() as breaking:
        for _ in range(count):
            await asyncio.sleep(dice.uniform(0.3, 1.7) * pause)
            way = dice.choices([w for w, _ in _WAYS], [share for _, share in _WAYS])[0]
            seconds = _lasting(way, dice, full)
            machine = await connected(world, dice, hurt)
            if machine is None:
                world.fault(KIND, way)
                continue
            hurt.add(machine.instance_id)
            breaking.create_task(_break(world, machine, way, seconds, hurt))


async def connected(
    world: World, dice: random.Random, hurt: set[str], states: tuple[str, ...] = ()
) -> Machine | None:
    """
    A machine whose run is in hand (and in one of `states`) over a whole line, mostly being followed; one is
    waited for.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE
    while loop.time() < until:
        able = [
            machine
            for machine in world.machines
            if machine.instance_id not in hurt
            and machine.line.connections
            and (run := world.live_on(machine)) is not None
            and (run.state in states if states else run.owned)
        ]
        followed = [m for m in able if (run := world.live_on(m)) and run.state == "running"]
        if followed and dice.random() < _FOLLOWED_SHARE:
            return dice.choice(followed)
        if able:
            return dice.choice(able)
        await asyncio.sleep(0.1)
    return None


def _lasting(way: str, dice: random.Random, full: bool) -> float:
    """Seconds; keepalive finds a dead peer after 15."""
    if way == "cut":
        return 0.0
    if way == "throttle":
        return dice.uniform(4, 12)
    if way == "freeze":
        return dice.uniform(10, 40) if full else dice.uniform(8, 22)
    return dice.uniform(20, 120) if full else dice.uniform(8, 25)


async def _break(world: World, machine: Machine, way: str, seconds: float, hurt: set[str]) -> None:
    line = machine.line
    run = world.live_on(machine)
    fault = world.fault(KIND, way, machine.instance_id)
    fault.detail["seconds"] = round(seconds, 1)
    fault.effective = run is not None and line.connections > 0
    fault.runs = (run.id,) if run else ()
    if way == "cut":
        line.cut()
    elif way == "throttle":
        line.throttle(_SLOW)
    elif way == "freeze":
        line.freeze()
    else:
        line.part()
    await asyncio.sleep(seconds)
    line.flow()
    fault.until = now()
    hurt.discard(machine.instance_id)
