"""Sessions: every transaction acts as exactly one principal, and as nobody unless told otherwise."""

from __future__ import annotations

import asyncio
import json
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import psycopg
import sqlmodel
from psycopg import AsyncConnection
from sqlalchemy import Connection, event, func, make_url, orm
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InvalidatePoolError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.domain.errors import DatabaseError, DatabaseUnavailable

Session = AsyncSession
Role = Literal["none", "anon", "authenticated", "service_role"]

LONGEST: Final = 15.0  # seconds that a transaction may last

NOW: Final = func.now()  # the database's clock, the only one that rows are stamped by

# libpq's words for: a peer that vanished without a word is noticed within about ten seconds.
KEEPALIVE: Final[dict[str, Any]] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "connect_timeout": 10,
}

ACT_AS: Final = "SELECT set_config('role', %s, true), set_config('request.jwt.claims', %s, true)"


@dataclass(frozen=True)
class Principal:
    """
    Who a transaction acts as. `none` is the login itself, which may only open its own doors; `via` is what a
    supplier signed in with, for the audit log.
    """

    role: Role
    user_id: UUID | None = None
    via: str | None = None

    @property
    def claims(self) -> str:
        said: dict[str, str] = {"role": self.role}
        if self.user_id is not None:
            said["sub"] = str(self.user_id)
        if self.via is not None:
            said["via"] = self.via
        return json.dumps(said)


NOBODY: Final = Principal("anon")
LOGIN: Final = Principal("none")
SERVICE: Final = Principal("service_role")


def supplier(user_id: UUID, via: str | None = None) -> Principal:
    return Principal("authenticated", user_id, via)


class TenantSession(sqlmodel.Session):
    """A session whose transactions begin by saying who they act as; deny by default."""


@event.listens_for(TenantSession, "after_begin")
def _begin_as(
    session: orm.Session, transaction: orm.SessionTransaction, connection: Connection
) -> None:
    if transaction.nested:  # a savepoint of one that has said it
        return
    principal: Principal = session.info.get("principal", NOBODY)
    try:
        await_only(_begun(connection.connection.driver_connection, principal))
    except psycopg.Error:
        connection.invalidate()
        raise


async def _begun(connection: Any, principal: Principal) -> None:
    """In one flight, so that a transaction begins with one round trip."""
    async with connection.pipeline():
        await connection.execute("BEGIN")
        await connection.execute(ACT_AS, (principal.role, principal.claims))


def _require_alive(connection: Any, *_: object) -> None:
    """
    For connections out of the pool. A server says nothing to one that waits, unless it has ended it: to look for that
    costs nothing, and to ask would cost a round trip before every transaction.
    """
    if connection.closed or can_be_read(connection.driver_connection.fileno()):
        raise InvalidatePoolError()


class Database:
    """One login's connections. Open one a process and close it at the end."""

    def __init__(
        self, url: str, *, pool_size: int = 10, pool_timeout: float = 10.0, prepare: bool = True
    ) -> None:
        # Transactions are begun by `_begin_as`; psycopg would send a BEGIN of its own, and wait for it.
        connect_args: dict[str, Any] = {
            **KEEPALIVE,
            "async_creator_fn": open_connection,
            "autocommit": True,
        }
        if not prepare:
            connect_args["prepare_threshold"] = None
        self.url = url
        self.longest = LONGEST
        self.prepares = prepare
        self._engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout,
            pool_use_lifo=True,  # the one that was used last has the statements prepared
            hide_parameters=True,
            connect_args=connect_args,
        )
        event.listen(self._engine.sync_engine, "checkout", _require_alive)

    @asynccontextmanager
    async def transaction(self, principal: Principal) -> AsyncIterator[Session]:
        """
        One transaction as `principal`: committed at the end of the block, rolled back by an error and after `LONGEST`
        seconds: what is stamped with its start is looked for as long ago as that (fleet_changes in schema.sql).

        Raises `DatabaseUnavailable` when PostgreSQL can't be reached or was too slow, and `DatabaseError` for what it refuses. The
        query modules catch the `IntegrityError` whose meaning they know inside the block.
        """
        session = Session(
            self._engine,
            sync_session_class=TenantSession,
            expire_on_commit=False,
            info={"principal": principal},
        )
        try:
            async with session, session.begin():
                await session.connection()  # begins now, and not at the first statement
                async with asyncio.timeout(self.longest):
                    yield session
        except (OperationalError, InterfaceError, PoolTimeoutError, TimeoutError) as error:
            raise DatabaseUnavailable(_reason(error)) from error
        except psycopg.Error as error:  # as it began
            raise DatabaseUnavailable(_reason(error)) from error
        except DBAPIError as error:
            # A session that the server ended, for one because we were frozen within a transaction, is no fault.
            lost = error.connection_invalidated
            raise (DatabaseUnavailable if lost else DatabaseError)(_reason(error)) from error

    async def close(self) -> None:
        await self._engine.dispose()


async def database_now(session: Session) -> datetime:
    """The time by the clock that stamps our rows."""
    found = await session.exec(sqlmodel.select(NOW))
    return found.one()


def can_be_read(socket: int) -> bool:
    """Whether something has come in that nobody has read, the end of the connection for one."""
    waiting = select.poll()
    waiting.register(socket, select.POLLIN)
    return bool(waiting.poll(0))


def constraint_of(error: IntegrityError) -> str | None:
    """The name of the violated constraint, or None."""
    diagnostics = getattr(error.orig, "diag", None)
    name = getattr(diagnostics, "constraint_name", None)
    return str(name) if name else None


async def open_connection(*args: Any, **kwargs: Any) -> AsyncConnection:
    """
    A connection of the pool's. Cut off half-way, it is closed at once: the frames in the error's traceback hold it, and
    would until their garbage is collected.
    """
    try:
        return await AsyncConnection.connect(*args, **kwargs)
    except asyncio.CancelledError as cut_off:
        raise cut_off.with_traceback(None) from None


def _reason(error: Exception) -> str:
    """The server's own first line: it names objects and never the parameters."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
