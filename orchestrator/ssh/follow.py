"""Follow a run's events as raw bytes, and read how it ended."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.domain.errors import AgentTimedOut, OutputFlood
from orchestrator.domain.sanitise import printable
from orchestrator.ssh.session import Session

NO_END: Final = "no_end"
MOST_BYTES: Final = 64 * 1024 * 1024
REASONS: Final = frozenset(
    {"deadline", "output_limit", "disk_full", "supervisor_lost", "host_rebooted", "folder_lost"}
)
_SIGNAL: Final = re.compile(r"[A-Z0-9+-]{1,16}")
_STDERR_SHOWN: Final = 4096


@dataclass(frozen=True)
class End:
    """
    How the run ended, as the machine tells it: exit status or signal of the benchmark, one of
    `REASONS` (or `NO_END` when it told nothing we can read), and bytes of its events in all.
    """

    status: int | None = None
    signal: str | None = None
    reason: str | None = None
    bytes: int | None = None
    stderr_tail: str = ""
    rebooted: bool = False


class Following:
    """
    A launched run. `attached`: it ran before; `pushed`: the way the agent was copied just now.
    `end` is there once `chunks` is exhausted.
    """

    def __init__(
        self, session: Session, marker: str, *, attached: bool, pushed: str | None, closing: float
    ) -> None:
        self.attached = attached
        self.pushed = pushed
        self.end: End | None = None
        self._session = session
        self._marker = marker
        self._closing = closing

    async def chunks(
        self, *, deadline: float, idle: float | None = None, max_bytes: int = MOST_BYTES
    ) -> AsyncIterator[bytes]:
        """
        The bytes of events.ndjson from the ordered offset on, at most 64 KiB at a time.
        `deadline` in the event loop's time; `idle` in seconds without a byte.

        Raises `AgentTimedOut` after either, `OutputFlood` beyond `max_bytes` in all,
        `ConnectionLost` when the connection breaks.
        """
        received = 0
        while chunk := await self._read(deadline, idle, received):
            received += len(chunk)
            if received > max_bytes:
                raise OutputFlood(
                    f"More than {max_bytes} bytes came.", evidence={"bytes": received}
                )
            yield chunk
        stderr = await self._session.stderr_tail(seconds=self._closing)
        self.end = parse_end(stderr, self._marker)

    async def _read(self, deadline: float, idle: float | None, received: int) -> bytes:
        until = deadline
        if idle is not None:
            until = min(deadline, asyncio.get_running_loop().time() + idle)
        try:
            # A machine that always has something to say never lets a timeout come to its turn.
            if asyncio.get_running_loop().time() >= until:
                raise TimeoutError
            async with asyncio.timeout_at(until):
                return await self._session.read()
        except TimeoutError as error:
            what = "the deadline" if until == deadline else f"{idle:g} s without output"
            raise AgentTimedOut(
                f"It was given up after {what}.",
                evidence={"bytes": received, **self._session.evidence()},
            ) from error


def parse_end(stderr: bytes, marker: str) -> End:
    """The end line in a tail of stderr. Pure; whatever is not exactly one is `NO_END`."""
    lines = re.findall(rb"@harborx " + marker.encode("ascii") + rb" end ([^\n]*)\n", stderr)
    end = _decode(lines[-1]) if lines else None
    if end is None:
        shown = printable(stderr[-_STDERR_SHOWN:].decode("utf-8", "replace"), _STDERR_SHOWN)
        return End(reason=NO_END, stderr_tail=shown)
    return end


def _decode(line: bytes) -> End | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not _is_valid(said):
        return None
    return End(
        status=said["status"],
        signal=said["signal"],
        reason=said["reason"],
        bytes=said["bytes"],
        stderr_tail=printable(said["stderr_tail"], _STDERR_SHOWN),
        rebooted=said["rebooted"],
    )


def _is_valid(said: dict[str, Any]) -> bool:
    return (
        _is_count(said.get("status", ""), 255)
        and _is_count(said.get("bytes", ""), 1 << 50)
        and _is_none_or_matches(said.get("signal", ""), _SIGNAL)
        and (said.get("reason", "") is None or said.get("reason") in tuple(REASONS))
        and isinstance(said.get("stderr_tail"), str)
        and isinstance(said.get("rebooted"), bool)
    )


def _is_count(value: object, most: int) -> bool:
    return value is None or (type(value) is int and 0 <= value <= most)


def _is_none_or_matches(value: object, pattern: re.Pattern[str]) -> bool:
    return value is None or (isinstance(value, str) and pattern.fullmatch(value) is not None)
