"""Instances with their inventory item and credential."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import Credential, Instance, InventoryItem
from orchestrator.database.paging import Page, newest_first
from orchestrator.database.session import constraint_of
from orchestrator.domain.errors import AlreadyOnboarded, InvalidInput, NotFound

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
    }
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


async def store_credential(session: AsyncSession, credential: Credential) -> None:
    """Ciphertext goes in by INSERT without RETURNING: the API's role may not read it back."""
    await session.exec(
        insert(Credential).values(**credential.model_dump(exclude={"user_id", "created_at"}))
    )


async def public_key(session: AsyncSession, instance_id: UUID) -> str | None:
    """The public half of the instance's login, one line for authorized_keys."""
    statement = select(Credential.public_key).where(Credential.instance_id == instance_id)
    return (await session.exec(statement)).one_or_none()


async def credential(session: AsyncSession, instance_id: UUID) -> Credential | None:
    """The sealed login; for workers only."""
    statement = select(Credential).where(Credential.instance_id == instance_id)
    return (await session.exec(statement)).one_or_none()
