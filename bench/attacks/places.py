"""Where the machines of the attack are: hostile and honest ones, each kind in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

_MODULE: Final = "bench.attacks.hostile_machines"
_LEAST_CPU: Final = ("nice", "-n", "19")
_WAIT: Final = 30.0


@dataclass(frozen=True)
class Place:
    """A machine's address."""

    name: str
    host: str
    port: int


@asynccontextmanager
async def machines() -> AsyncIterator[dict[str, Place]]:
    """All behaviours by name, and `honest_0` to `honest_3`."""
    async with _process(*_LEAST_CPU) as hostile, _process("--honest") as honest:
        yield {**hostile, **honest}


@asynccontextmanager
async def _process(*words: str) -> AsyncIterator[dict[str, Place]]:
    before = tuple(word for word in words if word != "--honest")
    after = words[len(before) :]
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-m", _MODULE, *after, stdin=PIPE, stdout=PIPE
    )
    try:
        yield await _places(process)
    finally:
        process.kill()
        await process.wait()


async def _places(process: Process) -> dict[str, Place]:
    if process.stdout is None:
        raise AssertionError("its stdout is a pipe")
    async with asyncio.timeout(_WAIT):
        told = json.loads(await process.stdout.readline())
    return {name: Place(name, host, port) for name, (host, port) in told.items()}
