"""A month of the results that is dropped as the engine's tidying drops it, while the rest is there."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Final

from bench.goals import Goal, of_samples
from bench.growth.ground import Growth, grown, server
from orchestrator.database import months
from orchestrator.database.session import SERVICE, Database

RESULTS: Final = 10_000_000
MONTHS: Final = 24
EACH: Final = 30
DROPPED: Final = 5
_MOST_MS: Final = 100.0


def measure(results: int = RESULTS, kept: int = MONTHS) -> dict[str, Any]:
    """Alone; `latest-20` measures the same on the results that it has made."""
    instances = max(1, results // (kept * EACH))
    with server() as url:
        ground = grown(url, "many", instances=instances, months=kept, each=EACH, runs=False)
        return asyncio.run(drop(ground))


async def drop(ground: Growth, count: int = DROPPED) -> dict[str, Any]:
    """
    Milliseconds from BEGIN to the end of COMMIT, of the oldest months in turn; and of the statement alone: the locks that
    readers wait for are given back before COMMIT removes the files.
    """
    database = Database(ground.logins.worker, pool_size=1)
    taken, locked, gone = [], [], 0
    try:
        async with database.transaction(SERVICE) as session:
            there = await months.of_all(session, 0)
        past = [month for month in there if month.begins is not None and month.results]
        for number, month in enumerate(past[: min(count, len(past) - 2)]):
            kept = len(past) - 2 - number
            began = time.perf_counter()
            async with database.transaction(SERVICE) as session:
                asked = time.perf_counter()
                name = await months.drop_oldest(session, kept)
                locked.append((time.perf_counter() - asked) * 1000)
            taken.append((time.perf_counter() - began) * 1000)
            if name != month.name:
                raise AssertionError(f"{name} instead of {month.name}")
            gone += month.results
            print(f"{name}: {taken[-1]:.1f} ms", file=sys.stderr, flush=True)
    finally:
        await database.close()
    goal = Goal(f"retention: drop a month of {ground.results:,} results", "", _MOST_MS, False, "ms")
    return {
        "goals": [goal.told(of_samples(taken))],
        "months_dropped": len(taken),
        "results_of_them": gone,
        "drop_ms": [round(each, 1) for each in taken],
        "statement_ms": [round(each, 1) for each in locked],
    }
