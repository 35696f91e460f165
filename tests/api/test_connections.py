"""/v1: connection checks, our key for a supplier, and what onboarding makes of both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncssh
import httpx
import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from orchestrator.config import load
from orchestrator.runs.check_connection import check_connection
from orchestrator.runs.worker import Worker
from orchestrator.ssh.keys import fingerprint, generate_key_pair
from orchestrator.vault import Vault
from tests.api.conftest import Api, Supplier, application, connect
from tests.conftest import Databases
from tests.machines import SshdMachine, sshd_machine

Problem = Callable[[httpx.Response, int, str], None]
CHECKS, ONBOARD, LOGIN_KEY = "/v1/connection-checks", "/functions/v1/onboard-gpu", "/v1/login-key"
PASSPHRASE = "canary-in-the-passphrase"


@pytest.fixture
def machine() -> Iterator[SshdMachine]:
    with sshd_machine() as sshd:
        yield sshd


@pytest.fixture
def worker(databases: Databases, tmp_path: Path) -> Worker:
    """A worker with the application's vault, which may connect to this host."""
    flags = {"state_dir": str(tmp_path), "ssh": {"allowed_networks": ["127.0.0.0/8"]}}
    return Worker(databases.worker, Vault(bytes(32)), load(None, {}, flags).settings, "worker")


def address(machine: SshdMachine) -> dict[str, object]:
    return {"ssh_host": machine.host, "ssh_port": machine.port, "ssh_user": machine.user}


async def ask(supplier: Supplier, **fields: object) -> httpx.Response:
    key = generate_key_pair().private_key
    body = {"ssh_host": "host.example", "ssh_key": key, **fields}
    return await supplier.client.post(CHECKS, json=body)


def everything(databases: Databases) -> str:
    """Every row of every table, jobs and their events too, as text; bytes as hex and as they are."""
    told = []
    with psycopg.connect(databases.logins.owner) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (name,) in tables:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))
            told += [str(row[0]) for row in connection.execute(query)]
    return "\n".join(told)


async def test_a_secret_is_told_nowhere(
    api: Api, supplier: Supplier, worker: Worker, machine: SshdMachine
) -> None:
    """
    A private key and its passphrase are in no answer, log line, job or row in the clear, before, while and after
    a worker uses the key; and a key that can't be read is not told back.
    """
    key = asyncssh.import_private_key(machine.key.private_key)
    encrypted = key.export_private_key("openssh", passphrase=PASSPHRASE).decode()
    secrets = [PASSPHRASE, *_lines(encrypted), *_lines(machine.key.private_key)]
    body = {**address(machine), "ssh_key": encrypted, "ssh_key_passphrase": PASSPHRASE}
    with capture_logs() as logged:
        answers = [await supplier.client.post(CHECKS, json=body)]
        assert answers[0].status_code == 202, answers[0].text
        check = answers[0].json()
        assert answers[0].headers["location"] == f"{CHECKS}/{check['id']}"
        before = everything(api.databases)
        assert str(check["id"]) in before
        await check_connection(UUID(check["id"]), worker)
        answers.append(await supplier.client.get(f"{CHECKS}/{check['id']}"))
        assert answers[1].json()["state"] == "passed", answers[1].text
        onboarding = {**body, "instance_id": "one", "connection_check_id": check["id"]}
        answers.append(await supplier.client.post(ONBOARD, json=onboarding))
        assert answers[2].status_code == 200, answers[2].text
        for wrong in (
            {"ssh_key_passphrase": f"{PASSPHRASE}-and-more"},
            {"ssh_key": encrypted[:-60]},
            {"ssh_key": encrypted * 100},
            {"ssh_key": PASSPHRASE, "ssh_key_passphrase": None},
        ):
            answers.append(await supplier.client.post(CHECKS, json={**body, **wrong}))
            assert answers[-1].status_code in (400, 422), answers[-1].text
    told = "\n".join(
        [before, everything(api.databases), str(logged), *(each.text for each in answers)]
    )
    found = [secret for secret in secrets if secret in told or secret.encode().hex() in told]
    assert found == []
    assert "ciphertext" not in "".join(each.text for each in answers)


def _lines(private_key: str) -> list[str]:
    """The lines between the armour: any of them would be a leak."""
    return [line for line in private_key.splitlines() if line and not line.startswith("-----")]


