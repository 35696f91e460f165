"""
`runs-1000`: a thousand runs at once in one worker, and what a connection costs.

The CPU is the worker process's own, by the kernel's count; machines and PostgreSQL are processes of their own, but share
the cores of the machine. The goal's connection is connect, log in, launch and let go; what a run costs with all that is
written of it stands beside it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from sqlalchemy import text

from bench.fleet.ground import Fleet, fleet_of, say
from bench.fleet.machines import Manner
from bench.fleet.processes import child
from bench.goals import Goal, counted, of_samples

RUNS: Final = 1000
_EVENTS: Final = 200
_SAMPLES: Final = 5
_PATIENCE: Final = 240.0
_STORED: Final = text(
    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname ~"
    " '^(gpu_test_(runs|events|results|figures|telemetry)|performance_metrics|audit_log)'"
)
_NONE_FAILED: Final = Goal("1,000 concurrent runs, one worker: failures", "", 0, False, "runs")
_CPU: Final = Goal(
    "1,000 connections at once: client CPU a connection (connect, login, launch, close)",
    "",
    3.5,
    False,
    "ms",
)


def measure(runs: int = RUNS, seconds: float = 90.0) -> dict[str, Any]:
    """`seconds`: how long each run lasts at least; all are held until all are in."""
    return asyncio.run(_measured(runs, seconds))


async def _measured(runs: int, seconds: float) -> dict[str, Any]:
    manner = Manner(runs, seconds=seconds, events=_EVENTS, held=True)
    async with fleet_of(manner) as fleet:
        connections = [await connections_alone(fleet) for _ in range(_SAMPLES)]
        say(f"connections: {connections}")
        found = await _at_once(fleet, runs, seconds)
    failed = runs - found["endings"].get("passed", 0)
    cpu = of_samples([each["cpu_ms"] for each in connections])
    return {
        **found,
        "connection_cpu_ms": [each["cpu_ms"] for each in connections],
        "connections_wall_s": [each["wall_s"] for each in connections],
        "goals": [_NONE_FAILED.told(counted(failed)), _CPU.told(cpu)],
    }


async def connections_alone(fleet: Fleet) -> dict[str, float]:
    """CPU of a process that does nothing but connect to all machines, a connection."""
    async with child("-m", "bench.fleet.connects") as process:
        given = {"addresses": fleet.addresses, "private_key": fleet.key.private_key}
        process.tell(json.dumps(given))
        told: dict[str, float] = json.loads(await process.line(_PATIENCE))
        return told


async def _at_once(fleet: Fleet, runs: int, seconds: float) -> dict[str, Any]:
    """All runs in one worker, asked for at once and ended at once."""
    async with fleet.workers(1, runs + 100) as (worker,):
        before, server = worker.usage(), fleet.postgres_cpu()
        asked = await fleet.request_all()
        all_in = await fleet.until("running", lambda c: c.running == runs, _PATIENCE)
        launched = worker.usage()
        fleet.release()
        await fleet.until_all_ended(seconds + _PATIENCE)
        after = worker.usage()
        found = {
            "runs": runs,
            "events_a_run": _EVENTS,
            "all_running_s": asked + all_in,
            "endings": await fleet.endings(),
            "worker_cpu_ms_a_run_until_running": 1000
            * (launched.cpu_seconds - before.cpu_seconds)
            / runs,
            "worker_cpu_ms_a_run": 1000 * (after.cpu_seconds - before.cpu_seconds) / runs,
            "postgres_cpu_ms_a_run": 1000 * (fleet.postgres_cpu() - server) / runs,
            "worker_rss_mib": [each.rss_kib / 1024 for each in (before, launched, after)],
            "stored_bytes_a_run": float((await fleet.execute(_STORED)).scalar_one()) / runs,
            "trouble": fleet.trouble(),
        }
        say(str(found))
        return found
