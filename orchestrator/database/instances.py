"""Instances with their inventory item and credential."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete as remove
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database import runs
from orchestrator.database.models import Instance, InventoryItem, Schedule
from orchestrator.database.paging import Page, newest_first
from orchestrator.database.session import constraint_of
from orchestrator.domain.errors import AlreadyOnboarded, InvalidInput, NotFound, RunInProgress

_CLAIMS = frozenset(
    {
        "vast_instance_id",
        "vast_offer_id",
        "vast_machine_id",
        "ssh_host",
        "ssh_port",
        "ssh_user",
        "host_key_given",
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
CHANGEABLE: Final = frozenset(
    {"provider", "location", "price_per_hour", "listed", "host_key_given", *_ADDRESS}
)


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
            raise InvalidInput("metadata is over 64 KiB.", field="metadata") from error
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


async def change(session: AsyncSession, instance_id: UUID, values: dict[str, Any]) -> Instance:
    """
    Set what a supplier may set. Another address or user is another machine: it counts as untested, and so does
    the inventory item that stands for it. `host_key_given` is the fingerprint of the machine at the new address.

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
    # The address first: a fingerprint that is said again is the new machine's too.
    given = {name: values[name] for name in ("host_key_given",) if name in values}
    for said in ({name: values[name] for name in values if name not in given}, given):
        if said:
            await session.exec(
                update(Instance).where(col(Instance.id) == instance_id).values(**said)
            )
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
