"""What is kept for a time only: forgotten when its time is up, and not before."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from orchestrator.database import retention
from orchestrator.database.session import SERVICE, Session
from orchestrator.runs.engine import Engine, forget_old
from tests.conftest import Databases
from tests.runs.conftest import worker_of

_SEED = """
INSERT INTO gpu_inventory (user_id, gpu_model, deleted_at) VALUES
    (%(user)s, 'there', NULL), (%(user)s, 'deleted', now() - interval '29 days'),
    (%(user)s, 'over', now() - interval '31 days');
INSERT INTO connection_checks (user_id, ssh_host, ssh_port, ssh_user, login, state, created_at, finished_at) VALUES
    (%(user)s, 'young', 22, 'root', 'shared', 'queued', now() - interval '23 hours', NULL),
    (%(user)s, 'over', 22, 'root', 'shared', 'queued', now() - interval '25 hours', NULL),
    (%(user)s, 'over', 22, 'root', 'shared', 'passed', now() - interval '25 hours', now());
INSERT INTO sessions (user_id, user_agent, expires_at, revoked_at) VALUES
    (%(user)s, 'live', now() + interval '1 day', NULL),
    (%(user)s, 'expired', now() - interval '6 days', NULL),
    (%(user)s, 'revoked', now() + interval '1 day', now() - interval '6 days'),
    (%(user)s, 'over', now() - interval '8 days', NULL),
    (%(user)s, 'over', now() + interval '1 day', now() - interval '8 days');
INSERT INTO attempts (id, kept_until) VALUES
    (convert_to(rpad('counted', 32), 'UTF8'), now() + interval '1 minute'),
    (convert_to(rpad('over', 32), 'UTF8'), now() - interval '1 second');
"""
_LEFT = """
SELECT gpu_model FROM gpu_inventory UNION ALL SELECT ssh_host FROM connection_checks
UNION ALL SELECT user_agent FROM sessions
UNION ALL SELECT rtrim(convert_from(id, 'UTF8')) FROM attempts
"""


async def forgotten(session: Session, table: str, most: int) -> int:
    return await retention.forget(session, table, most, audit_days=400)


@pytest.fixture
async def seeded(databases: Databases) -> Databases:
    user = await databases.new_supplier()
    with psycopg.connect(databases.logins.owner) as connection:
        for statement in _SEED.strip().split(";\n"):
            connection.execute(statement.encode(), {"user": user})
    return databases


def left(databases: Databases) -> set[object]:
    with psycopg.connect(databases.logins.owner) as connection:
        return {row[0] for row in connection.execute(_LEFT.encode())}


KEPT = {"there", "deleted", "young", "live", "expired", "revoked", "counted"}


async def test_what_is_over_is_forgotten_and_nothing_else(
    seeded: Databases, tmp_path: Path
) -> None:
    """The engine's tidying forgets deleted items after 30 days, checks after one, sessions seven after their end."""
    engine = Engine(worker_of(seeded, tmp_path))
    async with engine.app.open_async():
        await engine.app.tasks["tidy"](0)
    assert left(seeded) == KEPT


async def test_a_table_that_fails_leaves_the_others_alone(
    seeded: Databases, tmp_path: Path
) -> None:
    """One statement that PostgreSQL refuses does not keep the rest."""
    with psycopg.connect(seeded.logins.owner) as connection:
        connection.execute("REVOKE DELETE ON gpu_inventory FROM service_role")
    await forget_old(worker_of(seeded, tmp_path))
    assert left(seeded) == KEPT | {"over"}
    with psycopg.connect(seeded.logins.owner) as connection:
        row = connection.execute("SELECT count(*) FROM sessions").fetchone()
    assert row == (3,)


async def test_a_backlog_is_forgotten_piecewise(seeded: Databases) -> None:
    """At most so many rows in one transaction, the oldest first."""
    with psycopg.connect(seeded.logins.owner) as connection:
        connection.execute(
            "UPDATE sessions SET expires_at = now() - interval '20 days', user_agent = 'oldest'"
            " WHERE user_agent = 'live'"
        )
    for count, oldest in ((1, False), (2, False), (0, False)):
        async with seeded.worker.transaction(SERVICE) as session:
            assert await forgotten(session, "sessions", 2 if count == 2 else 1) == count
        assert ("oldest" in left(seeded)) is oldest


async def test_the_audit_log_is_kept_for_as_long_as_is_configured(
    seeded: Databases, tmp_path: Path
) -> None:
    """400 days where nothing else is said; what is older goes, the oldest first, and nothing changes meanwhile."""
    with psycopg.connect(seeded.logins.owner) as connection:
        connection.execute("DELETE FROM audit_log")
        connection.execute(
            "INSERT INTO audit_log (user_id, actor, action, at)"
            " SELECT id, 'session', days::text, now() - make_interval(days => days)"
            " FROM profiles CROSS JOIN unnest(ARRAY[0, 399, 401, 500]) days"
        )
    await forget_old(worker_of(seeded, tmp_path))
    with psycopg.connect(seeded.logins.owner) as connection:
        rows = connection.execute("SELECT action FROM audit_log WHERE action ~ '^[0-9]+$'")
        assert {row[0] for row in rows} == {"0", "399"}


@pytest.mark.parametrize(
    ("table", "index"),
    [
        ("gpu_inventory", "gpu_inventory_deleted"),
        ("connection_checks", "connection_checks_old"),
        ("sessions", "sessions_ended"),
        ("attempts", "attempts_old"),
        ("audit_log", "audit_log_old"),
    ],
)
def test_forgetting_reads_an_index(seeded: Databases, table: str, index: str) -> None:
    """What is over is found by its age and not by looking at every row."""
    statement = (
        str(retention.STATEMENTS[table]).replace(":most", "1000").replace(":audit_days", "400")
    )
    with psycopg.connect(seeded.logins.owner) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(f"EXPLAIN {statement}".encode()).fetchall()
    assert any(f"using {index}" in row[0] or f"on {index}" in row[0] for row in plan), plan
