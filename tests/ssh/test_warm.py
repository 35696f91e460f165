"""Connections that are kept for a next run: for the same login only, sound, for a while, and not too many."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from orchestrator.domain.errors import HarborxError
from orchestrator.ssh.addresses import AddressPolicy
from orchestrator.ssh.connection import Connection, Deadlines, Target, log_in
from orchestrator.ssh.keys import generate_key_pair
from orchestrator.ssh.session import open_session
from orchestrator.ssh.warm import WarmConnections
from tests.machines import SshdMachine

OTHER = generate_key_pair()
# What a target can differ in.
CHANGES = {
    "host": {"host": "localhost"},
    "port": {"port": 2222},
    "user": {"user": "another"},
    "key": {"private_key": OTHER.private_key},
    "certificate": {"certificate": "ssh-ed25519-cert-v01@openssh.com AAAA"},
    "host_key": {"host_key": OTHER.public_key},
    "proved": {"proved": (OTHER.public_key,)},
    "authorities": {"authorities": (OTHER.public_key,)},
    "policy": {"policy": AddressPolicy()},
}


async def said(connection: Connection, command: str) -> bytes:
    async with open_session(connection, command, deadlines=Deadlines()) as session:
        return await session.read()


async def ended(connection: Connection) -> None:
    async with asyncio.timeout(20):
        await connection.ssh.wait_closed()


async def quiet(connection: Connection) -> None:
    """Until the machine has closed what was open on it; it tells nobody but asyncssh."""
    async with asyncio.timeout(20):
        while not connection.quiet:
            await asyncio.sleep(0.005)


async def test_a_kept_connection_serves_the_same_login_once(machine: SshdMachine) -> None:
    """Who takes it has it alone, and it is as good as new."""
    instance, target = uuid4(), machine.target()
    async with WarmConnections(60, 8) as warm:
        connection = await log_in(target)
        assert await said(connection, "echo one") == b"one\n"
        assert warm.keep(instance, target, connection)
        await quiet(connection)
        assert warm.take(uuid4(), target) is None
        assert warm.take(instance, machine.target()) is connection
        assert warm.take(instance, target) is None
        assert await said(connection, "echo two") == b"two\n"
        assert warm.keep(instance, target, connection)
    await ended(connection)  # nothing outlives its keeper
    assert not warm.keep(instance, target, connection)
    assert machine.log.count("Accepted publickey") == 1


def test_every_fact_of_a_target_is_among_the_changes() -> None:
    """A fact that is added to how we log in has to be compared, too."""
    facts = set(Target.__dataclass_fields__)
    assert facts == {"private_key" if name == "key" else name for name in CHANGES}


@pytest.mark.parametrize("change", CHANGES)
async def test_another_login_is_never_served(machine: SshdMachine, change: str) -> None:
    """Whatever is different in how we would log in now, the old connection is closed."""
    instance, target = uuid4(), machine.target()
    async with WarmConnections(60, 8) as warm:
        connection = await log_in(target)
        assert warm.keep(instance, target, connection)
        assert warm.take(instance, replace(target, **CHANGES[change])) is None
        await ended(connection)


async def test_a_login_with_a_certificate_is_not_kept(machine: SshdMachine) -> None:
    """Each of them has a key of its own, which is good for one run."""
    target = machine.target()
    async with WarmConnections(60, 8) as warm:
        connection = await log_in(target)
        assert not warm.keep(uuid4(), replace(target, certificate="any"), connection)
        await connection.close(2)


async def test_what_is_still_open_is_not_served(machine: SshdMachine) -> None:
    """A session that the machine has not ended yet ends with its connection."""
    instance, target = uuid4(), machine.target()
    async with WarmConnections(60, 8) as warm:
        connection = await log_in(target)
        async with open_session(connection, "sleep 60", deadlines=Deadlines()):
            assert warm.keep(instance, target, connection)
            assert warm.take(instance, target) is None
            await ended(connection)


async def test_a_connection_with_a_fault_is_not_kept(machine: SshdMachine) -> None:
    """What went wrong in one run is not met by the next."""
    target = machine.target()
    async with WarmConnections(60, 8) as warm:
        connection = await log_in(target)
        with pytest.raises(HarborxError):
            async with open_session(connection, "sleep 60", deadlines=Deadlines()) as session:
                await session.answer("none", seconds=0.01)
        assert not warm.keep(uuid4(), target, connection)
        await connection.close(2)


async def test_a_lost_connection_is_not_served(machine: SshdMachine) -> None:
    """A machine that has gone meanwhile is logged in to again."""
    instance, target = uuid4(), machine.target()
    async with WarmConnections(60, 8) as warm:
        connection = await log_in(target)
        assert warm.keep(instance, target, connection)
        with pytest.raises(HarborxError):
            await said(connection, "kill -9 $PPID; sleep 60")
        await ended(connection)
        assert warm.take(instance, target) is None


async def test_the_oldest_goes_first_and_each_after_its_time(machine: SshdMachine) -> None:
    """There are never more than the bound, and none stays longer than it is kept for."""
    target = machine.target()
    async with WarmConnections(60, 2) as warm:
        kept = [(uuid4(), await log_in(target)) for _ in range(3)]
        for instance, connection in kept:
            assert warm.keep(instance, target, connection)
        (_, first), (second_id, second), (third_id, third) = kept
        await ended(first)
        assert warm.take(second_id, target) is second
        assert warm.take(third_id, target) is third
    async with WarmConnections(0.01, 2) as brief:
        assert brief.keep(second_id, target, second)
        await ended(second)
        assert brief.take(second_id, target) is None
    async with WarmConnections(0, 2) as off:
        assert not off.keep(third_id, target, third)
        await third.close(2)
