"""Claiming a run, with all that is needed to go to its machine: one statement, since a machine waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import (
    CTE,
    DateTime,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database import credentials, host_authorities
from orchestrator.database.models import Credential, HostAuthority, Instance, Run, RunEvent
from orchestrator.database.session import NOW
from orchestrator.domain.run_states import UNFINISHED, RunState

_EVENT: Final = ("run_id", "seq", "user_id", "at", "type", "body")


@dataclass(frozen=True)
class Login:
    """What is on record of how to log in to an instance, and of who vouches for its supplier's machines, oldest first."""

    credential: Credential | None
    authorities: Sequence[HostAuthority]


@dataclass(frozen=True)
class Claimed:
    """A run that is ours now, its instance, and how to get there."""

    run: Run
    instance: Instance
    login: Login


async def claim(
    session: AsyncSession, run_id: UUID, worker: str, held: int | None = None
) -> Claimed | None:
    """
    Own the run: its epoch is raised, so that whoever owned it before can write no more, and an event tells of it. A worker
    that had the run under epoch `held` gets it again only if nobody else has claimed it since.

    None if the run is finished, which is final, or is another worker's now.
    """
    parameters = {"wanted": run_id, "claimant": worker, "held": held, "told_at": datetime.now(UTC)}
    rows = (await session.exec(_CLAIM, params=parameters)).all()  # type: ignore[call-overload]
    if not rows:
        return None
    run, instance, credential, _ = rows[0]
    authorities = [authority for *_, authority in rows if authority is not None]
    return Claimed(run, instance, Login(credential, authorities))


async def login(session: AsyncSession, instance: Instance) -> Login:
    """As it is now."""
    credential = await credentials.sealed(session, instance)
    return Login(credential, await host_authorities.every(session, instance.user_id))


def _claiming() -> Select[Run, Instance, Credential, HostAuthority]:
    """A row for each authority, or one; they differ in nothing else."""
    raised = _raised()
    run, own = aliased(Run, raised), aliased(Credential)
    credential_id = (
        select(col(own.id))
        .where(col(own.user_id) == Instance.user_id)
        .where(or_(col(own.instance_id) == Instance.id, col(own.instance_id).is_(None)))
        .order_by(col(own.instance_id).nulls_last())
        .limit(1)
        .correlate(Instance)
        .scalar_subquery()
    )
    return (
        select(run, Instance, Credential, HostAuthority)
        .join(Instance, col(Instance.id) == run.instance_id)
        .outerjoin(Credential, col(Credential.id) == credential_id)
        .outerjoin(HostAuthority, col(HostAuthority.user_id) == run.user_id)
        .order_by(col(HostAuthority.created_at), col(HostAuthority.id))
        .add_cte(_told(raised))
        .execution_options(populate_existing=True)
    )


def _raised() -> CTE:
    held, worker = bindparam("held", type_=Integer), bindparam("claimant", type_=Text)
    # The last case: our own last claim was committed and we never heard.
    mine = or_(
        held.is_(None),
        col(Run.epoch) == held,
        and_(col(Run.epoch) == held + 1, col(Run.worker) == worker),
    )
    return (
        update(Run)
        .where(col(Run.id) == bindparam("wanted", type_=Uuid), col(Run.state).in_(UNFINISHED), mine)
        .values(
            state=RunState.CONNECTING,
            epoch=Run.epoch + 1,
            attempt=Run.attempt + 1,
            worker=worker,
            claimed_at=NOW,
            last_seq=Run.last_seq + 1,
        )
        .returning(Run)
        .cte("raised")
    )


def _told(raised: CTE) -> CTE:
    """The event of its new state."""
    run = raised.c
    body = func.jsonb_build_object(
        *("state", run.state, "attempt", run.attempt, "worker", run.worker)
    )
    at = bindparam("told_at", type_=DateTime(timezone=True))
    event = select(run.id, run.last_seq, run.user_id, at, literal("state"), body)
    return insert(RunEvent).from_select(_EVENT, event, include_defaults=False).cte("told")


# Made once: to put it together anew takes longer than to carry it out.
_CLAIM: Final = _claiming()
