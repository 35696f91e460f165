"""Results lie in months: made ahead, closed to all but their table, dropped whole when their time is up."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from orchestrator.database import results
from orchestrator.runs.engine import Engine
from orchestrator.runs.months import keep_months
from tests.conftest import Databases
from tests.database.conftest import Tenant
from tests.runs.conftest import worker_of

_ENDED = """
WITH run AS (
    INSERT INTO gpu_test_runs (user_id, instance_id, requested_by, state, instance_status, instance_test_status,
                               created_at, finished_at)
    SELECT user_id, id, 'api', 'passed', 'active', 'completed', at - interval '1 minute', at
    FROM gpu_instances, (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
                                - make_interval(months => %(months)s) + interval '10 days' AS at) moment
    WHERE id = %(instance)s RETURNING *
), told AS (
    INSERT INTO gpu_test_events (run_id, seq, user_id, type, body) SELECT id, 1, user_id, 'ended', '{}' FROM run
)
INSERT INTO gpu_test_results (gpu_instance_id, user_id, run_id, source, verdict, created_at)
SELECT instance_id, user_id, id, 'pushed', 'passed', finished_at FROM run RETURNING run_id
"""
_MONTHS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'gpu_test_results'::regclass AND c.relname <> 'gpu_test_results_default' ORDER BY 1
"""
_NAMES = """
SELECT to_char(now() AT TIME ZONE 'UTC' + make_interval(months => n), '"gpu_test_results_"YYYY_MM')
FROM generate_series(%s::integer, %s) n
"""


def ended(databases: Databases, instance_id: UUID, months: int) -> UUID:
    """A run that ended so many months ago, with its result."""
    with psycopg.connect(databases.logins.owner) as connection:
        values = {"instance": instance_id, "months": months}
        row = connection.execute(_ENDED.encode(), values).fetchone()
    assert row is not None
    run_id: UUID = row[0]
    return run_id


def asked(databases: Databases, query: str, *values: object) -> list[object]:
    with psycopg.connect(databases.logins.owner) as connection:
        return [row[0] for row in connection.execute(query.encode(), values or None)]


async def test_months_are_made_ahead(tenant: Tenant, tmp_path: Path) -> None:
    """The schema has this month and three more; a tidying makes the ones that are missing, and those of older results."""
    assert asked(tenant.databases, _MONTHS) == asked(tenant.databases, _NAMES, 0, 3)
    instance = await tenant.onboard()
    old = ended(tenant.databases, instance.id, 5)
    with psycopg.connect(tenant.databases.logins.owner) as connection:
        (last,) = asked(tenant.databases, _NAMES, 3, 3)
        connection.execute(f"DROP TABLE {last}".encode())
    engine = Engine(worker_of(tenant.databases, tmp_path))
    async with engine.app.open_async():
        await engine.app.tasks["tidy"](0)
    names = {*asked(tenant.databases, _NAMES, 0, 3), *asked(tenant.databases, _NAMES, -5, -5)}
    assert set(asked(tenant.databases, _MONTHS)) == names
    assert asked(tenant.databases, "SELECT count(*) FROM gpu_test_results_default") == [0]
    async with tenant.databases.api.transaction(tenant.principal) as session:
        kept = await results.of_run(session, old)
        assert kept is not None
        assert (await results.latest(session, [instance.id]))[instance.id].id == kept.id


async def test_an_old_month_goes_with_its_runs_and_nothing_else(tenant: Tenant) -> None:
    """What ended more than so many whole months ago is dropped with all that was told of it; 0 keeps everything."""
    instance = await tenant.onboard()
    told = {months: ended(tenant.databases, instance.id, months) for months in (0, 2, 3, 4)}
    await keep_months(tenant.databases.worker, 0)
    every = "SELECT run_id FROM gpu_test_results ORDER BY created_at DESC"
    assert asked(tenant.databases, every) == list(told.values())
    await keep_months(tenant.databases.worker, 2)
    for query in (every, "SELECT id FROM gpu_test_runs ORDER BY finished_at DESC"):
        assert asked(tenant.databases, query) == [told[0], told[2]]
    assert set(asked(tenant.databases, "SELECT run_id FROM gpu_test_events")) == {told[0], told[2]}


async def test_whoever_reads_is_not_kept_waiting(tenant: Tenant) -> None:
    """While somebody reads a month that is to go, it stays, and goes with the next tidying."""
    instance = await tenant.onboard()
    ended(tenant.databases, instance.id, 4)
    await keep_months(tenant.databases.worker, 0)
    (old,) = asked(tenant.databases, _NAMES, -4, -4)
    with psycopg.connect(tenant.databases.logins.owner) as reader:
        reader.execute("SELECT count(*) FROM gpu_test_results")
        await keep_months(tenant.databases.worker, 2)
        assert old in asked(tenant.databases, _MONTHS)
    await keep_months(tenant.databases.worker, 2)
    assert old not in asked(tenant.databases, _MONTHS)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_a_month_is_read_and_written_through_its_table_only(
    tenant: Tenant, role: str
) -> None:
    """No role of ours has a right on a month, also one that is made later where rights are given by default."""
    with psycopg.connect(tenant.databases.logins.owner) as connection:
        connection.execute(
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role"
        )
        connection.execute("SELECT make_result_months(5)")
        months = [row[0] for row in connection.execute(_MONTHS.encode())]
        assert len(months) == 6
        for month in [*months, "gpu_test_results_default"]:
            connection.execute(f"SET ROLE {role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(f"SELECT 1 FROM {month}".encode())
            connection.execute("RESET ROLE")
            row = connection.execute(
                "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relname = %s",
                (month,),
            ).fetchone()
            assert row == (True,)


@pytest.mark.parametrize("call", ["make_result_months(1)", "drop_result_month(1)"])
async def test_nobody_but_a_worker_makes_or_drops_a_month(tenant: Tenant, call: str) -> None:
    """The API's login, whoever it acts for, can't."""
    for role in ("harborx_api", "anon", "authenticated"):
        with psycopg.connect(tenant.databases.logins.owner) as connection:
            connection.execute(f"SET ROLE {role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {call}".encode())
