"""Who may see and write what: held by PostgreSQL, whatever the program does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Databases, _database_url, _execute, logins_of

ALICE, BOB = UUID(int=0xA), UUID(int=0xB)
_SEED = """
INSERT INTO profiles (id, email) VALUES (%(user)s, %(user)s::text || '@example.com');
INSERT INTO accounts (user_id, email, password_hash)
    VALUES (%(user)s, %(user)s::text || '@example.com', '$argon2id$x');
INSERT INTO sessions (id, user_id, expires_at) VALUES (%(user)s, %(user)s, now() + interval '1 day');
INSERT INTO connection_checks (id, user_id, ssh_host, ssh_port, ssh_user, login, key_id, wrapped_key, ciphertext)
    VALUES (%(user)s, %(user)s, 'host', 22, 'root', 'supplied', 'k', 'w', 'c');
INSERT INTO audit_log (user_id, actor, action) VALUES (%(user)s, 'session', 'test');
INSERT INTO api_keys (id, user_id, name, public_id, secret_hash)
    VALUES (%(user)s, %(user)s, 'key', %(user)s::text, sha256('x'));
INSERT INTO supplier_profiles (user_id, company_name, legal_business_name, contact_email, contact_phone,
                               business_address, authorized_signatory, signatory_title)
    VALUES (%(user)s, 'a', 'b', 'c', 'd', 'e', 'f', 'g');
INSERT INTO gpu_inventory (id, user_id, gpu_model) VALUES (%(user)s, %(user)s, 'H100');
INSERT INTO gpu_instances (id, user_id, gpu_inventory_id, vast_instance_id, ssh_host)
    VALUES (%(user)s, %(user)s, %(user)s, 'one', 'host');
INSERT INTO gpu_credentials (user_id, instance_id, kind, public_key, fingerprint, key_id, wrapped_key, ciphertext)
    VALUES (%(user)s, %(user)s, 'generated', 'p', 'f', 'k', 'w', 'c');
INSERT INTO performance_metrics (user_id, gpu_inventory_id) VALUES (%(user)s, %(user)s);
INSERT INTO gpu_test_schedules (id, user_id, instance_id, every_hours, next_due_at, next_fire_at)
    VALUES (%(user)s, %(user)s, %(user)s, 6, now(), now());
INSERT INTO gpu_test_firings (schedule_id, due_at, user_id, outcome, last_due_at)
    VALUES (%(user)s, now(), %(user)s, 'missed', now());
INSERT INTO idempotency_keys (user_id, key, fingerprint, answer) VALUES (%(user)s, 'one', sha256('x'), '{}');
INSERT INTO gpu_test_runs (id, user_id, instance_id, requested_by, instance_status, instance_test_status)
    VALUES (%(user)s, %(user)s, %(user)s, 'api', 'pending', 'not_started');
INSERT INTO gpu_test_events (run_id, seq, user_id, type, body) VALUES (%(user)s, 1, %(user)s, 'log', '{}');
INSERT INTO gpu_test_results (id, gpu_instance_id, user_id, run_id, source, verdict)
    VALUES (%(user)s, %(user)s, %(user)s, %(user)s, 'pushed', 'passed');
INSERT INTO gpu_test_figures (run_id, seq, user_id, instance_id, name, at)
    VALUES (%(user)s, 1, %(user)s, %(user)s, 'training', now());
INSERT INTO gpu_test_telemetry (run_id, gpu_index, user_id, interval_seconds, readings, columns, packed)
    VALUES (%(user)s, 0, %(user)s, 0.1, 1, '{power_watts}', 'x');
