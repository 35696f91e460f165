"""A connection check, told by its row: against a real sshd, and against machines that misbehave."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.config import SshSettings
from orchestrator.database import audit, connection_checks
from orchestrator.database.models import AuditEntry, ConnectionCheck
from orchestrator.database.session import SERVICE, supplier
from orchestrator.domain.errors import HostUnreachable, OutputRefused
from orchestrator.domain.events import Probe
from orchestrator.runs import check_connection as check_story
from orchestrator.runs import engine
from orchestrator.runs.check_connection import check_connection, request_check
from orchestrator.runs.login_keys import LoginGiven, shared_key
from orchestrator.ssh.addresses import UNREACHABLE
from orchestrator.ssh.connection import Target
from orchestrator.ssh.keys import fingerprint, generate_key_pair
from orchestrator.ssh.look import probe_of
from tests.machines import LOOPBACK, RAW, SCRIPTS, Exec, SshdMachine, raw_machine, scripted_machine
from tests.runs.conftest import Marketplace, left_behind, sql
from tests.runs.test_engine import working

STEPS = ["address", "host_key", "login", "python", "probe"]


async def request(marketplace: Marketplace, target: Target, *, shared: bool = False) -> Any:
    """A queued check of the target, with its own key or with ours."""
    login = LoginGiven() if shared else LoginGiven(target.private_key)
    address = (target.host, target.port, target.user)
    worker, user = marketplace.worker, supplier(marketplace.user_id)
    asked = await request_check(marketplace.databases.api, worker.vault, user, address, login)
    return asked.check


async def read(marketplace: Marketplace, check_id: Any) -> ConnectionCheck:
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        return await connection_checks.get(session, check_id)


async def checked(marketplace: Marketplace, target: Target, **how: bool) -> ConnectionCheck:
    """A check as it ended, carried out by our worker."""
    asked = await request(marketplace, target, **how)
    assert (asked.state, asked.steps) == ("queued", [])
    await check_connection(asked.id, marketplace.worker)
    return await read(marketplace, asked.id)


async def logins(marketplace: Marketplace) -> list[AuditEntry]:
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        rows = (await audit.page(session, None, 50, None)).rows
    return [row for row in rows if row.action == "instance.login"]


async def sealed_keys(marketplace: Marketplace) -> object:
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        return await sql(
            session,
            "SELECT count(*) FROM connection_checks"
            " WHERE num_nonnulls(key_id, wrapped_key, ciphertext) > 0",
        )


def with_ssh(marketplace: Marketplace, **settings: Any) -> None:
    """From now on the worker has these settings of SSH."""
    worker = marketplace.worker
    changed = worker.settings.model_copy(update={"ssh": SshSettings(**settings)})
    marketplace.worker = replace(worker, settings=changed)


def story(check: ConnectionCheck) -> list[tuple[str, str]]:
    return [(step["name"], step["state"]) for step in check.steps]


async def test_a_machine_is_looked_at_step_by_step(
    marketplace: Marketplace, machine: SshdMachine
) -> None:
    """Each step passes on a real sshd, the probe is the machine's, the login is on record, and no key is kept."""
    check = await checked(marketplace, machine.target())
    assert (check.state, check.error_message) == ("passed", None)
    assert story(check) == [(name, "passed") for name in STEPS]
    assert check.host_key == machine.host_key
    details = {step["name"]: step["detail"] for step in check.steps}
    assert details["address"] == "127.0.0.1"
    assert fingerprint(machine.host_key) in details["host_key"]
    assert details["python"].startswith("3.")
    assert all(step["seconds"] >= 0 for step in check.steps)
    assert check.probe is not None
    probe = Probe.model_validate({**check.probe, "type": "probe"})
    assert probe.cpu_count
    assert probe.ram_gb
    assert await sealed_keys(marketplace) == 0
    assert left_behind(machine) == []
    (login,) = await logins(marketplace)
    assert (login.actor, login.subject_id, login.instance_id) == ("worker", check.id, None)
    assert login.detail == {
        "check": str(check.id),
        "address": f"127.0.0.1:{machine.port}",
        "user": machine.user,
        "fingerprint": fingerprint(machine.host_key),
    }


