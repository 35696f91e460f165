"""Rules that hold in PostgreSQL so that no program can forget them: numbers, runs, events."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.database import claims, events, host_authorities, runs
from orchestrator.database.events import Batch, NewEvent
from orchestrator.database.models import Run
from orchestrator.database.session import NOW, SERVICE
from orchestrator.domain.errors import RunTakenOver
from orchestrator.domain.run_states import FINISHED, RunState
from tests.conftest import Databases
from tests.database.conftest import Tenant

WRONG = psycopg.errors.CheckViolation


async def new_run(tenant: Tenant) -> Run:
    instance = await tenant.onboard()
    async with tenant.databases.api.transaction(tenant.principal) as session:
        return await runs.request(session, instance.id, "api", {})


async def claim(databases: Databases, run_id: UUID, worker: str = "w") -> Run | None:
    async with databases.worker.transaction(SERVICE) as session:
        claimed = await claims.claim(session, run_id, worker)
    return claimed.run if claimed else None


async def append(databases: Databases, run: Run, epoch: int, *kinds: str, **changes: Any) -> Run:
    new = [NewEvent(kind, {}, datetime.now(UTC)) for kind in kinds]
    async with databases.worker.transaction(SERVICE) as session:
        return await events.append(session, run.id, epoch, Batch(new, changes))


def execute(databases: Databases, statement: str, *values: object) -> None:
    """As the workers' login, past all our own code."""
    with psycopg.connect(databases.logins.worker) as connection:
        connection.execute("SET ROLE service_role")
        connection.execute(statement.encode(), values or None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_numbers_of_machines_are_finite(tenant: Tenant, value: float) -> None:
    """No number column that a machine fills takes NaN or an infinity, whatever it is called."""
    instance = await tenant.onboard()
    with psycopg.connect(tenant.databases.logins.owner) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name IN ('gpu_test_results', 'gpu_instances',"
            " 'gpu_test_events', 'gpu_inventory', 'performance_metrics')"
            " AND data_type IN ('double precision', 'real', 'numeric') AND is_generated = 'NEVER'"
        ).fetchall()
        assert len(columns) > 15
        for table, column in columns:
            statement = {
                "gpu_test_results": f"INSERT INTO gpu_test_results (gpu_instance_id, user_id, source, verdict, {column})"
                f" VALUES ('{instance.id}', '{instance.user_id}', 'submitted', 'passed', %s)",
                "gpu_instances": f"UPDATE gpu_instances SET {column} = %s",
                "gpu_inventory": f"UPDATE gpu_inventory SET {column} = %s",
                "gpu_test_events": "INSERT INTO gpu_test_events (run_id, seq, user_id, type, body, t)"
                f" VALUES (gen_random_uuid(), 1, '{instance.user_id}', 'x', '{{}}', %s)",
                "performance_metrics": f"INSERT INTO performance_metrics (user_id, {column})"
                f" VALUES ('{instance.user_id}', %s)",
            }[table]
            with pytest.raises(WRONG), connection.transaction():
                connection.execute(statement.encode(), (value,))


@pytest.mark.parametrize("column", ["throughput_samples_per_sec", "power_draw_watts", "latency_ms"])
async def test_amounts_are_not_negative(tenant: Tenant, column: str) -> None:
    """What can't be below zero is refused below zero."""
    instance = await tenant.onboard()
    statement = (
        f"INSERT INTO gpu_test_results (gpu_instance_id, user_id, source, verdict, {column})"
        " VALUES (%s, %s, 'submitted', 'passed', -1)"
    )
    with pytest.raises(WRONG):
        execute(tenant.databases, statement, instance.id, tenant.user_id)


@pytest.mark.parametrize("end", sorted(FINISHED))
async def test_a_finished_run_never_moves_again(tenant: Tenant, end: RunState) -> None:
    """No claim, no fenced write and no raw update brings a finished run to another state."""
    run = await new_run(tenant)
    claimed = await claim(tenant.databases, run.id)
    assert claimed is not None
    code = "agent_crashed" if end != "passed" else None
    await append(tenant.databases, run, 1, "ended", state=end, finished_at=NOW, error_code=code)
    assert await claim(tenant.databases, run.id) is None
    with pytest.raises(RunTakenOver):
        await append(tenant.databases, run, 1, "late")
    for statement in (
        "UPDATE gpu_test_runs SET state = 'queued', finished_at = NULL WHERE id = %s",
        f"UPDATE gpu_test_runs SET state = '{'failed' if end != 'failed' else 'passed'}',"
        " error_code = 'x' WHERE id = %s",
    ):
        with pytest.raises(WRONG, match="never moves again"):
            execute(tenant.databases, statement, run.id)


async def test_an_end_has_a_time_and_a_failure_a_code(tenant: Tenant) -> None:
    """A finished state without a time, and a failure without a code, can't be stored."""
    run = await new_run(tenant)
    for change in (
        *("state = 'passed'", "finished_at = now()", "state = 'failed', finished_at = now()"),
        "state = 'unknown'",
    ):
        with pytest.raises(WRONG):
            execute(tenant.databases, f"UPDATE gpu_test_runs SET {change} WHERE id = %s", run.id)


async def test_epoch_offset_and_sequence_never_go_back(tenant: Tenant) -> None:
    """Whoever writes, the three counters of a run only grow."""
    run = await new_run(tenant)
    await claim(tenant.databases, run.id)
    await append(tenant.databases, run, 1, "a", "b", remote_offset=100)
    for column in ("epoch", "remote_offset", "last_seq"):
        statement = f"UPDATE gpu_test_runs SET {column} = {column} - 1 WHERE id = %s"
        with pytest.raises(WRONG, match="never go back"):
            execute(tenant.databases, statement, run.id)


async def test_a_claim_ends_what_the_last_owner_may_write(tenant: Tenant) -> None:
    """After a second claim the first worker's epoch writes neither events nor offset."""
    run = await new_run(tenant)
    first = await claim(tenant.databases, run.id, "first")
    second = await claim(tenant.databases, run.id, "second")
    assert first is not None
    assert second is not None
    assert (first.epoch, second.epoch, second.attempt, second.worker) == (1, 2, 2, "second")
    with pytest.raises(RunTakenOver):
        await append(tenant.databases, run, first.epoch, "zombie", remote_offset=999)
    stored = await append(tenant.databases, run, second.epoch, "mine")
    assert (stored.last_seq, stored.remote_offset) == (second.last_seq + 1, 0)


async def test_a_claim_tells_how_to_get_to_the_machine(tenant: Tenant, other: Tenant) -> None:
    """The instance's own login before its supplier's, and all who vouch for that supplier's machines, oldest first."""
    run = await new_run(tenant)
    for place in (None, run.instance_id):
        execute(
            tenant.databases,
            "INSERT INTO gpu_credentials (user_id, instance_id, kind, public_key, fingerprint, key_id, wrapped_key, ciphertext)"
            " VALUES (%s, %s, 'generated', 'a key', 'SHA256:a', 'key', 'wrapped', 'sealed')",
            *(tenant.user_id, place),
        )
    for owner, hosts in ((tenant, "first"), (other, "another's"), (tenant, "second")):
        async with tenant.databases.api.transaction(owner.principal) as session:
            await host_authorities.add(session, hosts, "ssh-ed25519 AAAA", f"SHA256:{hosts}")
    async with tenant.databases.worker.transaction(SERVICE) as session:
        claimed = await claims.claim(session, run.id, "w")
        assert claimed is not None
        now = await claims.login(session, claimed.instance)
    found = claimed.login
    assert claimed.instance.id == run.instance_id
    assert found.credential is not None
    assert found.credential.instance_id == run.instance_id
    assert [each.hosts for each in found.authorities] == ["first", "second"]
    assert (now.credential, now.authorities) == (found.credential, found.authorities)


async def test_events_are_numbered_without_gaps_and_kept(tenant: Tenant) -> None:
    """Batches are numbered on from each other; a stored event can't be changed or doubled."""
    run = await new_run(tenant)
    await claim(tenant.databases, run.id)
    await append(tenant.databases, run, 1, "a", "b")
    await append(tenant.databases, run, 1)
    await append(tenant.databases, run, 1, "c")
    async with tenant.databases.api.transaction(tenant.principal) as session:
        found = await events.after(session, run.id, 0)
        numbered = [(event.seq, event.type) for event in found]
        assert numbered == [(1, "state"), (2, "a"), (3, "b"), (4, "c")]  # the claim's own first
        assert [event.seq for event in await events.after(session, run.id, 1, limit=1)] == [2]
    with pytest.raises(WRONG, match="append-only"):
        execute(tenant.databases, "UPDATE gpu_test_events SET type = 'x' WHERE run_id = %s", run.id)
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(
            tenant.databases,
            "INSERT INTO gpu_test_events (run_id, seq, user_id, type, body) VALUES (%s, 3, %s, 'c', '{}')",
            *(run.id, tenant.user_id),
        )


async def test_a_batch_is_stored_whole_or_not_at_all(tenant: Tenant) -> None:
    """When one event of a batch is refused, neither its neighbours nor the offset are stored."""
    run = await new_run(tenant)
    await claim(tenant.databases, run.id)
    new = [NewEvent("a", {}, datetime.now(UTC)), NewEvent("b", {}, datetime.now(UTC), math.nan)]
    with pytest.raises(Exception, match="amount_check"):
        async with tenant.databases.worker.transaction(SERVICE) as session:
            await events.append(session, run.id, 1, Batch(new, {"remote_offset": 10}))
    async with tenant.databases.api.transaction(tenant.principal) as session:
        stored = await runs.get(session, run.id)
        assert (stored.last_seq, stored.remote_offset) == (1, 0)
        assert await events.after(session, run.id, 1) == []


async def test_a_run_has_one_result(tenant: Tenant) -> None:
    """A second result of the same run is refused; so is a pushed one without a run."""
    run = await new_run(tenant)
    statement = (
        "INSERT INTO gpu_test_results (gpu_instance_id, user_id, run_id, source, verdict)"
        " VALUES (%s, %s, %s, 'pushed', 'passed')"
    )
    ended = "UPDATE gpu_test_runs SET state = 'passed', finished_at = now() WHERE id = %s"
    with psycopg.connect(tenant.databases.logins.worker) as connection:
        connection.execute("SET ROLE service_role")
        connection.execute(ended.encode(), (run.id,))
        connection.execute(statement.encode(), (run.instance_id, run.user_id, run.id))
        with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
            connection.execute(statement.encode(), (run.instance_id, run.user_id, run.id))
    # Nor in another month, or a moment later.
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        execute(tenant.databases, statement, run.instance_id, run.user_id, run.id)
    with pytest.raises(WRONG):
        execute(tenant.databases, statement, run.instance_id, run.user_id, None)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        execute(tenant.databases, statement, run.instance_id, run.user_id, uuid4())
