"""Inventory: entered by hand, changed, deleted and brought back; an instance's item is the instance's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.api.conftest import Supplier

Problem = Callable[[httpx.Response, int, str], None]
PATH = "/v1/inventory"
KEY = {"Idempotency-Key": "an item"}


async def add(supplier: Supplier, gpu_model: str = "NVIDIA H100", **said: Any) -> dict[str, Any]:
    answer = await supplier.client.post(PATH, json={"gpu_model": gpu_model, **said})
    assert answer.status_code == 201, answer.text
    item: dict[str, Any] = answer.json()
    return item


async def listed(supplier: Supplier, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await supplier.client.get(PATH, params=params)).json()["items"]
    return items


async def test_an_item_is_entered_changed_deleted_and_restored(
    supplier: Supplier, is_problem: Problem
) -> None:
    """Each answer is the item as it then is; a deleted one is in the other list, and can't be changed until it is back."""
    made = await add(supplier, "  NVIDIA H100 ")
    assert made["gpu_model"] == "NVIDIA H100"
    assert (made["quantity"], made["hours_available"], made["status"]) == (1, 0, "active")
    assert (made["instance_id"], made["deleted_at"]) == (None, None)
    path = f"{PATH}/{made['id']}"
    change = {"quantity": 8, "hours_available": 12.5, "status": "maintenance"}
    changed = (await supplier.client.patch(path, json=change)).json()
    assert changed == made | change | {"updated_at": changed["updated_at"]}
    assert changed["updated_at"] > made["updated_at"]
    assert (await supplier.client.patch(path, json={"quantity": None})).json() == changed
    assert await listed(supplier) == [changed]

    assert (await supplier.client.delete(path)).status_code == 204
    assert await listed(supplier) == []
    [gone] = await listed(supplier, deleted=True)
    assert gone["deleted_at"] is not None
    is_problem(await supplier.client.delete(path), 404, "not_found")
    is_problem(await supplier.client.patch(path, json={"quantity": 1}), 404, "not_found")

    for _ in range(2):  # restoring what is there is no error
        back = (await supplier.client.post(f"{path}/restore")).json()
        assert back == changed | {"updated_at": back["updated_at"]}
    assert await listed(supplier) == [back]
    assert await listed(supplier, deleted=True) == []


