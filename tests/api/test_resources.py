"""/v1: runs, results, schedules, problems, limits, and live events over a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import uvicorn

from orchestrator.database import events, runs
from orchestrator.database.events import Batch, NewEvent
from orchestrator.database.session import NOW, SERVICE, Database
from tests.api.conftest import Api, Supplier, application, connect
from tests.conftest import Databases

Problem = Callable[[httpx.Response, int, str], None]


async def request(supplier: Supplier) -> dict[str, Any]:
    instance = await supplier.onboard()
    answer = await supplier.client.post(f"/v1/instances/{instance['id']}/runs")
    assert answer.status_code == 202
    run: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/runs/{run['id']}"
    return run


async def test_a_second_run_is_a_problem_that_names_the_first(
    supplier: Supplier, is_problem: Problem
) -> None:
    """409 run_in_progress carries the unfinished run's id."""
    run = await request(supplier)
    again = await supplier.client.post(f"/v1/instances/{run['instance_id']}/runs", json={})
    is_problem(again, 409, "run_in_progress")
    assert again.json()["run_id"] == run["id"]


async def test_others_things_are_not_found(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """Another supplier's instance, run, events and schedule are 404 like unknown ones, and in no list."""
    run = await request(other)
    for instance_id, run_id in ((run["instance_id"], run["id"]), (str(uuid4()), str(uuid4()))):
        for method, path in (
            ("GET", f"/v1/instances/{instance_id}"),
            ("POST", f"/v1/instances/{instance_id}/runs"),
            ("GET", f"/v1/instances/{instance_id}/schedule"),
            ("DELETE", f"/v1/instances/{instance_id}/schedule"),
            ("GET", f"/v1/runs/{run_id}"),
            ("GET", f"/v1/runs/{run_id}/events"),
        ):
            is_problem(await supplier.client.request(method, path), 404, "not_found")
        path, body = f"/v1/instances/{instance_id}/schedule", {"every_hours": 6}
        is_problem(await supplier.client.put(path, json=body), 404, "not_found")
    for path in ("/v1/instances", "/v1/runs", "/v1/results"):
        params = {"instance_id": run["instance_id"]}
        assert (await supplier.client.get(path, params=params)).json()["items"] == []


async def test_problems_are_complete(supplier: Supplier, is_problem: Problem) -> None:
    """Validation, unknown paths, wrong methods and bad cursors have code, remedy and pointers, and no class leaks."""
    run = await request(supplier)
    path = f"/v1/instances/{run['instance_id']}/runs"
    answer = await supplier.client.post(path, json={"batch_size": 0, "colour": "red"})
    is_problem(answer, 422, "invalid_input")
    assert {each["pointer"] for each in answer.json()["errors"]} == {"batch_size", "colour"}
    is_problem(await supplier.client.get("/v1/runs/not-an-id"), 422, "invalid_input")
    is_problem(await supplier.client.get("/v1/runs", params={"limit": 0}), 422, "invalid_input")
    is_problem(await supplier.client.get("/v1/runs", params={"cursor": "x"}), 400, "invalid_input")
    is_problem(await supplier.client.get("/v1/nothing"), 404, "not_found")
    is_problem(await supplier.client.put("/v1/runs"), 405, "request_invalid")
    headers = {"Last-Event-ID": "x"}
    answer = await supplier.client.get(f"/v1/runs/{run['id']}/events", headers=headers)
    is_problem(answer, 400, "invalid_input")


@pytest.mark.parametrize("path", ["/functions/v1/onboard-gpu", "/v1/auth/sign-up"])
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_a_body_over_a_megabyte_is_refused(
    supplier: Supplier, path: str, chunked: bool
) -> None:
    """More than 1 MiB is not read, whether the length was announced or not; just under it is."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * (1 << 18)

    headers = {"Content-Type": "application/json"}
    content = pieces() if chunked else b" " * ((1 << 20) + 1)
    answer = await supplier.client.post(path, content=content, headers=headers)
    # An announced length is refused by the middleware itself, with 413 everywhere.
    chunked_old = chunked and path.startswith("/functions")
    assert answer.status_code == (400 if chunked_old else 413), answer.text
    assert "Too Large" in answer.text
    small = await supplier.client.post(path, content=b" " * (1 << 19), headers=headers)
    assert "Too Large" not in small.text


async def test_a_schedule_is_put_read_and_removed(supplier: Supplier, is_problem: Problem) -> None:
    """Either hours or a cron line in a zone; what can't be read is refused with its reason."""
    instance = await supplier.onboard()
    path = f"/v1/instances/{instance['id']}/schedule"
    is_problem(await supplier.client.get(path), 404, "not_found")
    body = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "jitter_seconds": 60}
    made = (await supplier.client.put(path, json=body)).json()
    assert (made["cron"], made["timezone"], made["enabled"]) == ("0 3 * * *", "Europe/Berlin", True)
    changed = (await supplier.client.put(path, json={"every_hours": 6})).json()
    assert (changed["id"], changed["every_hours"], changed["cron"]) == (made["id"], 6, None)
    assert (await supplier.client.get(path)).json() == changed
    for wrong in ({}, {"every_hours": 0}, {"cron": "x"}, {"cron": "0 3 * * *", "timezone": "Mars"}):
        is_problem(await supplier.client.put(path, json=wrong), 400, "invalid_input")
    assert (await supplier.client.delete(path)).status_code == 204
    is_problem(await supplier.client.delete(path), 404, "not_found")


