"""Logins on instances: on record, with the right key, and to the machine that was pinned."""

from __future__ import annotations

from uuid import UUID

import pytest

from orchestrator.database import audit, host_keys
from orchestrator.database.models import AuditEntry, Instance
from orchestrator.database.session import supplier
from orchestrator.domain.errors import HostKeyNotOffered
from orchestrator.runs.login_keys import LoginGiven
from orchestrator.runs.request import onboard
from orchestrator.ssh.keys import fingerprint, generate_key_pair
from tests.machines import SshdMachine
from tests.runs.conftest import Marketplace


async def entries(marketplace: Marketplace, instance_id: UUID, action: str) -> list[AuditEntry]:
    """What the log has of one action, oldest first."""
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        rows = (await audit.page(session, instance_id, 100, None)).rows
    return [row for row in reversed(rows) if row.action == action]


async def accept(marketplace: Marketplace, instance: Instance, host_key: str) -> None:
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        await host_keys.accept(session, instance.id, host_key)


async def test_every_login_is_on_record(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """The log has as many logins as the machine saw, each with its run, address and the host key it was pinned to."""
    instance = await marketplace.onboard(bare_machine.target())
    runs = [await marketplace.execute(instance) for _ in range(2)]
    logins = await entries(marketplace, instance.id, "instance.login")
    assert bare_machine.log.count("Accepted publickey") == len(logins)
    assert [login.detail["run_id"] for login in logins] == [str(run.id) for run in runs]
    for login in logins:
        assert (login.actor, login.subject_id) == ("worker", instance.id)
        assert login.detail["address"] == f"127.0.0.1:{bare_machine.port}"
        assert login.detail["fingerprint"] == fingerprint(bare_machine.host_key)


async def test_another_host_key_is_offered_and_taken_by_its_text(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """A key other than the pinned one is put on offer and nothing logs in until its supplier takes that very key."""
    instance = await marketplace.onboard(bare_machine.target())
    await marketplace.execute(instance)
    pinned = bare_machine.host_key
    first = bare_machine.rotate_host_key()
    for _ in range(2):  # the same again is no second offer
        assert (await marketplace.execute(instance)).error_code == "host_key_changed"
    offered = await marketplace.instance(instance.id)
    assert (offered.host_key, offered.host_key_offered) == (pinned, first)
    changes = await entries(marketplace, instance.id, "gpu_instances.update")
    assert sum("host_key_offered" in change.detail for change in changes) == 1

    second = bare_machine.rotate_host_key()
    await marketplace.execute(instance)
    with pytest.raises(HostKeyNotOffered):  # what was on offer when somebody looked is not any more
        await accept(marketplace, instance, first)
    await accept(marketplace, instance, second)
    taken = await marketplace.instance(instance.id)
    assert (taken.host_key, taken.host_key_offered, taken.host_key_offered_at) == (
        second,
        None,
        None,
    )
    assert (await marketplace.execute(instance)).error_code == "python_missing"
    with pytest.raises(HostKeyNotOffered):
        await accept(marketplace, instance, pinned)


async def test_an_offer_ends_when_the_pinned_key_is_back(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """A machine that shows its key on record again has no other on offer."""
    instance = await marketplace.onboard(bare_machine.target())
    await marketplace.execute(instance)
    kept = (bare_machine.folder / "host_key").read_bytes()
    bare_machine.rotate_host_key()
    await marketplace.execute(instance)
    assert (await marketplace.instance(instance.id)).host_key_offered is not None
    bare_machine.show_host_keys(kept)
    assert (await marketplace.execute(instance)).error_code == "python_missing"
    assert (await marketplace.instance(instance.id)).host_key_offered is None


async def test_the_suppliers_key_is_for_instances_without_their_own(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """An instance with a login of its own never uses the shared key; one without uses no other."""
    machine = bare_machine.target()
    claims = {
        "vast_instance_id": "shared",
        "ssh_host": machine.host,
        "ssh_port": machine.port,
        "ssh_user": machine.user,
    }
    user, vault = supplier(marketplace.user_id), marketplace.worker.vault
    shared = await onboard(marketplace.databases.api, vault, user, claims, LoginGiven(shared=True))
    own = await marketplace.onboard(bare_machine.target(key=generate_key_pair()))
    bare_machine.authorise(shared.public_key)
    assert (await marketplace.execute(shared.instance)).error_code == "python_missing"
    assert (await marketplace.execute(own)).error_code == "login_refused"
