"""Which faults are wanted and how many of each, and all of them at once upon one world."""

from __future__ import annotations

import argparse
import asyncio
import random
from dataclasses import dataclass
from typing import Final

from bench.faults import arms, cancels, crowds, cuts, impostors, kills, outages
from bench.faults.arms import Aim, Armoury
from bench.faults.load import Load
from bench.faults.world import World

KINDS: Final = {
    kills.KIND: "SIGKILL and SIGSTOP of workers, SIGKILL of the API",
    arms.KIND: "crash, SIGSTOP or error at named points",
    cuts.KIND: "lines cut, frozen, throttled, parted",
    outages.KIND: "immediate stops of PostgreSQL",
    impostors.KIND: "lines that lead to another sshd",
    crowds.KIND: "requests at once for one instance",
    cancels.KIND: "runs cancelled, also over a parted line and as their worker dies",
}
FULL: Final = {
    kills.KIND: 1000,
    arms.KIND: 1000,
    cuts.KIND: 500,
    outages.KIND: 100,
    impostors.KIND: 50,
    crowds.KIND: 10_000,
    cancels.KIND: 50,
}
_FULL_RUNS: Final = 500
_DRAIN_SECONDS: Final = 240.0


@dataclass(frozen=True)
class Chosen:
    """
    Counts by kind; `runs` are requested at least. `full`: outages as long as the targets say. `aim`: what
    failpoints are all about.
    """

    counts: dict[str, int]
    runs: int
    full: bool = False
    pause: float = 1.5
    aim: Aim | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Chosen:
        """What the command line asks for; the full form where it names no count."""
        counts = {kind: getattr(options, kind.replace("-", "_")) for kind in KINDS}
        aim = Aim(options.point, options.action) if options.point else None
        if aim is not None:
            counts[arms.KIND] = counts[arms.KIND] or 1
        if not any(counts.values()) and options.runs is None:
            return cls(FULL, _FULL_RUNS, True, options.pause)
        filled = {kind: count or 0 for kind, count in counts.items()}
        return cls(filled, options.runs or 6, options.full, options.pause, aim)


async def strike(world: World, chosen: Chosen, dice: random.Random) -> None:
    """Load and faults together; returns when the faults are through and the runs have ended."""
    # Each has dice of its own, so that one kind's choices don't hang on another's timing.
    dices = {kind: random.Random(dice.random()) for kind in (*KINDS, "load")}
    cases = arms.cases(chosen.counts[arms.KIND], dices[arms.KIND], chosen.aim)
    armoury = Armoury.of(world, cases)
    load = Load(world, chosen.runs, dices["load"], armoury.prepare)
    async with asyncio.TaskGroup() as parts:
        watching = parts.create_task(world.watch())
        keeping = parts.create_task(load.keep_up())
        await _all_faults(world, chosen, dices, armoury)
        load.enough = True
        await keeping
        await load.drain(_DRAIN_SECONDS)
        watching.cancel()


async def _all_faults(
    world: World, chosen: Chosen, dices: dict[str, random.Random], armoury: Armoury
) -> None:
    """Every kind at once, each in its own rhythm."""
    counts, pause = chosen.counts, chosen.pause
    async with asyncio.TaskGroup() as faults:
        faults.create_task(kills.kill_some(world, counts[kills.KIND], dices[kills.KIND], pause))
        faults.create_task(armoury.fire_all())
        faults.create_task(
            cuts.cut_some(world, counts[cuts.KIND], dices[cuts.KIND], pause, full=chosen.full)
        )
        faults.create_task(
            outages.stop_postgres(world, counts[outages.KIND], dices[outages.KIND], 5 * pause)
        )
        faults.create_task(
            impostors.mislead(world, counts[impostors.KIND], dices[impostors.KIND], 2 * pause)
        )
        faults.create_task(
            cancels.cancel_some(world, counts[cancels.KIND], dices[cancels.KIND], 2 * pause)
        )
        faults.create_task(crowds.crowd(world, counts[crowds.KIND], dices[crowds.KIND], pause / 2))
