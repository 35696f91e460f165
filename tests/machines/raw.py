"""Servers that misbehave below SSH: plain sockets in this event loop, by the names of `RAW`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final


async def _no_banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and never says a word."""
    await reader.read()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes at once."""


async def _not_ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Is a web server."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\nServer: internal-secret\r\n\r\n")


async def _endless_banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lines ahead of the SSH version, for ever."""
    while True:
        writer.write(b"line\r\n" * 4096)
        await writer.drain()


RAW: Final = {
    "no_banner": _no_banner,
    "hang_up": _hang_up,
    "not_ssh": _not_ssh,
    "endless_banner": _endless_banner,
}


@dataclass
class RawMachine:
    """A TCP server; `connections` counts who came."""

    port: int
    connections: int = 0
    host: str = "127.0.0.1"


@asynccontextmanager
async def raw_machine(script: str) -> AsyncIterator[RawMachine]:
    """A TCP server that plays `script` for everyone who connects."""
    machine = RawMachine(0)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        machine.connections += 1
        try:
            await RAW[script](reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    machine.port = server.sockets[0].getsockname()[1]
    async with server:
        yield machine
