"""/v1/instances: changed, moved, deleted, and pinned to another host key."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import httpx
import psycopg
import pytest

from orchestrator.database import host_keys, instances
from orchestrator.database.session import SERVICE
from orchestrator.ssh.keys import fingerprint, generate_key_pair
from tests.api.conftest import Supplier

Problem = Callable[[httpx.Response, int, str], None]


def owner(supplier: Supplier) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(supplier.api.databases.logins.owner)


def host_key() -> str:
    return " ".join(generate_key_pair().public_key.split()[:2])


async def test_what_is_told_of_an_instance_is_changed(
    supplier: Supplier, is_problem: Problem
) -> None:
    """Only what is sent changes; null clears what may be unknown and is refused elsewhere; no status can be set."""
    instance = await supplier.onboard(location="Oslo")
    path = f"/v1/instances/{instance['id']}"
    before = (await supplier.client.get(path)).json()
    assert (before["provider"], before["listed"], before["login"]) == ("custom", True, "generated")
    body = {"provider": "Vast.ai", "price_per_hour": 2.25, "listed": False}
    changed = (await supplier.client.patch(path, json=body)).json()
    same = before.keys() - {*body, "updated_at"}
    assert {name: changed[name] for name in body} == body
    assert {name: changed[name] for name in same} == {name: before[name] for name in same}
    assert (await supplier.client.patch(path, json={"location": None})).json()["location"] is None
    for wrong in (
        {"listed": None},
        {"ssh_host": None},
        {"ssh_port": 0},
        {"price_per_hour": -1},
        {"provider": "a\x1b[2J"},
        {"status": "active"},
        {"host_key": "mine"},
    ):
        is_problem(await supplier.client.patch(path, json=wrong), 422, "invalid_input")


async def test_another_address_is_another_machine(supplier: Supplier, is_problem: Problem) -> None:
    """A moved instance is untested, unpinned and out of the active inventory; not while a run is unfinished."""
    run = await supplier.request()
    path = f"/v1/instances/{run['instance_id']}"
    there = (await supplier.client.get(path)).json()
    for where in ({"ssh_host": "other.example"}, {"ssh_port": 2222}, {"ssh_user": "gpu"}):
        refused = await supplier.client.patch(path, json={**where, "location": "Oslo"})
        is_problem(refused, 409, "run_in_progress")
        assert refused.json()["run_id"] == run["id"]
    stays = {"ssh_host": there["ssh_host"], "location": "Oslo"}  # it does not move
    assert (await supplier.client.patch(path, json=stays)).status_code == 200
    await supplier.client.post(f"/v1/runs/{run['id']}/cancel")
    with owner(supplier) as connection:
        connection.execute(
            "UPDATE gpu_instances SET status = 'active', test_status = 'completed', host_key = %s",
            (host_key(),),
        )
        connection.execute("UPDATE gpu_inventory SET status = 'active'")
    moved = (await supplier.client.patch(path, json={"ssh_host": "other.example"})).json()
    assert (moved["ssh_host"], moved["status"], moved["test_status"]) == (
        "other.example",
        "pending",
        "not_started",
    )
    assert (moved["host_key"], moved["host_key_fingerprint"]) == (None, None)
    with owner(supplier) as connection:
        rows = connection.execute("SELECT status FROM gpu_inventory").fetchall()
    assert rows == [("inactive",)]


async def test_an_instance_is_deleted_with_all_that_is_its(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """Its inventory item, runs, login and schedule go too, other instances stay; not while a run is unfinished."""
    kept = await supplier.onboard()
    run = await supplier.request()
    path = f"/v1/instances/{run['instance_id']}"
    await supplier.client.put(f"{path}/schedule", json={"every_hours": 6})
    refused = await supplier.client.delete(path)
    is_problem(refused, 409, "run_in_progress")
    assert refused.json()["run_id"] == run["id"]
    await supplier.client.post(f"/v1/runs/{run['id']}/cancel")
    is_problem(await other.client.delete(path), 404, "not_found")
    assert (await supplier.client.delete(path)).status_code == 204
    is_problem(await supplier.client.delete(path), 404, "not_found")
    is_problem(await supplier.client.get(f"/v1/runs/{run['id']}"), 404, "not_found")
    items = (await supplier.client.get("/v1/instances")).json()["items"]
    assert [item["id"] for item in items] == [kept["id"]]
    with owner(supplier) as connection:
        for table in ("gpu_inventory", "gpu_credentials", "gpu_instances"):
            count = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            assert count == (1,), table
        logged = connection.execute(
            "SELECT action FROM audit_log WHERE action = 'gpu_instances.delete'"
        ).fetchall()
    assert len(logged) == 1


async def test_the_host_key_on_offer_is_accepted(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """The answer tells both keys with their fingerprints; only the one on offer, and only its owner, can take it."""
    instance = await supplier.onboard()
    path = f"/v1/instances/{instance['id']}"
    pinned, offered = host_key(), host_key()
    body = {"host_key": offered}
    is_problem(
        await supplier.client.post(f"{path}/host-key", json=body), 409, "host_key_not_offered"
    )
    async with supplier.api.databases.worker.transaction(SERVICE) as session:
        row = await instances.get(session, UUID(instance["id"]))
        await host_keys.pin(session, row, pinned)
        await host_keys.offer(session, row, pinned, offered)
    said = (await supplier.client.get(path)).json()
    assert (said["host_key"], said["host_key_offered"]) == (pinned, offered)
    assert said["host_key_fingerprint"] == fingerprint(pinned)
    assert said["host_key_offered_fingerprint"] == fingerprint(offered)
    assert said["host_key_offered_at"] is not None
    is_problem(await other.client.post(f"{path}/host-key", json=body), 404, "not_found")
    is_problem(
        await supplier.client.post(f"{path}/host-key", json={"host_key": host_key()}),
        409,
        "host_key_not_offered",
    )
    said = (await supplier.client.post(f"{path}/host-key", json=body)).json()
    assert (said["host_key"], said["host_key_offered"]) == (offered, None)
    assert said["host_key_fingerprint"] == fingerprint(offered)


@pytest.mark.parametrize("change", [{"ssh_user": "other-pod"}, {"ssh_port": 2222}, None])
async def test_a_verified_machine_that_is_another_now_is_untested(
    supplier: Supplier, change: dict[str, object] | None
) -> None:
    """Another user (hosts route by it), another port, or another key that was accepted: what was measured is not its."""
    instance = await supplier.onboard()
    path = f"/v1/instances/{instance['id']}"
    offered = host_key()
    with owner(supplier) as connection:
        connection.execute(
            "UPDATE gpu_instances SET status = 'active', test_status = 'completed', tested_at = now(),"
            " host_key = %s, host_key_offered = %s",
            (host_key(), offered),
        )
    if change is None:
        answer = await supplier.client.post(f"{path}/host-key", json={"host_key": offered})
    else:
        answer = await supplier.client.patch(path, json=change)
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_readers_key_changes_nothing(
    supplier: Supplier, is_problem: Problem, method: str
) -> None:
    """Changing and deleting need the scope that tests do."""
    instance = await supplier.onboard()
    headers = {"x-api-key": await supplier.key("read")}
    path = f"/v1/instances/{instance['id']}"
    answer = await supplier.api.client.request(
        method, path, headers=headers, json={} if method == "PATCH" else None
    )
    is_problem(answer, 403, "not_allowed")
