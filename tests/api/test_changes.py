"""The fleet live, over a real server: every change is told to its supplier's watchers, and to nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import fastapi.routing
import httpx
import psycopg
import pytest

from orchestrator.api import changes
from orchestrator.database import claims, events, overview
from orchestrator.database.events import Batch
from orchestrator.database.session import NOW, SERVICE
from tests.api.conftest import Supplier
from tests.api.rows import Ended, end, execute, submit
from tests.api.test_stream import away, served, told
from tests.conftest import Databases

Row = dict[str, Any]
PATH = "/v1/instances/changes"


class Fleet:
    """What one watcher knows: instances as they were last told, and those that are gone."""

    def __init__(self, response: httpx.Response) -> None:
        self._stream = told(response)
        self.rows: dict[str, Row] = {}
        self.removed: set[str] = set()

    async def hear(self) -> Row:
        """The next event, by which the rows are brought up to date."""
        _, kind, data = await anext(self._stream)
        assert kind == "instances"
        self.rows |= {row["id"]: row for row in data["items"]}
        self.removed |= set(data["removed"])
        for gone in data["removed"]:
            self.rows.pop(gone, None)
        return dict(data)

    async def until(self, instance: str, holds: Callable[[Row], Any]) -> Row:
        """Listen until the instance is told as one of which this holds."""
        while instance not in self.rows or not holds(self.rows[instance]):
            await self.hear()
        return self.rows[instance]

    async def until_the_end(self) -> None:
        with suppress(StopAsyncIteration):
            while True:
                await self.hear()


@asynccontextmanager
async def watched(base: str, *suppliers: Supplier) -> AsyncIterator[list[Fleet]]:
    """A watcher for each, which has been told that it watches."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=20))
        fleets = []
        for who in suppliers:
            headers = {"Authorization": f"Bearer {who.token}"}
            response = await stack.enter_async_context(client.stream("GET", PATH, headers=headers))
            assert response.headers["content-type"].startswith("text/event-stream")
            fleets.append(Fleet(response))
            assert await fleets[-1].hear() == {"items": [], "removed": []}
        yield fleets


async def enter(databases: Databases, run_id: UUID, **values: Any) -> None:
    async with databases.worker.transaction(SERVICE) as session:
        await events.append(session, run_id, 1, Batch((), values))


@pytest.mark.timeout(60)
async def test_every_change_is_told_as_it_comes(databases: Databases, supplier: Supplier) -> None:
    """Onboarding, a run in all its states, results, schedules, a new price, a new key on offer, and deletion."""
    async with served(databases) as base, watched(base, supplier) as (fleet,):
        made = (await supplier.onboard())["id"]
        path = f"/v1/instances/{made}"
        await fleet.until(made, lambda row: row["run"] is None)
        run_id = UUID((await supplier.client.post(f"{path}/runs")).json()["id"])
        row = await fleet.until(made, lambda row: row["run"])
        assert (row["run"]["state"], row["test_status"]) == ("queued", "running")
        async with databases.worker.transaction(SERVICE) as session:
            assert await claims.claim(session, run_id, "worker") is not None
        await fleet.until(made, lambda row: row["run"]["state"] == "connecting")
        await enter(databases, run_id, state="preparing")
        await fleet.until(made, lambda row: row["run"]["state"] == "preparing")
        await enter(databases, run_id, state="queued", not_before=NOW)
        await fleet.until(made, lambda row: row["run"]["not_before"])
        await enter(databases, run_id, state="running")
        await supplier.client.post(f"/v1/runs/{run_id}/cancel")
        await fleet.until(made, lambda row: row["run"]["cancel_requested_at"])
        execute(databases, "DELETE FROM gpu_test_runs")
        end(databases, made, Ended())
        row = await fleet.until(made, lambda row: row["latest"])
        assert (row["status"], row["run"], row["tests_30d"]) == ("active", None, 1)
        submit(databases, made, ago=-Ended().ago)  # stamped late, as if it came now
        await fleet.until(made, lambda row: len(row["trend"]) == 2)
        await supplier.client.put(f"{path}/schedule", json={"every_hours": 6})
        await fleet.until(made, lambda row: row["next_fire_at"])
        await supplier.client.delete(f"{path}/schedule")
        await fleet.until(made, lambda row: row["next_fire_at"] is None)
        execute(databases, "UPDATE gpu_instances SET price_per_hour = 2, host_key_offered = 'k'")
        await fleet.until(made, lambda row: row["price_per_hour"] == 2 and row["host_key_offered"])
        execute(databases, "DELETE FROM gpu_instances WHERE id = %s", made)
        while made not in fleet.removed:
            await fleet.hear()


@pytest.mark.timeout(60)
async def test_a_run_that_is_cancelled_in_the_queue_is_told(
    databases: Databases, supplier: Supplier
) -> None:
    """It ends without any worker, and its instance is as it was before."""
    made = (await supplier.onboard())["id"]
    run = (await supplier.client.post(f"/v1/instances/{made}/runs")).json()
    async with served(databases) as base, watched(base, supplier) as (fleet,):
        await supplier.client.post(f"/v1/runs/{run['id']}/cancel")
        row = await fleet.until(made, lambda row: row["run"] is None)
        assert (row["status"], row["last_run"]["state"]) == ("pending", "cancelled")


