"""First contact: which host key does a machine show, before anything of ours is told to it."""

from __future__ import annotations

import asyncio

import asyncssh

from orchestrator.domain.errors import HostUnreachable
from orchestrator.ssh.addresses import UNREACHABLE, Endpoint, open_socket
from orchestrator.ssh.connection import (
    HOST_KEY_ALGORITHMS,
    PEER_FAULTS,
    Deadlines,
    quiet_options,
    reaching,
)
from orchestrator.ssh.keys import LONGEST_HOST_KEY, one_line


async def first_contact(
    endpoint: Endpoint, *, deadlines: Deadlines = Deadlines(), attempts: int = 3
) -> str:
    """
    The host key of `endpoint` as one OpenSSH line ("ssh-ed25519 AAAA..."), Ed25519 if it has one.
    Ends after the key exchange: no user name and no authentication is sent.

    Raises `AddressForbidden` or `HostUnreachable`.
    """
    return await reaching(attempts)(_exchange_keys, endpoint, deadlines)


async def _exchange_keys(endpoint: Endpoint, deadlines: Deadlines) -> str:
    options = asyncssh.SSHClientConnectionOptions(**quiet_options(deadlines), client_keys=None)
    opened = await open_socket(
        endpoint.host, endpoint.port, endpoint.policy, timeout=deadlines.connect
    )
    try:
        async with asyncio.timeout(deadlines.login):
            # config again: its default here would load ~/.ssh/config over the options' own.
            key = await asyncssh.get_server_host_key(
                sock=opened,
                config=None,
                options=options,
                proxy_command=None,
                server_host_key_algs=list(HOST_KEY_ALGORITHMS),
            )
    except (*PEER_FAULTS, ValueError) as error:
        raise HostUnreachable(UNREACHABLE) from error
    finally:
        opened.close()
    line = one_line(key) if key is not None else ""
    if not 0 < len(line) <= LONGEST_HOST_KEY:
        raise HostUnreachable(UNREACHABLE)
    return line
