"""Asking for a run, listing what there is, and who a pooled connection acts as afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import func, select, text

from orchestrator.config import SshSettings
from orchestrator.database import (
    connection_checks,
    contacts,
    instances,
    machine_logins,
    results,
    runs,
    schedules,
)
from orchestrator.database.connection_checks import NewCheck
from orchestrator.database.models import Instance
from orchestrator.database.session import LOGIN, NOBODY, SERVICE, Database, Session
from orchestrator.domain.errors import (
    AlreadyOnboarded,
    DatabaseError,
    DatabaseUnavailable,
    InvalidInput,
    NotFound,
    RunInProgress,
    TooManyContacts,
)
from orchestrator.domain.timetable import Timetable
from orchestrator.runs.fire_schedules import fire_due
from tests.conftest import Databases
from tests.database.conftest import Tenant


async def request(tenant: Tenant, instance_id: UUID) -> UUID:
    async with tenant.databases.api.transaction(tenant.principal) as session:
        return (await runs.request(session, instance_id, "api", {"batch_size": 8})).id


def stored(databases: Databases) -> tuple[int, int]:
    """How many runs and jobs there are."""
    with psycopg.connect(databases.logins.worker) as connection:
        connection.execute("SET ROLE service_role")
        row = connection.execute(
            "SELECT (SELECT count(*) FROM gpu_test_runs), (SELECT count(*) FROM procrastinate_jobs)"
        ).fetchone()
        assert row is not None
        return row[0], row[1]


async def test_a_request_is_a_run_and_a_job_in_one_transaction(tenant: Tenant) -> None:
    """Both are there after the commit, and neither after a rollback."""
    instance = await tenant.onboard()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with tenant.databases.api.transaction(tenant.principal) as session:
            await runs.request(session, instance.id, "api", {})
            raise ZeroDivisionError
    assert stored(tenant.databases) == (0, 0)
    run_id = await request(tenant, instance.id)
    assert stored(tenant.databases) == (1, 1)
    async with tenant.databases.api.transaction(tenant.principal) as session:
        run = await runs.get(session, run_id)
        after = await instances.get(session, instance.id)
    assert (run.state, run.options, run.instance_status) == ("queued", {"batch_size": 8}, "pending")
    assert (after.status, after.test_status) == ("testing", "running")


async def test_a_run_that_ends_meanwhile_is_in_nobodys_way(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that met a run which has ended by the time we look is carried out, not refused."""
    instance = await tenant.onboard()
    first = await request(tenant, instance.id)

    async def ends_just_now(*_: object) -> None:
        monkeypatch.undo()
        async with tenant.databases.worker.transaction(SERVICE) as session:
            ending = "UPDATE gpu_test_runs SET state = 'passed', finished_at = now() WHERE id = :id"
            await session.exec(text(ending), params={"id": first})  # type: ignore[call-overload]

    monkeypatch.setattr(runs, "unfinished", ends_just_now)
    assert await request(tenant, instance.id) != first


async def test_only_an_own_instance_can_be_tested(tenant: Tenant, other: Tenant) -> None:
    """An unknown instance and another supplier's are both not found, and nothing is stored."""
    instance = await other.onboard()
    for instance_id in (uuid4(), instance.id):
        with pytest.raises(NotFound):
            await request(tenant, instance_id)
    for principal in (NOBODY, LOGIN):
        with pytest.raises((NotFound, DatabaseError)):
            async with tenant.databases.api.transaction(principal) as session:
                await runs.request(session, instance.id, "api", {})
    assert stored(tenant.databases) == (0, 0)


async def test_a_second_request_names_the_run_in_progress(tenant: Tenant) -> None:
    """While a run is unfinished another is refused with its id, and the caller's transaction stays usable."""
    instance = await tenant.onboard()
    run_id = await request(tenant, instance.id)
    async with tenant.databases.api.transaction(tenant.principal) as session:
        with pytest.raises(RunInProgress) as caught:
            await runs.request(session, instance.id, "api", {})
        assert (await runs.get(session, run_id)).id == run_id
    assert caught.value.evidence == {"run_id": str(run_id)}
    assert str(run_id) in str(caught.value)
    assert stored(tenant.databases) == (1, 1)


async def test_of_concurrent_requests_exactly_one_is_granted(tenant: Tenant) -> None:
    """Five at the same moment make one run and one job; the others name that run."""
    instance = await tenant.onboard()
    outcomes = await asyncio.gather(
        *(request(tenant, instance.id) for _ in range(5)), return_exceptions=True
    )
    (granted,) = [each for each in outcomes if isinstance(each, UUID)]
    refused = [each for each in outcomes if isinstance(each, RunInProgress)]
    assert [each.evidence["run_id"] for each in refused] == [str(granted)] * 4
    assert stored(tenant.databases) == (1, 1)


