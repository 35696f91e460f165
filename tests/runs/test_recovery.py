"""What was put off, presumed dead, hung or left behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from procrastinate import App
from procrastinate.exceptions import ConnectorException

from orchestrator.database import claims, jobs, runs
from orchestrator.database.session import SERVICE, supplier
from orchestrator.domain.errors import HostUnreachable, RunInProgress
from orchestrator.domain.options import Options
from orchestrator.runs import engine
from orchestrator.runs.cancel import cancel_run
from orchestrator.runs.conclude import Outcome, conclude
from orchestrator.runs.engine import Engine
from orchestrator.runs.execute import execute_run
from orchestrator.runs.journal import Journal
from tests.machines import SshdMachine, scripted_machine
from tests.runs.conftest import SMALL, Marketplace, left_behind, sql, worker_of
from tests.runs.machines import GOOD, HOLDS, busy
from tests.runs.test_engine import finished, working


async def test_a_busy_gpu_puts_the_run_off(marketplace: Marketplace) -> None:
    """Nothing was started: the run is back in the queue with a job for later, and passes when the GPU is free."""
    async with scripted_machine(busy("gpu_busy", "gpu 0 is used by 1 process")) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.execute(instance, Options())
        assert (run.state, run.launched_at, run.finished_at) == ("queued", None, None)
        assert run.not_before is not None
        assert run.not_before > datetime.now(UTC)
        told = [event for event in await marketplace.events(run.id) if event.type == "postponed"]
        assert [event.body["code"] for event in told] == ["gpu_busy"]
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            scheduled = await sql(
                session, "SELECT max(scheduled_at) FROM procrastinate_jobs WHERE status = 'todo'"
            )
        assert scheduled == run.not_before
        await execute_run(run.id, marketplace.worker)
    assert (await marketplace.run(run.id)).state == "passed"


async def test_patience_with_a_busy_gpu_ends(marketplace: Marketplace) -> None:
    """After the time that a run may wait it ends, and nothing is held against the supplier."""
    async with scripted_machine(busy("gpu_stays_busy", "gpu 0")) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            await sql(session, "UPDATE gpu_test_runs SET created_at = now() - interval '1 day'")
        await execute_run(run.id, marketplace.worker)
    ended = await marketplace.run(run.id)
    assert (ended.state, ended.error_code) == ("inconclusive", "gpu_busy")
    assert (await marketplace.instance(instance.id)).status == "pending"


async def test_an_own_benchmark_that_should_be_over_makes_way(marketplace: Marketplace) -> None:
    """The machine names a finished run of this instance: it is ended there, and the new one is launched."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        old = await marketplace.execute(instance, Options())
    async with scripted_machine(busy("old_run", f"run {old.id}")) as machine:
        again = await marketplace.onboard(machine.target(), "NVIDIA H100")
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            await sql(
                session,
                "UPDATE gpu_test_runs SET instance_id = :new WHERE id = :old",
                new=again.id,
                old=old.id,
            )
        run = await marketplace.execute(again, Options())
        cleaned = [command for command in machine.execs if f"clean --run {old.id}" in command]
    assert run.state == "passed"
    assert len(cleaned) == 1


async def test_the_test_of_a_neighbour_is_waited_for(marketplace: Marketplace) -> None:
    """A run that is not of this instance is none of our business: it is not touched, ours is put off."""
    stranger = UUID(int=7)
    async with scripted_machine(busy("neighbour", f"run {stranger}")) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.execute(instance, Options())
    assert run.state == "queued"
    assert not [command for command in machine.execs if str(stranger) in command]


