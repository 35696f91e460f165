"""Answers that are the same for everybody: made once in a while, however many ask for them at a time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

_MOST: Final = 256


class Recent:
    """Each key's answer for `seconds` from when it was begun; one that failed is forgotten. 0: nothing is kept."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Task[bytes]]] = OrderedDict()

    async def answer(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Raises what `make` raises."""
        if not self.seconds:
            return await make()
        until, task = self._kept.get(key, (0.0, None))
        if task is None or until < time.monotonic() or _failed(task):
            task = asyncio.ensure_future(_made(make))
            self._kept[key] = time.monotonic() + self.seconds, task
            self._kept.move_to_end(key)
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return await asyncio.shield(task)  # others wait for it too, whoever goes away


async def _made(make: Callable[[], Awaitable[bytes]]) -> bytes:
    return await make()


def _failed(task: asyncio.Task[bytes]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
