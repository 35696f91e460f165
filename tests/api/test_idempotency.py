"""Idempotency-Key: what a client sends again is answered again and not carried out again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.options import Options
from orchestrator.runs.request import request_run_once
from orchestrator.ssh.keys import generate_key_pair
from tests.api.conftest import Api, Supplier

Problem = Callable[[httpx.Response, int, str], None]
KEY = {"Idempotency-Key": "0f8c, a key of a client"}
ONBOARD, REQUEST = "/functions/v1/onboard-gpu", "/functions/v1/request-gpu-test"


async def runs_path(supplier: Supplier) -> str:
    return f"/v1/instances/{(await supplier.onboard())['id']}/runs"


async def end(supplier: Supplier, run: dict[str, Any]) -> None:
    """A queued run is over as soon as it is cancelled."""
    ended = await supplier.client.post(f"/v1/runs/{run['id']}/cancel")
    assert ended.json()["finished"] is True


def stored(api: Api, table: str) -> list[str]:
    with psycopg.connect(api.databases.logins.owner) as connection:
        rows = connection.execute(f"SELECT row_to_json(t)::text FROM {table} t".encode())
        return [str(row[0]) for row in rows]


@pytest.mark.timeout(60)
async def test_fifty_at_once_are_one_run(supplier: Supplier) -> None:
    """However many requests arrive at once with one key, one run is made and all are told of it."""
    path = await runs_path(supplier)
    answers = await asyncio.gather(
        *(supplier.client.post(path, headers=KEY, json={"batch_size": 8}) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {202}
    [run_id] = {answer.json()["id"] for answer in answers}
    assert {answer.headers["location"] for answer in answers} == {f"/v1/runs/{run_id}"}
    replayed = [answer for answer in answers if "idempotency-replayed" in answer.headers]
    assert len(replayed) == 49
    assert len(stored(supplier.api, "gpu_test_runs")) == 1


async def test_a_repeat_answers_with_the_first_run_also_when_it_has_ended(
    supplier: Supplier,
) -> None:
    """The key goes on meaning its run: it never starts a second one."""
    path = await runs_path(supplier)
    first = await supplier.client.post(path, headers=KEY)
    assert "idempotency-replayed" not in first.headers
    await end(supplier, first.json())
    again = await supplier.client.post(path, headers=KEY)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.headers["location"] == first.headers["location"]
    assert (again.json()["id"], again.json()["state"]) == (first.json()["id"], "cancelled")
    assert len(stored(supplier.api, "gpu_test_runs")) == 1


async def test_a_key_stands_for_one_request(supplier: Supplier, is_problem: Problem) -> None:
    """With another body, instance or operation the key is refused and nothing is made."""
    path, elsewhere = await runs_path(supplier), await runs_path(supplier)
    assert (await supplier.client.post(path, headers=KEY)).status_code == 202
    other_body = await supplier.client.post(path, headers=KEY, json={"batch_size": 8})
    is_problem(other_body, 422, "idempotency_key_reused")
    is_problem(await supplier.client.post(elsewhere, headers=KEY), 422, "idempotency_key_reused")
    machine = {"instance_id": "new", "ssh_host": "host.example"}
    onboarding = await supplier.client.post(ONBOARD, headers=KEY, json=machine)
    assert (onboarding.status_code, onboarding.json()["code"]) == (400, "idempotency_key_reused")
    assert len(stored(supplier.api, "gpu_test_runs")) == 1
    assert len(stored(supplier.api, "gpu_instances")) == 2


async def test_a_refused_request_leaves_its_key_free(
    supplier: Supplier, is_problem: Problem
) -> None:
    """After 409 run_in_progress the same request with the same key is carried out once the run is over."""
    path = await runs_path(supplier)
    earlier = (await supplier.client.post(path)).json()
    is_problem(await supplier.client.post(path, headers=KEY), 409, "run_in_progress")
    await end(supplier, earlier)
    made = await supplier.client.post(path, headers=KEY)
    assert made.status_code == 202
    assert "idempotency-replayed" not in made.headers
    assert made.json()["id"] != earlier["id"]


async def test_keys_of_suppliers_are_apart(supplier: Supplier, other: Supplier) -> None:
    """Two suppliers who chose the same key do not meet."""
    made = [
        await each.client.post(await runs_path(each), headers=KEY) for each in (supplier, other)
    ]
    assert [answer.status_code for answer in made] == [202, 202]
    assert made[0].json()["id"] != made[1].json()["id"]
    assert not any("idempotency-replayed" in answer.headers for answer in made)


async def test_the_old_button_may_be_pressed_again(supplier: Supplier) -> None:
    """`request-gpu-test` answers a repeat with the first run, also when that has ended."""
    body = {"gpu_instance_id": (await supplier.onboard())["id"]}
    first = (await supplier.client.post(REQUEST, headers=KEY, json=body)).json()
    await end(supplier, {"id": first["run_id"]})
    again = await supplier.client.post(REQUEST, headers=KEY, json=body)
    assert (again.status_code, again.json()) == (200, first)
    assert again.headers["idempotency-replayed"] == "true"
    fresh = (await supplier.client.post(REQUEST, json=body)).json()
    assert fresh["run_id"] != first["run_id"]


@pytest.mark.parametrize("supplied", [True, False], ids=["supplied", "generated"])
async def test_a_machine_is_onboarded_once(supplier: Supplier, supplied: bool) -> None:
    """Onboarding at once and again is one instance with one login; every answer has the same public key."""
    body = {"instance_id": "one", "ssh_host": "host.example", "metadata": {"rack": 7}}
    if supplied:
        body["ssh_key"] = generate_key_pair().private_key
    answers = await asyncio.gather(
        *(supplier.client.post(ONBOARD, headers=KEY, json=body) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert len([each for each in answers if "idempotency-replayed" in each.headers]) == 9
    listed = (await supplier.client.get("/v1/instances")).json()["items"]
    assert [each["id"] for each in listed] == [answers[0].json()["gpu_instance"]["id"]]
    shown = (await supplier.client.get(f"/v1/instances/{listed[0]['id']}")).json()
    assert shown["public_key"] == answers[0].json()["public_key"]


@pytest.mark.parametrize("change", ["ssh_key", "ssh_key_passphrase", "ssh_host"])
async def test_the_login_belongs_to_the_request(supplier: Supplier, change: str) -> None:
    """Another login or host under the same key is another request; of a login only a digest is remembered."""
    pair = generate_key_pair()
    body = {"instance_id": "one", "ssh_host": "host.example", "ssh_key": pair.private_key}
    assert (await supplier.client.post(ONBOARD, headers=KEY, json=body)).status_code == 200
    [row] = stored(supplier.api, "idempotency_keys")
    assert "PRIVATE" not in row
    assert pair.private_key.splitlines()[1] not in row
    body[change] = {"ssh_key": generate_key_pair().private_key}.get(change, "other")
    again = await supplier.client.post(ONBOARD, headers=KEY, json=body)
    assert (again.status_code, again.json()["code"]) == (400, "idempotency_key_reused")


@pytest.mark.parametrize("key", [b"", b"x" * 201, b"\xc3\xa9", b"a\tb"], ids=repr)
async def test_a_key_is_short_printable_ascii(
    supplier: Supplier, is_problem: Problem, key: bytes
) -> None:
    """Anything but 1 to 200 printable ASCII characters is refused, named, and nothing is made."""
    path = await runs_path(supplier)
    headers = [(b"Idempotency-Key", key)]
    answer = await supplier.client.post(path, headers=headers)
    is_problem(answer, 422, "invalid_input")
    assert [each["pointer"] for each in answer.json()["errors"]] == ["Idempotency-Key"]
    body = {"gpu_instance_id": path.split("/")[3]}
    assert (await supplier.client.post(REQUEST, headers=headers, json=body)).status_code == 400
    assert stored(supplier.api, "gpu_test_runs") == []
    longest = {"Idempotency-Key": "~" * 200}
    assert (await supplier.client.post(path, headers=longest)).status_code == 202


async def test_a_machine_is_looked_at_once(supplier: Supplier, is_problem: Problem) -> None:
    """A connection check that is asked for again is the one there is; with another address the key is refused."""
    await supplier.client.put("/v1/login-key")
    path, body = "/v1/connection-checks", {"ssh_host": "host.example"}
    first = await supplier.client.post(path, headers=KEY, json=body)
    again = await supplier.client.post(path, headers=KEY, json=body)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    other = await supplier.client.post(path, headers=KEY, json={"ssh_host": "other.example"})
    is_problem(other, 422, "idempotency_key_reused")
    assert len(stored(supplier.api, "connection_checks")) == 1


async def test_the_service_role_has_no_keys(supplier: Supplier) -> None:
    """Keys are a tenant's: a caller that acts for all of them is refused one."""
    instance_id = UUID((await supplier.onboard())["id"])
    worker = supplier.api.databases.worker
    with pytest.raises(InvalidInput, match="belongs to a supplier"):
        await request_run_once(worker, SERVICE, instance_id, Options(), "cli", "key")
    assert stored(supplier.api, "gpu_test_runs") == []
