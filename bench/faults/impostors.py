"""A line that leads to somebody else: another sshd, with another host key, that would let any of our keys in."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Final

from bench.faults.cuts import connected
from bench.faults.machine import Machine
from bench.faults.world import World, now

KIND: Final = "impostors"
_KNOCK: Final = "Connection from"
_SEEN_OFF: Final = re.compile(r"Connection (closed|reset)|Disconnected|Accepted publickey")
_SECONDS: Final = 25.0


async def mislead(world: World, count: int, dice: random.Random, pause: float) -> None:
    """`count` times a live run's line is cut and leads to the impostor, until it was met there."""
    for _ in range(count):
        await asyncio.sleep(dice.uniform(0.3, 1.7) * pause)
        machine = await connected(world, dice, set(), ("running",))
        if machine is None:
            world.fault(KIND, "impostor")
            continue
        await _lead_astray(world, machine)


async def _lead_astray(world: World, machine: Machine) -> None:
    run = world.live_on(machine)
    fault = world.fault(KIND, "impostor", machine.instance_id)
    fault.runs = (run.id,) if run else ()
    before, begun = world.impostor.log.count(_KNOCK), len(world.impostor.log)
    loop = asyncio.get_running_loop()
    until = loop.time() + _SECONDS
    machine.line.lead_to(world.impostor.port)
    machine.line.cut()
    while world.impostor.log.count(_KNOCK) == before and loop.time() < until:  # noqa: ASYNC110  sshd writes it
        await asyncio.sleep(0.1)
    # Until the visitor has left, or was let in.
    while not _SEEN_OFF.search(world.impostor.log, begun) and loop.time() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    fault.effective = run is not None and world.impostor.log.count(_KNOCK) > before
    machine.line.lead_to(machine.sshd.port)
    machine.line.cut()
    fault.until = now()