@pytest.mark.timeout(60)
async def test_suppliers_are_told_nothing_of_each_other(
    databases: Databases, supplier: Supplier, other: Supplier
) -> None:
    """Each watcher is told its own instances, changed and deleted ones; two of one supplier are told the same."""
    everybody = (supplier, supplier, other)
    async with served(databases) as base, watched(base, *everybody) as fleets:
        mine, theirs = (await supplier.onboard())["id"], (await other.onboard())["id"]
        doomed = (await supplier.onboard())["id"]
        for fleet, own in zip(fleets, (mine, mine, theirs), strict=True):
            await fleet.until(own, bool)
        execute(databases, "DELETE FROM gpu_instances WHERE id = %s", doomed)
        for fleet in fleets[:2]:
            while doomed not in fleet.removed:
                await fleet.hear()
            assert fleet.rows.keys() == {mine}
        execute(databases, "UPDATE gpu_instances SET price_per_hour = 3")
        await fleets[2].until(theirs, lambda row: row["price_per_hour"] == 3)
        assert (fleets[2].rows.keys(), fleets[2].removed) == ({theirs}, set())


@pytest.mark.timeout(60)
async def test_a_change_that_is_committed_late_is_told(
    databases: Databases, supplier: Supplier
) -> None:
    """A row is stamped when its transaction begins: one that ends after later ones were told is told as well."""
    late, prompt = (await supplier.onboard())["id"], (await supplier.onboard())["id"]
    change = "UPDATE gpu_instances SET price_per_hour = 5 WHERE id = %s"
    async with served(databases) as base, watched(base, supplier) as (fleet,):
        with psycopg.connect(databases.logins.owner) as connection:
            connection.execute(change, (late,))
            execute(databases, change, prompt)
            await fleet.until(prompt, lambda row: row["price_per_hour"] == 5)
        await fleet.until(late, lambda row: row["price_per_hour"] == 5)


@pytest.mark.timeout(60)
async def test_what_is_known_is_not_told_again(
    databases: Databases, supplier: Supplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls overlap, a watcher hears of a change once; and one query asks for all watchers of a process."""
    asked: asyncio.Queue[int] = asyncio.Queue()
    ask = overview.changes

    async def counted(session: Any, user_ids: Any, since: Any) -> Any:
        found = await ask(session, user_ids, since)
        asked.put_nowait(len(user_ids))
        return found

    monkeypatch.setattr(overview, "changes", counted)
    made = (await supplier.onboard())["id"]
    everybody = [supplier] * 3
    async with served(databases) as base, watched(base, *everybody) as (fleet, *_):
        execute(databases, "UPDATE gpu_instances SET price_per_hour = 1")
        await fleet.until(made, lambda row: row["price_per_hour"] == 1)
        while not asked.empty():
            asked.get_nowait()
        assert [await asked.get() for _ in range(3)] == [1, 1, 1]
        execute(databases, "UPDATE gpu_instances SET price_per_hour = 2")
        heard = await fleet.hear()
        assert [row["price_per_hour"] for row in heard["items"]] == [2]


@pytest.mark.timeout(60)
async def test_a_stream_ends_with_its_login(databases: Databases, supplier: Supplier) -> None:
    """Whose API key was revoked while it watched is told nothing any more."""
    made = (await supplier.onboard())["id"]
    key = await supplier.key("read")
    watching = replace(supplier, token=key)
    async with served(databases) as base, watched(base, watching, supplier) as (theirs, mine):
        execute(databases, "UPDATE api_keys SET revoked_at = now()")
        execute(databases, "UPDATE gpu_instances SET price_per_hour = 6")
        await mine.until(made, lambda row: row["price_per_hour"] == 6)
        await theirs.until_the_end()
        assert all(row["price_per_hour"] is None for row in theirs.rows.values())


@pytest.mark.timeout(60)
async def test_a_fleets_watcher_outlives_an_outage(
    databases: Databases, supplier: Supplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While PostgreSQL is away the stream waits; what changed meanwhile is told when it is back."""
    made = (await supplier.onboard())["id"]
    warned: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(changes.logger, "warning", lambda event, **_: warned.put_nowait(event))
    async with served(databases) as base, watched(base, supplier) as (fleet,):
        with away(databases):
            assert await warned.get() == "watch.database_away"
        execute(databases, "UPDATE gpu_instances SET price_per_hour = 4")
        await fleet.until(made, lambda row: row["price_per_hour"] == 4)


@pytest.mark.timeout(60)
async def test_a_quiet_stream_is_kept_alive(
    databases: Databases, supplier: Supplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment goes out while nothing changes, so that no proxy takes the connection for dead."""
    assert fastapi.routing._PING_INTERVAL == 15
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.05)
    headers = {"Authorization": f"Bearer {supplier.token}"}
    async with (
        served(databases) as base,
        httpx.AsyncClient(base_url=base, timeout=20) as client,
        client.stream("GET", PATH, headers=headers) as response,
    ):
        stream = response.aiter_lines()
        lines = [await anext(stream) for _ in range(4)]
    assert lines[0] == "event: instances"
    assert json.loads(lines[1].removeprefix("data: ")) == {"items": [], "removed": []}
    assert lines[3].startswith(":")
