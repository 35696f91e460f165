"""Host authorities: machines that are known by a certificate, whatever key they have today."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh
import pytest

from orchestrator.domain.errors import HostKeyChanged, InvalidInput
from orchestrator.ssh.connection import Target, connect
from orchestrator.ssh.host_authorities import HostAuthority, covers
from orchestrator.ssh.keys import one_line
from tests.machines import SshdMachine


@dataclass
class Fleet:
    """A machine whose host certificates are of one authority."""

    machine: SshdMachine
    authority: asyncssh.SSHKey

    def target(self, **changes: Any) -> Target:
        known = {"host_key": None, "authorities": (one_line(self.authority),)}
        return replace(self.machine.target(), **{**known, **changes})

    def certify(self, kind: str = "ssh-ed25519", **said: Any) -> None:
        """Another key and certificate from now on."""
        key = asyncssh.generate_private_key(kind)
        now = datetime.now(UTC)
        said = {"principals": ["127.0.0.1"], "valid_before": now + timedelta(hours=1), **said}
        signer = said.pop("signer", self.authority)
        certificate = signer.generate_host_certificate(key, "a host", **said)
        self.machine.show_host_keys(
            key.export_private_key("openssh"),
            certificate=certificate.export_certificate("openssh").decode(),
        )


@pytest.fixture
def fleet(machine: SshdMachine) -> Fleet:
    return Fleet(machine, asyncssh.generate_private_key("ssh-ed25519"))


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
async def test_a_machine_is_known_by_its_certificate(fleet: Fleet, kind: str) -> None:
    """Nothing is pinned, and a key of today is as good as that of yesterday; the connection tells both."""
    for _ in range(2):
        fleet.certify(kind)
        async with connect(fleet.target()) as connection:
            assert connection.host_key == fleet.machine.host_key
            assert connection.authority == fleet.authority.get_fingerprint()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"valid_before": datetime.now(UTC) - timedelta(minutes=1)}, "expired"),
        ({"valid_after": datetime.now(UTC) + timedelta(minutes=30)}, "not yet valid"),
        ({"principals": ["other.example"]}, "principal mismatch"),
        ({"principals": []}, "names no host"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_certificate_that_is_no_good_is_refused(
    fleet: Fleet, said: dict[str, Any], reason: str
) -> None:
    """Expired, of the future, for another machine or for none in particular: no login is tried, and no key is offered."""
    fleet.certify(**said)
    with pytest.raises(HostKeyChanged, match=reason) as caught:
        async with connect(fleet.target()):
            pass
    assert caught.value.presented is None
    assert fleet.machine.await_log("[preauth]")
    assert "user" not in fleet.machine.log


async def test_a_certificate_of_somebody_else_is_as_good_as_its_key(fleet: Fleet) -> None:
    """Unknown authorities vouch for nothing: their machine is another one, unless its very key is pinned."""
    fleet.certify(signer=asyncssh.generate_private_key("ssh-ed25519"))
    with pytest.raises(HostKeyChanged) as caught:
        async with connect(fleet.target()):
            pass
    assert caught.value.presented == fleet.machine.host_key
    async with connect(fleet.target(host_key=fleet.machine.host_key)) as connection:
        assert connection.authority is None


async def test_without_a_certificate_the_machine_is_another(fleet: Fleet) -> None:
    """Where certificates are expected, an impostor does not get by with a key alone."""
    with pytest.raises(HostKeyChanged) as caught:
        async with connect(fleet.target()):
            pass
    assert caught.value.presented == fleet.machine.host_key
    assert fleet.authority.get_fingerprint() in str(caught.value)


@pytest.mark.parametrize(
    ("hosts", "host", "port", "covered"),
    [
        ("*.fleet.example", "A.fleet.example", 22, True),
        ("*.fleet.example", "fleet.example", 22, False),
        ("*.fleet.example,!bad.*", "bad.fleet.example", 22, False),
        ("10.0.0.?", "10.0.0.7", 2222, True),
        ("[10.0.0.*]:2222", "10.0.0.7", 2222, True),
        ("[10.0.0.*]:2222", "10.0.0.7", 22, False),
        ("[10.0.0.*]:2222", "10.0.0.7", 2200, False),
        ("a" + "*a" * 120 + "b", "a" * 250, 22, False),
    ],
)
def test_patterns_are_those_of_known_hosts(hosts: str, host: str, port: int, covered: bool) -> None:
    """* and ? and !, names in any case, ports in brackets; and none takes long to compare."""
    assert covers(hosts.lower(), host, port) is covered


@pytest.mark.parametrize(
    "line",
    [
        "",
        "* {}",
        "@revoked * {}",
        "@cert-authority |1|a|b {}",
        "@cert-authority !a {}",
        "@cert-authority * ssh-ed25519 AAAA",
    ],
)
def test_other_lines_are_refused(line: str) -> None:
    """What is no authority, names no machine, or is no key is told apart at once."""
    key = one_line(asyncssh.generate_private_key("ssh-ed25519"))
    assert HostAuthority.of_line(f"@cert-authority  A.example,b?  {key} me").hosts == "a.example,b?"
    with pytest.raises(InvalidInput):
        HostAuthority.of_line(line.format(key))
