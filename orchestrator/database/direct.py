"""
Requests that are one statement, past the ORM: who they act as, and the statement, go to PostgreSQL in one flight and are
one transaction there. Row security guards them as it does all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final, LiteralString

import psycopg
from psycopg import AsyncConnection
from sqlalchemy import make_url

from orchestrator.database.session import (
    ACT_AS,
    KEEPALIVE,
    Database,
    Principal,
    can_be_read,
    open_connection,
)
from orchestrator.domain.errors import DatabaseUnavailable

_OURS: Final = "HX"  # how the errors begin that schema.sql raises


class Refused(Exception):
    """PostgreSQL refused the statement, and nothing of it was done: asked in full, it says why."""


class Direct:
    """A few connections of their own. Open one a process and close it at the end."""

    def __init__(self, database: Database, most: int = 8) -> None:
        self._url = make_url(database.url).set(drivername="postgresql").render_as_string(False)
        self._longest = database.longest
        self._prepare = 2 if database.prepares else None
        self._idle: list[AsyncConnection[Any]] = []
        self._free = asyncio.Semaphore(most)

    async def ask(
        self, statement: LiteralString, principal: Principal, *values: object
    ) -> str | None:
        """
        The text that is the statement's answer; None where there is none.

        Raises `DatabaseUnavailable` as a transaction does, and `Refused`.
        """
        try:
            async with asyncio.timeout(self._longest), self._connection() as connection:
                # Without a word of ours in between, what is sent up to the end of the pipeline is one transaction.
                async with connection.pipeline():
                    await connection.execute(ACT_AS, (principal.role, _claims(principal)))
                    cursor = await connection.execute(statement, values)
                row = await cursor.fetchone()
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
            if (getattr(error, "sqlstate", None) or "").startswith(_OURS):  # unknown to psycopg
                raise Refused from error
            lines = str(error).strip().splitlines()
            raise DatabaseUnavailable(lines[0] if lines else type(error).__name__) from error
        except psycopg.Error as error:
            raise Refused from error
        return None if row is None else row[0]

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """The one that was used last; one that its server has ended meanwhile is not tried."""
        async with self._free:
            connection = None
            while self._idle and connection is None:
                connection = self._idle.pop()
                if connection.closed or can_be_read(connection.fileno()):
                    await connection.close()
                    connection = None
            if connection is None:
                connection = await self._opened()
            sound = False  # cut off, what it would say next belongs to nobody
            try:
                yield connection
                sound = True
            except psycopg.Error as error:
                sound = not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
                raise
            finally:
                if sound:
                    self._idle.append(connection)
                else:
                    await connection.close()

    async def _opened(self) -> AsyncConnection[Any]:
        return await open_connection(
            self._url, autocommit=True, **{**KEEPALIVE, "prepare_threshold": self._prepare}
        )


@lru_cache(1024)
def _claims(principal: Principal) -> str:
    return principal.claims
