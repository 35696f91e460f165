"""Logging in: to whom, with what, and what never happens."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import MSG_SERVICE_ACCEPT

from orchestrator.domain.errors import (
    AddressForbidden,
    CredentialUnusable,
    HostKeyChanged,
    HostUnreachable,
    LoginRefused,
)
from orchestrator.ssh import quick_login
from orchestrator.ssh.addresses import AddressPolicy
from orchestrator.ssh.connection import Deadlines, connect
from orchestrator.ssh.host_keys import first_contact
from orchestrator.ssh.keys import fingerprint, generate_key_pair, import_private_key
from tests.machines import SshdMachine, raw_machine, scripted, scripted_machine, sshd_machine


async def test_a_generated_key_logs_in(machine: SshdMachine) -> None:
    """A pair that we made opens a machine that has its public line."""
    async with connect(machine.target()) as connection:
        assert not connection.lost
    assert connection.lost
    assert f"Accepted publickey for {machine.user}" in machine.log


async def test_an_rsa_pem_with_passphrase_logs_in(machine: SshdMachine) -> None:
    """An old-style RSA key, decrypted once at import, opens a machine by an RSA-SHA2 signature."""
    key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    text = key.export_private_key("pkcs1-pem", passphrase="secret", cipher_name="aes256-cbc")
    pair = import_private_key(text.decode(), "secret")
    machine.authorise(pair.public_key)
    async with connect(machine.target(key=pair)):
        pass
    assert f"RSA {pair.fingerprint}" in machine.log


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp384", "ssh-rsa"])
async def test_every_kind_of_host_key_can_be_pinned(kind: str) -> None:
    """The key exchange asks for the pinned key's own type."""
    with sshd_machine(host_key_type=kind) as machine:
        async with connect(machine.target()) as connection:
            assert not connection.lost


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
async def test_a_changed_host_key_stops_before_any_login(machine: SshdMachine, kind: str) -> None:
    """A reinstalled machine is told apart with both fingerprints, and its sshd saw no user name."""
    target = machine.target()
    presented = fingerprint(machine.rotate_host_key(kind))
    assert target.host_key is not None
    expected = fingerprint(target.host_key)
    with pytest.raises(HostKeyChanged) as caught:
        async with connect(target):
            pass
    assert caught.value.evidence == {"expected": expected, "presented": presented}
    assert expected in caught.value.detail
    assert presented in caught.value.detail
    assert machine.await_log("[preauth]")
    assert "user" not in machine.log
    assert machine.log.count("Connection from") == 1


@pytest.mark.parametrize("trivial", [False, True])
async def test_an_impostor_receives_no_authentication(trivial: bool) -> None:
    """A server with another key, even one that lets in anybody, is not asked to log us in."""
    honest = generate_key_pair().public_key
    async with scripted_machine(trivial=trivial) as impostor:
        with pytest.raises(HostKeyChanged):
            async with connect(impostor.target(host_key=honest)):
                pass
        assert impostor.logins_begun == 0
        assert len(impostor.connections) == 1


async def test_the_count_of_logins_can_tell(brief: Deadlines) -> None:
    """The witness of the test above counts: the right key does begin a login there."""
    async with scripted_machine() as machine, connect(machine.target(), deadlines=brief):
        assert machine.logins_begun == 1


async def test_without_a_known_key_there_is_no_login(machine: SshdMachine) -> None:
    """A target without a host key on record does not even reach the network."""
    with pytest.raises(ValueError, match="first_contact"):
        async with connect(machine.target(host_key=None)):
            pass
    assert "Connection from" not in machine.log


async def test_a_refused_key_is_a_refused_login(machine: SshdMachine) -> None:
    """A key that the machine does not know is named as such and tried once."""
    with pytest.raises(LoginRefused, match=machine.user):
        async with connect(machine.target(key=generate_key_pair())):
            pass
    assert machine.log.count("Connection from") == 1


async def test_a_server_that_lets_in_anybody_is_refused() -> None:
    """Where it is asked for, a login that proved nothing about our key is not accepted."""
    async with scripted_machine(trivial=True) as machine:
        with pytest.raises(LoginRefused):
            async with connect(machine.target(), probing=True):
                pass


@pytest.mark.parametrize("probing", [True, False])
async def test_a_login_is_one_request(machine: SshdMachine, probing: bool) -> None:
    """We sign at once: no try without a key, no question whether it would do; but where the machine is probed."""
    async with connect(machine.target(), probing=probing):
        pass
    assert machine.log.count("Postponed publickey") == probing
    assert machine.log.count("Accepted publickey") == 1


