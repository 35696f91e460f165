"""Keys that keys make, and keys that submit for one instance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from orchestrator.database import accounts
from orchestrator.database.session import supplier as as_supplier
from orchestrator.domain.errors import NotAuthenticated
from orchestrator.runs.api_keys import Maker, create_key
from tests.api.conftest import Api, Supplier

Problem = Callable[[httpx.Response, int, str], None]
KEYS, SUBMIT = "/v1/api-keys", "/functions/v1/submit-test-results"
FIGURES: dict[str, Any] = {"throughput_images_per_sec": 245.5, "latency_ms": 4.0}


async def make(api: Api, key: str, **body: Any) -> httpx.Response:
    wanted = {"name": "made", "scopes": ["test"], **body}
    return await api.client.post(KEYS, json=wanted, headers={"x-api-key": key})


async def knocks(api: Api, key: str) -> int:
    return (await api.client.get(KEYS, headers={"x-api-key": key})).status_code


async def submit_key(supplier: Supplier, instance: dict[str, Any], **body: Any) -> str:
    path = f"/v1/instances/{instance['id']}/submit-keys"
    answer = await supplier.client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["key"]
    return key


async def submit(api: Api, key: str, instance_id: str) -> tuple[int, str]:
    body = {"gpu_instance_id": instance_id, "api_key": key, **FIGURES}
    answer = await api.client.post(SUBMIT, json=body)
    return answer.status_code, answer.text.replace(instance_id, "...")


async def test_a_key_makes_no_key_that_outlives_it(supplier: Supplier) -> None:
    """Whatever is asked for, the new key ends with its maker at the latest; a session's key is as long as asked."""
    maker = await supplier.key("read", "test", expires_in_days=3)
    for days, lasts in ((None, 3), (30, 3), (1, 1)):
        made = (await make(supplier.api, maker, expires_in_days=days)).json()
        end = datetime.fromisoformat(made["expires_at"])
        assert abs(end - datetime.now(UTC) - timedelta(days=lasts)) < timedelta(minutes=1)
    listed = (await supplier.client.get(KEYS)).json()
    assert [each["made_by"] for each in listed] == [listed[-1]["id"]] * 3 + [None]
    assert max(each["expires_at"] for each in listed) == listed[-1]["expires_at"]
    assert (await supplier.client.post(KEYS, json={"name": "own"})).json()["expires_at"] is None


async def test_revoking_a_key_revokes_what_it_made(supplier: Supplier) -> None:
    """Whoever had a key that leaked keeps nothing of it: its keys, and theirs, end with it; others stay."""
    api = supplier.api
    first, other = await supplier.key(), await supplier.key()
    second = (await make(api, first, scopes=["read", "test"])).json()["key"]
    third = (await make(api, second, scopes=["read", "test"])).json()["key"]
    assert [await knocks(api, key) for key in (first, second, third)] == [200] * 3
    public_ids = {
        each["public_id"]: each["id"] for each in (await supplier.client.get(KEYS)).json()
    }
    await supplier.client.delete(f"{KEYS}/{public_ids[first.split('_')[2]]}")
    assert [await knocks(api, key) for key in (first, second, third, other)] == [401, 401, 401, 200]
    revoked = [each["revoked_at"] for each in (await supplier.client.get(KEYS)).json()]
    assert [each is not None for each in revoked] == [True, True, False, True]


async def test_a_revoked_key_makes_no_key(supplier: Supplier) -> None:
    """Not even where it was let in before it was revoked."""
    await supplier.key()
    (shown,) = (await supplier.client.get(KEYS)).json()
    await supplier.client.delete(f"{KEYS}/{shown['id']}")
    maker = Maker(UUID(shown["id"]), frozenset({"read"}), None)
    with pytest.raises(NotAuthenticated):
        await create_key(
            supplier.api.databases.api,
            as_supplier(supplier.user_id),
            "late",
            scopes=["read"],
            made_by=maker,
        )


async def test_only_the_right_secret_counts_as_use(supplier: Supplier) -> None:
    """Whoever knows a key's public id, which lists show, can't make it look used."""
    key = await supplier.key("read")
    async with supplier.api.databases.api.transaction(as_supplier(supplier.user_id)) as session:
        assert [row.last_used_at for row in await accounts.keys(session)] == [None]
    wrong = await supplier.key("read")
    _, _, public_id, _ = key.split("_")
    from orchestrator.runs.api_keys import _checksum  # as anybody can compute it

    secret = wrong.split("_")[3][:43]
    forged = f"hx_live_{public_id}_{secret}{_checksum(public_id, secret)}"
    assert await knocks(supplier.api, forged) == 401
    shown = {each["public_id"]: each for each in (await supplier.client.get(KEYS)).json()}
    assert shown[public_id]["last_used_at"] is None


