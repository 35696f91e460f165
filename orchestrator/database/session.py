"""Sessions: every transaction acts as exactly one principal, and as nobody unless told otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import sqlmodel
from psycopg import AsyncConnection
from sqlalchemy import Connection, event, func, make_url, orm, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
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

_ACT_AS: Final = text(
    "SELECT set_config('role', :role, true), set_config('request.jwt.claims', :claims, true)"
)


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
def _act_as(session: orm.Session, _: orm.SessionTransaction, connection: Connection) -> None:
    principal: Principal = session.info.get("principal", NOBODY)
    connection.execute(_ACT_AS, {"role": principal.role, "claims": principal.claims})


class Database:
    """One login's connections. Open one a process and close it at the end."""

    def __init__(
        self, url: str, *, pool_size: int = 10, pool_timeout: float = 10.0, prepare: bool = True
    ) -> None:
        connect_args: dict[str, Any] = {**KEEPALIVE, "async_creator_fn": _opened}
        if not prepare:
            connect_args["prepare_threshold"] = None
        self.url = url
        self.longest = LONGEST
        self._engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=connect_args,
        )

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


def constraint_of(error: IntegrityError) -> str | None:
    """The name of the violated constraint, or None."""
    diagnostics = getattr(error.orig, "diag", None)
    name = getattr(diagnostics, "constraint_name", None)
    return str(name) if name else None


async def _opened(*args: Any, **kwargs: Any) -> AsyncConnection:
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
