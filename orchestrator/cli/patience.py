"""
How long a client may take to say what it wants, and how much it may say before that: uvicorn waits for ever for the end
of a request's head, and keeps whatever comes of it.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Impatient(HttpToolsProtocol):
    """Closes a connection on which a head has begun, or nothing has, and not ended in time or in length."""

    SECONDS: ClassVar[float] = 10.0
    LONGEST: ClassVar[int] = 32_768  # bytes of a head; a token is at most 8 KiB
    _closing: asyncio.TimerHandle | None = None
    _in_head = False
    _come = 0  # bytes of a head that has not ended, but for those of the chunk that it began in

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        before = self._in_head
        super().data_received(data)
        if self._in_head:
            self._come += len(data) if before else 0
            if self._come > self.LONGEST and not self.transport.is_closing():
                self.send_400_response("The request's head is too long.")
            self._wait()
        elif self.cycle is None or self.cycle.response_complete:
            self._wait()  # it was nothing: line ends before a head

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._come = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        if (
            len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            > self.LONGEST
        ):
            raise ValueError("the head is too long")  # answered as any other that is not HTTP
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("two hosts")
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._closing is None:
            self._closing = self.loop.call_later(self.SECONDS, self._close)

    def _stop_waiting(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _close(self) -> None:
        self.transport.close()