"""
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
    with psycopg.connect(logins.worker) as connection:
        connection.execute("SET ROLE service_role")
        for user in (ALICE, BOB):
            for statement in _SEED.strip().split(";\n"):
                connection.execute(statement.encode(), {"user": user})
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


def refused(connection: Connection, statement: sql.Composable | str, *values: object) -> str | None:
    """The SQLSTATE with which a statement is refused, or None; the transaction goes on."""
    try:
        with connection.transaction(force_rollback=True):
            text = statement if isinstance(statement, sql.Composable) else sql.SQL(statement)  # type: ignore[arg-type]
            connection.execute(text, values or None)
    except psycopg.Error as error:
        return error.sqlstate
    return None


NO_RIGHT, NO_ROW_RIGHT, NO_PARENT, WRONG = "42501", "42501", "23503", "23514"


def _tenant_tables(connection: Connection) -> dict[str, str]:
    """Every table of ours with its owner's column, from the catalog and not from a list that gets old."""
    rows = connection.execute(
        "SELECT c.relname, (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid"
        "  AND a.attname IN ('user_id', CASE c.relname WHEN 'profiles' THEN 'id' ELSE 'user_id' END))"
        " FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')"
        "  AND c.relname NOT LIKE 'procrastinate%' AND c.relname <> 'harborx_schema'"
    ).fetchall()
    return {str(table): str(column) for table, column in rows}


def test_a_supplier_sees_its_own_rows_only(api: Connection) -> None:
    """In every table a supplier reads at most its own row, and another's can be neither read nor counted."""
    tables = _tenant_tables(api)
    assert len(tables) >= 12
    act_as(api, "authenticated", ALICE)
    seen = {}
    for table, owner in tables.items():
        query = sql.SQL("SELECT DISTINCT {} FROM {}").format(
            sql.Identifier(owner), sql.Identifier(table)
        )
        if refused(api, query) is None:
            seen[table] = [row[0] for row in api.execute(query).fetchall()]
    assert seen == {table: [ALICE] for table in tables if table != "accounts"}


def test_a_supplier_changes_nothing_of_another(api: Connection) -> None:
    """In every table updates and deletes aimed at another's rows, or at all rows, leave the other's alone."""
    tables = _tenant_tables(api)
    act_as(api, "authenticated", ALICE)
    changeable = set()
    for table, owner in tables.items():
        names = {"t": sql.Identifier(table), "o": sql.Identifier(owner)}
        for form in ("UPDATE {t} SET {c} = {c} WHERE {o} = %s", "DELETE FROM {t} WHERE {o} = %s"):
            columns = [
                str(row[0])
                for row in api.execute(
                    "SELECT column_name FROM information_schema.column_privileges"
                    " WHERE table_name = %s AND grantee = 'authenticated' AND privilege_type = 'UPDATE'",
                    (table,),
                )
            ]
            column = sql.Identifier(columns[0] if columns else owner)
            statement = sql.SQL(form).format(**names, c=column)  # type: ignore[arg-type]
            if refused(api, statement, BOB) is None:
                changeable.add(table)
                assert api.execute(statement, (BOB,)).rowcount == 0
    assert changeable == {
        *("supplier_profiles", "gpu_inventory", "gpu_instances", "gpu_test_schedules", "api_keys"),
        "idempotency_keys",
        "sessions",
    }


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO gpu_inventory (user_id, gpu_model) VALUES (%s, 'x')",
        "INSERT INTO gpu_instances (user_id, vast_instance_id, ssh_host) VALUES (%s, 'two', 'h')",
        "INSERT INTO performance_metrics (user_id) VALUES (%s)",
        "INSERT INTO api_keys (user_id, name, public_id, secret_hash) VALUES (%s, 'x', 'y', sha256('z'))",
        "INSERT INTO gpu_test_schedules (user_id, instance_id, every_hours, next_due_at, next_fire_at)"
        " VALUES (%s, gen_random_uuid(), 1, now(), now())",
        "UPDATE gpu_inventory SET user_id = %s",
    ],
)
def test_no_row_can_be_given_to_another(api: Connection, statement: str) -> None:
    """A supplier writes rows in its own name only; the same statement in its own name is allowed."""
    act_as(api, "authenticated", ALICE)
    assert refused(api, statement, BOB) == NO_ROW_RIGHT
    assert refused(api, statement, ALICE) in (None, NO_PARENT)


