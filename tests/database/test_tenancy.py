"""What a supplier may not read or write even of its own; of others', tests/security/test_tenancy.py tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from bench.attacks.tenancy.two_tenants import seed
from tests.conftest import Databases, _database_url, _execute, logins_of

ALICE, BOB = UUID(int=0xA), UUID(int=0xB)
_SECRETS = [
    ("gpu_credentials", "ciphertext"),
    ("gpu_credentials", "wrapped_key"),
    ("gpu_credentials", "key_id"),
    ("connection_checks", "ciphertext"),
    ("connection_checks", "wrapped_key"),
    ("connection_checks", "key_id"),
    ("accounts", "password_hash"),
    ("api_keys", "secret_hash"),
]
Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="module")
def tenants(postgres_url: str, template: str) -> Iterator[str]:
    """A database where two suppliers have a row in every table; tests leave it as it is."""
    _execute(postgres_url, f"CREATE DATABASE tenants TEMPLATE {template}")
    logins = logins_of(_database_url(postgres_url, "tenants"))
    with psycopg.connect(logins.owner) as connection:
        for user in (ALICE, BOB):
            seed(connection, user)
    yield logins.api
    _execute(postgres_url, "DROP DATABASE tenants WITH (FORCE)")


@pytest.fixture
def api(tenants: str) -> Iterator[Connection]:
    """The API's login inside a transaction that is rolled back."""
    with psycopg.connect(tenants) as connection:
        yield connection
        connection.rollback()


def act_as(connection: Connection, role: str, user: UUID | None) -> None:
    claims = json.dumps({"role": role, "sub": str(user)} if user else {"role": role})
    connection.execute(
        "SELECT set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
        (role, claims),
    )


def refused(connection: Connection, statement: sql.Composed | str, *values: object) -> str | None:
    """The SQLSTATE with which a statement is refused, or None; the transaction goes on."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement, values or None)
    except psycopg.Error as error:
        return error.sqlstate
    return None


NO_RIGHT = "42501"


def test_a_run_is_requested_for_an_own_instance_only(api: Connection) -> None:
    """The door itself refuses another's instance and a caller without claims, whoever opens it."""
    api.execute("SET LOCAL search_path = public")
    for role, user in (("authenticated", ALICE), ("authenticated", None), ("none", None)):
        act_as(api, role, user)
        assert refused(api, "SELECT request_run(%s, 'api')", BOB) == "P0002"
    act_as(api, "authenticated", ALICE)
    assert refused(api, "SELECT request_run(%s, 'api')", ALICE) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE gpu_instances SET status = 'active'",
        "UPDATE gpu_instances SET test_status = 'completed'",
        "UPDATE gpu_instances SET tested_at = now()",
        "UPDATE gpu_instances SET host_key = 'mine'",
        "UPDATE connection_checks SET state = 'passed'",
        "UPDATE sessions SET expires_at = now() + interval '10 years'",
        "INSERT INTO audit_log (user_id, actor, action) VALUES (auth.uid(), 'worker', 'nothing')",
        "DELETE FROM audit_log",
        "UPDATE gpu_instances SET host_key = 'another'",
        "UPDATE gpu_instances SET gpu_name = 'H200'",
        "INSERT INTO gpu_instances (vast_instance_id, ssh_host, status) VALUES ('two', 'h', 'active')",
        "INSERT INTO gpu_test_results (gpu_instance_id, user_id, source, verdict)"
        " VALUES (gen_random_uuid(), auth.uid(), 'submitted', 'passed')",
        "UPDATE gpu_test_results SET verdict = 'passed'",
        "DELETE FROM gpu_test_results",
        "INSERT INTO gpu_test_runs (user_id, instance_id, requested_by, instance_status, instance_test_status)"
        " VALUES (auth.uid(), gen_random_uuid(), 'api', 'x', 'y')",
        "UPDATE gpu_test_runs SET state = 'cancelled', finished_at = now()",
        "DELETE FROM gpu_test_runs",
        "INSERT INTO gpu_test_events (run_id, seq, user_id, type, body)"
        " VALUES (gen_random_uuid(), 2, auth.uid(), 'log', '{}')",
        "DELETE FROM gpu_test_events",
        "UPDATE api_keys SET scopes = '{read}'",
        "UPDATE api_keys SET role = 'service_role', user_id = NULL",
        "INSERT INTO api_keys (name, public_id, secret_hash, role) VALUES ('n', 'p', sha256('x'), 'service_role')",
        "UPDATE profiles SET email = 'x'",
        "SELECT settle_instance(gen_random_uuid(), 'active', 'completed', true, '{}')",
        "SELECT apply_submission(gen_random_uuid(), NULL, '{}', 'active', 'completed', true, '{}')",
        "SELECT submission_target(gen_random_uuid(), NULL)",
        "SELECT account_for_sign_in('x')",
        "SELECT use_api_key('x', '')",
        "SELECT use_session(gen_random_uuid())",
        "SELECT open_session(auth.uid(), 'x', 1e9)",
        "SELECT change_password(auth.uid(), 'x', NULL)",
        "SELECT fleet_changes(ARRAY[gen_random_uuid()], now())",
        "SELECT listing_of(gen_random_uuid())",  # it is for nobody, who signs in to nothing
        "SELECT ensure_profile(gen_random_uuid(), 'x')",
        "SELECT * FROM procrastinate_jobs",
        "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW('runs', 'execute_run', 0, 'x', NULL, '{}', NULL)"
        "::procrastinate_job_to_defer_v1])",
        "CREATE TABLE mine (id int)",
    ],
)
def test_what_became_of_a_test_is_not_a_suppliers_to_write(api: Connection, statement: str) -> None:
    """A supplier has no right on status, results, runs, events, other doors or the queue."""
    act_as(api, "authenticated", ALICE)
    assert refused(api, statement) == NO_RIGHT


@pytest.mark.parametrize(("table", "column"), _SECRETS)
@pytest.mark.parametrize("way", ["as supplier", "RESET ROLE", "SET ROLE anon", "SET ROLE none"])
def test_the_api_can_not_read_secrets(api: Connection, table: str, column: str, way: str) -> None:
    """Sealed keys and hashes are out of the API's reach in every role it can take, even its own supplier's."""
    act_as(api, "authenticated", ALICE)
    if way != "as supplier":
        api.execute(way.encode())
    query = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(table))
    assert refused(api, query) == NO_RIGHT


async def test_the_owner_is_held_too(databases: Databases) -> None:
    """Row security is forced: who owns a table sees nothing of it without a policy (superusers excepted)."""
    await databases.new_supplier()
    with psycopg.connect(databases.logins.owner) as connection:
        connection.execute("CREATE ROLE held_owner NOLOGIN")
        connection.execute("ALTER TABLE profiles OWNER TO held_owner")
        connection.execute("SET ROLE held_owner")
        assert connection.execute("SELECT count(*) FROM profiles").fetchone() == (0,)
        connection.rollback()
