"""Schedules become runs: once a due time, whoever fires them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from sqlalchemy import text
from sqlmodel import select

from orchestrator.database import schedules
from orchestrator.database.models import Run, Schedule
from orchestrator.database.session import SERVICE, supplier
from orchestrator.domain.errors import DatabaseError
from orchestrator.domain.options import Options
from orchestrator.domain.timetable import Misfire, Timetable
from orchestrator.runs.fire_schedules import fire_due
from tests.machines import scripted_machine
from tests.runs.conftest import Marketplace
from tests.runs.machines import GOOD
from tests.runs.test_engine import finished, working

SINCE = text(
    "UPDATE gpu_test_schedules SET next_due_at = :due_at, next_fire_at = :due_at WHERE instance_id = :id"
)


async def _scheduled(
    marketplace: Marketplace, instance_id: UUID, timetable: Timetable, misfire: Misfire = "run_once"
) -> Schedule:
    """A schedule that has been due for two hours and a bit."""
    due_at = datetime.now(UTC) - timedelta(hours=2, minutes=10)
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        await schedules.put(
            session, instance_id, timetable, enabled=True, options={}, misfire=misfire
        )
        parameters = {"due_at": due_at, "id": instance_id}
        await session.exec(SINCE, params=parameters)  # type: ignore[call-overload]
        stored = await schedules.of_instance(session, instance_id)
    assert stored is not None
    return stored


async def _told(marketplace: Marketplace, instance_id: UUID) -> list[tuple[str, int]]:
    """What became of the due times, oldest first, and how many each stands for."""
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        found = await schedules.firings(session, instance_id)
    return [(each.outcome, each.times) for each in reversed(found)]


async def _runs_of(marketplace: Marketplace, instance_id: UUID) -> list[Run]:
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        statement = select(Run).where(Run.instance_id == instance_id)
        return list((await session.exec(statement)).all())


async def test_a_due_time_fires_once_however_many_fire(marketplace: Marketplace) -> None:
    """Many workers that fire at the same moment make one run, for the latest due time; missed ones are told."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target())
    schedule = await _scheduled(marketplace, instance.id, Timetable(every_hours=1))
    await asyncio.gather(*(fire_due(marketplace.databases.worker) for _ in range(5)))
    made = await _runs_of(marketplace, instance.id)
    assert [(run.requested_by, run.schedule_id, run.due_at) for run in made] == [
        ("schedule", schedule.id, schedule.next_due_at + timedelta(hours=2))
    ]
    assert await _told(marketplace, instance.id) == [("missed", 2), ("fired", 1)]
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        after = await schedules.of_instance(session, instance.id)
    assert after is not None
    assert after.last_outcome == "fired"
    assert after.next_due_at > datetime.now(UTC)
    assert (after.next_due_at - schedule.next_due_at) % timedelta(hours=1) == timedelta(0)


async def test_a_due_time_during_a_run_is_skipped_and_noted(marketplace: Marketplace) -> None:
    """While a run is unfinished a due time makes no second one, and the schedule says why."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target())
    await marketplace.request(instance, Options())
    await _scheduled(marketplace, instance.id, Timetable(cron="* * * * *"))
    await fire_due(marketplace.databases.worker)
    assert len(await _runs_of(marketplace, instance.id)) == 1
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        after = await schedules.of_instance(session, instance.id)
    assert after is not None
    assert after.last_outcome == "in_progress"


async def test_a_schedule_that_skips_makes_up_for_nothing(marketplace: Marketplace) -> None:
    """After hours without any worker `skip` starts no run, and says which due times had none."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target())
    await _scheduled(marketplace, instance.id, Timetable(every_hours=1), "skip")
    await fire_due(marketplace.databases.worker)
    assert await _runs_of(marketplace, instance.id) == []
    assert await _told(marketplace, instance.id) == [("missed", 3)]
    await fire_due(marketplace.databases.worker)
    assert await _told(marketplace, instance.id) == [("missed", 3)]


async def test_many_schedules_under_stress_fire_once_each(marketplace: Marketplace) -> None:
    """Three schedulers, some cut off in the middle of firing: each due time has one run or one reason, never two."""
    count = 40
    async with scripted_machine(GOOD) as machine:
        onboarded = [await marketplace.onboard(machine.target()) for _ in range(count)]
    for instance in onboarded:
        await _scheduled(marketplace, instance.id, Timetable(every_hours=1))
    random = Random(7)

    async def schedule_and_die() -> None:
        with suppress(TimeoutError, DatabaseError):
            async with asyncio.timeout(random.uniform(0.005, 0.3)):
                await fire_due(marketplace.databases.worker)

    for _ in range(6):
        await asyncio.gather(*(schedule_and_die() for _ in range(3)))
    await fire_due(marketplace.databases.worker)
    for instance in onboarded:
        assert len(await _runs_of(marketplace, instance.id)) == 1
        told = await _told(marketplace, instance.id)
        assert [outcome for outcome, _ in told].count("fired") == 1
        assert sum(times for _, times in told) == 3


async def test_a_worker_fires_and_carries_out_by_itself(marketplace: Marketplace) -> None:
    """A running worker needs nobody to press a button: a due schedule becomes a result."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        await _scheduled(marketplace, instance.id, Timetable(every_hours=2))
        async with working(marketplace.worker):
            async with asyncio.timeout(30):
                while not (made := await _runs_of(marketplace, instance.id)):
                    await asyncio.sleep(0.1)
            assert await finished(marketplace, made[0].id) == ["passed"]


async def test_an_unreadable_schedule_is_turned_off(marketplace: Marketplace) -> None:
    """A cron line that this program can't read stops firing and keeps its last outcome."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target())
    await _scheduled(marketplace, instance.id, Timetable(cron="* * * * *"))
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await session.exec(text("UPDATE gpu_test_schedules SET cron = 'nonsense'"))  # type: ignore[call-overload]
    await fire_due(marketplace.databases.worker)
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        after = await schedules.of_instance(session, instance.id)
    assert after is not None
    assert after.enabled is False
