"""schema.sql: applied once, known by its version, agreeing with the models."""

from __future__ import annotations

import asyncio
import re

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import SQLModel, select

from orchestrator.database import models
from orchestrator.database.logins import Logins
from orchestrator.database.schema import SCHEMA_VERSION, apply_schema, check_schema, schema_sql
from orchestrator.database.session import SERVICE, Database
from orchestrator.domain import compute_miles
from orchestrator.domain.errors import DatabaseUnavailable, SchemaMismatch


def test_init_makes_the_schema_once(empty_database: Logins) -> None:
    """The first `db init` creates everything, a second finds nothing to do."""
    assert apply_schema(empty_database) is True
    assert apply_schema(empty_database) is False
    check_schema(empty_database.api)
    check_schema(empty_database.worker)


def test_an_empty_database_is_refused_with_the_remedy(empty_database: Logins) -> None:
    """A program never works on a database without its schema, and names the command that mends it."""
    with pytest.raises(SchemaMismatch, match="no Harborx schema") as caught:
        check_schema(empty_database.owner)
    assert "harborx db init" in caught.value.remedy


@pytest.mark.parametrize(("version", "word"), [(0, "needs"), (999, "newer")])
def test_another_version_is_refused(logins: Logins, version: int, word: str) -> None:
    """A database on another version is refused by `serve` and by `db init`."""
    with psycopg.connect(logins.owner) as connection:
        connection.execute("UPDATE harborx_schema SET version = %s", (version,))
    with pytest.raises(SchemaMismatch, match=word):
        check_schema(logins.api)
    with pytest.raises(SchemaMismatch, match=word):
        apply_schema(logins)


def test_the_file_states_the_programs_version() -> None:
    """schema.sql and the program name the same version."""
    assert f"INSERT INTO harborx_schema (version) VALUES ({SCHEMA_VERSION});" in schema_sql()


def test_an_unreachable_server_has_its_own_error() -> None:
    """A server that can't be reached is DatabaseUnavailable, not a traceback of the driver."""
    with pytest.raises(DatabaseUnavailable):
        check_schema("postgresql://nobody@127.0.0.1:1/none")


# Columns that a model leaves out on purpose: kept for the old front end, or never to be read by a program.
_LEFT_OUT = {
    ("gpu_instances", "ssh_key"),
    ("api_keys", "secret_hash"),
}
_TYPES = {
    "uuid": "UUID",
    "text": "TEXT",
    "integer": "INTEGER",
    "bigint": "INTEGER",
    "boolean": "BOOLEAN",
    "double precision": "FLOAT",
    "timestamp with time zone": "DATETIME",
    "jsonb": "JSONB",
    "bytea": "BLOB",
    "ARRAY": "ARRAY",
}


def test_models_and_database_agree(logins: Logins) -> None:
    """Every model has the columns of its table with the same types and nullability, and no others."""
    with psycopg.connect(logins.owner) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = 'public'"
        ).fetchall()
    real = {
        (table, column): (_TYPES[kind], nullable == "YES")
        for table, column, kind, nullable in rows
        if table in SQLModel.metadata.tables and (table, column) not in _LEFT_OUT
    }
    ours = {
        (table.name, column.name): (_family(str(column.type)), bool(column.nullable))
        for table in SQLModel.metadata.tables.values()
        for column in table.columns
    }
    filled_by_database = {"created_at", "updated_at", "started_at"}
    different = {
        key: (real.get(key), ours.get(key))
        for key in real.keys() | ours.keys()
        if real.get(key) != ours.get(key)
        and not (
            key[1] in filled_by_database
            and key in real
            and key in ours
            and real[key][0] == ours[key][0]
        )
    }
    assert different == {}
    assert models.Run.__tablename__ in SQLModel.metadata.tables


def test_database_and_program_compute_the_same_miles(logins: Logins) -> None:
    """The stored formula is the documented one, for every card it names and for those it does not."""
    names = [
        "NVIDIA H100 80GB HBM3",
        "NVIDIA H200",
        "NVIDIA A100-SXM4-80GB",
        "Tesla T4",
        "h200",
        None,
    ]
    with psycopg.connect(logins.owner) as connection:
        for name in names:
            row = connection.execute("SELECT compute_miles_factor(%s)", (name,)).fetchone()
            assert row is not None
            assert row[0] == compute_miles.factor(name)


