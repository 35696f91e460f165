"""SIGKILL of workers and of the API, and SIGSTOP until everybody takes a worker for dead."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import Final

from bench.faults.crew import Member
from bench.faults.record import Fault
from bench.faults.world import World, now

KIND: Final = "kills"
_API_SHARE: Final = 0.08
_STOP_SHARE: Final = 0.12
_RANDOM_SHARE: Final = 0.15  # victims that are chosen whatever they do
_PATIENCE: Final = 120.0
_TAKEN_SECONDS: Final = 15.0
_SILENT_SECONDS: Final = 3.0
_ENDED_SECONDS: Final = 60.0


async def kill_some(world: World, count: int, dice: random.Random, pause: float) -> None:
    """`count` signals, `pause` seconds apart on average; returns when the last stopped worker goes on."""
    async with asyncio.TaskGroup() as waking:
        for _ in range(count):
            await asyncio.sleep(dice.uniform(0.3, 1.7) * pause)
            luck = dice.random()
            if luck < _API_SHARE:
                await _kill_api(world, dice)
            else:
                victim = await _victim(world, dice)
                if victim is None:
                    world.fault(KIND, "kill")
                elif luck < _API_SHARE + _STOP_SHARE:
                    fault = await _hit(world, victim, "stop")
                    waking.create_task(wake(world, victim, fault))
                else:
                    await _hit(world, victim, "kill")


async def wake(world: World, victim: Member, fault: Fault) -> None:
    """Let a stopped worker go on once its runs are others' (or have ended), or when that takes too long."""
    loop = asyncio.get_running_loop()
    epochs: dict[str, int] = dict(fault.detail.get("epochs", {}))
    # With nothing in hand there is nothing to take over: it is silent for long enough, and that is all.
    patience = _ENDED_SECONDS if world.plan.late else _TAKEN_SECONDS
    until = loop.time() + world.plan.stalled + (patience if epochs else _SILENT_SECONDS)
    while loop.time() < until and not victim.died.is_set():
        live = {run.id: run.epoch for run in world.ledger.live}
        ended = not epochs.keys() & live.keys()
        taken = all(live.get(run_id, epoch + 1) > epoch for run_id, epoch in epochs.items())
        if epochs and (ended if world.plan.late else taken):
            break
        await asyncio.sleep(0.2)
    # A moment more, so that the new owner has begun when the zombie comes back.
    await asyncio.sleep(1.0)
    victim.signal(signal.SIGCONT)
    victim.stopped = False
    fault.until = now()


async def _hit(world: World, victim: Member, action: str) -> Fault:
    """Stop it first, so that what it owns is certain, then kill it or leave it stopped."""
    victim.stopped = True
    victim.signal(signal.SIGSTOP)
    fault = world.fault(KIND, action, victim.name)
    owned = await world.ledger.owned_by(victim.name)
    fault.runs = tuple(run.id for run in owned)
    fault.detail["epochs"] = {run.id: run.epoch for run in owned}
    fault.detail["states"] = [run.state for run in owned]
    if action == "kill":
        fault.at = now()
        fault.effective = victim.signal(signal.SIGKILL) and bool(owned)
    else:
        fault.effective = bool(owned)
        await world.crew.stand_in()
    return fault


async def _victim(world: World, dice: random.Random) -> Member | None:
    """Mostly a worker with a run in hand; one is waited for."""
    if dice.random() < _RANDOM_SHARE:
        awake = [member for member in world.crew.workers if not member.stopped]
        return dice.choice(awake) if awake else None
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE
    while loop.time() < until:
        owners = {run.worker for run in world.ledger.live if run.owned}
        able = [m for m in world.crew.workers if m.name in owners and not m.stopped]
        if able:
            return dice.choice(able)
        await asyncio.sleep(0.1)
    return None


async def _kill_api(world: World, dice: random.Random) -> None:
    """With a request under way: an answer that was given is a promise, one that was not may be either."""
    fault = world.fault(KIND, "kill-api", "api")
    done = asyncio.Event()
    delay = dice.uniform(0.0, 0.03)

    def strike() -> None:
        asyncio.get_running_loop().call_later(delay, fall)

    def fall() -> None:
        api = world.crew.api
        fault.at = now()
        fault.effective = api is not None and api.signal(signal.SIGKILL)
        done.set()

    world.client.on_request = strike
    try:
        async with asyncio.timeout(_PATIENCE):
            await done.wait()
    except TimeoutError:
        world.client.on_request = None
