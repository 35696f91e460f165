"""
Keyset pages, newest first: as fast at the last page as at the first.

A cursor is a place in an order, and nothing that has to be kept from anybody: one that somebody makes up leads to
another place among the caller's own rows. It is taken in the one spelling that we give, so that nothing else of a
caller's gets near a statement.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from sqlalchemy import tuple_
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from orchestrator.domain.errors import InvalidInput

Row = TypeVar("Row")

_LONGEST: Final = 120
_BEFORE_ALL: Final = datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """`next_cursor` is None on the last page."""

    rows: list[Row]
    next_cursor: str | None


async def newest_first(
    session: AsyncSession,
    statement: SelectOfScalar[Row],
    table: Any,
    limit: int,
    cursor: str | None,
) -> Page[Row]:
    """Up to `limit` rows of `statement` after `cursor`. Raises `InvalidInput` for a foreign cursor."""
    key = tuple_(table.created_at, table.id)
    if cursor is not None:
        statement = statement.where(key < tuple_(*position(cursor)))
    ordered = statement.order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)
    rows = list((await session.exec(ordered)).all())
    more = len(rows) > limit
    return Page(rows[:limit], cursor_behind(rows[limit - 1]) if more else None)


def cursor_behind(row: Any, time: str = "created_at") -> str:
    """For the page that goes on after `row`, in the order of its `time` and id."""
    return _cursor(getattr(row, time), row.id)


def position(cursor: str | None) -> tuple[datetime, UUID]:
    """Where a page begins; None: before all rows. Raises `InvalidInput` for a cursor that is not ours."""
    if cursor is None:
        return _BEFORE_ALL
    try:
        at, row_id = base64.urlsafe_b64decode(cursor[:_LONGEST].encode()).decode().split(" ")
        found = datetime.fromisoformat(at), UUID(row_id)
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise _foreign() from error
    if found[0].tzinfo is None or _cursor(*found) != cursor:  # spelled as we never do
        raise _foreign()
    return found


def _cursor(at: datetime, row_id: UUID) -> str:
    return base64.urlsafe_b64encode(f"{at.isoformat()} {row_id}".encode()).decode()


def _foreign() -> InvalidInput:
    return InvalidInput("cursor is not one that this list has given.", field="cursor")
