"""Attempts: what may be tried only so often, counted in the database for all servers together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_BEGIN: Final = text("SELECT begin_attempt(:ids, :free, :longest, :for_strangers)")
_END: Final = text("SELECT end_attempt(:ids, :for_strangers)")
_NOTE: Final = text("SELECT note_failed_sign_in(:id, :email, :network)")


@dataclass(frozen=True)
class Counter:
    """
    `id` is a SHA-256. `free` failures cost nothing; then the wait doubles from a second to `longest` ones. Those
    `for_strangers` do not count where the first of an attempt's counters has known a success.
    """

    id: bytes
    free: int
    longest: float
    for_strangers: bool = False


async def begin(session: AsyncSession, counters: Sequence[Counter]) -> float:
    """Count an attempt as failed, until `succeed`; or the seconds to wait, and nothing was counted."""
    parameters = _told(counters) | {
        "free": [each.free for each in counters],
        "longest": [each.longest for each in counters],
    }
    found = await session.exec(_BEGIN, params=parameters)  # type: ignore[call-overload]
    wait: float = found.scalar_one()
    return wait


async def succeed(session: AsyncSession, counters: Sequence[Counter]) -> None:
    """The first counter starts anew; the others take this attempt back."""
    await session.exec(_END, params=_told(counters))  # type: ignore[call-overload]


async def note_failed_sign_in(
    session: AsyncSession, counted: bytes, email: str, network: str
) -> None:
    """In the log of the account with this address, if there is one, and not more often than is of use."""
    parameters = {"id": counted, "email": email, "network": network}
    await session.exec(_NOTE, params=parameters)  # type: ignore[call-overload]


def _told(counters: Sequence[Counter]) -> dict[str, Any]:
    return {
        "ids": [each.id for each in counters],
        "for_strangers": [each.for_strangers for each in counters],
    }
