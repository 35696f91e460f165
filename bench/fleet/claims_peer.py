"""
pgqueuer's claims, in its own environment: `python bench/fleet/claims_peer.py URL`. For each line "JOBS BATCH" on stdin it
enqueues jobs, and tells how long its manager takes to drain them. Nothing of ours is imported.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
import time

import psycopg
from pgqueuer.core.qm import QueueManager
from pgqueuer.db import PsycopgDriver
from pgqueuer.domain.types import QueueExecutionMode
from pgqueuer.queries import Queries


async def main(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await Queries(PsycopgDriver(connection)).install()
    names = ("pgqueuer", "psycopg")
    print(json.dumps({name: importlib.metadata.version(name) for name in names}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        jobs, batch = map(int, line.split())
        print(json.dumps({"seconds": await drained(url, jobs, batch)}), flush=True)


async def drained(url: str, jobs: int, batch: int) -> float:
    """Seconds until the last of the jobs has run, each of which does nothing; how the manager ends is not counted."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        last = 0.0
        manager = QueueManager(Queries(PsycopgDriver(connection)))

        @manager.entrypoint("run")
        async def run(job: object) -> None:
            nonlocal last
            last = time.perf_counter()

        await manager.queries.enqueue(["run"] * jobs, [b"{}"] * jobs, [0] * jobs)
        began = time.perf_counter()
        await manager.run(batch_size=batch, mode=QueueExecutionMode.drain)
        return last - began


asyncio.run(main(sys.argv[1]))