async def test_pages_of_inventory(supplier: Supplier, is_problem: Problem) -> None:
    """Newest first, a page at a time, without the deleted ones."""
    made = [await add(supplier, f"card {number}") for number in range(5)]
    await supplier.client.delete(f"{PATH}/{made[2]['id']}")
    names, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await supplier.client.get(PATH, params=params)).json()
        names.append([item["gpu_model"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == [["card 4", "card 3"], ["card 1", "card 0"]]
    is_problem(await supplier.client.get(PATH, params={"cursor": "x"}), 400, "invalid_input")


async def test_an_instances_item_is_the_instances(supplier: Supplier, is_problem: Problem) -> None:
    """It can be taken out of service and given hours; its GPUs, its activation and its end are not the supplier's."""
    machine = await supplier.onboard(gpu_name="NVIDIA A100", gpu_count=2)
    [item] = await listed(supplier)
    assert item["instance_id"] == machine["id"]
    assert (item["gpu_model"], item["quantity"], item["status"]) == ("NVIDIA A100", 2, "inactive")
    path = f"{PATH}/{item['id']}"
    for refused in (
        {"gpu_model": "NVIDIA H100"},
        {"quantity": 8},
        {"status": "active"},
        {"hours_available": 5, "status": "active"},
    ):
        answer = await supplier.client.patch(path, json=refused)
        is_problem(answer, 409, "inventory_of_instance")
    is_problem(await supplier.client.delete(path), 409, "inventory_of_instance")
    assert await listed(supplier) == [item]

    for allowed in (
        {"status": "maintenance", "hours_available": 100},
        {"status": "inactive", "gpu_model": "NVIDIA A100"},
    ):
        answer = await supplier.client.patch(path, json=allowed)
        assert answer.status_code == 200, answer.text
        assert answer.json().items() >= {**allowed, "instance_id": machine["id"]}.items()


async def test_an_active_item_of_an_instance_may_say_so_again(supplier: Supplier) -> None:
    """Only a test makes it active; once it is, a form that sends all it shows is not refused."""
    await supplier.onboard(gpu_name="NVIDIA A100")
    with psycopg.connect(supplier.api.databases.logins.owner) as connection:
        connection.execute("UPDATE gpu_inventory SET status = 'active'")
    [item] = await listed(supplier)
    form = {name: item[name] for name in ("gpu_model", "quantity", "status")}
    answer = await supplier.client.patch(
        f"{PATH}/{item['id']}", json={**form, "hours_available": 7}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["hours_available"] == 7


async def test_others_inventory_is_not_found(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """Another supplier's item is 404 like an unknown one, in no list, and stays as it was."""
    there = await add(other)
    deleted = await add(other)
    await other.client.delete(f"{PATH}/{deleted['id']}")
    for item_id in (there["id"], deleted["id"], str(uuid4())):
        path = f"{PATH}/{item_id}"
        is_problem(await supplier.client.patch(path, json={"quantity": 2}), 404, "not_found")
        is_problem(await supplier.client.patch(path, json={}), 404, "not_found")
        is_problem(await supplier.client.delete(path), 404, "not_found")
        is_problem(await supplier.client.post(f"{path}/restore"), 404, "not_found")
    assert await listed(supplier) == await listed(supplier, deleted=True) == []
    assert await listed(other) == [there]
    assert [item["id"] for item in await listed(other, deleted=True)] == [deleted["id"]]


async def test_a_repeat_adds_nothing(supplier: Supplier, is_problem: Problem) -> None:
    """With the same Idempotency-Key the first item is answered, as it is now; another body is refused."""
    first = await supplier.client.post(PATH, json={"gpu_model": "a"}, headers=KEY)
    item = first.json()
    await supplier.client.patch(f"{PATH}/{item['id']}", json={"quantity": 3})
    again = await supplier.client.post(PATH, json={"gpu_model": "a"}, headers=KEY)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert (again.json()["id"], again.json()["quantity"]) == (item["id"], 3)
    assert "idempotency-replayed" not in first.headers
    answer = await supplier.client.post(PATH, json={"gpu_model": "b"}, headers=KEY)
    is_problem(answer, 422, "idempotency_key_reused")
    assert len(await listed(supplier)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"gpu_model": "  "},
        {"gpu_model": "a\0b"},
        {"gpu_model": "x" * 201},
        {"quantity": -1},
        {"quantity": 1.5},
        {"hours_available": -1},
        {"hours_available": "NaN"},
        {"hours_available": 1e300},
        {"status": "sold"},
        {"id": str(uuid4())},
    ],
    ids=str,
)
async def test_what_is_no_item_is_refused(
    supplier: Supplier, is_problem: Problem, wrong: dict[str, Any]
) -> None:
    """The same bounds hold for a new item and for a change of one."""
    item = await add(supplier)
    answer = await supplier.client.post(PATH, json={"gpu_model": "a", **wrong})
    is_problem(answer, 422, "invalid_input")
    assert [each["pointer"] for each in answer.json()["errors"]] == list(wrong)
    is_problem(
        await supplier.client.patch(f"{PATH}/{item['id']}", json=wrong), 422, "invalid_input"
    )
    assert await listed(supplier) == [item]


async def test_a_reader_changes_no_inventory(supplier: Supplier, is_problem: Problem) -> None:
    """A key with the scope read lists; every change needs the scope test."""
    item = await add(supplier)
    headers = {"x-api-key": await supplier.key("read")}
    client, path = supplier.api.client, f"{PATH}/{item['id']}"
    assert (await client.get(PATH, headers=headers)).json()["items"] == [item]
    for method, where, body in (
        ("POST", PATH, {"gpu_model": "a"}),
        ("PATCH", path, {"quantity": 2}),
        ("DELETE", path, None),
        ("POST", f"{path}/restore", None),
    ):
        answer = await client.request(method, where, json=body, headers=headers)
        is_problem(answer, 403, "not_allowed")
