"""Jobs and workers: one transaction, one owner, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from orchestrator.database import claims, events
from orchestrator.database.events import Batch
from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import RunTakenOver
from orchestrator.domain.options import Options
from orchestrator.runs.engine import run_worker
from orchestrator.runs.execute import Worker
from tests.machines import scripted_machine
from tests.runs.conftest import Marketplace, worker_of
from tests.runs.machines import GOOD

DELETE_JOBS = text("DELETE FROM procrastinate_jobs")


@asynccontextmanager
async def working(*workers: Worker) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(run_worker(worker, stop)) for worker in workers]
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks)


async def finished(marketplace: Marketplace, *run_ids: object) -> list[str]:
    """The states of runs, once all are finished."""
    async with asyncio.timeout(60):
        while True:
            found = [await marketplace.run(run_id) for run_id in run_ids]  # type: ignore[arg-type]
            if all(run.finished_at for run in found):
                return [run.state for run in found]
            await asyncio.sleep(0.05)


async def test_two_workers_share_the_work(marketplace: Marketplace, tmp_path: Path) -> None:
    """Two workers on one database carry out every run exactly once between them."""
    second = worker_of(marketplace.databases, tmp_path, "worker-2")
    async with scripted_machine(GOOD) as machine:
        requested = []
        for _ in range(8):
            instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
            requested.append(await marketplace.request(instance, Options()))
        async with working(marketplace.worker, second):
            states = await finished(marketplace, *(run.id for run in requested))
    assert states == ["passed"] * 8
    ended = [await marketplace.run(run.id) for run in requested]
    assert {run.epoch for run in ended} == {1}
    assert {run.worker for run in ended} <= {"worker-1", "worker-2"}


async def test_a_run_that_lost_its_job_gets_another(marketplace: Marketplace) -> None:
    """A run without a job (its worker was killed, its job aborted) is found by the sweep and carried out."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            await session.exec(DELETE_JOBS)  # type: ignore[call-overload]
        async with working(marketplace.worker):
            assert await finished(marketplace, run.id) == ["passed"]


async def test_a_worker_that_was_presumed_dead_can_write_nothing(marketplace: Marketplace) -> None:
    """Each claim raises the epoch; a write under an older one changes nothing and says so."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
    run = await marketplace.request(instance, Options())
    database = marketplace.databases.worker
    async with database.transaction(SERVICE) as session:
        zombie = await claims.claim(session, run.id, "zombie")
    async with database.transaction(SERVICE) as session:
        owner = await claims.claim(session, run.id, "owner")
    assert zombie is not None
    assert owner is not None
    assert owner.run.epoch == zombie.run.epoch + 1 == 2
    async with database.transaction(SERVICE) as session:
        assert await claims.claim(session, run.id, "zombie", held=zombie.run.epoch) is None
        again = await claims.claim(session, run.id, "owner", held=owner.run.epoch)
        assert again is not None
        # Its claim was committed and the answer lost: it is still the one that holds the run.
        assert await claims.claim(session, run.id, "owner", held=owner.run.epoch) is not None
    with pytest.raises(RunTakenOver):
        async with database.transaction(SERVICE) as session:
            await events.append(session, run.id, 1, Batch((), {"remote_offset": 100}))
    assert (await marketplace.run(run.id)).remote_offset == 0


async def test_a_finished_run_is_never_run_again(marketplace: Marketplace) -> None:
    """A job that is delivered twice finds its run finished and does nothing."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.execute(instance, Options())
        execs = len(machine.execs)
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            assert await claims.claim(session, run.id, "again") is None
        assert len(machine.execs) == execs
