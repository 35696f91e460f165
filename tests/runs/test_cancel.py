"""Cancelling: on the machine first, then on record; nothing is left either way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.database import claims
from orchestrator.database.events import NewEvent
from orchestrator.database.models import Run
from orchestrator.database.session import SERVICE, supplier
from orchestrator.domain.errors import NotFound
from orchestrator.domain.options import Options
from orchestrator.runs.cancel import cancel_run
from orchestrator.runs.execute import execute_run
from orchestrator.runs.journal import Journal
from tests.machines import scripted_machine
from tests.runs.conftest import Marketplace
from tests.runs.machines import GOOD, HOLDS, WILL_NOT_CLEAN
from tests.runs.test_engine import finished, working

JOBS = text("SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'")


async def _cancel(marketplace: Marketplace, run_id: UUID) -> Run:
    return await cancel_run(marketplace.databases.api, supplier(marketplace.user_id), run_id)


async def _until_launched(marketplace: Marketplace, run_id: UUID) -> None:
    async with asyncio.timeout(20):
        while (await marketplace.run(run_id)).remote_offset == 0:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _heeding(marketplace: Marketplace) -> AsyncIterator[None]:
    """What the engine runs beside the runs of a process."""
    worker = marketplace.worker
    polling = asyncio.create_task(worker.cancellations.poll(worker.database))
    try:
        yield
    finally:
        polling.cancel()
        await asyncio.wait({polling})


async def test_a_queued_run_ends_at_once(marketplace: Marketplace) -> None:
    """Nobody has begun it: it ends with the request, its instance is as before, its job is gone, and no worker runs it."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        cancelled = await _cancel(marketplace, run.id)
        assert (cancelled.state, cancelled.error_code) == ("cancelled", "cancelled")
        assert (await marketplace.instance(instance.id)).status == "pending"
        assert [event.type for event in await marketplace.events(run.id)] == ["ended"]
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            assert (await session.exec(JOBS)).scalar_one() == 0  # type: ignore[call-overload]
        await execute_run(run.id, marketplace.worker)
        assert machine.execs == []
        again = await _cancel(marketplace, run.id)
        assert again.finished_at == cancelled.finished_at
        assert (await marketplace.execute(instance, Options())).state == "passed"


async def test_a_run_at_work_is_ended_on_the_machine_first(marketplace: Marketplace) -> None:
    """The worker leaves the benchmark, has the machine end and remove it, and only then records the end."""
    async with scripted_machine(HOLDS) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        async with working(marketplace.worker):
            await _until_launched(marketplace, run.id)
            asked = await _cancel(marketplace, run.id)
            assert asked.finished_at is None
            assert await finished(marketplace, run.id) == ["cancelled"]
    ended = await marketplace.run(run.id)
    assert ended.cleaned_at is not None
    assert ended.cleaned_at <= (ended.finished_at or ended.cleaned_at)
    assert len([command for command in machine.execs if " clean " in command]) == 1
    assert (await marketplace.instance(instance.id)).test_status == "not_started"


async def test_a_wish_during_a_partition_is_carried_out_when_the_line_is_back(
    marketplace: Marketplace,
) -> None:
    """A machine that can't be reached is sought on; the run is cancelled once it was ended there."""
    async with scripted_machine(HOLDS) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        async with _heeding(marketplace):
            working_on = asyncio.create_task(execute_run(run.id, marketplace.worker))
            await _until_launched(marketplace, run.id)
            machine.reachable = False
            await machine.hang_up()
            await _cancel(marketplace, run.id)
            await machine.turned_away.wait()
            assert (await marketplace.run(run.id)).finished_at is None
            machine.reachable = True
            async with asyncio.timeout(30):
                await working_on
    ended = await marketplace.run(run.id)
    assert (ended.state, ended.cleaned_at is not None) == ("cancelled", True)


async def test_a_wish_is_heeded_by_the_next_worker(marketplace: Marketplace) -> None:
    """The worker that had the run is gone: whoever gets it next ends it and measures nothing."""
    async with scripted_machine(HOLDS) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        first = asyncio.create_task(execute_run(run.id, marketplace.worker))
        await _until_launched(marketplace, run.id)
        first.cancel()
        await asyncio.wait({first})
        await _cancel(marketplace, run.id)
        await execute_run(run.id, marketplace.worker)
        launches = [command for command in machine.execs if " launch " in command]
    assert (await marketplace.run(run.id)).state == "cancelled"
    assert len(launches) == 1


async def test_a_machine_that_is_gone_does_not_keep_a_cancelled_run(
    marketplace: Marketplace,
) -> None:
    """Past the deadline nothing can be alive there: the run is cancelled, and the janitor keeps it in mind."""
    async with scripted_machine(HOLDS) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        first = asyncio.create_task(execute_run(run.id, marketplace.worker))
        await _until_launched(marketplace, run.id)
        first.cancel()
        await asyncio.wait({first})
    await _cancel(marketplace, run.id)
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        late = text("UPDATE gpu_test_runs SET launched_at = now() - interval '1 day'")
        await session.exec(late)  # type: ignore[call-overload]
    await execute_run(run.id, marketplace.worker)
    ended = await marketplace.run(run.id)
    assert (ended.state, ended.cleaned_at) == ("cancelled", None)
    assert ended.clean_due_at is not None


async def test_only_its_supplier_cancels_a_run(marketplace: Marketplace) -> None:
    """To another supplier the run does not exist."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
    run = await marketplace.request(instance, Options())
    stranger = supplier(await marketplace.databases.new_supplier("stranger@example.com"))
    with pytest.raises(NotFound):
        await cancel_run(marketplace.databases.api, stranger, run.id)
    assert (await marketplace.run(run.id)).state == "queued"


async def test_a_machine_that_refuses_does_not_keep_a_cancelled_run(
    marketplace: Marketplace,
) -> None:
    """Only our database says who owns a run: it is cancelled once, and the machine is asked again later."""
    async with scripted_machine(WILL_NOT_CLEAN) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        async with _heeding(marketplace):
            working_on = asyncio.create_task(execute_run(run.id, marketplace.worker))
            await _until_launched(marketplace, run.id)
            await _cancel(marketplace, run.id)
            async with asyncio.timeout(20):
                await working_on
    ended = await marketplace.run(run.id)
    assert (ended.state, ended.cleaned_at, ended.epoch) == ("cancelled", None, 1)
    assert ended.clean_due_at is not None


async def test_a_wish_that_meets_a_busy_gpu_is_not_put_off(marketplace: Marketplace) -> None:
    """A run that goes back to the queue while somebody wants it ended, ends."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
    run = await marketplace.request(instance, Options())
    database = marketplace.databases.worker
    async with database.transaction(SERVICE) as session:
        claimed = await claims.claim(session, run.id, "worker-1")
    assert claimed is not None
    journal = await Journal.resume(database, claimed.run, deadline_seconds=60)
    await _cancel(marketplace, run.id)
    later = datetime.now(UTC) + timedelta(hours=1)
    await journal.postpone(later, NewEvent("postponed", {}, datetime.now(UTC)))
    ended = await marketplace.run(run.id)
    assert ended.state == "cancelled"
    assert (await marketplace.instance(instance.id)).status == "pending"
