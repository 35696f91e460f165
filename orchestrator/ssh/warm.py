"""Connections that stay open for a while after a run, for a next one that would log in in the very same way."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from orchestrator.ssh.connection import Connection, Target

_OLDEST: Final = (
    15 * 60.0
)  # seconds since the login: a machine that no longer wants us is asked again
_CLOSE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class _Kept:
    target: Target
    connection: Connection
    expiry: asyncio.TimerHandle


class WarmConnections:
    """
    Of each instance the newest one, each for `seconds`, and at most `most` of them; before it is entered, and
    afterwards, it keeps none.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._open = False
        self._kept: dict[UUID, _Kept] = {}  # the one that was kept first comes first

    async def __aenter__(self) -> Self:
        self._open = self._seconds > 0 and self._most > 0
        return self

    async def __aexit__(
        self,
        fault: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False
        dropped = [self._drop(instance_id) for instance_id in list(self._kept)]
        await asyncio.gather(*(each.close(_CLOSE_SECONDS) for each in dropped))

    def take(self, instance_id: UUID, target: Target) -> Connection | None:
        """
        The connection that was kept for the instance, as its caller's own: where it was logged in to by all that the
        target says, and nothing of an earlier run is still open on it. Any other is closed.
        """
        kept = self._kept.pop(instance_id, None)
        if kept is None:
            return None
        kept.expiry.cancel()
        connection = kept.connection
        young = time.monotonic() - connection.since < _OLDEST
        if kept.target == target and connection.quiet and young:
            return connection
        connection.ssh.abort()
        return None

    def keep(self, instance_id: UUID, target: Target, connection: Connection) -> bool:
        """
        Whether it is ours from here on. One is not where something went wrong, or where each login has a key of its own.
        """
        sound = not connection.lost and not connection.spoiled
        if not self._open or not sound or target.certificate is not None:
            return False
        if instance_id in self._kept:
            self._drop(instance_id)
        while len(self._kept) >= self._most:
            self._drop(next(iter(self._kept)))
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(self._seconds, self._drop, instance_id)
        self._kept[instance_id] = _Kept(target, connection, expiry)
        return True

    def _drop(self, instance_id: UUID) -> Connection:
        kept = self._kept.pop(instance_id)
        kept.expiry.cancel()
        kept.connection.ssh.abort()
        return kept.connection
