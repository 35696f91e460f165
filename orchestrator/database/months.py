"""
The months that results lie in. Each is a table of its own, made ahead and dropped whole.

Both are refused, as `DatabaseUnavailable`, rather than have whoever reads results wait for long; they are tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

AHEAD: Final = 3  # months that are made beside this one: so long may no worker tidy

_MAKE: Final = text("SELECT make_result_months(:ahead)")
_DROP: Final = text("SELECT drop_result_month(:kept)")
_ALL: Final = text(
    """
    SELECT name, begins, bytes, results, :kept > 0 AND coalesce(begins <
        (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => :kept)) AT TIME ZONE 'UTC', false) AS goes
    FROM result_months()
    """
)


class Month(NamedTuple):
    """`begins` is None for what no month was made for yet; `results` is PostgreSQL's own estimate; `goes`: is too old."""

    name: str
    begins: datetime | None
    bytes: int
    results: int
    goes: bool


async def make(session: AsyncSession, ahead: int = AHEAD) -> list[str]:
    """This month and the next ones, and those of results that had none; the names of the new ones. For workers only."""
    found = await session.exec(_MAKE, params={"ahead": ahead})  # type: ignore[call-overload]
    made: list[str] = found.scalar_one()
    return made


async def drop_oldest(session: AsyncSession, kept: int) -> str | None:
    """Drop the oldest month that ended `kept` whole months ago; None where there is none. For workers only."""
    found = await session.exec(_DROP, params={"kept": kept})  # type: ignore[call-overload]
    name: str | None = found.scalar_one()
    return name


async def of_all(session: AsyncSession, kept: int) -> Sequence[Month]:
    """The oldest first, and which of them go where `kept` whole months are kept; 0: none. For workers only."""
    rows = (await session.exec(_ALL, params={"kept": kept})).all()  # type: ignore[call-overload]
    return [Month(*row) for row in rows]