async def test_our_key_for_the_supplier_is_tried(
    marketplace: Marketplace, machine: SshdMachine
) -> None:
    """Without a key of the supplier's the one for all its machines logs in, once it is authorized there."""
    user = supplier(marketplace.user_id)
    half = await shared_key(marketplace.databases.api, marketplace.worker.vault, user)
    refused = await checked(marketplace, machine.target(), shared=True)
    assert (refused.login, refused.state, refused.error_code) == (
        "shared",
        "failed",
        "login_refused",
    )
    machine.authorise(half.public_key)
    assert (await checked(marketplace, machine.target(), shared=True)).state == "passed"


async def test_a_worker_takes_checks_from_their_queue(
    marketplace: Marketplace, machine: SshdMachine
) -> None:
    """The job that is deferred with the check reaches a worker, and leaves nothing in the queue."""
    asked = await request(marketplace, machine.target())
    async with working(marketplace.worker), asyncio.timeout(60):
        while (check := await read(marketplace, asked.id)).finished_at is None:
            await asyncio.sleep(0.02)
    assert check.state == "passed"
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        left = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'check_connection'"
        assert await sql(session, left) == 0


async def _escapes(process: Exec, marker: str) -> None:
    told = {"gpu_count": 1, "gpu_name": "\x1b]52;c;AAAA\x07H100\u202e", "gpus": []}
    await _answer(process, marker, json.dumps(told))


async def _boasts(process: Exec, marker: str) -> None:
    await _answer(process, marker, '{"cpu_count": -3}')


async def _says_python_only(process: Exec, marker: str) -> None:
    process.stdout.write(f"@harborx {marker} python 3.11.2\n".encode())


async def _answer(process: Exec, marker: str, text: str) -> None:
    process.stdout.write(f"@harborx {marker} python 3.11\x1b[2J.2\n".encode())
    process.stdout.write(f"@harborx {marker} look {text}\n".encode())


LOOKS = {
    "look_escapes": _escapes,
    "look_boasts": _boasts,
    "look_python_only": _says_python_only,
}


@pytest.fixture(autouse=True)
def _looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, script in LOOKS.items():
        monkeypatch.setitem(SCRIPTS, name, script)


@pytest.mark.parametrize(
    ("script", "code", "step"),
    [
        ("drops", "connection_lost", "python"),
        ("failed", "launch_failed", "python"),
        ("no_answer", "launch_failed", "python"),
        ("refused", "internal_error", "python"),
        ("endless_greeting", "launch_failed", "python"),
        ("look_python_only", "launch_failed", "probe"),
        ("look_boasts", "output_refused", "probe"),
    ],
)
async def test_misbehaviour_fails_its_step(
    marketplace: Marketplace, script: str, code: str, step: str
) -> None:
    """Whatever a machine says, the check ends with a code of the catalogue at the step that met it."""
    async with scripted_machine(script) as machine:
        check = await checked(marketplace, machine.target())
    assert (check.state, check.error_code) == ("failed", code)
    assert story(check)[-1] == (step, "failed")
    assert story(check)[:-1] == [(name, "passed") for name in STEPS[: STEPS.index(step)]]
    assert "\x1b" not in json.dumps([check.steps, check.evidence, check.error_message])
    assert await sealed_keys(marketplace) == 0


async def test_what_a_machine_says_is_safe_to_show(marketplace: Marketplace) -> None:
    """Escape sequences and bidirectional overrides of a machine are not stored, however they were written."""
    async with scripted_machine("look_escapes") as machine:
        check = await checked(marketplace, machine.target())
    assert check.state == "passed"
    assert check.probe is not None
    assert check.probe["gpu_name"] == "H100\ufffd"
    assert check.steps[3]["detail"] == "3.11.2"


@pytest.mark.parametrize("where", ["closed", "no_banner", "not_ssh", "unresolved"])
async def test_an_address_tells_nothing_of_its_ports(marketplace: Marketplace, where: str) -> None:
    """Closed, silent, speaking something else, or no name at all: one code and one text."""
    with_ssh(marketplace, login_timeout=0.2, allowed_networks=LOOPBACK.allowed_networks)
    async with raw_machine(where if where in RAW else "not_ssh") as machine:
        host = "nowhere.invalid" if where == "unresolved" else machine.host
        target = Target(host, machine.port, "root", generate_key_pair().private_key)
        if where in RAW:
            check = await checked(marketplace, target)
    if where not in RAW:
        check = await checked(marketplace, target)
    assert (check.error_code, check.evidence) == ("host_unreachable", {})
    assert check.error_message == str(HostUnreachable(UNREACHABLE))
    failed = "address" if where == "unresolved" else "host_key"
    assert story(check)[-1] == (failed, "failed")


