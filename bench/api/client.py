"""
A client that is not what is measured: requests as bytes, made beforehand, over a number of connections that are kept;
an answer is over when its Content-Length has come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

_SECONDS: Final = 120.0


async def exchange(
    port: int, requests: Sequence[bytes], connections: int, status: int
) -> tuple[float, list[float]]:
    """Seconds in all, and milliseconds of each. Raises `AssertionError` for an answer of another status."""
    loop = asyncio.get_running_loop()
    waiting = iter(requests)
    done = [loop.create_future() for _ in range(connections)]
    protocols = []
    for future in done:
        _, protocol = await loop.create_connection(
            lambda ended=future: _Talk(waiting, status, ended), "127.0.0.1", port
        )  # type: ignore[misc]
        protocols.append(protocol)
    began = time.perf_counter()
    for protocol in protocols:
        protocol.ask()
    async with asyncio.timeout(_SECONDS):
        taken = await asyncio.gather(*done)
    return time.perf_counter() - began, [each for times in taken for each in times]


class _Talk(asyncio.Protocol):
    def __init__(self, waiting: Any, status: int, ended: asyncio.Future[list[float]]) -> None:
        self._waiting = waiting
        self._expected = f"HTTP/1.1 {status} ".encode()
        self._ended = ended
        self._times: list[float] = []
        self._came = b""
        self._began = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self) -> None:
        request = next(self._waiting, None)
        if request is None:
            self._transport.close()
            self._end()
            return
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        came = self._came = self._came + data
        head, found, body = came.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().index(b"content-length:") + len("content-length:")
        length = int(head[at:].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._times.append((time.perf_counter() - self._began) * 1000)
        self._came = b""
        if not came.startswith(self._expected):
            self._end(AssertionError(came[:400].decode()))
            self._transport.close()
            return
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("the server hung up"))

    def _end(self, error: Exception | None = None) -> None:
        if self._ended.done():
            return
        if error is not None:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(self._times)
