"""Live events over a real server: followed, resumed, and carried through an outage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import uvicorn
from sqlalchemy import make_url

from orchestrator.api import stream
from orchestrator.database import events, told_runs
from orchestrator.database.events import Batch, NewEvent
from orchestrator.database.session import NOW, SERVICE
from tests.api.conftest import Supplier, application
from tests.conftest import Databases


@asynccontextmanager
async def served(databases: Databases) -> AsyncIterator[str]:
    """The application behind a real server on a free port."""
    config = uvicorn.Config(application(databases.api), port=0, log_config=None, lifespan="on")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task


async def append(databases: Databases, run_id: UUID, *kinds: str, end: bool = False) -> None:
    changes = {"state": "passed", "finished_at": NOW} if end else {}
    new = [NewEvent(kind, {"said": kind}, datetime.now(UTC)) for kind in kinds]
    async with databases.worker.transaction(SERVICE) as session:
        await events.append(session, run_id, 1, Batch(new, changes))


async def told(response: httpx.Response) -> AsyncIterator[tuple[str | None, str, Any]]:
    """The events of a stream as (id, event, data), but for that of the claim."""
    seen: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            seen[name] = value.strip()
        elif "event" in seen:
            if seen["event"] != "state":
                yield seen.get("id"), seen["event"], json.loads(seen["data"])
            seen = {}


@pytest.mark.timeout(60)
async def test_events_are_followed_live_and_resumed(
    databases: Databases, supplier: Supplier, other: Supplier
) -> None:
    """A watcher sees events as they are stored; one that comes back with Last-Event-ID misses and repeats none."""
    run_id = await supplier.claimed_run()
    await append(databases, run_id, "one", "two")
    headers = {"Authorization": f"Bearer {supplier.token}"}
    path = f"/v1/runs/{run_id}/events"
    async with served(databases) as base, httpx.AsyncClient(base_url=base, timeout=20) as client:
        async with client.stream("GET", path, headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            stream = told(response)
            first = [await anext(stream), await anext(stream)]
            await append(databases, run_id, "three")
            live = await anext(stream)
        assert [(each[0], each[1]) for each in (*first, live)] == [
            *(("2", "one"), ("3", "two"), ("4", "three"))
        ]
        assert live[2]["body"] == {"said": "three"}
        await append(databases, run_id, "four")
        resumed = headers | {"Last-Event-ID": "4"}
        async with client.stream("GET", path, headers=resumed) as response:
            stream = told(response)
            assert (await anext(stream))[:2] == ("5", "four")
            await append(databases, run_id, "ended", end=True)
            assert (await anext(stream))[:2] == ("6", "ended")
            last = await anext(stream)
            assert (last[1], last[2]) == ("end", {"run_id": str(run_id)})
            assert [item async for item in stream] == []
        async with client.stream("GET", path, headers=headers, params={"after": 3}) as response:
            again = [item async for item in told(response)]
        assert [item[1] for item in again] == ["three", "four", "ended", "end"]
        refused = await client.get(path, headers={"Authorization": f"Bearer {other.token}"})
        assert refused.status_code == 404


@contextmanager
def away(databases: Databases) -> Iterator[None]:
    """PostgreSQL drops this database's connections and takes no new ones."""
    url = make_url(databases.logins.owner)
    name = url.database
    server = url.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (name,),
            )
            yield
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


@pytest.mark.timeout(60)
async def test_a_watcher_outlives_an_outage(
    databases: Databases, supplier: Supplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream whose database goes away in the middle of a read, and of a poll, goes on without gap or repetition."""
    run_id = await supplier.claimed_run()
    await append(databases, run_id, "one")
    reading, gate, read = asyncio.Event(), asyncio.Event(), told_runs.events

    async def held(*arguments: Any) -> Any:
        reading.set()
        await gate.wait()
        return await read(*arguments)

    monkeypatch.setattr(told_runs, "events", held)
    warned: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(stream.logger, "warning", lambda event, **_: warned.put_nowait(event))
    headers = {"Authorization": f"Bearer {supplier.token}"}
    async with (
        served(databases) as base,
        httpx.AsyncClient(base_url=base, timeout=20) as client,
        client.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as response,
    ):
        await reading.wait()
        with away(databases):
            gate.set()
            for _ in range(4):  # polls and reads are tried again, each after a second
                assert await warned.get() == "watch.database_away"
        told_live = told(response)
        assert (await anext(told_live))[:2] == ("2", "one")
        await append(databases, run_id, "two", "ended", end=True)
        assert [item[1] async for item in told_live] == ["two", "ended", "end"]


@pytest.mark.timeout(60)
async def test_a_stream_of_a_deleted_run_ends(databases: Databases, supplier: Supplier) -> None:
    """When the instance is deleted while somebody watches, the stream ends instead of waiting for ever."""
    run_id = await supplier.claimed_run()
    await append(databases, run_id, "one")
    headers = {"Authorization": f"Bearer {supplier.token}"}
    async with (
        served(databases) as base,
        httpx.AsyncClient(base_url=base, timeout=20) as client,
        client.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as response,
    ):
        stream = told(response)
        assert (await anext(stream))[1] == "one"
        with psycopg.connect(databases.logins.owner) as connection:
            connection.execute("DELETE FROM gpu_instances")
        assert [item[1] async for item in stream] == ["end"]


@pytest.mark.timeout(60)
async def test_a_stream_ends_with_its_login(databases: Databases, supplier: Supplier) -> None:
    """Whose session is ended in the middle is told no further event, and no end either: the run goes on."""
    run_id = await supplier.claimed_run()
    await append(databases, run_id, "one")
    headers = {"Authorization": f"Bearer {supplier.token}"}
    async with (
        served(databases) as base,
        httpx.AsyncClient(base_url=base, timeout=20) as client,
        client.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as response,
    ):
        stream = told(response)
        assert (await anext(stream))[1] == "one"
        signed_out = await client.post("/v1/auth/sign-out", headers=headers)
        assert signed_out.status_code == 204
        await append(databases, run_id, "two", "ended", end=True)
        assert [item[1] async for item in stream] == []


@pytest.mark.timeout(60)
async def test_whoever_is_behind_misses_nothing(databases: Databases, supplier: Supplier) -> None:
    """More events at once than are kept for watchers reach all of them, each once and in order."""
    run_id = await supplier.claimed_run()
    headers = {"Authorization": f"Bearer {supplier.token}"}
    path = f"/v1/runs/{run_id}/events"
    async with served(databases) as base, httpx.AsyncClient(base_url=base, timeout=20) as client:

        async def numbers(after: str) -> list[int]:
            asked = headers | {"Last-Event-ID": after}
            async with client.stream("GET", path, headers=asked) as response:
                begun.set()
                return [int(each[0]) async for each in told(response) if each[0] is not None]

        begun = asyncio.Event()
        watching = [asyncio.create_task(numbers("0")) for _ in range(3)]
        await begun.wait()
        for _ in range(3):
            await append(databases, run_id, *["many"] * 700)
        late = asyncio.create_task(numbers("1500"))
        await append(databases, run_id, "ended", end=True)
        found = await asyncio.gather(*watching, late)
    assert found[:3] == [list(range(2, 2103))] * 3
    assert found[3] == list(range(1501, 2103))