async def test_a_check_is_read_as_it_ended(
    supplier: Supplier, worker: Worker, machine: SshdMachine
) -> None:
    """The answer has the steps, the host key with its fingerprint, and the machine; a failed one the remedy."""
    asked = (await ask(supplier, **address(machine), ssh_key=machine.key.private_key)).json()
    assert (asked["state"], asked["login"], asked["steps"]) == ("queued", "supplied", [])
    await check_connection(UUID(asked["id"]), worker)
    said = (await supplier.client.get(f"{CHECKS}/{asked['id']}")).json()
    assert (said["state"], said["error"]) == ("passed", None)
    assert [step["name"] for step in said["steps"]] == [
        *("address", "host_key", "login", "python", "probe"),
    ]
    assert said["host_key"] == machine.host_key
    assert said["host_key_fingerprint"] == fingerprint(machine.host_key)
    assert {"gpu_name", "gpus", "driver_version", "kernel", "torch_installs"} <= said[
        "probe"
    ].keys()
    assert said["probe"]["cpu_count"] >= 1
    assert said["finished_at"] > said["created_at"]

    asked = (await ask(supplier, **address(machine))).json()  # a key that the machine does not know
    await check_connection(UUID(asked["id"]), worker)
    said = (await supplier.client.get(f"{CHECKS}/{asked['id']}")).json()
    assert (said["state"], said["error"]["code"]) == ("failed", "login_refused")
    assert said["error"]["remedy"]
    assert said["host_key"] == machine.host_key
    assert said["probe"] is None


