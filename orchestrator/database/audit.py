"""The audit log, as its supplier reads it; triggers and workers write it."""

from __future__ import annotations

from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import AuditEntry
from orchestrator.database.paging import Page
from orchestrator.domain.errors import InvalidInput


async def page(
    session: AsyncSession, instance_id: UUID | None, limit: int, cursor: str | None
) -> Page[AuditEntry]:
    """Newest first, by the order in which it was written. Raises `InvalidInput` for a foreign cursor."""
    statement = select(AuditEntry)
    if instance_id is not None:
        statement = statement.where(AuditEntry.instance_id == instance_id)
    if cursor is not None:
        statement = statement.where(col(AuditEntry.id) < _position(cursor))
    ordered = statement.order_by(col(AuditEntry.id).desc()).limit(limit + 1)
    rows = list((await session.exec(ordered)).all())
    more = len(rows) > limit
    return Page(rows[:limit], str(rows[limit - 1].id) if more else None)


def _position(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise InvalidInput("cursor is not one that this list has given.", field="cursor")
    return int(cursor)
