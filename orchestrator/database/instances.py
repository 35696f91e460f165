"""Instances with their inventory item and credential."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete as remove
from sqlalchemy import func, insert, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database import runs
from orchestrator.database.models import Instance, InventoryItem, Schedule
from orchestrator.database.paging import Page, newest_first
from orchestrator.database.session import constraint_of
from orchestrator.domain.errors import (
    AlreadyOnboarded,
    HostKeyNotOffered,
    InvalidInput,
    NotFound,
    RunInProgress,
)

_CLAIMS = frozenset(
    {
        "vast_instance_id",
        "vast_offer_id",
        "vast_machine_id",
        "ssh_host",
        "ssh_port",
        "ssh_user",
        "gpu_name",
        "gpu_count",
        "cuda_version",
        "disk_space_gb",
        "cpu_count",
        "attributes",
        "provider",
        "location",
        "price_per_hour",
    }
)
_ADDRESS: Final = ("ssh_host", "ssh_port", "ssh_user")
CHANGEABLE: Final = frozenset({"provider", "location", "price_per_hour", "listed", *_ADDRESS})

_ACCEPT: Final = text("SELECT accept_host_key(:id, :host_key)")
_PIN: Final = text("SELECT pin_checked_host_key(:id, :check_id)")


async def onboard(session: AsyncSession, claims: dict[str, Any]) -> Instance:
    """
    A new instance of the caller with an inactive inventory item for it; keys of `claims` are `Instance`'s.

    Raises `AlreadyOnboarded` where the caller has this `vast_instance_id` already.
    """
    unknown = claims.keys() - _CLAIMS
    if unknown:
        raise TypeError(f"not a supplier's to claim: {sorted(unknown)}")
    item = {
        "gpu_model": claims.get("gpu_name") or "Unknown",
        "quantity": claims.get("gpu_count") or 1,
        "status": "inactive",
    }
    inventory_id = (
        await session.exec(insert(InventoryItem).values(**item).returning(col(InventoryItem.id)))
    ).scalar_one()
    values = {getattr(Instance, name): value for name, value in claims.items()}
    statement = insert(Instance).values({**values, Instance.gpu_inventory_id: inventory_id})
    try:
        created = await session.exec(statement.returning(col(Instance.id)))
    except IntegrityError as error:
        if constraint_of(error) == "gpu_instances_user_id_vast_instance_id_key":
            raise AlreadyOnboarded(f"instance_id {claims['vast_instance_id']!r}.") from error
        if constraint_of(error) == "gpu_instances_metadata_check":
            raise InvalidInput("metadata is over 64 KiB.") from error
        raise
    return await get(session, created.scalar_one())


async def lock(session: AsyncSession, instance_id: UUID) -> None:
    """Whoever changes an instance together with its run locks the instance first: one order, no deadlock."""
    await session.exec(select(Instance.id).where(Instance.id == instance_id).with_for_update())


async def get(session: AsyncSession, instance_id: UUID) -> Instance:
    """The instance, if the session's principal may see it; else `NotFound`."""
    found = (await session.exec(select(Instance).where(Instance.id == instance_id))).one_or_none()
    if found is None:
        raise NotFound(f"No instance {instance_id}.")
    return found


async def find(session: AsyncSession, name: str) -> Instance:
    """The instance with this id or provider's id; else `NotFound`. For people who type."""
    try:
        return await get(session, UUID(name))
    except ValueError:
        pass
    statement = select(Instance).where(Instance.vast_instance_id == name)
    found = (await session.exec(statement)).first()
    if found is None:
        raise NotFound(f"No instance {name!r}.")
    return found


async def page(session: AsyncSession, limit: int, cursor: str | None) -> Page[Instance]:
    return await newest_first(session, select(Instance), Instance, limit, cursor)


async def pin_host_key(session: AsyncSession, instance_id: UUID, host_key: str) -> str:
    """Store the key of the first contact, unless another worker was first; the key on record."""
    statement = (
        update(Instance)
        .where(col(Instance.id) == instance_id, col(Instance.host_key).is_(None))
        .values(host_key=host_key, host_key_seen_at=func.now())
    )
    await session.exec(statement)
    found = await session.exec(select(Instance.host_key).where(Instance.id == instance_id))
    return found.one() or host_key


