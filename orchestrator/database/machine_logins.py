"""The record of every login of ours to a machine, in the supplier's audit log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import AuditEntry


async def note(
    session: AsyncSession,
    user_id: UUID,
    subject_id: UUID,
    instance_id: UUID | None,
    detail: dict[str, Any],
) -> None:
    """A login was made; `subject_id` is the instance, or the check of a machine that is not onboarded."""
    await session.exec(
        insert(AuditEntry).values(
            user_id=user_id,
            actor="worker",
            action="instance.login",
            subject_id=subject_id,
            instance_id=instance_id,
            detail=detail,
        )
    )
