"""
Which machine an instance is: the key on record, how it came there, and another one that was shown since.

What a worker writes is of the address where it has been: a machine's key is never put on record for another address, to
which its instance was moved meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, or_, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.instances import get
from orchestrator.database.models import Instance
from orchestrator.domain.errors import HostKeyNotOffered, NotFound

_ACCEPT: Final = text("SELECT accept_host_key(:id, :host_key)")
_PIN: Final = text("SELECT pin_checked_host_key(:id, :check_id)")
_NONE_OFFERED: Final[dict[str, Any]] = {"host_key_offered": None, "host_key_offered_at": None}


async def pin(session: AsyncSession, instance: Instance, host_key: str) -> str | None:
    """
    Store the key of the first contact, unless another worker was first; the key on record. None where the instance was
    moved since, or is held to another fingerprint.
    """
    given = instance.host_key_given
    await _change(
        session,
        instance,
        col(Instance.host_key).is_(None),
        col(Instance.host_key_given).is_not_distinct_from(given),
        host_key=host_key,
        host_key_trust="first_contact" if given is None else "given",
        host_key_seen_at=func.now(),
        host_key_confirmed_at=None if given is None else func.now(),
        **_NONE_OFFERED,
    )
    found = await session.exec(select(Instance.host_key).where(_there(instance)))
    return found.one_or_none()


async def offer(
    session: AsyncSession, instance: Instance, pinned: str | None, presented: str
) -> None:
    """The machine showed another key than the one it is pinned to; for workers. The same again changes nothing."""
    await _change(
        session,
        instance,
        _pinned(pinned),
        col(Instance.host_key_offered).is_distinct_from(presented),
        host_key_offered=presented,
        host_key_offered_at=func.now(),
    )


async def withdraw(session: AsyncSession, instance: Instance, pinned: str | None) -> None:
    """The machine showed a key that is trusted again, so no other is on offer; for workers."""
    offered = col(Instance.host_key_offered).is_not(None)
    await _change(session, instance, _pinned(pinned), offered, **_NONE_OFFERED)


async def rotate(
    session: AsyncSession, instance: Instance, before: Sequence[str], after: Sequence[str]
) -> None:
    """
    The key on record has proved which keys the machine has now, that one first; for workers. Who has confirmed the key
    before has confirmed the one that it proved.
    """
    first = after[0]
    await _change(
        session,
        instance,
        _pinned(before[0]),
        col(Instance.host_keys_proved).is_not_distinct_from(list(before[1:]) or None),
        host_key=first,
        host_keys_proved=list(after[1:]) or None,
        host_key_trust=case(
            (col(Instance.host_key) == first, col(Instance.host_key_trust)), else_="rotated"
        ),
        host_key_seen_at=func.now(),
    )


async def certify(session: AsyncSession, instance: Instance, host_key: str) -> None:
    """A certificate of one of the supplier's authorities says that this key is the machine's; for workers."""
    trust = col(Instance.host_key_trust)
    seen_only = or_(trust.is_(None), trust.in_(("first_contact", "checked")))
    await _change(
        session,
        instance,
        or_(col(Instance.host_key).is_distinct_from(host_key), seen_only),
        host_key=host_key,
        host_key_trust="authority",
        host_key_seen_at=func.now(),
        host_key_confirmed_at=None,
        host_keys_proved=None,
    )
    await withdraw(session, instance, host_key)


async def accept(session: AsyncSession, instance_id: UUID, host_key: str) -> Instance:
    """
    Confirm the key on record, or take the one on offer, named by its line or its fingerprint. Raises `NotFound`, and
    `HostKeyNotOffered` where it is neither.
    """
    instance = await get(session, instance_id)
    try:
        await session.exec(_ACCEPT, params={"id": instance_id, "host_key": host_key})  # type: ignore[call-overload]
    except DBAPIError as error:
        if _found_nothing(error):
            raise HostKeyNotOffered() from error
        raise
    await session.refresh(instance)
    return instance


async def pin_checked(session: AsyncSession, instance_id: UUID, check_id: UUID) -> Instance:
    """
    A new instance keeps the host key that the check of its address saw, unless it is held to another fingerprint. Raises
    `NotFound`.
    """
    try:
        await session.exec(_PIN, params={"id": instance_id, "check_id": check_id})  # type: ignore[call-overload]
    except DBAPIError as error:
        if _found_nothing(error):
            raise NotFound(
                "No connection check with this id has seen a host key at this address."
            ) from error
        raise
    instance = await get(session, instance_id)
    await session.refresh(instance)
    return instance


async def _change(
    session: AsyncSession, instance: Instance, *still: ColumnElement[bool], **values: Any
) -> None:
    """Of the instance where it was, while what was read of it is `still` so."""
    await session.exec(update(Instance).where(_there(instance), *still).values(**values))


def _pinned(host_key: str | None) -> ColumnElement[bool]:
    return col(Instance.host_key).is_not_distinct_from(host_key)


def _there(instance: Instance) -> ColumnElement[bool]:
    """The instance, for as long as it is where it was."""
    return and_(
        col(Instance.id) == instance.id,
        col(Instance.ssh_host) == instance.ssh_host,
        col(Instance.ssh_port) == instance.ssh_port,
    )


def _found_nothing(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "P0002"
