"""
Many suppliers at once on two connections, direct and behind PgBouncer: what is read, written, refused, rolled back,
cancelled and cut off in between, and whose rows are seen then.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bench.attacks.ground import Ground
from bench.attacks.pools.pgbouncer import pgbouncer
from bench.attacks.record import Played
from orchestrator.database.logins import Logins
from orchestrator.database.session import NOBODY, Database, Session, supplier
from orchestrator.domain.errors import DatabaseError, DatabaseUnavailable

CONNECTIONS: Final = 2
_TENANTS: Final = 50
_INSTANCES: Final = 2  # of each tenant
_AT_ONCE: Final = 16
_CANCELLED: Final = 0.1  # the share of operations that is cancelled, if it isn't done before
_LONGEST_SECONDS: Final = 0.02  # until then
_KILL_EVERY: Final = 400  # operations
_TOLD_EVERY: Final = 5_000
_LEAST_DONE: Final = 0.6  # the share of operations without which nothing was shown

_SEED: Final = """
WITH tenant AS (INSERT INTO profiles (id, email) VALUES (%(t)s, 'a@example.com') RETURNING id)
INSERT INTO gpu_instances (user_id, vast_instance_id, ssh_host)
SELECT id, 'machine ' || n, 'host' FROM tenant, generate_series(1, %(n)s) n
"""
_LOOK: Final = text(
    """
    SELECT current_user::text, auth.uid(), array_agg(DISTINCT user_id), count(*) FROM gpu_instances
    """
)
_WRITE: Final = text(
    "UPDATE gpu_instances SET metadata = jsonb_build_object('owner', CAST(:owner AS text)) RETURNING user_id"
)
_LEFT: Final = """
    SELECT current_user::text, session_user::text, current_setting('role'),
           coalesce(current_setting('request.jwt.claims', true), '')
"""
_CLEAN: Final = ("harborx_api", "harborx_api", "none", "")
_KILL: Final = b"""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = 'harborx_api' ORDER BY random() LIMIT 1
"""
_STRAYED: Final = b"""
    SELECT count(*) FROM gpu_instances
    WHERE metadata <> '{}' AND metadata ->> 'owner' IS DISTINCT FROM user_id::text
