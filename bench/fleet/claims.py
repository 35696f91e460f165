"""
`claims`: how many runs a second can be claimed through our engine, by one worker process and by two, against pgqueuer on
the same PostgreSQL in turns, and against the load of 100,000 instances.

A claim of ours is a job that is fetched, the run claimed under a new epoch with its instance read, and the job ended: four
transactions. pgqueuer's is a job that is taken and ended, many in one statement; nothing there has an epoch.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

import psycopg
from sqlalchemy import make_url, text

from bench.fleet.ground import PEERS, Fleet, fleet_of, say
from bench.fleet.machines import Manner
from bench.fleet.processes import Child, child
from bench.goals import Goal, of_samples, times_faster
from orchestrator.database import jobs
from orchestrator.database.session import SERVICE

RUNS: Final = 1000
ROUNDS: Final = 5
INSTANCES: Final = 100_000
PEAK: Final = 24  # all of a day's tests within one hour
BATCHES: Final = (1, 10)  # pgqueuer's own default is 10
_PEER: Final = Path(__file__).with_name("claims_peer.py")
_LOAD: Final = INSTANCES / 86_400
_LOOK_SECONDS: Final = 0.05
_PATIENCE: Final = 120.0
_GOAL: Final = Goal(
    f"claims: what one worker takes of {INSTANCES:,} tests a day, all within one hour", "", 1.0
)
_INSTANCES_SQL: Final = text(
    "INSERT INTO gpu_instances (user_id, vast_instance_id, ssh_host, ssh_port, ssh_user, gpu_name)"
    " SELECT :user_id, 'machine-' || n, '127.0.0.1', 22, 'fleet', 'CPU' FROM generate_series(1, :count) n RETURNING id"
)
_CLAIMS: Final = text("SELECT sum(epoch) FROM gpu_test_runs")


def measure(runs: int = RUNS, rounds: int = ROUNDS) -> dict[str, Any]:
    return asyncio.run(_measured(runs, rounds))


async def _measured(runs: int, rounds: int) -> dict[str, Any]:
    async with fleet_of(Manner(0)) as fleet, AsyncExitStack() as stack:
        async with fleet.service.transaction(SERVICE) as session:
            given = {"user_id": fleet.owner.user_id, "count": runs}
            rows = await session.exec(_INSTANCES_SQL, params=given)  # type: ignore[call-overload]
            fleet.instances = [row[0] for row in rows]
        await fleet.request_all()
        async with fleet.service.transaction(SERVICE) as session:
            await session.exec(text("DELETE FROM procrastinate_jobs"))  # type: ignore[call-overload]
        peer = await _peer_of(fleet, stack)
        versions = json.loads(await peer.line(_PATIENCE)) if peer else {}
        one, theirs, server = await _in_turns(fleet, peer, runs, rounds)
        two = await _of_two(fleet, runs, rounds)
    rates = [runs / seconds for seconds in one]
    peak = _LOAD * PEAK
    against = times_faster(one, theirs[BATCHES[-1]]) if peer else None
    return {
        "runs": runs,
        "peer": versions,
        "ours_claims_per_s": rates,
        "ours_two_processes_claims_per_s": [runs / seconds for seconds in two],
        **{
            f"pgqueuer_batch_{batch}_claims_per_s": [runs / seconds for seconds in theirs[batch]]
            for batch in BATCHES
        },
        "ours_to_pgqueuer": [against.ratio, against.low, against.high] if against else None,
        "postgres_cpu_ms_a_claim": server,
        "postgres_core_claims_per_s": 1000 / median(server),
        "load_per_s": _LOAD,
        "peak_load_per_s": peak,
        "goals": [_GOAL.told(of_samples([rate / peak for rate in rates]))],
    }


async def _peer_of(fleet: Fleet, stack: AsyncExitStack) -> Child | None:
    """None where its environment has not been made."""
    if not PEERS.exists():
        return None
    return await stack.enter_async_context(child(str(_PEER), _peer_url(fleet), python=PEERS))


async def _in_turns(
    fleet: Fleet, peer: Child | None, runs: int, rounds: int
) -> tuple[list[float], dict[int, list[float]], list[float]]:
    """Seconds of ours and of pgqueuer's with each batch, and PostgreSQL's CPU a claim of ours."""
    ours: list[float] = []
    server: list[float] = []
    theirs: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    async with fleet.claimers(1):
        await _claimed(fleet)  # plans are made, statements prepared
        for number in range(rounds):
            before = fleet.postgres_cpu()
            ours.append(await _claimed(fleet))
            server.append(1000 * (fleet.postgres_cpu() - before) / runs)
            for batch in BATCHES if peer else ():
                assert peer is not None
                peer.tell(f"{runs} {batch}")
                theirs[batch].append(json.loads(await peer.line(_PATIENCE))["seconds"])
            say(f"round {number + 1}: ours {runs / ours[-1]:.0f} claims/s")
    return ours, theirs, server


async def _of_two(fleet: Fleet, runs: int, rounds: int) -> list[float]:
    async with fleet.claimers(2):
        await _claimed(fleet)
        return [await _claimed(fleet) for _ in range(rounds)]


async def _claimed(fleet: Fleet) -> float:
    """Seconds for as many claims as there are runs, all of which wait in the queue at first."""
    async with fleet.service.transaction(SERVICE) as session:
        await jobs.requeue_lost(session)
    began = time.perf_counter()
    first = last = (await fleet.execute(_CLAIMS)).scalar_one()
    async with asyncio.timeout(_PATIENCE):
        while last < first + len(fleet.instances):
            await asyncio.sleep(_LOOK_SECONDS)
            last = (await fleet.execute(_CLAIMS)).scalar_one()
    # The sweep gives a job to runs that have none: it may have been a few more.
    return (time.perf_counter() - began) * len(fleet.instances) / (last - first)


def _peer_url(fleet: Fleet) -> str:
    """A database of its own on the same server."""
    with psycopg.connect(fleet.owner_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE peer")
    return make_url(fleet.owner_url).set(database="peer").render_as_string(hide_password=False)