async def test_readiness_asks_the_database(api: Api) -> None:
    """healthz is the process's own; readyz fails with 503 and a sentence while PostgreSQL is away."""
    assert (await api.client.get("/healthz")).json() == {"status": "ok"}
    assert (await api.client.get("/readyz")).json() == {"status": "ready"}
    gone = Database("postgresql://harborx_api@127.0.0.1:1/none")
    async with connect(application(gone)) as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert "127.0.0.1" not in answer.text
    await gone.close()


async def test_a_fault_of_ours_tells_nothing(api: Api, supplier: Supplier) -> None:
    """An unexpected error is a 500 without traceback or values."""
    with psycopg.connect(api.databases.logins.owner) as connection:
        connection.execute("ALTER TABLE gpu_instances RENAME TO hidden_name")
    answer = await supplier.client.get("/v1/instances")
    assert (answer.status_code, answer.json()["code"]) == (500, "database_error")
    assert "gpu_instances" not in answer.text


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


async def claimed(databases: Databases, supplier: Supplier) -> UUID:
    run_id = UUID((await request(supplier))["id"])
    async with databases.worker.transaction(SERVICE) as session:
        assert await runs.claim(session, run_id, "worker") is not None
    return run_id


async def told(response: httpx.Response) -> AsyncIterator[tuple[str | None, str, Any]]:
    """The events of a stream as (id, event, data)."""
    seen: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            seen[name] = value.strip()
        elif "event" in seen:
            yield seen.get("id"), seen["event"], json.loads(seen["data"])
            seen = {}


@pytest.mark.timeout(60)
async def test_events_are_followed_live_and_resumed(
    databases: Databases, supplier: Supplier, other: Supplier
) -> None:
    """A watcher sees events as they are stored; one that comes back with Last-Event-ID misses and repeats none."""
    run_id = await claimed(databases, supplier)
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
            *(("1", "one"), ("2", "two"), ("3", "three"))
        ]
        assert live[2]["body"] == {"said": "three"}
        await append(databases, run_id, "four")
        resumed = headers | {"Last-Event-ID": "3"}
        async with client.stream("GET", path, headers=resumed) as response:
            stream = told(response)
            assert (await anext(stream))[:2] == ("4", "four")
            await append(databases, run_id, "ended", end=True)
            assert (await anext(stream))[:2] == ("5", "ended")
            last = await anext(stream)
            assert (last[1], last[2]) == ("end", {"run_id": str(run_id)})
            assert [item async for item in stream] == []
        async with client.stream("GET", path, headers=headers, params={"after": 2}) as response:
            again = [item async for item in told(response)]
        assert [item[1] for item in again] == ["three", "four", "ended", "end"]
        refused = await client.get(path, headers={"Authorization": f"Bearer {other.token}"})
        assert refused.status_code == 404


@pytest.mark.timeout(60)
async def test_a_stream_of_a_deleted_run_ends(databases: Databases, supplier: Supplier) -> None:
    """When the instance is deleted while somebody watches, the stream ends instead of waiting for ever."""
    run_id = await claimed(databases, supplier)
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
