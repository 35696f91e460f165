"""Whose certificates a supplier takes for the word of its machines."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import HostAuthority
from orchestrator.domain.errors import InvalidInput, NotFound

_TOO_MANY = "54000"


async def every(session: AsyncSession, user_id: UUID | None = None) -> Sequence[HostAuthority]:
    """The caller's, or for workers this supplier's, oldest first; there are 32 at most."""
    statement = select(HostAuthority).order_by(col(HostAuthority.created_at), col(HostAuthority.id))
    if user_id is not None:
        statement = statement.where(HostAuthority.user_id == user_id)
    return (await session.exec(statement)).all()


async def add(
    session: AsyncSession, hosts: str, public_key: str, fingerprint: str
) -> HostAuthority:
    """One of the caller's; the same again is the one there is. Raises `InvalidInput` where there are 32."""
    known = select(HostAuthority).where(
        HostAuthority.hosts == hosts, HostAuthority.fingerprint == fingerprint
    )
    if (found := (await session.exec(known)).first()) is not None:
        return found
    values = {"hosts": hosts, "public_key": public_key, "fingerprint": fingerprint}
    try:
        await session.exec(insert(HostAuthority).values(**values).on_conflict_do_nothing())
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _TOO_MANY:
            raise
        raise InvalidInput("There are 32 host authorities already; delete one first.") from error
    return (await session.exec(known)).one()


async def remove(session: AsyncSession, authority_id: UUID) -> None:
    """Raises `NotFound`. The keys that it has vouched for stay on record."""
    statement = delete(HostAuthority).where(col(HostAuthority.id) == authority_id)
    if (await session.exec(statement)).rowcount == 0:
        raise NotFound(f"No host authority {authority_id}.")
