"""The meter between a socket and asyncssh: real sockets, and a protocol in asyncssh's place that does what it is told."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from orchestrator.ssh import meter
from orchestrator.ssh.meter import Meter, metered

_WAIT = 10.0
_MEGABYTE = 1 << 20


class _Library:
    """Takes bytes as an asyncssh connection does, and calls `heard` for each piece."""

    def __init__(self, heard: Callable[[_Library, bytes], None]) -> None:
        self._heard = heard
        self._news = asyncio.Event()
        self.lost = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what pieces, or the meter's word to the transport, make true."""
        async with asyncio.timeout(_WAIT):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        for name in ("pause_reading", "resume_reading"):
            setattr(transport, name, self._telling(getattr(transport, name)))

    def data_received(self, data: bytes) -> None:
        self._heard(self, data)
        self._news.set()

    def _telling(self, done: Callable[[], None]) -> Callable[[], None]:
        def tell() -> None:
            done()
            self._news.set()

        return tell

    def connection_lost(self, _: Exception | None) -> None:
        self.lost.set()

    def set_extra_info(self, meter: Meter) -> None:
        self.meter = meter


@asynccontextmanager
async def _connected(
    heard: Callable[[_Library, bytes], None],
) -> AsyncIterator[tuple[_Library, socket.socket]]:
    """The library's end behind a meter, and the machine's end."""
    ours, machine = socket.socketpair()
    ours.setblocking(False)
    machine.setblocking(False)
    _, library = await metered(ours).create_connection(lambda: _Library(heard), "", 0)
    with machine:
        try:
            yield library, machine
        finally:
            library.transport.abort()


async def test_a_machine_that_does_not_read_is_not_read_from() -> None:
    """Answers that a machine leaves unread do not pile up; once it reads, it is listened to again."""

    def answer(library: _Library, data: bytes) -> None:
        library.transport.write(bytes(_MEGABYTE))

    async with _connected(answer) as (library, machine):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(machine, b"x" * 1000)
        await library.until(lambda: not library.transport.is_reading())
        assert library.transport.get_write_buffer_size() < 2 * _MEGABYTE
        while not library.transport.is_reading():
            await loop.sock_recv(machine, _MEGABYTE)


async def test_a_machine_s_bytes_cost_a_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beyond the burst a connection rests, and goes on after that."""
    monkeypatch.setattr(meter, "BURST", 0.02)
    monkeypatch.setattr(meter, "SHARE", 0.5)

    def work(_: _Library, data: bytes) -> None:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass

    async with _connected(work) as (library, machine):
        await asyncio.get_running_loop().sock_sendall(machine, b"x")
        await library.until(lambda: not library.transport.is_reading())
        await library.until(library.transport.is_reading)


async def test_bytes_come_in_small_pieces() -> None:
    """However much has arrived, the loop is given back after 16 KiB."""
    pieces: list[int] = []
    async with _connected(lambda _, data: pieces.append(len(data))) as (library, machine):
        await asyncio.get_running_loop().sock_sendall(machine, bytes(100_000))
        await library.until(lambda: sum(pieces) == 100_000)
    assert max(pieces) <= meter.CHUNK


async def test_whoever_holds_it_keeps_it_from_reading() -> None:
    """It reads again when the last holder has let go, however often each of them said so."""
    one, two = object(), object()
    async with _connected(lambda *_: None) as (library, _):
        for who in (one, two, one):
            library.meter.hold(who)
        assert not library.transport.is_reading()
        library.meter.let_go(one)
        assert not library.transport.is_reading()
        library.meter.let_go(two)
        assert library.transport.is_reading()


async def test_a_machine_that_says_more_than_it_may_is_cut_off() -> None:
    """Within the bound nothing happens; beyond it the connection is gone, and what came is not passed on."""
    heard: list[int] = []
    async with _connected(lambda _, data: heard.append(len(data))) as (library, machine):
        loop = asyncio.get_running_loop()
        with library.meter.at_most(100):
            await loop.sock_sendall(machine, bytes(100))
            await library.until(lambda: sum(heard) == 100)
            await loop.sock_sendall(machine, b"x")
            async with asyncio.timeout(_WAIT):
                await library.lost.wait()
    assert sum(heard) == 100
