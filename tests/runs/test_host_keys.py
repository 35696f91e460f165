"""Which machine an instance is: held to what was given, vouched for, rotated, moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh
import pytest

from orchestrator.database import host_authorities, host_keys, instances
from orchestrator.database.models import Instance
from orchestrator.database.session import SERVICE, supplier
from orchestrator.runs.login import logged_in
from orchestrator.ssh.keys import fingerprint, host_key_fingerprint, one_line
from tests.machines import SshdMachine
from tests.runs.conftest import Marketplace
from tests.runs.test_login import accept, entries

LET_IN = "python_missing"  # how a run ends that has logged in to a machine without one


async def change(marketplace: Marketplace, instance: Instance, **values: Any) -> None:
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        await instances.change(session, instance.id, values)


async def ends(marketplace: Marketplace, instance: Instance) -> str | None:
    return (await marketplace.execute(instance)).error_code


def private(kind: str = "ssh-ed25519") -> bytes:
    return asyncssh.generate_private_key(kind).export_private_key("openssh")


def line(private_key: bytes) -> str:
    return one_line(asyncssh.import_private_key(private_key))


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp384", "ssh-rsa"])
async def test_a_fingerprint_given_is_found_among_a_machines_keys(
    marketplace: Marketplace, bare_machine: SshdMachine, kind: str
) -> None:
    """Whichever of its keys the supplier has read, that one is pinned, as given and confirmed."""
    keys = {each: private(each) for each in ("ssh-ed25519", "ecdsa-sha2-nistp384", "ssh-rsa")}
    bare_machine.show_host_keys(*keys.values())
    given = host_key_fingerprint(f"host.example {line(keys[kind])}")
    instance = await marketplace.onboard(bare_machine.target(), host_key_given=given)
    assert await ends(marketplace, instance) == LET_IN
    known = await marketplace.instance(instance.id)
    assert (known.host_key, known.host_key_trust) == (line(keys[kind]), "given")
    assert known.host_key_confirmed_at is not None


async def test_a_machine_that_does_not_show_the_key_given_is_not_logged_in_to(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """Both fingerprints are told, the key is on offer, and no login is tried until its supplier takes it or mends theirs."""
    given = fingerprint(line(private()))
    instance = await marketplace.onboard(bare_machine.target(), host_key_given=given)
    run = await marketplace.execute(instance)
    shown = fingerprint(bare_machine.host_key)
    assert run.error_code == "host_key_changed"
    assert run.evidence == {"expected": given, "presented": shown}
    assert "user" not in bare_machine.log
    known = await marketplace.instance(instance.id)
    assert (known.host_key, known.host_key_offered_fingerprint) == (None, shown)

    await change(marketplace, instance, host_key_given=shown)
    assert await ends(marketplace, instance) == LET_IN
    known = await marketplace.instance(instance.id)
    assert (known.host_key_fingerprint, known.host_key_offered) == (shown, None)


async def test_a_key_of_first_contact_is_confirmed_by_its_fingerprint(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """It is on record as seen and unconfirmed until somebody names it, which the log tells; another one replaces it."""
    instance = await marketplace.onboard(bare_machine.target())
    await ends(marketplace, instance)
    known = await marketplace.instance(instance.id)
    assert (known.host_key_trust, known.host_key_confirmed_at) == ("first_contact", None)
    await accept(marketplace, instance, fingerprint(bare_machine.host_key))
    known = await marketplace.instance(instance.id)
    assert known.host_key_trust == "first_contact"
    assert known.host_key_confirmed_at is not None
    [told] = [
        entry
        for entry in await entries(marketplace, instance.id, "gpu_instances.update")
        if "host_key_confirmed_at" in entry.detail
    ]
    assert told.actor != "worker"

    before = bare_machine.host_key
    bare_machine.rotate_host_key()
    assert await ends(marketplace, instance) == "host_key_changed"
    await accept(marketplace, instance, fingerprint(bare_machine.host_key))
    told = (await entries(marketplace, instance.id, "gpu_instances.update"))[-1]
    assert told.detail["host_key_fingerprint"] == [
        fingerprint(before),
        fingerprint(bare_machine.host_key),
    ]
    assert told.actor != "worker"
    known = await marketplace.instance(instance.id)
    assert known.host_key_trust == "accepted"
    assert await ends(marketplace, instance) == LET_IN


async def test_a_key_that_the_old_one_proved_is_trusted(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """Run after run a machine goes from one key to the next, without a person, and the log tells each."""
    first, second, third = private(), private(), private()
    bare_machine.show_host_keys(first, second)
    instance = await marketplace.onboard(bare_machine.target())
    await ends(marketplace, instance)
    await accept(marketplace, instance, line(first))
    known = await marketplace.instance(instance.id)
    assert (known.host_key, known.host_keys_proved) == (line(first), [line(second)])

    bare_machine.show_host_keys(second, third)
    assert await ends(marketplace, instance) == LET_IN
    known = await marketplace.instance(instance.id)
    assert (known.host_key, known.host_keys_proved) == (line(second), [line(third)])
    assert known.host_key_trust == "rotated"
    assert known.host_key_confirmed_at is not None  # by whoever confirmed what proved it
    told = (await entries(marketplace, instance.id, "gpu_instances.update"))[-1]
    assert told.actor == "worker"
    assert told.detail["host_key"] == [line(first), line(second)]

    bare_machine.show_host_keys(first)  # it was dropped
    assert await ends(marketplace, instance) == "host_key_changed"
    bare_machine.show_host_keys(third)
    assert await ends(marketplace, instance) == LET_IN
    known = await marketplace.instance(instance.id)
    assert (known.host_key, known.host_keys_proved) == (line(third), None)


async def test_a_fleet_is_known_by_its_authority(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """A machine with a certificate of it may change its key at will; one that shows none is another."""
    authority = asyncssh.generate_private_key("ssh-ed25519")

    def certify(**said: Any) -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        now = datetime.now(UTC)
        said = {"principals": ["127.0.0.1"], "valid_before": now + timedelta(hours=1), **said}
        written = authority.generate_host_certificate(key, "a host", **said)
        bare_machine.show_host_keys(
            key.export_private_key("openssh"),
            certificate=written.export_certificate("openssh").decode(),
        )

    instance = await marketplace.onboard(bare_machine.target())
    await ends(marketplace, instance)  # pinned before anybody vouched for it
    certify()
    assert await ends(marketplace, instance) == "host_key_changed"
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        row = await host_authorities.add(session, "127.*", one_line(authority), "SHA256:a")
    for _ in range(2):
        certify()
        assert await ends(marketplace, instance) == LET_IN
        known = await marketplace.instance(instance.id)
        assert (known.host_key, known.host_key_trust) == (bare_machine.host_key, "authority")
        assert known.host_key_offered is None
    certify(principals=["other.example"])
    assert await ends(marketplace, instance) == "host_key_changed"
    bare_machine.rotate_host_key()
    assert await ends(marketplace, instance) == "host_key_changed"
    login = (await entries(marketplace, instance.id, "instance.login"))[-1]
    assert login.detail["authority"] == authority.get_fingerprint()

    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        await host_authorities.remove(session, row.id)
    certify()
    assert await ends(marketplace, instance) == "host_key_changed"  # pinned to its key of last


async def test_whoever_is_held_to_a_fingerprint_needs_no_authority(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """The fingerprint counts, whoever vouches for the machines around."""
    async with marketplace.databases.api.transaction(supplier(marketplace.user_id)) as session:
        await host_authorities.add(session, "*", line(private()), "SHA256:a")
    given = fingerprint(bare_machine.host_key)
    instance = await marketplace.onboard(bare_machine.target(), host_key_given=given)
    assert await ends(marketplace, instance) == LET_IN


async def test_a_key_seen_at_the_old_address_is_not_the_new_ones(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """What a worker brings home from a machine is nothing to the instance that was moved meanwhile."""
    before = await marketplace.onboard(bare_machine.target())
    await change(marketplace, before, ssh_host="127.0.0.2")
    run = await marketplace.request(before)
    with pytest.raises(Exception, match="moved meanwhile"):
        async with logged_in(before, marketplace.worker, run.id):
            raise AssertionError("it was logged in to")
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await host_keys.offer(session, before, None, line(private()))
        await host_keys.certify(session, before, line(private()))
    known = await marketplace.instance(before.id)
    assert (known.host_key, known.host_key_offered) == (None, None)
    assert "user" not in bare_machine.log


async def test_another_address_has_the_fingerprint_given_with_it(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """The old machine's does not count there, unless it is said again: then it is the same machine, moved."""
    given = fingerprint(bare_machine.host_key)
    instance = await marketplace.onboard(bare_machine.target(), host_key_given=given)
    await change(marketplace, instance, ssh_host="127.0.0.2")
    assert (await marketplace.instance(instance.id)).host_key_given is None
    await change(marketplace, instance, ssh_host="127.0.0.1", host_key_given=given)
    assert (await marketplace.instance(instance.id)).host_key_given == given
    await ends(marketplace, instance)
    await change(marketplace, instance, ssh_host="127.0.0.3", host_key_given=given)
    known = await marketplace.instance(instance.id)
    assert (known.host_key, known.host_key_given) == (None, given)
