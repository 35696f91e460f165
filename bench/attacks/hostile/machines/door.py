"""An asyncssh server with which something is wrong, and the ways to make it so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import asyncssh
from asyncssh.packet import String, UInt32

from bench.attacks.hostile.machines.behaviour import FLOODS

Exec = asyncssh.SSHServerProcess[bytes]
Script = Callable[[Exec], Awaitable[None]]
Server = asyncssh.SSHServerConnection

IGNORE, DEBUG, SERVICE_ACCEPT, NEWKEYS = 2, 4, 6, 21
AUTH_FAILURE, AUTH_SUCCESS, BANNER, PK_OK = 51, 52, 53, 60
GLOBAL, OPEN, CONFIRM, NO_CHANNEL, ADJUST, DATA, EXTENDED = 80, 90, 91, 92, 93, 94, 95
EOF, CLOSE, REQUEST, SUCCESS, FAILURE, PING = 96, 97, 98, 99, 100, 192
_FULL: Final = 1 << 20  # bytes that wait to be sent


CONTROLS: Final = "\x1b[2J\x1b]52;c;AAAA\x07\x9b31m\u202e\u2066\u200b\U000e0041"


@dataclass(frozen=True)
class Door:
    """
    How a server lets in: `met` is called at the connection, `login` says how, `inside` is done beside everything once
    somebody is in; an exec is played by `script`; `options` are asyncssh's.
    """

    met: Callable[[Server], None] | None = None
    login: str = "key"  # or "nobody", "anybody", "password"
    inside: Callable[[Server], Awaitable[None]] | None = None
    script: Script | None = None
    runs_nothing: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    async def open(self, host: str) -> int:
        server = await asyncssh.listen(
            host,
            0,
            config=None,
            server_factory=lambda: _Doorkeeper(self),
            server_host_keys=[_host_key()],
            process_factory=None if self.runs_nothing else self._play,
            encoding=None,
            gss_host=None,
            **{"keepalive_interval": 0, **self.options},
        )
        return server.get_port()

    async def _play(self, process: Exec) -> None:
        try:
            await (self.script or waits)(process)
        except (asyncssh.Error, OSError, ValueError):
            process.close()


class _Doorkeeper(asyncssh.SSHServer):
    def __init__(self, door: Door) -> None:
        self._door = door
        self._conn: Server | None = None
        self._inside: asyncio.Task[None] | None = None

    def connection_made(self, conn: Server) -> None:
        self._conn = conn
        if self._door.met is not None:
            self._door.met(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inside is not None:
            self._inside.cancel()

    def begin_auth(self, username: str) -> bool:
        return self._door.login != "anybody"

    def public_key_auth_supported(self) -> bool:
        return self._door.login in ("key", "nobody")

    def password_auth_supported(self) -> bool:
        return self._door.login == "password"

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._door.login == "key"

    def auth_completed(self) -> None:
        if self._door.inside is not None and self._conn is not None:
            self._inside = asyncio.create_task(_until_gone(self._door.inside, self._conn))

    def session_requested(self) -> bool:
        return False  # where nothing is run


@cache
def _host_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def transport_of(conn: Any) -> asyncio.Transport:
    transport: asyncio.Transport = conn._transport
    if transport is None:
        raise ConnectionResetError("the connection is gone")
    return transport


def silence(conn: Server, *kinds: int) -> None:
    """Never send packets of these kinds."""
    for kind in kinds:
        replace(conn, kind, lambda: None)


def replace(conn: Server, kind: int, instead: Callable[[], object]) -> None:
    send = conn.send_packet

    def say(given: int, *args: bytes, **more: Any) -> None:
        if given == kind:
            instead()
        else:
            send(given, *args, **more)

    conn.send_packet = say  # type: ignore[method-assign]


def confirm(conn: Server, *, window: int, largest: int) -> None:
    """Confirm every channel with this window and this size of a packet, and never adjust the window."""
    send = conn.send_packet

    def say(kind: int, *args: bytes, **more: Any) -> None:
        if kind == CONFIRM:  # recipient, sender, window, size
            args = (*args[:2], UInt32(window), UInt32(largest))
        if kind != ADJUST or window == 0xFFFFFFFF:
            send(kind, *args, **more)

    conn.send_packet = say  # type: ignore[method-assign]


def packet_on(process: Exec, kind: int, *args: bytes) -> None:
    process.channel.send_packet(kind, *args)


def begin(conn: Server, what: Callable[[Server], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(_until_gone(what, conn))
    conn.set_extra_info(kept=task)  # a task that nobody holds may vanish


async def _until_gone(what: Callable[[Server], Awaitable[None]], conn: Server) -> None:
    try:
        await what(conn)
    except (asyncssh.Error, OSError, AttributeError):
        return


def flood(
    kind: int, *args: bytes, deaf: bool = False, at_once: int = 100
) -> Callable[[Server], Awaitable[None]]:
    async def inside(conn: Server) -> None:
        if deaf:
            transport_of(conn).pause_reading()
        size = sum(map(len, args)) + 40
        while True:
            await FLOODS.take(size * at_once)
            for _ in range(at_once):
                conn.send_packet(kind, *args)
            await drained(conn)

    return inside


ignore_me: Final = flood(IGNORE, String(b"x" * 8))


def opens(kind: bytes, *more: bytes) -> Callable[[Server], Awaitable[None]]:
    opening = (String(kind), UInt32(7), UInt32(0xFFFFFFFF), UInt32(0), *more)
    return flood(OPEN, *opening, deaf=True)


async def banners(conn: Server) -> None:
    text = String("\x1b]52;c;AAAA\x07\u202e".encode() * 2000)
    while True:
        await FLOODS.take(len(text))
        conn.send_packet(BANNER, text, String(b""))
        await drained(conn)


async def drained(conn: Any) -> None:
    await asyncio.sleep(0)
    while transport_of(conn).get_write_buffer_size() > _FULL:  # noqa: ASYNC110  asyncssh has no drain
        await asyncio.sleep(0.01)


def marker_of(process: Exec) -> str:
    words = (process.command or "").split()
    return words[words.index("--marker") + 1] if "--marker" in words else ""


async def for_ever(process: Exec, data: bytes) -> None:
    while True:
        await FLOODS.take(len(data))
        process.stdout.write(data)
        await process.stdout.drain()


async def waits(process: Exec) -> None:
    await process.stdin.read()
