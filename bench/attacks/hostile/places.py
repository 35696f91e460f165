"""Where the machines of the attack are: hostile and honest ones, each kind in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bench.attacks.tenants import Place

_SERVE: Final = (sys.executable, "-m", "bench.attacks.hostile.machines")
_LEAST_CPU: Final = ("nice", "-n", "19")
_WAIT: Final = 30.0


@asynccontextmanager
async def machines() -> AsyncIterator[dict[str, Place]]:
    """All behaviours by name, and `honest_0` and those after it."""
    async with _process(*_LEAST_CPU, *_SERVE) as hostile, _process(*_SERVE, "--honest") as honest:
        yield {**hostile, **honest}


@asynccontextmanager
async def _process(*command: str) -> AsyncIterator[dict[str, Place]]:
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
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