def test_references_stay_inside_one_tenant(api: Connection) -> None:
    """Nobody can point at another supplier's instance or inventory item, even knowing its id."""
    act_as(api, "authenticated", ALICE)
    for statement in (
        "INSERT INTO gpu_instances (vast_instance_id, ssh_host, gpu_inventory_id) VALUES ('two', 'h', %s)",
        "UPDATE gpu_instances SET gpu_inventory_id = %s",
        "INSERT INTO performance_metrics (gpu_inventory_id) VALUES (%s)",
    ):
        assert refused(api, statement, BOB) == NO_PARENT
        assert refused(api, statement, ALICE) in (None,)
    api.execute("DELETE FROM gpu_test_schedules")
    api.execute("RESET ROLE")
    act_as(api, "authenticated", ALICE)
    for statement in (
        "INSERT INTO gpu_credentials (instance_id, kind, public_key, fingerprint, key_id, wrapped_key, ciphertext)"
        " VALUES (%s, 'generated', 'p', 'f', 'k', 'w', 'c')",
        "INSERT INTO gpu_test_schedules (instance_id, every_hours, next_due_at, next_fire_at)"
        " VALUES (%s, 6, now(), now())",
    ):
        # The row of the other tenant is unique as well, so either rule may speak first.
        assert refused(api, statement, BOB) in (NO_PARENT, "23505")


def test_a_run_is_requested_for_an_own_instance_only(api: Connection) -> None:
    """The door itself refuses another's instance and a caller without claims, whoever opens it."""
    api.execute("SET LOCAL search_path = public")
    for role, user in (("authenticated", ALICE), ("authenticated", None), ("none", None)):
        act_as(api, role, user)
        assert refused(api, "SELECT request_run(%s, 'api')", BOB) == "P0002"
    act_as(api, "authenticated", ALICE)
    assert refused(api, "SELECT request_run(%s, 'api')", ALICE) == "23505"  # one is unfinished


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
        "SELECT use_api_key('x')",
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


def test_nobody_sees_nothing(api: Connection) -> None:
    """Without a login no table of ours can be read, and a supplier's role without claims has no rows."""
    tables = _tenant_tables(api)
    for table in tables:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        act_as(api, "anon", None)
        assert refused(api, query) == NO_RIGHT
        act_as(api, "none", None)
        assert refused(api, query) == NO_RIGHT
        act_as(api, "authenticated", None)
        if refused(api, query) is None:
            row = api.execute(query).fetchone()
            assert row == (0,)


@pytest.mark.parametrize(("table", "column"), _SECRETS)
@pytest.mark.parametrize("way", ["as supplier", "RESET ROLE", "SET ROLE anon", "SET ROLE none"])
def test_the_api_can_not_read_secrets(api: Connection, table: str, column: str, way: str) -> None:
    """Sealed keys and hashes are out of the API's reach in every role it can take, even its own supplier's."""
    act_as(api, "authenticated", ALICE)
    if way != "as supplier":
        api.execute(way.encode())
    query = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(table))
    assert refused(api, query) == NO_RIGHT


def test_the_api_can_not_become_more(api: Connection) -> None:
    """The API's login can take neither the workers' role nor the owner's, before or after RESET ROLE."""
    owner = api.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'tenants'")
    (name,) = owner.fetchone() or ("",)
    act_as(api, "authenticated", ALICE)
    for role in ("service_role", "harborx_worker", str(name)):
        for prelude in ("SELECT 1", "RESET ROLE"):
            api.execute(prelude.encode())
            become = sql.SQL("SET ROLE {}").format(sql.Identifier(role))
            assert refused(api, become) == NO_RIGHT
            assert refused(api, "SELECT set_config('role', %s, true)", role) == NO_RIGHT
    flags = api.execute(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles"
        " WHERE rolname IN ('harborx_api', 'harborx_worker', 'anon', 'authenticated', 'service_role')"
    ).fetchall()
    assert len(flags) == 5
    assert all(row[1:] == (False, False, False, False) for row in flags)
    assert api.execute(
        "SELECT rolinherit FROM pg_roles WHERE rolname = 'harborx_api'"
    ).fetchone() == (False,)


async def test_the_owner_is_held_too(databases: Databases) -> None:
    """Row security is forced: who owns a table sees nothing of it without a policy (superusers excepted)."""
    await databases.new_supplier()
    with psycopg.connect(databases.logins.owner) as connection:
        connection.execute("CREATE ROLE held_owner NOLOGIN")
        connection.execute("ALTER TABLE profiles OWNER TO held_owner")
        connection.execute("SET ROLE held_owner")
        assert connection.execute("SELECT count(*) FROM profiles").fetchone() == (0,)
        connection.rollback()
