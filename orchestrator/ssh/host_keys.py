"""First contact: which host key does a machine show, before anything of ours is told to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import asyncssh

from orchestrator.domain.errors import HostKeyChanged, HostUnreachable
from orchestrator.ssh.addresses import UNREACHABLE, Endpoint, open_socket
from orchestrator.ssh.connection import (
    HOST_KEY_ALGORITHMS,
    KEY_EXCHANGES,
    PEER_FAULTS,
    Deadlines,
    quiet_options,
    reaching,
)
from orchestrator.ssh.keys import LONGEST_HOST_KEY, fingerprint, one_line
from orchestrator.ssh.meter import metered

# One algorithm for each kind of key; a machine shows one kind at a time.
_KINDS: Final = tuple(name for name in HOST_KEY_ALGORITHMS if name != "rsa-sha2-256")


async def first_contact(
    endpoint: Endpoint,
    *,
    expected: str | None = None,
    deadlines: Deadlines = Deadlines(),
    attempts: int = 3,
) -> str:
    """
    The host key of `endpoint` as one OpenSSH line ("ssh-ed25519 AAAA..."), Ed25519 if it has one, or the one whose
    fingerprint is `expected`. Ends after the key exchange: no user name and no authentication is sent.

    Raises `AddressForbidden`, `HostUnreachable`, and `HostKeyChanged` where none of its keys is the expected one.
    """
    shown: str = await reaching(attempts)(_exchange_keys, endpoint, HOST_KEY_ALGORITHMS, deadlines)
    if expected is None or fingerprint(shown) == expected:
        return shown
    found = await _key_with(expected, shown.split()[0], endpoint, deadlines)
    if found is not None:
        return found
    evidence = {"expected": expected, "presented": fingerprint(shown)}
    changed = HostKeyChanged(
        f"Given was {expected}, the machine shows {evidence['presented']}.", evidence=evidence
    )
    changed.presented = shown
    raise changed


async def _key_with(
    expected: str, but: str, endpoint: Endpoint, deadlines: Deadlines
) -> str | None:
    """A fingerprint does not tell its key's kind, so a machine is asked for each of them `but` one, within one login's time."""
    try:
        async with asyncio.timeout(deadlines.connect + deadlines.login):
            for kind in _KINDS:
                if kind == but or (kind.startswith("rsa") and but == "ssh-rsa"):
                    continue
                with suppress(HostUnreachable):  # it has none of that kind
                    shown = await _exchange_keys(endpoint, (kind,), deadlines)
                    if fingerprint(shown) == expected:
                        return shown
    except TimeoutError:
        pass
    return None


async def _exchange_keys(
    endpoint: Endpoint, algorithms: Sequence[str], deadlines: Deadlines
) -> str:
    options = asyncssh.SSHClientConnectionOptions(**quiet_options(deadlines), client_keys=None)
    opened = await open_socket(
        endpoint.host, endpoint.port, endpoint.policy, timeout=deadlines.connect
    )
    try:
        async with asyncio.timeout(deadlines.login):
            # config again: its default here would load ~/.ssh/config over the options' own.
            key = await asyncssh.get_server_host_key(
                tunnel=metered(opened),
                config=None,
                options=options,
                proxy_command=None,
                kex_algs=list(KEY_EXCHANGES),
                server_host_key_algs=list(algorithms),
            )
    except (*PEER_FAULTS, ValueError) as error:
        raise HostUnreachable(UNREACHABLE) from error
    finally:
        opened.close()
    line = one_line(key) if key is not None else ""
    if not 0 < len(line) <= LONGEST_HOST_KEY:
        raise HostUnreachable(UNREACHABLE)
    return line