async def test_the_signed_request_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes out with the request for the service: a server that grants that only then lets us in."""
    held: list[Callable[[], None]] = []
    send = asyncssh.SSHServerConnection.send_packet
    begin = scripted._Door.begin_auth

    def send_packet(
        self: asyncssh.SSHServerConnection, kind: int, *data: bytes, **more: Any
    ) -> None:
        if kind == MSG_SERVICE_ACCEPT:
            held.append(lambda: send(self, kind, *data, **more))
        else:
            send(self, kind, *data, **more)

    def begin_auth(self: scripted._Door, username: str) -> bool:
        held.pop()()
        return begin(self, username)

    monkeypatch.setattr(asyncssh.SSHServerConnection, "send_packet", send_packet)
    monkeypatch.setattr(scripted._Door, "begin_auth", begin_auth)
    async with scripted_machine() as machine, connect(machine.target()) as connection:
        assert not connection.lost
        assert not held


async def test_an_rsa_key_signs_as_the_server_asks(machine: SshdMachine) -> None:
    """How is told after the key exchange, and still one request logs in."""
    pair = import_private_key(
        asyncssh.generate_private_key("ssh-rsa").export_private_key("openssh").decode()
    )
    machine.authorise(pair.public_key)
    async with connect(machine.target(key=pair)):
        pass
    assert machine.log.count("Accepted publickey") == 1
    assert "Postponed" not in machine.log
    assert "Failed" not in machine.log


async def test_a_key_that_is_not_enough_is_a_refused_login(machine: SshdMachine) -> None:
    """A machine that takes our key and wants more beside it has refused us."""
    with (machine.folder / "sshd_config").open("a") as config:
        config.write("AuthenticationMethods publickey,publickey\n")
    machine.show_host_keys((machine.folder / "host_key").read_bytes())
    with pytest.raises(LoginRefused):
        async with connect(machine.target()):
            pass


async def test_an_asyncssh_of_another_shape_logs_in_its_own_way(
    machine: SshdMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we need to know of asyncssh is looked for; where it is missing the login takes longer and works."""
    monkeypatch.setattr(quick_login, "_PROBE", [b"another"])
    async with connect(machine.target()):
        pass
    assert machine.log.count("Postponed publickey") == 1


@pytest.mark.parametrize("user", ["a\0b", "\ue000", "nobody-here"])
async def test_a_strange_user_is_a_refused_login(machine: SshdMachine, user: str) -> None:
    """A user name that SSH can't carry or the machine does not know is a login problem."""
    with pytest.raises(LoginRefused):
        async with connect(replace(machine.target(), user=user)):
            pass


async def test_a_stored_key_that_is_none_is_named(machine: SshdMachine) -> None:
    """A private key that can't be read stops before the network and is not echoed."""
    with pytest.raises(CredentialUnusable) as caught:
        async with connect(replace(machine.target(), private_key="hunter2")):
            pass
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "Connection from" not in machine.log


async def test_the_address_is_judged_on_every_connection(machine: SshdMachine) -> None:
    """A target whose address is out of bounds is not connected to."""
    with pytest.raises(AddressForbidden):
        async with connect(replace(machine.target(), policy=AddressPolicy())):
            pass
    assert "Connection from" not in machine.log


@pytest.mark.parametrize("script", ["no_banner", "hang_up", "not_ssh", "endless_banner"])
async def test_reaching_is_tried_again_and_bounded(script: str, brief: Deadlines) -> None:
    """A machine that does not answer is tried as often as asked, then unreachable."""
    key = generate_key_pair()
    async with scripted_machine() as speaking, raw_machine(script) as machine:
        target = replace(speaking.target(), port=machine.port, private_key=key.private_key)
        with pytest.raises(HostUnreachable):
            async with connect(target, deadlines=brief, attempts=3):
                pass
        assert machine.connections == 3


async def test_nothing_of_our_own_ssh_set_up_is_used(
    machine: SshdMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """~/.ssh/config, ~/.ssh keys and the SSH agent of whoever runs the orchestrator stay out."""
    own = generate_key_pair()
    machine.authorise(own.public_key)
    folder = tmp_path / ".ssh"
    folder.mkdir()
    touched = tmp_path / "touched"
    (folder / "config").write_text(
        f'Match exec "touch {touched}"\n  User nobody\n'
        f"Host *\n  ProxyCommand touch {touched}\n  IdentityFile {folder}/id_ed25519\n"
        f"  User somebody\n  UserKnownHostsFile {touched}\n"
    )
    (folder / "id_ed25519").write_text(own.private_key)
    (folder / "known_hosts").write_text("not a line of known hosts\n")
    with closing(socket.socket(socket.AF_UNIX)) as ssh_agent:
        ssh_agent.bind(str(tmp_path / "agent"))
        ssh_agent.listen()
        ssh_agent.setblocking(False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        assert os.environ["HOME"] == str(tmp_path)
        assert await first_contact(machine.target().endpoint) == machine.host_key
        async with connect(machine.target()):
            pass
        with pytest.raises(LoginRefused):
            async with connect(machine.target(key=generate_key_pair())):
                pass
        with pytest.raises(BlockingIOError):
            ssh_agent.accept()
    assert not touched.exists()
    assert own.fingerprint not in machine.log


async def test_secrets_stay_out_of_repr(machine: SshdMachine) -> None:
    """A target may be logged: its private key is not in its repr."""
    assert "PRIVATE" not in repr(machine.target())


@pytest.mark.parametrize("fault", [TypeError, IndexError, AttributeError])
async def test_what_the_library_stumbles_over_is_the_peers_doing(
    machine: SshdMachine, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    """A reset in the middle of the handshake may end it with any error of asyncssh: the machine did not answer."""

    async def stumble(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(asyncssh, "connect", stumble)
    monkeypatch.setattr(asyncssh, "get_server_host_key", stumble)
    with pytest.raises(HostUnreachable):
        async with connect(machine.target(), attempts=1):
            pass
    with pytest.raises(HostUnreachable):
        await first_contact(machine.target().endpoint, attempts=1)