async def test_a_check_is_its_suppliers(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """Another supplier's check is not found, a reader's key starts none, and no supplier has more than three at once."""
    check = (await ask(supplier)).json()
    is_problem(await other.client.get(f"{CHECKS}/{check['id']}"), 404, "not_found")
    headers = {"x-api-key": await supplier.key("read")}
    body = {"ssh_host": "host.example"}
    refused = await supplier.api.client.post(CHECKS, json=body, headers=headers)
    is_problem(refused, 403, "not_allowed")
    answers = await asyncio.gather(*(ask(supplier) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202] * 2 + [429] * 3
    is_problem(max(answers, key=lambda answer: answer.status_code), 429, "too_many_checks")
    assert (await ask(other)).status_code == 202


async def test_a_bad_check_is_refused(supplier: Supplier, is_problem: Problem) -> None:
    """Fields are bounded, and without a key there must be one of ours."""
    for wrong in ({"ssh_host": "a b"}, {"ssh_port": 0}, {"ssh_user": "-o x"}, {"colour": 1}):
        is_problem(await ask(supplier, **wrong), 422, "invalid_input")
    answer = await ask(supplier, ssh_key=None)
    is_problem(answer, 400, "invalid_input")
    assert "login-key" in answer.json()["detail"]
    assert (await supplier.client.put(LOGIN_KEY)).status_code == 200
    assert (await ask(supplier, ssh_key=None)).json()["login"] == "shared"


async def test_our_key_for_a_supplier_is_made_once(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """However many ask at once, all get one key; another supplier gets another."""
    is_problem(await supplier.client.get(LOGIN_KEY), 404, "not_found")
    answers = await asyncio.gather(*(supplier.client.put(LOGIN_KEY) for _ in range(4)))
    (key,) = {answer.json()["public_key"] for answer in answers}
    said = (await supplier.client.get(LOGIN_KEY)).json()
    assert said == {"public_key": key, "fingerprint": fingerprint(key)}
    is_problem(await other.client.get(LOGIN_KEY), 404, "not_found")
    assert (await other.client.put(LOGIN_KEY)).json()["public_key"] != key


async def test_an_instance_is_onboarded_with_the_shared_key(
    supplier: Supplier, is_problem: Problem
) -> None:
    """`shared` gives the instance no login of its own and tells our key; together with a key it is refused."""
    body = {"instance_id": "one", "ssh_host": "host.example", "login": "shared"}
    given = {**body, "ssh_key": generate_key_pair().private_key}
    refused = await supplier.client.post(ONBOARD, json=given)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
    said = (await supplier.client.post(ONBOARD, json=body)).json()
    key = (await supplier.client.get(LOGIN_KEY)).json()["public_key"]
    assert said["public_key"] == key
    instance = said["gpu_instance"]
    detailed = (await supplier.client.get(f"/v1/instances/{instance['id']}")).json()
    assert (detailed["login"], detailed["public_key"]) == ("shared", key)
    own = await supplier.onboard()
    detailed = (await supplier.client.get(f"/v1/instances/{own['id']}")).json()
    assert detailed["login"] == "generated"
    assert detailed["public_key"] != key


async def test_an_instance_is_pinned_to_what_its_check_saw(
    supplier: Supplier, other: Supplier, worker: Worker, machine: SshdMachine
) -> None:
    """The host key of the caller's own check of this very address is pinned; any other id onboards nothing."""
    where, key = address(machine), machine.key.private_key
    check = (await ask(supplier, **where, ssh_key=key)).json()
    foreign = (await ask(other, **where, ssh_key=key)).json()
    unseen = (await ask(supplier, **where, ssh_key=key)).json()
    for each in (check, foreign):
        await check_connection(UUID(each["id"]), worker)
    body = {"instance_id": "one", **where, "ssh_key": key}
    for wrong in (
        {"connection_check_id": foreign["id"]},
        {"connection_check_id": unseen["id"]},
        {"connection_check_id": str(uuid4())},
        {"connection_check_id": check["id"], "ssh_port": 1},
    ):
        answer = await supplier.client.post(ONBOARD, json={**body, **wrong})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await supplier.client.get("/v1/instances")).json()["items"] == []
    told = {"connection_check_id": check["id"], "provider": "own", "location": "Oslo"}
    answer = await supplier.client.post(ONBOARD, json={**body, **told, "price_per_hour": 1.5})
    instance = answer.json()["gpu_instance"]
    assert instance["host_key"] == machine.host_key
    assert (instance["provider"], instance["location"]) == ("own", "Oslo")
    assert instance["price_per_hour"] == 1.5
    detailed = (await supplier.client.get(f"/v1/instances/{instance['id']}")).json()
    assert detailed["host_key_fingerprint"] == fingerprint(machine.host_key)
    assert detailed["host_key_seen_at"] is not None
    assert detailed["login"] == "supplied"


async def test_the_user_ca_is_trusted_for_one_supplier(supplier: Supplier, other: Supplier) -> None:
    """Each supplier has a line of its own for the same CA; onboarding with it answers that line and takes no key."""
    told = [(await each.client.get("/v1/login-ca")).json() for each in (supplier, other)]
    assert told[0]["public_key"] == told[1]["public_key"]
    for each, said in zip((supplier, other), told, strict=True):
        assert f'principals="harborx-{each.user_id}"' in said["authorized_keys_line"]
        assert 0 < said["lifetime_seconds"] <= 600
    body = {"instance_id": "c", "ssh_host": "host.example", "login": "certificate"}
    answer = await supplier.client.post(ONBOARD, json=body)
    assert answer.json()["public_key"] == told[0]["authorized_keys_line"]
    instance_id = answer.json()["gpu_instance"]["id"]
    instance = (await supplier.client.get(f"/v1/instances/{instance_id}")).json()
    assert (instance["login"], instance["public_key"]) == (
        "certificate",
        told[0]["authorized_keys_line"],
    )
    with_key = {**body, "instance_id": "d", "ssh_key": generate_key_pair().private_key}
    assert (await supplier.client.post(ONBOARD, json=with_key)).status_code == 400
    asked = {"ssh_host": "host.example", "login": "certificate"}
    check = await supplier.client.post(CHECKS, json=asked)
    assert (check.status_code, check.json()["login"]) == (202, "certificate")


async def test_an_hour_has_room_for_so_many(databases: Databases) -> None:
    """Beyond an hour's worth of strange machines, or of checks, the answer is 429 with the time until the next."""
    ssh = {"new_machines_per_hour": 2, "checks_per_hour": 1}
    api = Api(databases, app := application(databases.api, ssh=ssh), connect(app))
    supplier = await api.sign_up()
    await supplier.client.put(LOGIN_KEY)
    check = {"ssh_host": "host.example"}
    for _ in range(2):
        await supplier.request()
    assert (await supplier.client.post(CHECKS, json=check)).status_code == 202
    instance = await supplier.onboard()
    for path, body, longest in (
        (f"/v1/instances/{instance['id']}/runs", {}, 1800),
        (CHECKS, check, 3600),
    ):
        answer = await supplier.client.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_contacts")
        assert "Retry-After" in answer.json()["remedy"]
        assert longest - 60 <= int(answer.headers["retry-after"]) <= longest
    for client in (supplier.client, api.client):
        await client.aclose()
