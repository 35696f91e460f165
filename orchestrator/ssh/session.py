"""One exec on a machine: bounded reads, stderr drained beside, and the marked line that answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncssh

from orchestrator.domain.errors import ConnectionLost, LaunchFailed, OutputFlood
from orchestrator.domain.sanitise import printable
from orchestrator.ssh.connection import PEER_FAULTS, Connection, Deadlines

CHUNK: Final = 64 * 1024
STDERR_KEPT: Final = 64 * 1024
_MOST_NOISE: Final = 64 * 1024
_LONGEST_ANSWER: Final = 4096
_MOST_STDERR: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """The first marked line: its first word and what follows it; empty if the exec ended first."""

    word: str
    rest: str


class Session:
    """A running exec. `read` and `exit_status` wait as long as the caller lets them."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], connection: Connection) -> None:
        self._process = process
        self._connection = connection
        self._ahead = b""
        self._stderr = b""
        self._flooded = False
        self._drain = asyncio.create_task(self._drain_stderr())

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Queue `data` for stdin. A machine that no longer listens shows in what it answers."""
        with suppress(OSError):
            self._process.stdin.write(data)
            if end:
                self._process.stdin.write_eof()

    async def read(self) -> bytes:
        """
        The next bytes of stdout, at most 64 KiB; b"" at its end.

        Raises `ConnectionLost` if the connection is gone, `OutputFlood` after too much stderr.
        """
        if self._ahead:
            chunk, self._ahead = self._ahead[:CHUNK], self._ahead[CHUNK:]
            return chunk
        try:
            chunk = await self._process.stdout.read(CHUNK)
        except (asyncssh.Error, OSError) as error:
            raise ConnectionLost("The machine stopped answering.") from error
        if self._flooded:
            raise OutputFlood("It was error output.", evidence=self.evidence())
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
        with suppress(asyncssh.Error, OSError):
            await self._process.wait_closed()
        return self._process.exit_status

    async def stderr_tail(self, *, seconds: float) -> bytes:
        """The last 64 KiB of stderr, complete if it ends within `seconds`."""
        await asyncio.wait([self._drain], timeout=seconds)
        return self._stderr

    def evidence(self, stdout: bytes = b"") -> dict[str, Any]:
        """What the machine said, safe to store."""
        return {"stdout": _shown(stdout), "stderr": _shown(self._stderr)}

    async def end(self) -> None:
        """Close the channel, which the machine sees as the end of stdin, and wait for nothing."""
        self._process.close()
        self._drain.cancel()
        await asyncio.wait([self._drain])

    def _refuse_noise(self, seen: bytes, prefix: bytes) -> None:
        start = seen.find(prefix)
        if len(seen) > _MOST_NOISE or (start >= 0 and len(seen) - start > _LONGEST_ANSWER):
            raise LaunchFailed(
                "The machine printed too much and no answer.", evidence=(self.evidence(seen))
            )

    async def _drain_stderr(self) -> None:
        total = 0
        with suppress(asyncssh.Error, OSError):
            while chunk := await self._process.stderr.read(CHUNK):
                self._stderr = (self._stderr + chunk)[-STDERR_KEPT:]
                total += len(chunk)
                if total > _MOST_STDERR:
                    self._flooded = True
                    self._process.close()
                    return


@asynccontextmanager
async def open_session(
    connection: Connection, command: str, *, deadlines: Deadlines
) -> AsyncIterator[Session]:
    """
    `command` under the machine's login shell, without a terminal.

    Raises `ConnectionLost`, or `LaunchFailed` if the machine opens no session in time.
    """
    try:
        async with asyncio.timeout(deadlines.command):
            process: asyncssh.SSHClientProcess[bytes] = await connection.ssh.create_process(
                command, encoding=None
            )
    except PEER_FAULTS as error:
        if connection.lost:
            raise ConnectionLost("The machine closed the connection.") from error
        raise LaunchFailed("The machine opens no session.") from error
    session = Session(process, connection)
    try:
        yield session
    finally:
        await session.end()


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
