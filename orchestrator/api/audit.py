"""The audit log: who changed what of a supplier's, and every login to an instance."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict

from orchestrator.api.auth import Reader
from orchestrator.api.shapes import Cursor, Limit, PageShape
from orchestrator.api.shown import Shown
from orchestrator.api.surface import Given
from orchestrator.database import audit

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class AuditShape(Shown):
    """
    `actor` is what was signed in with: `session`, `api_key <public id>` or `worker`; `action` is a table and what
    was done to it, and `detail` of an update has each changed column with its value before and after.
    """

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": 7,
                "at": "2026-11-25T10:00:00Z",
                "actor": "session",
                "action": "gpu_inventory.update",
                "subject_id": "5f0c2f5e-52b6-4f1e-9f0a-0a4f5d1f2a11",
                "instance_id": "0d9f1a52-6c7e-4f7c-9d55-0a6f3a1f2b22",
                "detail": {"hours_available": [0, 120]},
            }
        },
    )

    id: int
    at: datetime
    actor: str
    action: str
    subject_id: UUID | None
    instance_id: UUID | None
    detail: dict[str, Any]


@router.get("", operation_id="listAudit")
async def list_audit(
    caller: Reader,
    given: Given,
    instance_id: UUID | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageShape[AuditShape]:
    """What happened, newest first; of one instance also after it was deleted."""
    async with given.database.transaction(caller.principal) as session:
        page = await audit.page(session, instance_id, limit, cursor)
    items = [AuditShape.model_validate(row) for row in page.rows]
    return PageShape(items=items, next_cursor=page.next_cursor)
