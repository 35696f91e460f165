"""An address where now this server answers and now that one, and what each has heard of a login."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import asyncssh
from asyncssh.packet import Boolean, SSHPacket, String
from asyncssh.public_key import SSHLocalKeyPair

HOST: Final = "127.0.0.1"
_SERVICE_REQUEST, _AUTH_REQUEST, _GLOBAL = 5, 50, 80
_PKCS8: Final = bytes.fromhex("302e020100300506032b657004220420")
_WAIT: Final = 10.0


@dataclass(frozen=True)
class Announcement:
    """Keys that a server says it has; `forged`: it signs with another key than it names."""

    keys: tuple[asyncssh.SSHKey, ...]
    forged: bool = False


@dataclass(frozen=True)
class Face:
    """
    Who answers a connection: with `shown` as its host key, or with nothing at all. An honest one is the machine; `trivial`
    lets in whoever asks.
    """

    shown: asyncssh.SSHKey | SSHLocalKeyPair | None
    honest: bool = False
    trivial: bool = False
    announces: Announcement | None = None


@dataclass
class Heard:
    """What came of connections: `bytes` and `messages` are of logins, of messages 5 and 50 at the server's end."""

    connections: int = 0
    messages: int = 0
    bytes: int = 0
    logins: int = 0


@dataclass
class Address:
    """`next` are those who answer the next connections; the last of them stays."""

    port: int
    next: deque[Face] = field(default_factory=deque)
    impostors: Heard = field(default_factory=Heard)
    machine: Heard = field(default_factory=Heard)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connected, _ = await loop.sock_accept(listener)
            face = self.next.popleft() if len(self.next) > 1 else self.next[0]
            task = loop.create_task(self._answer(connected, face))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def quiet(self) -> None:
        """Wait until nobody is connected, so that all that was sent has been counted."""
        async with asyncio.timeout(_WAIT):
            while self._open:
                await asyncio.wait(set(self._open))

    async def _answer(self, connected: socket.socket, face: Face) -> None:
        heard = self.machine if face.honest else self.impostors
        if face.shown is None:
            connected.close()
            return
        heard.connections += 1
        with suppress(asyncssh.Error, OSError, ValueError, TypeError, LookupError):
            conn = await asyncssh.run_server(
                connected,
                config=None,
                server_factory=lambda: _Server(face, heard),
                server_host_keys=[face.shown],
                gss_host=None,
                login_timeout=_WAIT,
            )
            await conn.wait_closed()


class _Server(asyncssh.SSHServer):
    def __init__(self, face: Face, heard: Heard) -> None:
        self._face, self._heard = face, heard
        self._conn: Any = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        process: Callable[..., Any] = conn.process_packet

        def counted(kind: int, number: int, packet: SSHPacket) -> Any:
            if kind in (_SERVICE_REQUEST, _AUTH_REQUEST):
                self._heard.messages += 1
                self._heard.bytes += len(packet.get_full_payload())
            return process(kind, number, packet)

        conn.process_packet = counted  # type: ignore[method-assign]

    def begin_auth(self, username: str) -> bool:
        return not self._face.trivial

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return True

    def auth_completed(self) -> None:
        self._heard.logins += 1
        told = self._face.announces
        if told is None or not isinstance(self._face.shown, asyncssh.SSHKey):
            return
        own = self._face.shown
        pairs = {key.public_data: SSHLocalKeyPair(key, None, None, None) for key in told.keys}
        if told.forged:
            pairs = {data: borrowed(data, own) for data in pairs}
        self._conn._all_server_host_keys = pairs
        keys = b"".join(String(data) for data in (own.public_data, *pairs))
        self._conn.send_packet(_GLOBAL, String(b"hostkeys-00@openssh.com"), Boolean(False), keys)


@asynccontextmanager
async def address() -> AsyncIterator[Address]:
    with socket.create_server((HOST, 0), backlog=64) as listener:
        listener.setblocking(False)
        here = Address(listener.getsockname()[1])
        serving = asyncio.create_task(here.serve(listener))
        try:
            yield here
        finally:
            serving.cancel()
            await asyncio.wait({serving})


def new_key(dice: Random) -> asyncssh.SSHKey:
    """An Ed25519 key of the seed's."""
    return asyncssh.import_private_key(_PKCS8 + dice.randbytes(32))


def borrowed(public: bytes, own: asyncssh.SSHKey) -> SSHLocalKeyPair:
    """What somebody shows who has read a public key, or a certificate, and has another key to sign with."""
    pair = SSHLocalKeyPair(own, None, None, None)
    pair.public_data = public
    return pair


def certified(
    key: asyncssh.SSHKey, certificate: asyncssh.SSHCertificate, own: asyncssh.SSHKey | None = None
) -> SSHLocalKeyPair:
    """The key in its certificate; with another `own` key to sign with, it is somebody else who shows it."""
    pair = SSHLocalKeyPair(key, None, certificate, None)
    if own is not None:
        pair._key = own
    return pair
