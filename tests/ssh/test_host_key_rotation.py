"""Other host keys: those that a machine proves with the one on record, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import asyncssh
import pytest
from asyncssh.packet import Boolean, String

from orchestrator.domain.errors import HostKeyChanged
from orchestrator.ssh.connection import Connection, Target, connect
from orchestrator.ssh.host_key_witness import Announced
from orchestrator.ssh.keys import generate_key_pair, one_line
from tests.machines import LOOPBACK, SshdMachine

_GLOBAL: Final = 80
Sends = Callable[[asyncssh.SSHServerConnection], None]


def _private(kind: str = "ssh-ed25519") -> bytes:
    return asyncssh.generate_private_key(kind).export_private_key("openssh")


def _line(private_key: bytes) -> str:
    return one_line(asyncssh.import_private_key(private_key))


async def _announced(connection: Connection) -> Announced:
    """What the machine has said once its keys were judged."""
    async with asyncio.timeout(10):
        with suppress(asyncssh.ChannelOpenError):  # answered after the announcement
            await connection.ssh.create_session(asyncssh.SSHClientSession, "true")
        assert connection.witness._proving is not None
        await connection.witness._proving
    assert connection.announced is not None
    return connection.announced


async def test_a_key_is_taken_over_once_the_old_one_has_proved_it(machine: SshdMachine) -> None:
    """A real sshd is given a second key, then loses the first: by what it announced we still know it."""
    old, new = _private(), _private()
    machine.show_host_keys(old, new, _private("ssh-rsa"))
    async with connect(machine.target(host_key=_line(old))) as connection:
        announced = await _announced(connection)
    trusted = announced.trusted_after((_line(old),), connection.host_key)
    assert trusted[0] == _line(old)
    assert _line(new) in trusted
    assert len(trusted) == 3

    machine.show_host_keys(new)
    known = replace(machine.target(host_key=trusted[0]), proved=trusted[1:])
    async with connect(known) as connection:
        assert connection.host_key == _line(new)
        announced = await _announced(connection)
    assert announced.trusted_after(trusted, connection.host_key) == (_line(new),)

    machine.show_host_keys(old)
    with pytest.raises(
        HostKeyChanged
    ):  # it is forgotten, so nobody who finds it passes for the machine
        async with connect(machine.target(host_key=_line(new))):
            pass


def test_an_announcement_without_the_key_that_was_shown_changes_nothing() -> None:
    """Nor does any take the place of the key on record while the machine has that; eight others are kept."""
    others = tuple(f"k{n}" for n in range(20))
    assert Announced((), ("x",)).trusted_after(("a", "b"), "a") == ("a", "b")
    assert Announced(("a",), ()).trusted_after(("a", "b"), "a") == ("a",)
    assert Announced(("a",), others).trusted_after(("a",), "a") == ("a", *others[:8])
    assert Announced(("b",), ("x",)).trusted_after(("a", "b"), "b") == ("b", "x")


class _Forged(asyncssh.SSHServer):
    """Announces with `sends` once somebody is in."""

    def __init__(self, sends: Sends) -> None:
        self._sends = sends
        self._conn: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return True

    def auth_completed(self) -> None:
        assert self._conn is not None
        self._sends(self._conn)


@asynccontextmanager
async def _announcing(sends: Sends) -> AsyncIterator[Target]:
    """A server with a key on record that sends what it likes."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        config=None,
        server_factory=lambda: _Forged(sends),
        server_host_keys=[key],
        gss_host=None,
    )
    mine = generate_key_pair().private_key
    yield Target("127.0.0.1", server.get_port(), "tester", mine, one_line(key), LOOPBACK)
    server.close()


def _announcement(*keys: bytes) -> Sends:
    def send(conn: Any) -> None:
        told = b"".join(String(key) for key in keys)
        conn.send_packet(_GLOBAL, String(b"hostkeys-00@openssh.com"), Boolean(False), told)

    return send


class _SignedByAnother:
    """A key that is announced without its private half."""

    def __init__(self, public: bytes) -> None:
        self.public_data = public

    def sign(self, data: bytes) -> bytes:
        signature: bytes = asyncssh.generate_private_key("ssh-ed25519").sign(data, b"ssh-ed25519")
        return signature


async def test_a_key_that_is_not_proved_is_not_taken() -> None:
    """A signature of another key, and a refusal to sign, leave the key on record alone trusted."""
    victim = asyncssh.generate_private_key("ssh-ed25519").public_data

    def forged(conn: Any) -> None:
        conn._all_server_host_keys = {victim: _SignedByAnother(victim)}
        _announcement(own, victim)(conn)

    def refused(conn: Any) -> None:
        conn._all_server_host_keys = {}
        _announcement(own, victim)(conn)

    for sends in (forged, refused):
        async with _announcing(sends) as target:
            own = asyncssh.import_public_key(target.host_key or "").public_data
            async with connect(target) as connection:
                announced = await _announced(connection)
            assert announced == Announced((target.host_key or "",), ())


async def test_what_is_announced_is_bounded_and_holds_nothing_up() -> None:
    """A thousand keys are not looked at, nor a second announcement; and whoever never proves keeps no request waiting."""
    many = [asyncssh.generate_private_key("ssh-ed25519").public_data for _ in range(200)]

    def endless(conn: Any) -> None:
        _announcement(*many)(conn)
        _announcement(own)(conn)

    def never(conn: Any) -> None:
        conn._process_hostkeys_prove_00_at_openssh_dot_com_global_request = lambda packet: None
        _announcement(own, many[0])(conn)

    for sends in (endless, never):
        async with _announcing(sends) as target:
            own = asyncssh.import_public_key(target.host_key or "").public_data
            async with connect(target) as connection:
                assert not connection.ssh._global_request_queue
                with pytest.raises(asyncssh.ChannelOpenError):
                    await connection.ssh.create_process("true")  # answered after the announcement
                assert connection.announced is None
                assert not connection.ssh._global_request_queue
