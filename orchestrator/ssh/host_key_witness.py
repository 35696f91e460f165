"""
What a machine shows of its host keys: the one that it is judged by, and others that it announces and proves to have.

Looks into asyncssh, whose own handler of announcements verifies as many keys as fit a packet, and lets requests pile up
meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket, String
from asyncssh.public_key import (
    SSHOpenSSHCertificate,
    decode_ssh_certificate,
    decode_ssh_public_key,
)

from orchestrator.ssh.keys import LONGEST_HOST_KEY, one_line
from orchestrator.ssh.quick_login import sign_at_once

MOST_PROVED: Final = 8  # keys that are trusted beside the one on record
_MOST_ANNOUNCED: Final = 8 * 1024  # bytes; a machine with every kind of key announces one thousand
_PROVE: Final = b"hostkeys-prove-00@openssh.com"
_KINDS: Final = frozenset(
    {
        *("ssh-ed25519", "ssh-rsa"),
        *("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    }
)
_SUCCESS: Final = 81
_HOOK: Final = "_process_hostkeys_00_at_openssh_dot_com_global_request"


@dataclass(frozen=True)
class Announced:
    """The keys that a machine has: `known` were trusted before, `proved` are others whose private halves it has."""

    known: tuple[str, ...]
    proved: tuple[str, ...]

    def trusted_after(self, trusted: Sequence[str], shown: str) -> tuple[str, ...]:
        """
        What is to be trusted from now on, the key on record first: that stays for as long as the machine has it, and
        else is the one that was shown. Nothing changes by an announcement that leaves that one out.
        """
        if shown not in self.known:
            return tuple(trusted)
        kept = [key for key in trusted if key in self.known]
        first = trusted[0] if trusted[0] in kept else shown
        others = [key for key in (*kept, *self.proved) if key != first]
        return (first, *others[:MOST_PROVED])


@dataclass
class HostKeyWitness(asyncssh.SSHClient):
    """
    Sees what is shown before asyncssh judges it, and remembers it; it refuses more than asyncssh, and accepts nothing that
    asyncssh would not. `trusted` are the keys on record, and `authorities` those whose certificates count.
    """

    trusted: Sequence[asyncssh.SSHKey]
    authorities: Sequence[asyncssh.SSHKey] = ()
    probing: bool = False  # whether the machine would let in anybody is asked first
    owns_socket: bool = False
    presented: asyncssh.SSHKey | None = None
    authority: asyncssh.SSHKey | None = None  # whose certificate the key came with
    announced: Announced | None = None
    _proving: asyncio.Task[None] | None = field(default=None, repr=False)
    _asked: bool = False

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.owns_socket = True
        if not self.probing:
            sign_at_once(conn)
        judge = conn.validate_server_host_key

        def validate_server_host_key(key_data: bytes) -> asyncssh.SSHKey:
            return self._judge(key_data, judge)

        conn.validate_server_host_key = validate_server_host_key  # type: ignore[method-assign]
        setattr(conn, _HOOK, lambda packet: self._hear(conn, packet))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._proving is not None:
            self._proving.cancel()

    def _judge(self, data: bytes, judge: Callable[[bytes], asyncssh.SSHKey]) -> asyncssh.SSHKey:
        """A certificate of somebody unknown is as good as the key in it. Raises `HostKeyNotVerifiable`."""
        certificate = _certificate(data)
        if certificate is None or certificate.signing_key not in self.authorities:
            self.presented = certificate.key if certificate else _public_key(data)
            return judge(certificate.key.public_data if certificate else data)
        self.presented, self.authority = certificate.key, certificate.signing_key
        if not certificate.principals:  # to asyncssh, one that is good for every machine
            raise asyncssh.HostKeyNotVerifiable("Certificate names no host")
        return judge(data)

    def _hear(self, conn: Any, packet: SSHPacket) -> None:
        """One announcement a connection counts, of a machine that is known by a key on record."""
        conn._report_global_response(False)
        if self._asked or self.authority is not None:
            return
        self._asked = True
        if len(packet.get_remaining_payload()) <= _MOST_ANNOUNCED:
            self._proving = asyncio.get_running_loop().create_task(self._prove(conn, packet))

    async def _prove(self, conn: Any, packet: SSHPacket) -> None:
        # What a machine does wrong here ends with its announcement not counting.
        with suppress(
            asyncssh.Error, PacketDecodeError, OSError, ValueError, LookupError, TypeError
        ):
            keys = _keys_of(packet)
            known = [key for key, _ in keys if key in self.trusted]
            others = [(key, data) for key, data in keys if key not in self.trusted]
            proved = await _proved(conn, others) if others else []
            self.announced = Announced(_lines(known), _lines(proved))


async def _proved(
    conn: Any, others: Sequence[tuple[asyncssh.SSHKey, bytes]]
) -> list[asyncssh.SSHKey]:
    """Those of the keys with which the machine signs that this very connection is its own."""
    kind, answer = await conn._make_global_request(
        _PROVE, b"".join(String(data) for _, data in others)
    )
    if kind != _SUCCESS:
        return []
    proved = []
    for key, data in others:
        signature = answer.get_string()
        if key.verify(String(_PROVE) + String(conn._session_id) + String(data), signature):
            proved.append(key)
    return proved


def _keys_of(packet: SSHPacket) -> list[tuple[asyncssh.SSHKey, bytes]]:
    """Those of a kind that we ask machines for, each once."""
    found: dict[bytes, asyncssh.SSHKey] = {}
    while packet:
        data = packet.get_string()
        key = _public_key(data)
        if (
            key is not None
            and key.get_algorithm() in _KINDS
            and len(one_line(key)) <= LONGEST_HOST_KEY
        ):
            found[data] = key
    return [(key, data) for data, key in found.items()]


def _certificate(data: bytes) -> SSHOpenSSHCertificate | None:
    try:
        found = decode_ssh_certificate(data)
    except asyncssh.KeyImportError:
        return None
    return found if isinstance(found, SSHOpenSSHCertificate) else None


def _public_key(data: bytes) -> asyncssh.SSHKey | None:
    try:
        return decode_ssh_public_key(data)
    except asyncssh.KeyImportError:
        return None


def _lines(keys: Sequence[asyncssh.SSHKey]) -> tuple[str, ...]:
    return tuple(one_line(key) for key in keys)