async def offer_host_key(
    session: AsyncSession, instance_id: UUID, pinned: str, presented: str
) -> None:
    """The machine showed another key than the one it is pinned to; for workers. The same again changes nothing."""
    statement = (
        update(Instance)
        .where(
            col(Instance.id) == instance_id,
            col(Instance.host_key) == pinned,
            col(Instance.host_key_offered).is_distinct_from(presented),
        )
        .values(host_key_offered=presented, host_key_offered_at=func.now())
    )
    await session.exec(statement)


async def withdraw_host_key(session: AsyncSession, instance_id: UUID, pinned: str) -> None:
    """The machine showed the key on record again, so no other is on offer; for workers."""
    statement = (
        update(Instance)
        .where(
            col(Instance.id) == instance_id,
            col(Instance.host_key) == pinned,
            col(Instance.host_key_offered).is_not(None),
        )
        .values(host_key_offered=None, host_key_offered_at=None)
    )
    await session.exec(statement)


async def accept_host_key(session: AsyncSession, instance_id: UUID, host_key: str) -> Instance:
    """Take the key on offer. Raises `NotFound`, and `HostKeyNotOffered` where it is another one or none."""
    instance = await get(session, instance_id)
    try:
        await session.exec(_ACCEPT, params={"id": instance_id, "host_key": host_key})  # type: ignore[call-overload]
    except DBAPIError as error:
        if _found_nothing(error):
            raise HostKeyNotOffered() from error
        raise
    await session.refresh(instance)
    return instance


async def pin_checked_host_key(
    session: AsyncSession, instance_id: UUID, check_id: UUID
) -> Instance:
    """A new instance keeps the host key that the check of its address saw. Raises `NotFound`."""
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


async def change(session: AsyncSession, instance_id: UUID, values: dict[str, Any]) -> Instance:
    """
    Set what a supplier may set. Another address or user is another machine: it counts as untested, and so does
    the inventory item that stands for it.

    Raises `NotFound`, and `RunInProgress` for another address while a run is unfinished.
    """
    unknown = values.keys() - CHANGEABLE
    if unknown:
        raise TypeError(f"not a supplier's to change: {sorted(unknown)}")
    await lock(session, instance_id)
    instance = await get(session, instance_id)
    moved = any(
        values.get(name, getattr(instance, name)) != getattr(instance, name) for name in _ADDRESS
    )
    if moved:
        await _require_no_run(session, instance_id)
    if values:
        await session.exec(update(Instance).where(col(Instance.id) == instance_id).values(**values))
    if moved and instance.gpu_inventory_id is not None:
        await session.exec(
            update(InventoryItem)
            .where(
                col(InventoryItem.id) == instance.gpu_inventory_id,
                col(InventoryItem.status) == "active",
            )
            .values(status="inactive")
        )
    await session.refresh(instance)
    return instance


async def delete(session: AsyncSession, instance_id: UUID) -> None:
    """
    The instance goes with its runs, results, schedule, login and inventory item. What a finished run may have left
    on the machine is not looked after any more.

    Raises `NotFound`, and `RunInProgress` while a run is unfinished.
    """
    # Its schedule first, as whoever fires it locks them; it comes back with the transaction where a run is unfinished.
    await session.exec(remove(Schedule).where(col(Schedule.instance_id) == instance_id))
    await lock(session, instance_id)
    instance = await get(session, instance_id)
    await _require_no_run(session, instance_id)
    await session.exec(remove(Instance).where(col(Instance.id) == instance_id))
    await session.exec(
        remove(InventoryItem).where(col(InventoryItem.id) == instance.gpu_inventory_id)
    )


async def _require_no_run(session: AsyncSession, instance_id: UUID) -> None:
    """To be asked under the instance's lock, which a new run takes too."""
    run = await runs.unfinished(session, instance_id)
    if run is not None:
        raise RunInProgress(f"It is run {run.id}.", evidence={"run_id": str(run.id)})


def _found_nothing(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "P0002"
