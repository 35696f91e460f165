"""Applying schema.sql, and knowing which version a database is on."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

import psycopg
from procrastinate.schema import SchemaManager
from psycopg import sql

from orchestrator.database.logins import Logins
from orchestrator.domain.errors import DatabaseError, DatabaseUnavailable, SchemaMismatch

SCHEMA_VERSION: Final = 6
OLDEST_SERVER: Final = 150000


def schema_sql() -> str:
    """The text of schema.sql, from the checkout or from the wheel."""
    checkout = Path(__file__).parents[2] / "schema.sql"
    if checkout.is_file():
        return checkout.read_text("utf-8")
    return resources.files("orchestrator.database").joinpath("schema.sql").read_text("utf-8")


def apply_schema(logins: Logins, *, reset_passwords: bool = False) -> bool:
    """
    Bring an empty database to this program's version; True if anything was done.

    Tables and their engine's are made in one transaction, so a failure leaves nothing behind. The logins
    get their passwords with the schema; later only on `reset_passwords`, which locks out installations that
    know the old ones.
    Raises `SchemaMismatch` for a database on another version or an old server.
    """
    with _connect(logins.owner) as connection:
        _require_server(connection)
        # Two inits at once: the second waits here, and then finds the work done.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('harborx schema'))")
        found = _version(connection)
        if found is None:
            _create(connection)
        elif found != SCHEMA_VERSION:
            raise SchemaMismatch(_mismatch(found))
        if found is None or reset_passwords:
            _set_passwords(connection, logins)
        connection.commit()
        return found is None


def check_schema(url: str) -> None:
    """Raises `SchemaMismatch` unless the database behind `url` is on this program's version."""
    with _connect(url) as connection:
        _require_server(connection)
        found = _version(connection)
    if found != SCHEMA_VERSION:
        raise SchemaMismatch(_mismatch(found))


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(url, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(str(error).strip().splitlines()[-1]) from error


def _require_server(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        raise SchemaMismatch(f"The server is PostgreSQL {version // 10000}; 15 or newer is needed.")


def _version(connection: psycopg.Connection[tuple[object, ...]]) -> int | None:
    known = connection.execute("SELECT to_regclass('public.harborx_schema')").fetchone()
    if known is None or known[0] is None:
        return None
    row = connection.execute("SELECT max(version) FROM harborx_schema").fetchone()
    return int(str(row[0])) if row and row[0] is not None else None


def _create(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    try:
        connection.execute(SchemaManager.get_schema().encode())
        connection.execute(schema_sql().encode())
    except psycopg.Error as error:
        raise DatabaseError(f"schema.sql could not be applied: {error}".strip()) from error


def _set_passwords(connection: psycopg.Connection[tuple[object, ...]], logins: Logins) -> None:
    for login, password in (
        ("harborx_api", logins.api_password),
        ("harborx_worker", logins.worker_password),
    ):
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(login), sql.Literal(password)))


def _mismatch(found: int | None) -> str:
    if found is None:
        return "It has no Harborx schema yet."
    if found > SCHEMA_VERSION:
        return f"It is on version {found}, newer than this program's {SCHEMA_VERSION}: upgrade the program."
    return (
        f"It is on version {found}, this program needs {SCHEMA_VERSION}, and there is no upgrade between"
        " versions before the first release: use a new database (the demo's is in .demo)."
    )
