"""How much goes out at a time: lookups of names, and connections to one address. One gate a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final

# A place that is given back; doing it again changes nothing.
Leave = Callable[[], None]

_LOOKUPS: Final = 32  # each is a thread for as long as the resolver takes
_LOOKUPS_OF_ONE: Final = 8
# That have not logged in yet. sshd itself drops some of them beyond ten (MaxStartups), and many machines may share an
# address; a stranger's hears no more of us than this.
_CONNECTIONS: Final = 32
_CONNECTIONS_OF_ONE: Final = 16


class Gate:
    """
    Places for lookups and for connections that have not logged in yet, a share of them for each tenant: what hangs
    for one keeps no other waiting.
    """

    def __init__(self) -> None:
        self._lookups = _Line(_LOOKUPS)
        self._lookups_of_one = _Line(_LOOKUPS_OF_ONE)
        self._connections = _Line(_CONNECTIONS)
        self._connections_of_one = _Line(_CONNECTIONS_OF_ONE)

    async def lookup(self, tenant: str) -> Leave:
        """Wait for the place of one lookup."""
        return await _both(self._lookups_of_one.take(tenant), self._lookups, None)

    async def connection(self, tenant: str, address: str) -> Leave:
        """Wait for the place of one connection to `address`."""
        share = self._connections_of_one.take((tenant, address))
        return await _both(share, self._connections, address)


class _Line:
    """At most `most` at a time of each key; first come, first served."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[Hashable, asyncio.Semaphore] = {}
        self._present: dict[Hashable, int] = {}

    async def take(self, key: Hashable) -> Leave:
        semaphore = self._open.setdefault(key, asyncio.Semaphore(self._most))
        self._present[key] = self._present.get(key, 0) + 1
        try:
            await semaphore.acquire()
        except BaseException:
            self._go(key)
            raise
        here = True

        def leave() -> None:
            nonlocal here
            if here:
                here = False
                semaphore.release()
                self._go(key)

        return leave

    def _go(self, key: Hashable) -> None:
        self._present[key] -= 1
        if not self._present[key]:
            del self._present[key], self._open[key]


async def _both(share: Coroutine[Any, Any, Leave], line: _Line, key: Hashable) -> Leave:
    """The tenant's own share first, so that it stands in everybody's line with no more than that."""
    leave_share = await share
    try:
        leave_line = await line.take(key)
    except BaseException:
        leave_share()
        raise

    def leave() -> None:
        leave_line()
        leave_share()

    return leave
