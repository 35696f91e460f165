"""The record of every login of ours to a machine, in the supplier's audit log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import insert, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import AuditEntry, Instance


async def note(
    session: AsyncSession,
    user_id: UUID,
    subject_id: UUID,
    instance_id: UUID | None,
    detail: dict[str, Any],
) -> None:
    """
    A login was made; `subject_id` is the instance, or the check of a machine that is not onboarded. An instance that
    let us in is no stranger's: its next test costs its supplier nothing.
    """
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
    if instance_id is not None:
        await session.exec(
            update(Instance)
            .where(col(Instance.id) == instance_id, col(Instance.lets_us_in).is_(False))
            .values(lets_us_in=True)
        )
