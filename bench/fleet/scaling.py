"""
`workers`: short runs through one, two and four worker processes on one database: runs finished a second.

What is counted is the time from when all are due until the last has ended; the machines' processes and PostgreSQL
work on the same cores, so their CPU stands beside the workers'.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from sqlalchemy import text

from bench.fleet.ground import Fleet, fleet_of, say
from bench.fleet.machines import Manner
from bench.fleet.processes import unused_cpu
from bench.goals import Goal, Measured, times_faster

RUNS: Final = 300
ROUNDS: Final = 3
WORKERS: Final = (1, 2, 4)
_CONCURRENCY: Final = 500
_EVENTS: Final = 20
_PATIENCE: Final = 120.0
_PUT_OFF: Final = text(
    "UPDATE procrastinate_jobs SET scheduled_at = now() + interval '1 hour' WHERE queue_name = 'runs'"
)
_NOW_DUE: Final = text(
    "WITH due AS (UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE queue_name = 'runs' RETURNING id),"
    " told AS (SELECT pg_notify('procrastinate_queue_v1#runs',"
    " json_build_object('type', 'job_inserted', 'job_id', min(id))::text) FROM due)"
    " SELECT now() FROM told"
)
_LAST_ENDED: Final = text("SELECT max(finished_at) FROM gpu_test_runs")
_GOAL: Final = Goal("two workers against one: runs finished a second", "one worker", 1.8)


def measure(
    runs: int = RUNS, rounds: int = ROUNDS, workers: tuple[int, ...] = WORKERS
) -> dict[str, Any]:
    return asyncio.run(_measured(runs, rounds, workers))


async def _measured(runs: int, rounds: int, workers: tuple[int, ...]) -> dict[str, Any]:
    told: dict[int, list[dict[str, float]]] = {count: [] for count in workers}
    async with fleet_of(Manner(runs, seconds=1.0, events=_EVENTS)) as fleet:
        for _ in range(rounds):
            for count in workers:
                told[count].append(await _round(fleet, count, runs))
                say(f"{count} workers: {told[count][-1]}")
        endings = await fleet.endings()
    seconds = {count: [each["seconds"] for each in told[count]] for count in workers}
    ratios = {count: times_faster(seconds[count], seconds[workers[0]]) for count in workers[1:]}
    return {
        "cores": len(os.sched_getaffinity(0)),
        "runs": runs,
        "runs_per_s": {count: [runs / each for each in seconds[count]] for count in workers},
        "cpu_ms_a_run": {
            count: {
                name: 1000 * sum(each[name] for each in told[count]) / rounds / runs
                for name in ("workers_cpu_s", "postgres_cpu_s", "machines_cpu_s")
            }
            for count in workers
        },
        "cores_busy": {
            count: sum(each["busy"] for each in told[count]) / rounds for count in workers
        },
        # Of all processes of this machine: what was left, and what waited for the disk.
        "cores_idle": {
            count: sum(each["idle"] for each in told[count]) / rounds for count in workers
        },
        "cores_waiting_for_disk": {
            count: sum(each["disk"] for each in told[count]) / rounds for count in workers
        },
        "times_one": {count: ratio.ratio for count, ratio in ratios.items()},
        "endings": endings,
        "goals": [_GOAL.told(_of_two(ratios))],
    }


def _of_two(ratios: dict[int, Measured]) -> Measured:
    return ratios[2]


async def _round(fleet: Fleet, count: int, runs: int) -> dict[str, float]:
    """One run of each instance: asked for before the workers come, and due once all of them are there."""
    finished = (await fleet.counts()).finished
    await fleet.request_all()
    await fleet.execute(_PUT_OFF)
    async with fleet.workers(count, _CONCURRENCY) as workers:
        before, still = _spent(fleet, workers), unused_cpu()
        began = (await fleet.execute(_NOW_DUE)).scalar_one()
        await fleet.until("ending", lambda c: c.finished == finished + runs, _PATIENCE)
        ended = (await fleet.execute(_LAST_ENDED)).scalar_one()
        spent = {name: after - before[name] for name, after in _spent(fleet, workers).items()}
        idle, disk = (after - before for before, after in zip(still, unused_cpu(), strict=True))
    seconds = (ended - began).total_seconds()
    shares = {"busy": sum(spent.values()), "idle": idle, "disk": disk}
    return {"seconds": seconds, **spent, **{name: each / seconds for name, each in shares.items()}}


def _spent(fleet: Fleet, workers: list[Any]) -> dict[str, float]:
    return {
        "workers_cpu_s": sum(each.cpu_seconds() for each in workers),
        "postgres_cpu_s": fleet.postgres_cpu(),
        "machines_cpu_s": sum(each.cpu_seconds() for each in fleet.houses),
    }
