"""
Connection checks. A supplied key is sealed in the row only until a worker takes the check: that deletes it.

A check has two minutes from when it was asked for, waiting included: a person waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import func, insert, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import defer
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.contacts import CHECKS_PER_HOUR, none_left
from orchestrator.database.models import ConnectionCheck
from orchestrator.database.session import NOW
from orchestrator.database.vault_keys import retired
from orchestrator.domain.errors import HarborxError, NotFound, TooManyChecks

SECONDS: Final = 120.0
_MOST_UNFINISHED: Final = (
    3  # of one supplier: a check makes us connect somewhere, and workers carry out few at a time
)

_ONE_AT_A_TIME: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:user_id, 0))")
_DEFER: Final = text("SELECT defer_connection_check(:id, :per_hour)")
_UNSEALED: Final = tuple(
    defer(column, raiseload=True)  # type: ignore[arg-type]
    for column in (
        col(ConnectionCheck.key_id),
        col(ConnectionCheck.wrapped_key),
        col(ConnectionCheck.ciphertext),
    )
)
_WIPED: Final = {"key_id": None, "wrapped_key": None, "ciphertext": None}


@dataclass(frozen=True)
class NewCheck:
    """What a supplier asks us to look at; `sealed` are the columns of a supplied key."""

    id: UUID
    user_id: UUID
    ssh_host: str
    ssh_port: int
    ssh_user: str
    login: Literal["supplied", "shared", "certificate"]
    sealed: dict[str, Any]


class Claimed(NamedTuple):
    """A check that is the caller's to carry out, with its sealed key as it was, and the seconds it has left."""

    check: ConnectionCheck
    seconds: float


async def add(
    session: AsyncSession, new: NewCheck, per_hour: int = CHECKS_PER_HOUR
) -> ConnectionCheck:
    """The check and its job, in the supplier's transaction. Raises `TooManyChecks` and `TooManyContacts`."""
    await session.exec(_ONE_AT_A_TIME, params={"user_id": str(new.user_id)})  # type: ignore[call-overload]
    await require_room(session)
    values = {
        "id": new.id,
        "ssh_host": new.ssh_host,
        "ssh_port": new.ssh_port,
        "ssh_user": new.ssh_user,
        "login": new.login,
        **new.sealed,
    }
    try:
        await session.exec(insert(ConnectionCheck).values(**values))
        await session.exec(_DEFER, params={"id": new.id, "per_hour": per_hour})  # type: ignore[call-overload]
    except DBAPIError as error:
        if refused := none_left(error) or retired(error):
            raise refused from error
        raise
    return await get(session, new.id)


async def require_room(session: AsyncSession) -> None:
    """Raises `TooManyChecks` where the supplier has as many unfinished ones as it may."""
    unfinished = select(func.count()).where(col(ConnectionCheck.finished_at).is_(None))
    if (await session.exec(unfinished)).one() >= _MOST_UNFINISHED:
        raise TooManyChecks()


async def get(session: AsyncSession, check_id: UUID) -> ConnectionCheck:
    """The check without its sealed columns, if the session's principal may see it; else `NotFound`."""
    statement = select(ConnectionCheck).where(ConnectionCheck.id == check_id).options(*_UNSEALED)
    found = (await session.exec(statement)).one_or_none()
    if found is None:
        raise NotFound(f"No connection check {check_id}.")
    return found


async def claim(session: AsyncSession, check_id: UUID) -> Claimed | None:
    """Take a queued check; its sealed key leaves the database with that. None where it is nobody's to take."""
    statement = (
        select(ConnectionCheck, NOW)
        .where(ConnectionCheck.id == check_id, ConnectionCheck.state == "queued")
        .with_for_update()
    )
    row = (await session.exec(statement)).one_or_none()
    if row is None:
        return None
    check, now = row
    session.expunge(check)  # it keeps what the row loses
    await _change(session, check_id, {"state": "checking", **_WIPED}, state="queued")
    return Claimed(check, SECONDS - (now - check.created_at).total_seconds())


async def grow(session: AsyncSession, check_id: UUID, values: dict[str, Any]) -> bool:
    """Store what a check has come to; False where it was ended meanwhile."""
    return await _change(session, check_id, values)


async def end(session: AsyncSession, check_id: UUID, error: HarborxError | None) -> bool:
    """It has passed, or failed with `error`; False where it was ended meanwhile."""
    return await _change(session, check_id, {**_ending(error), "finished_at": func.now(), **_WIPED})


async def fail_overdue(session: AsyncSession, error: HarborxError) -> int:
    """End the checks whose two minutes are over: nobody has taken them, or their worker died; how many."""
    statement = (
        update(ConnectionCheck)
        .where(
            col(ConnectionCheck.finished_at).is_(None),
            col(ConnectionCheck.created_at)
            < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, SECONDS),
        )
        .values(**_ending(error), finished_at=func.now(), **_WIPED)
    )
    return (await session.exec(statement)).rowcount


async def _change(
    session: AsyncSession, check_id: UUID, values: dict[str, Any], state: str = "checking"
) -> bool:
    statement = (
        update(ConnectionCheck)
        .where(col(ConnectionCheck.id) == check_id, col(ConnectionCheck.state) == state)
        .values(**values)
    )
    return bool((await session.exec(statement)).rowcount)


def _ending(error: HarborxError | None) -> dict[str, Any]:
    if error is None:
        return {"state": "passed"}
    return {
        "state": "failed",
        "error_code": error.code,
        "error_message": str(error)[:4000],
        "evidence": error.evidence,
    }
