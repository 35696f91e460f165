"""The caller's sessions: where they are signed in, and ending one from afar."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel

from orchestrator.api.auth import Authenticating, Reader, Tester
from orchestrator.api.surface import Given
from orchestrator.database import sign_ins
from orchestrator.domain.errors import NotAllowed

router = APIRouter(prefix="/v1/sessions", tags=["accounts"])

_MOST: Final = 200


class SignInShape(BaseModel):
    """A session as `user_agent` told of itself; `last_seen_at` is to the minute, `current` is the one that asks."""

    id: UUID
    user_agent: str | None
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    current: bool


@router.get("", operation_id="listSessions")
async def list_sessions(caller: Reader, given: Given) -> list[SignInShape]:
    """The caller's sessions that have not ended, newest first, at most 200."""
    async with given.database.transaction(caller.principal) as session:
        rows = await sign_ins.live(session, _MOST)
    return [
        SignInShape(
            id=row.id,
            user_agent=row.user_agent,
            created_at=row.created_at,
            last_seen_at=row.last_seen_at,
            expires_at=row.expires_at,
            current=row.id == caller.session_id,
        )
        for row in rows
    ]


@router.delete("/{session_id}", operation_id="revokeSession", status_code=204)
async def delete_session(
    session_id: UUID, caller: Tester, given: Given, authenticator: Authenticating
) -> Response:
    """
    End a session: its token and cookie count no longer, within 5 seconds at every server. For sessions only: an API
    key that leaked must not shut its owner out.
    """
    if caller.via != "session":
        raise NotAllowed("An API key ends no sessions.")
    async with given.database.transaction(caller.principal) as session:
        await sign_ins.revoke(session, session_id)
    authenticator.sessions.forget(session_id)
    return Response(status_code=204)