async def test_a_forbidden_address_is_not_contacted(marketplace: Marketplace) -> None:
    """An address out of bounds ends the check at its first step; nobody there hears of it."""
    with_ssh(marketplace)
    async with scripted_machine() as machine:
        check = await checked(marketplace, machine.target())
        assert machine.connections == []
    assert check.error_code == "address_forbidden"
    assert story(check) == [("address", "failed")]


async def test_what_a_name_stands_for_inside_is_not_told(marketplace: Marketplace) -> None:
    """A name that only our own resolver knows, of an address out of bounds, is checked like one that nobody knows."""
    with_ssh(marketplace)
    told = []
    for host in ("localhost", "nowhere.invalid"):
        target = Target(host, 2222, "root", generate_key_pair().private_key)
        check = await checked(marketplace, target)
        details = [(step["name"], step["state"], step["detail"]) for step in check.steps]
        told.append((check.error_code, check.error_message, check.evidence, details))
    assert told[0] == told[1]
    assert told[0][0] == "host_unreachable"


async def test_a_machine_without_python_says_so(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """The login passes, and the step that looks for Python has the catalogue's code."""
    check = await checked(marketplace, bare_machine.target())
    assert check.error_code == "python_missing"
    assert story(check)[-2:] == [("login", "passed"), ("python", "failed")]


async def test_a_check_whose_worker_died_is_ended(marketplace: Marketplace) -> None:
    """Steps are stored as they end; two minutes after it was asked a sweep fails the check, once, and no sooner."""
    async with scripted_machine("silent") as machine:
        asked = await request(marketplace, machine.target())
        unclaimed = await request(marketplace, machine.target())
        assert await sealed_keys(marketplace) == 2
        task = asyncio.create_task(check_connection(asked.id, marketplace.worker))
        async with asyncio.timeout(20):
            while len((check := await read(marketplace, asked.id)).steps) < 3:
                await asyncio.sleep(0.02)
        assert check.state == "checking"
        assert await sealed_keys(marketplace) == 1  # taken with the check, not at its end
        task.cancel()
        await asyncio.wait({task})
    await engine.sweep_once(marketplace.worker)
    assert (await read(marketplace, asked.id)).state == "checking"
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await sql(
            session,
            "UPDATE connection_checks SET created_at = created_at - interval '121 seconds'",
        )
    for _ in range(2):
        await engine.sweep_once(marketplace.worker)
        for each in (asked, unclaimed):
            ended = await read(marketplace, each.id)
            assert (ended.state, ended.error_code) == ("failed", "internal_error")
    assert await sealed_keys(marketplace) == 0
    # Its job comes late, or the worker was only slow: nothing moves any more.
    await check_connection(unclaimed.id, marketplace.worker)
    assert (await read(marketplace, unclaimed.id)).steps == []


async def test_a_slow_worker_changes_nothing_of_an_ended_check(
    marketplace: Marketplace, machine: SshdMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose check was ended by a sweep meanwhile stops at its next step, before it logs in."""
    asked = await request(marketplace, machine.target())

    async def overdue(*arguments: Any, **options: Any) -> str:
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            await sql(
                session,
                "UPDATE connection_checks SET created_at = created_at - interval '121 seconds'",
            )
        await check_story.fail_overdue(marketplace.databases.worker)
        return machine.host_key

    monkeypatch.setattr(check_story, "first_contact", overdue)
    await check_connection(asked.id, marketplace.worker)
    check = await read(marketplace, asked.id)
    assert (check.state, story(check)) == ("failed", [("address", "passed")])
    assert "Accepted publickey" not in machine.log


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"ram_gb": NaN}',
        '{"ram_gb": 1e400}',
        '{"gpu_count": true}',
        "[" * 3000,
    ],
)
def test_an_answer_that_is_no_probe_is_refused(text: str) -> None:
    """Only the contract's JSON with finite numbers in their ranges is a probe."""
    with pytest.raises(OutputRefused):
        probe_of(text)
