"""What a hostile machine does, and how it may end for us."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

MOST_A_SECOND: Final = (
    24 * 1024 * 1024
)  # bytes of all floods together: the attackers' own CPU is not what is measured
_BURST: Final = 0.25


@dataclass(frozen=True)
class Behaviour:
    """
    `told` is a sentence; `ends` the error codes that a run may end with, `passed` where the machine does no harm.
    `serve` opens a port on an address and returns it. `keyless`: it never shows a host key of its own.
    """

    name: str
    told: str
    ends: frozenset[str]
    serve: Callable[[str], Awaitable[int]]
    keyless: bool = False


class Rate:
    """Lets through so many bytes a second, for whoever asks."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._free = most * _BURST
        self._at = time.monotonic()

    async def take(self, count: int) -> None:
        while True:
            now = time.monotonic()
            self._free = min(self._most * _BURST, self._free + (now - self._at) * self._most)
            self._at = now
            if self._free >= min(count, self._most * _BURST):
                self._free -= count
                return
            await asyncio.sleep(0.02)


FLOODS: Final = Rate(MOST_A_SECOND)
"""What all floods of this process share."""


def told(function: Any) -> str:
    """A behaviour's sentence is the first line of what plays it."""
    return (function.__doc__ or "").strip().splitlines()[0]