def test_every_tenant_table_forces_row_security(logins: Logins) -> None:
    """Row security is enabled and forced on every table that has an owner column."""
    with psycopg.connect(logins.owner) as connection:
        weak = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname NOT LIKE 'procrastinate%'"
            " AND c.relname <> 'harborx_schema' AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
        ).fetchall()
    assert weak == []


@pytest.mark.usefixtures("template")  # the roles are there, as on a Supabase server
def test_a_generous_server_gives_tenants_no_more(empty_database: Logins) -> None:
    """Where new objects are granted to anon and authenticated by default, as on Supabase, ours are not."""
    with psycopg.connect(empty_database.owner) as connection:
        for kind in ("TABLES", "FUNCTIONS", "SEQUENCES"):
            connection.execute(
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {kind}"
                " TO anon, authenticated".encode()
            )
    apply_schema(empty_database)
    with psycopg.connect(empty_database.owner) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'S') AND (has_any_column_privilege('anon', oid, 'SELECT')"
            " OR has_table_privilege('anon', oid, 'SELECT, INSERT, UPDATE, DELETE'))"
        ).fetchall()
        secrets = connection.execute(
            "SELECT has_column_privilege('authenticated', 'gpu_credentials', 'ciphertext', 'SELECT')"
            " OR has_column_privilege('authenticated', 'gpu_instances', 'status', 'UPDATE')"
            " OR has_table_privilege('authenticated', 'gpu_test_results', 'INSERT')"
        ).fetchone()
        doors = connection.execute(
            "SELECT proname, role FROM pg_proc, unnest('{anon,authenticated}'::text[]) role"
            " WHERE pronamespace = 'public'::regnamespace AND (prosecdef OR proname = 'settle_instance')"
            " AND has_function_privilege(role, oid, 'EXECUTE')"
        ).fetchall()
    assert tables == []
    assert secrets == (False,)
    assert {name for name, role in doors if role == "anon"} == {"listing_of", "listing_page"}
    assert {name for name, role in doors if role == "authenticated"} == {
        *("cancel_run", "request_run"),
        *("defer_connection_check", "accept_host_key", "pin_checked_host_key"),
    }


async def test_an_exhausted_pool_is_a_database_that_is_away(logins: Logins) -> None:
    """Waiting too long for a connection is DatabaseUnavailable, which workers wait out, like a server that is gone."""
    database = Database(logins.worker, pool_size=1, pool_timeout=0.05)
    async with database.transaction(SERVICE) as session:
        await session.exec(select(1))  # type: ignore[call-overload]
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction(SERVICE) as second:
                await second.exec(select(1))  # type: ignore[call-overload]
    await database.close()


async def test_a_session_that_the_server_ended_is_a_database_that_is_away(logins: Logins) -> None:
    """A worker that was frozen within a transaction finds it ended, and claims its run again: no fault of ours."""
    database = Database(logins.worker)
    with pytest.raises(DatabaseUnavailable):  # noqa: PT012
        async with database.transaction(SERVICE) as session:
            found = await session.exec(text("SELECT pg_backend_pid()"))  # type: ignore[call-overload]
            pid = found.scalar_one()
            await session.exec(text("SET LOCAL idle_in_transaction_session_timeout = '20ms'"))  # type: ignore[call-overload]
            with psycopg.connect(logins.owner, autocommit=True) as owner:
                until = asyncio.get_running_loop().time() + 10
                alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
                while owner.execute(alive, (pid,)).fetchone() != (0,):
                    assert asyncio.get_running_loop().time() < until
                    await asyncio.sleep(0.01)
            await session.exec(select(1))  # type: ignore[call-overload]
    await database.close()


def _family(name: str) -> str:
    name = re.sub(r"\(.*\)", "", name).upper()
    return {
        "AUTOSTRING": "TEXT",
        "VARCHAR": "TEXT",
        "TEXT[]": "ARRAY",
        "TIMESTAMP WITH TIME ZONE": "DATETIME",
        "CHAR": "UUID",
        "BIGINT": "INTEGER",
    }.get(name, name)
