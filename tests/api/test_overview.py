"""The fleet's table over HTTP: what each row says, page by page, and whose rows they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from orchestrator.database import overview
from orchestrator.database.session import supplier as acting_as
from tests.api.conftest import Api, Supplier
from tests.api.rows import CARD, HASH, NOW, Ended, end, execute, submit
from tests.conftest import Databases

Problem = Callable[[httpx.Response, int, str], None]


async def rows_of(who: Supplier, **query: Any) -> list[dict[str, Any]]:
    answer = await who.client.get("/v1/instances/overview", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_new_instance_has_its_claims_and_nothing_else(supplier: Supplier) -> None:
    """Before any test the card is the claimed one, and runs, results and next test are null or none."""
    made = await supplier.onboard(gpu_name="NVIDIA H100", gpu_count=4)
    (row,) = await rows_of(supplier)
    assert (row["id"], row["name"]) == (made["id"], "m-1")
    assert (row["gpu_name"], row["gpu_count"]) == ("NVIDIA H100", 4)
    assert (row["status"], row["test_status"], row["listed"]) == ("pending", "not_started", True)
    nothing = {name: row[name] for name in ("run", "last_run", "latest", "next_fire_at", "trend")}
    assert nothing == dict.fromkeys(nothing) | {"trend": []}
    assert (row["tests_30d"], row["unreachable_30d"], row["host_key_offered"]) == (0, 0, False)


async def test_a_row_says_how_an_instance_does(databases: Databases, supplier: Supplier) -> None:
    """Its unfinished run, its last one, the newest figures, their trend, its next test, and how often it was there."""
    made = await supplier.onboard(gpu_name="H100", gpu_count=1)
    for number in range(14):
        figures = {"throughput_images_per_sec": 1000.0 + number, "latency_ms": 13.0}
        end(databases, made["id"], Ended(timedelta(days=20 - number), result=figures))
    newest = end(databases, made["id"], Ended(timedelta(days=2), result={"latency_ms": 12.5}))
    end(databases, made["id"], Ended(timedelta(days=31), "failed", "host_unreachable", result=None))
    lost = Ended(timedelta(hours=5), "failed", "host_unreachable", result=None)
    last = end(databases, made["id"], lost)
    empty = {"throughput_images_per_sec": None}
    submit(databases, made["id"], timedelta(hours=2), **empty)
    path = f"/v1/instances/{made['id']}"
    await supplier.client.put(f"{path}/schedule", json={"every_hours": 6})
    run = (await supplier.client.post(f"{path}/runs")).json()
    execute(databases, "UPDATE gpu_instances SET host_key_offered = 'another'")
    (row,) = await rows_of(supplier)
    assert (row["gpu_name"], row["gpu_count"], row["host_key_offered"]) == (CARD, 8, True)
    assert (row["run"]["id"], row["run"]["state"]) == (run["id"], "queued")
    assert (row["last_run"]["id"], row["last_run"]["error_code"]) == (str(last), "host_unreachable")
    assert (row["latest"]["run_id"], row["latest"]["latency_ms"]) == (str(newest), 12.5)
    assert (row["latest"]["configuration_hash"], row["latest"]["verdict"]) == (HASH, "passed")
    assert datetime.fromisoformat(row["latest"]["at"]) == NOW - timedelta(days=2)
    assert row["trend"] == [*(1000.0 + number for number in range(3, 14)), 2450.0]
    assert (row["tests_30d"], row["unreachable_30d"]) == (16, 1)
    schedule = (await supplier.client.get(f"{path}/schedule")).json()
    assert row["next_fire_at"] == schedule["next_fire_at"]


async def test_pages_hold_every_instance_once(supplier: Supplier, is_problem: Problem) -> None:
    """Newest first, to the last page; a cursor that is none, or too large a page, is refused."""
    made = [(await supplier.onboard())["id"] for _ in range(5)]
    seen, query = [], {"limit": "2"}
    while True:
        page = (await supplier.client.get("/v1/instances/overview", params=query)).json()
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == made[::-1]
    wrong = await supplier.client.get("/v1/instances/overview", params={"cursor": "x"})
    is_problem(wrong, 400, "invalid_input")
    wrong = await supplier.client.get("/v1/instances/overview", params={"limit": 1001})
    is_problem(wrong, 422, "invalid_input")


@pytest.mark.parametrize("path", ["/v1/instances/overview", "/v1/instances/changes"])
async def test_a_fleet_is_shown_to_its_supplier_only(
    api: Api, path: str, is_problem: Problem
) -> None:
    """Without a login there is neither an overview nor its changes."""
    is_problem(await api.client.get(path), 401, "not_authenticated")


async def test_suppliers_see_nothing_of_each_other(
    databases: Databases, supplier: Supplier, other: Supplier
) -> None:
    """Neither in the table nor in what it counts; ids of another's instances are read as if there were none."""
    mine, theirs = await supplier.onboard(), await other.onboard()
    end(databases, theirs["id"])
    (row,) = await rows_of(supplier)
    assert (row["id"], row["latest"], row["tests_30d"]) == (mine["id"], None, 0)
    (row,) = await rows_of(other)
    assert (row["id"], row["tests_30d"]) == (theirs["id"], 1)
    async with databases.api.transaction(acting_as(supplier.user_id)) as session:
        assert await overview.of(session, [theirs["id"]]) == []


async def test_a_page_is_one_statement(databases: Databases, supplier: Supplier) -> None:
    """However many rows a page has, PostgreSQL is asked once."""
    for _ in range(3):
        end(databases, (await supplier.onboard())["id"])
    asked: list[str] = []
    async with databases.api.transaction(acting_as(supplier.user_id)) as session:
        connection = (await session.connection()).sync_connection
        assert connection is not None
        event.listen(connection, "before_cursor_execute", lambda *told: asked.append(told[2]))
        page = await overview.page(session, 1000, None)
    assert (len(page.rows), len(asked)) == (3, 1)
