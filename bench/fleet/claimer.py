"""
A worker whose runs end when they are claimed: `python -m bench.fleet.claimer`. The engine is the product's, with its
connections, its loop that fetches jobs, and the claim of the run under a new epoch; what would follow on a machine is left out.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from bench.fleet.ground import settings_here
from orchestrator import log
from orchestrator.cli.desk import open_login
from orchestrator.cli.signals import stop_signals
from orchestrator.cli.vault import ready_vault
from orchestrator.database.logins import database_logins
from orchestrator.runs import engine, execute
from orchestrator.runs.execute import Worker


async def _only_claim(run_id: UUID, worker: Worker) -> None:
    await execute._claim(run_id, worker, None)


async def main() -> None:
    log.configure("error", "json")
    settings = settings_here()
    claiming: Any = engine
    claiming.execute_run = _only_claim
    with (
        database_logins(settings) as logins,
        stop_signals() as stop,
    ):  # who is killed keeps the server up
        database = open_login(settings, logins.worker, settings.database.pool_size)
        worker = Worker(database, await ready_vault(settings, database), settings, "claimer")
        await engine.run_worker(worker, stop)
        await database.close()


if __name__ == "__main__":
    asyncio.run(main())
