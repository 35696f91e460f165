"""
No transaction outlasts the time for which what it stamps is looked for, and none leaves a connection behind.
"""

from __future__ import annotations

import asyncio
import gc
import re

import psycopg
import pytest
from sqlalchemy import TextClause, text

from orchestrator.database import overview
from orchestrator.database.session import LONGEST, NOBODY, SERVICE, Database
from orchestrator.domain.errors import DatabaseUnavailable
from tests.conftest import Databases

_WAIT = 10.0
_ENDLESS = text("SELECT pg_advisory_xact_lock(7)")  # another transaction has it to the end


async def test_a_transaction_is_given_up_when_its_time_is_over(databases: Databases) -> None:
    """Whether it waits for PostgreSQL or for us; nothing of it is kept, and the connections go on working."""
    user = await databases.new_supplier()
    statement = text("INSERT INTO gpu_inventory (user_id, gpu_model) VALUES (:user, 'late')")
    databases.worker.longest = 0.3

    async def late(sleeper: TextClause | None) -> None:
        async with databases.worker.transaction(SERVICE) as session:
            await session.exec(statement, params={"user": user})  # type: ignore[call-overload]
            if sleeper is None:
                await asyncio.Event().wait()
            else:
                await session.exec(sleeper)  # type: ignore[call-overload]

    async with databases.api.transaction(NOBODY) as holder:
        await holder.exec(_ENDLESS)  # type: ignore[call-overload]
        for sleeper in (None, _ENDLESS):
            with pytest.raises(DatabaseUnavailable):
                await late(sleeper)
    databases.worker.longest = LONGEST
    for _ in range(6):  # more than the pool has
        async with databases.worker.transaction(SERVICE) as session:
            found = await session.exec(text("SELECT count(*) FROM gpu_inventory"))  # type: ignore[call-overload]
            assert found.one() == (0,)


async def test_one_that_is_cancelled_while_it_connects_leaves_no_connection() -> None:
    """The connection is closed there and then, and not when its garbage happens to be collected."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        asked.set()
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = Database(f"postgresql://nobody@127.0.0.1:{port}/none")

    async def begin() -> None:
        async with database.transaction(SERVICE):
            pass

    gc.disable()
    try:
        async with server, asyncio.timeout(_WAIT):
            beginning = asyncio.create_task(begin())
            await asked.wait()
            beginning.cancel()
            await asyncio.wait([beginning])
            assert beginning.cancelled()
            await gone.wait()
    finally:
        gc.enable()
        await database.close()


async def test_connections_that_the_server_ended_while_they_waited_are_replaced(
    databases: Databases,
) -> None:
    """Nobody's transaction fails for it, though none is asked whether it is alive."""
    worker = databases.worker
    backend = text("SELECT pg_backend_pid()")
    async with worker.transaction(SERVICE) as one, worker.transaction(SERVICE) as other:
        ended = [(await each.exec(backend)).scalar_one() for each in (one, other)]  # type: ignore[call-overload]
    with psycopg.connect(databases.logins.owner, autocommit=True) as owner:
        for pid in ended:
            owner.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    for _ in range(3):
        async with worker.transaction(SERVICE) as session:
            assert (await session.exec(backend)).scalar_one() not in ended  # type: ignore[call-overload]


def test_the_server_gives_it_up_too_where_it_can(databases: Databases) -> None:
    """From PostgreSQL 17 on, whatever has become of the program; and changes are looked for longer than that."""
    for login in (databases.logins.api, databases.logins.worker):
        with psycopg.connect(login) as connection:
            if connection.info.server_version >= 170_000:
                row = connection.execute("SHOW transaction_timeout").fetchone()
                assert row == (f"{LONGEST:.0f}s",)
    looked_back = re.search(r"interval '(\d+) seconds'", str(overview._CHANGES))
    assert looked_back is not None
    assert int(looked_back[1]) > LONGEST
