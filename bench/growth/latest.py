"""
The newest 20 results of an instance, by the product's own query under the API's login and row security: of 10 million
beside 10 thousand, which lie in as many months, and beside 10 thousand that lie in one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final
from uuid import UUID

from bench.goals import Goal, times_faster
from bench.growth import retention
from bench.growth.ground import Growth, grown, server
from orchestrator.database import history
from orchestrator.database.session import Database, supplier

RESULTS: Final = 10_000_000
FEW: Final = 10_000
MONTHS: Final = 24
EACH: Final = 30  # results of an instance a month
ROUNDS: Final = 400
WARM_UP: Final = 100
NEWEST: Final = 20
_LARGEST: Final = 1.5


def measure(
    results: int = RESULTS, few: int = FEW, months: int = MONTHS, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Milliseconds of the query in an open transaction, in turns; and a month that is dropped (see retention.py)."""
    with server() as url:
        grounds = {
            "few": _grown(url, "few", few, months),
            "young": _grown(url, "young", few, 1),
            "many": _grown(url, "many", results, months),
        }
        taken = asyncio.run(_rounds(grounds, rounds))
        dropped = asyncio.run(retention.drop(grounds["many"]))
        sizes = {f"{name}_bytes": ground.sizes() for name, ground in grounds.items()}
    # The ratio of theirs to ours: how many times the time at ten thousand.
    compared = {name: times_faster(taken[name], taken["many"]) for name in ("few", "young")}
    goals = [
        _goal(f"latest {NEWEST} of an instance at {results:,} results", where).told(compared[name])
        for name, where in (
            ("few", f"{few:,} results in as many months"),
            ("young", f"{few:,} results in one month"),
        )
    ]
    return {
        "goals": [*goals, *dropped.pop("goals")],
        **{f"{name}_p50_ms": round(median(times), 3) for name, times in taken.items()},
        **sizes,
        **dropped,
    }


def _goal(goal: str, peer: str) -> Goal:
    return Goal(goal, peer, _LARGEST, at_least=False)


def _grown(url: str, name: str, results: int, months: int) -> Growth:
    instances = max(1, results // (months * EACH))
    print(f"{name}: {instances:,} instances, {months} months", file=sys.stderr, flush=True)
    return grown(url, name, instances=instances, months=months, each=EACH, runs=False)


async def _rounds(grounds: dict[str, Growth], rounds: int) -> dict[str, list[float]]:
    databases = {name: Database(ground.logins.api, pool_size=1) for name, ground in grounds.items()}
    asked = {name: ground.instances(min(200, rounds)) for name, ground in grounds.items()}
    taken: dict[str, list[float]] = {name: [] for name in grounds}
    try:
        for number in range(WARM_UP + rounds):
            order = sorted(grounds, reverse=number % 2 == 1)
            for name in order:
                instance_id = _of(asked[name], number)
                spent = await _newest(databases[name], grounds[name].user_id, instance_id)
                if number >= WARM_UP:
                    taken[name].append(spent)
    finally:
        for database in databases.values():
            await database.close()
    return taken


def _of(instances: Sequence[UUID], number: int) -> UUID:
    return instances[number % len(instances)]


async def _newest(database: Database, user_id: UUID, instance_id: UUID) -> float:
    async with database.transaction(supplier(user_id)) as session:
        began = time.perf_counter()
        rows = await history.newest(session, instance_id, NEWEST)
        spent = (time.perf_counter() - began) * 1000
    if len(rows) != NEWEST:
        raise AssertionError(f"{len(rows)} results")
    return spent
