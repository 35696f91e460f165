"""How much goes out at a time: lookups of names, and connections to one address. One gate a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from typing import Final
from weakref import WeakValueDictionary

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
        with ExitStack() as place:
            await self._lookups_of_one.take(tenant, place)
            await self._lookups.take(None, place)
            return place.pop_all().close

    async def connection(self, tenant: str, address: str) -> Leave:
        """Wait for the place of one connection to `address`."""
        with ExitStack() as place:
            # The tenant's own share first, so that it stands in everybody's line with no more than that.
            await self._connections_of_one.take((tenant, address), place)
            await self._connections.take(address, place)
            return place.pop_all().close


class _Line:
    """At most `most` at a time of each key; first come, first served."""

    def __init__(self, most: int) -> None:
        self._most = most
        # One is gone with the last who waits for it or has a place.
        self._open: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    async def take(self, key: Hashable, place: ExitStack) -> None:
        """Wait for one of the key's places, which is given back when `place` closes."""
        semaphore = self._open.setdefault(key, asyncio.Semaphore(self._most))
        await semaphore.acquire()
        place.callback(semaphore.release)
