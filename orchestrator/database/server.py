"""What server a URL leads to, and whether our schema is on it."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from orchestrator.domain.errors import DatabaseUnavailable


@dataclass(frozen=True)
class Server:
    """`address` has no password; `schema_version` is None where our schema is not."""

    address: str
    version: str
    schema_version: int | None


def server_behind(url: str) -> Server:
    """Raises `DatabaseUnavailable`."""
    try:
        with psycopg.connect(url, connect_timeout=10, autocommit=True) as connection:
            info = connection.info
            address = f"{info.user}@{info.host or 'localhost'}:{info.port}/{info.dbname}"
            version = info.parameter_status("server_version") or str(info.server_version)
            return Server(address, version, _schema_version(connection))
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(str(error).strip().splitlines()[-1]) from error


def _schema_version(connection: psycopg.Connection[tuple[object, ...]]) -> int | None:
    known = connection.execute("SELECT to_regclass('public.harborx_schema')").fetchone()
    if known is None or known[0] is None:
        return None
    row = connection.execute("SELECT max(version) FROM harborx_schema").fetchone()
    return int(str(row[0])) if row and row[0] is not None else None
