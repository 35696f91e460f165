"""No impostor hears a byte of a login; and the count of bytes can tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from asyncssh.public_key import SSHOpenSSHCertificate

from bench.attacks.ground import Ground
from bench.attacks.impostors.attack import VARIANTS, play
from orchestrator.domain.errors import HostKeyChanged
from orchestrator.runs import login
from orchestrator.ssh import connection, host_key_witness
from orchestrator.ssh.connection import Connection, Target


async def test_impostors_hear_nothing_of_a_login(ground: Ground) -> None:
    """Whatever they show, with a key, a certificate or a proof, they are refused; the machine itself is not."""
    played = await play(ground, 2 * len(VARIANTS), seed=6)
    assert played.sentences == ()
    assert played.held, played
    assert played.attempted >= 2 * len(VARIANTS)
    assert played.figures["variants"] == len(VARIANTS)
    assert played.figures["honest_logins"] > 0
    assert played.figures["refusals"].keys() == {"host_key_changed", "host_unreachable"}


async def _counted(ground: Ground, name: str) -> int:
    played = await play(ground, 1, seed=6, names=(name,))
    assert not played.held
    assert played.sentences
    return played.must_be_zero["auth_bytes"]


@pytest.mark.parametrize("name", ["another_key", "lets_in_anybody", "between_attempts"])
async def test_without_known_hosts_it_counts(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where whoever answers is taken for the machine, the bytes are seen."""
    original = connection._login_options

    def login_options(*arguments: Any) -> dict[str, Any]:
        return {**original(*arguments), "known_hosts": None}

    monkeypatch.setattr(connection, "_login_options", login_options)
    assert await _counted(ground, name) > 0


async def test_a_change_that_is_taken_blindly_counts(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a changed key is met as if it were a first contact, the bytes are seen."""
    original = login.log_in

    async def log_in(target: Target, **limits: Any) -> Connection:
        try:
            return await original(target, **limits)
        except HostKeyChanged as changed:
            return await original(replace(target, host_key=changed.presented), **limits)

    monkeypatch.setattr(login, "log_in", log_in)
    assert await _counted(ground, "after_first_contact") > 0


async def test_a_fingerprint_that_is_not_compared_counts(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first contact takes any key, though one was given, the bytes are seen."""
    original = login.first_contact

    async def first_contact(*arguments: Any, expected: str | None, **limits: Any) -> str:
        return await original(*arguments, **limits)

    monkeypatch.setattr(login, "first_contact", first_contact)
    assert await _counted(ground, "not_the_key_given") > 0


@pytest.mark.parametrize(
    "name", ["expired_certificate", "certificate_of_another_host", "certificate_of_a_user"]
)
async def test_a_certificate_that_is_not_read_counts(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where an authority's signature alone is enough, the bytes are seen."""
    monkeypatch.setattr(SSHOpenSSHCertificate, "validate", lambda *_: None)
    assert await _counted(ground, name) > 0


async def test_a_certificate_for_nobody_counts(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one without a name is good for every machine, as to asyncssh, the bytes are seen."""
    monkeypatch.setattr(
        host_key_witness.HostKeyWitness, "_judge", lambda _, data, judge: judge(data)
    )
    assert await _counted(ground, "certificate_of_no_host") > 0


async def test_a_proof_that_is_not_verified_counts(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an announced key is trusted as it is, whoever has it hears of the next login."""

    async def proved(_: Any, others: Any) -> list[Any]:
        return [key for key, _ in others]

    monkeypatch.setattr(host_key_witness, "_proved", proved)
    assert await _counted(ground, "forged_proof") > 0