async def test_an_instance_is_onboarded_once_a_supplier(tenant: Tenant, other: Tenant) -> None:
    """The provider's id is unique for one supplier and tells nothing about another's."""
    claims = {"vast_instance_id": "same", "ssh_host": "h"}
    for owner in (tenant, other):
        async with tenant.databases.api.transaction(owner.principal) as session:
            await instances.onboard(session, claims)
    with pytest.raises(AlreadyOnboarded):
        async with tenant.databases.api.transaction(tenant.principal) as session:
            await instances.onboard(session, claims)
    with pytest.raises(InvalidInput, match="64 KiB"):  # noqa: PT012
        async with tenant.databases.api.transaction(tenant.principal) as session:
            large = {"vast_instance_id": "large", "attributes": {"a": "x" * 70_000}}
            await instances.onboard(session, claims | large)


async def test_what_is_due_stays_due(tenant: Tenant) -> None:
    """A change that is none of the times moves no due time; new times count from now."""
    instance = await tenant.onboard()
    six, twelve = Timetable(every_hours=6), Timetable(every_hours=12)
    overdue = text("UPDATE gpu_test_schedules SET next_due_at = now() - interval '1 hour'")
    async with tenant.databases.api.transaction(tenant.principal) as session:
        await schedules.put(session, instance.id, six, enabled=True, options={})
        await session.exec(overdue)  # type: ignore[call-overload]
        kept = await schedules.put(
            session, instance.id, six, enabled=True, options={}, misfire="skip"
        )
        now = (await session.exec(select(func.now()))).scalar_one()  # type: ignore[call-overload]
        assert kept.next_due_at == now - timedelta(hours=1)
        moved = await schedules.put(session, instance.id, twelve, enabled=True, options={})
        assert moved.next_due_at == now + timedelta(hours=12)


async def test_a_schedule_belongs_to_its_instances_owner(tenant: Tenant, other: Tenant) -> None:
    """A schedule is replaced in place by its owner and invisible to others."""
    instance = await tenant.onboard()

    async def put(session: Session, hours: int) -> Any:
        timetable = Timetable(every_hours=hours)
        return await schedules.put(session, instance.id, timetable, enabled=True, options={})

    async with tenant.databases.api.transaction(tenant.principal) as session:
        first = await put(session, 6)
        second = await put(session, 12)
        assert (first.id, second.every_hours) == (second.id, 12)
        now = (await session.exec(select(func.now()))).scalar_one()  # type: ignore[call-overload]
        assert second.next_due_at == now + timedelta(hours=12)
    async with tenant.databases.api.transaction(other.principal) as session:
        assert await schedules.every(session) == []
        with pytest.raises(NotFound):
            await schedules.remove(session, instance.id)


async def test_pages_are_complete_and_without_doubles(tenant: Tenant, other: Tenant) -> None:
    """Rows of one instant and rows added meanwhile neither vanish from a list nor come twice."""
    await other.onboard()
    async with tenant.databases.api.transaction(tenant.principal) as session:
        for number in range(7):  # one transaction, so one created_at for all
            claims = {"vast_instance_id": f"page-{number}", "ssh_host": "h"}
            await instances.onboard(session, claims)
    before = [await tenant.onboard() for _ in range(2)]
    seen: list[Instance] = []
    cursor = None
    while True:
        async with tenant.databases.api.transaction(tenant.principal) as session:
            page = await instances.page(session, 2, cursor)
        seen += page.rows
        await tenant.onboard()
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert len(seen) == len({row.id for row in seen}) == 9
    assert {row.user_id for row in seen} == {tenant.user_id}
    assert [row.id for row in seen[:2]] == [row.id for row in reversed(before)]
    assert seen == sorted(seen, key=lambda row: (row.created_at, row.id), reverse=True)


@pytest.mark.parametrize("cursor", ["", "x", "%%%", "bm90IGEgY3Vyc29y", "é", "MjAyNiB4"])
async def test_a_foreign_cursor_is_refused(tenant: Tenant, cursor: str) -> None:
    """A cursor that no list has given is InvalidInput."""
    async with tenant.databases.api.transaction(tenant.principal) as session:
        for page in (instances.page, runs.page, results.page):
            with pytest.raises(InvalidInput):
                await page(session, 10, cursor)