async def test_a_job_for_later_does_not_outlive_its_run(marketplace: Marketplace) -> None:
    """The instance's next run must not wait for a job of one that was put off and ended before its time."""
    async with scripted_machine(busy("busy_once", "gpu 0")) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.execute(instance, Options())
        await execute_run(run.id, marketplace.worker)
    assert (await marketplace.run(run.id)).state == "passed"
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        assert (
            await sql(session, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'") == 0
        )


async def test_the_end_of_a_run_and_the_next_request_never_block_each_other(
    marketplace: Marketplace,
) -> None:
    """They lock instance and run in one order: the request is refused or accepted, at once, and never fails."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
    database = marketplace.databases.worker
    for _ in range(8):
        run = await marketplace.request(instance, Options())
        async with database.transaction(SERVICE) as session:
            claimed = await claims.claim(session, run.id, "worker-1")
        assert claimed is not None
        journal = await Journal.resume(database, claimed.run, deadline_seconds=60)

        async def ask() -> None:
            with suppress(RunInProgress):
                await marketplace.request(instance, Options())

        await asyncio.gather(conclude(journal, Outcome.of_error(HostUnreachable())), ask())
        async with database.transaction(SERVICE) as session:
            last = await runs.unfinished(session, instance.id)
        if last is not None:
            await cancel_run(marketplace.databases.api, supplier(marketplace.user_id), last.id)


async def test_a_worker_that_was_presumed_dead_ends_no_job_of_its_successor(
    marketplace: Marketplace,
) -> None:
    """Once a job was given to another worker, the first one's `finished` changes nothing."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        await marketplace.request(instance, Options())
    app = Engine(marketplace.worker).app
    async with app.open_async():
        first = await _take_job(app)
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            await sql(
                session,
                "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'",
            )
            taken = await jobs.take_back_stalled(session, 5)
        assert taken == [first.id]
        second = await _take_job(app)
        await app.job_manager.finish_job(first, first_status := engine.Status.SUCCEEDED, True)
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            assert await sql(session, "SELECT status FROM procrastinate_jobs") == "doing"
        await app.job_manager.finish_job(second, first_status, True)
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            assert await sql(session, "SELECT count(*) FROM procrastinate_jobs") == 0


async def test_a_sweep_that_died_stops_no_other(marketplace: Marketplace) -> None:
    """Jobs of runs are taken back although a dead worker's sweep, and the next one, are there too."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        await marketplace.request(instance, Options())
    app = Engine(marketplace.worker).app
    async with app.open_async():
        job = await _take_job(app)
        for status in ("doing", "doing", "todo"):
            async with marketplace.databases.worker.transaction(SERVICE) as session:
                await sql(
                    session,
                    "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, status)"
                    " VALUES ('sweeps', 'sweep', 'sweep', CAST(:status AS procrastinate_job_status))",
                    status=status,
                )
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await sql(session, "UPDATE procrastinate_workers SET last_heartbeat = '2000-01-01'")
        assert await jobs.take_back_stalled(session, 5) == [job.id]
        left = await sql(
            session,
            "SELECT string_agg(status::text, ' ') FROM procrastinate_jobs WHERE task_name = 'sweep'",
        )
    assert left == "todo"


async def test_the_jobs_of_living_workers_are_left_alone(marketplace: Marketplace) -> None:
    """Only a job whose worker was silent is given to others."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        await marketplace.request(instance, Options())
    app = Engine(marketplace.worker).app
    async with app.open_async():
        await _take_job(app)
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        assert await jobs.take_back_stalled(session, 5) == []


async def test_a_hung_engine_is_replaced(
    marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that writes no heartbeat and does not end is given up; its runs are taken on by the next."""
    hung = asyncio.Event()

    async def hang(self: object) -> None:
        if not hung.is_set():
            hung.set()
            await asyncio.Event().wait()
        await work(self)  # type: ignore[arg-type]

    work = Engine.work
    monkeypatch.setattr(Engine, "work", hang)
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        async with working(marketplace.worker):
            await hung.wait()
            assert await finished(marketplace, run.id) == ["passed"]


async def test_an_engine_that_stops_by_itself_is_replaced(
    marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """procrastinate ends its worker at the first heartbeat that fails; ours starts another."""
    failed = asyncio.Event()

    async def fail_once(self: object, worker_id: int) -> None:
        if not failed.is_set():
            failed.set()
            raise ConnectorException
        await beat(self, worker_id)  # type: ignore[arg-type]

    beat = engine._FencedJobs.update_heartbeat
    monkeypatch.setattr(engine._FencedJobs, "update_heartbeat", fail_once)
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        async with working(marketplace.worker):
            await failed.wait()
            run = await marketplace.request(instance, Options())
            assert await finished(marketplace, run.id) == ["passed"]


async def test_a_zombie_starts_no_run_that_has_ended(
    marketplace: Marketplace, machine: SshdMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A worker that slept between connecting and launching, while another carried the run out and cleaned up, is
    refused by the machine: nothing is started again.
    """
    instance = await marketplace.onboard(machine.target())
    run = await marketplace.request(instance, SMALL)
    second = worker_of(marketplace.databases, marketplace.worker.settings.state_dir, "worker-2")
    woken = asyncio.Event()

    async def sleep_before_launch(self: object) -> None:
        await launching(self)  # type: ignore[arg-type]
        if not woken.is_set():
            woken.set()
            await execute_run(run.id, second)  # all of it, while the first one sleeps

    launching = Journal.launching
    monkeypatch.setattr(Journal, "launching", sleep_before_launch)
    await execute_run(run.id, marketplace.worker)
    ended = await marketplace.run(run.id)
    assert (ended.state, ended.worker) == ("passed", "worker-2")
    assert left_behind(machine) == []
    told = await marketplace.events(run.id)
    assert len([event for event in told if event.type == "started"]) == 1


async def test_what_a_zombie_started_is_the_new_owners(
    marketplace: Marketplace, machine: SshdMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that lost the run just before it launched leaves the benchmark running for the one that has it."""
    instance = await marketplace.onboard(machine.target())
    run = await marketplace.request(instance, SMALL)

    async def lose_it(self: object) -> None:
        await launching(self)  # type: ignore[arg-type]
        monkeypatch.undo()
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            await claims.claim(session, run.id, "worker-2")

    launching = Journal.launching
    monkeypatch.setattr(Journal, "launching", lose_it)
    await execute_run(run.id, marketplace.worker)
    assert left_behind(machine) == [str(run.id)]
    await execute_run(run.id, marketplace.worker)
    assert (await marketplace.run(run.id)).state == "passed"
    told = await marketplace.events(run.id)
    running = [event.body for event in told if event.body.get("state") == "running"]
    assert [body["attached"] for body in running] == [True]


async def test_what_a_zombie_started_for_a_run_that_has_ended_is_ended(
    marketplace: Marketplace, machine: SshdMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody will attach to it: where the run was concluded without the machine, the zombie takes it back."""
    instance = await marketplace.onboard(machine.target())
    run = await marketplace.request(instance, SMALL)

    async def end_it(self: object) -> None:
        await launching(self)  # type: ignore[arg-type]
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            await sql(
                session,
                "UPDATE gpu_test_runs SET state = 'cancelled', error_code = 'cancelled', epoch = epoch + 1,"
                " finished_at = now()",
            )

    launching = Journal.launching
    monkeypatch.setattr(Journal, "launching", end_it)
    await execute_run(run.id, marketplace.worker)
    assert (await marketplace.run(run.id)).state == "cancelled"
    assert left_behind(machine) == []


async def test_a_worker_that_stops_leaves_its_runs_to_others(marketplace: Marketplace) -> None:
    """Stopping a worker ends no run: another attaches within seconds."""
    async with scripted_machine(HOLDS) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        async with working(marketplace.worker):
            async with asyncio.timeout(20):
                while (await marketplace.run(run.id)).remote_offset == 0:
                    await asyncio.sleep(0.02)
        stopped = await marketplace.run(run.id)
        assert stopped.finished_at is None
        async with working(marketplace.worker), asyncio.timeout(20):
            while (await marketplace.run(run.id)).epoch == stopped.epoch:
                await asyncio.sleep(0.05)
        assert len([command for command in machine.execs if " clean " in command]) == 0


async def _take_job(app: App) -> engine.Job:
    worker_id = await app.job_manager.register_worker()
    job = await app.job_manager.fetch_job(queues=["runs"], worker_id=worker_id)
    assert job is not None
    return job
