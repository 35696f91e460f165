"""Logins by our user CA: one line on the machine, a key pair of its own for each login, nothing kept."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.database import credentials
from orchestrator.database.models import Instance
from orchestrator.database.session import SERVICE, supplier
from orchestrator.runs.check_connection import check_connection, request_check
from orchestrator.runs.login_keys import LoginGiven
from orchestrator.runs.request import onboard
from orchestrator.ssh.user_ca import UserCa
from tests.machines import SshdMachine
from tests.runs.conftest import Marketplace
from tests.runs.test_check_connection import read


@pytest.fixture
def ca(marketplace: Marketplace, tmp_path: Path) -> UserCa:
    """The CA that the worker signs with."""
    path = tmp_path / "user-ca.key"
    path.write_text(base64.b64encode(bytes(range(32))).decode())
    path.chmod(0o600)
    ca = UserCa.from_file(path)
    marketplace.worker = replace(marketplace.worker, user_ca=ca)
    return ca


async def put_on_record(marketplace: Marketplace, machine: SshdMachine, ca: UserCa) -> Instance:
    claims = {
        "vast_instance_id": "certified",
        "ssh_host": machine.host,
        "ssh_port": machine.port,
        "ssh_user": machine.user,
    }
    user, vault = supplier(marketplace.user_id), marketplace.worker.vault
    login = LoginGiven(certified_by=ca.trusted)
    onboarded = await onboard(marketplace.databases.api, vault, user, claims, login)
    assert onboarded.public_key == ca.trusted.authorized_line(marketplace.user_id)
    return onboarded.instance


async def test_a_run_logs_in_by_a_certificate_of_its_own(
    marketplace: Marketplace, bare_machine: SshdMachine, ca: UserCa
) -> None:
    """Two runs show the machine two keys under one CA, each named for its run, and no secret is on record."""
    (bare_machine.folder / "authorized_keys").write_text(
        ca.trusted.authorized_line(marketplace.user_id)
    )
    instance = await put_on_record(marketplace, bare_machine, ca)
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        stored = await credentials.sealed(session, instance)
    assert stored is not None
    assert (stored.kind, stored.key_id, stored.wrapped_key, stored.ciphertext) == (
        *("certificate", None, None, None),
    )
    runs = [await marketplace.execute(instance) for _ in range(2)]
    assert [run.error_code for run in runs] == ["python_missing"] * 2  # so it was let in
    for run in runs:
        assert f"harborx run {run.id}" in bare_machine.log


async def test_a_machine_that_does_not_trust_the_ca_refuses(
    marketplace: Marketplace, bare_machine: SshdMachine, ca: UserCa
) -> None:
    """Without the line, and for a worker without the CA, the run ends with what is missing."""
    instance = await put_on_record(marketplace, bare_machine, ca)
    assert (await marketplace.execute(instance)).error_code == "login_refused"
    marketplace.worker = replace(marketplace.worker, user_ca=None)
    assert (await marketplace.execute(instance)).error_code == "credential_unusable"


async def test_a_check_tries_a_certificate(
    marketplace: Marketplace, machine: SshdMachine, ca: UserCa
) -> None:
    """A machine can be tried before it is onboarded, with the line for this supplier only."""
    (machine.folder / "authorized_keys").write_text(ca.trusted.authorized_line(marketplace.user_id))
    asked = await request_check(
        marketplace.databases.api,
        marketplace.worker.vault,
        supplier(marketplace.user_id),
        (machine.host, machine.port, machine.user),
        LoginGiven(certified_by=ca.trusted),
    )
    await check_connection(asked.check.id, marketplace.worker)
    check = await read(marketplace, asked.check.id)
    assert (check.login, check.state, check.error_message) == ("certificate", "passed", None)
