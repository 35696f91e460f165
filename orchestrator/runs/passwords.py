"""Passwords: argon2id, so many at once and no more, since each takes 64 MiB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from orchestrator.domain.errors import TooManyAttempts

P = ParamSpec("P")
T = TypeVar("T")

_HASHER: Final = PasswordHasher()  # the library's argon2id defaults follow RFC 9106
# Verified against for unknown addresses, so that both refusals take the same time.
_NOBODYS: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$"
    "tn9pwxNjvtxYzPSZXvaXM7M6M2wjKgAN8ScLQ4WgoWw"
)


class Passwords:
    """Threads of their own: who waits for a hash keeps nobody else from theirs."""

    AT_ONCE: Final = 4
    WAITING: Final = 64

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.AT_ONCE, thread_name_prefix="password")
        self._under_way = 0

    async def hash(self, password: str) -> str:
        """Raises `TooManyAttempts` where too many wait already, as does `match`."""
        return await self._apart(_HASHER.hash, password)

    async def match(self, password_hash: str | None, password: str) -> bool:
        """Whether it is this password's; for None it takes as long to say no."""
        matches = await self._apart(_matches, password_hash or _NOBODYS, password)
        return matches and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than are used today."""
        return _HASHER.check_needs_rehash(password_hash)

    async def _apart(self, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        if self._under_way >= self.AT_ONCE + self.WAITING:
            raise TooManyAttempts("Wait 5 seconds.", evidence={"retry_after": 5})
        self._under_way += 1
        try:
            loop = asyncio.get_running_loop()
            future = self._threads.submit(function, *given, **named)
            return await asyncio.wrap_future(future, loop=loop)
        finally:
            self._under_way -= 1


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
