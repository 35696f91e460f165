"""Short-lived logins: what a machine lets in that trusts our user CA, and what it does not."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID, uuid4

import asyncssh
import pytest

from orchestrator.domain.errors import ConfigError, LoginRefused
from orchestrator.ssh.connection import Target, connect
from orchestrator.ssh.user_ca import LIFETIME, UserCa
from tests.machines import SshdMachine, sshd_machine

SUPPLIER = uuid4()


@pytest.fixture
def ca(tmp_path: Path) -> UserCa:
    return _ca(tmp_path / "ca.key", bytes(range(32)))


@pytest.fixture
def trusting(ca: UserCa) -> Iterator[SshdMachine]:
    """A machine whose supplier put our line into authorized_keys, and nothing else."""
    with sshd_machine() as machine:
        (machine.folder / "authorized_keys").write_text(ca.trusted.authorized_line(SUPPLIER) + "\n")
        yield machine


def _ca(path: Path, seed: bytes) -> UserCa:
    path.write_text(base64.b64encode(seed).decode())
    path.chmod(0o600)
    return UserCa.from_file(path)


def _target(machine: SshdMachine, ca: UserCa, user_id: UUID, now: datetime) -> Target:
    certified = ca.certify(user_id, "run 7", now)
    return replace(
        machine.target(), private_key=certified.private_key, certificate=certified.certificate
    )


async def test_a_machine_that_trusts_the_ca_lets_a_certificate_in(
    trusting: SshdMachine, ca: UserCa
) -> None:
    """One line on the machine is enough for a key pair it never saw, which runs commands and gets no terminal."""
    async with connect(_target(trusting, ca, SUPPLIER, datetime.now(UTC))) as connection:
        done = await connection.ssh.run("echo here", check=True)
        assert done.stdout == b"here\n"
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.ssh.create_process("tty", term_type="xterm", request_pty="force")
    assert 'ID "run 7"' in trusting.log or "ID run 7" in trusting.log


@pytest.mark.parametrize(
    ("user_id", "late"),
    [
        (uuid4(), timedelta(0)),
        (SUPPLIER, LIFETIME + timedelta(minutes=1)),
        (SUPPLIER, -timedelta(hours=1)),
    ],
    ids=["another supplier", "expired", "not yet valid"],
)
async def test_a_certificate_is_good_for_one_supplier_and_for_minutes(
    trusting: SshdMachine, ca: UserCa, user_id: UUID, late: timedelta
) -> None:
    """Another supplier's certificate, an old one and one of the future are refused by the machine itself."""
    with pytest.raises(LoginRefused):
        async with connect(_target(trusting, ca, user_id, datetime.now(UTC) - late)):
            pass


async def test_a_certificate_is_good_for_ten_minutes_at_most(ca: UserCa) -> None:
    """From its first second to its last, a clock that is wrong included; and it allows nothing but commands."""
    written = asyncssh.import_certificate(
        ca.certify(SUPPLIER, "run 7", datetime.now(UTC)).certificate or ""
    )
    assert written._valid_before - written._valid_after <= 600  # type: ignore[attr-defined]
    assert written.options == {}
    assert written.principals == [f"harborx-{SUPPLIER}"]


@pytest.mark.parametrize(("source", "let_in"), [("127.0.0.0/8", True), ("192.0.2.0/24", False)])
async def test_a_certificate_is_good_from_our_addresses_only(
    trusting: SshdMachine, ca: UserCa, source: str, let_in: bool
) -> None:
    """A machine refuses it from anywhere else, so that a login that got away opens nothing."""
    bound = replace(ca, sources=(ip_network(source),))
    target = _target(trusting, bound, SUPPLIER, datetime.now(UTC))
    if let_in:
        async with connect(target) as connection:
            assert not connection.lost
        return
    with pytest.raises(LoginRefused):
        async with connect(target):
            pass
    assert trusting.await_log("not from a permitted source address")


async def test_a_certificate_forwards_nothing(trusting: SshdMachine, ca: UserCa) -> None:
    """Whoever holds it reaches no network behind the machine, and has the machine listen for nobody."""
    async with connect(_target(trusting, ca, SUPPLIER, datetime.now(UTC))) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.ssh.open_connection("127.0.0.1", trusting.port)
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.ssh.start_server(lambda *_: True, "127.0.0.1", 0)


async def test_another_ca_is_refused(trusting: SshdMachine, tmp_path: Path) -> None:
    """What matters is the signature: the same names under another CA's key open nothing."""
    other = _ca(tmp_path / "other.key", bytes(32))
    with pytest.raises(LoginRefused):
        async with connect(_target(trusting, other, SUPPLIER, datetime.now(UTC))):
            pass


@pytest.mark.parametrize(
    ("text", "mode"),
    [("bm90IGVub3VnaA==", 0o600), ("?", 0o600), (base64.b64encode(bytes(32)).decode(), 0o644)],
)
def test_a_key_that_is_none_or_is_open_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    """No CA starts from a file that is cut, no base64, or readable by others."""
    path = tmp_path / "ca.key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError):
        UserCa.from_file(path)
