"""
`memory`: what a run more costs a worker, all in, and what a machine costs that prints a gigabyte.

The slope is that of the worker's proportional set size between 100 runs that are held in `running` and 1,000, each after it
has told events for a while. A gigabyte is read by a worker that has read one before, of the same kind: the allocator and the
code are warm then, and what grows is what a machine could make grow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from bench.fleet.ground import Fleet, fleet_of, say
from bench.fleet.machines import Manner
from bench.fleet.processes import Child, Usage
from bench.goals import Goal, counted

FEW: Final = 100
MANY: Final = 1000
_LOOK_SECONDS: Final = 0.05
_PATIENCE: Final = 240.0
_SLOPE: Final = Goal("memory a concurrent run, slope 100 -> 1,000", "", 64, False, "KiB")
_FLOOD: Final = Goal("a machine that prints 1 GB: growth of the worker", "", 1, False, "MiB")


def measure(
    few: int = FEW,
    many: int = MANY,
    settle: float = 20.0,
    kinds: Sequence[str] = ("progress", "noise"),
) -> dict[str, Any]:
    """`settle`: seconds between the last run's beginning and the weighing."""
    return asyncio.run(_measured(few, many, settle, kinds))


async def _measured(few: int, many: int, settle: float, kinds: Sequence[str]) -> dict[str, Any]:
    slope = await _slope(few, many, settle)
    floods = {kind: await _flooded(kind) for kind in kinds}
    worst = max(each["growth_mib"] for each in floods.values())
    return {
        **slope,
        "floods": floods,
        "goals": [_SLOPE.told(counted(slope["kib_a_run"])), _FLOOD.told(counted(worst))],
    }


async def _slope(few: int, many: int, settle: float) -> dict[str, Any]:
    manner = Manner(many, seconds=2 * settle, events=max(1, round(2 * settle)), held=True)
    async with fleet_of(manner) as fleet, fleet.workers(1, many + 100) as (worker,):
        weighed = []
        for upto in (few, many):
            began = (await fleet.counts()).begun
            await fleet.request_all(fleet.instances[began:upto])
            await fleet.until("running", lambda c, upto=upto: c.running == upto, _PATIENCE)
            weighed.append(await _least(worker, settle))
            say(f"{upto} runs: {weighed[-1]}")
        fleet.release()
        await fleet.until_all_ended(_PATIENCE)
        endings = await fleet.endings()
    lighter, heavier = weighed
    return {
        "pss_kib": {few: lighter.pss_kib, many: heavier.pss_kib},
        "rss_kib": {few: lighter.rss_kib, many: heavier.rss_kib},
        "kib_a_run": (heavier.pss_kib - lighter.pss_kib) / (many - few),
        "rss_kib_a_run": (heavier.rss_kib - lighter.rss_kib) / (many - few),
        "endings": endings,
    }


async def _least(worker: Child, settle: float) -> Usage:
    """The process at the end of `settle` seconds, in which every run goes on telling."""
    await asyncio.sleep(settle)
    return worker.usage()


async def _flooded(kind: str) -> dict[str, Any]:
    """The most that the worker grows while a machine sends it a gigabyte, after another has."""
    async with fleet_of(Manner(2, says=kind)) as fleet, fleet.workers(1, 10) as (worker,):
        await _one_flood(fleet, worker, 0)
        before = worker.usage()
        most = await _one_flood(fleet, worker, 1)
        after = worker.usage()
        return {
            "before_kib": before.rss_kib,
            "most_kib": most,
            "after_kib": after.rss_kib,
            "growth_mib": (max(most, after.rss_kib) - before.rss_kib) / 1024,
            "endings": await fleet.endings(),
        }


async def _one_flood(fleet: Fleet, worker: Child, number: int) -> int:
    """The most resident KiB while that machine's run lasts."""
    await fleet.request_all(fleet.instances[number : number + 1])
    most = 0
    async with asyncio.timeout(_PATIENCE):
        while (await fleet.counts()).unfinished:
            most = max(most, worker.usage().rss_kib)
            await asyncio.sleep(_LOOK_SECONDS)
    return most
