"""What a process costs while it is attacked: memory, the lag of its event loop, tasks and sockets left behind."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_LOOK_SECONDS: Final = 0.02
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_INODE: Final = 9


@dataclass
class Watch:
    """`grown` is the most memory above what there was at the beginning, in bytes; `lags` in seconds."""

    before: int
    most: int
    lags: list[float] = field(default_factory=list)

    @property
    def grown(self) -> int:
        return self.most - self.before

    @property
    def lag_p99(self) -> float:
        return sorted(self.lags)[int(0.99 * (len(self.lags) - 1))] if self.lags else 0.0


@contextmanager
def watching() -> Iterator[Watch]:
    """Samples until the block ends: memory from a thread, so that a loop that hangs is seen as well."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # growth would hide in memory that was freed before
    watch = Watch(_resident(), _resident())
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(_LOOK_SECONDS):
            watch.most = max(watch.most, _resident())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    lagging = asyncio.get_running_loop().create_task(_lag(watch))
    try:
        yield watch
    finally:
        lagging.cancel()
        stop.set()
        thread.join()


def sockets_to(hosts: Set[str]) -> int:
    """How many sockets of this process lead to one of these IPv4 addresses."""
    ours = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            ours.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    count = 0
    for line in Path("/proc/self/net/tcp").read_text("ascii").splitlines()[1:]:
        words = line.split()
        host = bytes.fromhex(words[2].partition(":")[0])[::-1]
        there = ".".join(map(str, host)) in hosts
        count += there and f"socket:[{words[_INODE]}]" in ours
    return count


async def _lag(watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LOOK_SECONDS
        await asyncio.sleep(_LOOK_SECONDS)
        watch.lags.append(max(0.0, loop.time() - due))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE
