"""First contact with a machine."""

from __future__ import annotations

import pytest

from orchestrator.domain.errors import AddressForbidden, HostUnreachable
from orchestrator.ssh.addresses import AddressPolicy, Endpoint
from orchestrator.ssh.connection import Deadlines
from orchestrator.ssh.host_keys import first_contact
from tests.machines import LOOPBACK, RAW, SshdMachine, raw_machine, scripted_machine, sshd_machine


async def test_the_host_key_is_told_without_a_login(machine: SshdMachine) -> None:
    """The machine's key comes back as one OpenSSH line, and its sshd saw no user name."""
    assert await first_contact(machine.target().endpoint) == machine.host_key
    assert machine.await_log("[preauth]")
    assert "user" not in machine.log


async def test_no_authentication_is_begun() -> None:
    """First contact ends before the first authentication message."""
    async with scripted_machine() as machine:
        assert await first_contact(machine.target().endpoint) == machine.host_key
        assert machine.logins_begun == 0


@pytest.mark.parametrize("kind", ["ecdsa-sha2-nistp256", "ssh-rsa"])
async def test_other_kinds_of_host_key_are_told(kind: str) -> None:
    """A machine without an Ed25519 key shows the one it has."""
    with sshd_machine(host_key_type=kind) as machine:
        line = await first_contact(machine.target().endpoint)
        assert line == machine.host_key
        assert line.startswith(kind + " ")


@pytest.mark.parametrize("script", sorted(RAW))
async def test_what_does_not_speak_ssh_is_unreachable(script: str, brief: Deadlines) -> None:
    """Silence, a closed door, another protocol and endless chatter end alike and in time."""
    async with raw_machine(script) as machine:
        endpoint = Endpoint(machine.host, machine.port, LOOPBACK)
        with pytest.raises(HostUnreachable) as caught:
            await first_contact(endpoint, deadlines=brief, attempts=2)
        assert "internal-secret" not in str(caught.value)
        assert machine.connections == 2


async def test_the_address_is_judged_first(machine: SshdMachine) -> None:
    """First contact is no way around the address policy."""
    with pytest.raises(AddressForbidden):
        await first_contact(Endpoint(machine.host, machine.port, AddressPolicy()))
    assert "Connection from" not in machine.log
