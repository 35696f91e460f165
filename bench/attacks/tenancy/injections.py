"""
What an injected statement would try on the API's own connection, to become more than anon and authenticated.

Claims are not among it: they are a setting like any other, so that an injected statement can name another supplier.
Against that stands that no statement is built from what somebody sent (tests/security/test_tenancy.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from bench.attacks.tenancy.catalog import Connection
from bench.attacks.tenancy.two_tenants import Tally, TwoTenants, Who

# To be any role of the server; {r} is its name, {s} the same as a string.
_BECOMING: Final = (
    "SET ROLE {r}",
    "SET LOCAL ROLE {r}",
    "RESET ROLE; SET ROLE {r}",
    "SET SESSION AUTHORIZATION {r}",
    "SET LOCAL SESSION AUTHORIZATION {r}",
    "SELECT set_config('role', {s}, true)",
    "SELECT set_config('role', {s}, false)",
    "SELECT set_config('session_authorization', {s}, false)",
    "DO $$BEGIN EXECUTE 'SET ROLE ' || quote_ident({s}); END$$",
    "DO $$BEGIN PERFORM set_config('role', {s}, false); END$$",
    "WITH a AS MATERIALIZED (SELECT set_config('role', {s}, true)) SELECT * FROM a",
    "GRANT {r} TO harborx_api",
    "GRANT {r} TO authenticated WITH ADMIN OPTION",
    "ALTER ROLE {r} LOGIN PASSWORD 'mine'",
    "ALTER ROLE {r} SET role = 'postgres'",
    "ALTER ROLE {r} RENAME TO mine",
    "REASSIGN OWNED BY {r} TO harborx_api",
    "ALTER TABLE profiles OWNER TO harborx_api",
    "SET default_transaction_read_only = off; SET ROLE {r}",
)
# To have it otherwise: every one of these is refused.
_REFUSED: Final = (
    "CREATE ROLE mine SUPERUSER",
    "CREATE USER mine IN ROLE service_role",
    "ALTER ROLE harborx_api SUPERUSER",
    "ALTER ROLE harborx_api BYPASSRLS",
    "ALTER ROLE harborx_api CREATEROLE",
    "ALTER DATABASE {d} OWNER TO harborx_api",
    "ALTER DATABASE {d} SET role = 'service_role'",
    "ALTER DEFAULT PRIVILEGES FOR ROLE service_role GRANT SELECT ON TABLES TO harborx_api",
    "UPDATE pg_authid SET rolsuper = true",
    "SELECT rolpassword FROM pg_authid",
    "SELECT passwd FROM pg_shadow",
    "COPY pg_authid TO STDOUT",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "CREATE TABLE mine (line text)",
    "CREATE TEMP TABLE gpu_instances (id uuid, user_id uuid)",
    "CREATE TEMP VIEW gpu_credentials AS SELECT 1",
    "SELECT 1 INTO TEMP profiles",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user'",
    "CREATE FUNCTION public.mine() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user'",
    "CREATE FUNCTION pg_temp.mine() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user'",
    "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
    "CREATE FUNCTION auth.mine() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
    "CREATE OPERATOR public.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = uuid_ne)",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION file_fdw",
    "CREATE EXTENSION plpython3u",
    "CREATE LANGUAGE c",
    "CREATE SERVER mine FOREIGN DATA WRAPPER postgres_fdw",
    "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION refuse_change()",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "CREATE SUBSCRIPTION mine CONNECTION '' PUBLICATION mine",
    "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')",
    "LOAD '/tmp/mine.so'",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/mine')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('postgresql.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_stat_file('postgresql.conf')",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> current_user",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT dblink('', 'SELECT 1')",
    "SET session_replication_role = replica",
    "SET log_statement = 'all'",
    "ALTER TABLE gpu_instances DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE gpu_instances NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE gpu_test_runs DISABLE TRIGGER ALL",
    "DROP POLICY own ON gpu_instances",
    "CREATE POLICY mine ON gpu_instances USING (true)",
    "CREATE TRIGGER mine BEFORE INSERT ON gpu_instances FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE RULE mine AS ON SELECT TO gpu_instances DO INSTEAD SELECT 1",
    "ALTER FUNCTION listing_of(uuid) SECURITY INVOKER",
    "GRANT SELECT ON gpu_credentials TO harborx_api",
    "LOCK TABLE gpu_credentials IN ACCESS EXCLUSIVE MODE",
    "DROP TABLE gpu_credentials",
    "COMMENT ON TABLE gpu_credentials IS 'mine'",
    "SECURITY LABEL ON TABLE gpu_credentials IS 'mine'",
    "DECLARE c CURSOR WITH HOLD FOR SELECT ciphertext FROM gpu_credentials",
    "COPY gpu_credentials TO STDOUT",
    "DO $$BEGIN PERFORM ciphertext FROM gpu_credentials; END$$",
    "SET row_security = off; SELECT * FROM gpu_instances",
)
# Carried out for anybody, some with a warning and without effect, and no help to become more.
_ALLOWED: Final = (
    "UPDATE pg_settings SET setting = 'service_role' WHERE name IN ('role', 'session_authorization')",
    "GRANT EXECUTE ON FUNCTION use_api_key(text, bytea) TO authenticated",
    "ANALYZE gpu_credentials; SELECT most_common_vals FROM pg_stats WHERE tablename = 'gpu_credentials'",
    "RESET ROLE",
    "RESET SESSION AUTHORIZATION",
    "SET ROLE none",
    "SET ROLE anon",
    "RESET ALL",
    "SET search_path = pg_temp, public",
    "SELECT set_config('search_path', 'pg_temp', false)",
    "PREPARE mine AS SELECT 1",
)
_SECRETS: Final = (
    b"SELECT ciphertext FROM gpu_credentials",
    b"SELECT secret_hash FROM api_keys",
    b"SELECT password_hash FROM accounts",
    b"SELECT args FROM procrastinate_jobs",
)


@dataclass(frozen=True)
class Payload:
    statement: str
    refused: bool


def inject_all(tenants: TwoTenants, tally: Tally) -> None:
    roles = [str(row[0]) for row in tenants.ask(b"SELECT rolname FROM pg_roles ORDER BY 1")]
    with psycopg.connect(tenants.logins.api, autocommit=True) as connection:
        for payload in _payloads(roles, connection.info.dbname):
            for who in (Who("authenticated", tenants.own), Who("none")):
                tally.figures["injected"] += 1
                tally.cell(*_inject(connection, who, payload))
    with psycopg.connect(tenants.logins.api) as connection:
        tally.cell(_is_more(connection), "the API's login became more than it was")


def _payloads(roles: list[str], database: str) -> Iterator[Payload]:
    for role in roles:
        if role in ("anon", "authenticated", "harborx_api"):
            continue
        named = {"r": sql.Identifier(role).as_string(), "s": sql.Literal(role).as_string()}
        for form in _BECOMING:
            yield Payload(form.format(**named), refused=True)
    for form in _REFUSED:
        yield Payload(form.replace("{d}", sql.Identifier(database).as_string()), refused=True)
    for form in _ALLOWED:
        yield Payload(form, refused=False)


def _inject(connection: Connection, who: Who, payload: Payload) -> tuple[bool, str]:
    """Whether it was carried out and must not be, or whoever sent it is more afterwards."""
    with connection.transaction(force_rollback=True):
        connection.execute(
            "SELECT set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            (who.role, who.claims),
        )
        try:
            with connection.transaction():
                connection.execute(payload.statement.encode())
        except psycopg.Error as error:
            refusal = error.sqlstate
        else:
            refusal = None
        leaked = refusal is None and (payload.refused or _is_more(connection))
    return leaked, f"{who} injects {payload.statement!r}: {refusal or 'carried out'}"


def _is_more(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT current_user, session_user, rolsuper OR rolbypassrls, pg_has_role('service_role', 'MEMBER')"
        " FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    if row is None or row[0] not in ("harborx_api", "anon", "authenticated"):
        return True
    return row[1] != "harborx_api" or row[2] or row[3] or _reads_secrets(connection)


def _reads_secrets(connection: Connection) -> bool:
    for query in _SECRETS:
        try:
            with connection.transaction():
                connection.execute(query)
        except psycopg.Error:
            continue
        return True
    return False