"""


async def play(ground: Ground, count: int, seed: int) -> Played:
    """Half of `count` operations direct, half behind the pooler."""
    random = Random(seed)
    tally: Counter[str] = Counter()
    leaks: list[str] = []
    figures: dict[str, Any] = {}
    with ground.database() as logins:
        tenants = _seeded(logins, random)
        with pgbouncer(logins.api, CONNECTIONS) as through:
            ways = {
                "direct": Database(logins.api, pool_size=CONNECTIONS),
                # More of ours than the server has: each transaction gets whichever is free.
                "pgbouncer": Database(through, pool_size=4 * CONNECTIONS, prepare=False),
            }
            for name, database in ways.items():
                one = Interleaved(database, logins.owner, tenants, random, tally, leaks)
                figures[f"{name}_per_second"] = round(await one.play(count // 2))
                await database.close()
        strayed = _strayed(logins)
    leaks += [f"{strayed} rows hold what another wrote, or what was rolled back"] * bool(strayed)
    missed = (
        [f"only {tally['done']} of {count} operations got through"]
        if tally["done"] < _LEAST_DONE * (count // 2 * 2)
        else []
    )
    return Played(
        count // 2 * 2,
        {"leaks": len(leaks)},
        {**figures, **dict(sorted(tally.items()))},
        missed=tuple(missed),
        sentences=tuple(leaks),
    )


class Interleaved:
    """Operations of many tenants, some at a time, each of which says what it saw that was not its own."""

    def __init__(
        self,
        database: Database,
        owner_url: str,
        tenants: list[UUID],
        random: Random,
        tally: Counter[str],
        leaks: list[str],
    ) -> None:
        self._database = database
        self._owner_url = owner_url
        self._tenants = tenants
        self._random = random
        self._tally = tally
        self._leaks = leaks
        self._left = 0
        self._kinds: tuple[Callable[[UUID], Coroutine[Any, Any, None]], ...] = (
            *(self._read, self._read, self._write, self._write),
            *(self._fail, self._nested, self._time_out, self._as_nobody, self._as_nobody),
            *(self._look_at_backend, self._look_at_backend),
        )

    async def play(self, count: int) -> float:
        """Operations per second."""
        self._left = count
        began = time.monotonic()
        async with (
            await psycopg.AsyncConnection.connect(self._owner_url, autocommit=True) as owner,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(_AT_ONCE):
                group.create_task(self._some(owner))
        return count / (time.monotonic() - began)

    async def _some(self, owner: psycopg.AsyncConnection[Any]) -> None:
        while self._left > 0:
            self._left -= 1
            if self._left % _KILL_EVERY == 0:
                await owner.execute(_KILL)
                self._tally["kills"] += 1
            if self._left % _TOLD_EVERY == 0:
                print(f"pools: {self._left} left, {len(self._leaks)} leaks", file=sys.stderr)
            operation = self._random.choice(self._kinds)(self._random.choice(self._tenants))
            if self._random.random() < _CANCELLED:
                await self._cancelled(operation)
            else:
                await self._finished(operation)

    async def _cancelled(self, operation: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(self._finished(operation))
        delay = self._random.uniform(0, _LONGEST_SECONDS)
        asyncio.get_running_loop().call_later(delay, task.cancel)
        with suppress(asyncio.CancelledError):
            await task
        self._tally["cancelled"] += task.cancelled()

    async def _finished(self, operation: Coroutine[Any, Any, None]) -> None:
        try:
            await operation
        except (DatabaseUnavailable, DBAPIError):  # its connection was cut off
            self._tally["cut_off"] += 1
        else:
            self._tally["done"] += 1

    async def _read(self, tenant: UUID) -> None:
        async with self._database.transaction(supplier(tenant)) as session:
            await self._look(session, tenant, "reads")

    async def _write(self, tenant: UUID) -> None:
        async with self._database.transaction(supplier(tenant)) as session:
            await self._put(session, tenant, str(tenant))
            await self._look(session, tenant, "has written")

    async def _fail(self, tenant: UUID) -> None:
        with suppress(DatabaseError):
            async with self._database.transaction(supplier(tenant)) as session:
                await self._put(session, tenant, "rolled back")
                await session.exec(text("SELECT 1 / 0"))  # type: ignore[call-overload]

    async def _nested(self, tenant: UUID) -> None:
        async with self._database.transaction(supplier(tenant)) as session:
            try:
                async with session.begin_nested():
                    await self._put(session, tenant, "rolled back")
                    await session.exec(text("SELECT 1 / 0"))  # type: ignore[call-overload]
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise
            await self._look(session, tenant, "goes on after a savepoint")

    async def _time_out(self, tenant: UUID) -> None:
        with suppress(DatabaseUnavailable):
            async with self._database.transaction(supplier(tenant)) as session:
                await self._put(session, tenant, "rolled back")
                await session.exec(text("SET LOCAL statement_timeout = '2ms'"))  # type: ignore[call-overload]
                await session.exec(text("SELECT pg_sleep(10)"))  # type: ignore[call-overload]

    async def _as_nobody(self, tenant: UUID) -> None:
        """Whoever says nothing of themselves has no right at all."""
        with suppress(DatabaseError):
            async with self._database.transaction(NOBODY) as session:
                row = (await session.exec(_LOOK)).one()  # type: ignore[call-overload]
                self._leaks.append(f"nobody sees {tuple(row)}")

    async def _look_at_backend(self, tenant: UUID) -> None:
        """What a connection is handed out with, before anybody said who they are."""
        async with self._database._engine.connect() as connection:
            left = tuple((await connection.exec_driver_sql(_LEFT)).one())
        if left != _CLEAN:
            self._leaks.append(f"a connection is handed out as {left}")

    async def _look(self, session: Session, tenant: UUID, when: str) -> None:
        row = tuple((await session.exec(_LOOK)).one())  # type: ignore[call-overload]
        if row != ("authenticated", tenant, [tenant], _INSTANCES):
            self._leaks.append(f"{tenant} {when} and sees {row}")

    async def _put(self, session: Session, tenant: UUID, said: str) -> None:
        found = (await session.exec(_WRITE, params={"owner": said})).all()  # type: ignore[call-overload]
        if [row[0] for row in found] != [tenant] * _INSTANCES:
            self._leaks.append(f"{tenant} writes to {[str(row[0]) for row in found]}")


def _seeded(logins: Logins, random: Random) -> list[UUID]:
    tenants = [UUID(int=random.getrandbits(128)) for _ in range(_TENANTS)]
    with psycopg.connect(logins.owner) as connection:
        for tenant in tenants:
            connection.execute(_SEED.encode(), {"t": tenant, "n": _INSTANCES})
    return tenants


def _strayed(logins: Logins) -> int:
    with psycopg.connect(logins.owner) as connection:
        row = connection.execute(_STRAYED).fetchone()
    return int(row[0]) if row else 0