_WHO = text(
    "SELECT current_user, current_setting('request.jwt.claims', true), pg_backend_pid(),"
    " current_setting('role')"
)


async def _outside(database: Database) -> tuple[str, str, int, str]:
    """Who the pool's connection is when no session of ours has told it."""
    async with database._engine.connect() as connection:
        row = (await connection.execute(_WHO)).one()
        return row[0], row[1], row[2], row[3]


@pytest.mark.parametrize("end", ["committed", "failed", "cancelled"])
async def test_a_returned_connection_acts_as_nobody(tenant: Tenant, end: str) -> None:
    """Role and claims end with their transaction, however it ended: the pool's next user inherits nothing."""
    database = Database(tenant.databases.logins.api, pool_size=1)
    backend: list[int] = []

    async def work(inside: asyncio.Event) -> None:
        async with database.transaction(tenant.principal) as session:
            row = (await session.exec(_WHO)).one()  # type: ignore[call-overload]
            backend.append(row[2])
            assert row[0] == "authenticated"
            assert str(tenant.user_id) in row[1]
            inside.set()
            if end == "failed":
                raise ZeroDivisionError
            if end == "cancelled":
                await session.exec(text("SELECT pg_sleep(60)"))  # type: ignore[call-overload]

    try:
        inside = asyncio.Event()
        task = asyncio.create_task(work(inside))
        await inside.wait()
        if end == "cancelled":
            task.cancel()
        await asyncio.wait({task})
        user, claims, pid, role = await _outside(database)
        assert (user, claims or "", role) == ("harborx_api", "", "none")
        if end != "cancelled":  # a cancelled statement's connection may be given up altogether
            assert pid == backend[0]
        async with database.transaction(NOBODY) as session:
            assert (await session.exec(_WHO)).one()[0] == "anon"  # type: ignore[call-overload]
            uid = await session.exec(
                text("SELECT nullif(current_setting('request.jwt.claims'), '')::json->>'sub'")
            )  # type: ignore[call-overload]
            assert uid.scalar_one() is None
    finally:
        await database.close()


async def _let_in(tenant: Tenant, instance: Instance, run_id: UUID) -> None:
    """The run logged in to the machine, and has ended."""
    async with tenant.databases.worker.transaction(SERVICE) as session:
        await machine_logins.note(session, tenant.user_id, instance.id, instance.id, {})
        await _end(session, run_id)


async def _end(session: Session, run_id: UUID) -> None:
    ending = (
        "WITH run AS (UPDATE gpu_test_runs SET state = 'passed', finished_at = now()"
        " WHERE id = :id RETURNING instance_id)"
        " UPDATE gpu_instances SET test_status = 'completed' WHERE id IN (SELECT instance_id FROM run)"
    )
    await session.exec(text(ending), params={"id": run_id})  # type: ignore[call-overload]


async def test_an_hour_has_room_for_so_many_strange_machines(tenant: Tenant, other: Tenant) -> None:
    """
    Of many requests at once over several servers an hour's worth are granted; the rest are refused with the time
    until the next, which leaves nothing behind. Another supplier is not concerned.
    """
    machines = [await tenant.onboard() for _ in range(12)]
    servers = [tenant.databases.api, Database(tenant.databases.logins.api)]

    async def ask(who: Tenant, database: Database, instance: Instance) -> UUID:
        async with database.transaction(who.principal) as session:
            run = await runs.request(session, instance.id, "api", {}, new_machines_per_hour=5)
            return run.id

    try:
        asked = (ask(tenant, servers[n % 2], each) for n, each in enumerate(machines))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        refused = [each for each in outcomes if isinstance(each, TooManyContacts)]
        assert [isinstance(each, UUID) for each in outcomes].count(True) == 5
        assert len(refused) == 7
        assert all(710 <= each.evidence["retry_after"] <= 720 for each in refused)  # 3600 s / 5
        assert stored(tenant.databases) == (5, 5)
        assert await ask(other, servers[0], await other.onboard())
    finally:
        await servers[1].close()


async def test_what_is_spent_comes_back_with_time(tenant: Tenant) -> None:
    """A fifth of the hour later there is room for one more of five, and no more than one."""
    for _ in range(5):
        await _ask_five(tenant, await tenant.onboard())
    async with tenant.databases.worker.transaction(SERVICE) as session:
        earlier = "UPDATE contact_rates SET whole_at = whole_at - interval '721 seconds'"
        await session.exec(text(earlier))  # type: ignore[call-overload]
    await _ask_five(tenant, await tenant.onboard())
    with pytest.raises(TooManyContacts):
        await _ask_five(tenant, await tenant.onboard())


