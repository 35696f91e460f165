"""One exec on a machine: bounded reads, stderr drained beside, and the marked line that answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncssh
from asyncssh.constants import EXTENDED_DATA_STDERR

from orchestrator.domain.errors import ConnectionLost, LaunchFailed, OutputFlood
from orchestrator.domain.sanitise import printable
from orchestrator.ssh.connection import PEER_FAULTS, Connection, Deadlines
from orchestrator.ssh.meter import Meter

CHUNK: Final = 64 * 1024
STDERR_KEPT: Final = 64 * 1024
_MOST_NOISE: Final = 64 * 1024
_LONGEST_ANSWER: Final = 4096
_MOST_STDERR: Final = 8 * 1024 * 1024
_LEAST_PACKET: Final = (
    1024  # of a byte each, the agent would be 200,000; servers take 16 KiB or more
)
_MOST_UNREAD: Final = 256 * 1024  # of stdout; then the machine is not read from


@dataclass(frozen=True)
class Answer:
    """The first marked line: its first word and what follows it; empty if the exec ended first."""

    word: str
    rest: str


class _Ears(asyncssh.SSHClientSession[bytes]):
    """
    What an exec says. asyncssh's own streams open a channel's window faster than they are read, so that a machine which
    is faster than we are fills our memory; here the machine waits.
    """

    def __init__(self, meter: Meter) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.flooded = False
        self.ended = False
        self.closed = False
        self.fault: Exception | None = None
        self._meter = meter
        self._news = asyncio.Event()
        self._stderr_bytes = 0

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == EXTENDED_DATA_STDERR:
            self._stderr_bytes += len(data)
            self.stderr += data
            if len(self.stderr) > 2 * STDERR_KEPT:
                del self.stderr[:-STDERR_KEPT]
            self.flooded = self.flooded or self._stderr_bytes > _MOST_STDERR
        else:
            self.stdout += data
            if len(self.stdout) > _MOST_UNREAD:
                self._meter.hold(self)
        self._news.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._news.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.fault = exc
        self.closed = True
        self.eof_received()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Any number may wait: one event for all, which is six hundred bytes."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def taken(self) -> bytes:
        """The next bytes of stdout; b"" once there are none to come, or after too much stderr."""
        await self.until(lambda: bool(self.stdout) or self.ended or self.flooded)
        chunk = bytes(self.stdout[:CHUNK])
        del self.stdout[:CHUNK]
        if len(self.stdout) <= _MOST_UNREAD:
            self._meter.let_go(self)
        return chunk

    def stop(self) -> None:
        self.stdout.clear()
        self._meter.let_go(self)


class Session:
    """A running exec. `read` and `exit_status` wait as long as the caller lets them."""

    def __init__(
        self, channel: asyncssh.SSHClientChannel[bytes], ears: _Ears, connection: Connection
    ) -> None:
        self._channel = channel
        self._ears = ears
        self._connection = connection
        self._ahead = b""

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Queue `data` for stdin. A machine that no longer listens shows in what it answers."""
        with suppress(OSError):
            self._channel.write(data)
            if end:
                self._channel.write_eof()

    async def read(self) -> bytes:
        """
        The next bytes of stdout, at most 64 KiB; b"" at its end.

        Raises `ConnectionLost` if the connection is gone, `OutputFlood` after too much stderr.
        """
        if self._ahead:
            chunk, self._ahead = self._ahead[:CHUNK], self._ahead[CHUNK:]
            return chunk
        chunk = await self._ears.taken()
        if self._ears.flooded:
            raise OutputFlood("It was error output.", evidence=self.evidence())
        if not chunk and self._ears.fault is not None:
            raise ConnectionLost("The machine stopped answering.") from self._ears.fault
        if not chunk and self._connection.lost:
            raise ConnectionLost("The machine closed the connection.")
        return chunk

    async def answer(self, marker: str, *, seconds: float) -> Answer:
        """
        The first line that carries `marker`. What a login shell printed before is dropped.

        Raises `LaunchFailed` if it takes longer than `seconds` or is drowned, `ConnectionLost`.
        """
        prefix = f"@harborx {marker} ".encode("ascii")
        seen = b""
        try:
            async with asyncio.timeout(seconds):
                while (line := _marked_line(seen, prefix)) is None:
                    self._refuse_noise(seen, prefix)
                    if not (chunk := await self.read()):
                        return Answer("", "")
                    seen += chunk
        except TimeoutError as error:
            raise LaunchFailed(
                f"No answer within {seconds:g} s.", evidence=self.evidence(seen)
            ) from error
        text, self._ahead = line
        word, _, rest = printable(text.decode("utf-8", "replace")).partition(" ")
        return Answer(word, rest)

    async def exit_status(self) -> int | None:
        """How the exec ended once stdout has, or None if the machine did not say."""
        await self._ears.until(lambda: self._ears.closed)
        return self._channel.get_exit_status()

    async def stderr_tail(self, *, seconds: float) -> bytes:
        """The last 64 KiB of stderr, complete if it ends within `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ears.until(lambda: self._ears.ended)
        return self._stderr

    def evidence(self, stdout: bytes = b"") -> dict[str, Any]:
        """What the machine said, safe to store."""
        return {"stdout": _shown(stdout), "stderr": _shown(self._stderr)}

    def end(self) -> None:
        """Close the channel, which the machine sees as the end of stdin, and wait for nothing."""
        self._channel.close()
        self._ears.stop()

    @property
    def _stderr(self) -> bytes:
        return bytes(self._ears.stderr[-STDERR_KEPT:])

    def _refuse_noise(self, seen: bytes, prefix: bytes) -> None:
        start = seen.find(prefix)
        if len(seen) > _MOST_NOISE or (start >= 0 and len(seen) - start > _LONGEST_ANSWER):
            raise LaunchFailed(
                "The machine printed too much and no answer.", evidence=(self.evidence(seen))
            )


@asynccontextmanager
async def open_session(
    connection: Connection, command: str, *, deadlines: Deadlines
) -> AsyncIterator[Session]:
    """
    `command` under the machine's login shell, without a terminal.

    Raises `ConnectionLost`, or `LaunchFailed` if the machine opens no session in time.
    """
    connection.meter.hurry()
    ears = _Ears(connection.meter)
    with _at_risk(connection):
        session = Session(await _opened(connection, command, ears, deadlines), ears, connection)
        try:
            yield session
        finally:
            session.end()


async def _opened(
    connection: Connection, command: str, ears: _Ears, deadlines: Deadlines
) -> asyncssh.SSHClientChannel[bytes]:
    try:
        async with asyncio.timeout(deadlines.command):
            channel, _ = await connection.ssh.create_session(lambda: ears, command, encoding=None)
            return channel
    except PEER_FAULTS as error:
        if connection.lost:
            raise ConnectionLost("The machine closed the connection.") from error
        raise LaunchFailed("The machine opens no session.") from error


@contextmanager
def _at_risk(connection: Connection) -> Iterator[None]:
    """Whatever goes wrong, and whoever's fault it is: no other run is to meet with it."""
    sound = False
    try:
        yield
        sound = True
    finally:
        connection.spoiled = connection.spoiled or not sound


def _marked_line(seen: bytes, prefix: bytes) -> tuple[bytes, bytes] | None:
    # Anywhere, not only where a line starts: a greeting need not end in a newline, and nobody
    # could guess the marker.
    start = seen.find(prefix)
    if start < 0:
        return None
    end = seen.find(b"\n", start)
    if end < 0 or end - start > _LONGEST_ANSWER:
        return None
    return seen[start + len(prefix) : end], seen[end + 1 :]


def _shown(data: bytes) -> str:
    return printable(data[-4096:].decode("utf-8", "replace"))
