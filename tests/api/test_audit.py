"""The audit log: who changed what, signed in with what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from tests.api.conftest import PASSWORD, Supplier

Problem = Callable[[httpx.Response, int, str], None]


async def log_of(supplier: Supplier, **params: Any) -> list[dict[str, Any]]:
    answer = await supplier.client.get("/v1/audit", params=params)
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["items"]
    return entries


async def test_changes_are_told_with_who_made_them(supplier: Supplier) -> None:
    """Newest first: what changed from what to what, and whether a session or which API key did it."""
    added = await supplier.client.post("/v1/inventory", json={"gpu_model": "a"})
    path = f"/v1/inventory/{added.json()['id']}"
    key = await supplier.key("test")
    answer = await supplier.api.client.patch(
        path, json={"quantity": 5, "status": "inactive"}, headers={"x-api-key": key}
    )
    assert answer.status_code == 200, answer.text
    change, made_key, insert, opened = await log_of(supplier)
    assert [each["action"] for each in (change, made_key, insert, opened)] == [
        *("gpu_inventory.update", "api_keys.insert", "gpu_inventory.insert", "sessions.insert")
    ]
    assert [each["actor"] for each in (change, made_key, insert, opened)] == [
        *(f"api_key {key.split('_')[2]}", "session", "session", "session")
    ]
    assert change["subject_id"] == insert["subject_id"] == added.json()["id"]
    assert change["detail"] == {"quantity": [1, 5], "item_status": ["active", "inactive"]}
    assert opened["subject_id"] == supplier.session_id


async def test_it_tells_no_secret(supplier: Supplier) -> None:
    """A new password and a new key are on record without themselves, their hashes and what opens them."""
    key = await supplier.key()
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    assert (await supplier.client.put("/v1/profile/password", json=body)).status_code == 204
    answer = await supplier.client.get("/v1/audit")
    assert answer.json()["items"][0]["action"] == "accounts.password"
    for secret in (key.split("_")[3][:43], "argon2", "another long", "secret_hash"):
        assert secret not in answer.text


async def test_one_instances_entries_outlive_it(supplier: Supplier, other: Supplier) -> None:
    """With instance_id only what concerns it is told, and to nobody but its supplier."""
    machine, _ = await supplier.onboard(), await supplier.onboard()
    entries = await log_of(supplier, instance_id=machine["id"])
    assert {each["instance_id"] for each in entries} == {machine["id"]}
    assert "gpu_instances.insert" in {each["action"] for each in entries}
    assert len(entries) < len(await log_of(supplier))
    assert await log_of(other, instance_id=machine["id"]) == []


async def test_pages_of_the_log(supplier: Supplier, other: Supplier, is_problem: Problem) -> None:
    """A supplier's own entries, each once, a page at a time."""
    for number in range(5):
        for each in (supplier, other):
            await each.client.post("/v1/inventory", json={"gpu_model": f"card {number}"})
    everything = await log_of(supplier)
    assert len(everything) == 6
    paged: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"limit": 4} | ({"cursor": cursor} if cursor else {})
        page = (await supplier.client.get("/v1/audit", params=params)).json()
        paged += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == everything
    assert [each["id"] for each in paged] == sorted((each["id"] for each in paged), reverse=True)
    for wrong in ("x", "-1", "9" * 30, "\u0661"):
        answer = await supplier.client.get("/v1/audit", params={"cursor": wrong})
        is_problem(answer, 400, "invalid_input")