async def test_a_machine_that_lets_us_in_is_no_stranger(tenant: Tenant) -> None:
    """
    The test after one that logged in costs nothing, and costs again after one that did not, with another address,
    or where the instance was deleted and onboarded anew.
    """
    one = await tenant.onboard()
    for _ in range(8):
        await _let_in(tenant, one, await _ask_five(tenant, one))
    elsewhere = await tenant.onboard()
    await _let_in(tenant, elsewhere, await _ask_five(tenant, elsewhere))  # the second of five
    async with tenant.databases.api.transaction(tenant.principal) as session:
        await instances.change(session, elsewhere.id, {"ssh_host": "another.example"})
    for _ in range(3):
        async with tenant.databases.worker.transaction(SERVICE) as session:
            await _end(session, await _ask_five(tenant, elsewhere))
    with pytest.raises(TooManyContacts):
        await _ask_five(tenant, elsewhere)
    async with tenant.databases.api.transaction(tenant.principal) as session:
        await instances.delete(session, elsewhere.id)
    with pytest.raises(TooManyContacts):
        await _ask_five(tenant, await tenant.onboard())
    assert await _ask_five(tenant, one)


async def test_what_a_schedule_asks_for_waits_for_its_turn(tenant: Tenant) -> None:
    """A due time is never refused: its run is queued, and its job comes when the supplier's hour has room again."""
    machines = [await tenant.onboard() for _ in range(4)]
    for instance in machines:
        async with tenant.databases.api.transaction(tenant.principal) as session:
            await schedules.put(
                session, instance.id, Timetable(every_hours=6), enabled=True, options={}
            )
    async with tenant.databases.worker.transaction(SERVICE) as session:
        due = "UPDATE gpu_test_schedules SET next_due_at = now(), next_fire_at = now()"
        await session.exec(text(due))  # type: ignore[call-overload]
    assert await fire_due(tenant.databases.worker, new_machines_per_hour=2) == 4
    async with tenant.databases.worker.transaction(SERVICE) as session:
        found = await session.exec(
            text(
                "SELECT extract(epoch FROM r.not_before - r.created_at), r.not_before = j.scheduled_at"
                " FROM gpu_test_runs r JOIN procrastinate_jobs j ON j.args ->> 'run_id' = r.id::text"
                " ORDER BY r.not_before NULLS FIRST"
            )
        )  # type: ignore[call-overload]
        rows = [tuple(row) for row in found.all()]
    assert rows == [(None, None), (None, None), (1800, True), (3600, True)]


async def test_an_hour_has_room_for_so_many_checks(tenant: Tenant) -> None:
    """Connection checks have an hour's worth of their own, whether they have ended or not."""

    async def check() -> None:
        async with tenant.databases.api.transaction(tenant.principal) as session:
            new = NewCheck(uuid4(), tenant.user_id, "host.example", 22, "root", "shared", {})
            await connection_checks.add(session, new, 2)
        async with tenant.databases.worker.transaction(SERVICE) as session:
            await session.exec(text("DELETE FROM connection_checks"))  # type: ignore[call-overload]

    await check()
    await check()
    with pytest.raises(TooManyContacts):
        await check()
    await _ask_five(tenant, await tenant.onboard())


def test_the_settings_are_what_the_database_has_by_default() -> None:
    """Whoever asks without the settings at hand asks under their defaults."""
    ssh = SshSettings()
    assert (ssh.new_machines_per_hour, ssh.checks_per_hour) == (
        contacts.NEW_MACHINES_PER_HOUR,
        contacts.CHECKS_PER_HOUR,
    )


async def _ask_five(tenant: Tenant, instance: Instance) -> UUID:
    """Ask for a test where five strange machines an hour are granted."""
    async with tenant.databases.api.transaction(tenant.principal) as session:
        run = await runs.request(session, instance.id, "api", {}, new_machines_per_hour=5)
        return run.id


async def test_what_the_server_refuses_has_our_errors(databases: Databases) -> None:
    """Foreign exceptions of the driver end at the edge: unreachable, refused, and no parameters in the text."""
    gone = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnavailable):
        async with gone.transaction(NOBODY):
            pass
    await gone.close()
    with pytest.raises(DatabaseError) as caught:
        async with databases.worker.transaction(SERVICE) as session:
            await session.exec(text("SELECT :a / 0").bindparams(a=4711))  # type: ignore[call-overload]
    assert "division by zero" in str(caught.value)
    assert "4711" not in str(caught.value)
