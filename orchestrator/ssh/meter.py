"""
A socket with a meter on it: what one machine sends can't take the event loop, or memory, from the others.

asyncssh answers whatever it is sent, at once and for as long as it comes, keeps the answers that a peer does not read
(its `pause_writing` does nothing), and holds nobody to a channel's window. So a machine is not read from while it does
not read, or while what it said waits to be read; and what its bytes cost to process has a limit over time, which
handshakes and benchmarks stay far below.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

CHUNK: Final = 16 * 1024  # bytes read at a time: hundreds of small packets, milliseconds of work
BURST: Final = 0.1  # seconds of CPU that a connection may use at once; a run costs a tenth of it
SHARE: Final = 0.03  # of the time, after that
_LONGEST_REST: Final = 1.0
_HURRIED: Final = 16  # reads of a handshake, or of a session's beginning
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux has it
_here = threading.local()


def metered(opened: socket.socket) -> Any:
    """A connected socket for the place where asyncssh takes a tunnel."""
    return _Tunnel(opened)


class _Tunnel:
    def __init__(self, opened: socket.socket) -> None:
        self._opened = opened

    async def create_connection(
        self, factory: Callable[[], Any], host: str, port: int
    ) -> tuple[asyncio.BaseTransport, Any]:
        """As asyncssh calls it; `host` and `port` were resolved and checked when the socket was opened."""
        transport, meter = await asyncio.get_running_loop().create_connection(
            lambda: Meter(factory()), sock=self._opened
        )
        meter.metered.set_extra_info(meter=meter)
        return transport, meter.metered


class Meter(asyncio.BufferedProtocol):
    """Between the socket and an asyncssh connection, which has it as its extra info `meter`."""

    def __init__(self, metered: Any) -> None:
        self.metered = metered
        self._holders: set[object] = set()
        self._heard = 0
        self._most_heard: int | None = None
        self._transport: asyncio.Transport | None = None
        self._hurried = _HURRIED
        self._spent = 0.0
        self._counted_at = 0.0
        self._rest: asyncio.TimerHandle | None = None
        self._unread = False  # the machine does not take what we send
        self._stopped = False

    def hold(self, who: object) -> None:
        """Read nothing more until `who` lets go."""
        self._holders.add(who)
        self._read_or_not()

    def let_go(self, who: object) -> None:
        self._holders.discard(who)
        self._read_or_not()

    @contextmanager
    def at_most(self, count: int) -> Iterator[None]:
        """The connection is cut where more than `count` bytes come within the block."""
        self._most_heard = self._heard + count
        try:
            yield
        finally:
            self._most_heard = None

    def hurry(self) -> None:
        """
        A session begins: the machine's small packets are acknowledged at once. Its kernel holds each back until the one before
        it is, and ours would put that off by 40 ms.
        """
        self._hurried = _HURRIED

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._counted_at = time.monotonic()
        self.metered.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._heard += nbytes
        if self._most_heard is not None and self._heard > self._most_heard:
            if self._transport is not None:
                self._transport.abort()
            return
        self._acknowledge()
        began = time.thread_time()
        self.metered.data_received(bytes(_buffer()[:nbytes]))
        self._charge(time.thread_time() - began)

    def eof_received(self) -> None:
        self.metered.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._rest is not None:
            self._rest.cancel()
        self.metered.connection_lost(exc)

    def pause_writing(self) -> None:
        self._unread = True
        self._read_or_not()

    def resume_writing(self) -> None:
        self._unread = False
        self._read_or_not()

    def _acknowledge(self) -> None:
        if self._hurried and self._transport is not None and _QUICKACK is not None:
            self._hurried -= 1
            with suppress(OSError):
                opened = self._transport.get_extra_info("socket")
                opened.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _charge(self, seconds: float) -> None:
        now = time.monotonic()
        self._spent = max(0.0, self._spent - SHARE * (now - self._counted_at)) + seconds
        self._counted_at = now
        if self._spent > BURST and self._rest is None:
            pause = min((self._spent - BURST) / SHARE, _LONGEST_REST)
            self._rest = asyncio.get_running_loop().call_later(pause, self._rested)
            self._read_or_not()

    def _rested(self) -> None:
        self._rest = None
        self._read_or_not()

    def _read_or_not(self) -> None:
        stop = self._unread or self._rest is not None or bool(self._holders)
        if self._transport is None or stop == self._stopped:
            return
        self._stopped = stop
        if stop:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _buffer() -> memoryview:
    """All connections of a thread share one: what is read into it is taken out before another reads."""
    try:
        found: memoryview = _here.buffer
    except AttributeError:
        found = _here.buffer = memoryview(bytearray(CHUNK))
    return found
