"""/v1/host-authorities, and host keys that are given: what is taken, kept and told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from orchestrator.ssh.keys import fingerprint
from tests.api.conftest import Supplier
from tests.api.rows import Ended, end, execute
from tests.api.test_instances import host_key

Problem = Callable[[httpx.Response, int, str], None]
PATH = "/v1/host-authorities"


async def test_an_authority_is_added_listed_and_deleted(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """By its parts or by a line of known_hosts, once; its supplier alone sees it and takes it away, on record."""
    key = host_key()
    line = f"@cert-authority *.Fleet.example {key} a comment"
    added = await supplier.client.post(PATH, json={"line": line})
    assert added.status_code == 201, added.text
    said = added.json()
    assert (said["hosts"], said["public_key"]) == ("*.fleet.example", key)
    assert said["fingerprint"] == fingerprint(key)
    again = await supplier.client.post(PATH, json={"hosts": "*.fleet.example", "public_key": key})
    assert again.json() == said
    assert (await supplier.client.get(PATH)).json() == {"items": [said], "next_cursor": None}
    assert (await other.client.get(PATH)).json()["items"] == []
    is_problem(await other.client.delete(f"{PATH}/{said['id']}"), 404, "not_found")
    assert (await supplier.client.delete(f"{PATH}/{said['id']}")).status_code == 204
    is_problem(await supplier.client.delete(f"{PATH}/{said['id']}"), 404, "not_found")
    told = (await supplier.client.get("/v1/audit")).json()["items"]
    actions = [row["action"] for row in told if row["action"].startswith("host_auth")]
    assert actions == ["host_authorities.delete", "host_authorities.insert"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"hosts": "*"},
        {"line": "*.example ssh-ed25519 AAAA"},
        {"hosts": "|1|abc=|abc=", "public_key": "KEY"},
        {"hosts": "a b", "public_key": "KEY"},
        {"hosts": "*", "public_key": "ssh-ed25519 AAAA"},
        {"hosts": "*", "public_key": "KEY", "line": "@cert-authority * KEY"},
    ],
)
async def test_what_is_no_authority_is_refused(
    supplier: Supplier, is_problem: Problem, body: dict[str, str]
) -> None:
    """Hashed hosts, keys that are none, and half of what is needed."""
    said = {name: value.replace("KEY", host_key()) for name, value in body.items()}
    answer = await supplier.client.post(PATH, json=said)
    is_problem(answer, answer.status_code, "invalid_input")
    assert answer.status_code in (400, 422)


async def test_there_are_32_authorities_at_most(supplier: Supplier, is_problem: Problem) -> None:
    """One more is refused, and the same again is not one more."""
    for number in range(32):
        line = f"@cert-authority h{number} {host_key()}"
        assert (await supplier.client.post(PATH, json={"line": line})).status_code == 201
    assert (await supplier.client.post(PATH, json={"line": line})).status_code == 201
    answer = await supplier.client.post(PATH, json={"hosts": "x", "public_key": host_key()})
    is_problem(answer, answer.status_code, "invalid_input")
    assert len((await supplier.client.get(PATH)).json()["items"]) == 32


async def test_a_host_key_is_given_at_onboarding_and_later(
    supplier: Supplier, is_problem: Problem
) -> None:
    """As a key, a line of ssh-keyscan or a fingerprint; one that is on record is confirmed by it, another forgotten."""
    key, another = host_key(), host_key()
    instance = await supplier.onboard(host_key=f"host.example {key}")
    path = f"/v1/instances/{instance['id']}"
    said = (await supplier.client.get(path)).json()
    assert (said["host_key"], said["host_key_given"]) == (None, fingerprint(key))
    execute(
        supplier.api.databases,
        "UPDATE gpu_instances SET host_key = %s, host_key_trust = 'first_contact', status = 'active'",
        key,
    )
    said = (await supplier.client.patch(path, json={"host_key": fingerprint(key)})).json()
    assert (said["host_key"], said["host_key_trust"], said["status"]) == (key, "given", "active")
    assert said["host_key_confirmed_at"] is not None
    said = (await supplier.client.patch(path, json={"host_key": another})).json()
    assert (said["host_key"], said["host_key_trust"], said["status"]) == (None, None, "pending")
    assert (said["host_key_given"], said["host_keys_proved"]) == (fingerprint(another), [])
    body = {"instance_id": "x", "ssh_host": "host.example", "host_key": "SHA256:short"}
    answer = await supplier.client.post("/functions/v1/onboard-gpu", json=body)
    assert answer.status_code == 400, answer.text
    is_problem(await supplier.client.patch(path, json={"host_key": None}), 422, "invalid_input")


async def test_the_host_key_on_record_is_confirmed(supplier: Supplier, other: Supplier) -> None:
    """By its line or its fingerprint, by its supplier only, once; and how it came to be on record stays told."""
    instance = await supplier.onboard()
    path = f"/v1/instances/{instance['id']}"
    key = host_key()
    execute(
        supplier.api.databases,
        "UPDATE gpu_instances SET host_key = %s, host_key_trust = 'first_contact'",
        key,
    )
    assert (await supplier.client.get(path)).json()["host_key_confirmed_at"] is None
    body = {"host_key": fingerprint(key)}
    assert (await other.client.post(f"{path}/host-key", json=body)).status_code == 404
    said = (await supplier.client.post(f"{path}/host-key", json=body)).json()
    assert said["host_key_trust"] == "first_contact"
    assert said["host_key_confirmed_at"] is not None
    again = (await supplier.client.post(f"{path}/host-key", json={"host_key": key})).json()
    assert again["host_key_confirmed_at"] == said["host_key_confirmed_at"]


async def test_the_public_record_is_of_the_machine_that_is_there(supplier: Supplier) -> None:
    """Tests of another address count for nothing once the instance has moved, neither as figures nor in numbers."""
    databases = supplier.api.databases
    instance = await supplier.onboard(gpu_name="NVIDIA H100")
    for days in (30, 20, 10):
        end(databases, instance["id"], Ended(timedelta(days=days)))
    path = f"/v1/listing/{instance['id']}"
    before = (await supplier.api.client.get(path)).json()
    assert (before["tests_90d"], before["passed_90d"]) == (3, 3)
    answer = await supplier.client.patch(
        f"/v1/instances/{instance['id']}", json={"ssh_host": "other.example"}
    )
    assert answer.status_code == 200
    execute(databases, "UPDATE gpu_instances SET addressed_at = now() - interval '1 day'")
    assert (await supplier.api.client.get(path)).status_code == 404
    end(
        databases, instance["id"], Ended(timedelta(hours=1), "failed", "agent_crashed", result=None)
    )
    end(databases, instance["id"], Ended(timedelta(minutes=1)))
    after = (await supplier.api.client.get(path)).json()
    assert (after["tests_90d"], after["passed_90d"]) == (2, 1)