async def test_a_submit_key_submits_for_its_instance(supplier: Supplier, other: Supplier) -> None:
    """It signs results of that one instance; any other is unknown to it, in the same words, its supplier's own too."""
    api = supplier.api
    mine, second, theirs = [await each.onboard() for each in (supplier, supplier, other)]
    key = await submit_key(supplier, mine)
    assert (await submit(api, key, mine["id"]))[0] == 200
    nobodys = await submit(api, key, str(uuid4()))
    assert nobodys[0] == 404
    for instance in (second, theirs):
        assert await submit(api, key, instance["id"]) == nobodys
    assert (await submit(api, await supplier.key("submit"), second["id"]))[0] == 200
    assert (await submit(api, await api.service_key(), theirs["id"]))[0] == 200


async def test_a_submit_key_does_nothing_else(supplier: Supplier, is_problem: Problem) -> None:
    """Neither reads nor asks nor makes keys; its limits are the database's too."""
    instance = await supplier.onboard()
    client, headers = supplier.api.client, {"x-api-key": await submit_key(supplier, instance)}
    for method, path in (
        ("GET", "/v1/profile"),
        ("GET", f"/v1/instances/{instance['id']}"),
        ("POST", f"/v1/instances/{instance['id']}/runs"),
        ("POST", f"/v1/instances/{instance['id']}/submit-keys"),
        ("DELETE", f"/v1/instances/{instance['id']}"),
    ):
        is_problem(await client.request(method, path, headers=headers), 403, "not_allowed")
    with psycopg.connect(supplier.api.databases.logins.owner) as connection:
        for change in ("scopes = '{submit,read}'", "expires_at = NULL"):
            with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
                connection.execute(f"UPDATE api_keys SET {change}".encode())


async def test_submit_keys_are_listed_and_end(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """They last seven days unless told otherwise, at most 90, are listed and revoked like any, and go with their instance."""
    instance, theirs = await supplier.onboard(), await other.onboard()
    keys = [
        await submit_key(supplier, instance),
        await submit_key(supplier, instance, name="by hand", expires_in_days=90),
    ]
    listed = (await supplier.client.get(KEYS)).json()
    assert [(each["name"], each["scopes"], each["instance_id"]) for each in listed] == [
        ("by hand", ["submit"], instance["id"]),
        ("Submits for m-1", ["submit"], instance["id"]),
    ]
    lasting = [datetime.fromisoformat(each["expires_at"]) - datetime.now(UTC) for each in listed]
    assert [round(each / timedelta(days=1)) for each in lasting] == [90, 7]

    path = f"/v1/instances/{instance['id']}/submit-keys"
    for days in (0, 91, None):
        answer = await supplier.client.post(path, json={"expires_in_days": days})
        is_problem(answer, 422, "invalid_input")
    for elsewhere in (theirs["id"], uuid4()):
        path = f"/v1/instances/{elsewhere}/submit-keys"
        is_problem(await supplier.client.post(path), 404, "not_found")

    await supplier.client.delete(f"{KEYS}/{listed[1]['id']}")
    assert (await submit(supplier.api, keys[0], instance["id"]))[0] == 401
    assert (await supplier.client.delete(f"/v1/instances/{instance['id']}")).is_success
    assert (await submit(supplier.api, keys[1], instance["id"]))[0] == 401
    assert (await supplier.client.get(KEYS)).json() == []


async def test_a_key_lends_no_submit_key_beyond_itself(
    supplier: Supplier, is_problem: Problem
) -> None:
    """A key without submit makes none, and a short one none that lasts longer."""
    instance = await supplier.onboard()
    path = f"/v1/instances/{instance['id']}/submit-keys"
    weak = {"x-api-key": await supplier.key("read", "test")}
    is_problem(await supplier.api.client.post(path, headers=weak), 403, "not_allowed")
    short = {"x-api-key": await supplier.key("test", "submit", expires_in_days=2)}
    made = (await supplier.api.client.post(path, headers=short)).json()
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert left < timedelta(days=2)
