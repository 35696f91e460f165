"""Keyset pages, newest first: as fast at the last page as at the first."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import tuple_
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from orchestrator.domain.errors import InvalidInput

Row = TypeVar("Row")


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
        statement = statement.where(key < tuple_(*_decode(cursor)))
    ordered = statement.order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)
    rows = list((await session.exec(ordered)).all())
    more = len(rows) > limit
    return Page(rows[:limit], _encode(rows[limit - 1]) if more else None)


def _encode(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode()


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        return datetime.fromisoformat(at), UUID(row_id)
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise InvalidInput("cursor is not one that this list has given.") from error
