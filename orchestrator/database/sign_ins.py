"""Sign-ins: the rows of `sessions`. Their ids are in tokens; opening and using one goes through a door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import SignIn
from orchestrator.database.session import NOW
from orchestrator.domain.errors import NotFound

_OPEN: Final = text("SELECT open_session(:user_id, :user_agent, :seconds)")
_USE: Final = text("SELECT use_session(:sign_in_id)")
_LIVE: Final = (col(SignIn.revoked_at).is_(None), col(SignIn.expires_at) > NOW)


async def open_sign_in(
    session: AsyncSession, user_id: UUID, user_agent: str | None, seconds: float
) -> UUID:
    """The id of a new one that lasts so long."""
    parameters = {"user_id": user_id, "user_agent": user_agent, "seconds": seconds}
    found = await session.exec(_OPEN, params=parameters)  # type: ignore[call-overload]
    sign_in_id: UUID = found.scalar_one()
    return sign_in_id


async def use(session: AsyncSession, sign_in_id: UUID) -> UUID | None:
    """Whose it is, noting that it was seen; None once it is over or revoked."""
    found = await session.exec(_USE, params={"sign_in_id": sign_in_id})  # type: ignore[call-overload]
    user_id: UUID | None = found.scalar_one()
    return user_id


async def live(session: AsyncSession, limit: int) -> Sequence[SignIn]:
    """The caller's that are neither over nor revoked, newest first."""
    statement = select(SignIn).where(*_LIVE).order_by(col(SignIn.created_at).desc()).limit(limit)
    return (await session.exec(statement)).all()


async def revoke(session: AsyncSession, sign_in_id: UUID) -> None:
    """Raises `NotFound` for one that is not the caller's, or is over or revoked already."""
    statement = update(SignIn).where(col(SignIn.id) == sign_in_id, *_LIVE).values(revoked_at=NOW)
    if (await session.exec(statement)).rowcount != 1:
        raise NotFound(f"No session {sign_in_id} that could be ended.")
