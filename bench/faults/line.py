"""The line between us and a machine: a TCP proxy that can cut, freeze, throttle, part and mislead."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

_CHUNK: Final = 64 * 1024
_THROTTLED_CHUNK: Final = 1024
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST


@dataclass(eq=False)
class _Pair:
    """A connection of ours and the machine's end of it."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None

    def reset(self) -> None:
        for writer in (self.near, self.far):
            if writer is None:
                continue
            connected = writer.get_extra_info("socket")
            with suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


@dataclass
class Line:
    """
    Listens on `port` and forwards to `upstream`. Everything that is done to it concerns connections that
    exist as well as new ones, except `lead_to`, which is for new ones only.
    """

    upstream: int
    port: int = 0
    carried: int = 0  # bytes, either way
    _rate: float | None = None
    _pairs: set[_Pair] = field(default_factory=set)
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _swallowing: bool = False

    @property
    def connections(self) -> int:
        return len(self._pairs)

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()
        return len(pairs)

    def freeze(self) -> None:
        """Half-open: sockets stay, and nothing moves either way until `flow`."""
        self._flowing.clear()

    def part(self) -> None:
        """A partition: as frozen, and what connects meanwhile is never answered."""
        self._swallowing = True
        self._flowing.clear()

    def flow(self) -> None:
        """As if nothing had been; whoever knocked during a partition is reset."""
        if self._swallowing:
            self._swallowing = False
            for pair in [pair for pair in self._pairs if pair.far is None]:
                pair.reset()
        self._rate = None
        self._flowing.set()

    def throttle(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second

    def lead_to(self, port: int) -> None:
        """New connections go to `port` of this machine."""
        self.upstream = port

    async def serve(self, near_in: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        """One connection of ours, to its end."""
        pair = _Pair(near)
        self._pairs.add(pair)
        try:
            swallowed = self._swallowing
            await self._flowing.wait()
            if swallowed:
                return
            far_in, pair.far = await asyncio.open_connection("127.0.0.1", self.upstream)
            ways = {
                asyncio.create_task(self._pump(near_in, pair.far)),
                asyncio.create_task(self._pump(far_in, near)),
            }
            # An SSH connection is over when either end has gone.
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
            await asyncio.wait(ways)
        except OSError:
            pair.reset()
        finally:
            self._pairs.discard(pair)
            for writer in (pair.near, pair.far):
                if writer is not None:
                    writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                await self._flowing.wait()
                data = await source.read(_THROTTLED_CHUNK if self._rate else _CHUNK)
                await self._flowing.wait()  # what was on its way when the line froze stays there
                if not data:
                    return
                if self._rate:
                    await asyncio.sleep(len(data) / self._rate)
                sink.write(data)
                self.carried += len(data)
                await sink.drain()


@asynccontextmanager
async def line_to(upstream: int) -> AsyncIterator[Line]:
    """A line to a port of this machine, on a port from the kernel."""
    line = Line(upstream)
    line.flow()
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0, limit=_CHUNK)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        line.cut()
        line.flow()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await server.wait_closed()
