"""Logins on instances: on record, with the right key, and to the machine that was pinned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import asyncssh
import pytest

from orchestrator.database import audit, credentials, host_keys
from orchestrator.database.models import AuditEntry, Instance
from orchestrator.database.session import SERVICE, supplier
from orchestrator.domain.errors import HostKeyNotOffered
from orchestrator.runs.login import logged_in
from orchestrator.runs.login_keys import LoginGiven, credential_binding
from orchestrator.runs.request import onboard
from orchestrator.ssh.keys import fingerprint, generate_key_pair
from tests.machines import SshdMachine, scripted_machine
from tests.runs.conftest import Marketplace, sql
from tests.runs.machines import GOOD

Change = Callable[[Marketplace, Instance, SshdMachine], Awaitable[None]]


async def entries(marketplace: Marketplace, instance_id: UUID, action: str) -> list[AuditEntry]:
    """What the log has of one action, oldest first."""
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        rows = (await audit.page(session, instance_id, 100, None)).rows
    return [row for row in reversed(rows) if row.action == action]


async def accept(marketplace: Marketplace, instance: Instance, host_key: str) -> None:
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        await host_keys.accept(session, instance.id, host_key)


async def log_in(marketplace: Marketplace, instance: Instance, times: int = 1) -> None:
    """So many logins one after another, each for a run of its own."""
    for _ in range(times):
        instance = await marketplace.instance(instance.id)
        async with logged_in(instance, marketplace.worker, uuid4()) as connection:
            assert not connection.lost


async def offer_a_key(marketplace: Marketplace, instance: Instance, machine: SshdMachine) -> None:
    line = generate_key_pair().public_key
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await host_keys.offer(session, instance, instance.host_key, line)


async def replace_the_key(
    marketplace: Marketplace, instance: Instance, machine: SshdMachine
) -> None:
    pair = generate_key_pair()
    machine.authorise(pair.public_key)
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        stored = await credentials.sealed(session, instance)
        assert stored is not None
        binding = credential_binding(stored.user_id, stored.id)
        sealed = vars(await marketplace.worker.vault.seal(pair.private_key, binding))
        columns = ", ".join(f"{name} = :{name}" for name in sealed)
        await sql(
            session, f"UPDATE gpu_credentials SET {columns} WHERE id = :id", id=stored.id, **sealed
        )


async def move(marketplace: Marketplace, instance: Instance, machine: SshdMachine) -> None:
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await sql(
            session,
            "UPDATE gpu_instances SET ssh_host = 'localhost' WHERE id = :id",
            id=instance.id,
        )


async def test_the_next_run_of_an_instance_goes_over_the_connection_of_the_last(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """The machine sees one login, its supplier's log has one for each run and says which were the same."""
    instance = await marketplace.onboard(bare_machine.target())
    async with marketplace.worker.warm:
        await log_in(marketplace, instance, times=3)
    logins = await entries(marketplace, instance.id, "instance.login")
    assert bare_machine.log.count("Accepted publickey") == 1
    assert [login.detail.get("reused", False) for login in logins] == [False, True, True]
    assert len({login.detail["run_id"] for login in logins}) == 3


@pytest.mark.parametrize("change", [offer_a_key, replace_the_key, move])
async def test_what_changes_between_two_runs_is_logged_in_to_anew(
    marketplace: Marketplace, bare_machine: SshdMachine, change: Change
) -> None:
    """Another key to log in with, another address, and a host key in doubt are never served by an old connection."""
    instance = await marketplace.onboard(bare_machine.target())
    async with marketplace.worker.warm:
        await log_in(marketplace, instance)
        await change(marketplace, await marketplace.instance(instance.id), bare_machine)
        await log_in(marketplace, instance)
    assert bare_machine.log.count("Accepted publickey") == 2


async def test_whole_runs_share_a_connection_until_it_is_gone(marketplace: Marketplace) -> None:
    """A run that has left its connection in order serves the next; one that the machine has ended costs no run."""
    async with scripted_machine(GOOD) as machine, marketplace.worker.warm:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        runs = [await marketplace.execute(instance) for _ in range(2)]
        assert machine.logins_begun == 1
        await machine.hang_up()
        runs.append(await marketplace.execute(instance))
        assert machine.logins_begun == 2
    assert [(run.state, run.retries) for run in runs] == [("passed", 0)] * 3


async def test_keys_that_a_machine_proves_leave_its_connection_as_it_is(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """What one login puts on record of the machine's keys does not cost the next run its connection."""
    instance = await marketplace.onboard(bare_machine.target())
    first = (bare_machine.folder / "host_key").read_bytes()
    bare_machine.show_host_keys(
        first, asyncssh.generate_private_key("ssh-rsa").export_private_key("openssh")
    )
    async with marketplace.worker.warm:
        instance = await marketplace.instance(instance.id)
        async with logged_in(instance, marketplace.worker, uuid4()) as connection:
            async with asyncio.timeout(20):
                while connection.announced is None:
                    await asyncio.sleep(0.005)
        assert (await marketplace.instance(instance.id)).host_keys_proved
        await log_in(marketplace, instance)
    assert bare_machine.log.count("Accepted publickey") == 1


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
