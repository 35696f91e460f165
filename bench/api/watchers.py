"""
Watchers of runs in a process of their own: `python -m bench.api.watchers PORT TOKEN RUN...`, a connection for each RUN.

It says `ready` when all streams have begun, and counts from a line on stdin to the next. Then it says, as one line of JSON,
how long each event had been under way since its writer's clock was read, and which streams had a gap.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any, Final

_SENT: Final = re.compile(rb'"sent": ?([0-9.]+)')
_NUMBER: Final = re.compile(rb"^id: ([0-9]+)$", re.MULTILINE)
_SECONDS: Final = 60.0


class _Watcher(asyncio.Protocol):
    def __init__(self, began: asyncio.Event, taken: list[float]) -> None:
        self._began = began
        self._taken = taken
        self._rest = b""
        self._last = 0
        self.gaps = 0

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._began.set()
        whole, found, rest = (self._rest + data).rpartition(b"\n\n")
        self._rest = rest if found else self._rest + data
        if not found:
            return
        for number in map(int, _NUMBER.findall(whole)):
            self.gaps += self._last not in (0, number - 1)
            self._last = number
        self._taken.extend((now - float(sent)) * 1000 for sent in _SENT.findall(whole))


async def _watch(port: int, token: str, runs: list[str]) -> None:
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    watchers = []
    for run in runs:
        began = asyncio.Event()
        transport, watcher = await loop.create_connection(
            lambda b=began: _Watcher(b, taken), "127.0.0.1", port
        )  # type: ignore[misc]
        transport.write(_request(run, token))
        async with asyncio.timeout(_SECONDS):
            await began.wait()
        watchers.append(watcher)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    taken.clear()
    await loop.run_in_executor(None, sys.stdin.readline)
    print(_told(taken, sum(watcher.gaps for watcher in watchers)), flush=True)


def _request(run: str, token: str) -> bytes:
    lines = [f"GET /v1/runs/{run}/events HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
    return "\r\n".join([*lines, f"Authorization: Bearer {token}", "", ""]).encode()


def _told(taken: list[float], gaps: int) -> str:
    told: dict[str, Any] = {"ms": [round(each, 2) for each in taken], "gaps": gaps}
    return json.dumps(told)


if __name__ == "__main__":
    asyncio.run(_watch(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
